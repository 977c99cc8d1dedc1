"""probe_table - what `tarry probe` shows: one row a client, filled in as it finishes.

What     Turns findings into a rich table. Pure: no clock, no terminal; the caller gives the seconds that have gone by.
Widths   80 columns are enough for the five columns that matter; from 112 on there is room for the first reply's time, the
         number of replies and who closed; below 72 what a client did is left to its name.
Since    0.1
"""

import re
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Literal

from rich.table import Table
from rich.text import Text

from tarry.cli.tables import plain
from tarry.probe.steps import Habit
from tarry.probe.trace import GREETING, Ending, Reply, Seconds
from tarry.probe.verdict import Finding, Mood, Verdict

WIDE = 112
NARROW = 72
_NUMBERS = ("first reply", "replies", "after")
_STYLES = {Mood.GOOD: "green", Mood.NEUTRAL: "yellow", Mood.BAD: "bold red"}
_ENDINGS = {
    Ending.SERVER: "server closed",
    Ending.RESET: "server reset",
    Ending.CLIENT: "client left",
    Ending.TIMEOUT: "timed out",
    Ending.UNREACHABLE: "",
}
# RFC 2034 codes and the server's own name, which many replies begin with: the table has better use for the room.
_ENHANCED = re.compile(r"^[245]\.[0-9]{1,3}\.[0-9]{1,3} ")
_HOST = re.compile(r"(?<=^[0-9]{3} )[\w-]+(?:\.[\w-]+)+:? (?=.)")


def table(habits: Sequence[Habit], findings: Mapping[str, Finding], *, width: int, elapsed: float = 0.0) -> Table:
    """Return the table of all *habits*; those without a finding yet are shown as still at it since *elapsed* seconds."""
    made = plain()
    columns = _columns(width)
    for column in columns:
        justify: Literal["left", "right"] = "right" if column in _NUMBERS else "left"
        made.add_column(column, justify=justify, no_wrap=column != "what it got", overflow="fold")
    for habit in habits:
        finding = findings.get(habit.name)
        cells = _pending(habit, elapsed) if finding is None else _done(finding)
        made.add_row(*(cells.get(column, Text("")) for column in columns), style="dim" if finding is None else "")
    return made


def _columns(width: int) -> tuple[str, ...]:
    did = ("what it did",) if width >= NARROW else ()
    more = ("first reply", "replies", "end") if width >= WIDE else ()
    return ("habit", *did, "what it got", *more, "after", "verdict")


def got(finding: Finding) -> str:
    """Return in a few words what the client got: the reply that settled it, or what took its place."""
    trace, deciding = finding.trace, finding.deciding
    if trace.ended is Ending.UNREACHABLE:
        return f"no connection: {trace.problem}"
    if finding.habit.repeats and (rounds := trace.rounds(finding.habit.repeats)):
        return f"{_rounds(rounds)}{_after_rounds(finding)}"
    if deciding is not None and deciding.to == GREETING and deciding.is_positive:
        # The text of a greeting is the server's name; how it went on says more.
        return f"{deciding.code}, then {_short(trace.replies[-1])}" if len(trace.replies) > 1 else f"{deciding.code} greeting"
    if deciding is not None:
        return _short(deciding)
    match finding.verdict:
        case Verdict.TURNED_AWAY | Verdict.REFUSED:
            what = "reset" if trace.ended is Ending.RESET else "closed"
            return f"{trace.replies[-1].code}, then {what}" if trace.replies else f"{what} without a reply"
        case Verdict.GAVE_UP if trace.replies:
            last = trace.replies[-1]
            return f"{last.code} to {last.to.upper()}, then none for {_seconds(trace.ended_after - last.after)}"
        case Verdict.GAVE_UP:
            return "nothing: it was held"
        case _:
            return f"{trace.replies[-1].code}, then nothing" if trace.replies else "nothing"


def _rounds(rounds: Sequence[tuple[Reply, Seconds]]) -> str:
    """Return the codes of a flood's replies, and how long each took: "5 x 250, 15 x 550, up to 3.0 s each"."""
    codes = [(code, len(list(same))) for code, same in groupby(reply.code for reply, _ in rounds)]
    shortest, longest = (_seconds(bound(took for _, took in rounds)) for bound in (min, max))
    time = "at once" if longest == "0.0 s" else f"{longest} each" if shortest == longest else f"up to {longest} each"
    return ", ".join([*(f"{count} x {code:03d}" for code, count in codes), time])


def _after_rounds(finding: Finding) -> str:
    """Return what came after a flood's replies, if they did not end as the client wished."""
    trace, deciding, last = finding.trace, finding.deciding, finding.trace.replies[-1]
    match finding.verdict:
        case Verdict.TURNED_AWAY if deciding is not None and not deciding.is_positive:
            is_last_round = deciding.to.startswith(f"{finding.habit.repeats} ")
            return f": {_text(deciding)}" if is_last_round else f", then {_short(deciding)}"
        case Verdict.TURNED_AWAY:
            return f", then {'reset' if trace.ended is Ending.RESET else 'closed'}"
        case Verdict.GAVE_UP:
            return f", then none for {_seconds(trace.ended_after - last.after)}"
        case Verdict.HELD:
            return ", and so on"
        case _:
            return ""


def _seconds(length: float) -> str:
    return f"{length:.1f} s" if length < 9.95 else f"{length:.0f} s"


def _text(reply: Reply) -> str:
    return _short(reply).partition(" ")[2]


def _short(reply: Reply) -> str:
    return _HOST.sub("", f"{reply.code:03d} {_ENHANCED.sub('', reply.text)}") if reply.code else reply.text


def _done(finding: Finding) -> dict[str, Text]:
    trace = finding.trace
    return {
        "habit": Text(finding.habit.name),
        "what it did": Text(finding.habit.did),
        "what it got": Text(got(finding)),
        "first reply": Text(f"{trace.replies[0].after:.1f} s" if trace.replies else "-"),
        "replies": Text(str(len(trace.replies))),
        "end": Text(_ENDINGS[trace.ended]),
        "after": Text(f"{finding.decided_after:.1f} s"),
        "verdict": Text(finding.verdict, style=_STYLES[finding.mood]),
    }


def _pending(habit: Habit, elapsed: float) -> dict[str, Text]:
    return {
        "habit": Text(habit.name),
        "what it did": Text(habit.did),
        "after": Text(f"{elapsed:.1f} s"),
        "verdict": Text("waiting"),
    }
