"""marks - wiring: what the operator said of clients by hand is brought to the door.

What      `Marks` puts together the files of exempt.files and deny.files and what `tarry clients allow` and `deny` left in the
          memory, and gives the door a new table when any of it changes, or ends, or the clock is set back.
Promises  A look each second costs one stat(2) for each file; what has changed is read in another thread. A file that becomes bad,
          or goes, leaves what was read of it before in force, and that is told once. What was said with `tarry clients` is the
          later word about the same network.
"""

from __future__ import annotations

import math
from asyncio import AbstractEventLoop, Future, TimerHandle
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from ipaddress import ip_network

from msgspec.structs import replace

from tarry.config.lists import Entry, File, Lists, Word, marked
from tarry.core.clock import Clock
from tarry.core.marked import Marked
from tarry.store import Mark

LOOK_EVERY = 1.0


class Marks:
    """What was said by hand. *on_marked* takes the table for the door; *on_trouble* a sentence about a file that is bad now."""

    def __init__(
        self,
        loop: AbstractEventLoop,
        clock: Clock,
        lists: Lists,
        on_marked: Callable[[Marked], None],
        on_trouble: Callable[[str], None],
    ) -> None:
        self._loop = loop
        self._clock = clock
        self._on_marked = on_marked
        self._on_trouble = on_trouble
        self._said: Sequence[Word] = ()
        self._told_at = 0.0
        self._ends_at = math.inf
        self._timer: TimerHandle | None = None
        self._reading: Future[Lists] | None = None
        self._lists = lists

    def start(self) -> None:
        """Tell what there is, and look each second from now on."""
        self._tell()
        self._look()

    def change(self, lists: Lists) -> None:
        """Go by the files of another configuration."""
        self._lists = lists
        self._tell()

    def said(self, marks: Sequence[Mark]) -> None:
        """The memory has these marks now."""
        self._said = list(words_of(marks))
        self._tell()

    def close(self) -> None:
        """Look no more."""
        if self._reading is not None:
            self._reading.cancel()
        if self._timer is not None:
            self._timer.cancel()

    def _look(self) -> None:
        self._timer = self._loop.call_later(LOOK_EVERY, self._look)  # first: a fault below ends this look and no other
        if self._reading is None and self._lists.has_changed():
            self._reading = self._loop.run_in_executor(None, self._lists.again)  # a long list takes most of a second
            self._reading.add_done_callback(partial(self._take, self._lists))
        elif not self._told_at <= self._clock.wall() < self._ends_at:  # one has ended, or the clock was set back, and it has not
            self._tell()

    def _take(self, was: Lists, reading: Future[Lists]) -> None:
        self._reading = None
        if self._lists is was and not reading.cancelled():  # else they are those of another configuration by now
            self._lists = Lists(tuple(map(self._better, was.files, reading.result().files)))
            self._tell()

    def _better(self, was: File, now: File) -> File:
        """Return a file as it is now, or where it has become bad as it was, with its new stamp: it is told once."""
        errors = [problem for problem in now.read.problems if problem.is_error]
        if now is was or not errors:
            return now
        self._on_trouble(f"{now.named}: what was read of it before stays in force: {errors[0]}")
        return replace(now, read=was.read)

    def _tell(self) -> None:
        self._told_at = now = self._clock.wall()
        words = [*self._lists.words, *self._said]
        self._ends_at = min((entry.until for entry, _ in words if entry.until > now), default=math.inf)
        self._on_marked(marked(words, now))


def words_of(marks: Iterable[Mark]) -> Iterator[Word]:
    """Yield what marks say; those of a later version, or of somebody else, that name no network are passed over."""
    for mark in marks:
        with suppress(ValueError):
            yield Entry(ip_network(mark.what), mark.until), mark.action == "allow"
