"""`tarry clients list`, `show` and `forget`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from tests.cli import remembering
from tests.cli.remembering import DAY, NOW, MemoryStore, session

from tarry.cli import cli
from tarry.core.history import Change
from tarry.store import Mark


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> MemoryStore:
    made = remembering.installed(monkeypatch, tmp_path)
    made.add(session("192.0.2.7", 3600, -3.0, reasons=("pregreet.spoke", "helo.spoofed")))
    made.add(session("192.0.2.7", 1800, -3.0, reasons=("pregreet.spoke",)))
    made.add(session("198.51.100.7", 60, 9.0, delivered=12, domain="example.net"))
    made.add(session("2001:db8:7::/64", DAY, 0.5))
    made.add(Change("example.net", NOW - 60, 9.0, delivered=400))
    return made


def run(*args: str) -> Result:
    return CliRunner().invoke(cli, ["clients", *args], prog_name="tarry")


def report(*args: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(run(*args, "--json").stdout)
    return found


# list


def test_the_list(store: MemoryStore) -> None:
    """The worst first: karma as it is now, sessions, messages, refusals, how long ago, and the most frequent reasons."""
    result = run("list")
    assert 0 == result.exit_code
    lines = result.stdout.splitlines()
    assert ["client", "karma", "seen", "mail", "refused", "last", "reasons"] == lines[0].split()
    assert [
        "192.0.2.7         -6.0     2     0        2  30 min  pregreet.spoke 2, helo.spoofed 1",
        "2001:db8:7::/64   +0.5     1     0        0   1 day",
    ] == lines[2:4]
    assert "4 of 4, the least karma first." == lines[-1]


@pytest.mark.parametrize(("how", "first"), [("--worst", "192.0.2.7"), ("--best", "198.51.100.7"), ("--last", "198.51.100.7")])
def test_orders(how: str, first: str, store: MemoryStore) -> None:
    """By karma or by when they came last."""
    assert first == report("list", how)["clients"][0]["key"]


def test_a_part_of_it(store: MemoryStore) -> None:
    """Those with a text in their address, so many of them; and that there is none."""
    assert ["2001:db8:7::/64"] == [one["key"] for one in report("list", "--match", "db8")["clients"]]
    assert "2 of 4, the least karma first." == run("list", "--limit", "2").stdout.splitlines()[-1]
    assert (0, "None of 4 matches.\n") == (run("list", "--match", "zz").exit_code, run("list", "--match", "zz").stdout)
    store.entries.clear()
    assert "Nobody is remembered yet.\n" == run("list").stdout


def test_marks_stand_beside_their_clients(store: MemoryStore) -> None:
    """That of the narrowest network around each."""
    store.said = {
        one.what: one for one in (Mark("192.0.2.0/24", "allow"), Mark("192.0.2.7", "deny"), Mark("198.51.100.0/24", "allow"))
    }
    marked = {one["key"]: one["mark"] for one in report("list")["clients"]}
    assert {"192.0.2.7": "deny", "198.51.100.7": "allow", "2001:db8:7::/64": None, "example.net": None} == marked
    assert "deny   pregreet.spoke 2" in run("list").stdout


def test_the_marks_alone(store: MemoryStore) -> None:
    """What was said of whom, until when, and why; and that there is none."""
    assert run("list", "--marks").stdout.startswith("There is no such mark.")
    store.said["192.0.2.7"] = Mark("192.0.2.7", "deny", NOW + 30 * DAY, "a noisy one", NOW - 7200)
    assert "192.0.2.7           deny  2026-12-21, in 30 days  2 h ago  a noisy one" == run("list", "--marks").stdout.splitlines()[2]
    expected = {
        "what": "192.0.2.7",
        "action": "deny",
        "until": "2026-12-21T16:00:00Z",
        "comment": "a noisy one",
        "at": "2026-11-21T14:00:00Z",
    }
    assert [expected] == report("list", "--marks")["marks"]
    assert [] == report("list", "--marks", "--match", "10.")["marks"]


def test_the_list_for_programs(store: MemoryStore) -> None:
    """Everything that there is in the memory."""
    found = report("list")
    assert (1, remembering.URL, 4) == (found["v"], found["store"], found["count"])
    worst = found["clients"][0]
    assert ("bad", "2026-11-21T15:30:00Z", 2, 2) == tuple(worst[name] for name in ("standing", "last", "sessions", "refused"))
    assert -6.0 < worst["karma"] < -5.98


# show


def test_one_client(store: MemoryStore) -> None:
    """Its karma, what it leads to and until when; sessions, reasons, and its domain."""
    result = run("show", "192.0.2.7")
    lines = result.stdout.splitlines()
    assert (0, "192.0.2.7") == (result.exit_code, lines[0])
    assert lines[1].startswith("  karma     -6.0, below karma.bad_below (-5) for another 3 days, until 2026-11-25 ")
    assert "  sessions  2 sessions, 0 messages delivered, 2 times refused" == lines[2]
    assert "  reasons   pregreet.spoke           2 sessions, last 30 min ago" in lines
    assert "  visits    2026-11-21 15:30 UTC  6920A1B2-0708  reject, karma -3" in lines
    good = run("show", "198.51.100.7").stdout.splitlines()
    assert "  domain    example.net, 1 session, 400 messages delivered, 0 times refused" in good


def test_a_domain(store: MemoryStore) -> None:
    """By any name in it, which is told."""
    result = run("show", "mail.example.net")
    assert (0, "example.net") == (result.exit_code, result.stdout.splitlines()[0])
    assert "(what is remembered of a domain is remembered of the one that was registered: example.net)" in result.stdout
    assert "+9.0, above karma.skip_above (5)" in result.stdout


def test_an_ipv6_client_is_its_subnet(store: MemoryStore) -> None:
    """And that is said."""
    result = run("show", "2001:db8:7::1234")
    assert 0 == result.exit_code
    assert ["2001:db8:7::/64", "  (an IPv6 client is known by its /64: 2001:db8:7::/64)"] == result.stdout.splitlines()[:2]


def test_who_is_not_known(store: MemoryStore) -> None:
    """Status 1; a mark is something that is known."""
    result = run("show", "203.0.113.7")
    assert (1, True) == (result.exit_code, "nothing is remembered of it" in result.stdout)
    assert None is report("show", "203.0.113.7")["history"]
    store.said["203.0.113.0/24"] = Mark("203.0.113.0/24", "deny")
    assert 0 == run("show", "203.0.113.7").exit_code


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("192.0.2.0/24", "192.0.2.0/24 is more than one client: list them with `tarry clients list --match`"),
        ("localhost", '"localhost" is no address, network or domain: '),
        ("10.0", '"10.0" is not a network; write all four numbers: "10.0.0.0/16"'),
    ],
)
def test_wrong_names(name: str, told: str, store: MemoryStore) -> None:
    """Status 2."""
    result = run("show", name)
    assert (2, "") == (result.exit_code, result.stdout)
    assert result.stderr.startswith(f"tarry clients show: {told}")


# forget


def test_a_client_is_forgotten(store: MemoryStore) -> None:
    """With its history and what was said of it; a mark on a network around it stays, and is named."""
    store.said = {one.what: one for one in (Mark("192.0.2.0/24", "allow"), Mark("192.0.2.7", "deny"))}
    result = run("forget", "192.0.2.7")
    expected = "192.0.2.7 is forgotten: its history, the mark that denied 192.0.2.7; 192.0.2.0/24 stays allowed\n"
    assert (0, expected) == (result.exit_code, result.stdout)
    assert {"198.51.100.7", "2001:db8:7::/64", "example.net"} == set(store.entries)
    assert {"192.0.2.0/24"} == set(store.said)
    again = run("forget", "192.0.2.7")
    assert (1, "nothing is known of 192.0.2.7; 192.0.2.0/24 stays allowed\n") == (again.exit_code, again.stdout)


def test_a_network_is_forgotten(store: MemoryStore) -> None:
    """All that lie in it, and the marks in it."""
    store.add(session("192.0.2.200", 5, 1.0), session("192.0.20.7", 5, 1.0))
    store.said = {one.what: one for one in (Mark("192.0.2.128/25", "allow"), Mark("192.0.0.0/16", "deny"))}
    result = run("forget", "192.0.2.0/24", "example.net", "2001:db8::/32")
    assert [
        "192.0.2.0/24 is forgotten: 2 histories, the mark that allowed 192.0.2.128/25; 192.0.0.0/16 stays denied",
        "example.net is forgotten: its history",
        "2001:db8::/32 is forgotten: its history",
    ] == result.stdout.splitlines()
    assert {"198.51.100.7", "192.0.20.7"} == set(store.entries)
    assert 1 == len(run("forget", "10.0.0.0/7").stdout.splitlines())


def test_a_mark_in_a_subnet_is_forgotten_with_its_client(store: MemoryStore) -> None:
    """An IPv6 client is its /64, and so is what was said of a part of it."""
    store.said["2001:db8:7::25"] = Mark("2001:db8:7::25", "allow")
    assert 0 == run("forget", "2001:db8:7::1").exit_code
    assert {} == store.said


def test_everybody_is_forgotten(store: MemoryStore) -> None:
    """Only with --yes."""
    refused = run("forget", "--all")
    assert (2, True) == (refused.exit_code, refused.stderr.startswith("tarry clients forget: --all forgets every client"))
    store.said = {f"192.0.2.{n}": Mark(f"192.0.2.{n}", "deny") for n in range(7)}
    told = run("forget", "--all", "--yes").stdout
    assert told.startswith("everybody is forgotten: 4 histories, the mark that denied 192.0.2.0, ")
    assert told.endswith(" and 2 more\n")
    assert ({}, {}) == (store.entries, store.said)
    assert 1 == run("forget", "--all", "--yes").exit_code


@pytest.mark.parametrize("args", [(), ("--all", "192.0.2.7")])
def test_whom_to_forget(args: tuple[str, ...], store: MemoryStore) -> None:
    """Some, or all."""
    result = run("forget", *args)
    assert (2, "tarry clients forget: name clients to forget, or say --all\n") == (result.exit_code, result.stderr)


def test_what_was_forgotten_for_programs(store: MemoryStore) -> None:
    """The numbers and the marks."""
    store.said["192.0.2.7"] = Mark("192.0.2.7", "deny")
    (one,) = report("forget", "192.0.2.7")["forgotten"]
    assert ("192.0.2.7", 1, ["192.0.2.7"], []) == (one["what"], one["entries"], [m["what"] for m in one["marks"]], one["stay"])


# All of them


@pytest.mark.parametrize("args", [("list",), ("show", "192.0.2.7"), ("forget", "192.0.2.7"), ("allow", "192.0.2.7")])
def test_a_store_that_is_away(args: tuple[str, ...], store: MemoryStore) -> None:
    """Status 75, with the reason."""
    store.why = "Connection refused"
    result = run(*args)
    assert (75, "") == (result.exit_code, result.stdout)
    assert f"tarry clients {args[0]}: the memory of clients ({remembering.URL}) is away: Connection refused\n" == result.stderr


def test_a_configuration_with_errors(store: MemoryStore) -> None:
    """Is told, and nothing is done: the store might be another."""
    Path("tarry.toml").write_text("[store]\nurrl = 3\n")
    result = run("forget", "192.0.2.7")
    assert (2, True) == (result.exit_code, "tarry.toml:2: error: store.urrl: no such key" in result.stderr)
    assert "192.0.2.7" in store.entries
