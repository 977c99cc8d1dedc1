"""times - how long clients take to talk, to give up and to be done, as distributions.

What     A distribution can be drawn from (events.py) and tells what share is left after so many seconds (fluid.py). Both come from
         the same quantiles, so that neither is fitted to the other.
Source   TALK, LEAVE, SESSION, SPAM_SESSION: postscreen's log of a small server, March 2023. GIVE_UP: John DuBois, 2004, 109,285
         hosts that were made to wait 90 s; 95.6 % of all gave up, so the rest is put at "never".
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass

NEVER = 1e9


@dataclass(frozen=True)
class Times:
    """Seconds, as points (share that is over by then, seconds), with straight lines in between."""

    points: tuple[tuple[float, float], ...]

    def at(self, share: float) -> float:
        """Return the time by which *share* is over: with a random number from 0 to 1 this draws one."""
        place = bisect_right(self.points, (share, NEVER * 2))
        if place >= len(self.points):
            return self.points[-1][1]
        (low, early), (high, late) = self.points[max(0, place - 1)], self.points[place]
        return late if high <= low else early + (late - early) * (share - low) / (high - low)

    def left(self, after: float) -> float:
        """Return the share that is not over after so many seconds."""
        over = 0.0
        for (low, early), (high, late) in zip(self.points, self.points[1:], strict=False):
            if after >= late:
                over = high
            elif after > early:
                return 1 - (low + (high - low) * (after - early) / (late - early))
            else:
                break
        return 1 - over


def even(low: float, high: float) -> Times:
    """Return the times that are drawn evenly from a range."""
    return Times(((0.0, low), (1.0, high)))


TALK = Times(((0, 0), (0.01, 0.01), (0.1, 0.11), (0.5, 0.27), (0.9, 0.41), (0.95, 0.5), (0.99, 1.7), (0.999, 3.9), (1, 4.6)))
"""When early talkers talk, from the connection on."""
LEAVE = Times(((0, 0), (0.6, 0.05), (0.6, 1.3), (1, 5.2)))
"""When the impatient hang up; those of the first 0.05 s are scanners. The share of these is read off a log, and rough."""
SESSION = Times(((0, 0.1), (0.5, 0.58), (0.9, 3.1), (0.99, 15), (1, 60)))
"""From the greeting to the end of a session; a longest of 60 s is assumed."""
SPAM_SESSION = Times(((0, 0.1), (0.5, 3.3), (0.9, 10), (0.99, 54), (1, 120)))
"""The same, of clients on DNS lists that were silent in the hold."""
GIVE_UP = Times(
    (
        (0, 0),
        (0.034, 1),
        (0.044, 5),
        (0.080, 10),
        (0.206, 15),
        (0.349, 20),
        (0.603, 25),
        (0.831, 30),
        (0.860, 35),
        (0.902, 40),
        (0.918, 50),
        (0.939, 60),
        (0.952, 70),
        (0.956, 85),
        (0.956, NEVER),
        (1, NEVER),
    )
)
"""When patient bots give up, from the connection on."""


def area(left: Callable[[float], float], end: float, step: float) -> float:
    """Return the mean of what `left` is the share of, by the trapezium rule."""
    count = max(1, round(end / step))
    width = end / count
    return width * (0.5 * (left(0.0) + left(end)) + sum(left(number * width) for number in range(1, count)))


def together(left: Sequence[float], step: float, memory: float) -> float:
    """Return the double integral of left(u) left(v) exp(-|u-v| / memory): how much of a burst a crowd feels.

    With a rate that wavers with this memory and a variance of V, the number of those present has a variance of V times this
    beyond Poisson's.
    """
    fades = 2.718281828459045 ** (-step / memory)
    before = whole = 0.0
    for share in left:
        whole += share * (2 * before + share * step) * step
        before = (before + share * step) * fades
    return whole
