"""doors - where the operator reaches a process: its control socket, and HTTP where there is any.

What      `Doors` opens both, and goes on trying where one is taken: by a server that is about to give way to this one, or by a
          mistake that somebody mends.
Promises  Nothing here keeps mail from coming in: what cannot be had is told, and that is all. What was opened is closed once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol, TypeAlias

from tarry.control.server import Answer, ControlServer
from tarry.core.client import Endpoint

RETRY = 1.0
"""Seconds between tries for what is taken."""


class Web(Protocol):
    """A running HTTP server."""

    @property
    def address(self) -> tuple[str, int]: ...

    async def close(self) -> None: ...


OpenWeb: TypeAlias = Callable[[Endpoint, asyncio.AbstractEventLoop, Answer], tuple[Web | None, str]]
"""Serves HTTP on an address, or says in a sentence why not: `tarry.web.server.open_web`, which is a layer above."""


class Doors:
    """The control socket *path* ("" for none), and HTTP at *endpoint* (None for nowhere)."""

    def __init__(
        self,
        answer: Answer,
        *,
        path: str = "",
        version: str = "",
        replaces: bool = False,
        endpoint: Endpoint | None = None,
        open_web: OpenWeb | None = None,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._answer = answer
        self._control = ControlServer(self._loop, path, answer, version=version, replaces=replaces) if path else None
        self._endpoint = endpoint
        self._open_web = open_web
        self._web: Web | None = None
        self._trying: asyncio.Task[None] | None = None

    @property
    def web_address(self) -> tuple[str, int] | None:
        """Where HTTP is served, as (host, port); None where it is not."""
        return self._web.address if self._web is not None else None

    async def open(self) -> tuple[str, ...]:
        """Open both; return what cannot be had, each in a sentence. Those are tried for again until `close`."""
        troubles = await self._try()
        if troubles:
            self._trying = self._loop.create_task(self._try_again())
        return troubles

    async def close(self) -> None:
        """Close what is open. May be called twice."""
        if self._trying is not None:
            self._trying.cancel()
        if self._control is not None:
            self._control.close()
        web, self._web = self._web, None
        if web is not None:
            await web.close()

    async def _try(self) -> tuple[str, ...]:
        troubles = []
        if self._control is not None and not self._control.is_listening:
            troubles.append(await self._control.start())
        if self._endpoint is not None and self._open_web is not None and self._web is None:
            self._web, trouble = self._open_web(self._endpoint, self._loop, self._answer)
            troubles.append(trouble)
        return tuple(filter(None, troubles))

    async def _try_again(self) -> None:
        while True:
            await asyncio.sleep(RETRY)
            if not await self._try():
                return
