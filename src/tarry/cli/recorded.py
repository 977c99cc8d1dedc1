"""recorded - the records of one session, or the last sessions of one client, found in the event log.

What      `sources` names the files of a configuration, the newest first: the file of record.path and what was rotated away beside
          it, or the hourly files of a folder; compressed or not. `of_session` and `of_client` search them.
How       A block of bytes at a time is searched for the id, or the address, as it stands in a line; only lines that have it are
          decoded. So a gigabyte takes a second or two. The search for a session ends with the file in which it begins.
Promises  Any file is read, and what is no record is passed over. A file that cannot be read is told, and the others are read.
Not here  postscreen's lines (record.style): they are made for other programs, and do not hold all.
"""

from __future__ import annotations

import gzip
import re
import sys
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, cast

import msgspec

from tarry.config.schema import Config
from tarry.config.spelling import printable
from tarry.core.history import key_of
from tarry.record.schema import PROCESS_EVENTS, Close, Connect, Record, SessionEvent, Start, read_line

STDIN = "-"

_BLOCK = 1 << 20
_LONGEST = 16 << 20
_GZIP = b"\x1f\x8b"
_SEGMENTS = ("*.jsonl", "*.jsonl.gz")
_CLIENT = re.compile(rb'"client":"([0-9a-f:]*:[0-9a-f:.]*)"')
_START = b'"ev":"start"'


class Sources(msgspec.Struct, frozen=True):
    """Where to look: file names, the newest first; ``why`` says what is missing where there is none."""

    files: tuple[str, ...]
    why: str = ""


class Stamped(msgspec.Struct, frozen=True):
    """An event of a session: when it was, ``dt`` seconds after accept."""

    t: float
    dt: float
    event: SessionEvent


class Session(msgspec.Struct, frozen=True):
    """What was found of a session, in its order. ``is_lost``: tarry was started anew after its last record, which is no end."""

    id: str
    records: tuple[Stamped, ...]
    is_lost: bool = False

    @property
    def close(self) -> Close | None:
        """Its closing line; None while it is under way."""
        return next((one.event for one in reversed(self.records) if isinstance(one.event, Close)), None)

    @property
    def connect(self) -> Connect | None:
        """Its beginning; None where only closing lines are recorded."""
        return next((one.event for one in self.records if isinstance(one.event, Connect)), None)

    @property
    def began(self) -> float:
        """When the client came, in UTC epoch seconds."""
        return self.records[0].t - self.records[0].dt


class Found(msgspec.Struct, frozen=True):
    """Sessions, the newest first; what was read, and what could not be."""

    sessions: tuple[Session, ...]
    files: tuple[str, ...]
    unread: tuple[str, ...]


def sources(config: Config, given: Sequence[str] = ()) -> Sources:
    """Return where to look: the files that were *given*, or those of the configuration."""
    if given:
        return Sources(tuple(given))
    path = config.record.path
    if config.record.style != "json":
        return Sources(
            (), f'record.style = "{config.record.style}" is for other programs: what became of a client cannot be read back'
        )
    if path == STDIN:
        return Sources(
            (), 'record.path = "-": the records go to standard output, to whoever reads that; hand them in with --records FILE or -'
        )
    place = Path(path)
    if path.endswith("/") or place.is_dir():
        files = [one for pattern in _SEGMENTS for one in place.glob(pattern)]
        files.sort(key=lambda one: one.name, reverse=True)  # an hour is a name
        return Sources(tuple(map(str, files)), "" if files else f"there is no file of records in {place.absolute()}")
    rotated = [one for pattern in (f"{place.name}.*", f"{place.name}-*") for one in place.parent.glob(pattern) if one.is_file()]
    rotated.sort(key=_changed_at, reverse=True)
    files = [one for one in (place, *rotated) if one.exists()]
    return Sources(tuple(map(str, files)), "" if files else f"there is no {place.absolute()}, which record.path names")


def of_session(where: Sources, id: str) -> Found:
    """Return the records of one session; no session where there are none."""
    needle = f'"id":"{id}"'.encode()
    records: list[Record] = []
    reading = _Reading()
    for file in where.files:
        records += [record for record in reading.records(file, needle) if record.stamp.id == id]
        if any(record.stamp.n == 1 for record in records):
            break
    session = _session(id, records, reading.started)
    return Found((session,) if session else (), tuple(reading.files), tuple(reading.unread))


