"""Writers on real files, pipes and devices."""

from __future__ import annotations

import fcntl
import os
import resource
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis.strategies import binary, integers, lists

from tarry.core.clock import ManualClock
from tarry.sinks.files import PathWriter, StreamWriter, open_writer
from tarry.sinks.writer import Failure

AT_05 = 1_795_237_867.0  # 2026-11-21 05:11:07 UTC


def wall() -> float:
    return AT_05


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """Let no file of this process grow beyond *size* octets: the kernel then writes what fits, and refuses the rest with EFBIG."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    assert signal.getsignal(signal.SIGXFSZ) == signal.SIG_IGN
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reader, writer = os.pipe()
    yield reader, writer
    for fd in (reader, writer):
        try:
            os.close(fd)
        except OSError:  # EBADF: closed by the test
            pass


# What the configured path asks for.


def test_a_dash_is_stdout(pipe: tuple[int, int]) -> None:
    """Path "-" writes to the descriptor given as stdout and opens nothing."""
    writer = open_writer("-", wall=wall, stdout=pipe[1])

    assert (writer.prepare(), writer.write([b"1\n", b"2\n"])) == ("", None)
    writer.reopen()
    writer.close()
    assert os.read(pipe[0], 100) == b"1\n2\n"
    os.write(pipe[1], b"still open")


def test_any_other_path_is_a_file(tmp_path: Path) -> None:
    """A file is made with mode 0640 at the first batch and appended to."""
    path = tmp_path / "log.jsonl"
    writer = open_writer(str(path), wall=wall)
    assert not path.exists()

    old = os.umask(0)
    try:
        assert writer.write([b"1\n"]) is None
    finally:
        os.umask(old)
    assert writer.write([b"2\n"]) is None
    assert (path.read_bytes(), path.stat().st_mode & 0o777) == (b"1\n2\n", 0o640)
    writer.close()


def test_a_directory_gets_a_segment_for_each_hour(tmp_path: Path) -> None:
    """An existing directory is filled with files named by the hour in UTC."""
    clock = ManualClock(wall=AT_05)
    writer = open_writer(str(tmp_path), wall=clock.wall)
    writer.write([b"1\n"])
    clock.advance(3600)
    writer.write([b"2\n"])
    writer.close()

    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {
        "2026-11-21T05.jsonl": b"1\n",
        "2026-11-21T06.jsonl": b"2\n",
    }


def test_segments_end_as_their_style_does(tmp_path: Path) -> None:
    """What is not JSON is not named so."""
    writer = open_writer(str(tmp_path), wall=wall, ending="log")
    writer.write([b"1\n"])
    writer.close()

    assert [tmp_path / "2026-11-21T05.log"] == list(tmp_path.iterdir())


def test_a_path_that_ends_in_a_slash_is_made_a_directory(tmp_path: Path) -> None:
    """The slash says that a directory is meant before there is one."""
    writer = open_writer(f"{tmp_path}/deep/records/", wall=wall)

    assert (writer.prepare(), writer.write([b"1\n"])) == ("", None)
    assert (tmp_path / "deep/records/2026-11-21T05.jsonl").read_bytes() == b"1\n"
    writer.close()


def test_no_lines_open_nothing(tmp_path: Path) -> None:
    """A batch in which the renderer showed nothing makes no file."""
    writer = open_writer(str(tmp_path / "log"), wall=wall)

    assert writer.write([]) is None
    assert list(tmp_path.iterdir()) == []


# What the world does to a file.


def in_a_missing_directory(tmp_path: Path) -> str:
    return str(tmp_path / "missing" / "log")


def below_a_file(tmp_path: Path) -> str:
    (tmp_path / "file").touch()
    return f"{tmp_path}/file/records/"


def a_fifo_without_reader(tmp_path: Path) -> str:
    os.mkfifo(tmp_path / "fifo")
    return str(tmp_path / "fifo")


def a_full_device(tmp_path: Path) -> str:
    (tmp_path / "link").symlink_to("/dev/full")
    return str(tmp_path / "link")


@pytest.mark.parametrize(
    ("place", "why"),
    [
        (in_a_missing_directory, "ENOENT"),
        (below_a_file, "ENOTDIR"),
        (a_fifo_without_reader, "ENXIO"),
        (a_full_device, "ENOSPC"),
    ],
)
def test_a_path_that_cannot_be_written_is_a_value(tmp_path: Path, place: Callable[[Path], str], why: str) -> None:
    """Each batch fails with the errno's name, time and again, and nothing is raised."""
    writer = open_writer(place(tmp_path), wall=wall)
    prepared = writer.prepare()

    assert prepared == ("" if why == "ENOSPC" else why)
    assert [writer.write([b"1\n", b"2\n"]) for _ in range(2)] == [Failure(2, why)] * 2
    writer.close()


