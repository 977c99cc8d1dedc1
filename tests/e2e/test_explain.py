"""`tarry explain` and `tarry clients` beside a running front door: what clients did is told, and what is said of them counts."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.servers import clients
from tests.e2e.servers.clients import RawClient, Reply
from tests.e2e.servers.processes import wait_until
from tests.e2e.servers.tarry import COMMAND, Tarry

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

EARLY, GOOD, DENIED, ALLOWED, LISTED = (f"127.0.9.{number}" for number in range(1, 6))
PATIENCE = 15.0


class Ran:
    """What a command printed, and its exit status."""

    def __init__(self, folder: Path, *words: str) -> None:
        done = subprocess.run(
            [COMMAND, "-c", "tarry.toml", *words], cwd=folder, capture_output=True, text=True, timeout=60, check=False
        )
        self.status, self.printed, self.complaint = done.returncode, done.stdout, done.stderr

    @property
    def report(self) -> Any:
        return json.loads(self.printed)


def greeting(tarry: Tarry, source: str, *, early: bool = False) -> Reply:
    """Return the first reply that a client from *source* is told."""
    with RawClient(tarry.port, source=source) as client:
        if early:
            client.send(b"EHLO early.example\r\n")
        reply = client.read_reply()
        if reply.code == 220:
            client.send(b"QUIT\r\n")
        client.read_until_closed()
        return reply


def test_all_of_it(tmp_path: Path) -> None:
    """Two early talkers, a good sender; then what is known of them, what is said of others by hand, and what comes of that."""
    blocked = tmp_path / "blocked.txt"
    blocked.write_text("192.0.2.0/24\n")
    delays = '[checks.karma]\naction = "delay"\n'
    with Tarry(f'{delays}[store]\nurl = "sqlite:tarry.db"\n[deny]\nfiles = ["{blocked}"]\n', wait="0.3s") as tarry:
        _is_told(tarry)
        _counts_when_said_by_hand(tarry, blocked)
        assert 0 == Ran(tarry.folder, "clients", "forget", EARLY).status
        assert 1 == Ran(tarry.folder, "clients", "show", EARLY).status


def _is_told(tarry: Tarry) -> None:
    """What is remembered, and what happened in a session, and of a client."""
    ids = [greeting(tarry, EARLY, early=True).id for _ in range(2)]
    clients.submit(tarry.port, source=GOOD)
    listed: list[dict[str, Any]] = []

    def both_are_remembered() -> bool:
        listed[:] = Ran(tarry.folder, "clients", "list", "--json").report["clients"] if (tarry.folder / "tarry.db").exists() else []
        return [(one["key"], one["sessions"]) for one in listed] == [(EARLY, 2), (GOOD, 1)]

    assert wait_until(both_are_remembered, PATIENCE), listed
    assert [(2, 0), (0, 1)] == [(one["refused"], one["delivered"]) for one in listed]

    told = Ran(tarry.folder, "explain", ids[0])
    assert (0, "") == (told.status, told.complaint)
    assert told.printed.startswith(f"{ids[0]}  {EARLY}:")
    for part in (
        "spoke after 0.0",
        "  pregreet.spoke: bytes came before the greeting\n",
        "      karma -3: it spoke before the greeting",
        f"  by now {EARLY} has, of 2 sessions, -6.0, below karma.bad_below (-5)",
    ):
        assert part in told.printed
    report = Ran(tarry.folder, "explain", EARLY, "--json").report
    assert list(reversed(ids)) == [one["id"] for one in report["sessions"]]
    assert "for karma.bad" in report["forecast"]["text"]
    history = report["memory"]["history"]
    assert ("bad", [("pregreet.spoke", 2)]) == (history["standing"], [(one["name"], one["sessions"]) for one in history["reasons"]])


def _counts_when_said_by_hand(tarry: Tarry, blocked: Path) -> None:
    """A deny, an allow, and a line in a file: each is seen by the running server; and the first is taken back."""
    assert 0 == Ran(tarry.folder, "clients", "deny", DENIED, "--for", "1h", "--comment", "a test").status
    assert 0 == Ran(tarry.folder, "clients", "allow", ALLOWED).status
    blocked.write_text(f"192.0.2.0/24\n{LISTED}  # since today\n")
    refused: dict[str, Reply] = {}
    for source in (DENIED, LISTED):
        assert wait_until(lambda source=source: _is_refused(tarry, source, refused), PATIENCE), source
    assert wait_until(
        lambda: greeting(tarry, ALLOWED) and tarry.wait_records(1, ev="connect", client=ALLOWED)[-1]["exempt"], PATIENCE
    )
    told = Ran(tarry.folder, "explain", refused[DENIED].id).printed
    assert "turned away: 554 5.7.1 Not accepted from this address" in told
    assert f"{DENIED} is denied until " in told and "a test" in told
    assert f"{LISTED}/32 is in {blocked}, a file of deny.files (" in Ran(tarry.folder, "explain", LISTED).printed
    assert 0 == Ran(tarry.folder, "clients", "deny", "--undo", DENIED).status
    assert wait_until(lambda: greeting(tarry, DENIED).code == 220, PATIENCE)


def _is_refused(tarry: Tarry, source: str, refused: dict[str, Reply]) -> bool:
    refused[source] = greeting(tarry, source)
    return refused[source].code == 554
