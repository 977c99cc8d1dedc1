"""non_smtp: HTTP, headers and text where a command should stand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tarry.checks.non_smtp import NonSmtp
from tarry.core.border import Unrecognised
from tarry.core.result import PASSED, Failed, Outcome
from tarry.smtp.grammar import parse_command
from tarry.smtp.text import escape
from tests.checks.looking import codes, look, says_unknown_elsewhere

TABLE: list[tuple[bytes, Outcome]] = [
    *(
        (verb + b" / HTTP/1.1", Failed("http", verb.decode() + " / HTTP/1.1"))
        for verb in (b"GET", b"POST", b"HEAD", b"PUT", b"DELETE", b"OPTIONS", b"TRACE", b"PATCH", b"CONNECT", b"PRI", b"get")
    ),
    (b"GET", Failed("http", "GET")),
    (b"USER anonymous", Failed("http", "USER anonymous")),
    (b"Host: mail.example.org", Failed("header", "Host: mail.example.org")),
    (b"Subject:", Failed("header", "Subject:")),
    (b"X-Mailer:\tx", Failed("header", "X-Mailer:\\tx")),
    (b"From: <a@b.example>", Failed("header", "From: <a@b.example>")),
    (b"--boundary", Failed("text", "--boundary")),
    (b"<html>", Failed("text", "<html>")),
    (b"Hi!", Failed("text", "Hi!")),
    (b"Buy now", PASSED),
    (b"  ", PASSED),
    (b"an offer", Failed("text", "an offer")),
    (b"twelveletter here", PASSED),
    (b"thirteenchars here", Failed("text", "thirteenchars here")),
    (b"XEXCH50 1 2", PASSED),
    (b"X-LINK2STATE LAST CHUNK={x}", PASSED),
    (b" EHLO x", Failed("text", " EHLO x")),
    (b"\xef\xbb\xbfEHLO x", Failed("text", "\\xef\\xbb\\xbfEHLO x")),
    (b"1234", Failed("text", "1234")),
    (b".", Failed("text", ".")),
    (b"", PASSED),
    (b"EHLLO x", PASSED),
    (b"STARTTLSX", PASSED),
    (b"XCLIENT ADDR=127.0.0.1", PASSED),
    (b"MAIL FROM:<a@b.example>", PASSED),
]


def found(line: bytes) -> Outcome:
    return look(NonSmtp(), Unrecognised(parse_command(line)))


@pytest.mark.parametrize(("line", "outcome"), TABLE, ids=repr)
def test_what_it_finds(line: bytes, outcome: Outcome) -> None:
    """HTTP verbs, header lines, and lines that begin with no possible verb; a mistyped command is none of these."""
    assert outcome == found(line)


@given(line=st.binary(max_size=200).map(lambda line: line.translate(None, b"\r\n\0")))
def test_any_line_is_judged(line: bytes) -> None:
    """Arbitrary bytes never raise, and the detail of a failure is the line, escaped."""
    outcome = found(line)
    assert outcome == PASSED or (isinstance(outcome, Failed) and outcome.detail == escape(line))


def test_its_codes() -> None:
    """Each declared code can be had, and no other; elsewhere it says unknown."""
    assert set(NonSmtp.codes) == codes(TABLE)
    assert says_unknown_elsewhere(NonSmtp())
