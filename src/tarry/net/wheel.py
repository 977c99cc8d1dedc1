"""wheel - many deadlines, one timer.

What      Deadlines in buckets of TICK seconds, and one timer of the event loop for the earliest bucket.
Promises  An entry never comes early, and at most a tick and a millisecond plus the loop's own lateness late. Adding one costs an
          append; removing none: the owner tells stale entries by their number. A crowd that is due at once is handed out in
          slices, so that it cannot keep the loop from accepting and reading. A fault with one of them is no other's.
Why       10,000 timer objects of an event loop cost more than the clients they belong to; a bucket entry is 8 bytes.
"""

from __future__ import annotations

import heapq
from array import array
from collections.abc import Callable
from typing import TYPE_CHECKING

from tarry.core.clock import Clock

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop, TimerHandle

TICK = 0.005
_TICK_MS = 5
FD_BITS = 24
FD_MASK = (1 << FD_BITS) - 1
"""An entry of those who hold sockets: a number that is used once, above a descriptor, which is used again."""
_SLICE = 256
_NEVER = 1 << 62


class Wheel:
    """Deadlines of one room. ``on_due`` is called with each entry when its time has come."""

    def __init__(self, loop: AbstractEventLoop, clock: Clock, on_due: Callable[[int], None]) -> None:
        self._loop = loop
        self._clock = clock
        self._on_due = on_due
        self._buckets: dict[int, array[int]] = {}
        self._ticks: list[int] = []  # a heap of the buckets' keys
        self._timer: TimerHandle | None = None
        self._timer_tick = _NEVER

    def add(self, at: float, entry: int) -> None:
        """Call ``on_due(entry)`` at *at* (monotonic seconds) or up to a tick later. *entry* fits in 64 bits."""
        tick = int(at / TICK) + 1
        bucket = self._buckets.get(tick)
        if bucket is None:
            self._buckets[tick] = bucket = array("Q")
            heapq.heappush(self._ticks, tick)
            if tick < self._timer_tick:
                self._arm(tick)
        bucket.append(entry)

    def close(self) -> None:
        """Forget all entries."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer, self._timer_tick = None, _NEVER
        self._buckets.clear()
        self._ticks.clear()

    def _arm(self, tick: int) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer_tick = tick
        # In whole milliseconds, from the last whole one, as libuv counts: the deadline is one of them, so the timer is not early.
        # Told the exact delay, uvloop rounds it, and comes up to 1.5 ms early, or at once again and again for the last half a
        # millisecond: 13 turns of the loop for each client at 200 a second (uvloop 0.23).
        delay_ms = tick * _TICK_MS - int(self._clock.monotonic() * 1000)
        self._timer = self._loop.call_later(max(0, delay_ms) / 1000, self._turn)

    def _turn(self) -> None:
        self._timer, self._timer_tick = None, _NEVER
        now_tick = int(self._clock.monotonic() * 1000) // _TICK_MS
        room = _SLICE
        while self._ticks and self._ticks[0] <= now_tick and room > 0:
            bucket = self._buckets[self._ticks[0]]
            due = bucket[-room:]
            del bucket[-room:]
            if not bucket:
                del self._buckets[heapq.heappop(self._ticks)]
            room -= len(due)
            for entry in due:
                try:
                    self._on_due(entry)
                except Exception as fault:  # our bug: it would take up to _SLICE others with it, who have no other deadline
                    self._loop.call_exception_handler({"message": "a deadline ends in a fault of tarry itself", "exception": fault})
        if self._ticks and self._ticks[0] < self._timer_tick:  # `on_due` may have added one and set the timer for it
            self._arm(self._ticks[0])
