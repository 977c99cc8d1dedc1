"""files - writers to stdout, to a file, and to a directory of hourly segments.

What      `open_writer` makes the writer that a value of ``record.path`` asks for: ``-``, a file, or a directory (one that
          exists, or a path that ends in "/") with a segment for each hour in UTC, ``2026-11-21T05.jsonl`` or, for other
          styles, ``.log``.
Promises  One write(2) a batch. No record is damaged by half of another: a regular file is cut back to its last whole line when
          a write fails in the middle of one, and where that cannot be (a pipe, an append-only file, a half line left by a crash)
          the next write begins with a newline. A failure is a value, and the next batch tries again from the start.
Rotation  Before each batch the path is looked at; when it names another inode, or none, it is opened anew. So logrotate needs no
          signal, and ``copytruncate`` works too.
Sharing   Several workers may append to one file. Each batch is written under flock(2), since cutting back is only safe while
          nobody else appends. Whoever else holds that lock makes the thread wait, and no one but the thread. Who has no
          thread to wait (``waits=False``: `tarry inetd`) appends without the lock where it is taken: O_APPEND keeps the lines
          whole, and nothing is cut back behind somebody else's. Several processes that share standard output take turns (turns.py).
Modes     Files are made 0640 and a directory 0750, less the umask. A directory is made once, at the start: one that
          vanishes later is a mount that went away, and records under the mount point would be found by nobody.
Not here  fsync: a crash of the machine may cost the last seconds of the log. Nothing is decided from it.
"""

from __future__ import annotations

import errno
import fcntl
import os
import select
import stat
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import accumulate
from pathlib import Path

from tarry.sinks.turns import Turns
from tarry.sinks.writer import Failure, Writer

PATIENCE = 1.0
"""Seconds to wait for a full non-blocking pipe before its batch is lost."""

SHORT_PATIENCE = 0.2
"""Seconds that one who has no thread to wait waits for standard output, at most."""

_MODE = 0o640
STDOUT = 1


def open_writer(
    path: str,
    *,
    wall: Callable[[], float],
    stdout: int = STDOUT,
    waits: bool = True,
    ending: str = "jsonl",
    turns: int | None = None,
) -> Writer:
    """Return the writer for a configured *path*. Opens nothing yet; *wall* (UTC epoch seconds) and *ending* name the segments.

    Without *waits* it never waits for the lock of a file, and never long for anything else. *turns* is the memory of the processes
    that share standard output (`turns.make_turns`).
    """
    if path == "-":
        shared = Turns(turns, patience=None if waits else SHORT_PATIENCE) if turns is not None else None
        return StreamWriter(stdout, turns=shared, waits=waits)
    place = Path(path)
    if path.endswith("/") or _is_directory(place):
        with suppress(OSError):  # the first batch meets the same errno, and it is counted and named there
            place.mkdir(0o750, parents=True, exist_ok=True)
        return PathWriter(lambda: place / time.strftime(f"%Y-%m-%dT%H.{ending}", time.gmtime(wall())), waits=waits)
    return PathWriter(lambda: place, waits=waits)


class StreamWriter:
    """Writes to a pipe, terminal, device or whatever else stdout is. The descriptor stays the caller's.

    *turns* are taken with the other processes that write there; without *waits* it never waits long for a reader, whatever the
    descriptor is set to.
    """

    def __init__(self, fd: int, *, patience: float = PATIENCE, turns: Turns | None = None, waits: bool = True) -> None:
        self._fd = fd
        self._patience = patience if waits else SHORT_PATIENCE
        self._turns = turns
        self._waits = waits
        self._is_torn = False  # the last thing that went out was half a line

    def prepare(self) -> str:
        return ""

    def write(self, lines: Sequence[bytes]) -> Failure | None:
        if self._turns is None:
            return self._write(lines)
        with self._turns.turn() as has_turn:
            if not has_turn:
                return Failure(len(lines), "EAGAIN")
            self._is_torn = self._turns.is_torn
            self._turns.is_torn = True  # until it is known to be whole: this process may be killed within the next call
            failure = self._write(lines)
            self._turns.is_torn = self._is_torn
            return failure

    def _write(self, lines: Sequence[bytes]) -> Failure | None:
        mend = b"\n" if self._is_torn and lines else b""
        data = mend + b"".join(lines)
        if self._waits:
            written, why = _write_all(self._fd, data, self._patience)
        else:
            written, why = _write_pieces(self._fd, data, self._patience)
        if written:
            self._is_torn = data[written - 1 : written] != b"\n"
        return Failure(_count_unwritten(lines, written - len(mend)), why) if why else None

    def reopen(self) -> None:
        """Nothing: what was inherited cannot be opened again."""

    def close(self) -> None:
        """Nothing: the descriptor is the caller's."""


