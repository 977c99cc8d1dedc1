"""result - what a check found, and what is to be done about it.

What      Outcomes of checks, reasons, the ladder of actions, and the verdict made of them.
Promises  Values only. A check yields an Outcome; only `judge` turns reasons into a Verdict.
Words     postscreen(8): PASS, FAIL, SKIP; ignore, enforce, drop. qpsmtpd: DENYSOFT = defer, DENY = reject, DENY_DISCONNECT = drop.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from typing import TypeAlias

from tarry.core.client import Phase
from tarry.smtp.reply import Reply


class Action(IntEnum):
    """What a reason leads to, mildest first. The order is the ladder: a stronger action is a greater number."""

    IGNORE = 0
    TAG = 1
    DELAY = 2
    DEFER = 3
    REJECT = 4
    DROP = 5

    @property
    def word(self) -> str:
        """The name as it stands in config files and records."""
        return _ACTION_WORDS[self]

    @property
    def refuses(self) -> bool:
        """True for the actions that send the client away: defer, reject and drop."""
        return self >= Action.DEFER


_ACTION_WORDS = tuple(action.name.lower() for action in Action)


@dataclass(frozen=True, slots=True)
class Reason:
    """One thing that speaks against a client. Reasons add up over the session.

    ``detail`` is text from the client: escaped, at most 100 characters. ``dt`` is in seconds since accept.
    """

    check: str
    code: str
    detail: str = ""
    weight: float = 1.0
    phase: Phase = Phase.HOLD
    dt: float = 0.0

    @property
    def name(self) -> str:
        """``check.code``, as reports and headers show it."""
        return f"{self.check}.{self.code}"


@dataclass(frozen=True, slots=True)
class Passed:
    """The client did what an honest client does."""


@dataclass(frozen=True, slots=True)
class Failed:
    """The client did what the check looks for. ``code`` is one of the codes that the check declares."""

    code: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Skipped:
    """The check did not look, on purpose."""

    why: str


@dataclass(frozen=True, slots=True)
class Unknown:
    """The check could not tell: facts missing, or it raised. Unknown is not Passed: it clears nobody and refuses nobody."""

    why: str


Outcome: TypeAlias = Passed | Failed | Skipped | Unknown

PASSED = Passed()


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the judge made of all reasons so far, for one phase.

    ``reply`` is set when the action refuses. ``reasons`` are those that count at this phase, the deciding one first.
    """

    action: Action = Action.IGNORE
    reasons: tuple[Reason, ...] = field(default=())
    reply: Reply | None = None


CLEAR = Verdict()
