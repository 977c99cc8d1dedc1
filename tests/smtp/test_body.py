"""What leaves the message filter, against a model too simple to be wrong."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import lru_cache
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tarry.smtp.body import BodyFault, MessageFilter
from tests.strategies import borders, cut, cuts, message_bytes

END = b"\r\n.\r\n"


# The model: collect everything, then look.


@lru_cache(maxsize=1)  # a stream is looked at in many cuts
def model(stream: bytes) -> tuple[bytes, bytes] | None:
    """Return the message as an MTA is to understand it, and what follows its end; None where it has no end."""
    whole = b"\r\n" + stream
    end = whole.find(END)
    if end < 0:
        return None
    text = whole[2 : end + 2]
    lines = [mended(line[1:] if line.startswith(b".") else line) for line in text.split(b"\r\n")]
    return b"\r\n".join(lines), whole[end + 5 :]


def mended(line: bytes) -> bytes:
    """Return a line in which every bare LF is a line end and every other stray byte a space."""
    return line.replace(b"\r", b" ").replace(b"\0", b" ").replace(b"\n", b"\r\n")


def understood(wire: bytes) -> bytes:
    """Return what an MTA that keeps to RFC 5321 §4.5.2 makes of the bytes that it is sent."""
    return b"\r\n".join(line[1:] if line.startswith(b".") else line for line in wire.split(b"\r\n"))


@lru_cache(maxsize=1)
def first_stray(stream: bytes) -> str:
    """Return the first stray byte before the end of data, "" where there is none."""
    whole = b"\r\n" + stream
    end = whole.find(END)
    for index in range(2, len(whole) if end < 0 else end):
        match whole[index - 1 : index], whole[index : index + 1], whole[index + 1 : index + 2]:
            case _, b"\0", _:
                return "NUL"
            case before, b"\n", _ if before != b"\r":
                return "LF"
            case _, b"\r", after if after not in (b"\n", b""):
                return "CR"
    return ""


def passed(pieces: Iterable[bytes], *, normalize: bool = True) -> tuple[bytes, bytes | None, str] | BodyFault:
    """Feed the pieces; return all that went out, what followed the end of data (None: no end yet), and what was mended."""
    message = MessageFilter(normalize=normalize)
    out = b""
    remaining = list(pieces)
    while remaining:
        given_out = message.feed(remaining.pop(0))
        if isinstance(given_out, BodyFault):
            return given_out
        out += given_out[0]
        if given_out[1] is not None:
            return out, given_out[1] + b"".join(remaining), message.found
    return out, None, message.found


def check_against_the_model(stream: bytes, pieces: Iterable[bytes]) -> None:
    result = passed(pieces)
    assert not isinstance(result, BodyFault)
    wire, rest, found = result
    expected = model(stream)
    if expected is None:
        assert rest is None
    else:
        assert (expected[0], expected[1]) == (understood(wire), rest)
    assert first_stray(stream) == found
    assert not re.search(rb"(?<!\r)\n|\r(?!\n)|\0", wire)
    assert not any(line in (b".", b".\r") for line in wire.split(b"\r\n"))


@settings(max_examples=400)
@given(stream=message_bytes, at=borders)
def test_the_filter_does_what_the_model_does(stream: bytes, at: list[int]) -> None:
    """The MTA understands the un-stuffed, normalised message, and the end is CRLF.CRLF, wherever the stream is cut."""
    check_against_the_model(stream, cut(stream, at))


@given(stream=st.binary(max_size=300), at=borders)
def test_arbitrary_bytes_never_raise(stream: bytes, at: list[int]) -> None:
    """Any bytes in, a value out; and the model holds for them too."""
    check_against_the_model(stream, cut(stream, at))


@pytest.mark.slow
@pytest.mark.parametrize("length", range(1, 7))
def test_every_short_stream_in_every_cut(length: int) -> None:
    """All streams of CR, LF, NUL, dot and a letter up to six bytes, whole, in two pieces and byte by byte."""
    for letters in product(b"\r\n.\0a", repeat=length):
        stream = bytes(letters)
        for tail in (b"", END + b"rest") if length < 6 else (END,):
            for pieces in cuts(stream + tail):
                check_against_the_model(stream + tail, pieces)


# What may not end a message: reliability.md 2.1.

_LF_AND_CR = (
    b"\n.\n", b"\n.\r\n", b"\r\n.\n", b"\n.\r", b"\r.\n", b"\r.\r", b"\r.\r\n", b"\r\n.\r", b"\r\n.\n\r", b"\n\r.\n\r",
    b"\n\n.\n\n",
)  # fmt: skip
_DOUBLED_CR = (b"\r\n.\r\r\n", b"\r\r\n.\r\r\n", b"\r\r\n.\r\r")
_NUL = (b"\r\n\0.\r\n", b"\r\n.\0\r\n", b"\r\n.\r\0\n", b"\r\0\n.\r\n")
_PADDED = (b"\r\n. \r\n", b"\r\n.\t\r\n", b"\r\n .\r\n", b"\r\n.\x0c\r\n")
_PYTHON = tuple(
    form
    for end in (b"\x0b", b"\x0c", b"\x1c", b"\x1d", b"\x1e", b"\x85", b"\xc2\x85", b"\xe2\x80\xa8", b"\xe2\x80\xa9")
    for form in (end + b"." + end, b"\r\n." + end, b"\r\n." + end + b"\r\n", end + b".\r\n")
)
_EIGHT_BIT = (b"\r\n\xae\r\n", b"\x8d\x8a.\x8d\x8a", b"\r\n\xc0\xae\r\n")
_LONG_LINE = tuple(b"\r\n" + b"A" * k + b".\r\n" for k in (510, 998, 1000, 1024, 2048, 4096, 8192, 65535, 65536))
VARIANTS = (*_LF_AND_CR, *_DOUBLED_CR, *_NUL, *_PADDED, *_PYTHON, *_EIGHT_BIT, *_LONG_LINE)

SMUGGLED = b"MAIL FROM:<smuggled@evil.example>\r\nRCPT TO:<victim@example.org>\r\nDATA\r\nhello"
BEGINNINGS = (b"Subject: x\r\n\r\nbody", b"")


def _name(variant: bytes) -> str:
    return re.sub(r"A{9,}", lambda run: f"A*{len(run[0])}", repr(variant)[2:-1])


variants = pytest.mark.parametrize("variant", VARIANTS, ids=_name)


@variants
@pytest.mark.parametrize("beginning", BEGINNINGS, ids=("in the message", "directly after 354"))
def test_nothing_but_crlf_dot_crlf_ends_a_message(variant: bytes, beginning: bytes) -> None:
    """What follows any other dot line is message text, wherever it is cut; only the true end ends the message."""
    stream = beginning + variant + SMUGGLED + END + b"QUIT\r\n"
    near = range(max(0, len(beginning) - 2), min(len(beginning), 20) + 2)
    tail = range(len(beginning) + len(variant) - 6, len(beginning) + len(variant) + 3)
    for at in [(), *((index,) for index in (*near, *tail)), tuple(range(len(stream) if len(stream) < 2000 else 0))]:
        result = passed(cut(stream, [index for index in at if index >= 0]))
        assert not isinstance(result, BodyFault)
        assert b"QUIT\r\n" == result[1]
        assert SMUGGLED in result[0]


# How an MTA that is not strict may cut lines. Each is handed what the filter let out.

Reader = Callable[[bytes], list[bytes]]

GUARDED: dict[str, Reader] = {
    "CRLF ends a line": lambda wire: wire.split(b"\r\n"),
    "LF ends a line": lambda wire: wire.split(b"\n"),
    "LF ends a line, CRs before it are dropped": lambda wire: [line.rstrip(b"\r") for line in wire.split(b"\n")],
    "CR ends a line as well": lambda wire: re.split(rb"\r\n|\r|\n", wire),
    "CR is dropped": lambda wire: wire.replace(b"\r", b"").split(b"\n"),
    "NUL is dropped": lambda wire: wire.replace(b"\0", b"").split(b"\r\n"),
    "what follows a NUL is dropped": lambda wire: [line.partition(b"\0")[0] for line in wire.split(b"\r\n")],
    "white space and controls behind the dot are dropped": lambda wire: [
        line.rstrip(bytes(range(33)) + b"\x7f") for line in wire.split(b"\r\n")
    ],
}
"""Against these the filter guards whatever the client sends."""

OPEN: dict[str, Reader] = {
    "white space before the dot is dropped": lambda wire: [line.strip(bytes(range(33))) for line in wire.split(b"\r\n")],
    "str.splitlines on Latin-1": lambda wire: [line.encode("latin-1") for line in wire.decode("latin-1").splitlines()],
    "str.splitlines on UTF-8": lambda wire: [
        line.encode("utf-8", "replace") for line in wire.decode("utf-8", "replace").splitlines()
    ],
    "bit 8 is masked": lambda wire: re.split(rb"\r\n|\r|\n", bytes(byte & 127 for byte in wire)),
    "a line is cut at 1,000 octets": lambda wire: [
        line[at : at + 1000] for line in wire.split(b"\r\n") for at in range(0, len(line) or 1, 1000)
    ],
}
"""Against these no filter can guard that passes 8-bit text, indented lines and long lines as they came; each is told below."""

CANNOT: dict[str, frozenset[bytes]] = {
    "white space before the dot is dropped": frozenset({b"\r\n\0.\r\n", b"\r\n .\r\n", b"\n\r.\n\r"}),
    "str.splitlines on Latin-1": frozenset(
        form for end in (b"\x0b", b"\x0c", b"\x1c", b"\x1d", b"\x1e", b"\x85") for form in (end + b"." + end, end + b".\r\n")
    )
    | {b"\xc2\x85.\r\n"},
    "str.splitlines on UTF-8": frozenset(
        form
        for end in (b"\x0b", b"\x0c", b"\x1c", b"\x1d", b"\x1e", b"\xc2\x85", b"\xe2\x80\xa8", b"\xe2\x80\xa9")
        for form in (end + b"." + end, end + b".\r\n")
    ),
    "bit 8 is masked": frozenset({b"\r\n\xae\r\n", b"\x8d\x8a.\x8d\x8a"}),
    "a line is cut at 1,000 octets": frozenset({b"\r\n" + b"A" * 1000 + b".\r\n"}),
}


def let_out(variant: bytes, beginning: bytes) -> bytes:
    result = passed([beginning + variant + SMUGGLED + END])
    assert not isinstance(result, BodyFault)
    return result[0]


@variants
@pytest.mark.parametrize("beginning", BEGINNINGS, ids=("in the message", "directly after 354"))
def test_an_mta_that_cuts_lines_badly_still_gets_one_message(variant: bytes, beginning: bytes) -> None:
    """No reader that takes CR, LF, NUL or padding loosely finds a dot line in what the filter lets out."""
    wire = let_out(variant, beginning)
    assert [] == [name for name, lines in GUARDED.items() if b"." in lines(wire)]


@variants
def test_what_the_filter_cannot_guard_against_is_known(variant: bytes) -> None:
    """Text is never altered for the sake of an MTA that strips indents, masks bit 8, cuts long lines or takes Unicode line ends."""
    wire = let_out(variant, b"body")
    expected = {name for name, known in CANNOT.items() if variant in known}
    assert expected == {name for name, lines in OPEN.items() if b"." in lines(wire)}


@settings(max_examples=300)
@given(stream=message_bytes, at=borders)
def test_no_loose_reader_finds_a_dot_line(stream: bytes, at: list[int]) -> None:
    """The same holds for any stream, and for as much of it as has come."""
    for end in range(len(stream) + 1):
        result = passed(cut(stream[:end], at))
        assert not isinstance(result, BodyFault)
        for name, lines in GUARDED.items():
            assert b"." not in lines(result[0]), name


@variants
def test_a_stream_that_breaks_off_leaves_no_dot_behind(variant: bytes) -> None:
    """However far the client got: an MTA that takes the end of the connection for the end of a line finds no dot in it."""
    stream = b"body" + (variant if len(variant) < 100 else variant[-40:]) + b"MAIL"
    for end in range(len(stream) + 1):
        for pieces in ([stream[:end]], [stream[at : at + 1] for at in range(end)]):
            result = passed(pieces)
            assert not isinstance(result, BodyFault)
            assert not re.search(rb"(?:\A|[\r\n])\.\r?\n?\Z", result[0])


# Clean data.

_clean_lines = st.lists(st.binary(max_size=20).map(lambda line: re.sub(rb"[\r\n\0]", b"_", line)), max_size=10)


@given(lines=_clean_lines, at=borders)
def test_clean_data_passes_byte_for_byte(lines: list[bytes], at: list[int]) -> None:
    """A properly stuffed message is not touched."""
    stuffed = b"".join((b"." + line if line.startswith(b".") else line) + b"\r\n" for line in lines)
    assert (stuffed, b"next", "") == passed(cut(stuffed + b".\r\nnext", at))


def test_clean_data_leaves_in_whole_blocks() -> None:
    """Of a block only what could be the beginning of the end is held back, and it goes out with the next."""
    message = MessageFilter(normalize=True)
    transcript: list[tuple[bytes, tuple[bytes, bytes | None]]] = [
        (b"a line\r\n", (b"a line", None)),
        (b"another\r", (b"\r\nanother", None)),
        (b"\n", (b"", None)),
        (b".", (b"", None)),
        (b"", (b"", None)),
        (b".\r", (b"\r\n..", None)),
        (b"\n.\r", (b"", None)),
        (b"\nQUIT", (b"\r\n", b"QUIT")),
    ]
    assert [out for _, out in transcript] == [message.feed(block) for block, _ in transcript]


@pytest.mark.parametrize(
    ("stream", "out", "rest"),
    [
        (b".\r\n", b"", b""),
        (b"\r\n.\r\n", b"\r\n", b""),
        (b"a\r\n.\r\nQUIT\r\n", b"a\r\n", b"QUIT\r\n"),
        (b"..\r\n.\r\n", b"..\r\n", b""),
        (b".a\r\n.\r\n", b"a\r\n", b""),
        (b"a\r\n.b\r\n..c\r\n.d\r\n.\r\n", b"a\r\nb\r\n..c\r\nd\r\n", b""),
        (b". \r\n.\r\n", b" \r\n", b""),
        (b"a\nb\r\n.\r\n", b"a\r\nb\r\n", b""),
        (b"a\n.b\r\n.\r\n", b"a\r\n..b\r\n", b""),
        (b"a\rb\0c\r\n.\r\n", b"a b c\r\n", b""),
        (b"\n.\r\n.\r\n", b"\r\n..\r\n", b""),
    ],
)
def test_what_goes_out(stream: bytes, out: bytes, rest: bytes) -> None:
    """The bytes on the wire, case by case, whole and cut everywhere."""
    for pieces in cuts(stream):
        result = passed(pieces)
        assert not isinstance(result, BodyFault)
        assert (out, rest) == result[:2]


# Reject.


@settings(max_examples=300)
@given(stream=message_bytes, at=borders)
def test_reject_names_the_first_stray_wherever_the_stream_is_cut(stream: bytes, at: list[int]) -> None:
    """With ``reject`` the message is at fault exactly where ``normalize`` would mend it, and for the same byte."""
    what = first_stray(stream)
    result = passed(cut(stream, at), normalize=False)
    if what:
        assert BodyFault(what) == result
    else:
        assert passed([stream]) == result


@pytest.mark.parametrize(("stray", "what"), [(b"\n", "LF"), (b"\r", "CR"), (b"\0", "NUL")])
@pytest.mark.parametrize("beginning", [b"", b"body", b"body\r\n"])
def test_reject_refuses_each_stray(beginning: bytes, stray: bytes, what: str) -> None:
    """A bare CR, a bare LF and a NUL are each told by name, in the first block as in a later one."""
    for pieces in cuts(beginning + stray + b"more"):
        assert BodyFault(what) == passed(pieces, normalize=False)
