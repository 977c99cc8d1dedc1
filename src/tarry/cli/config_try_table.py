"""config_try_table - what `tarry config try` shows: one row a step.

What      Turns steps into a rich table. Pure: no clock, no terminal. What repeats itself (the 20 RSETs of a flood) is one row.
Widths    From WIDE columns on the reasons have a column of their own; below that they stand under what tarry does. Below NARROW
          what the client does stands there too, above it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

from msgspec.structs import replace
from rich.table import Table
from rich.text import Text

from tarry.cli.tables import plain
from tarry.rehearsal.keys import Because
from tarry.rehearsal.steps import Step, Tone

WIDE = 132
NARROW = 64
_CLIENT_SHARE = 0.4
_STYLES = {Tone.PLAIN: "", Tone.QUIET: "dim", Tone.GOOD: "green", Tone.WARN: "yellow", Tone.BAD: "bold red"}


def table(steps: Sequence[Step], *, width: int) -> Table:
    """Return the table of these steps for so many columns."""
    made = plain()
    made.add_column("after", justify="right", no_wrap=True)
    if width >= NARROW:
        made.add_column("client", overflow="fold", max_width=max(20, int(width * _CLIENT_SHARE)))
    made.add_column("tarry", overflow="fold")
    if width >= WIDE:
        made.add_column("why", overflow="fold")
    last = ""
    told: set[str] = set()
    for step, count in folded(steps):
        at = f"{step.at:.1f} s"
        client = f"{step.client} ({count} times)" if count > 1 else step.client
        why = [_shown(one, told) for one in step.why]
        said = Text(step.tarry, style=_STYLES[step.tone])
        reasons = Text("\n".join(why), style="dim")
        cells = [Text("" if at == last else at)]
        if width >= NARROW:
            cells.append(Text(client))
        elif client:
            said = Text.assemble((f"C: {client}\n", "bold"), said)
        if width >= WIDE:
            cells += [said, reasons]
        else:
            cells.append(Text.assemble(said, "\n", reasons) if why else said)
        made.add_row(*cells)
        last = at
    return made


def _shown(because: Because, told: set[str]) -> str:
    """Return a reason as text. The value of a key, and where it was set, are told once."""
    whole = str(replace(because, words=""))
    if because.key and whole in told:
        return because.words or because.key
    told.add(whole)
    return str(because)


def folded(steps: Sequence[Step]) -> Iterator[tuple[Step, int]]:
    """Yield each step with how often in a row the same happens at the same moment: the first of them, for all."""
    for _, group in groupby(steps, key=_alike):
        first, *more = group
        yield first, 1 + len(more)


def _alike(step: Step) -> tuple[object, ...]:
    # Recipients differ in their addresses only; what is answered to them need not.
    verb = step.client.split(":", 1)[0] if step.client.startswith("RCPT") else step.client
    return verb or id(step), step.tarry, step.why, f"{step.at:.1f}"