def of_client(where: Sources, key: str, limit: int) -> Found:
    """Return the last sessions of the client with this key, of each its first and its closing line; *limit* at most."""
    is_v6 = ":" in key
    needle = b'"client":"' if is_v6 else f'"client":"{key}"'.encode()
    found: dict[str, list[Record]] = {}
    reading = _Reading()
    for file in where.files:
        for record in reading.records(file, needle, key if is_v6 else ""):
            if isinstance(record.event, Connect | Close):
                found.setdefault(record.stamp.id, []).append(record)
        if len(found) >= limit:
            break
    sessions = [one for id, records in found.items() if (one := _session(id, records, reading.started)) is not None]
    sessions.sort(key=lambda one: one.began, reverse=True)
    return Found(tuple(sessions[:limit]), tuple(reading.files), tuple(reading.unread))


def _session(id: str, records: list[Record], started: float) -> Session | None:
    stamped = tuple(
        Stamped(record.stamp.t, record.stamp.dt, record.event)
        for record in sorted(records, key=lambda record: record.stamp.n)
        if not isinstance(record.event, PROCESS_EVENTS)
    )
    if not stamped:
        return None
    is_open = not any(isinstance(one.event, Close) for one in stamped)
    return Session(id, stamped, is_open and started > stamped[-1].t)


def _record(line: bytes) -> Record | None:
    try:
        return read_line(line)
    except ValueError:  # half a line, or of a later version
        return None


def _is_of(line: bytes, key: str) -> bool:
    """True where a line is about a client of an IPv6 /64, whose addresses are written in many ways."""
    named = _CLIENT.search(line)
    try:
        return named is not None and key_of(named[1].decode()) == key
    except ValueError:
        return False


class _Reading:
    """Reads files, and keeps which could be, and when tarry was started last."""

    def __init__(self) -> None:
        self.files: list[str] = []
        self.unread: list[str] = []
        self.started = 0.0

    def records(self, file: str, needle: bytes, subnet: str = "") -> Iterator[Record]:
        """Yield the records of a file whose lines hold *needle*, and where a *subnet* is given an address in it."""
        for line in self._lines(file, (needle, _START)):
            if subnet and _START not in line and not _is_of(line, subnet):
                continue
            record = _record(line)
            if record is None:
                continue
            if not isinstance(record.event, Start):
                yield record
            elif not record.event.worker:
                self.started = max(self.started, record.stamp.t)

    def _lines(self, file: str, needles: Sequence[bytes]) -> Iterator[bytes]:
        """Yield the lines of a file that hold one of these."""
        try:
            yield from _lines(file, needles)
            self.files.append(file)
        except (OSError, EOFError, zlib.error) as fault:  # EOFError: a compressed file that is not whole
            why = fault.strerror or str(fault) if isinstance(fault, OSError) else str(fault)
            self.unread.append(f"{file}: {printable(why)}")


def _lines(file: str, needles: Sequence[bytes]) -> Iterator[bytes]:
    if file == STDIN:
        yield from _matching(sys.stdin.buffer, needles)
        return
    with Path(file).open("rb") as stream:
        if stream.read(2) == _GZIP:
            stream.seek(0)
            with gzip.open(stream) as unpacked:
                yield from _matching(cast(BinaryIO, unpacked), needles)
        else:
            stream.seek(0)
            yield from _matching(stream, needles)


def _matching(stream: BinaryIO, needles: Sequence[bytes]) -> Iterator[bytes]:
    rest = b""
    while block := stream.read(_BLOCK):
        whole, newline, tail = block.rpartition(b"\n")
        if not newline:
            rest = rest + block if len(rest) < _LONGEST else b""  # no line of tarry's
            continue
        block, rest = rest + whole, tail
        if any(needle in block for needle in needles):
            yield from (line for line in block.split(b"\n") if any(needle in line for needle in needles))
    if any(needle in rest for needle in needles):
        yield rest


def _changed_at(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:  # rotated away this moment
        return 0.0
