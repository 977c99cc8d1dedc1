"""tables - how the tables of all commands look, and what they are written to."""

from __future__ import annotations

from rich import box
from rich.console import Console, RenderableType
from rich.table import Table


class Terminal(Console):
    """A console that leaves a broken pipe to the caller; rich would exit with 1, which means a finding."""

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError


def plain() -> Table:
    """Return a table without columns: a line below the headings, and no frame."""
    return Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0), header_style="bold")


def lines_of(console: Console, made: RenderableType) -> list[str]:
    """Return the lines as they are drawn, but for the blanks at their ends: those wrap where a terminal is made narrower, and are
    in diffs."""
    with console.capture() as drawn:
        console.print(made)
    return [line.rstrip() for line in drawn.get().splitlines()]
