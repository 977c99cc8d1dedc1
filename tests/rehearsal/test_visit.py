"""What a client says that is tried out."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import ip_address

import pytest

from tarry.rehearsal.visit import MOST, Visit, dialogue
from tarry.smtp.reply import reply

HERE = ip_address("192.0.2.7")


def said(visit: Visit, answer: Callable[[str], int] = lambda line: 354 if line == "DATA" else 250) -> list[str]:
    """Return what it says when each line is answered with the code that *answer* gives."""
    talk, lines = dialogue(visit), []
    line = next(talk)
    while True:
        lines.append(line.told)
        try:
            line = talk.send(reply(answer(line.told)))
        except StopIteration:
            return lines


def test_it_brings_one_message() -> None:
    """EHLO, one transaction, QUIT."""
    visit = Visit(HERE, "h.example", "a@b.example", ("c@d.example", "e@f.example"))
    expected = ["EHLO h.example", "MAIL FROM:<a@b.example>", "RCPT TO:<c@d.example>", "RCPT TO:<e@f.example>", "DATA"]
    assert [*expected, "sends its message", "QUIT"] == said(visit)


@pytest.mark.parametrize(
    ("early", "first"), [(b"EHLO x\r\n", "MAIL"), (b"HELO x\r\n", "MAIL"), (b"QUIT\r\n", "EHLO"), (b"", "EHLO")]
)
def test_who_has_said_its_name_early_does_not_say_it_again(early: bytes, first: str) -> None:
    """It would be a change of name, which it did not make."""
    assert next(dialogue(Visit(HERE), early)).told.startswith(first)


def test_the_null_sender_is_empty() -> None:
    """As in a bounce."""
    assert "MAIL FROM:<>" in said(Visit(HERE, sender=""))


def test_floods_come_before_the_message_and_recipients_are_made_up() -> None:
    """Each kind in its number; a recipient beyond those given has a number in its name."""
    visit = Visit(HERE, recipients=("a@b.example",), counts={"rcpt": 3, "rset": 2, "noop": 1, "error": 1})
    lines = said(visit)
    assert ["XYZZY", "NOOP", "RSET", "RSET"] == lines[1:5]
    assert ["RCPT TO:<a@b.example>", "RCPT TO:<a-2@b.example>", "RCPT TO:<a-3@b.example>"] == lines[6:9]


def test_mail_counts_messages() -> None:
    """With three there are three whole transactions."""
    lines = said(Visit(HERE, counts={"mail": 3}))
    assert (3, 3) == (lines.count("DATA"), lines.count("sends its message"))


@pytest.mark.parametrize(("kind", "number", "expected"), [("rcpt", 1, 2), ("rcpt", 5, 5), ("mail", 0, 1), ("noop", 10**9, MOST)])
def test_counts_are_bounded(kind: str, number: int, expected: int) -> None:
    """No fewer than what is given, and no more than MOST."""
    assert expected == Visit(HERE, recipients=("a@b", "c@d"), counts={kind: number}).count(kind)


@pytest.mark.parametrize(
    ("refused", "expected"),
    [
        ("EHLO", ["EHLO", "QUIT"]),
        ("MAIL", ["EHLO", "MAIL", "QUIT"]),
        ("RCPT", ["EHLO", "MAIL", "RCPT", "RSET", "QUIT"]),
        ("DATA", ["EHLO", "MAIL", "RCPT", "DATA", "QUIT"]),
        ("sends", ["EHLO", "MAIL", "RCPT", "DATA", "sends", "QUIT"]),
    ],
)
def test_it_gives_up_where_it_is_refused(refused: str, expected: list[str]) -> None:
    """A refusal ends what it was about, and QUIT comes last."""
    lines = said(Visit(HERE), lambda line: 550 if line.startswith(refused) else 354 if line == "DATA" else 250)
    assert expected == [line.split(" ")[0] for line in lines]
