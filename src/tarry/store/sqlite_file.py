"""sqlite_file - the file of the memory: made, opened, looked through, and moved aside where it is broken.

What      `connected` opens the file and returns a connection with the tables in it. A file that is missing is made, readable by its
          owner only; made by root, it belongs to the owner of its folder, so that a command that root ran first locks nobody out.
Promises  A file that is broken is moved to NAME.corrupt-YYYYMMDD-HHMMSS (UTC) beside it, with what belongs to it, and a new one
          is begun; nothing is ever overwritten or deleted. A file that a newer tarry wrote, and a database of another program, are
          left as they are, and not used. Processes that open at once take turns (flock on the folder), so that only one moves it.
How       PRAGMA quick_check, for at most `CHECK_FOR` seconds: in a file of gigabytes what is broken shows when it is used. A
          write-ahead log, and no fsync but at checkpoints: a crash of the machine may cost the last changes and never the file.
Source    https://www.sqlite.org/howtocorrupt.html; https://www.sqlite.org/wal.html
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

from tarry.store import Away

SCHEMA = 1
"""In PRAGMA user_version: goes up when an older tarry would read the file wrongly."""
APPLICATION = 0x74617272
"""In PRAGMA application_id: the file is tarry's."""
CHECK_FOR = 2.0
LOG_LIMIT = 16 * 1024 * 1024
"""Octets to which the log is cut when it begins anew: it grows for as long as another program reads, by gigabytes in a flood."""
LOCK_WAIT = 0.1
"""Seconds for another process to end its transaction. Reads wait behind a write, so this is well below store.timeout."""
OPEN_WAIT = 5.0
"""Seconds for another process to open, which may look through the file meanwhile."""

_NOT_TOLD = frozenset({sqlite3.SQLITE_INTERRUPT, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_IOERR})
"""Faults that say nothing of the file: the time was over, another program has it, the disk does not read now."""
_NAMED_BROKEN = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_TABLES = """
CREATE TABLE clients (
    key TEXT PRIMARY KEY NOT NULL, karma REAL NOT NULL, at REAL NOT NULL, first REAL NOT NULL, sessions INTEGER NOT NULL,
    delivered INTEGER NOT NULL, refused INTEGER NOT NULL, domain TEXT NOT NULL, passes TEXT NOT NULL, reasons TEXT NOT NULL,
    visits TEXT NOT NULL
);
CREATE INDEX clients_at ON clients (at);
CREATE TABLE marks (
    what TEXT PRIMARY KEY NOT NULL, action TEXT NOT NULL, until REAL NOT NULL, comment TEXT NOT NULL, at REAL NOT NULL
);
"""
_LOOKS = (
    "SELECT key, karma, at, first, sessions, delivered, refused, domain, passes, reasons, visits FROM clients LIMIT 0",
    "SELECT what, action, until, comment, at FROM marks LIMIT 0",
)

Identity = tuple[int, int]
"""Which file: its device and inode."""


class Broken(Exception):
    """The file is no database, or one with faults. The text says which."""


def is_broken(fault: sqlite3.Error) -> bool:
    """Say whether the fault is that of the file."""
    return _code(fault) in _NAMED_BROKEN


def is_passing(fault: sqlite3.Error) -> bool:
    """Say whether the connection is good for another try as it is: the file is locked, or the disk full."""
    return _code(fault) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_FULL)


def sentence(path: Path, fault: sqlite3.Error) -> str:
    """Return what a fault means, and what to do about it."""
    match _code(fault):
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return f"{path} is locked by another program"
        case sqlite3.SQLITE_FULL:
            return f"no room for {path}: the disk is full, or a quota is"
        case sqlite3.SQLITE_READONLY:
            return f"{path} cannot be written: look at the owner and the mode of the file and its folder"
        case sqlite3.SQLITE_CANTOPEN:
            return f"{path} cannot be opened: look at the owner and the mode of the file and its folder"
        case _:
            return f"{path}: {fault}"


