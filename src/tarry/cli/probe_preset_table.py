"""probe_preset_table - the table of presets and habits: for a terminal, for the documentation, and as JSON.

What     On a terminal each habit has a row for each outcome, with the presets that it is the outcome of, so that 80 columns are
         enough; as Markdown each preset has a column. Pure.
JSON     v is 1, and fields are only ever added. Times are seconds since the client connected.
Since    0.1
"""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from tarry.cli.probe_cells import cell, length
from tarry.cli.probe_presets import IMPATIENT, LIST, REPLY_PATIENCE, Outcome
from tarry.cli.tables import plain
from tarry.probe.caller import PATIENCE
from tarry.probe.verdict import Mood

_STYLES = {Mood.GOOD: "green", Mood.NEUTRAL: "yellow", Mood.BAD: "red"}

_PAGE = """\
# What each preset does to each habit

Made by `tarry probe --presets --markdown`, which plays each client through tarry's own core on a clock that leaps; a test keeps
this page and the command together. `tarry probe --presets` shows the same in a terminal.

Each preset is as it stands, with one DNS list named ({list}), on which only the client *listed* is. The MTA behind it accepts
everything but guessed recipients. Ranges are drawn at their middle. Honest clients wait {patience} for a reply, as RFC 5321 wants;
the impatient one waits {impatient} for its greeting; floods and false names wait {reply} for each reply after it.

{table}
"Held" is how long a reply was to be held; all other times count from the connection. "Tagged" is let through with its reasons in
the record and, with `headers.insert`, in the message. What the clients do is told in [the page of the probe](../probe.md).
"""


def shown(rows: Sequence[tuple[Outcome, ...]]) -> Table:
    """Return the table for a terminal; *rows* holds the outcomes of one habit each, in the order of presets."""
    made = plain()
    made.add_column("habit", no_wrap=True)
    made.add_column("what it gets")
    made.add_column("under", overflow="fold")
    for row in rows:
        habit = row[0].case.habit
        left = [Text(habit.name, style="bold"), Text(habit.did, style="dim")]
        groups: dict[str, list[Outcome]] = {}
        for outcome in row:
            groups.setdefault(cell(outcome), []).append(outcome)
        for text, alike in groups.items():
            under = "all" if len(groups) == 1 else ", ".join(outcome.preset for outcome in alike)
            made.add_row(left.pop(0) if left else "", Text(text, style=_STYLES[alike[0].finding.mood]), Text(under))
        for rest in left:
            made.add_row(rest)
        made.add_section()
    return made


def page(rows: Sequence[tuple[Outcome, ...]]) -> str:
    """Return docs/presets/table.md."""
    presets = [outcome.preset for outcome in rows[0]]
    heads = [f"[{preset}]({preset}.md)" for preset in presets]
    lines = [["client", *heads], ["---"] * (len(presets) + 1)]
    lines += [[f"**{row[0].case.habit.name}** {row[0].case.habit.did}", *map(cell, row)] for row in rows]
    table = "".join(f"| {' | '.join(line)} |\n" for line in lines)
    times = {"patience": length(PATIENCE), "impatient": length(IMPATIENT), "reply": length(REPLY_PATIENCE)}
    return _PAGE.format(list=f"`{LIST}`", table=table, **times)


def report(rows: Sequence[tuple[Outcome, ...]]) -> dict[str, object]:
    """Return what --json writes."""
    return {
        "v": 1,
        "presets": [outcome.preset for outcome in rows[0]],
        "habits": [
            {
                "name": row[0].case.habit.name,
                "kind": row[0].case.habit.kind,
                "did": row[0].case.habit.did,
                "outcomes": {outcome.preset: _outcome(outcome) for outcome in row},
            }
            for row in rows
        ],
    }


def _outcome(outcome: Outcome) -> dict[str, object]:
    finding = outcome.finding
    return {
        "text": cell(outcome),
        "verdict": finding.verdict,
        "mood": finding.mood,
        "code": finding.deciding.code if finding.deciding else None,
        "after": round(finding.decided_after, 3),
        "messages": outcome.played.messages,
        "ended": finding.trace.ended,
    }
