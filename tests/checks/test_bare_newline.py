"""bare_newline: line ends that are none."""

from __future__ import annotations

import pytest

from tarry.checks.bare_newline import BareNewline
from tarry.core.border import Moment, Stray
from tarry.core.result import Failed, Outcome
from tests.checks.looking import codes, look, says_unknown_elsewhere

TABLE: list[tuple[Moment, Outcome]] = [
    (Stray("command", "LF", b"NOOP"), Failed("command", "LF: NOOP")),
    (Stray("command", "CR", b"NOOP\rMAIL"), Failed("command", "CR: NOOP\\rMAIL")),
    (Stray("command", "NUL", b"a\0b"), Failed("command", "NUL: a\\x00b")),
    (Stray("message", "LF"), Failed("message", "LF")),
    (Stray("message", "CR"), Failed("message", "CR")),
    (Stray("message", "NUL"), Failed("message", "NUL")),
    (Stray("command", "NUL", b"\0" * 100), Failed("command", "NUL: " + "\\x00" * 23)),
]


@pytest.mark.parametrize(("moment", "outcome"), TABLE, ids=repr)
def test_what_it_finds(moment: Moment, outcome: Outcome) -> None:
    """Each stray byte fails, in a command as in a message; the detail names it first."""
    assert outcome == look(BareNewline(), moment)


def test_its_codes() -> None:
    """Each declared code can be had, and no other; elsewhere it says unknown."""
    assert set(BareNewline.codes) == codes(TABLE)
    assert says_unknown_elsewhere(BareNewline())