def identity(path: Path) -> Identity | None:
    """Return which file has that name now, None for none. Raises Away where nobody can tell."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    except OSError as fault:  # ENOTDIR, EACCES on a folder above, EIO
        raise Away(f"{path}: {os.strerror(fault.errno or 0)}") from None
    return found.st_dev, found.st_ino


def connected(path: Path, wall: float, checked: Identity | None, broken: str = "") -> tuple[sqlite3.Connection, Identity]:
    """Return a connection and which file it is of.

    *checked* is a file that was found whole before, and is not looked through again. *broken* says what was found wrong with it
    since: then it is moved aside without another look. Raises Away, also where a file was moved aside: the next call makes a new
    one.
    """
    with _turn(path.parent):
        if broken and identity(path) == checked:
            raise Away(_moved(path, wall, broken))
        _make(path)
        which = identity(path)
        if which is None:
            raise Away(f"{path} was deleted while it was opened")
        try:
            db = _opened(path)
        except Broken as fault:
            raise Away(_moved(path, wall, str(fault))) from None
    # Not in turn: with many processes and a long file, the last would wait for all.
    if which != checked and (found := _quick_check(db)):
        db.close()
        with _turn(path.parent):
            raise Away(_moved(path, wall, found) if identity(path) == which else f"{path} was broken ({found}): it was moved aside")
    return db, which


def _code(fault: sqlite3.Error) -> int:
    # Faults of the sqlite3 module itself have no code; those of SQLite have more in their upper bits.
    return getattr(fault, "sqlite_errorcode", -1) & 0xFF


@contextlib.contextmanager
def _turn(folder: Path) -> Iterator[None]:
    """Keep other processes that open a file of this folder out. The lock is on the folder itself, so it leaves no file behind."""
    try:
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        raise Away(f"the folder {folder} does not exist: make it, for the user that tarry runs as") from None
    except OSError as fault:  # ENOTDIR, EACCES
        raise Away(f"the folder {folder}: {os.strerror(fault.errno or 0)}") from None
    try:
        until = time.monotonic() + OPEN_WAIT
        while True:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > until:
                    raise Away(f"another process has had the folder {folder} locked for {OPEN_WAIT:g} s") from None
                time.sleep(0.01)
            except OSError:  # ENOLCK, EOPNOTSUPP: a file system without locks, on which SQLite's own are all there is
                break
        yield
    finally:
        os.close(fd)


def _make(path: Path) -> None:
    """Make an empty file if there is none: SQLite would give it the mode that the umask leaves."""
    try:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        return
    except OSError as fault:
        what = "the disk is full" if fault.errno == errno.ENOSPC else os.strerror(fault.errno or 0)
        raise Away(f"{path} cannot be made: {what}") from None
    try:
        os.fchmod(fd, 0o600)
        if os.geteuid() == 0:
            owner = path.parent.stat()
            os.fchown(fd, owner.st_uid, owner.st_gid)
    except OSError as fault:
        raise Away(f"{path} cannot be made: {os.strerror(fault.errno or 0)}") from None
    finally:
        os.close(fd)


def _opened(path: Path) -> sqlite3.Connection:
    """Return a connection. Raises Broken or Away."""
    db: sqlite3.Connection | None = None
    try:
        # mode=rw: what is deleted meanwhile is not made again with another mode. Text is read as bytes: a flipped bit in a name
        # would else fail all that is read with it.
        db = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode=rw", uri=True, timeout=LOCK_WAIT, isolation_level=None, check_same_thread=False
        )
        db.text_factory = bytes
        _prepare(db, path)
        return db
    except sqlite3.Error as fault:
        if db is not None:
            db.close()
        # Plain errors are those of a schema that makes no sense; none of our statements makes one in a file that is whole.
        if is_broken(fault) or _code(fault) == sqlite3.SQLITE_ERROR:
            raise Broken(str(fault)) from None
        raise Away(sentence(path, fault)) from None
    except UnicodeDecodeError:  # the sqlite3 module wants to quote a schema with a flipped bit in it
        assert db is not None
        db.close()
        raise Broken("a schema that is no text") from None
    except (Away, Broken):
        assert db is not None
        db.close()
        raise


def _prepare(db: sqlite3.Connection, path: Path) -> None:
    ((application,),) = db.execute("PRAGMA application_id")
    ((version,),) = db.execute("PRAGMA user_version")
    ((tables,),) = db.execute("SELECT count(*) FROM sqlite_master")
    is_new = application == version == tables == 0
    if not is_new and application != APPLICATION:
        raise Away(f"{path} is the database of another program: name another file in store.url")
    if version > SCHEMA:
        raise Away(f"{path} was written by a newer tarry (version {version} of its tables, this one knows {SCHEMA}): upgrade")
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = NORMAL")
    db.execute(f"PRAGMA journal_size_limit = {LOG_LIMIT}")
    if is_new:
        db.execute("BEGIN IMMEDIATE")
        for statement in _TABLES.split(";"):
            db.execute(statement)
        db.execute(f"PRAGMA application_id = {APPLICATION}")
        db.execute(f"PRAGMA user_version = {SCHEMA}")
        db.execute("COMMIT")
        return
    for statement in _LOOKS:
        db.execute(statement)


def _quick_check(db: sqlite3.Connection) -> str:
    """Return what is wrong with the file, "" where nothing was found."""
    until = time.monotonic() + CHECK_FOR
    db.set_progress_handler(lambda: time.monotonic() > until, 100_000)
    try:
        ((found,),) = db.execute("PRAGMA quick_check(1)")
    except sqlite3.Error as fault:
        return "" if _code(fault) in _NOT_TOLD else str(fault)
    except UnicodeDecodeError:  # as above
        return "a schema that is no text"
    finally:
        db.set_progress_handler(None, 0)
    return "" if found == b"ok" else str(found.decode(errors="replace"))


def _moved(path: Path, wall: float, why: str) -> str:
    """Move a broken file aside and return the sentence that says so."""
    why = " ".join(why.split())
    stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime(wall))
    names = (path.with_name(f"{path.name}.corrupt-{stamp}{more}") for more in ("", *(f"-{number}" for number in range(2, 1000))))
    aside = next((name for name in names if not os.path.lexists(name)), None)
    if aside is None:
        return f"{path} is broken ({why}), and a thousand others like it lie beside it"
    try:
        path.rename(aside)
        # In this order: a log without its file is thrown away by SQLite, a file without its log is not.
        for suffix in ("-wal", "-shm"):
            with contextlib.suppress(FileNotFoundError):
                path.with_name(path.name + suffix).rename(aside.with_name(aside.name + suffix))
    except OSError as fault:
        return f"{path} is broken ({why}) and cannot be moved aside: {os.strerror(fault.errno or 0)}"
    return f"{path} was broken ({why}): it is {aside.name} now, and a new one is begun"
