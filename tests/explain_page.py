"""explain_page - the examples of docs/explain.md, made by the commands themselves.

    .venv/bin/python -m tests.explain_page

writes the page anew: below each command stands what it prints. Three clients are played through the core under the configuration
of the page (tarry.rehearsal), what they did is recorded and remembered as the daemon does it, and the commands are run on that
log and that memory, at a time that stands still. A test compares.
"""

from __future__ import annotations

import asyncio
import os
import re
import shlex
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import chdir, contextmanager
from ipaddress import ip_address
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

from click.testing import CliRunner

from tarry.cli import cli
from tarry.config.compile import door_rules, fading, karma_rules, policy, remembered
from tarry.config.load import load
from tarry.config.schema import Config
from tarry.core import karma
from tarry.core.facts import Answer, Kind, Question, State
from tarry.core.history import key_of, known
from tarry.record import schema
from tarry.record.journal import Journal
from tarry.rehearsal.given import Given, read_fact, unknown
from tarry.rehearsal.play import ID, House, play
from tarry.rehearsal.visit import Early, Visit
from tarry.store.sqlite import SqliteStore

PAGE = Path(__file__).parents[1] / "docs" / "explain.md"
NOW = 1_795_276_800.0
"""2026-11-21 16:00 UTC."""
HOUR = 3600.0
_SESSION_EVENTS = schema.SessionEvent.__args__  # type: ignore[attr-defined]
_EXAMPLE = re.compile(r"^ {4}(?P<command>tarry [^\n]+)\n\n```text\n(?P<output>.*?)^```$", re.MULTILINE | re.DOTALL)
_CONFIG = re.compile(r"^```toml\n(.*?)^```$", re.MULTILINE | re.DOTALL)


class Door:
    """A front door that is played: its log and its memory are real."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.house = House(policy(config, remembers=True), door_rules(config))
        self.lines: list[bytes] = []
        self.number = 0

    def store(self, now: float) -> SqliteStore:
        return SqliteStore(
            "tarry.db", fading=fading(self.config), keep=self.config.store.keep, max_clients=1_000_000, now=lambda: now
        )

    async def come(self, visit: Visit, at: float, facts: Sequence[str] = (), domain: str = "") -> None:
        """Let a client of a *domain* come: its session is recorded, and remembered at its end."""
        store = self.store(at)
        self.number += 1
        id, client = f"6B01B58C-{self.number:04X}", str(visit.address)
        entry = (await store.read([key_of(client)])).get(key_of(client))

        def look(questions: Sequence[Question]) -> Sequence[Answer]:
            return list(map(answer, questions))

        def answer(question: Question) -> Answer:
            if question.kind is Kind.DOMAIN_HISTORY:
                return Answer(question, State.NOTHING, domain=domain)
            if question.kind is not Kind.HISTORY:
                return unknown([question])[0]
            if entry is None:
                return Answer(question, State.NOTHING)
            return Answer(question, State.FOUND, known=known(entry, at, fading(self.config)))

        given = Given([read_fact(fact, float) for fact in facts], client, 3.0, look)
        played = play(visit, self.house, given.look, lambda: 0.5)
        closed: list[tuple[schema.Close, float]] = []
        lines: list[bytes] = []
        journal = Journal(
            id, accepted_at=0.0, accepted_wall=at, write=lines.append, on_close=lambda close, _, wall: closed.append((close, wall))
        )
        last = 0.0
        for one in played.happened:
            if isinstance(one.event, _SESSION_EVENTS):
                journal.emit(one.event, one.at)
                last = one.at
        journal.close(last)
        self.lines += [line.replace(ID.encode(), id.encode()) for line in lines]
        for close, wall in closed:
            await store.write(karma.changes(close, id, wall, karma_rules(self.config), remembered(self.config)))
        await store.close()


async def fill(config: Config) -> None:
    """Let the clients of the page come, and write the log."""
    door = Door(config)
    early = (Early(0.3, b"EHLO x\r\n"),)
    botnet, listed, good = map(ip_address, ("192.0.2.7", "203.0.113.9", "198.51.100.20"))
    for ago in (74, 50, 26):
        await door.come(Visit(botnet, early=early), NOW - ago * HOUR)
    for ago in range(30, 3, -3):
        await door.come(Visit(good, "mx.example.edu", "list@example.edu"), NOW - ago * HOUR, domain="example.edu")
    await door.come(Visit(listed, "mail.example.net", "alice@example.net"), NOW - 2 * HOUR, ["zen.spamhaus.org=127.0.0.4@0.2"])
    await door.come(Visit(botnet, "mail.example.com", "bob@example.com"), NOW - HOUR)
    Path("tarry.jsonl").write_bytes(b"".join(door.lines))


@contextmanager
def standing(config: str) -> Iterator[None]:
    """Stand in a folder with the log and the memory of the page, at its time, before a terminal of 80 columns."""
    with tempfile.TemporaryDirectory() as folder, chdir(folder):
        Path("tarry.toml").write_text(config)
        loaded = load(Path("tarry.toml"))
        asyncio.run(fill(loaded.checked()))

        def opened(_: str, **__: Any) -> SqliteStore:
            return Door(loaded.config).store(NOW)

        with (
            patch("tarry.store.places.open_store", opened),
            patch("tarry.cli.opened.time", SimpleNamespace(time=lambda: NOW)),
            patch("tarry.cli.layout.is_terminal", lambda: True),
            patch.dict(os.environ, {"COLUMNS": "80", "NO_COLOR": "1"}),
        ):
            yield


def with_made(page: str) -> str:
    """Return the page with what each of its commands prints."""
    found = _CONFIG.search(page)
    assert found is not None

    def made(example: re.Match[str]) -> str:
        ran = CliRunner().invoke(cli, shlex.split(example["command"])[1:], prog_name="tarry")
        assert ran.exception is None or isinstance(ran.exception, SystemExit), ran.exception
        return f"    {example['command']}\n\n```text\n{ran.output}```"

    with standing(found[1]):
        return _EXAMPLE.sub(made, page)


if __name__ == "__main__":
    PAGE.write_text(with_made(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
