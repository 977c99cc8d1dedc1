"""Bytes from a peer made fit for a log."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tarry.smtp.text import TEXT_LIMIT, escape, evidence

_PIECE = re.compile(r"\\x[0-9a-f]{2}|\\[tnr\\]|[ -\[\]-~]")


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", ""),
        (b"EHLO x", "EHLO x"),
        (b"EHLO x\r\n", "EHLO x\\r\\n"),
        (b"a\tb", "a\\tb"),
        (b"a\\b", "a\\\\b"),
        (b"\x16\x03\x01", "\\x16\\x03\\x01"),
        (b"\x1b[31m", "\\x1b[31m"),
        (b"caf\xc3\xa9", "caf\\xc3\\xa9"),
        (b"\x7f\0", "\\x7f\\x00"),
        (b'"', '"'),
    ],
)
def test_escapes(data: bytes, text: str) -> None:
    """Printable ASCII stays; the rest is told in escapes that can be read back by eye."""
    assert text == escape(data)


@pytest.mark.parametrize(
    ("data", "limit", "text"),
    [
        (b"abcdef", 3, "abc"),
        (b"abc", 0, ""),
        (b"ab\r\n", 3, "ab"),
        (b"ab\r\n", 4, "ab\\r"),
        (b"a\x00b", 4, "a"),
        (b"a\x00b", 5, "a\\x00"),
        (b"a\x00b", 6, "a\\x00b"),
        (b"\x00a", 3, ""),
        (b"x" * 200, TEXT_LIMIT, "x" * 100),
    ],
)
def test_the_limit_counts_characters(data: bytes, limit: int, text: str) -> None:
    """No more than *limit* characters come out, and the last escape is whole or absent."""
    assert text == escape(data, limit)


@given(data=st.binary(max_size=300), limit=st.integers(0, 120))
def test_the_text_is_printable_ascii_on_one_line(data: bytes, limit: int) -> None:
    """Whatever a peer sends: ASCII, one line, within the limit, no escape cut, and the true beginning of the data."""
    text = escape(data, limit)
    assert text.isascii() and text.isprintable() and len(text) <= limit
    pieces = _PIECE.findall(text)
    assert text == "".join(pieces)
    assert data[: len(pieces)] == text.encode().decode("unicode_escape").encode("latin-1")
    assert len(pieces) == len(data) or len(text) + 4 > limit or len(pieces) == limit


@given(one=st.binary(max_size=20), other=st.binary(max_size=20))
def test_different_bytes_give_different_text(one: bytes, other: bytes) -> None:
    """Within the limit nothing is lost."""
    assert (one == other) == (escape(one) == escape(other))


@pytest.mark.parametrize(
    ("data", "shown"),
    [
        (b"EHLO x\r\nAUTH PLAIN AGEAYg==\r\nMAIL", "EHLO x\\r\\nAUTH PLAIN ..."),
        (b"auth login dXNlcg==", "auth login ..."),
        (b"AUTH LOGIN\r\ndXNlcg==\r\n", "AUTH LOGIN ..."),
        (b"AUTH", "AUTH"),
        (b"EHLO x", "EHLO x"),
    ],
)
def test_evidence_shows_no_password(data: bytes, shown: str) -> None:
    """What follows AUTH and its mechanism is left out, also where it stands in the lines behind."""
    assert shown == evidence(data)
