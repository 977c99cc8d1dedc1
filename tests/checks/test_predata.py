"""predata: message data before the 354."""

from __future__ import annotations

import pytest

from tarry.checks.predata import PreDataCheck
from tarry.core.border import Moment, PreData
from tarry.core.result import Failed, Outcome
from tests.checks.looking import codes, look, says_unknown_elsewhere

TABLE: list[tuple[Moment, Outcome]] = [
    (PreData(b"Subject: x\r\n"), Failed("spoke", "Subject: x\\r\\n")),
    (PreData(b".\r\n"), Failed("spoke", ".\\r\\n")),
    (PreData(b"\xff" * 100), Failed("spoke", "\\xff" * 25)),
]


@pytest.mark.parametrize(("moment", "outcome"), TABLE, ids=repr)
def test_what_it_finds(moment: Moment, outcome: Outcome) -> None:
    """Whatever came between DATA and 354 fails."""
    assert outcome == look(PreDataCheck(), moment)


def test_its_codes() -> None:
    """Each declared code can be had, and no other; elsewhere it says unknown."""
    assert set(PreDataCheck.codes) == codes(TABLE)
    assert says_unknown_elsewhere(PreDataCheck())
