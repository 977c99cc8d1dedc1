"""`tarry clients allow` and `deny`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from tests.cli import remembering
from tests.cli.remembering import DAY, NOW, MemoryStore

from tarry.cli import cli
from tarry.store import Mark


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> MemoryStore:
    return remembering.installed(monkeypatch, tmp_path)


def run(*args: str) -> Result:
    return CliRunner().invoke(cli, ["clients", *args], prog_name="tarry")


def test_for_good(store: MemoryStore) -> None:
    """Without a time there is no end."""
    result = run("allow", "192.0.2.7")
    assert (0, "192.0.2.7 is allowed for good\n") == (result.exit_code, result.stdout)
    assert {"192.0.2.7": Mark("192.0.2.7", "allow", 0.0, "", NOW)} == store.said


@pytest.mark.parametrize(
    ("how", "until", "told"),
    [
        (("--for", "30d"), NOW + 30 * DAY, "2026-12-21 16:00 UTC (in 30 days)"),
        (("--until", "2026-12-31"), NOW + 39 * DAY + 8 * 3600, "2026-12-31 00:00 UTC (in 39 days)"),
        (("--until", "2026-11-21T18:00+01:00"), NOW + 3600, "2026-11-21 17:00 UTC (in 1 h)"),
    ],
)
def test_until_then(how: tuple[str, ...], until: float, told: str, store: MemoryStore) -> None:
    """A length, a day or a moment; and why."""
    result = run("deny", "192.0.2.7", *how, "--comment", "a noisy one")
    assert f"192.0.2.7 is denied until {told}: a noisy one\n" == result.stdout
    assert Mark("192.0.2.7", "deny", until, "a noisy one", NOW) == store.said["192.0.2.7"]


def test_several_at_once_in_one_form(store: MemoryStore) -> None:
    """Addresses and networks of both kinds; what was made of them is told once."""
    result = run("allow", "10.1.2.3/8", "2001:db8::7", "2001:db8:1::7/128", "192.0.2.7/32")
    assert ["10.0.0.0/8", "2001:db8::/64", "2001:db8:1::7", "192.0.2.7"] == list(store.said)
    assert [
        "  (10.1.2.3/8 has bits set right of its prefix, and is taken for 10.0.0.0/8)",
        "  (an IPv6 client is known by its /64: 2001:db8::/64)",
        "  (what is remembered of an IPv6 client is remembered of its /64: 2001:db8:1::/64)",
        "10.0.0.0/8 is allowed for good",
        "2001:db8::/64 is allowed for good",
        "2001:db8:1::7 is allowed for good",
        "192.0.2.7 is allowed for good",
    ] == result.stdout.splitlines()


def test_the_last_word_counts(store: MemoryStore) -> None:
    """What was said before is replaced, and told; what was said of parts of it stays, and is told."""
    run("deny", "192.0.2.0/24", "--for", "1d")
    run("deny", "192.0.2.7")
    result = run("allow", "192.0.2.0/24")
    expected = "192.0.2.0/24 is allowed for good (before: denied until 2026-11-22 16:00 UTC); in it 192.0.2.7 stays denied\n"
    assert expected == result.stdout
    assert ["allow", "deny"] == [store.said[what].action for what in ("192.0.2.0/24", "192.0.2.7")]
    run("deny", *(f"192.0.2.{n}" for n in range(10, 16)))
    told = run("allow", "192.0.2.0/24").stdout
    assert told.endswith(
        "(before: allowed for good); in it 192.0.2.10, 192.0.2.11, 192.0.2.12, 192.0.2.13, 192.0.2.14 and 2 more stay denied\n"
    )


@pytest.mark.parametrize(
    ("network", "told"),
    [
        ("0.0.0.0/0", "0.0.0.0/0 is everyone: nobody would be held or checked any more; say --yes if you mean it"),
        ("::/0", "::/0 is everyone: nobody would be held"),
        ("64.0.0.0/7", "64.0.0.0/7 is a large part of the net: none of it would be held or checked any more"),
        ("2000::/18", "2000::/18 is a large part of the net: "),
    ],
)
def test_everyone_needs_a_yes(network: str, told: str, store: MemoryStore) -> None:
    """And so does what no one holder has."""
    result = run("allow", "192.0.2.7", network)
    assert (2, {}) == (result.exit_code, store.said)
    assert result.stderr.startswith(f"tarry clients allow: {told}")
    assert "would be let in any more" in run("deny", network).stderr
    assert 0 == run("allow", network, "--yes").exit_code
    assert [network] == list(store.said)
    assert 0 == run("allow", "--undo", network).exit_code


@pytest.mark.parametrize("network", ["10.0.0.0/8", "2000::/19"])
def test_what_one_holder_may_have_needs_none(network: str, store: MemoryStore) -> None:
    """A /8, and a /19 of IPv6."""
    assert 0 == run("deny", network).exit_code


def test_undo(store: MemoryStore) -> None:
    """Takes back what was said of exactly this, and nothing else; status 1 where there was nothing."""
    run("deny", "192.0.2.0/24", "192.0.2.7")
    run("allow", "192.0.2.8")
    result = run("deny", "--undo", "192.0.2.7", "192.0.2.8", "192.0.2.9")
    assert 0 == result.exit_code
    assert [
        "192.0.2.7 is no longer denied",
        "192.0.2.8 is allowed, not denied: `tarry clients allow --undo` ends that",
        "192.0.2.9 was not denied by a mark of its own",
    ] == result.stdout.splitlines()
    assert ["192.0.2.0/24", "192.0.2.8"] == list(store.said)
    assert 1 == run("deny", "--undo", "192.0.2.7").exit_code


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (("example.org",), "example.org is a domain, and the door knows addresses only"),
        (("partner",), '"partner" is no address, network or domain'),
        (("192.0.2.7", "--for", "30"), '"30" has no unit; write "30s" for seconds'),
        (("192.0.2.7", "--until", "tomorrow"), '"tomorrow" is no date; write it as in 2026-12-31'),
        (("192.0.2.7", "--until", "2026-11-21"), "2026-11-21 00:00 UTC is over"),
        (("192.0.2.7", "--for", "0s"), "2026-11-21 16:00 UTC is over"),
        (("192.0.2.7", "--for", "1d", "--until", "2026-12-31"), "--for and --until say the same in two ways"),
        (("192.0.2.7", "--undo", "--for", "1d"), "--undo takes a mark back, and needs no time and no comment"),
        (("192.0.2.7", "--comment", "a\nb"), "a comment is one line of at most 200 characters"),
        (("192.0.2.7", "--comment", "a" * 201), "a comment is one line of at most 200 characters"),
    ],
)
def test_wrong_usage(args: tuple[str, ...], told: str, store: MemoryStore) -> None:
    """Status 2, and nothing is done."""
    result = run("deny", *args)
    assert (2, "", {}) == (result.exit_code, result.stdout, store.said)
    assert result.stderr.startswith(f"tarry clients deny: {told}")


def test_for_programs(store: MemoryStore) -> None:
    """The mark that is there now, and what was there before."""
    run("deny", "192.0.2.7", "--comment", "noisy")
    found = json.loads(run("allow", "192.0.2.7/24", "192.0.2.7", "--json").stdout)
    assert (1, remembering.URL, False) == (found["v"], found["store"], found["undone"])
    network, address = found["marks"]
    assert ("192.0.2.0/24", "allow", None, ["192.0.2.7"]) == (
        network["what"], network["mark"]["action"], network["before"], [one["what"] for one in network["against"]]
    )  # fmt: skip
    assert ["192.0.2.7/24 has bits set right of its prefix, and is taken for 192.0.2.0/24"] == network["notes"]
    assert ("noisy", []) == (address["before"]["comment"], address["against"])


def test_a_file_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before the first start there is none, and a mark may be the first thing in it; to look for one makes none."""
    monkeypatch.chdir(tmp_path)
    assert 1 == run("deny", "--undo", "192.0.2.7").exit_code
    assert not Path("tarry.db").exists()
    assert 0 == run("deny", "192.0.2.7").exit_code
    assert 0 == run("deny", "--undo", "192.0.2.7").exit_code
