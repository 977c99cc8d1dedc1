"""Command lines and the few arguments that tarry reads."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tarry.smtp.grammar import Chunk, Command, parse_chunk, parse_command, path


@pytest.mark.parametrize(
    ("line", "verb", "argument"),
    [
        (b"NOOP", "NOOP", b""),
        (b"noop", "NOOP", b""),
        (b"QuIt  \t", "QUIT", b""),
        (b"EHLO client.example", "EHLO", b"client.example"),
        (b"EHLO  client.example \t ", "EHLO", b"client.example"),
        (b"EHLO\tclient.example", "EHLO", b"client.example"),
        (b"MAIL FROM:<a@b.example> SIZE=100", "MAIL", b"FROM:<a@b.example> SIZE=100"),
        (b"mail from: <>", "MAIL", b"from: <>"),
        (b"BDAT 10 LAST", "BDAT", b"10 LAST"),
        (b"STARTTLS", "STARTTLS", b""),
        (b"XCLIENT ADDR=127.0.0.1", "XCLIENT", b"ADDR=127.0.0.1"),
        (b"ABCDEFGHIJKLMNOP", "ABCDEFGHIJKLMNOP", b""),
        (b"ABCDEFGHIJKLMNOPQ", "", b""),
        (b"", "", b""),
        (b" EHLO x", "", b""),
        (b"\tEHLO x", "", b""),
        (b"\xef\xbb\xbfEHLO x", "", b""),
        (b"EHLO\x00x", "", b""),
        (b"EHLO:x", "", b""),
        (b"EHLO\x0bx", "", b""),
        (b"EHLO\xa0x", "", b""),
        (b"X-FOO bar", "", b""),
        (b"HTTP/1.1 200", "", b""),
        (b"\xc5\xbfTARTTLS", "", b""),
        (b"EHLO a\nMAIL", "EHLO", b"a\nMAIL"),
    ],
)
def test_a_line_is_cut_into_verb_and_argument(line: bytes, verb: str, argument: bytes) -> None:
    """The verb is a word of ASCII letters in any case, then blanks; where the line begins with none it is ""."""
    assert Command(verb, argument, line) == parse_command(line)


@given(line=st.binary(max_size=80))
def test_any_line_gives_a_command(line: bytes) -> None:
    """Arbitrary bytes never raise; the line is kept as it came, and the verb is one that an allow-list can hold."""
    command = parse_command(line)
    assert line == command.line
    assert command.verb == "" or (command.verb.isascii() and command.verb.isalpha() and command.verb.isupper())
    assert path(command.argument) in command.argument


@pytest.mark.parametrize(
    ("argument", "expected"),
    [
        (b"FROM:<a@b.example>", b"a@b.example"),
        (b"from:<a@b.example> SIZE=1 BODY=8BITMIME", b"a@b.example"),
        (b"TO: <c@d.example>", b"c@d.example"),
        (b"TO:<@relay.example:c@d.example>", b"@relay.example:c@d.example"),
        (b"FROM:<>", b""),
        (b"FROM:a@b.example", b"FROM:a@b.example"),
        (b"FROM:<a@b.example", b"FROM:<a@b.example"),
        (b"a@b.example", b"a@b.example"),
        (b"", b""),
    ],
)
def test_the_path_of_an_argument(argument: bytes, expected: bytes) -> None:
    """What stands between the angle brackets; the whole argument where there are none."""
    assert expected == path(argument)


@pytest.mark.parametrize(
    ("argument", "chunk"),
    [
        (b"0", Chunk(0, False)),
        (b"0 LAST", Chunk(0, True)),
        (b"10", Chunk(10, False)),
        (b"10 LAST", Chunk(10, True)),
        (b"10 last", Chunk(10, True)),
        (b"4294967306", Chunk(2**32 + 10, False)),
        (b"9" * 18, Chunk(10**18 - 1, False)),
    ],
)
def test_a_chunk_size(argument: bytes, chunk: Chunk) -> None:
    """Digits without a leading zero, and LAST behind one space."""
    assert chunk == parse_chunk(argument)


@pytest.mark.parametrize(
    "argument",
    [
        b"", b" ", b"1_0", b"+10", b" 10", b"10 ", b"010", b"00", b"-10", b"-0", b"0x10", b"10.0", b"1e1", b"1" * 19,
        b"99999999999999999999", b"18446744073709551626", b"10 LASTX", b"10  LAST", b"10\tLAST", b"LAST 10", b"LAST", b"10LAST",
        b"10 LAST ", b"10 LAST\n", b"10\n", b"10\0", "\u0661\u0660".encode(), "\uff11\uff10".encode(), "10 LA\u017fT".encode(),
        b"\xb1\xb0",
    ],
)  # fmt: skip
def test_what_is_no_chunk_size(argument: bytes) -> None:
    """Whatever another reader could take for a number, or for another one, is none."""
    assert parse_chunk(argument) is None


@given(octets=st.integers(0, 10**18 - 1), last=st.booleans())
def test_every_chunk_size_is_read_back(octets: int, last: bool) -> None:
    """parse(serialise(x)) == x up to 18 digits."""
    assert Chunk(octets, last) == parse_chunk(b"%d%b" % (octets, b" LAST" if last else b""))


@given(argument=st.binary(max_size=30))
def test_a_chunk_size_that_is_read_was_written_so(argument: bytes) -> None:
    """Arbitrary bytes never raise, and two spellings never mean the same size."""
    chunk = parse_chunk(argument)
    assert chunk is None or argument.upper() == b"%d%b" % (chunk.octets, b" LAST" if chunk.last else b"")
