"""hold - one client before its greeting.

What      A step function: what happened to a held client in, its new state and the effects out. And which class of clients it is
          of, on which the length of its hold depends.
Promises  Pure: the same arguments give the same answer, and `replay` depends on it. A hold ends in exactly one of Greet, Refuse
          and Forget. A client that half-closes is still held; one that resets is gone. A hang-up is recorded and never punished:
          it is the survival event. Answers never make the greeting later, unless the operator gave such clients a class with a
          longer wait; what has not come when the hold is over is Unknown. One refuses before that only when all have come, for
          the last may be that of an allow list. A client that is remembered to have passed waits for nothing but answers.
Not here  Drawing the wait, peeking, looking up, the timer: net/waiting_room.
Source    RFC 5321 §4.3.1; postscreen's early tests; Sendmail's greet_pause for waits of single networks; DESIGN §3.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple, assert_never

from tarry.core.border import Answered, Due, Emit, Forget, Greet, HoldEffect, HoldInput, HungUp, Readable, Refuse, Wait
from tarry.core.check import About, Armed, Seen
from tarry.core.client import Phase
from tarry.core.facts import Answer, Kind, Question, State
from tarry.core.finding import answer_event, ask, first_questions, verdict_event
from tarry.core.judge import asked_for, has_any_against, is_allowed, judge
from tarry.core.policy import HoldClass, Policy, Span, looking_at
from tarry.core.result import Action, Reason
from tarry.record import schema
from tarry.smtp.text import evidence


class Held(NamedTuple):
    """A held client that did something, or whose time has come. ``talked``: its early bytes have been looked at.

    ``asks``: what the checks want to know has been asked, so that what has no answer at the end is Unknown. ``share`` is its draw,
    from 0 to 1, for whatever range it is to wait; ``wait_class`` names the class that it is of.
    A named tuple: a flood makes two of these a client, and a frozen dataclass takes three times as long to make.
    """

    id: str
    client: str
    accepted_at: float
    reasons: tuple[Reason, ...] = ()
    talked: bool = False
    left: bool = False
    share: float = 0.5
    wait_class: str = ""
    packed: bytes = b""
    answers: tuple[Answer, ...] = ()
    asks: bool = True


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
            missing = _missing(held, policy) if policy.asking and held.asks else ()
            if held.talked:
                return held, (*missing, *_conclude(held, policy))
            held, found = _look(held, happened, now, policy)
            return held, (*missing, *found, *_conclude(held, policy))
        case Answered(answer=answer):
            return _answered(held, answer, now, policy)
        case _ as unreachable:
            assert_never(unreachable)


def class_of(client: str, packed: bytes, reasons: Sequence[Reason], policy: Policy) -> HoldClass | None:
    """Return the first class that a client is of; None where ``hold.wait`` counts. *packed* is its address in network order."""
    for one in policy.classes:
        if packed in one.networks or any(pattern.search(client) for pattern in one.patterns):
            return one
        if one.allowed and is_allowed(reasons, policy):
            return one
        if one.unknown and not has_any_against(reasons, policy):
            return one
        if one.reasons and any(
            (reason.check in one.reasons or reason.name in one.reasons) and asked_for(reason, policy) is not Action.IGNORE
            for reason in reasons
        ):
            return one
        if not (one.looks_at_facts or one.networks or one.patterns):
            return one
    return None


def wait_of(wait_class: HoldClass | None, policy: Policy) -> Span:
    """Return how long such clients are held."""
    return policy.wait if wait_class is None else wait_class.wait


def can_wait(answer: Answer, policy: Policy) -> bool:
    """True for an answer about a silent client that makes no difference before its hold is over: it may be kept until then.

    That a list has the client, or that it is remembered, may end the hold; any answer may change its length where classes look at
    facts, or end it where a check heeds them all.
    """
    if policy.has_classes_by_facts or policy.heeds_every_answer:
        return False
    return answer.state is not State.FOUND or answer.question.kind in (Kind.NAMES, Kind.ADDRESSES)


def _answered(held: Held, answer: Answer, now: float, policy: Policy) -> tuple[Held, tuple[HoldEffect, ...]]:
    told = Emit(answer_event(answer))
    held, found = _look(held._replace(answers=(*held.answers, answer)), Answered(answer), now, policy)
    refuses = policy.end_early and not policy.observe and judge(held.reasons, policy, Phase.HOLD).action.refuses
    # A refusal waits for what may still outweigh it, the answer of an allow list.
    if not _unanswered(held, policy.asking) if refuses else not held.talked and is_allowed(held.reasons, policy):
        return held, (told, *found, *_conclude(held, policy))
    passed = _passed_before(held, policy)
    if passed:
        skipped = tuple(Emit(schema.Outcome(check, "skipped", schema.PASSED_BEFORE)) for check in passed)
        return held, (told, *found, *skipped, *_conclude(held, policy))
    if not policy.has_classes_by_facts:
        return held, (told, *found)
    wait_class = class_of(held.client, held.packed, held.reasons, policy)
    name = wait_class.name if wait_class else ""
    if name == held.wait_class:
        return held, (told, *found)
    seconds = round(wait_of(wait_class, policy).at(held.share), 3)
    return held._replace(wait_class=name), (told, *found, Emit(schema.Wait(name, seconds)), Wait(seconds))


def _passed_before(held: Held, policy: Policy) -> tuple[str, ...]:
    """Return the checks that a silent client passed earlier and need not pass again, where there is nothing else to wait for and
    nothing has been found against it, for which it may have to wait longer than others."""
    known = next((one.known for one in held.answers if one.question.kind is Kind.HISTORY), None)
    if held.talked or known is None or not policy.silent or not policy.silent.issubset(known.passes):
        return ()
    awaited = (one for one in policy.asking if one.is_awaited and one.name not in known.passes)
    if has_any_against(held.reasons, policy) or _unanswered(held, awaited):
        return ()
    return tuple(one for one in known.passes if one in policy.armed)


def _left(held: Held, reset: bool) -> tuple[Held, tuple[HoldEffect, ...]]:
    gone: tuple[HoldEffect, ...] = (Forget(),) if reset else ()
    if held.left:
        return held, gone
    return held._replace(left=True), (Emit(schema.Hangup("hold", "reset" if reset else "fin")), *gone)


def _look(held: Held, moment: Readable | Due | Answered, now: float, policy: Policy) -> tuple[Held, tuple[HoldEffect, ...]]:
    effects: list[HoldEffect] = []
    reasons = held.reasons
    checks = looking_at(moment, policy)
    if checks:
        facts: dict[Question, Answer] = {answer.question: answer for answer in held.answers}
        seen = Seen(moment, Phase.HOLD, now - held.accepted_at, About(held.client, facts=facts))
        for armed in checks:
            for reason, event in ask(armed, seen, reasons):
                if reason is not None:
                    reasons = (*reasons, reason)
                effects.append(Emit(event))
    return (held._replace(reasons=reasons) if reasons is not held.reasons else held), tuple(effects)


def _missing(held: Held, policy: Policy) -> tuple[HoldEffect, ...]:
    """Tell of the questions that have no answer yet."""
    return tuple(
        Emit(schema.Outcome(check, "unknown", f"no answer from {question.source} within the hold"))
        for question, check in _unanswered(held, policy.asking).items()
    )


def _unanswered(held: Held, checks: Iterable[Armed]) -> dict[Question, str]:
    """Return the questions of these checks that have no answer yet, each with the check that asks."""
    known = {answer.question for answer in held.answers}
    asked = first_questions(checks, About(held.client))
    return {question: check for question, check in asked.items() if question not in known}


def _conclude(held: Held, policy: Policy) -> tuple[HoldEffect, ...]:
    verdict = judge(held.reasons, policy, Phase.HOLD, client=held.client, id=held.id)
    if verdict.action is Action.IGNORE:
        return (Greet(),)
    told = verdict_event(verdict, "hold", observed=policy.observe)
    if verdict.reply is None or not verdict.action.refuses or policy.observe:
        return (Emit(told), Greet())
    return (Emit(told), Refuse(verdict.reply))
