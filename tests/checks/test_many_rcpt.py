"""many_rcpt: very many recipients."""

from __future__ import annotations

import pytest

from tarry.checks.many_rcpt import ManyRcpt, Options
from tarry.core.border import RecipientAnswered
from tarry.core.result import PASSED, Failed, Outcome
from tests.checks.looking import codes, looks, says_unknown_elsewhere

TABLE: list[tuple[RecipientAnswered, Options, Outcome]] = [
    (RecipientAnswered(250, 100, 0), Options(), PASSED),
    (RecipientAnswered(250, 101, 0), Options(), Failed("limit", "101 recipients")),
    (RecipientAnswered(550, 100, 90), Options(), PASSED),
    (RecipientAnswered(550, 0, 200), Options(), PASSED),
    (RecipientAnswered(250, 18, 0), Options(limit=18), PASSED),
    (RecipientAnswered(250, 19, 0), Options(limit=18), Failed("limit", "19 recipients")),
    (RecipientAnswered(250, 20, 3), Options(limit=18), Failed("limit", "20 recipients")),
]


@pytest.mark.parametrize(("moment", "options", "outcome"), TABLE, ids=repr)
def test_what_it_finds(moment: RecipientAnswered, options: Options, outcome: Outcome) -> None:
    """As many accepted recipients as the limit pass; the next one fails."""
    assert (outcome,) == looks(ManyRcpt(), moment, options)


def test_its_codes() -> None:
    """Each declared code can be had, and no other; elsewhere it says unknown."""
    assert set(ManyRcpt.codes) == codes(TABLE)
    assert says_unknown_elsewhere(ManyRcpt())
