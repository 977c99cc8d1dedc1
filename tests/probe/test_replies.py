from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tarry.probe.replies import MAX_LINE_BYTES, ReplyReader


def read(*pieces: bytes) -> list[tuple[int, str]]:
    reader = ReplyReader()
    return [reply for piece in pieces for reply in reader.feed(piece)] + reader.finish()


@pytest.mark.parametrize(
    ("stream", "expected"),
    [
        (b"", []),
        (b"220 mx ESMTP\r\n", [(220, "mx ESMTP")]),
        (b"220 mx ESMTP\n", [(220, "mx ESMTP")]),
        (b"250\r\n", [(250, "")]),
        (b"250-mx\r\n250-SIZE\r\n250 HELP\r\n", [(250, "mx")]),
        (b"220 mx\r\n250 ok\r\n", [(220, "mx"), (250, "ok")]),
        (b"220-wait\r\n521 too early\r\n", [(521, "too early")]),
        (b"HTTP/1.1 400 Bad Request\r\n", [(0, "HTTP/1.1 400 Bad Request")]),
        (b"199 no\r\n600 no\r\n", [(0, "199 no"), (0, "600 no")]),
        (b"250-mx\r\ngarbage\r\n250 ok\r\n", [(0, "garbage"), (250, "ok")]),
        (b"220 cut", [(220, "cut")]),
        (b"220-teaser\r\n", [(0, "teaser")]),
        (b"220-teaser\r\n220-cut", [(0, "teaser")]),
        (b"\x15\x03\x01\x00\x02\x02\x28", [(0, "\\x15\\x03\\x01\\x00\\x02\\x02(")]),
        (b"220 \x1b[2J\r\n", [(220, "\\x1b[2J")]),
    ],
)
def test_a_stream_is_cut_into_replies(stream: bytes, expected: list[tuple[int, str]]) -> None:
    """Multi-line replies count once, with their last code; what is no reply has code 0."""
    assert expected == read(stream)


def test_an_endless_line_is_given_up() -> None:
    """A line longer than the bound is garbage and is not kept."""
    reader = ReplyReader()

    assert reader.feed(b"220 " + b"x" * MAX_LINE_BYTES) == [(0, "220 " + "x" * 96)]
    assert reader.finish() == []


@given(
    stream=st.lists(st.sampled_from([b"220-a\r\n", b"220 b\r\n", b"521 c\n", b"\x16x", b"\r\n", b"25"])).map(b"".join),
    cuts=st.lists(st.integers(0, 60)),
)
def test_replies_do_not_depend_on_packet_borders(stream: bytes, cuts: list[int]) -> None:
    """The same replies come out however TCP splits the stream."""
    borders = [0, *sorted(cuts), len(stream)]

    assert read(stream) == read(*(stream[begin:end] for begin, end in pairwise(borders)))


@given(stream=st.binary())
def test_arbitrary_bytes_never_raise(stream: bytes) -> None:
    """Bad input is a value."""
    assert all(code == 0 or 200 <= code <= 599 for code, _ in read(stream))
