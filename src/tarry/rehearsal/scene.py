"""scene - what time it is in a rehearsal, what is still to come, and what has happened.

What      `Scene` keeps the client's own plans (early talk, hanging up) and the answers that are on their way, each with its time,
          and leaps from one to the next. What happens is kept in order. A `Caller` has no plans: it acts by what it hears.
Time      Seconds since the client connected. An answer comes ``ms`` after its question was first asked; all else takes no time.
Not here  What follows from anything: play.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol, TypeAlias

import msgspec

from tarry.core.facts import Answer, Question
from tarry.record import schema
from tarry.rehearsal.given import Look
from tarry.rehearsal.visit import MOST, Early, Visit
from tarry.smtp.text import evidence


class Did(msgspec.Struct, frozen=True):
    """The client did something: what it said, or in words. ``is_early``: it was not its turn."""

    what: str
    is_early: bool = False


class Teaser(msgspec.Struct, frozen=True):
    """The first line of the greeting was sent at once."""

    text: str


class GaveAway(msgspec.Struct, frozen=True):
    """The client itself was given to the MTA."""


Event: TypeAlias = schema.SessionEvent | Did | Teaser | GaveAway


class Happened(msgspec.Struct, frozen=True):
    """One thing, ``at`` seconds after the client connected."""

    at: float
    event: Event


class Left(msgspec.Struct, frozen=True):
    """The client hung up."""


class Over(msgspec.Struct, frozen=True):
    """The time until which nothing else was to come."""


Next: TypeAlias = Answer | Early | Left | Over


class Caller(Protocol):
    """A client that decides for itself what it does, and when; it takes the place of the visit's plans and dialogue."""

    @property
    def acts_at(self) -> float:
        """When it does something unless it hears something before; infinite for never."""

    def act(self, now: float) -> bytes | None:
        """Return what it says now: nothing (None), or that it says no more (empty): it closes its side."""

    def hear(self, data: bytes, now: float) -> None:
        """It is told this. What it does then it does when it is asked to `act`."""

    def closed(self, now: float) -> None:
        """The connection is over."""


class Scene:
    """One client's time. ``gone_at`` is when it hung up, if it has."""

    def __init__(self, visit: Visit, look: Look, caller: Caller | None = None) -> None:
        self.now = 0.0
        self.happened: list[Happened] = []
        self.gone_at: float | None = None
        self._look = look
        self._caller = caller
        self._early = sorted(visit.early, key=lambda one: one.at)
        self._leaves_at = math.inf if visit.leaves is None else visit.leaves
        self._known: dict[Question, tuple[float, Answer]] = {}  # each with when it comes
        self._coming: list[tuple[float, Answer]] = []

    @property
    def has_left(self) -> bool:
        """True when the client has hung up."""
        return self.gone_at is not None

    @property
    def is_for_caller(self) -> bool:
        """True when the client decides for itself, so that nobody else knows whether it has more to say."""
        return self._caller is not None

    @property
    def unsaid(self) -> int:
        """How many times the client was to talk early, and has not."""
        return len(self._early)

    def tell(self, event: Event) -> None:
        """Something happens now."""
        self.happened.append(Happened(round(self.now, 6), event))

    def hear(self, data: bytes) -> None:
        """The client is told this, if it listens."""
        if self._caller is not None:
            self._caller.hear(data, self.now)

    def close(self) -> None:
        """The connection is over."""
        if self._caller is not None:
            self._caller.closed(self.now)

    def ask(self, questions: Sequence[Question]) -> None:
        """Have questions answered. One that was asked before is answered when that answer comes, at once where it has come."""
        new = [question for question in questions if question not in self._known]
        for answer in self._look(new) if new else ():
            self._known[answer.question] = (self.now + answer.ms / 1000, answer)
        for question in questions:
            at, answer = self._known[question]
            self._coming.append((max(self.now, at), answer))
        self._coming.sort(key=lambda one: one[0])

    def hear_no_more(self) -> None:
        """Nobody waits any more for the answers that are on their way; they may be asked for anew."""
        self._coming.clear()

    def leap(self, until: float) -> Next:
        """Go on to what comes next, and return it; at *until* (infinite for never) that is `Over`."""
        answer_at = self._coming[0][0] if self._coming else math.inf
        early_at = self._early[0].at if self._early and not self.has_left else math.inf
        leaves_at = math.inf if self.has_left else self._leaves_at
        first = min(answer_at, early_at, leaves_at, until)
        if self._caller is not None and (happened := self._called(self._caller, first)) is not None:
            return happened
        if first == math.inf:
            return Over()
        self.now = max(self.now, first)
        if first == early_at:  # before an answer of the same moment: early bytes count to the last
            early = self._early.pop(0)
            self.tell(Did(f'"{evidence(early.data)}"', is_early=True))
            return early
        if first == answer_at:
            return self._coming.pop(0)[1]
        if first == leaves_at:
            self.tell(Did("hangs up"))
            self.gone_at = self.now
            return Left()
        return Over()

    def _called(self, caller: Caller, until: float) -> Early | Left | None:
        """Let the caller act, and return the first that is seen of it; None where it does nothing before *until*."""
        for _ in range(MOST):
            if (at := caller.acts_at) > until or at == math.inf:
                return None
            self.now = max(self.now, at)
            said = caller.act(self.now)
            if said:
                self.tell(Did(f'"{evidence(said)}"', is_early=True))
                return Early(self.now, said)
            if said is not None:
                self.tell(Did("hangs up"))
                self.gone_at = self.now
                return Left()
        raise AssertionError("a caller that acts without end and says nothing")
