"""hold - one client before its greeting.

What      A step function: what happened to a held client in, its new state and the effects out.
Promises  Pure: the same arguments give the same answer, and `replay` depends on it. A hold ends in exactly one of Greet, Refuse
          and Forget. A client that half-closes is still held; one that resets is gone. A hang-up is recorded and never punished:
          it is the survival event.
Not here  Drawing the wait, peeking, the timer: net/waiting_room.
Source    RFC 5321 §4.3.1; postscreen's early tests; DESIGN §3.
"""

from __future__ import annotations

from typing import NamedTuple, assert_never

from tarry.core.border import Due, Emit, Forget, Greet, HoldEffect, HoldInput, HungUp, Readable, Refuse
from tarry.core.check import Seen
from tarry.core.client import Phase
from tarry.core.finding import ask, verdict_event
from tarry.core.judge import judge
from tarry.core.policy import Policy
from tarry.core.result import Action, Reason
from tarry.record import schema
from tarry.smtp.text import evidence


class Held(NamedTuple):
    """A held client that did something, or whose time has come. ``talked``: its early bytes have been looked at.

    A named tuple: a flood makes two of these a client, and a frozen dataclass takes three times as long to make.
    """

    id: str
    client: str
    accepted_at: float
    reasons: tuple[Reason, ...] = ()
    talked: bool = False
    left: bool = False


def step(held: Held, happened: HoldInput, now: float, policy: Policy) -> tuple[Held, tuple[HoldEffect, ...]]:
    """Advance one held client to *now* (monotonic seconds)."""
    match happened:
        case HungUp(reset=reset):
            return _left(held, reset)
        case Readable(first=first):
            if held.talked:
                return held, ()
            early = Emit(schema.Readable("hold", len(first), evidence(first)))
            held, found = _look(held._replace(talked=True), happened, now, policy)
            # Decided: nothing before the greeting is pending any more, since only DNS and silence are waited for.
            end = _conclude(held, policy) if policy.end_early else ()
            return held, (early, *found, *end)
        case Due():
            if held.talked:
                return held, _conclude(held, policy)
            held, found = _look(held, happened, now, policy)
            return held, (*found, *_conclude(held, policy))
        case _ as unreachable:
            assert_never(unreachable)


def _left(held: Held, reset: bool) -> tuple[Held, tuple[HoldEffect, ...]]:
    gone: tuple[HoldEffect, ...] = (Forget(),) if reset else ()
    if held.left:
        return held, gone
    return held._replace(left=True), (Emit(schema.Hangup("hold", "reset" if reset else "fin")), *gone)


def _look(held: Held, moment: Readable | Due, now: float, policy: Policy) -> tuple[Held, tuple[HoldEffect, ...]]:
    effects: list[HoldEffect] = []
    reasons = held.reasons
    seen = Seen(moment, Phase.HOLD, now - held.accepted_at)
    for armed in policy.triggers.get(type(moment), ()):
        reason, event = ask(armed, seen)
        if reason is not None:
            reasons = (*reasons, reason)
        effects.append(Emit(event))
    return (held._replace(reasons=reasons) if reasons is not held.reasons else held), tuple(effects)


def _conclude(held: Held, policy: Policy) -> tuple[HoldEffect, ...]:
    verdict = judge(held.reasons, policy, Phase.HOLD, client=held.client, id=held.id)
    if verdict.action is Action.IGNORE:
        return (Greet(),)
    told = verdict_event(verdict, "hold", observed=policy.observe)
    if verdict.reply is None or policy.observe:
        return (Emit(told), Greet())
    return (Emit(told), Refuse(verdict.reply))
