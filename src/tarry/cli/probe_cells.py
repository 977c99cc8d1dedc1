"""probe_cells - in a few words what a client got under a preset.

What     "554 at once", "delivered after 4.5 s", "held 30 min at the 6th RCPT, gives up". Pure.
Times    Since the client connected, but for "held", which is how long the reply was to be held.
Since    0.1
"""

from __future__ import annotations

from tarry.cli.probe_presets import Outcome
from tarry.probe.steps import Habit, Hear
from tarry.probe.trace import GREETING, Ending
from tarry.probe.verdict import Verdict
from tarry.record import schema
from tarry.rehearsal.conclusion import Ending as Comes
from tarry.rehearsal.conclusion import ending_of

_MINUTES_FROM = 300.0
_HOURS_FROM = 7200.0


def cell(outcome: Outcome) -> str:
    """Return what the client got."""
    finding = outcome.finding
    habit, trace = finding.habit, finding.trace
    match finding.verdict:
        case Verdict.DELIVERED | Verdict.SERVED | Verdict.GREETED | Verdict.HELD:
            return _served(outcome)
        case Verdict.TURNED_AWAY | Verdict.REFUSED if finding.deciding is not None:
            to = finding.deciding.to
            where = "" if to in (GREETING, "") else f" to {place(to)}"
            return f"{finding.deciding.code}{where} {after(finding.decided_after)}"
        case Verdict.TURNED_AWAY | Verdict.REFUSED:
            return f"closed {after(trace.ended_after)}"
        case _ if trace.greeting is None:
            return f"gives up ungreeted {after(trace.ended_after)}"
        case _:
            asked = _held(outcome)
            where = place(_awaited(habit, len(trace.replies)))
            what = f"held {length(asked)} at {where}" if asked else f"no reply to {where}"
            return f"{what}, gives up" if trace.ended is Ending.CLIENT else what


def length(seconds: float) -> str:
    """Return a length of time with as many digits as matter."""
    if seconds < _MINUTES_FROM:
        return f"{seconds:.1f} s".replace(".0 ", " ")
    unit, name = (60.0, "min") if seconds < _HOURS_FROM else (3600.0, "h")
    return f"{seconds / unit:.1f} {name}".replace(".0 ", " ")


def after(seconds: float) -> str:
    """Return a point in time."""
    return f"after {length(seconds)}" if seconds >= 0.05 else "at once"


def place(what: str) -> str:
    """Return what a reply answers, in words: "rcpt 6" is the 6th RCPT."""
    name, _, number = what.partition(" ")
    command = {"message": "the message", "guess": "RCPT", "line": "line"}.get(name, name.upper())
    return f"the {number}{_ordinal(int(number))} {command}" if number else command


def _served(outcome: Outcome) -> str:
    finding = outcome.finding
    when = after(finding.decided_after)
    comes = ending_of(outcome.played)
    if finding.habit.goal == "message" and comes is Comes.DISCARDED:
        return f"taken and thrown away {when}"
    word = {GREETING: "greeted", "message": "delivered"}.get(finding.habit.goal, "let through")
    is_tagged = any(isinstance(one.event, schema.Verdict) and one.event.action == "tag" for one in outcome.played.happened)
    return f"{word} {when}{', tagged' if is_tagged and word != 'greeted' else ''}"


def _held(outcome: Outcome) -> float:
    """Return how long the reply was to be held during which the client left; 0.0 where none was."""
    holds = [one.event for one in outcome.played.happened if isinstance(one.event, schema.Hold)]
    return holds[-1].asked if holds and holds[-1].ended == "left" else 0.0


def _awaited(habit: Habit, heard: int) -> str:
    """Return what the client still waited for after so many replies."""
    dues = [step.what for step in habit.steps if isinstance(step, Hear)]
    return dues[min(heard, len(dues) - 1)]


def _ordinal(number: int) -> str:
    if number % 100 in (11, 12, 13):
        return "th"
    return {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
