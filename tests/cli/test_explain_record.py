"""`tarry explain ADDRESS` and `tarry explain ID`, from the arguments on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from tests.cli import recording, remembering
from tests.cli.recording import BEGAN, DENIED, EARLY, GOOD, ID
from tests.cli.remembering import MemoryStore, session

from tarry.cli import cli
from tarry.record import schema
from tarry.store import Mark

NEXT = "6B01B58C-0002"


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> MemoryStore:
    made = remembering.installed(monkeypatch, tmp_path)
    Path("tarry.toml").write_text(f'{remembering.CONFIG}[record]\npath = "tarry.jsonl"\n[deny]\nnetworks = ["192.0.2.8/29"]\n')
    lines = [*recording.written(EARLY), *recording.written(GOOD, NEXT, BEGAN + 9)]
    Path("tarry.jsonl").write_bytes(b"".join(lines))
    made.add(session("192.0.2.7", 60, -3.0, reasons=("pregreet.spoke",), id=ID))
    return made


def run(*args: str, given: bytes = b"") -> Result:
    return CliRunner().invoke(cli, ["explain", *args], input=given, prog_name="tarry")


def report(*args: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(run(*args, "--json").stdout)
    return found


@pytest.mark.parametrize("id", [ID, ID.lower()])
def test_a_session(id: str, store: MemoryStore) -> None:
    """With what is remembered of its client by now."""
    result = run(id)
    assert (0, "") == (result.exit_code, result.stderr)
    assert result.stdout.startswith(f"{ID}  192.0.2.7:40000\n  2026-11-21 15:59:00 UTC (1 min ago): refused (reject) for ")
    assert "  by now 192.0.2.7 has, of 1 session, -3.0, between karma.bad_below (-5)" in result.stdout
    found = report(id)
    assert (1, ID, 1) == (found["v"], found["id"], found["memory"]["history"]["sessions"])


def test_what_was_said_by_hand_since(store: MemoryStore) -> None:
    """Is told with the session; and that nothing is remembered."""
    store.said["192.0.2.7"] = Mark("192.0.2.7", "allow", comment="a partner")
    store.entries.clear()
    told = run(ID).stdout
    assert "  192.0.2.7 is allowed for good: a partner\n  nothing is remembered of 192.0.2.7\n" in told


def test_a_denied_client(store: MemoryStore) -> None:
    """Which list it is on."""
    Path("tarry.jsonl").write_bytes(b"".join(recording.written(DENIED)))
    assert "  192.0.2.8/29 is in deny.networks (tarry.toml:6): it is refused as soon as it connects" in run(ID).stdout
    assert 1 == len(report(ID)["configuration"])


def test_records_that_are_handed_in(store: MemoryStore) -> None:
    """In files, or on standard input; what cannot be read is told."""
    lines = Path("tarry.jsonl").read_bytes()
    Path("tarry.jsonl").rename("old.jsonl")
    assert 1 == run(ID).exit_code
    result = run(ID, "--records", "gone.jsonl", "--records", "old.jsonl")
    assert (0, "tarry explain: gone.jsonl: No such file or directory\n") == (result.exit_code, result.stderr)
    assert 0 == run(ID, "--records", "-", given=lines).exit_code
    assert [ID] == [one["id"] for one in report("192.0.2.7", "--records", "old.jsonl")["sessions"]]


def test_a_session_that_is_not_known(store: MemoryStore) -> None:
    """Where was looked, and status 1."""
    expected = "tarry explain: nothing is known of the session 6B01B58C-0003: there is no record of it in tarry.jsonl\n"
    result = run("6B01B58C-0003")
    assert (1, "", expected) == (result.exit_code, result.stdout, result.stderr)
    Path("tarry.jsonl").unlink()
    assert "there is no " in run(ID).stderr
    Path("tarry.toml").write_text("")
    assert 'record.path = "-": the records go to standard output' in run(ID).stderr
    assert "gone: No such file" in run(ID, "--records", "gone").stderr


def test_a_client(store: MemoryStore) -> None:
    """What would become of it, what is remembered, and its sessions."""
    result = run("192.0.2.7")
    assert 0 == result.exit_code
    assert "If it came now\n  Greeted after " in result.stdout
    assert "  reasons   pregreet.spoke           1 session, last 1 min ago\n" in result.stdout
    assert f"  {ID}  2026-11-21 15:59 UTC (1 min ago)  reject for pregreet.spoke\n" in result.stdout
    assert "192.0.2.7" == report("::ffff:192.0.2.7")["client"]


def test_a_client_that_is_not_known(store: MemoryStore) -> None:
    """Is told what would become of it all the same; status 1."""
    result = run("203.0.113.7")
    assert 1 == result.exit_code
    assert "  history   nothing is remembered of it: " in result.stdout
    assert "  there is no record of it in tarry.jsonl\n" in result.stdout


def test_a_file_that_cannot_be_read_is_told_once(store: MemoryStore) -> None:
    """Whether a session of the client was found or not."""
    for address, found in (("192.0.2.7", 1), ("203.0.113.7", 0)):
        told = report(address, "--records", "gone", "--records", "tarry.jsonl")
        assert (found, 1) == (len(told["sessions"]), told["notes"].count("gone: No such file or directory"))


def test_a_store_that_is_away(store: MemoryStore) -> None:
    """Is told, and all the rest; that is no failure."""
    store.why = "Connection refused"
    for name in ("192.0.2.7", ID):
        result = run(name)
        assert 0 == result.exit_code
        assert f"the memory of clients ({remembering.URL}) is away: Connection refused" in result.stdout
    assert "is away: Connection refused" in report(ID)["memory_away"]


def test_another_store(store: MemoryStore) -> None:
    """In place of the one that is configured."""
    assert 'nothing is remembered: store.url is "none"' in run("192.0.2.7", "--store", "none").stdout


def test_a_client_without_an_address(store: MemoryStore) -> None:
    """Behind a Unix socket: nothing is remembered of it, and its session is told."""
    connect = schema.Connect("unix", 0, "", 4.0)
    Path("tarry.jsonl").write_bytes(b"".join(recording.written([(0.0, connect)])))
    result = run(ID)
    assert (0, True) == (result.exit_code, result.stdout.startswith(f"{ID}  unix:0\n"))
    assert None is report(ID)["memory"]


def test_a_configuration_with_errors(store: MemoryStore) -> None:
    """What can be told is told; the errors come first, and the status is 1."""
    with Path("tarry.toml").open("a") as file:
        file.write("x = 1\n")
    result = run(ID)
    assert (1, True) == (result.exit_code, result.stderr.startswith("tarry.toml:7: error: deny.x: no such key"))
    assert result.stdout.startswith(ID)