@contextmanager
def unprivileged() -> Iterator[None]:
    """Be nobody for a while where the tests run as root, whom no mode keeps out."""
    is_root = os.geteuid() == 0
    if is_root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if is_root:
            os.seteuid(0)


@pytest.mark.parametrize("name", ["log", "log/", "deep/log/"])
def test_a_forbidden_path_is_a_value(tmp_path: Path, name: str) -> None:
    """EACCES on the way to the file, or at it, is named at the start and with each batch."""
    forbidden = tmp_path / "forbidden"
    forbidden.mkdir(0o000)
    with unprivileged():
        writer = open_writer(f"{forbidden}/{name}", wall=wall)
        assert (writer.prepare(), writer.write([b"1\n"])) == ("EACCES", Failure(1, "EACCES"))
    forbidden.chmod(0o700)


def test_a_directory_that_comes_back_is_used_again(tmp_path: Path) -> None:
    """A vanished directory loses records and is not made anew; the batch after its return is written."""
    place = tmp_path / "records"
    writer = open_writer(f"{place}/", wall=wall)
    writer.write([b"1\n"])
    place.rename(tmp_path / "away")
    assert writer.write([b"2\n"]) == Failure(1, "ENOENT")

    (tmp_path / "away").rename(place)
    assert writer.write([b"3\n"]) is None
    assert (place / "2026-11-21T05.jsonl").read_bytes() == b"1\n3\n"
    writer.close()


def test_a_file_that_was_moved_away_is_made_anew(tmp_path: Path) -> None:
    """After logrotate's rename the next batch begins the new file, with or without `create`."""
    path = tmp_path / "log"
    writer = open_writer(str(path), wall=wall)
    writer.write([b"1\n"])
    path.rename(tmp_path / "log.1")
    writer.write([b"2\n"])
    path.rename(tmp_path / "log.2")
    path.touch()
    writer.write([b"3\n"])
    writer.close()

    assert [(tmp_path / name).read_bytes() for name in ("log.1", "log.2", "log")] == [b"1\n", b"2\n", b"3\n"]


def test_a_file_that_was_emptied_is_appended_to(tmp_path: Path) -> None:
    """logrotate's `copytruncate` leaves no hole."""
    path = tmp_path / "log"
    writer = open_writer(str(path), wall=wall)
    writer.write([b"1\n"])
    os.truncate(path, 0)
    writer.write([b"2\n"])
    writer.close()

    assert path.read_bytes() == b"2\n"


def test_reopen_lets_go_of_the_old_file_at_once(tmp_path: Path) -> None:
    """A reopened writer holds the new file before any line comes."""
    path = tmp_path / "log"
    writer = open_writer(str(path), wall=wall)
    writer.write([b"1\n"])
    path.rename(tmp_path / "log.1")
    writer.reopen()

    assert path.exists()
    writer.close()


# Half lines.


def test_a_file_that_fills_up_keeps_whole_lines_only(tmp_path: Path) -> None:
    """A write that ends in the middle of a line is cut back to the line before, and only the rest is lost."""
    path = tmp_path / "log"
    writer = open_writer(str(path), wall=wall)
    with largest_file(10):
        assert writer.write([b"111\n", b"222\n", b"333\n", b"444\n"]) == Failure(2, "EFBIG")
        assert path.read_bytes() == b"111\n222\n"
        assert writer.write([b"555\n"]) == Failure(1, "EFBIG")
        assert path.read_bytes() == b"111\n222\n"
        assert writer.write([b"6\n"]) is None
        assert writer.write([b"7\n"]) == Failure(1, "EFBIG")
    assert writer.write([b"8\n"]) is None
    assert path.read_bytes() == b"111\n222\n6\n8\n"
    writer.close()


@given(lines=lists(binary(max_size=9).map(lambda text: text.replace(b"\n", b"") + b"\n"), min_size=1), size=integers(0, 60))
@settings(deadline=None)
def test_wherever_a_file_ends_it_ends_with_a_line(tmp_path_factory: pytest.TempPathFactory, lines: list[bytes], size: int) -> None:
    """What was written and what was counted as lost add up to what was given, at any point where the disk fills up."""
    path = tmp_path_factory.mktemp("full") / "log"
    writer = open_writer(str(path), wall=wall)
    with largest_file(size):
        failure = writer.write(lines)
    writer.close()

    count = failure.count if failure else 0
    assert path.read_bytes() == b"".join(lines[: len(lines) - count])


