"""bad_rcpt: recipients that the MTA refuses."""

from __future__ import annotations

import pytest

from tarry.checks.bad_rcpt import BadRcpt, Options
from tarry.core.border import RecipientAnswered
from tarry.core.result import PASSED, Failed, Outcome
from tests.checks.looking import codes, looks, says_unknown_elsewhere

TABLE: list[tuple[RecipientAnswered, Options, Outcome]] = [
    (RecipientAnswered(550, 0, 20), Options(), PASSED),
    (RecipientAnswered(550, 0, 21), Options(), Failed("limit", "21 recipients refused")),
    (RecipientAnswered(450, 3, 21), Options(), Failed("limit", "21 recipients refused")),
    (RecipientAnswered(250, 90, 20), Options(), PASSED),
    (RecipientAnswered(550, 9, 2), Options(limit=2), PASSED),
    (RecipientAnswered(550, 9, 3), Options(limit=2), Failed("limit", "3 recipients refused")),
]


@pytest.mark.parametrize(("moment", "options", "outcome"), TABLE, ids=repr)
def test_what_it_finds(moment: RecipientAnswered, options: Options, outcome: Outcome) -> None:
    """As many refused recipients as the limit pass; the next one fails."""
    assert (outcome,) == looks(BadRcpt(), moment, options)


def test_its_codes() -> None:
    """Each declared code can be had, and no other; elsewhere it says unknown."""
    assert set(BadRcpt.codes) == codes(TABLE)
    assert says_unknown_elsewhere(BadRcpt())
