"""finding - from what a check found to the reason that is kept and the event that is recorded.

What      The one way in which an outcome becomes a reason and a record, before the greeting (core/hold) and after it (core/screen).
Promises  Pure. A reason carries the weight that the operator gave its check; nothing is decided here.
"""

from __future__ import annotations

from typing import assert_never

from tarry.core.check import Armed, Seen, run
from tarry.core.result import Failed, Passed, Reason, Skipped, Unknown, Verdict
from tarry.record import schema


def ask(armed: Armed, seen: Seen) -> tuple[Reason | None, schema.Reason | schema.Outcome]:
    """Ask one check; return the reason, if it found one, and what is to be recorded."""
    match run(armed, seen):
        case Failed(code=code, detail=detail):
            settings = armed.settings
            reason = Reason(armed.name, code, detail, settings.weight, seen.phase, seen.dt)
            return reason, schema.Reason(reason.check, code, seen.phase.word, detail, reason.weight, settings.action.word)
        case Passed():
            return None, schema.Outcome(armed.name, "passed")
        case Skipped(why=why):
            return None, schema.Outcome(armed.name, "skipped", why)
        case Unknown(why=why):
            return None, schema.Outcome(armed.name, "unknown", why)
        case _ as unreachable:
            assert_never(unreachable)


def verdict_event(verdict: Verdict, phase: str, *, observed: bool) -> schema.Verdict:
    """Return the record of a verdict."""
    return schema.Verdict(phase, verdict.action.word, tuple(reason.name for reason in verdict.reasons), observed)
