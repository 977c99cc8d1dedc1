"""The writer thread's work, done by hand."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis.strategies import integers, lists, one_of, sampled_from

from tarry.record.schema import Lost, read_line
from tarry.sinks.drain import Drain
from tarry.sinks.queue import LineQueue
from tarry.sinks.writer import Failure


class Paper:
    """A writer in memory. ``room`` is how many lines the next batch may write before the disk is full; None for all."""

    def __init__(self) -> None:
        self.lines: list[bytes] = []
        self.room: int | None = None
        self.calls: list[str] = []

    def prepare(self) -> str:
        return ""

    def write(self, lines: Sequence[bytes]) -> Failure | None:
        self.calls.append("write")
        room = len(lines) if self.room is None else self.room
        self.lines += lines[:room]
        return Failure(len(lines) - room, "ENOSPC") if room < len(lines) else None

    def reopen(self) -> None:
        self.calls.append("reopen")

    def close(self) -> None:
        self.calls.append("close")


def wall() -> float:
    return 1_795_237_867.5


def put(queue: LineQueue, *lines: bytes) -> None:
    for line in lines:
        queue.put(line)
    queue.flush()


def lost_line(count: int, why: str) -> bytes:
    return b'{"v":1,"t":1795237867.500000,"ev":"lost","count":%d,"why":"%b"}\n' % (count, why.encode())


def test_one_batch_is_one_write() -> None:
    """What one flush hands over is written with one call."""
    queue, paper = LineQueue(), Paper()
    drain = Drain(queue, paper, wall)
    put(queue, b"1\n", b"2\n")

    assert (drain.drain_once(), drain.drain_once()) == (True, False)
    assert (paper.lines, paper.calls) == ([b"1\n", b"2\n"], ["write"])
    assert (drain.lost, drain.trouble, queue.unwritten) == (0, "", 0)


def test_what_found_no_room_is_told_in_its_place() -> None:
    """A `lost` record stands between the lines around the gap."""
    queue, paper = LineQueue(max_bytes=4), Paper()
    drain = Drain(queue, paper, wall)
    put(queue, b"1\n", b"2\n", b"3\n", b"4\n")
    drain.drain_once()
    put(queue, b"5\n")
    while drain.drain_once():
        pass

    assert paper.lines == [b"1\n", b"2\n", lost_line(2, "queue full"), b"5\n"]
    assert drain.lost == 0


def test_what_could_not_be_written_is_told_with_the_next_batch() -> None:
    """A failure costs the lines behind it, names its errno, and is over with the next write that works."""
    queue, paper = LineQueue(), Paper()
    drain = Drain(queue, paper, wall)
    paper.room = 1
    put(queue, b"1\n", b"2\n", b"3\n")
    drain.drain_once()
    assert (drain.lost, drain.trouble) == (2, "ENOSPC")

    paper.room = None
    put(queue, b"4\n")
    drain.drain_once()
    assert paper.lines == [b"1\n", lost_line(2, "ENOSPC"), b"4\n"]
    assert (drain.lost, drain.trouble) == (2, "")


def test_a_lost_lost_record_is_told_again() -> None:
    """The count of a `lost` record that could not be written is kept, and it is not counted as a record itself."""
    queue, paper = LineQueue(max_bytes=2), Paper()
    drain = Drain(queue, paper, wall)
    paper.room = 0
    put(queue, b"1\n", b"2\n")
    drain.drain_once()
    put(queue)
    drain.drain_once()
    put(queue, b"3\n")
    drain.drain_once()
    assert drain.lost == 2

    paper.room = 1
    queue.reopen()
    drain.drain_once()
    assert paper.lines == [lost_line(2, "ENOSPC")]
    paper.room = None
    put(queue, b"4\n")
    drain.drain_once()
    assert paper.lines == [lost_line(2, "ENOSPC"), lost_line(1, "queue full"), b"4\n"]


def test_the_last_batch_tries_once_more_and_closes() -> None:
    """At the end untold losses get one more try, then the writer is closed."""
    queue, paper = LineQueue(), Paper()
    drain = Drain(queue, paper, wall)
    paper.room = 0
    put(queue, b"1\n")
    drain.drain_once()
    paper.room = None
    queue.close()

    assert drain.join(0.0)
    assert (paper.lines, paper.calls) == ([lost_line(1, "ENOSPC")], ["write", "write", "close"])


def test_reopen_comes_in_its_turn() -> None:
    """The file is opened anew between the lines put before and after."""
    queue, paper = LineQueue(), Paper()
    drain = Drain(queue, paper, wall)
    put(queue, b"1\n")
    queue.reopen()
    put(queue, b"2\n")
    while drain.drain_once():
        pass

    assert paper.calls == ["write", "reopen", "write"]


def test_a_writer_that_raises_costs_its_batch_only() -> None:
    """A bug behind the queue is counted under its exception's name."""

    class Broken(Paper):
        def write(self, lines: Sequence[bytes]) -> Failure | None:
            if self.room is None:
                return super().write(lines)
            raise KeyError("a bug in a renderer")

    queue, paper = LineQueue(), Broken()
    drain = Drain(queue, paper, wall)
    paper.room = 0
    put(queue, b"1\n")
    drain.drain_once()
    paper.room = None
    put(queue, b"2\n")
    drain.drain_once()

    assert (drain.lost, paper.lines) == (1, [lost_line(1, "KeyError"), b"2\n"])


@pytest.mark.parametrize("stopped", [False, True])
def test_the_thread_writes_all_and_ends_with_the_last_batch(stopped: bool) -> None:
    """The thread does what `drain_once` does, until the queue is closed; told to give up, it writes nothing more."""
    queue, paper = LineQueue(), Paper()
    drain = Drain(queue, paper, wall)
    drain.has_given_up = stopped
    drain.start()
    put(queue, b"1\n")
    put(queue, b"2\n")
    queue.close()

    assert drain.join(5.0)
    assert paper.lines == ([] if stopped else [b"1\n", b"2\n"])


@given(
    steps=lists(
        one_of(integers(1, 40), sampled_from(["flush", "drain", "reopen"]), sampled_from([("room", n) for n in (0, 1, 2, 5, None)]))
    ),
    max_bytes=integers(20, 200),
)
def test_each_line_comes_out_once_or_is_counted_in_its_place(steps: list[object], max_bytes: int) -> None:
    """With a queue that fills and a disk that fills, the log read back accounts for each line, in order, to the last one."""
    queue, paper = LineQueue(max_bytes=max_bytes), Paper()
    drain = Drain(queue, paper, wall)
    count = 0
    for step in steps:
        match step:
            case int(length):
                queue.put(b"%d %b\n" % (count, b"." * length))
                count += 1
            case "flush":
                queue.flush()
            case "drain":
                drain.drain_once()
            case "reopen":
                queue.reopen()
            case ("room", int() | None as room):
                paper.room = room
    paper.room = None
    queue.close()
    drain.join(0.0)

    expected = lost = 0
    for line in paper.lines:
        if line.startswith(b"{"):
            event = read_line(line).event
            assert isinstance(event, Lost)
            expected += event.count
            lost += event.count
        else:
            assert int(line.split()[0]) == expected
            expected += 1
    assert (expected, lost) == (count, queue.missed + drain.lost)
