"""Paragraphs for a terminal, lines for a pipe."""

from __future__ import annotations

import pytest

from tarry.cli import layout

TEXT = "words " * 30 + "end"


def test_a_pipe_gets_one_line() -> None:
    """Whatever its length, and nothing bold."""
    assert f"  label {TEXT}" == layout.filled(TEXT, "  label ", 4)
    assert "heading" == layout.bold("heading")


def test_a_terminal_gets_paragraphs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not wider than it, the further lines indented; bold where colours are wanted."""
    monkeypatch.setattr(layout, "is_terminal", lambda: True)
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    lines = layout.filled(TEXT, "  label ", 4).splitlines()
    assert lines[0].startswith("  label words") and all(line.startswith("    words") for line in lines[1:-1])
    assert 60 > max(map(len, lines))
    assert [100, 59] == [max(map(len, layout.filled("x" * 100, breaks=breaks).splitlines())) for breaks in (False, True)]
    assert "\x1b[1mheading\x1b[0m" == layout.bold("heading")
    monkeypatch.setenv("NO_COLOR", "1")
    assert "heading" == layout.bold("heading")


@pytest.mark.parametrize(("given", "columns"), [("20", 40), ("80", 80), ("400", 100)])
def test_how_wide(given: str, columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between 40 and 100 columns."""
    monkeypatch.setenv("COLUMNS", given)
    assert columns == layout.columns()
