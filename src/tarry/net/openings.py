"""openings - how many connections to the MTA are being opened at one moment.

What      `Openings` lets some begin at once and the others in their turn. An opening ends with the MTA's first words, or with the
          connection; one that takes longer than LONGEST makes room all the same, for an MTA that is slow to greet.
Why       Clients that are let go together (a hold that ends for many, a flood) came to the MTA in one moment. What does not fit in
          its accept queue, 10 with Sendmail and 100 with Postfix, is dropped there by the kernel, and the client behind it
          waits for seconds, or gets 421, while the MTA has nothing to do.
Promises  First come, first served. MOST at once, and never fewer than MOST each LONGEST seconds: an MTA that greets within a
          moment is asked as fast as it answers. Where there is no crowd nothing is put off and no timer is set.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from tarry.core.clock import Clock

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop, TimerHandle

MOST = 10
"""Sendmail's accept queue. With 20 of them 25 to 45 of a crowd of 300 were dropped there, and the crowd took 1.6 s and not 0.6."""
LONGEST = 0.05
"""Seconds. 200 connections a second can be opened to an MTA that takes its time."""
_LATE = 0.001


class Opening:
    """One of them. ``begin`` is called when it has its turn, at ``at``; ``tries`` is 1 for the first one of a command."""

    __slots__ = ("at", "begin", "is_over", "tries")

    def __init__(self, begin: Callable[[], None], tries: int = 1) -> None:
        self.begin = begin
        self.tries = tries
        self.at = 0.0
        self.is_over = False


class Openings:
    """The connections that are being opened to one MTA."""

    def __init__(self, loop: AbstractEventLoop, clock: Clock) -> None:
        self._loop = loop
        self._clock = clock
        self._open: dict[Opening, None] = {}  # in the order in which they began
        self._waiting: dict[Opening, None] = {}
        self._timer: TimerHandle | None = None

    def begin(self, opening: Opening) -> None:
        """Let it begin now, or as soon as there is room."""
        if self._waiting or not self._has_room():
            self._waiting[opening] = None
            self._arm()
        else:
            self._let(opening)

    def end(self, opening: Opening) -> None:
        """The MTA has greeted, or it came to nothing, or is not wanted any more."""
        if not opening.is_over:
            opening.is_over = True
            self._waiting.pop(opening, None)
            self._open.pop(opening, None)
            self._go_on()

    def _let(self, opening: Opening) -> None:
        opening.at = self._clock.monotonic()
        self._open[opening] = None
        opening.begin()

    def _has_room(self) -> bool:
        if len(self._open) < MOST:
            return True
        first = next(iter(self._open))
        if self._clock.monotonic() - first.at < LONGEST:
            return False
        del self._open[first]
        return True

    def _go_on(self) -> None:
        while self._waiting and self._has_room():
            opening = next(iter(self._waiting))
            del self._waiting[opening]
            self._let(opening)
        if self._waiting:
            self._arm()

    def _arm(self) -> None:
        if self._timer is None:
            first = next(iter(self._open))
            left = first.at + LONGEST - self._clock.monotonic()
            self._timer = self._loop.call_later(max(0.0, left) + _LATE, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        self._go_on()
