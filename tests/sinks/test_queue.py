"""The hand-over between the loop and the writer thread."""

from __future__ import annotations

from hypothesis import given
from hypothesis.strategies import integers, lists, one_of, sampled_from

from tarry.sinks.queue import Batch, LineQueue


def take_all(queue: LineQueue) -> list[Batch]:
    batches = []
    while (batch := queue.take(block=False)) is not None:
        batches.append(batch)
    return batches


def test_nothing_is_handed_over_before_flush() -> None:
    """A put wakes no thread: what was put waits for the loop's timer."""
    queue = LineQueue()
    queue.put(b"1\n")
    queue.put(b"2\n")

    assert take_all(queue) == []
    queue.flush()
    assert take_all(queue) == [Batch([b"1\n", b"2\n"])]


def test_an_empty_flush_hands_nothing_over() -> None:
    """A timer that comes in vain does not wake the thread."""
    queue = LineQueue()
    queue.flush()

    assert take_all(queue) == []


def test_on_first_is_called_once_for_each_flush() -> None:
    """The shell is told when there is something to flush and was nothing before."""
    called: list[str] = []
    queue = LineQueue(on_first=lambda: called.append("first"))
    queue.put(b"1\n")
    queue.put(b"2\n")
    assert called == ["first"]

    queue.flush()
    assert called == ["first"]
    queue.put(b"3\n")
    assert called == ["first", "first"]


def test_what_finds_no_room_is_counted_and_told_behind_what_was_taken() -> None:
    """The gap stands in order, between the lines around it."""
    queue = LineQueue(max_bytes=8)
    for line in (b"111\n", b"222\n", b"333\n", b"444\n"):
        queue.put(line)
    queue.flush()
    (first,) = take_all(queue)
    assert (first, queue.missed) == (Batch([b"111\n", b"222\n"]), 2)

    queue.finished(first)
    queue.put(b"555\n")
    queue.flush()
    assert take_all(queue) == [Batch([], 2), Batch([b"555\n"])]
    assert queue.missed == 2


def test_lines_with_the_writer_still_take_room() -> None:
    """Only what is written makes room; a hand-over does not."""
    queue = LineQueue(max_bytes=8)
    queue.put(b"111\n")
    queue.flush()
    queue.put(b"222\n")
    queue.put(b"333\n")

    assert (queue.unwritten, queue.missed) == (1, 1)


def test_lines_are_bounded_in_number_too() -> None:
    """A flood of short lines is stopped by their number."""
    queue = LineQueue(max_lines=2)
    for _ in range(3):
        queue.put(b"\n")
    queue.flush()
    queue.put(b"\n")

    assert take_all(queue) == [Batch([b"\n", b"\n"])]
    assert queue.missed == 2


def test_a_line_beyond_the_whole_bound_is_missed() -> None:
    """One line that can never fit does not stop those behind it."""
    queue = LineQueue(max_bytes=8)
    queue.put(b"123456789\n")
    queue.put(b"1\n")
    queue.flush()

    assert take_all(queue) == [Batch([], 1), Batch([b"1\n"])]


def test_a_gap_ends_only_when_an_eighth_is_free() -> None:
    """A writer that frees a line at a time does not make every second line a gap."""
    queue = LineQueue(max_bytes=64)
    for _ in range(3):
        queue.put(b"1\n")
    queue.flush()
    for _ in range(30):
        queue.put(b"2\n")
    (small,) = take_all(queue)
    queue.finished(small)  # 6 of 64 bytes
    queue.put(b"3\n")
    assert queue.missed == 2

    queue.flush()
    (large,) = take_all(queue)
    queue.finished(large)
    queue.put(b"4\n")
    queue.flush()
    assert take_all(queue) == [Batch([], 2), Batch([b"4\n"])]


def test_an_open_gap_keeps_the_timer_going() -> None:
    """A gap is told when there is room, even if no line comes after it."""
    called: list[str] = []
    queue = LineQueue(max_bytes=2, on_first=lambda: called.append("first"))
    queue.put(b"1\n")
    queue.put(b"2\n")
    queue.flush()
    assert called == ["first", "first"]

    (batch,) = take_all(queue)
    queue.finished(batch)
    queue.flush()
    assert take_all(queue) == [Batch([], 1)]
    assert called == ["first", "first"]


def test_a_gap_in_an_empty_queue_arms_the_timer() -> None:
    """A missed line is something to flush, when all that was taken is with the writer."""
    called: list[str] = []
    queue = LineQueue(max_bytes=2)
    queue.put(b"1\n")
    queue.flush()
    queue.on_first = lambda: called.append("first")
    queue.put(b"2\n")
    queue.put(b"3\n")

    assert called == ["first"]


def test_reopen_stands_behind_what_was_put_before_it() -> None:
    """Lines from before a rotation go to the old file."""
    queue = LineQueue()
    queue.put(b"1\n")
    queue.reopen()
    queue.put(b"2\n")
    queue.flush()

    assert take_all(queue) == [Batch([b"1\n"]), Batch(reopen=True), Batch([b"2\n"])]


def test_close_hands_over_the_rest_once() -> None:
    """Closing twice, flushing and reopening afterwards are harmless; a line put too late is counted."""
    queue = LineQueue(max_bytes=2)
    queue.put(b"1\n")
    queue.put(b"2\n")
    queue.close()
    queue.close()
    queue.flush()
    queue.reopen()
    queue.put(b"3\n")

    assert take_all(queue) == [Batch([b"1\n"], 1, last=True)]
    assert queue.missed == 2


@given(steps=lists(one_of(integers(1, 30), sampled_from(["flush", "finish"]))), max_bytes=integers(1, 60), max_lines=integers(1, 9))
def test_the_bounds_hold_and_every_line_is_taken_or_missed(steps: list[int | str], max_bytes: int, max_lines: int) -> None:
    """However puts, flushes and writes are mixed, no more is held than allowed, and order and counts are exact."""
    queue = LineQueue(max_bytes=max_bytes, max_lines=max_lines)
    put: list[bytes] = []
    seen: list[bytes | int] = []

    def finish() -> None:
        for batch in take_all(queue):
            queue.finished(batch)
            seen.extend(batch.lines)
            seen.extend([batch.missed] if batch.missed else [])

    for step in steps:
        match step:
            case "flush":
                queue.flush()
            case "finish":
                finish()
            case int(length):
                put.append(b"%d" % len(put) + b"." * length + b"\n")
                queue.put(put[-1])
        written = [piece for piece in seen if isinstance(piece, bytes)]
        held = len(put) - queue.missed - len(written)
        assert held <= max_lines
        assert queue.held_bytes <= max_bytes
    queue.close()
    finish()

    expected = iter(put)
    for piece in seen:
        if isinstance(piece, bytes):
            assert next(expected) == piece
        else:
            for _ in range(piece):
                next(expected)
    assert list(expected) == []
    assert sum(piece for piece in seen if isinstance(piece, int)) == queue.missed
