"""clock - time as a number.

What      The unit of time, the protocol that a clock fulfils, and the manual clock that tests use.
Promises  Nothing below the shell reads the time: every function that needs it takes `now`, a point on a monotonic clock.
Not here  The system clock: tarry/clocks.
"""

from __future__ import annotations

from typing import NewType, Protocol

Seconds = NewType("Seconds", float)
"""A length of time, or a point on a monotonic clock when the name ends in ``_at`` or is ``now``."""


class Clock(Protocol):
    """What the shell provides: two readings of time."""

    def monotonic(self) -> float:
        """Return seconds from an arbitrary start; never goes back."""

    def wall(self) -> float:
        """Return UTC seconds since the epoch; may jump."""


class ManualClock:
    """A clock that moves only when told; the one that tests and `replay` use."""

    def __init__(self, monotonic: float = 0.0, wall: float = 1_700_000_000.0) -> None:
        self._monotonic = monotonic
        self._wall = wall

    def monotonic(self) -> float:
        return self._monotonic

    def wall(self) -> float:
        return self._wall

    def advance(self, seconds: float) -> float:
        """Move both readings forward and return the new monotonic one. Raises ValueError for a negative step."""
        if seconds < 0:
            raise ValueError("a monotonic clock never goes back")
        self._monotonic += seconds
        self._wall += seconds
        return self._monotonic
