"""many_errors: one mistake after the other."""

from __future__ import annotations

import pytest

from tarry.checks.many_errors import ManyErrors, Options
from tarry.core.border import Erred
from tarry.core.result import PASSED, Failed, Outcome
from tests.checks.looking import codes, look, says_unknown_elsewhere

TABLE: list[tuple[int, int, Outcome]] = [
    (1, 10, PASSED),
    (10, 10, PASSED),
    (11, 10, Failed("limit", "11 errors")),
    (12, 10, Failed("limit", "12 errors")),
    (1, 0, Failed("limit", "1 errors")),
    (2, 1, Failed("limit", "2 errors")),
]


@pytest.mark.parametrize(("count", "limit", "outcome"), TABLE)
def test_what_it_finds(count: int, limit: int, outcome: Outcome) -> None:
    """As many error replies as the limit pass; the next one fails."""
    assert outcome == look(ManyErrors(), Erred(count), Options(limit=limit))


def test_its_codes() -> None:
    """Each declared code can be had, and no other; elsewhere it says unknown."""
    assert set(ManyErrors.codes) == codes(TABLE)
    assert says_unknown_elsewhere(ManyErrors())
