"""karma - what a session counts for the client that made it.

What      `Rule`: a thing that may happen in a session, the points that it brings, and the sentence that explains it; `points`, what
          the closing line of a session comes to under the rules; `change`, what is to be remembered of it.
Promises  Pure; made of the closing line and nothing else, so that it can be worked out again from the log. A rule counts once a
          session, whatever the number of times. A hang-up brings nothing unless a rule says so: it is never punished.
Source    qpsmtpd: an early talker loses 1, a client whose good sessions outweigh the bad ones by more than 5 is not held; Haraka's
          karma.ini, from which the order of the penalties is taken.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import msgspec

from tarry.core.history import Change, Pass, Visit, key_of
from tarry.record.schema import Close

_OWN = "karma."
"""Reasons that come of what is remembered already: they are not remembered again."""


class Rule(msgspec.Struct, frozen=True):
    """``on`` is an event of `EVENTS`, the name of a check, or of a reason (``check.code``)."""

    on: str
    points: float
    why: str = ""


EVENTS: Mapping[str, tuple[str, Callable[[Close], bool]]] = {
    "delivered": ("the MTA took a message of it", lambda close: close.messages > 0),
    "login": ("it logged in (AUTH)", lambda close: close.login),
    "message_refused": ("the MTA refused a message of it with 5xx", lambda close: close.messages_refused > 0),
    "none_accepted": ("it named recipients, and the MTA took none of them", lambda close: close.rcpts > 0 == close.rcpts_accepted),
    "left": ("it hung up before the greeting", lambda close: close.hangup is not None and not close.greeted),
    "refused": ("tarry refused it", lambda close: close.is_refused),
}
"""What a rule may be about besides checks and reasons: what it means, and whether it happened."""


def points(close: Close, rules: Sequence[Rule]) -> tuple[tuple[Rule, ...], float]:
    """Return the rules that a session meets, and the sum of their points."""
    names = {*close.reasons, *(reason.partition(".")[0] for reason in close.reasons)}
    met = tuple(rule for rule in rules if (EVENTS[rule.on][1](close) if rule.on in EVENTS else rule.on in names))
    return met, sum(rule.points for rule in met)


def changes(close: Close, id: str, at: float, rules: Sequence[Rule], remember: Mapping[str, float]) -> tuple[Change, ...]:
    """Return what a session that ended at *at* adds to the entry of its address, and to that of its domain if it has one; nothing
    where it neither brought anything nor did anything, so that a scan of silent connections leaves no trace. A reason that was
    found of a thousand senders is there once.

    *remember* says for how many seconds a pass of each check is remembered; of one that is missing, or 0, it is not.
    """
    _, sum_of_points = points(close, rules)
    failed = close.action != "ignore"
    reasons = tuple(reason for reason in dict.fromkeys(close.reasons) if not reason.startswith(_OWN))
    passes = () if failed else tuple(Pass(check, at + remember[check]) for check in close.passed if remember.get(check, 0.0) > 0)
    if not (sum_of_points or passes or reasons or close.messages):
        return ()
    visit = Visit(at, id, close.action, sum_of_points)
    refused = int(close.is_refused)
    own = Change(key_of(close.client), at, sum_of_points, close.messages, refused, close.domain, failed, passes, reasons, visit)
    if not close.domain:
        return (own,)
    return own, msgspec.structs.replace(own, key=close.domain, domain="", voids=False, passes=())
