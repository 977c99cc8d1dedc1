"""The whole of a sink."""

from __future__ import annotations

import os
import threading
from pathlib import Path

from tarry.record.journal import Journal
from tarry.record.schema import Close, Command, Connect, Greet, Lost, Record, read_line
from tarry.record.summary import fold
from tarry.sinks import ending_of, open_sink, renderer_of
from tarry.sinks.postscreen import PostscreenRenderer


def wall() -> float:
    return 1_795_237_867.0


def read(path: Path) -> list[Record]:
    return [read_line(line) for line in path.read_bytes().splitlines()]


def test_a_session_goes_through_to_the_file(tmp_path: Path) -> None:
    """A journal writes into a sink, and the file read back sums up to the closing line."""
    path = tmp_path / "log"
    sink = open_sink(str(path), wall=wall)
    journal = Journal("QK3F", accepted_at=100.0, accepted_wall=wall(), write=sink.put)
    journal.emit(Connect("192.0.2.7", 1, "192.0.2.1", 4.0), 100.0)
    sink.flush()
    journal.emit(Greet(4.0), 104.0)
    journal.emit(Command("QUIT", 6), 104.5)
    journal.close(104.5)

    assert sink.close(0.0)
    records = read(path)
    assert isinstance(records[-1].event, Close)
    assert fold(records) == records[-1].event
    assert (len(records), sink.lost, sink.trouble) == (4, 0, "")


def test_the_thread_writes_what_is_flushed(tmp_path: Path) -> None:
    """With the thread running, close returns once everything is on its way to the disk."""
    path = tmp_path / "log"
    sink = open_sink(str(path), wall=wall)
    assert sink.prepare() == ""
    sink.start()
    lines = [b"%d\n" % number for number in range(10_000)]
    for number, line in enumerate(lines):
        sink.put(line)
        if number % 100 == 0:
            sink.flush()

    assert sink.close(5.0)
    assert path.read_bytes() == b"".join(lines)
    assert sink.lost == 0


def test_a_pipe_that_nobody_reads_does_not_hold_up_the_end() -> None:
    """A thread stuck in a write is given up after the timeout, and what it still had is counted."""
    reader, writer = os.pipe()
    sink = open_sink("-", wall=wall, stdout=writer)
    sink.start()
    sink.put(b"." * 100_000 + b"\n")
    sink.flush()
    sink.put(b"2\n")
    sink.put(b"3\n")
    stuck = next(thread for thread in threading.enumerate() if thread.name == "tarry-records")

    assert not sink.close(0.02)
    assert sink.lost == 3
    os.close(reader)  # the write ends with EPIPE; the batch behind it is not tried
    stuck.join(5.0)
    os.close(writer)
    assert sink.lost == 3


def test_losses_of_queue_and_disk_add_up() -> None:
    """What found no room and what found no disk are both in the count."""
    sink = open_sink("/dev/full", wall=wall, max_bytes=4, max_lines=10)
    for line in (b"1\n", b"2\n", b"3\n"):
        sink.put(line)
    sink.flush()

    assert sink.drain_once()
    assert (sink.lost, sink.trouble) == (3, "ENOSPC")
    assert sink.close(0.0)


def test_a_full_disk_is_told_once_there_is_room_again(tmp_path: Path) -> None:
    """A log that moves from a full disk to one with room begins by saying what is missing."""
    path = tmp_path / "log"
    path.symlink_to("/dev/full")
    sink = open_sink(str(path), wall=wall)
    sink.put(b"1\n")
    sink.flush()
    sink.drain_once()
    path.unlink()
    sink.reopen()

    assert sink.close(0.0)
    assert [record.event for record in read(path)] == [Lost(1, "ENOSPC")]


def test_the_timer_is_armed_through_on_first(tmp_path: Path) -> None:
    """The shell may say what to call when the sink is made, or once it has a loop."""
    called: list[str] = []
    sink = open_sink(str(tmp_path / "log"), wall=wall, on_first=lambda: called.append("made"))
    sink.put(b"1\n")
    sink.flush()
    assert sink.on_first is not None
    sink.on_first = lambda: called.append("later")
    sink.put(b"2\n")
    sink.put(b"3\n")

    assert called == ["made", "later"]


def test_a_terminal_gets_lines_for_a_person() -> None:
    """On a terminal stdout shows words; a path with a name keeps its JSON."""
    reader, writer = os.pipe()
    sink = open_sink("-", wall=wall, terminal=True, colour=True, stdout=writer)
    Journal("QK3F", accepted_at=0.0, accepted_wall=wall(), write=sink.put).emit(Connect("192.0.2.7", 1, "192.0.2.1", 4.0), 0.0)
    sink.close(0.0)
    shown = os.read(reader, 1000)
    os.close(reader)
    os.close(writer)

    assert shown.endswith(b"QK3F 192.0.2.7:1\x1b[0m\x1b[2m connected, held for 4.0 s\x1b[0m\n")


def test_a_file_gets_records_even_with_a_terminal(tmp_path: Path) -> None:
    """The renderer for persons stands before stdout only; one that is given stands everywhere."""

    class Stars:
        def render(self, line: bytes) -> bytes | None:
            return b"*\n"

    for name, renderer in (("plain", None), ("stars", Stars())):
        sink = open_sink(str(tmp_path / name), wall=wall, terminal=True, renderer=renderer)
        sink.put(b"1\n")
        sink.close(0.0)

    assert ((tmp_path / "plain").read_bytes(), (tmp_path / "stars").read_bytes()) == (b"1\n", b"*\n")


def test_a_style_is_that_of_every_destination(tmp_path: Path) -> None:
    """Who asks for postscreen's lines gets them on a terminal too, and in segments that are not named for JSON."""
    reader, writer = os.pipe()
    for path in ("-", f"{tmp_path}/logs/"):
        sink = open_sink(path, wall=wall, style="postscreen", terminal=True, stdout=writer)
        Journal("QK3F", accepted_at=0.0, accepted_wall=wall(), write=sink.put).emit(Connect("192.0.2.7", 1, "192.0.2.1:25"), 0.0)
        sink.close(0.0)
    shown = os.read(reader, 1000)
    os.close(reader)
    os.close(writer)

    assert shown.endswith(b"]: CONNECT from [192.0.2.7]:1 to [192.0.2.1]:25\n")
    assert [shown] == [path.read_bytes() for path in (tmp_path / "logs").glob("*.log")]


def test_each_style_has_its_renderer() -> None:
    """JSON needs none: it is what the queue holds."""
    assert (None, "jsonl") == (renderer_of("json"), ending_of("json"))
    assert isinstance(renderer_of("postscreen"), PostscreenRenderer)
    assert "log" == ending_of("postscreen")
