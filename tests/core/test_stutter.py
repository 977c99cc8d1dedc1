"""Which octets of a slow reply are due."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from tarry.core.stutter import Stutter

DATA = b"250 2.1.5 Ok\r\n"


def test_one_octet_each_pace() -> None:
    """The first at once; asked before the next is due it gives nothing."""
    stutter = Stutter(DATA, 1.0, 100.0, 395.0)
    assert (100.0, 113.0) == (stutter.next_at, stutter.until)
    assert [b"2", b"", b"5"] == [stutter.take(now) for now in (100.0, 100.5, 101.0)]
    assert 102.0 == stutter.next_at


def test_a_late_timer_loses_nothing() -> None:
    """What it missed goes out together, and the pace stays what it was."""
    stutter = Stutter(DATA, 1.0, 100.0, 395.0)
    assert [b"250 ", b"2"] == [stutter.take(103.5), stutter.take(104.0)]
    assert 105.0 == stutter.next_at


def test_at_its_end_the_rest_is_due() -> None:
    """However long the reply is."""
    stutter = Stutter(DATA, 10.0, 100.0, 115.0)
    assert [b"2", b"5", b"0 2.1.5 Ok\r\n"] == [stutter.take(now) for now in (100.0, 110.0, 115.0)]
    assert stutter.is_over


def test_the_rest_at_once() -> None:
    """Whoever asks for it; and nothing is left."""
    stutter = Stutter(DATA, 1.0, 100.0, 395.0)
    stutter.take(100.0)
    assert (DATA[1:], b"", True) == (stutter.rest(), stutter.take(101.0), stutter.is_over)


@given(
    data=st.binary(min_size=1, max_size=80),
    pace=st.floats(0.001, 20.0),
    since=st.floats(0, 1e7),
    room=st.floats(0, 295),
)
@example(b"x" * 60, 0.1, 1004.0, 295.0)
def test_a_driven_stutter_ends_in_time(data: bytes, pace: float, since: float, room: float) -> None:
    """Asked whenever it wants to be, each time it gives something, all in order, and ends when it said."""
    stutter = Stutter(data, pace, since, since + room)
    assert since <= stutter.until <= since + room
    told, now = b"", since
    for _ in range(len(data)):
        now = max(now, stutter.next_at)
        piece = stutter.take(now)
        assert piece
        told += piece
        if stutter.is_over:
            break
    assert (data, True) == (told, stutter.is_over)
    assert now <= stutter.until
