"""side - our end of a connection to an MTA in a real event loop, for tests of the ways to it (connectors).

`RUNNERS` are the loops that tarry runs on; `until` waits for a condition and not for a time; `descriptors` counts.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, cast

import uvloop

Run = Callable[[Coroutine[Any, Any, None]], None]
RUNNERS: dict[str, Run] = {"asyncio": asyncio.run, "uvloop": uvloop.run}


class Side(asyncio.Protocol):
    """A protocol that keeps what comes, and hears b"" at the end."""

    def __init__(self) -> None:
        self._got = asyncio.Queue[bytes]()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's are not subclasses

    def data_received(self, data: bytes) -> None:
        self._got.put_nowait(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._got.put_nowait(b"")

    @property
    def transport(self) -> asyncio.Transport:
        assert self._transport is not None
        return self._transport

    async def hears(self) -> bytes:
        """Return what comes next."""
        async with asyncio.timeout(5):
            return await self._got.get()


async def until(condition: Callable[[], object]) -> None:
    """Return when it holds."""
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0)


def descriptors() -> int:
    """Return how many descriptors this process has open."""
    return len(list(Path("/proc/self/fd").iterdir()))
