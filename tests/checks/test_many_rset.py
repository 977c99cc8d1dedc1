"""many_rset: one RSET after the other."""

from __future__ import annotations

import pytest

from tarry.checks.many_rset import ManyRset, Options
from tarry.core.border import Repeated
from tarry.core.result import PASSED, Failed, Outcome
from tests.checks.looking import codes, looks, says_unknown_elsewhere

TABLE: list[tuple[Repeated, Options, Outcome]] = [
    (Repeated("RSET", 1), Options(), PASSED),
    (Repeated("RSET", 100), Options(), PASSED),
    (Repeated("RSET", 101), Options(), Failed("limit", "101 RSET commands")),
    (Repeated("RSET", 4), Options(limit=4), PASSED),
    (Repeated("RSET", 5), Options(limit=4), Failed("limit", "5 RSET commands")),
]


@pytest.mark.parametrize(("moment", "options", "outcome"), TABLE, ids=repr)
def test_what_it_finds(moment: Repeated, options: Options, outcome: Outcome) -> None:
    """As many RSETs as the limit pass, and any number of NOOPs; the next RSET fails."""
    assert (outcome,) == looks(ManyRset(), moment, options)


def test_the_other_command_is_not_its_business() -> None:
    """NOOP is counted apart."""
    assert () == looks(ManyRset(), Repeated("NOOP", 500), Options(limit=0))


def test_its_codes() -> None:
    """Each declared code can be had, and no other; elsewhere it says unknown."""
    assert set(ManyRset.codes) == codes(TABLE)
    assert says_unknown_elsewhere(ManyRset())
