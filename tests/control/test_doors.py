"""Where the operator reaches a process: opened, tried for again, given up."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tarry.control import doors
from tarry.control.doors import Doors
from tarry.control.protocol import Request, read_reply, write
from tarry.control.server import Answer
from tarry.core.client import Endpoint
from tests.control.asked import ask, run, serving, state, told

STATUS = write(Request("status"))
HTTP = Endpoint("127.0.0.1", 8025)


class FakeWeb:
    """Stands for an HTTP server."""

    def __init__(self) -> None:
        self.closed = 0

    @property
    def address(self) -> tuple[str, int]:
        return "127.0.0.1", 8025

    async def close(self) -> None:
        self.closed += 1


class Opening:
    """Opens HTTP, after *refusals* tries that fail."""

    def __init__(self, refusals: int = 0) -> None:
        self.refusals = refusals
        self.web = FakeWeb()

    def __call__(self, endpoint: Endpoint, loop: asyncio.AbstractEventLoop, answer: Answer) -> tuple[FakeWeb | None, str]:
        assert endpoint == HTTP
        self.refusals -= 1
        return (None, "taken") if self.refusals >= 0 else (self.web, "")


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(doors, "RETRY", 0.01)


def test_both_are_opened_and_closed_once() -> None:
    """And nothing is told."""

    async def scenario() -> None:
        opening = Opening()
        made = Doors(told(state()), path="s", endpoint=HTTP, open_web=opening)
        assert made.web_address is None
        assert () == await made.open()
        assert ("127.0.0.1", 8025) == made.web_address
        assert read_reply(await ask("s", STATUS)).state == state()
        await made.close()
        await made.close()
        assert (1, None, False) == (opening.web.closed, made.web_address, Path("s").exists())

    run(scenario())


def test_neither_is_wanted() -> None:
    """Then there is neither, and no trouble."""

    async def scenario() -> None:
        made = Doors(told(state()))
        assert () == await made.open()
        assert made.web_address is None
        await made.close()

    run(scenario())
    assert [] == list(Path().iterdir())


def test_what_is_taken_is_tried_for_again() -> None:
    """The one that gives way to this one lets go in time; what could be had is not opened twice."""

    async def scenario() -> None:
        former, opening = serving("s", state(held=1)), Opening(refusals=3)
        await former.start()
        made = Doors(told(state(held=2)), path="s", endpoint=HTTP, open_web=opening)
        first, second = await made.open()
        assert (True, "taken") == ("belongs to another tarry" in first, second)
        while made.web_address is None:
            await asyncio.sleep(0.01)
        former.close()
        while not (answer := await _asked()) or read_reply(answer).state != state(held=2):
            await asyncio.sleep(0.01)
        assert -1 == opening.refusals
        await made.close()

    run(scenario())


async def _asked() -> bytes:
    try:
        return await ask("s", STATUS)
    except OSError:
        return b""


def test_nothing_is_tried_after_the_end() -> None:
    """A server that has gone does not take the socket of the next one."""

    async def scenario() -> None:
        former = serving("s", state())
        await former.start()
        made = Doors(told(state()), path="s")
        assert 1 == len(await made.open())
        await made.close()
        former.close()
        await asyncio.sleep(0.05)
        assert not Path("s").exists()

    run(scenario())
