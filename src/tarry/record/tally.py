"""tally - what many sessions add up to: the figures of `tarry status` and /metrics.

What      `Tally` takes the closing lines of sessions (`close`), one by one; two tallies add up to one. A `Histogram` counts how
          many of some lengths of time are at most so long.
Promises  No figure comes from anywhere else, so the fold of a record file is, to the last digit, what the daemon tells of the same
          sessions. Addition is exact and its order does not matter: times are summed in whole microseconds, which is what the
          record is rounded to. The size is bounded whatever clients send: no address, name or text of theirs is a label, and
          beyond `MOST_REASONS` reasons the rest is one, `OTHER`.
Cost      See docs/performance.md: a microsecond or two a session.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from functools import partial

import msgspec

from tarry.record.schema import Close

MOST_REASONS = 200
"""How many reasons (``check.code``) are told apart. The built-in checks have some sixty; the rest is room for own checks."""
MOST_WORDS = 20
"""How many endings, phases and actions are told apart: each has fewer than ten, and a record of a later version may have more."""
OTHER = "other"

WAITS = (0.1, 0.25, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 15.0, 20.0, 30.0, 45.0, 60.0, 120.0, 300.0)
"""Seconds: fine where holds of 2 to 6 s end, and up to the five minutes that RFC 5321 §4.5.3.2.1 gives a greeting."""
DELAYS = (1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0)
"""Seconds that tarpits and residual delays come to in one session."""
LATENCIES = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""Seconds from asking the MTA to its EHLO reply, or until it had the client."""


class Histogram(msgspec.Struct):
    """How many lengths were at most each of ``bounds`` seconds, each counted once, and how many were longer (the last count)."""

    bounds: tuple[float, ...]
    counts: list[int]
    microseconds: int = 0

    @classmethod
    def of(cls, bounds: tuple[float, ...]) -> Histogram:
        return cls(bounds, [0] * (len(bounds) + 1))

    @property
    def count(self) -> int:
        return sum(self.counts)

    @property
    def seconds(self) -> float:
        """All lengths together."""
        return self.microseconds / 1e6

    def add(self, seconds: float) -> None:
        self.counts[bisect_left(self.bounds, seconds)] += 1
        self.microseconds += round(seconds * 1e6)

    def __add__(self, other: Histogram) -> Histogram:
        """Return both as one. Raises ValueError where their bounds differ."""
        counts = [ours + theirs for ours, theirs in zip(self.counts, other.counts, strict=True)]
        if self.bounds != other.bounds:
            raise ValueError("histograms with other bounds do not add up")
        return Histogram(self.bounds, counts, self.microseconds + other.microseconds)


class Tally(msgspec.Struct):
    """The sum over some sessions.

    ``ended`` counts sessions by who ended them and, within that, by the phase that they came to; ``actions`` by the strongest
    action of their verdicts, carried out or (``observed``) not; ``reasons`` in how many sessions each was found. ``early`` is how
    long clients waited before they talked too early, ``gave_up`` before they left without a greeting, or closed their
    side and said nothing; ``held`` how long those who heard the greeting had been held, ``delayed`` how long those who were delayed
    in session were; ``mta`` how long the MTA took.
    """

    ended: dict[str, dict[str, int]] = {}
    actions: dict[str, int] = {}
    reasons: dict[str, int] = {}
    greeted: int = 0
    observed: int = 0
    messages: int = 0
    messages_refused: int = 0
    discarded: int = 0
    rcpts: int = 0
    rcpts_accepted: int = 0
    tls: int = 0
    logins: int = 0
    octets: int = 0
    early: Histogram = msgspec.field(default_factory=partial(Histogram.of, WAITS))
    gave_up: Histogram = msgspec.field(default_factory=partial(Histogram.of, WAITS))
    held: Histogram = msgspec.field(default_factory=partial(Histogram.of, WAITS))
    delayed: Histogram = msgspec.field(default_factory=partial(Histogram.of, DELAYS))
    mta: Histogram = msgspec.field(default_factory=partial(Histogram.of, LATENCIES))

    @property
    def sessions(self) -> int:
        """How many sessions there were."""
        return sum(sum(phases.values()) for phases in self.ended.values())

    def add(self, close: Close) -> None:
        """Count one session. What most sessions have not is passed over with one comparison."""
        _count(_phases(self.ended, close.ended), close.phase, 1, MOST_WORDS)
        _count(self.actions, close.action, 1, MOST_WORDS)
        if close.reasons:
            for reason in dict.fromkeys(close.reasons):
                _count(self.reasons, reason, 1, MOST_REASONS)
        if close.early is not None:
            self.early.add(close.early)
        if close.greeted:
            self.greeted += 1
        if close.hangup is not None and close.hangup <= close.held and not close.commands:
            # It had gone before it was greeted. A FIN alone does not say so: the hold goes on, and the greeting goes nowhere.
            self.gave_up.add(close.hangup)
        elif close.greeted:
            self.held.add(close.held)
        if close.mta_ms is not None:
            self.mta.add(close.mta_ms / 1000)
        if close.delayed:
            self.delayed.add(close.delayed)
        if close.observed:
            self.observed += 1
        if close.tls:
            self.tls += 1
        if close.commands:
            self._add_talk(close)

    def _add_talk(self, close: Close) -> None:
        """Count what only a session with commands has."""
        if close.login:
            self.logins += 1
        self.rcpts += close.rcpts
        self.rcpts_accepted += close.rcpts_accepted
        self.octets += close.octets
        self.messages += close.messages
        self.messages_refused += close.messages_refused
        self.discarded += close.discarded

    def __add__(self, other: Tally) -> Tally:
        """Return both as one; neither is changed."""
        ended: dict[str, dict[str, int]] = {}
        for each in (self.ended, other.ended):
            for word, phases in each.items():
                into = _phases(ended, word)
                for phase, number in phases.items():
                    _count(into, phase, number, MOST_WORDS)
        return Tally(
            ended,
            _merged(self.actions, other.actions, MOST_WORDS),
            _merged(self.reasons, other.reasons, MOST_REASONS),
            *(getattr(self, name) + getattr(other, name) for name in _SUMS),
        )


_SUMS = Tally.__struct_fields__[3:]
"""What adds up by +: all but the tables."""


def _phases(ended: dict[str, dict[str, int]], word: str) -> dict[str, int]:
    phases = ended.get(word)
    return ended.setdefault(word if len(ended) < MOST_WORDS else OTHER, {}) if phases is None else phases


def _count(table: dict[str, int], word: str, number: int, most: int) -> None:
    if word in table:
        table[word] += number
    elif len(table) < most:
        table[word] = number
    else:
        table[OTHER] = table.get(OTHER, 0) + number


def _merged(ours: dict[str, int], theirs: dict[str, int], most: int) -> dict[str, int]:
    merged = dict(ours)
    for word, number in theirs.items():
        _count(merged, word, number, most)
    return merged


def tally(closings: Iterable[Close]) -> Tally:
    """Return what these sessions add up to."""
    total = Tally()
    for close in closings:
        total.add(close)
    return total
