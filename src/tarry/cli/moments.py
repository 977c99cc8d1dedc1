"""moments - points in time and lengths, in words for a person.

Promises  Points in time are told in UTC and say so; what was, or will be, comes with how long ago it was or how far off it is. Two
          places at most, so that it stays readable: "3 days", "2 h", "5 min", "0.3 s".
"""

from __future__ import annotations

import math
import time

_UNITS = ((86400.0, "day", "days"), (3600.0, "h", "h"), (60.0, "min", "min"))
_LAST = 253402300799.0  # the end of the year 9999


def at(t: float) -> str:
    """Return UTC epoch seconds as a date and a time to the minute."""
    if not 0 <= t <= _LAST:
        return "a time that no clock shows"
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(t))


def to_the_second(t: float) -> str:
    """Return UTC epoch seconds as a date and a time to the second."""
    if not 0 <= t <= _LAST:
        return "a time that no clock shows"
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(t))


def iso(t: float) -> str:
    """Return UTC epoch seconds as programs read them."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(min(max(t, 0.0), _LAST)))


def length(seconds: float) -> str:
    """Return a length in the largest unit of which there is at least one; what is left over is not told.

    A twentieth that is missing makes no difference: what was to be in 30 days is so a minute later.
    """
    if not math.isfinite(seconds):
        return "ever"
    for size, one, many in _UNITS:
        count = int(seconds / size + 0.05)
        if count:
            return f"{count:,} {one if count == 1 else many}"
    return f"{seconds:.1f} s" if seconds < 10 else f"{int(seconds)} s"


def ago(t: float, now: float) -> str:
    """Return how long ago *t* was; a clock that is ahead, on another host, is now."""
    return "now" if now - t < 1 else f"{length(now - t)} ago"


def ahead(t: float, now: float) -> str:
    """Return how far off *t* is."""
    return "now" if t - now < 1 else f"in {length(t - now)}"
