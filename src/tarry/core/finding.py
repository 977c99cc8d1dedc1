"""finding - from what a check found to the reason that is kept and the event that is recorded.

What      The one way in which an outcome becomes a reason and a record, before the greeting (core/hold) and after it (core/screen);
          and which questions a moment gives rise to.
Promises  Pure. A reason carries the weight of its finding, or the one that the operator gave its check; nothing is decided here.
          What was found once is not found again: not the same code of a check, for the same subject.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import assert_never

from tarry.core.border import Arrived, Hello, Sender
from tarry.core.check import About, Armed, Seen, questions, run
from tarry.core.client import Phase
from tarry.core.facts import Answer, Question
from tarry.core.result import Failed, Outcome, Passed, Reason, Skipped, Unknown, Verdict
from tarry.record import schema


def ask(armed: Armed, seen: Seen, known: Collection[Reason]) -> Iterator[tuple[Reason | None, schema.Reason | schema.Outcome]]:
    """Ask one check; yield each reason that is not *known* yet, if there is one, and what is to be recorded."""
    for outcome in run(armed, seen):
        news = told(armed, seen, outcome, known)
        if news is not None:
            yield news


def told(
    armed: Armed, seen: Seen, outcome: Outcome, known: Collection[Reason]
) -> tuple[Reason | None, schema.Reason | schema.Outcome] | None:
    """Return the reason in an outcome, if it is one, and what is to be recorded; None for a reason that is *known*."""
    match outcome:
        case Failed(code=code, detail=detail, subject=subject):
            if any(one.check == armed.name and one.code == code and one.subject == subject for one in known):
                return None
            weight = armed.settings.weight if outcome.weight is None else outcome.weight
            reason = Reason(armed.name, code, detail, weight, seen.phase, seen.dt, subject)
            action = armed.settings.action_for(code)
            return reason, schema.Reason(reason.check, code, seen.phase.word, detail, weight, action.word, subject)
        case Passed():
            return None, schema.Outcome(armed.name, "passed")
        case Skipped(why=why):
            return None, schema.Outcome(armed.name, "skipped", why)
        case Unknown(why=why):
            return None, schema.Outcome(armed.name, "unknown", why)
        case _ as unreachable:
            assert_never(unreachable)


def first_questions(armed: Iterable[Armed], about: About) -> dict[Question, str]:
    """Return what is to be asked about a client of which the address is known, each with the name of the check that asks."""
    return asked_by(armed, Seen(Arrived(), Phase.CONNECT, 0.0, about))


def asked_by(armed: Iterable[Armed], seen: Seen) -> dict[Question, str]:
    """Return what is to be asked at this moment, each question with the name of the first check that asks it."""
    found: dict[Question, str] = {}
    for one in armed:
        for question in questions(one, seen):
            found.setdefault(question, one.name)
    return found


def lists_of(armed: Collection[Armed]) -> tuple[tuple[str, bool], ...]:
    """Return the DNS lists that these checks ask about examples, each with whether it is asked about domains."""
    about = About("192.0.2.1", name="mx.example.org")
    moments = (Arrived(), Hello("EHLO", "mail.example.net", 1), Sender("sender@example.net"))
    return tuple(
        dict.fromkeys(
            (question.zone, not isinstance(moment, Arrived))
            for moment in moments
            for question in asked_by(armed, Seen(moment, Phase.CONNECT, 0.0, about))
            if question.zone
        )
    )


def answer_event(answer: Answer) -> schema.Answer:
    """Return the record of an answer."""
    ttl, ms = round(answer.ttl, 3), round(answer.ms, 3)
    values = answer.values if answer.known is None else answer.known.words
    source, name = answer.question.source, answer.question.name
    return schema.Answer(source, values, ttl, ms, answer.state.value, answer.why, name, answer.confirmed, answer.domain)


def verdict_event(verdict: Verdict, phase: str, *, observed: bool) -> schema.Verdict:
    """Return the record of a verdict."""
    return schema.Verdict(phase, verdict.action.word, tuple(reason.name for reason in verdict.reasons), observed)
