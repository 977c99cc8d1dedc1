"""Replies built, and the MTA's stream cut into replies."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tarry.smtp.reply import LINE_LIMIT, REPLY_LIMIT, Reply, ReplyFault, ReplyReader, reply
from tests.strategies import borders, cut, cuts, soup


def read_all(pieces: Iterable[bytes]) -> list[Reply | ReplyFault]:
    """Feed the pieces and take replies as they come, up to the first fault."""
    reader, seen = ReplyReader(), list[Reply | ReplyFault]()
    for piece in pieces:
        reader.receive_data(piece)
        while (given_out := reader.next_reply()) is not None:
            seen.append(given_out)
            if isinstance(given_out, ReplyFault):
                return seen
    return seen


def one_line(code: int, text: bytes) -> Reply:
    return Reply(code, b"%d %b\r\n" % (code, text))


# Building.


@pytest.mark.parametrize(
    ("code", "texts", "raw"),
    [
        (220, ("mail.example.org ESMTP",), b"220 mail.example.org ESMTP\r\n"),
        (250, ("2.0.0 Ok",), b"250 2.0.0 Ok\r\n"),
        (250, (), b"250 \r\n"),
        (250, ("a", b"SIZE 1000", ""), b"250-a\r\n250-SIZE 1000\r\n250 \r\n"),
        (550, ("zurück",), b"550 zur\xc3\xbcck\r\n"),
    ],
)
def test_a_reply_is_built_line_by_line(code: int, texts: tuple[str | bytes, ...], raw: bytes) -> None:
    """Every line carries the code; all but the last have a hyphen behind it."""
    assert Reply(code, raw) == reply(code, *texts)


@pytest.mark.parametrize(
    ("code", "text"), [(199, "x"), (600, "x"), (0, "x"), (250, "a\r\n250 b"), (250, "a\nb"), (250, "a\rb"), (250, b"a\0b")]
)
def test_what_cannot_stand_in_a_reply_is_refused(code: int, text: str | bytes) -> None:
    """A code outside 200 to 599, and CR, LF or NUL in the text, are our own mistakes and raise."""
    with pytest.raises(ValueError, match=r"no SMTP reply code|CR, LF or NUL"):
        reply(code, text)


@pytest.mark.parametrize(
    ("raw", "lines"),
    [
        (b"250 ok\r\n", (b"ok",)),
        (b"250-a\r\n250-b c\r\n250 d\r\n", (b"a", b"b c", b"d")),
        (b"250\r\n", (b"",)),
        (b"250-a\r\n250\r\n", (b"a", b"")),
    ],
)
def test_the_texts_of_a_reply(raw: bytes, lines: tuple[bytes, ...]) -> None:
    """``lines`` are the texts without code and CRLF, and ``last_line`` is the last of them."""
    assert lines == Reply(250, raw).lines
    assert lines[-1] == Reply(250, raw).last_line


@pytest.mark.parametrize(
    ("code", "positive"), [(199, False), (200, True), (250, True), (299, True), (354, False), (421, False), (550, False)]
)
def test_a_positive_reply_begins_with_2(code: int, positive: bool) -> None:
    """Only 2xx completes a command well."""
    assert positive == Reply(code, b"").is_positive


texts = st.binary(max_size=60).map(lambda text: text.translate(None, b"\r\n\0"))


@given(
    replies=st.lists(st.builds(lambda code, lines: reply(code, *lines), st.integers(200, 599), st.lists(texts, max_size=4))),
    at=borders,
)
def test_what_was_built_is_read_back(replies: list[Reply], at: list[int]) -> None:
    """parse(serialise(x)) == x, for any number of replies, however the stream is cut."""
    assert replies == read_all(cut(b"".join(one.raw for one in replies), at))


# Reading.

MIXED = ReplyFault("a reply that mixes 250 and 550")
NONE = ReplyFault("a line that is no SMTP reply")
BARE = ReplyFault("a reply line that does not end in CRLF")
LONG_LINE = ReplyFault(f"a reply line beyond {LINE_LIMIT} bytes")
LONG_REPLY = ReplyFault(f"a reply beyond {REPLY_LIMIT} bytes")


@pytest.mark.parametrize(
    ("stream", "seen"),
    [
        (b"", []),
        (b"220 x\r", []),
        (b"250-a\r\n", []),
        (b"220 x\r\n", [one_line(220, b"x")]),
        (b"250\r\n", [Reply(250, b"250\r\n")]),
        (b"250 \r\n", [Reply(250, b"250 \r\n")]),
        (b"250-a\r\n250 b\r\n", [Reply(250, b"250-a\r\n250 b\r\n")]),
        (b"250-a\r\n250\r\n", [Reply(250, b"250-a\r\n250\r\n")]),
        (b"250 caf\xe9\r\n", [one_line(250, b"caf\xe9")]),
        (b"250 a\r\n354 b\r\n", [one_line(250, b"a"), one_line(354, b"b")]),
        (b"250-a\r\n250 b\r\n221 c\r\n", [Reply(250, b"250-a\r\n250 b\r\n"), one_line(221, b"c")]),
        (b"250 go\r\n250 injected\r\n", [one_line(250, b"go"), one_line(250, b"injected")]),
        (b"250-a\r\n550 b\r\n", [MIXED]),
        (b"250 ok\r\n250-a\r\n550-b\r\n", [one_line(250, b"ok"), MIXED]),
        (b"hello\r\n", [NONE]),
        (b"\r\n", [NONE]),
        (b"25\r\n", [NONE]),
        (b"2500 x\r\n", [NONE]),
        (b"150 x\r\n", [NONE]),
        (b"650 x\r\n", [NONE]),
        (b"250\tx\r\n", [NONE]),
        (b" 250 x\r\n", [NONE]),
        (b"250 a\0b\r\n", [NONE]),
        (b"250 a\rb\r\n", [NONE]),
        (b"250 a\r\r\n", [NONE]),
        (b"\xb2\xb5\xb0 x\r\n", [NONE]),
        (b"250 x\n", [BARE]),
        (b"\n", [BARE]),
        (b"250 x\n250 y\r\n", [BARE]),
        (b"250 x\r\nHTTP/1.1 400\r\n", [one_line(250, b"x"), NONE]),
    ],
)
def test_reading(stream: bytes, seen: list[Reply | ReplyFault]) -> None:
    """What is a reply comes out as it came; what is none is a fault, after the replies before it; wherever it is cut."""
    for pieces in cuts(stream):
        assert seen == read_all(pieces)


@pytest.mark.parametrize(
    ("stream", "seen"),
    [
        (b"250 " + b"x" * (LINE_LIMIT - 5) + b"\r\n", [one_line(250, b"x" * (LINE_LIMIT - 5))]),
        (b"250 " + b"x" * (LINE_LIMIT - 4) + b"\r\n", [LONG_LINE]),
        (b"250 " + b"x" * (LINE_LIMIT - 3), [LONG_LINE]),
        (b"x" * LINE_LIMIT, []),
        (b"x" * (LINE_LIMIT + 1), [LONG_LINE]),
        (b"250-" + b"x" * 20_000 + b"\r\n250 ok\r\n", [LONG_LINE]),
    ],
    ids=["longest line", "one more", "one more without its end", "longest without an end", "no line end for ever", "20,000 octets"],
)
def test_a_line_has_a_limit(stream: bytes, seen: list[Reply | ReplyFault]) -> None:
    """A line may hold LINE_LIMIT octets with its CR; the next octet is a fault, whether its LF has come or not."""
    for pieces in ([stream], cut(stream, range(0, len(stream), 7)), [stream[:-1], stream[-1:]]):
        assert seen == read_all(pieces)


def test_a_reply_has_a_limit() -> None:
    """A reply may hold REPLY_LIMIT octets in all; a line more is a fault."""
    line = b"250-" + b"x" * 1018 + b"\r\n"
    whole = line * (REPLY_LIMIT // 1024 - 1) + b"250 " + b"x" * 1018 + b"\r\n"
    beyond = line * (REPLY_LIMIT // 1024) + b"250 x\r\n"
    for at in ((), range(0, len(beyond), 500)):
        assert [Reply(250, whole)] == read_all(cut(whole, at))
        assert [LONG_REPLY] == read_all(cut(beyond, at))


stream_of_an_mta = soup(
    b"250 ok\r\n", b"250-a\r\n", b"550 no\r\n", b"354\r\n", b"\r", b"\n", b"\0", b"25", b"x" * 500, b"\xff ", most=20
)


@given(stream=stream_of_an_mta | st.binary(max_size=200), at=borders)
def test_replies_do_not_depend_on_packet_borders(stream: bytes, at: list[int]) -> None:
    """Whatever the MTA sends, nothing raises, and cuts make no difference."""
    assert read_all([stream]) == read_all(cut(stream, at))


@given(stream=stream_of_an_mta)
def test_replies_are_relayed_byte_for_byte(stream: bytes) -> None:
    """The replies read, put together, are the beginning of the stream."""
    raw = b"".join(one.raw for one in read_all([stream]) if isinstance(one, Reply))
    assert stream.startswith(raw)


def test_nothing_is_read_after_a_fault() -> None:
    """The fault stays, good replies behind it count for nothing, and nothing more is stored."""
    reader = ReplyReader()
    reader.receive_data(b"250 ok\r\nrubbish\r\n250 ok\r\n")
    assert [one_line(250, b"ok"), NONE, NONE] == [reader.next_reply(), reader.next_reply(), reader.next_reply()]
    reader.receive_data(b"250 ok\r\n" * 1000)
    assert NONE == reader.next_reply()
    assert 0 == len(reader)


def test_the_length_is_what_was_not_handed_out() -> None:
    """What lies behind a reply is seen: behind a STARTTLS reply it would be an injection."""
    reader = ReplyReader()
    reader.receive_data(b"220 go\r\n250 injected\r\n")
    assert one_line(220, b"go") == reader.next_reply()
    assert len(b"250 injected\r\n") == len(reader)
