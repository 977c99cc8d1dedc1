"""many_noop: one NOOP after the other."""

from __future__ import annotations

import pytest

from tarry.checks.many_noop import ManyNoop, Options
from tarry.core.border import Repeated
from tarry.core.result import PASSED, Failed, Outcome
from tests.checks.looking import codes, looks, says_unknown_elsewhere

TABLE: list[tuple[Repeated, Options, Outcome]] = [
    (Repeated("NOOP", 1), Options(), PASSED),
    (Repeated("NOOP", 20), Options(), PASSED),
    (Repeated("NOOP", 21), Options(), Failed("limit", "21 NOOP commands")),
    (Repeated("NOOP", 4), Options(limit=4), PASSED),
    (Repeated("NOOP", 5), Options(limit=4), Failed("limit", "5 NOOP commands")),
]


@pytest.mark.parametrize(("moment", "options", "outcome"), TABLE, ids=repr)
def test_what_it_finds(moment: Repeated, options: Options, outcome: Outcome) -> None:
    """As many NOOPs as the limit pass, and any number of RSETs; the next NOOP fails."""
    assert (outcome,) == looks(ManyNoop(), moment, options)


def test_the_other_command_is_not_its_business() -> None:
    """RSET is counted apart."""
    assert () == looks(ManyNoop(), Repeated("RSET", 500), Options(limit=0))


def test_its_codes() -> None:
    """Each declared code can be had, and no other; elsewhere it says unknown."""
    assert set(ManyNoop.codes) == codes(TABLE)
    assert says_unknown_elsewhere(ManyNoop())
