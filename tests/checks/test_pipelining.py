"""pipelining: what RFC 2920 lets stand where in a group."""

from __future__ import annotations

import pytest

from tarry.checks.pipelining import Pipelining
from tarry.core.border import Moment, Piled
from tarry.core.result import PASSED, Failed, Outcome
from tests.checks.looking import codes, look, says_unknown_elsewhere

TABLE: list[tuple[Moment, Outcome]] = [
    *((Piled(verb, b"QUIT\r\n", True), PASSED) for verb in ("MAIL", "RCPT", "RSET", "SEND", "SOML", "SAML", "BDAT")),
    *(
        (Piled(verb, b"QUIT\r\n", True), Failed("group", f"{verb}: QUIT\\r\\n"))
        for verb in ("EHLO", "HELO", "DATA", "VRFY", "EXPN", "TURN", "QUIT", "NOOP", "STARTTLS", "AUTH", "HELP", "XCLIENT")
    ),
    *((Piled(verb, b"x", False), Failed("early", f"{verb}: x")) for verb in ("EHLO", "HELO", "MAIL", "RSET", "NOOP", "QUIT")),
    (Piled("", b"x", True), Failed("group", ": x")),
    (Piled("", b"x", False), Failed("early", ": x")),
    (Piled("DATA", b"\0" * 100, True), Failed("group", "DATA: " + "\\x00" * 23)),
    (Piled("ABCDEFGHIJKLMNOP", b"\n" * 100, False), Failed("early", "ABCDEFGHIJKLMNOP: " + "\\n" * 41)),
]


@pytest.mark.parametrize(("moment", "outcome"), TABLE, ids=repr)
def test_what_it_finds(moment: Moment, outcome: Outcome) -> None:
    """In a group some commands may stand anywhere and others only last; without grouping nothing may be piled up."""
    assert outcome == look(Pipelining(), moment)


def test_its_codes() -> None:
    """Each declared code can be had, and no other; elsewhere it says unknown."""
    assert set(Pipelining.codes) == codes(TABLE)
    assert says_unknown_elsewhere(Pipelining())
