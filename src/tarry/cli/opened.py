"""opened - the memory of clients, opened for one command.

What      `Memory` is what a verb needs of it: the configuration, which store, and how karma fades; `use` opens the store, does
          something with it and closes it.
Promises  A store that is away, or does not say whether it did what was asked, is a `NoMemory` with one sentence.
          A file that is not there is not made by who only looks: then nothing was ever remembered, which is told with its whole
          name, since the name of a file is relative to the folder that the server was started in.
Beside a running server it is a second user of the same store, as any other host is.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import msgspec

from tarry.config.compile import fading
from tarry.config.schema import Config
from tarry.config.spelling import without_password
from tarry.core.history import Fading
from tarry.store import Away, Store, Unsure
from tarry.store.places import store_of

NOTHING, USAGE, TRY_LATER = 1, 2, 75
"""Exit statuses: nothing is known; the URL is wrong; the store is away."""
PATIENCE = 10.0
"""Seconds in which a store must have done what is asked of one client."""
LONG_PATIENCE = 600.0
"""And of many: a million are forgotten in half a minute on a quiet machine."""

_SQLITE = "sqlite:"
_T = TypeVar("_T")


class NoMemory(Exception):
    """The store cannot be used; ``status`` is the exit status that says so."""

    def __init__(self, why: str, status: int) -> None:
        super().__init__(why)
        self.status = status


class Memory(msgspec.Struct, frozen=True):
    """The memory of a configuration, or that at *url* in its place. ``now`` is UTC epoch seconds."""

    config: Config
    url: str
    now: float

    @property
    def fading(self) -> Fading:
        """How karma fades."""
        return fading(self.config)

    @property
    def shown(self) -> str:
        """The URL without its password; a file with its whole name."""
        if self.url.startswith(_SQLITE):
            return f"{_SQLITE}{self._file.absolute()}"
        return without_password(self.url)

    @property
    def _file(self) -> Path:
        return Path(self.url.removeprefix(_SQLITE).removeprefix("//"))

    @property
    def is_missing(self) -> bool:
        """True for a file that is not there."""
        return self.url.startswith(_SQLITE) and not self._file.exists()

    def use(self, work: Callable[[Store], Awaitable[_T]], *, makes: bool = False, patience: float = PATIENCE) -> _T:
        """Return what *work* comes to, within so many seconds. With *makes* a file that is not there is made. Raises NoMemory."""
        if self.url == "none":
            raise NoMemory('nothing is remembered: store.url is "none"', NOTHING)
        if self.is_missing and not makes:
            raise NoMemory(
                f"nothing is remembered: there is no {self._file.absolute()}; name the configuration with -c, or the store with "
                "--store, and mind the folder, to which a name is relative",
                NOTHING,
            )
        try:
            store = store_of(self.config, self.url)
        except ValueError as wrong:
            raise NoMemory(str(wrong), USAGE) from None
        try:
            return asyncio.run(_used(store, work, patience))
        except (Away, Unsure) as fault:
            place = self.shown.removeprefix(_SQLITE)
            where = "" if place in str(fault) else f" ({self.shown})"
            raise NoMemory(f"the memory of clients{where} is away: {fault}", TRY_LATER) from None
        except TimeoutError:
            raise NoMemory(f"the memory of clients ({self.shown}) is away: no answer within {patience:.0f} s", TRY_LATER) from None


def memory_of(config: Config, url: str | None = None) -> Memory:
    """Return the memory of a configuration, or the one at *url*."""
    return Memory(config, url or config.store.url, time.time())


async def _used(store: Store, work: Callable[[Store], Awaitable[_T]], patience: float) -> _T:
    try:
        return await asyncio.wait_for(_awaited(work(store)), patience)
    finally:
        with suppress(TimeoutError):
            await asyncio.wait_for(store.close(), PATIENCE)


async def _awaited(work: Awaitable[_T]) -> _T:
    return await work
