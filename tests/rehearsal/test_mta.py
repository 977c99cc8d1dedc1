"""The MTA of a rehearsal."""

from __future__ import annotations

from tarry.core.border import CloseMta, Emit, OpenMta, Relay
from tarry.record import schema
from tarry.rehearsal.mta import OFFERED, Mta


def answers(mta: Mta, *lines: bytes) -> list[int]:
    """Open it, say the lines, and return the codes of all that it says, its greeting first."""
    mta.take([OpenMta()])
    codes = []
    for line in (b"", *lines):
        mta.take([Relay(line)] if line else [])
        while said := mta.says():
            codes.append(int(said[:3]))
    return codes


def test_it_accepts_everything_and_counts() -> None:
    """Recipients and messages."""
    mta = Mta()
    lines = (b"EHLO x\r\n", b"MAIL FROM:<>\r\n", b"RCPT TO:<a@b>\r\n", b"RCPT TO:<c@d>\r\n", b"DATA\r\n")
    assert [220, 250, 250, 250, 250, 354, 250, 250] == answers(mta, *lines, b"text\r\n.\r\n", b"QUIT\r\n")
    assert (2, 2, 1) == (mta.rcpts, mta.accepted, mta.messages)


def test_it_refuses_as_many_recipients_as_told() -> None:
    """The first ones."""
    mta = Mta(2)
    assert [220, 550, 550, 250] == answers(mta, *[b"RCPT TO:<a@b>\r\n"] * 3)
    assert (3, 1) == (mta.rcpts, mta.accepted)


def test_a_message_ends_with_its_dot_only() -> None:
    """Lines before it are no commands."""
    assert [220, 354] == answers(Mta(), b"DATA\r\n", b"RSET\r\n")


def test_who_has_closed_it_hears_nothing_more() -> None:
    """Also of what was said before; and it may be opened anew."""
    mta = Mta()
    assert b"" == mta.says()
    mta.take([OpenMta(), CloseMta(abort=True)])
    assert (False, b"") == (mta.is_wanted, mta.says())
    mta.take([OpenMta(), Emit(schema.Greet(0.0))])
    assert mta.is_wanted
    assert mta.says().startswith(b"220 ")
    mta.take([Relay(b"MAIL FROM:<>\r\n"), CloseMta(abort=False)])
    assert b"" == mta.says()


def test_it_offers_what_most_do() -> None:
    """Pipelining among it, so that a client may group commands."""
    assert OFFERED.offers("PIPELINING")
