"""policy - the operator's configuration, compiled for the core.

What      Plain values with every duration in seconds. config/compile makes them from a checked configuration; a session
          keeps the one it began with.
Units     Seconds and octets throughout; a `Span` is drawn from anew for each client.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import msgspec

from tarry.core.admission import Networks
from tarry.core.border import Answered, Due, Moment
from tarry.core.check import Armed, by_kind, by_trigger, may_ask
from tarry.core.client import Phase
from tarry.core.facts import Kind
from tarry.core.result import Action

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
        return self.low if self.high <= self.low else self.at(random())

    def at(self, share: float) -> float:
        """Return the length at *share* of the way, from 0 to 1."""
        return self.low + (self.high - self.low) * share


class Score(msgspec.Struct, frozen=True):
    """Sums of weights from which on an action is taken, at ``at`` or later, whatever the single reasons ask; 0 = never.

    ``allow`` is a sum below 0, at or below which the client is taken for allow-listed.
    """

    delay: float = 1.0
    defer: float = 0.0
    reject: float = 0.0
    drop: float = 0.0
    allow: float = -1.0
    at: Phase = Phase.RCPT


class HoldClass(msgspec.Struct, frozen=True):
    """Clients with a wait of their own. Whoever meets one of the conditions is of the class; everybody, where it has none.

    ``reasons`` are names of reasons, or of checks; ``allowed`` are those that allow lists speak for, ``unknown`` those that nothing
    speaks for or against.
    """

    name: str
    wait: Span
    networks: Networks = Networks()
    patterns: tuple[re.Pattern[str], ...] = ()
    reasons: frozenset[str] = frozenset()
    allowed: bool = False
    unknown: bool = False

    @property
    def looks_at_facts(self) -> bool:
        """True where the class depends on more than the address."""
        return bool(self.reasons) or self.allowed or self.unknown


class Delay(msgspec.Struct, frozen=True):
    """Residual delay: the time since accept that a client with a reason to be delayed is to have waited, and where, in seconds.

    ``per_reason`` is added for each reason beyond the first; all delays of a session come to at most ``session_cap``. A held reply
    goes out an octet at a time, one each ``reply_pace``, to at most ``reply_pace_clients`` clients at once.
    """

    target: Span = Span(60.0, 290.0)
    at: Phase = Phase.RCPT
    per_reason: float = 0.0
    session_cap: float = 290.0
    reply_pace: float = 0.0
    reply_pace_clients: int = 100


class Tarpit(msgspec.Struct, frozen=True):
    """Hold before the n-th reply of a kind, n > free, in seconds: step * n, or start * factor ** (n - free - 1), at most cap.

    Both 0 switch it off. ``say`` stands in place of the MTA's own text after a 250, for more than ``say_after`` of the kind.
    """

    free: int
    step: float = 0.0
    cap: float = 300.0
    start: float = 0.0
    factor: float = 1.0
    say: str = ""
    say_after: int = 0


class Tarpits(msgspec.Struct, frozen=True):
    """One for each kind of command, for error replies (500 to 504, 555), and for recipients that the MTA refused."""

    rcpt: Tarpit = Tarpit(5)
    rset: Tarpit = Tarpit(4)
    noop: Tarpit = Tarpit(4)
    mail: Tarpit = Tarpit(5)
    error: Tarpit = Tarpit(3)
    refused: Tarpit = Tarpit(3)


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
    classes: tuple[HoldClass, ...] = ()
    data_wait: Span = Span(0.0, 0.0)
    teaser: str = ""
    end_early: bool = True
    delay: Delay = Delay()
    tarpits: Tarpits = Tarpits()
    park_after: float = 20.0
    limits: Limits = Limits()
    normalize: bool = True
    insert_headers: bool = False
    record_paths: bool = True
    record_all: bool = True
    observe: bool = False
    help_url: str = ""
    dns_timeout: float = 3.0
    triggers: Mapping[type[Moment], tuple[Armed, ...]] = field(init=False)
    heeding: Mapping[Kind, tuple[Armed, ...]] = field(init=False)
    """The checks that look at the answers to a kind of question."""
    armed: Mapping[str, Armed] = field(init=False)
    asking: tuple[Armed, ...] = field(init=False)
    """The checks that may have questions."""
    has_classes_by_facts: bool = field(init=False)
    silent: frozenset[str] = field(init=False)
    """The checks that a client passes by waiting."""
    heeds_every_answer: bool = field(init=False)
    """True where not only a listing may end a hold: a check of answers speaks for clients by its weight, or refuses in the hold."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "triggers", by_trigger(self.checks))
        object.__setattr__(self, "heeding", by_kind(self.triggers.get(Answered, ())))
        object.__setattr__(self, "armed", {one.name: one for one in self.checks})
        object.__setattr__(self, "asking", tuple(one for one in self.checks if may_ask(one)))
        silent = frozenset(one.name for one in self.triggers.get(Due, ()) if one.settings.has_effect)
        object.__setattr__(self, "silent", silent)
        object.__setattr__(self, "has_classes_by_facts", any(one.looks_at_facts for one in self.classes))
        object.__setattr__(self, "heeds_every_answer", any(_may_end_a_hold(one) for one in self.triggers.get(Answered, ())))


def looking_at(moment: Moment, policy: Policy) -> tuple[Armed, ...]:
    """Return the checks that a moment concerns."""
    if isinstance(moment, Answered):
        return policy.heeding[moment.answer.question.kind]
    return policy.triggers.get(type(moment), ())


def _may_end_a_hold(armed: Armed) -> bool:
    settings = armed.settings
    refuses = max(settings.action, *settings.codes.values(), Action.IGNORE).refuses
    return settings.has_effect and (settings.weight < 0 or (refuses and (settings.at is None or settings.at <= Phase.HOLD)))
