"""How tables look."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from tarry.cli.tables import Terminal, lines_of, plain


def test_a_line_below_the_headings() -> None:
    """And no blanks at the ends of lines."""
    made = plain()
    made.add_column("what")
    made.add_column("wide", min_width=10)
    made.add_row("a", "b")
    assert ["what  wide", "a     b"] == lines_of(Console(width=40), made)[::2]


def test_a_broken_pipe_is_the_callers() -> None:
    """And no status 1."""
    with pytest.raises(BrokenPipeError):
        Terminal(file=io.StringIO()).on_broken_pipe()
