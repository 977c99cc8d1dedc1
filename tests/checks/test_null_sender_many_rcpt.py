"""null_sender_many_rcpt: bounces to several people."""

from __future__ import annotations

import pytest

from tarry.checks.null_sender_many_rcpt import NullSenderManyRcpt, Options
from tarry.core.border import Recipient
from tarry.core.check import About
from tarry.core.result import PASSED, Failed, Outcome
from tests.checks.looking import codes, look, says_unknown_elsewhere

TABLE: list[tuple[str | None, int, int, Outcome]] = [
    ("", 1, 1, PASSED),
    ("", 2, 1, Failed("limit", "2 recipients")),
    ("", 9, 1, Failed("limit", "9 recipients")),
    ("", 5, 5, PASSED),
    ("", 6, 5, Failed("limit", "6 recipients")),
    ("", 1, 0, Failed("limit", "1 recipients")),
    ("a@b.example", 9, 1, PASSED),
    ("<>", 9, 1, PASSED),
    (None, 9, 1, PASSED),
]


@pytest.mark.parametrize(("sender", "count", "limit", "outcome"), TABLE)
def test_what_it_finds(sender: str | None, count: int, limit: int, outcome: Outcome) -> None:
    """One recipient passes, the second fails; other senders may have as many as they like, and so may who has said no MAIL."""
    about = About("192.0.2.7", sender=sender)
    assert outcome == look(NullSenderManyRcpt(), Recipient("c@d.example", count), Options(limit=limit), about)


def test_its_codes() -> None:
    """Each declared code can be had, and no other; elsewhere it says unknown."""
    assert set(NullSenderManyRcpt.codes) == codes(TABLE)
    assert says_unknown_elsewhere(NullSenderManyRcpt())
