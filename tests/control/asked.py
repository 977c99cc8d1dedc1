"""asked - servers to ask, for the tests of control/: a state that is told, and what comes back over the socket."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from tarry.control.server import ControlServer
from tarry.control.states import Mta, State
from tarry.record.schema import Close
from tarry.record.tally import tally

PATIENCE = 20.0


def state(worker: int = 0, *, pid: int = 77, since: float = 100.0, sessions: int = 0, held: int = 0) -> State:
    """Return a state with these figures."""
    counted = tally([Close(ended="client", phase="hold")] * sessions)
    return State(pid, "0.1", since, "abc", worker, held=held, max_clients=500, mta=Mta("mx:25"), tally=counted)


def told(*states: State) -> Any:
    """Return what tells these states, one at each question, the last one from then on."""
    left = list(states)

    async def answer() -> State:
        return left.pop(0) if len(left) > 1 else left[0]

    return answer


def serving(path: str | Path, *states: State, replaces: bool = False) -> ControlServer:
    return ControlServer(asyncio.get_running_loop(), str(path), told(*states), version="0.1", replaces=replaces)


async def ask(path: str | Path, line: bytes) -> bytes:
    """Return what comes until the other side closes."""
    async with asyncio.timeout(PATIENCE):
        reader, writer = await asyncio.open_unix_connection(str(path))
        try:
            writer.write(line)
            return await reader.read()
        except ConnectionError:
            return b""
        finally:
            writer.close()


def run(scenario: Coroutine[Any, Any, None]) -> None:
    async def within() -> None:
        async with asyncio.timeout(3 * PATIENCE):
            await scenario

    asyncio.run(within())
