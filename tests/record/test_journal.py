"""A session's records on their way out: stamped, counted, summed."""

from __future__ import annotations

from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st

from tarry.record.journal import Journal
from tarry.record.schema import Close, Connect, Greet, Hangup, Record, SessionEvent, Stamp, read_line
from tarry.record.summary import fold
from tests.strategies import session_events

CONNECT = Connect("192.0.2.7", 40000, "198.51.100.1:25", 4.5)

_times = st.floats(0, 1e5)


def session(
    happened: Iterable[tuple[float, SessionEvent]], closed: float, *, accepted_at: float = 0.0, all_records: bool = True
) -> list[Record]:
    """Journal a session and read back what was written."""
    lines: list[bytes] = []
    journal = Journal("x", accepted_at=accepted_at, accepted_wall=1_700_000_000.0, write=lines.append, all_records=all_records)
    for now, event in happened:
        journal.emit(event, now)
    journal.close(closed)
    return [read_line(line) for line in lines]


@given(accepted_at=_times, happened=st.lists(st.tuples(_times, session_events), max_size=30), closed=_times)
def test_the_records_add_up_to_the_closing_line(
    accepted_at: float, happened: list[tuple[float, SessionEvent]], closed: float
) -> None:
    """fold(records) == close, and with only ``close`` written that line is the same, to the last digit."""
    ordered = sorted(happened, key=lambda pair: pair[0])
    *records, last = session(ordered, closed, accepted_at=accepted_at)
    assert fold(records) == last.event
    assert [last] == session(ordered, closed, accepted_at=accepted_at, all_records=False)


def test_records_are_stamped_and_counted() -> None:
    """``t`` and ``dt`` tell the same instant in two ways, and ``n`` counts from 1 to the closing line."""
    assert [
        Record(Stamp(1, 1_700_000_000.0, 0.0, "x", 1), CONNECT),
        Record(Stamp(1, 1_700_000_004.5, 4.5, "x", 2), Greet(4.5)),
        Record(Stamp(1, 1_700_000_006.0, 6.0, "x", 3), Hangup("greeted", "fin")),
        Record(Stamp(1, 1_700_000_007.25, 7.25, "x", 4), fold([
            Record(Stamp(1, 0.0), CONNECT), Record(Stamp(1, 0.0), Greet(4.5)), Record(Stamp(1, 0.0, 6.0), Hangup("greeted", "fin")),
        ])),
    ] == session([(100.0, CONNECT), (104.5, Greet(4.5)), (106.0, Hangup("greeted", "fin"))], 107.25, accepted_at=100.0)  # fmt: skip


def test_nothing_happened_before_accept() -> None:
    """A reading of the clock from before accept counts as accept: ``dt`` is never negative."""
    assert [0.0, 0.0] == [record.stamp.dt for record in session([(99.0, CONNECT)], 99.5, accepted_at=100.0)]


def test_a_silent_client_is_taken_up_later() -> None:
    """Where the room wrote `connect` itself, the journal goes on counting behind it, and the sum holds it."""
    lines: list[bytes] = []
    journal = Journal("x", accepted_at=0.0, accepted_wall=1_700_000_000.0, write=lines.append)
    journal.resume(CONNECT)
    journal.emit(Hangup("hold", "reset"), 2.0)
    journal.close(2.0)
    hangup, close = map(read_line, lines)
    assert [2, 3] == [hangup.stamp.n, close.stamp.n]
    assert fold([Record(Stamp(1, 0.0), CONNECT), hangup]) == close.event
    assert isinstance(close.event, Close) and close.event.client == "192.0.2.7"


def test_a_session_that_is_not_over_after_all_is_closed_again() -> None:
    """A command could not be run: the second closing line sums up the whole, under a number of its own."""
    lines: list[bytes] = []
    journal = Journal("x", accepted_at=0.0, accepted_wall=0.0, write=lines.append)
    journal.emit(CONNECT, 0.0)
    journal.close(1.0)
    journal.emit(Hangup("hold", "fin"), 2.0)
    journal.close(3.0)
    records = [read_line(line) for line in lines]
    assert [1, 2, 3, 4] == [record.stamp.n for record in records]
    assert fold(records[:3]) == records[3].event
