"""hub - the process that speaks for all that share the work: it asks every worker how it is, and adds up.

What      `Hub` asks worker N over ``<path>.N``. `run_hub` is the life of the process: it listens on control.socket, and serves
          HTTP if it is given the means to (web is a layer above).
Promises  A worker that does not answer within `PATIENCE` is told as such and keeps nobody waiting for the others. Sums only grow:
          what a worker had counted when it last answered stays in them when it does not answer, or has been replaced by another
          process. Workers are asked every `EVERY` seconds also where nobody wants to know, so a worker that dies takes no
          more with it than what it counted since. A socket or a port that is taken is told once, and tried again: `run_hub` does
          not raise for it. However many ask at once, the workers are asked once.
Not here  Counting: see record/tally. Who starts this process and ends it: workers/.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from contextlib import suppress

from msgspec.structs import replace

from tarry.config.schema import Config
from tarry.control import protocol
from tarry.control.doors import Doors, OpenWeb
from tarry.control.states import State, Worker, joined, worker_of
from tarry.record.tally import Tally

PATIENCE = 1.0
EVERY = 5.0
_LONGEST = 2**20
"""Octets of a worker's reply, which has some 30 KB where it is full."""


class Hub:
    """Asks the workers 1 to *workers*, whose sockets are ``<path>.1`` and so on."""

    def __init__(self, path: str, workers: int) -> None:
        self._paths = {number: f"{path}.{number}" for number in range(1, workers + 1)}
        self._last: dict[int, State] = {}
        self._gone = Tally()
        self._since = 0.0
        self._asking: asyncio.Task[State] | None = None

    async def state(self) -> State:
        """Return what all come to."""
        if self._asking is None or self._asking.done():
            self._asking = asyncio.get_running_loop().create_task(self._ask_all())
        return await asyncio.shield(self._asking)

    async def _ask_all(self) -> State:
        answers = await asyncio.gather(*(self._ask(number) for number in self._paths))
        states = [one for one in answers if isinstance(one, State)]
        for state in states:
            self._take(state)
        total = self._gone
        for last in self._last.values():
            total += last.tally
        self._since = min((one.since for one in states if one.since < self._since or not self._since), default=self._since)
        return joined(states, pid=os.getpid(), since=self._since, workers=[_line(one) for one in answers], tally=total)

    def _take(self, state: State) -> None:
        last = self._last.get(state.worker)
        if last is not None and (last.pid, last.since) != (state.pid, state.since):
            self._gone += last.tally
        self._last[state.worker] = state

    async def _ask(self, number: int) -> State | Worker:
        """Return its state, or why there is none."""
        try:
            async with asyncio.timeout(PATIENCE):
                reply = await _ask(self._paths[number])
        except TimeoutError:
            return Worker(number, False, f"no answer within {PATIENCE:g} s")
        except (FileNotFoundError, ConnectionRefusedError):
            return Worker(number, False, "it is not running")
        except OSError as fault:
            return Worker(number, False, os.strerror(fault.errno) if fault.errno else str(fault))
        except ValueError:
            return Worker(number, False, "it answers what cannot be read")
        if reply.state is None:
            return Worker(number, False, reply.error or "it answers without a state")
        return replace(reply.state, worker=number)


async def _ask(path: str) -> protocol.Reply:
    reader, writer = await asyncio.open_unix_connection(path, limit=_LONGEST)
    try:
        writer.write(protocol.write(protocol.Request("status")))
        return protocol.read_reply(await reader.readline())
    finally:
        writer.close()


def _line(answer: State | Worker) -> Worker:
    return answer if isinstance(answer, Worker) else worker_of(answer)


def run_hub(config: Config, path: str, workers: int, *, open_web: OpenWeb | None = None) -> None:
    """Speak for the *workers* whose sockets are ``<path>.1`` and so on, until SIGTERM or SIGINT. A SIGHUP changes nothing."""
    asyncio.run(_serve(config, Hub(path, workers), open_web))


async def _serve(config: Config, hub: Hub, open_web: OpenWeb | None) -> None:
    loop = asyncio.get_running_loop()
    told_to_end = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told_to_end.set)
    loop.add_signal_handler(signal.SIGHUP, lambda: None)
    doors = Doors(hub.state, path=config.control.socket, endpoint=config.web.listen, open_web=open_web)
    for trouble in await doors.open():
        with suppress(OSError):  # EPIPE, EIO, ENOSPC: nobody hears it
            print(f"tarry: {trouble}", file=sys.stderr, flush=True)
    while not told_to_end.is_set():
        await hub.state()
        with suppress(TimeoutError):
            async with asyncio.timeout(EVERY):
                await told_to_end.wait()
    await doors.close()