class PathWriter:
    """Appends to the file that ``path_now`` names at the time of each batch."""

    def __init__(self, path_now: Callable[[], Path], *, patience: float = PATIENCE, waits: bool = True) -> None:
        self._path_now = path_now
        self._patience = patience if waits else 0.0
        self._lock = fcntl.LOCK_EX if waits else fcntl.LOCK_EX | fcntl.LOCK_NB
        self._path = Path()
        self._fd = -1
        self._inode = (0, 0)
        self._stream: StreamWriter | None = None  # for a path that is a FIFO or a device

    def prepare(self) -> str:
        try:
            self._open_current()
        except OSError as problem:
            return _name(problem)
        return ""

    def write(self, lines: Sequence[bytes]) -> Failure | None:
        if not lines:
            return None
        try:
            self._open_current()
        except OSError as problem:
            return Failure(len(lines), _name(problem))
        with _locked(self._fd, self._lock):
            if self._stream is None:
                return _append(self._fd, lines)
            failure = self._stream.write(lines)
        if failure is not None and failure.why == "EPIPE":
            self.close()  # the next reader of the FIFO is a new one, and what is torn is not torn for it
        return failure

    def reopen(self) -> None:
        self.close()
        self.prepare()  # at once: the old file may wait to be compressed or deleted

    def close(self) -> None:
        if self._fd >= 0:
            with suppress(OSError):  # NFS and quotas may report lost blocks here; of which records nobody knows
                os.close(self._fd)
            self._fd = -1
            self._stream = None

    def _open_current(self) -> None:
        path = self._path_now()
        if self._fd >= 0:
            if path == self._path and _inode_of(path) == self._inode:
                return
            self.close()
        self._fd = _open(path)
        status = os.fstat(self._fd)
        self._path, self._inode = path, (status.st_dev, status.st_ino)
        self._stream = None if stat.S_ISREG(status.st_mode) else StreamWriter(self._fd, patience=self._patience)


def _open(path: Path) -> int:
    flags = os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOCTTY
    try:
        is_regular = stat.S_ISREG(path.stat().st_mode)
    except FileNotFoundError:
        is_regular = True
    if is_regular:
        return os.open(path, flags | os.O_RDWR, _MODE)  # read too: the last byte tells whether the last line is whole
    # A FIFO without a reader: ENXIO now, where a blocking open would wait for one and O_RDWR would fill it unread.
    return os.open(path, flags | os.O_WRONLY | os.O_NONBLOCK, _MODE)


def _is_directory(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # EACCES on the way there, which pathlib lets through; each batch will meet it, be counted and name it
        return False


def _inode_of(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:  # gone, or out of reach: opening it will tell
        return None
    return status.st_dev, status.st_ino


@contextmanager
def _locked(fd: int, how: int) -> Iterator[None]:
    try:
        fcntl.flock(fd, how)
    except OSError:  # ENOLCK, EOPNOTSUPP: a file system without locks; a single worker needs none. EWOULDBLOCK: see Sharing
        yield
        return
    try:
        yield
    finally:
        fcntl.flock(fd, fcntl.LOCK_UN)


def _append(fd: int, lines: Sequence[bytes]) -> Failure | None:
    try:
        start = os.fstat(fd).st_size
        mend = b"\n" if start and os.pread(fd, 1, start - 1) != b"\n" else b""
    except OSError as problem:  # EIO, ESTALE
        return Failure(len(lines), _name(problem))
    data = mend + b"".join(lines)
    written, why = _write_all(fd, data, 0.0)
    if not why:
        return None
    whole = data.rfind(b"\n", 0, written) + 1
    if whole < written:
        with suppress(OSError):  # EPERM on an append-only file: the half line stays, and the next write mends it
            if os.fstat(fd).st_size == start + written:  # else somebody without the lock wrote behind us: his bytes stay
                os.ftruncate(fd, start + whole)
    return Failure(_count_unwritten(lines, written - len(mend)), why)


def _write_all(fd: int, data: bytes, patience: float) -> tuple[int, str]:
    """Write *data*; return how much went out, and the errno's name if that was not all."""
    view = memoryview(data)
    written = 0
    while written < len(data):
        try:
            written += os.write(fd, view[written:])
        except BlockingIOError:  # a pipe that somebody made non-blocking; it is shared, so it must stay so
            if not _is_writable(fd, patience):
                return written, "EAGAIN"
        except OSError as problem:
            return written, _name(problem)
    return written, ""


def _write_pieces(fd: int, data: bytes, patience: float) -> tuple[int, str]:
    """The same for a blocking pipe, without blocking: one that can be written to has room for PIPE_BUF octets, maybe no more."""
    for start in range(0, len(data), select.PIPE_BUF):
        if not _is_writable(fd, patience):
            return start, "EAGAIN"
        written, why = _write_all(fd, data[start : start + select.PIPE_BUF], patience)
        if why:
            return start + written, why
    return len(data), ""


def _is_writable(fd: int, patience: float) -> bool:
    waiting = select.poll()
    waiting.register(fd, select.POLLOUT)
    return bool(waiting.poll(patience * 1000))


def _count_unwritten(lines: Sequence[bytes], written: int) -> int:
    return sum(end > written for end in accumulate(map(len, lines)))


def _name(problem: OSError) -> str:
    return errno.errorcode.get(problem.errno or 0, "OSError")
