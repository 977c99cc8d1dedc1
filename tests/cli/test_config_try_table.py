"""The table of `tarry config try`."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from tarry.cli.config_try_table import NARROW, WIDE, folded, table
from tarry.rehearsal.keys import Because
from tarry.rehearsal.steps import Step, Tone

WAIT = Because("", "hold.wait", '"4s"', "t.toml:2")
STEPS = (
    Step(0.0, "connects", "holds it for 4.0 s", (WAIT,)),
    Step(4.0, "", "220 mail.example.org ESMTP", tone=Tone.GOOD, code=220),
    *[Step(4.0, "RSET", "250 2.0.0 Ok", code=250)] * 4,
    Step(4.0, "RCPT TO:<a@b.example>", "250 2.1.5 Ok (the MTA)", code=250, by="mta"),
    Step(4.0, "RCPT TO:<c@d.example>", "250 2.1.5 Ok (the MTA)", code=250, by="mta"),
    Step(4.0, "RCPT TO:<e@f.example>", "550 5.1.1 No such mailbox (the MTA)", code=550, by="mta", tone=Tone.BAD),
    Step(9.0, "QUIT", "221 2.0.0 Bye", (WAIT,), code=221),
)


def drawn(width: int, steps: tuple[Step, ...] = STEPS) -> str:
    stream = io.StringIO()
    console = Console(file=stream, width=width, color_system=None, legacy_windows=False)
    console.print(table(steps, width=width))
    return stream.getvalue()


@pytest.mark.parametrize("width", [40, 63, 64, 80, 131, 132, 200])
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    """Also with one long word."""
    long = Step(5.0, "x" * 300, "y" * 300, (Because("z" * 300),))
    assert max(len(line.rstrip()) for line in drawn(width, (*STEPS, long)).splitlines()) <= width


def test_reasons_stand_below_or_beside() -> None:
    """Below where there is no room for a column."""
    assert ["hold.wait"] == [line.split()[0] for line in drawn(80).splitlines() if line.lstrip().startswith("hold.wait =")]
    assert "holds it for 4.0 s" in (line := next(one for one in drawn(WIDE).splitlines() if "connects" in one))
    assert 'hold.wait = "4s" (t.toml:2)' in line


def test_on_a_narrow_terminal_the_client_stands_above() -> None:
    """In the same column."""
    text = drawn(NARROW - 1)
    assert "C: connects" in text
    assert "client" not in text.splitlines()[0]
    assert "client" in drawn(NARROW).splitlines()[0]


def test_what_repeats_itself_is_one_row() -> None:
    """Commands that are answered alike at one moment; recipients differ in their address only."""
    assert [1, 1, 4, 2, 1, 1] == [count for _, count in folded(STEPS)]
    assert "RSET (4 times)" in drawn(80)


def test_a_moment_is_told_once() -> None:
    """The rows below it belong to it."""
    text = drawn(80, tuple(step for step in STEPS if not step.tarry.startswith("holds")))
    assert (1, 1) == tuple(text.count(f"{at} s ") for at in ("4.0", "9.0"))


def test_a_key_is_told_in_full_once() -> None:
    """After that by its name."""
    text = drawn(80)
    assert (1, 2) == (text.count('= "4s"'), text.count("hold.wait"))


def test_words_stay_where_the_key_has_been_told() -> None:
    """They say why it counts here."""
    again = Step(9.0, "QUIT", "221 2.0.0 Bye", (Because("for a reason", "hold.wait", '"4s"', "t.toml:2"),))
    assert "for a reason" in drawn(80, (*STEPS, again))


def test_markup_in_a_name_is_text() -> None:
    """A client cannot colour the terminal."""
    assert "[red]EHLO[/red]" in drawn(80, (Step(0.0, "[red]EHLO[/red]", "[bold]250[/bold]"),))
