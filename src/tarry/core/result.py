"""result - what a check found, and what is to be done about it.

What      Outcomes of checks, reasons, the ladder of actions, and the verdict made of them.
Promises  Values only. A check yields an Outcome; only `judge` turns reasons into a Verdict.
Words     postscreen(8): PASS, FAIL, SKIP; ignore, enforce, drop. qpsmtpd: DENYSOFT = defer, DENY = reject, DENY_DISCONNECT = drop.
"""

from __future__ import annotations

from enum import IntEnum
from typing import TypeAlias

import msgspec

from tarry.core.client import Phase
from tarry.smtp.reply import Reply


class Action(IntEnum):
    """What a reason leads to, mildest first. The order is the ladder: a stronger action is a greater number."""

    IGNORE = 0
    TAG = 1
    DELAY = 2
    DISCARD = 3
    DEFER = 4
    REJECT = 5
    DROP = 6

    @property
    def word(self) -> str:
        """The name as it stands in config files and records."""
        return _ACTION_WORDS[self]

    @property
    def refuses(self) -> bool:
        """True for the actions that send the client away: defer, reject and drop."""
        return self >= Action.DEFER


_ACTION_WORDS = tuple(action.name.lower() for action in Action)


class Reason(msgspec.Struct, frozen=True, gc=False):
    """One thing that speaks against a client, or with a weight below 0 for it. Reasons add up over the session.

    ``detail`` is text from the client: escaped, at most 100 characters. ``dt`` is in seconds since accept. ``subject`` tells
    reasons of the same check and code apart where there may be several: the public name of a DNS list.
    """

    check: str
    code: str
    detail: str = ""
    weight: float = 1.0
    phase: Phase = Phase.HOLD
    dt: float = 0.0
    subject: str = ""

    @property
    def name(self) -> str:
        """``check.code``, as reports and headers show it."""
        return f"{self.check}.{self.code}"


class Passed(msgspec.Struct, frozen=True):
    """The client did what an honest client does."""


class Failed(msgspec.Struct, frozen=True):
    """The client did, or is, what the check looks for. ``code`` is one of the codes that the check declares.

    ``subject`` as in `Reason`; ``weight`` where the finding has one of its own, None for the check's.
    """

    code: str
    detail: str = ""
    subject: str = ""
    weight: float | None = None


class Skipped(msgspec.Struct, frozen=True):
    """The check did not look, on purpose."""

    why: str


class Unknown(msgspec.Struct, frozen=True):
    """The check could not tell: facts missing, or it raised. Unknown is not Passed: it clears nobody and refuses nobody."""

    why: str


Outcome: TypeAlias = Passed | Failed | Skipped | Unknown

PASSED = Passed()


class Verdict(msgspec.Struct, frozen=True):
    """What the judge made of all reasons so far, for one phase.

    ``reply`` is set when the action refuses, or discards. ``reasons`` are those that count at this phase, the deciding one first.
    ``delaying`` are those that ask for a delay here; where none does and the score asks for it, those that make the score up.
    """

    action: Action = Action.IGNORE
    reasons: tuple[Reason, ...] = ()
    reply: Reply | None = None
    delaying: tuple[Reason, ...] = ()


CLEAR = Verdict()
