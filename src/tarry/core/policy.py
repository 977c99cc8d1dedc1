"""policy - the operator's configuration, compiled for the core.

What      Plain values with every duration in seconds. config/compile makes them from a checked configuration; a session
          keeps the one it began with.
Units     Seconds and octets throughout; a `Span` is drawn from anew for each client.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import msgspec

from tarry.core.border import Moment
from tarry.core.check import Armed, by_trigger
from tarry.core.client import Phase

LONGEST_HOLD = 295.0
"""Seconds. RFC 5321 §4.5.3.2.1 gives the greeting 5 minutes; 5 s are left for the way there and back."""

Random = Callable[[], float]
"""Gives a number in [0, 1), as `random.random` does."""


class Span(msgspec.Struct, frozen=True):
    """A length of time, or a range of them ("4s..9s"), in seconds."""

    low: float
    high: float

    def draw(self, random: Random) -> float:
        """Draw one length, uniformly. A range, so that no sender can learn the number (A. Flavell, 2004)."""
        return self.low if self.high <= self.low else self.low + (self.high - self.low) * random()


class Score(msgspec.Struct, frozen=True):
    """Sums of weights from which on an action is taken whatever the single reasons ask; 0 = never."""

    delay: float = 1.0
    reject: float = 0.0


class Delay(msgspec.Struct, frozen=True):
    """Residual delay: the time since accept that a client with a reason to be delayed is to have waited, and where."""

    target: Span = Span(60.0, 290.0)
    at: Phase = Phase.RCPT


class Tarpit(msgspec.Struct, frozen=True):
    """Hold before the n-th reply of a kind, n > free: step * n, at most cap, in seconds. step 0 switches it off."""

    free: int
    step: float = 0.0
    cap: float = 300.0


class Limits(msgspec.Struct, frozen=True):
    """Deadlines in seconds and sizes in octets; see config/schema for what each means to the operator."""

    command: float = 300.0
    data: float = 600.0
    backend: float = 30.0
    message: float = 600.0
    handshake: float = 30.0
    line: int = 2048
    recipients: int = 1000


@dataclass(frozen=True, slots=True)
class Policy:
    """All that the core decides by. ``park_after``: a hold in mid-session of more seconds gives up the MTA's connection."""

    checks: tuple[Armed, ...] = ()
    score: Score = Score()
    wait: Span = Span(3.0, 6.0)
    data_wait: Span = Span(0.0, 0.0)
    teaser: str = ""
    end_early: bool = True
    delay: Delay = Delay()
    tarpit_rcpt: Tarpit = Tarpit(5)
    tarpit_rset: Tarpit = Tarpit(4)
    park_after: float = 20.0
    limits: Limits = Limits()
    normalize: bool = True
    insert_headers: bool = False
    record_paths: bool = True
    record_all: bool = True
    observe: bool = False
    triggers: Mapping[type[Moment], tuple[Armed, ...]] = field(init=False)
    armed: Mapping[str, Armed] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "triggers", by_trigger(self.checks))
        object.__setattr__(self, "armed", {one.name: one for one in self.checks})
