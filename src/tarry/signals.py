"""signals - wiring: a server that runs until SIGTERM or SIGINT, reads its configuration again on SIGHUP, and gives way on SIGUSR2.

Promises  The first signal drains, a second one ends at once. systemd is told what goes on (READY, RELOADING, STOPPING), and fed its
          watchdog from the event loop: a loop that stands still is restarted. A new version that does not come up changes nothing.
Not here  The same for several workers: workers/supervisor.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine

from tarry.config.load import Loaded
from tarry.core.client import Endpoint
from tarry.daemon import Server
from tarry.net.notify import Notifier
from tarry.workers import takeover
from tarry.workers.fork import ASKING
from tarry.workers.takeover import Successor


async def serve_until_signalled(
    server: Server,
    *,
    reload: Callable[[], Loaded] | None,
    on_ready: Callable[[Server], None],
    notifier: Notifier,
    upgrade: Callable[[Server], Successor] | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> None:
    """Serve until SIGTERM or SIGINT, or until a new version does, which *upgrade* starts. Raises OSError where the start fails."""
    await _Serving(server, reload, on_ready, notifier, upgrade, say).serve()


class _Serving:
    def __init__(
        self,
        server: Server,
        reload: Callable[[], Loaded] | None,
        on_ready: Callable[[Server], None],
        notifier: Notifier,
        upgrade: Callable[[Server], Successor] | None,
        say: Callable[[str], None],
    ) -> None:
        self._server = server
        self._reload = reload
        self._on_ready = on_ready
        self._notifier = notifier
        self._upgrade = upgrade
        self._say = say
        self._asked: asyncio.Queue[str] = asyncio.Queue()
        self._ending: list[asyncio.Task[None]] = []
        self._successor: Successor | None = None
        self._is_late: asyncio.TimerHandle | None = None
        self._has_drained = False

    async def serve(self) -> None:
        loop = asyncio.get_running_loop()
        for number in ASKING:
            loop.add_signal_handler(number, self._asked.put_nowait, number.name)
        await self._server.start()
        self._on_ready(self._server)
        where = ", ".join(str(Endpoint(host, port)) for host, port in self._server.addresses)
        self._notifier.tell(READY=1, STATUS=f"listens on {where}")
        alive = loop.create_task(_say_alive(self._notifier))
        ended = loop.create_task(self._server.wait())
        while not ended.done():
            getting = loop.create_task(self._asked.get())
            await asyncio.wait({getting, ended}, return_when=asyncio.FIRST_COMPLETED)
            if getting.done():
                self._do(getting.result())
            getting.cancel()
        alive.cancel()
        await asyncio.gather(*self._ending)

    def _do(self, what: str) -> None:
        match what:
            case "SIGHUP":
                if self._reload is not None and not self._ending:
                    self._notifier.tell_reloading()
                    self._server.reload(self._reload())
                    self._notifier.tell(READY=1)
            case "SIGUSR2":
                self._begin_upgrade()
            case "successor":
                self._hear_successor()
            case "late":
                self._let_successor_go(f"it did not say within {takeover.PATIENCE:g} s that it serves")
            case _:
                self._drain(what)

    def _drain(self, name: str) -> None:
        if self._has_drained:
            self._server.abort()
            return
        self._let_successor_go("since this one was told to end")
        self._has_drained = True
        if not self._ending:
            self._notifier.tell(STOPPING=1, STATUS="lets transactions finish")
        self._end(self._server.stop(name))

    def _begin_upgrade(self) -> None:
        if self._upgrade is None or self._successor is not None or self._ending:
            return
        loop = asyncio.get_running_loop()
        self._say(f"upgrade: starts {takeover.spelled()}")
        try:
            self._successor = self._upgrade(self._server)
        except OSError as fault:
            self._say(f"upgrade: the new version cannot be started: {fault}; this one goes on")
            return
        loop.add_reader(self._successor.fd, self._asked.put_nowait, "successor")
        self._is_late = loop.call_later(takeover.PATIENCE, self._asked.put_nowait, "late")

    def _hear_successor(self) -> None:
        if self._successor is None:
            return  # said twice, or heard before
        successor = self._successor
        if successor.has_said() != "ready":
            self._let_successor_go(successor.why())
            return
        self._close_successor()
        self._say(f"upgrade: the new version serves (process {successor.pid}); this one ends when its clients have")
        self._end(self._server.retire("upgrade"))

    def _let_successor_go(self, why: str) -> None:
        if self._successor is not None:
            self._successor.end()
            self._close_successor()
            self._say(f"upgrade: the new version did not start: {why}")

    def _close_successor(self) -> None:
        assert self._successor is not None
        if self._is_late is not None:
            self._is_late.cancel()
        asyncio.get_running_loop().remove_reader(self._successor.fd)
        self._successor.close()
        self._successor = None

    def _end(self, ending: Coroutine[None, None, None]) -> None:
        self._ending.append(asyncio.get_running_loop().create_task(ending))


async def _say_alive(notifier: Notifier) -> None:
    """Feed systemd's watchdog from the event loop: a loop that stands still is restarted."""
    while notifier.watchdog:
        notifier.tell(WATCHDOG=1)
        await asyncio.sleep(notifier.watchdog)
