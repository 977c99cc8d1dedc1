"""Where a value came from, and what is wrong with one, as text."""

from __future__ import annotations

import pytest

from tarry.config.origin import Origin, Problem, Severity


@pytest.mark.parametrize(
    ("problem", "text"),
    [
        (Problem("a.b", "it is so", "mend it", file="f", line=3), "f:3: error: a.b: it is so; mend it"),
        (Problem("a.b", "it is so", severity=Severity.WARNING), "warning: a.b: it is so"),
        (Problem("", "it is so", file="f", line=3, column=4), "f:3:4: error: it is so"),
    ],
)
def test_problems_are_printed_as_compilers_do(problem: Problem, text: str) -> None:
    """A problem is one line with its place first, so that editors can jump to it."""
    assert text == str(problem)


@pytest.mark.parametrize(
    ("origin", "text", "is_set", "is_operators"),
    [
        (Origin(), "default", False, False),
        (Origin("preset", "x"), "preset x", True, False),
        (Origin("file", "f", 3), "f:3", True, True),
        (Origin("file", "f"), "f", True, True),
        (Origin("flag"), "flag", True, True),
        (Origin("derived", "a.b"), "from a.b", True, False),
    ],
)
def test_origins(origin: Origin, text: str, is_set: bool, is_operators: bool) -> None:
    """An origin tells its place, and who chose the value."""
    assert (text, is_set, is_operators) == (str(origin), origin.is_set, origin.is_operators)