def test_half_a_line_left_by_a_crash_is_ended(tmp_path: Path) -> None:
    """The first record after a crash stands on a line of its own."""
    path = tmp_path / "log"
    path.write_bytes(b"1\n22")
    writer = open_writer(str(path), wall=wall)
    writer.write([b"3\n"])
    writer.write([b"4\n"])
    writer.close()

    assert path.read_bytes() == b"1\n22\n3\n4\n"


def test_half_a_line_that_cannot_be_cut_back_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An append-only file (chattr +a) keeps the half line; the next record does not suffer, and the counts are right."""

    def refuse(fd: int, size: int) -> None:
        raise PermissionError(1, "append-only")

    path = tmp_path / "log"
    writer = open_writer(str(path), wall=wall)
    with monkeypatch.context() as patch, largest_file(6):
        patch.setattr(os, "ftruncate", refuse)
        assert writer.write([b"111\n", b"222\n"]) == Failure(1, "EFBIG")
    with largest_file(7):
        assert writer.write([b"333\n"]) == Failure(1, "EFBIG")
        assert path.read_bytes() == b"111\n22\n"
    assert writer.write([b"444\n"]) is None
    assert path.read_bytes() == b"111\n22\n444\n"
    writer.close()


def test_what_another_wrote_behind_a_half_line_is_not_cut_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that appends without the lock loses nothing to the cutting back."""
    path = tmp_path / "log"
    real_write = os.write

    def write_and_be_followed(fd: int, data: bytes) -> int:
        try:
            return real_write(fd, data)
        except OSError:
            resource.setrlimit(resource.RLIMIT_FSIZE, (100, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
            with path.open("ab") as other:
                other.write(b"\nother\n")
            raise

    writer = open_writer(str(path), wall=wall)
    with monkeypatch.context() as patch, largest_file(6):
        patch.setattr(os, "write", write_and_be_followed)
        assert writer.write([b"111\n", b"222\n"]) == Failure(1, "EFBIG")

    assert path.read_bytes() == b"111\n22\nother\n"
    writer.close()


def test_workers_that_share_a_file_do_not_mix_their_lines(tmp_path: Path) -> None:
    """Each batch stands in one piece, whoever else appends."""
    path = tmp_path / "log"
    writers = [open_writer(str(path), wall=wall) for _ in range(4)]

    def work(number: int) -> None:
        for batch in range(20):
            assert writers[number].write([b"%d %d %d\n" % (number, batch, line) for line in range(50)]) is None

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    lines = [tuple(map(int, line.split())) for line in path.read_bytes().splitlines()]

    assert len(lines) == 4 * 20 * 50
    assert all(lines[at : at + 50] == [(*lines[at][:2], n) for n in range(50)] for at in range(0, len(lines), 50))
    for writer in writers:
        writer.close()


def test_a_file_system_without_locks_is_written_to_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """ENOLCK is no reason to lose a record."""

    def refuse(fd: int, how: int) -> None:
        raise OSError(37, "no locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    writer = open_writer(str(tmp_path / "log"), wall=wall)

    assert writer.write([b"1\n"]) is None
    assert (tmp_path / "log").read_bytes() == b"1\n"
    writer.close()


def test_a_file_that_cannot_be_looked_at_is_a_value(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that gives EIO when the last byte is read is a failed batch."""

    def fail(fd: int, count: int, offset: int) -> bytes:
        raise OSError(5, "input/output error")

    (tmp_path / "log").write_bytes(b"1\n")
    writer = open_writer(str(tmp_path / "log"), wall=wall)
    monkeypatch.setattr(os, "pread", fail)

    assert writer.write([b"2\n"]) == Failure(1, "EIO")
    writer.close()


# Pipes and devices.


def test_a_reader_that_is_gone_is_a_value(pipe: tuple[int, int]) -> None:
    """`tarry serve | head` loses records, and the daemon goes on."""
    os.close(pipe[0])
    writer = StreamWriter(pipe[1])

    assert [writer.write([b"1\n"]) for _ in range(2)] == [Failure(1, "EPIPE")] * 2


def fill(fd: int) -> int:
    """Fill a non-blocking pipe; return how many octets went in."""
    count = 0
    try:
        while True:
            count += os.write(fd, b"." * 4096)
    except BlockingIOError:
        return count


def test_a_full_pipe_loses_its_batch_after_patience(pipe: tuple[int, int]) -> None:
    """A non-blocking pipe that nobody reads costs the batch, under EAGAIN, and takes the next one when there is room."""
    reader, fd = pipe
    os.set_blocking(fd, False)
    writer = StreamWriter(fd, patience=0.0)
    filled = fill(fd)
    assert writer.write([b"1\n"]) == Failure(1, "EAGAIN")

    os.read(reader, filled)
    assert writer.write([b"2\n"]) is None
    assert os.read(reader, 100) == b"2\n"


def test_half_a_line_in_a_pipe_is_ended(pipe: tuple[int, int]) -> None:
    """What a pipe took of a line cannot be taken back: the next record begins behind a newline."""
    reader, fd = pipe
    os.set_blocking(fd, False)
    writer = StreamWriter(fd, patience=0.0)
    line = b"." * 40_000 + b"\n"
    assert writer.write([line, line, b"short\n"]) == Failure(2, "EAGAIN")
    assert writer.write([b"lost\n"]) == Failure(1, "EAGAIN")

    taken = os.read(reader, 100_000)
    assert writer.write([]) is None
    assert writer.write([b"next\n", b"last\n"]) is None
    assert taken.startswith(line)
    assert not taken.endswith(b"\n")
    assert os.read(reader, 100) == b"\nnext\nlast\n"


def test_a_slow_reader_is_waited_for(pipe: tuple[int, int]) -> None:
    """A non-blocking pipe takes a batch larger than itself while somebody reads."""
    reader, fd = pipe
    os.set_blocking(fd, False)
    line = b"." * 150_000 + b"\n"
    got = bytearray()

    def read() -> None:
        while not got.endswith(b"\n"):
            got.extend(os.read(reader, 10_000))

    thread = threading.Thread(target=read)
    thread.start()
    assert StreamWriter(fd, patience=5.0).write([line]) is None
    thread.join()
    assert got == line


def test_the_next_reader_of_a_fifo_begins_with_a_whole_line(tmp_path: Path) -> None:
    """A reader that left took its half line with it."""
    path = tmp_path / "fifo"
    os.mkfifo(path)
    writer = PathWriter(lambda: path, patience=0.0)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    assert writer.write([b"." * 100_000 + b"\n"]) == Failure(1, "EAGAIN")
    os.close(reader)
    assert writer.write([b"1\n"]) == Failure(1, "EPIPE")
    assert writer.write([b"2\n"]) == Failure(1, "ENXIO")

    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    assert writer.write([b"3\n"]) is None
    assert os.read(reader, 100) == b"3\n"
    os.close(reader)
    writer.close()


def test_a_full_device_fails_as_stdout_too() -> None:
    """`tarry serve >/dev/full` is a failed batch."""
    fd = os.open("/dev/full", os.O_WRONLY)
    try:
        assert StreamWriter(fd).write([b"1\n", b"2\n"]) == Failure(2, "ENOSPC")
    finally:
        os.close(fd)


def test_who_may_not_wait_writes_without_the_lock(tmp_path: Path) -> None:
    """`tarry inetd` has a client to serve: a lock that somebody keeps holds nobody up."""
    path = tmp_path / "log"
    with path.open("ab") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        writer = open_writer(str(path), wall=ManualClock().wall, waits=False)
        assert None is writer.write([b"one\n"])
        writer.close()
    assert b"one\n" == path.read_bytes()


def test_who_may_not_wait_writes_no_more_than_a_pipe_has_room_for() -> None:
    """A supervisor whose workers died all at once has more to tell than that, and a reader that stands still must not stop it."""
    reading, writing = os.pipe()
    size = fcntl.fcntl(writing, fcntl.F_GETPIPE_SZ)
    os.write(writing, b"." * (size - 4096))
    lines = [b"x" * 199 + b"\n"] * 60
    got: list[Failure | None] = []
    writer = open_writer("-", wall=float, stdout=writing, waits=False)
    thread = threading.Thread(target=lambda: got.append(writer.write(lines)), daemon=True)
    thread.start()
    thread.join(10)
    os.close(reading)  # which frees one that waits
    thread.join(10)
    os.close(writing)
    assert [Failure(40, "EAGAIN")] == got
