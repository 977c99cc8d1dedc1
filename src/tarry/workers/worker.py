"""worker - one of the processes that share the work: a server, and the orders of the one that keeps it.

Promises  It does what its supervisor says, and nothing that a signal says: those of a terminal or of systemd reach every process of
          the group, and the supervisor hands them on. When the supervisor is gone, however that came, it drains as after SIGTERM.
Making    In a process that was forked for it: `work` runs an event loop of its own, and its log has a thread.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from dataclasses import dataclass
from pathlib import Path

from tarry.config.load import load
from tarry.config.schema import Config
from tarry.daemon import Server
from tarry.loops import run
from tarry.share import Share
from tarry.sinks import Sink, open_sink
from tarry.sockets import Open
from tarry.workers.channel import Abort, Adopt, Alive, AnyOrder, Channel, Drain, Failed, Ready, Release, Reload, Retire, Settle

ORPHANED = "the supervisor is gone"
"""Why a worker stops that nobody keeps any more."""
ALIVE_EVERY = 30.0
"""Seconds between two signs of life where no watchdog wants them sooner. A worker that gives none for twice as long is replaced."""


@dataclass(frozen=True, slots=True)
class Log:
    """Where records go, as it was when the supervisor was started. ``turns`` is for standard output (sinks/turns)."""

    path: str
    style: str
    terminal: bool = False
    colour: bool = False
    turns: int | None = None

    def open(self, *, waits: bool = True) -> Sink:
        """Return a sink for it, not started. Without *waits* it never waits long for anything."""
        return open_sink(
            self.path,
            wall=time.time,
            style=self.style,
            terminal=self.terminal,
            colour=self.colour,
            turns=self.turns,
            waits=waits,
        )


@dataclass(frozen=True, slots=True)
class Duty:
    """What a worker begins with. ``alive_every``: so many seconds between two signs of life, 0 for none."""

    config: Config
    path: Path | None
    observe: bool
    log: Log
    share: Share | None = None
    alive_every: float = 0.0

    @property
    def folder(self) -> Path:
        """Where files are named from that the configuration names."""
        return self.path.parent if self.path is not None else Path()


def work(duty: Duty, channel: Channel) -> int:
    """Serve until the supervisor has it end; return the exit status."""
    return run(_Worker(duty, channel).serve())


class _Worker:
    def __init__(self, duty: Duty, channel: Channel) -> None:
        self._duty = duty
        self._channel = channel
        self._server = Server(duty.config, observe=duty.observe, sink=duty.log.open(), share=duty.share, folder=duty.folder)
        self._orders: asyncio.Queue[AnyOrder] = asyncio.Queue()
        self._ending: list[asyncio.Task[None]] = []
        self._takes_over = duty.share is not None and duty.share.takes_over

    async def serve(self) -> int:
        loop = asyncio.get_running_loop()
        loop.add_reader(self._channel.fileno(), self._listen)
        try:
            await self._server.start()
        except OSError as fault:
            self._channel.send(Failed(fault.errno or 0, fault.strerror or str(fault), str(fault.filename or "")))
            return 1
        self._channel.send(Ready(tuple(self._server.addresses), tuple(self._server.notes)))
        living = loop.create_task(self._say_alive())
        obeying = loop.create_task(self._obey())
        await self._server.wait()
        await asyncio.gather(*self._ending)
        for task in (living, obeying):
            task.cancel()
        return 0

    def _listen(self) -> None:
        for order in self._channel.orders():
            match order:
                case Settle():
                    self._takes_over = False
                case Adopt(number=number, sockets=told):
                    came = self._channel.take_sockets(len(told))
                    self._server.adopt(number, [Open(sock, *each) for sock, each in zip(came, told, strict=False)])
                case Release(number=number):
                    self._server.release(number)
                case _:
                    self._orders.put_nowait(order)
        if self._channel.has_ended:
            asyncio.get_running_loop().remove_reader(self._channel.fileno())
            # Who is in the backlog is not told 421 by a version that did not come up: the old one serves them.
            self._orders.put_nowait(Retire(ORPHANED) if self._takes_over else Drain(ORPHANED))

    async def _obey(self) -> None:
        while True:
            match await self._orders.get():
                case Reload(text=text):
                    self._server.reload(load(self._duty.path, text=text))
                case Drain(why=why):
                    self._end(self._server.stop(why))
                case Retire(why=why):
                    self._end(self._server.retire(why))
                case Abort():
                    self._server.abort()
                    self._end(self._server.stop("stopped at once"))

    def _end(self, ending: Coroutine[None, None, None]) -> None:
        self._ending.append(asyncio.get_running_loop().create_task(ending))

    async def _say_alive(self) -> None:
        while self._duty.alive_every:
            self._channel.send(Alive())
            await asyncio.sleep(self._duty.alive_every)
