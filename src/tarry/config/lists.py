"""lists - files of networks: those of exempt.files and deny.files.

What      One network or address a line, ``# comment`` behind it or alone; ``until=2026-12-31`` (00:00 UTC of that day, or a whole
          ISO time, UTC where it names no zone) ends what the line says::

              192.0.2.0/24                        # a partner
              198.51.100.7   until=2026-12-31     # their old server
              2001:db8:7::/48

Promises  Bad content never raises: each mistake is a `Problem` with its file, line and remedy, all at once, and the other lines
          are read. One about a file as a whole has no line, and the loader gives it the place where the file is named. Bits right
          of a prefix are cut off with a warning; what is there twice, a byte order mark and CR LF are fine. A hundred thousand
          lines take less than a second.
Changes   `has_changed` compares what a file is now with what it was when it was opened to be read, so that no change falls in
          between; `again` reads what has changed.
Not here  Watching, and what becomes of a file that is bad at the second reading: who serves.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import NamedTuple, TypeAlias

import msgspec

from tarry.config.origin import Problem, Severity
from tarry.config.places import Network, network
from tarry.config.spelling import nearest, printable, shown
from tarry.config.values import Wrong
from tarry.core.marked import Marked

SIZE_LIMIT = 32 * 1024 * 1024
"""Octets. A larger file is no list that somebody keeps."""
MOST_TOLD = 50
"""Mistakes of one file that are told; of the others it is said how many there are."""

_FIX = "write one network or address a line, and behind it nothing but until=DATE and # comment"
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}(?:[T ].+)?", re.ASCII)

Stamp: TypeAlias = tuple[int, int, int, int]
"""What tells one state of a file from another: device, inode, size, and when it or its mode was changed (ctime, ns)."""

_NO_FILE: Stamp = (0, 0, 0, 0)


class Entry(msgspec.Struct, frozen=True, gc=False):
    """One line. ``until`` is in UTC epoch seconds, 0 for ever."""

    network: Network
    until: float = 0.0

    def holds(self, now: float) -> bool:
        """True where the line still says something."""
        return not self.until or now < self.until


Word: TypeAlias = tuple[Entry, bool]
"""What is said of a network: True for allow, False for deny."""


class Read(NamedTuple):
    """What a file says, and what is wrong with it."""

    entries: tuple[Entry, ...]
    problems: tuple[Problem, ...]


class File(msgspec.Struct, frozen=True):
    """One file as it was read. ``named`` is its name as configured, ``key`` the key that names it."""

    key: str
    named: str
    path: Path
    stamp: Stamp
    read: Read

    def has_changed(self) -> bool:
        """True when it is not what it was when it was read: other content, another file, or gone. One stat(2)."""
        return stamp_of(self.path) != self.stamp

    def again(self) -> File:
        """Return it as it is now, itself where it has not changed."""
        return _file(self.key, self.named, self.path) if self.has_changed() else self


class Lists(msgspec.Struct, frozen=True):
    """All files of a configuration."""

    files: tuple[File, ...] = ()

    @property
    def exempt(self) -> tuple[Entry, ...]:
        """Those of exempt.files."""
        return self._of("exempt.files")

    @property
    def deny(self) -> tuple[Entry, ...]:
        """Those of deny.files."""
        return self._of("deny.files")

    @property
    def words(self) -> list[Word]:
        """What they say; of two words about the same network the last one counts."""
        return [*((entry, True) for entry in self.exempt), *((entry, False) for entry in self.deny)]

    @property
    def problems(self) -> tuple[Problem, ...]:
        """What is wrong with any."""
        return tuple(problem for file in self.files for problem in file.read.problems)

    def has_changed(self) -> bool:
        """True when one of them has."""
        return any(file.has_changed() for file in self.files)

    def again(self) -> Lists:
        """Return them as they are now."""
        return Lists(tuple(file.again() for file in self.files))

    def _of(self, key: str) -> tuple[Entry, ...]:
        return tuple(entry for file in self.files if file.key == key for entry in file.read.entries)


def marked(words: Iterable[Word], now: float) -> Marked:
    """Return what is said at *now* (UTC epoch seconds), for the door."""
    return Marked.of((entry.network, allow) for entry, allow in words if entry.holds(now))


def read_lists(exempt: Sequence[str], deny: Sequence[str], folder: Path) -> Lists:
    """Read the files of both keys; relative names are those of files in *folder*, that of the configuration."""
    named = [*(("exempt.files", one) for one in exempt), *(("deny.files", one) for one in deny)]
    return Lists(tuple(_file(key, name, folder / name) for key, name in dict.fromkeys(named)))


def read(path: Path, where: str = "", named: str = "") -> Read:
    """Read one file. *where* is the key that names it, *named* how problems call it (the path, where it is not given)."""
    return _file(where, named or str(path), path).read


def stamp_of(path: Path) -> Stamp:
    """Return what a file is now; a file that is not there, or out of reach, has a stamp of its own."""
    try:
        return _stamp(path.stat())
    except (OSError, ValueError):  # ValueError: a NUL in the name
        return _NO_FILE


def read_until(text: str) -> float:
    """Return the moment that a date or an ISO time names, in UTC epoch seconds. Raises Wrong."""
    from datetime import UTC, datetime  # `tarry inetd` does without, where no line has one

    try:
        if not _DATE.fullmatch(text):
            raise ValueError
        moment = datetime.fromisoformat(text)
        seconds = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
        if seconds <= 0:  # 0 would be for ever
            raise ValueError
        return seconds
    except (ValueError, OverflowError):
        raise Wrong(f"{shown(text)} is no date", "write it as in 2026-12-31 or 2026-12-31T18:00 (UTC)") from None


def mended(text: str) -> tuple[Network, str]:
    """Return the network that *text* names, and what was mended of it ("" for nothing). Raises Wrong."""
    kind = IPv6Network if ":" in text else IPv4Network
    try:
        found: Network = kind(text)
    except ValueError:
        try:
            found = kind(text, strict=False)
        except ValueError:
            return network.read(text), ""  # it tells what is wrong with it
        if "%" not in text and not _is_mapped(found):
            return found, f"{text} has bits set right of its prefix, and is taken for {found}"
    if isinstance(found, IPv6Network):
        mapped = found.network_address.ipv4_mapped
        if mapped is not None and found.prefixlen >= 96:
            plain = IPv4Network((int(mapped), found.prefixlen - 96))
            return plain, f"{text} is {plain}: clients are shown as plain IPv4"
        if "%" in text:
            return network.read(text), ""
    return found, ""


def _is_mapped(found: Network) -> bool:
    return isinstance(found, IPv6Network) and found.prefixlen >= 96 and found.network_address.ipv4_mapped is not None


# Reading.


def _file(key: str, named: str, path: Path) -> File:
    name = printable(named)
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # a FIFO would wait for somebody to write
    except (OSError, ValueError) as fault:
        return File(key, named, path, stamp_of(path), Read((), (_unreadable(key, name, path, fault),)))
    status = os.fstat(fd)
    if not stat.S_ISREG(status.st_mode):
        os.close(fd)
        wrong = Problem(key, f"{name}: this is no file", "name a file with one network a line")
        return File(key, named, path, _stamp(status), Read((), (wrong,)))
    with os.fdopen(fd, "rb") as stream:
        try:
            raw = stream.read(SIZE_LIMIT + 1)
        except OSError as fault:  # EIO, ESTALE
            return File(key, named, path, _stamp(status), Read((), (_unreadable(key, name, path, fault),)))
    if len(raw) > SIZE_LIMIT:
        wrong = Problem(key, f"{name}: the file is larger than {SIZE_LIMIT >> 20} MiB", "name a list of networks")
        return File(key, named, path, _stamp(status), Read((), (wrong,)))
    return File(key, named, path, _stamp(status), _parse(raw, key, name))


def _stamp(status: os.stat_result) -> Stamp:
    return status.st_dev, status.st_ino, status.st_size, status.st_ctime_ns


def _unreadable(key: str, name: str, path: Path, fault: OSError | ValueError) -> Problem:
    match fault:
        case FileNotFoundError():
            return Problem(key, f"{name}: there is no such file ({printable(str(path.absolute()))})", "correct the name")
        case PermissionError():
            return Problem(key, f"{name}: this user may not read the file", "change its owner or mode")
        case _:
            return Problem(key, f"{name}: the file cannot be read: {printable(str(fault))}", "name another")


def _parse(raw: bytes, key: str, name: str) -> Read:
    entries: list[Entry] = []
    problems: list[Problem] = []
    # What is not UTF-8 can only be in a comment, or else is no network and told as such.
    text = raw.decode("utf-8-sig", "replace").replace("\r\n", "\n").replace("\r", "\n")
    for number, line in enumerate(text.split("\n"), 1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        try:
            entry, notes = _entry(words)
        except Wrong as wrong:
            problems.append(Problem(key, wrong.what, wrong.fix, file=name, line=number))
        else:
            entries.append(entry)
            problems += [Problem(key, note, fix, Severity.WARNING, name, number) for note, fix in notes]
    return Read(tuple(entries), tuple(_told(problems, key, name)))


def _told(problems: list[Problem], key: str, name: str) -> list[Problem]:
    """Return the first of many problems, the errors before the warnings, and how many more there are."""
    if len(problems) <= MOST_TOLD:
        return problems
    problems.sort(key=lambda problem: not problem.is_error)
    more = problems[MOST_TOLD:]
    return [*problems[:MOST_TOLD], Problem(key, f"{name}: {len(more):,} more lines are like these", _FIX, more[0].severity)]


def _entry(words: list[str]) -> tuple[Entry, Iterator[tuple[str, str]] | tuple[()]]:
    found, note = mended(words[0])
    until = 0.0
    if len(words) > 1:
        word, equals, date = words[1].partition("=")
        if word != "until" or not equals or len(words) > 2:
            odd = words[1] if word != "until" or not equals else words[2]
            meant = nearest(word, ["until"]) if word != "until" else ""
            raise Wrong(f"{shown(odd)} has no meaning here", f"did you mean {meant}=?" if meant and equals else _FIX)
        until = _read_until(date)
    return Entry(found, until), _notes(found, note) if note or not found.prefixlen else ()


_read_until = lru_cache(maxsize=1000)(read_until)
"""A list has many lines, and few dates."""


def _notes(found: Network, note: str) -> Iterator[tuple[str, str]]:
    if note:
        yield note, f"write {found}" if found.prefixlen < found.max_prefixlen else f"write {found.network_address}"
    if not found.prefixlen:
        yield f"{found} is everyone", "name the networks that you mean"
