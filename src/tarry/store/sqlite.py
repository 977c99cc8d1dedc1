"""sqlite - the memory of clients in a file, for one host.

What      `SqliteStore`: one file, one connection and one thread of its own in each process, opened at the first use and so after a
          fork. The columns are those of `Entry`; lists are JSON, so that sqlite3 and datasette can query them.
Promises  A batch is one transaction (BEGIN IMMEDIATE) in which entries are read, merged and written: atomic among all processes of
          a host. A file that goes away, is replaced, found broken, locked, full or read-only is `Away` with a sentence, and is
          opened anew at the next use. A row that makes no sense is nothing known, and is replaced by the next session.
Forgets   With each batch, at most `PORTION` rows that were not seen for ``keep`` seconds, and as many of the oldest above
          ``max_clients``, which are counted every `COUNT_EVERY` seconds.
Stuck     A disk that does not answer holds the thread, and no more: while a call that was given up has not come back, the store is
          away and nothing is begun.
Measured  docs/performance.md, "Memory of clients".
"""

from __future__ import annotations

import asyncio
import math
import sqlite3
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from tarry.core.history import AHEAD, Change, Counted, Entry, Fading, Pass, Visit, is_ahead, merged
from tarry.store import Away, Mark, Order, Unsure
from tarry.store.sqlite_file import Identity, connected, identity, is_broken, is_passing, sentence

PORTION = 500
COUNT_EVERY = 60.0
END_WAIT = 1.0
"""Seconds in which `close` waits for what is under way."""

_COLUMNS = "key, karma, at, first, sessions, delivered, refused, domain, passes, reasons, visits"
_TAKEN = 16
_SELECT_ONE = f"SELECT {_COLUMNS} FROM clients WHERE key = ?"
_SELECT = f"SELECT {_COLUMNS} FROM clients WHERE key IN ({', '.join('?' * _TAKEN)})"
_WRITE = f"""INSERT INTO clients ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (key) DO UPDATE SET
karma = excluded.karma, at = excluded.at, first = excluded.first, sessions = excluded.sessions, delivered = excluded.delivered,
refused = excluded.refused, domain = excluded.domain, passes = excluded.passes, reasons = excluded.reasons,
visits = excluded.visits"""
_FORGET_OLD = f"DELETE FROM clients WHERE rowid IN (SELECT rowid FROM clients WHERE at < ? ORDER BY at LIMIT {PORTION})"
_FORGET_OLDEST = "DELETE FROM clients WHERE rowid IN (SELECT rowid FROM clients ORDER BY at LIMIT ?)"
_MARKS = "SELECT what, action, until, comment, at FROM marks WHERE until = 0 OR until > ? ORDER BY what"
_LIST = f"SELECT {_COLUMNS} FROM clients WHERE at BETWEEN :oldest AND :newest AND (:match = '' OR instr(key, :match)) ORDER BY "
_ORDERS = {"worst": "faded(karma, :now - at)", "best": "-faded(karma, :now - at)", "last": "-at"}

_encode = msgspec.json.Encoder().encode
_passes = msgspec.json.Decoder(tuple[Pass, ...]).decode
_reasons = msgspec.json.Decoder(tuple[Counted, ...]).decode
_visits = msgspec.json.Decoder(tuple[Visit, ...]).decode
_Row = tuple[bytes, float, float, float, int, int, int, bytes, bytes, bytes, bytes]
_T = TypeVar("_T")


class SqliteStore:
    """The memory in the file *path*. ``now`` is UTC epoch seconds: what is out of date is judged by it."""

    def __init__(
        self, path: str | Path, *, fading: Fading, keep: float, max_clients: int, now: Callable[[], float] = time.time
    ) -> None:
        self._path = Path(path)
        self._fading = fading
        self._keep = keep
        self._max_clients = max_clients
        self._now = now
        self._db: sqlite3.Connection | None = None
        self._which: Identity | None = None
        self._broken = ""
        self._excess = 0
        self._count_at = -math.inf
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="tarry-store")
        self._given_up: Future[Any] | None = None
        self._is_closed = False

    @property
    def where(self) -> str:
        """Its URL."""
        return f"sqlite:{self._path}"

    async def read(self, keys: Collection[str]) -> Mapping[str, Entry]:
        """Return what there is under these keys."""
        return await self._do(lambda db: self._read(db, list(keys)))

    async def write(self, changes: Sequence[Change]) -> None:
        """Merge changes into their entries, all or none."""
        by_key: dict[str, list[Change]] = {}
        for change in changes:
            by_key.setdefault(change.key, []).append(change)
        await self._change(lambda db: self._write(db, by_key))

    async def forget(self, keys: Collection[str]) -> int:
        """Delete entries; return how many there were."""
        rows = [(key,) for key in keys]

        def work(db: sqlite3.Connection) -> int:
            return db.executemany("DELETE FROM clients WHERE key = ?", rows).rowcount if rows else 0

        return await self._change(work)

    async def list(self, order: Order, now: float) -> Sequence[Entry]:
        """Return entries in that order. All rows are gone through: a second for each million."""

        def work(db: sqlite3.Connection) -> Sequence[Entry]:
            today = self._now()
            wanted = {"oldest": today - self._keep, "newest": today + AHEAD, "match": order.match, "now": now, "limit": order.limit}
            rows = db.execute(f"{_LIST}{_ORDERS[order.by]}, key LIMIT :limit", wanted)
            return [entry for row in rows if (entry := _entry(row)) is not None]

        return await self._do(work)

    async def marks(self, now: float) -> Sequence[Mark]:
        """Return every mark that holds at *now*."""

        def work(db: sqlite3.Connection) -> Sequence[Mark]:
            rows = db.execute(_MARKS, (now,))
            return [mark for row in rows if (mark := _mark(row)) is not None]

        return await self._do(work)

    async def mark(self, mark: Mark) -> None:
        """Keep a mark, in place of what was said of the same address or network before. Marks that are over are deleted."""
        row = (mark.what, mark.action, mark.until, mark.comment, mark.at)

        def work(db: sqlite3.Connection) -> None:
            db.execute("DELETE FROM marks WHERE until <> 0 AND until <= ?", (self._now(),))
            db.execute("INSERT OR REPLACE INTO marks (what, action, until, comment, at) VALUES (?, ?, ?, ?, ?)", row)

        await self._change(work)

    async def unmark(self, what: str) -> bool:
        """Take a mark back; False where there was none."""

        def work(db: sqlite3.Connection) -> bool:
            return db.execute("DELETE FROM marks WHERE what = ?", (what,)).rowcount > 0

        return await self._change(work)

    async def count(self) -> int:
        """Return how many entries there are; those that are out of date and not yet deleted count."""
        return await self._do(_count)

    async def close(self) -> None:
        """End. What is under way is finished first, within `END_WAIT` seconds."""
        if self._is_closed:
            return
        self._is_closed = True
        ending = self._thread.submit(self._disconnect)
        self._thread.shutdown(wait=False)
        await asyncio.wait([asyncio.wrap_future(ending)], timeout=END_WAIT)

    async def _change(self, work: Callable[[sqlite3.Connection], _T]) -> _T:
        return await self._do(lambda db: self._in_transaction(db, work))

    async def _do(self, work: Callable[[sqlite3.Connection], _T]) -> _T:
        if self._is_closed:
            raise Away(f"{self._path} is closed")
        if self._given_up is not None and not self._given_up.done():
            raise Away(f"{self._path}: the disk does not answer")
        future = self._thread.submit(self._done, work)
        try:
            return await asyncio.wrap_future(future)
        except asyncio.CancelledError:
            if not future.done():  # it has begun, and nobody knows when it will end
                self._given_up = future
            raise

    def _done(self, work: Callable[[sqlite3.Connection], _T]) -> _T:
        """In the thread: do it, or say why not."""
        db = self._connected()
        try:
            return work(db)
        except sqlite3.Error as fault:
            raise self._away(fault) from None
        except UnicodeDecodeError:  # the sqlite3 module wants to quote what has a flipped bit in it
            self._broken = "a schema that is no text"
            self._disconnect()
            raise Away(f"{self._path} is broken") from None

    def _connected(self) -> sqlite3.Connection:
        if self._db is not None:
            which = identity(self._path)  # 2 µs a batch
            if which == self._which:
                return self._db
            # SQLite neither checkpoints nor deletes a log whose file is no longer where it was: closing harms nobody.
            self._disconnect()
            raise Away(f"{self._path} was {'deleted' if which is None else 'replaced by another'}: it is opened anew")
        broken, self._broken = self._broken, ""
        self._db, self._which = connected(self._path, self._now(), self._which, broken)
        self._db.create_function("faded", 2, self._faded, deterministic=True)
        return self._db

    def _faded(self, karma: float, seconds: float) -> float:
        return self._fading.after(karma, seconds)

    def _disconnect(self) -> None:
        db, self._db = self._db, None
        if db is not None:
            try:
                db.close()
            except sqlite3.Error:  # what a last checkpoint could not do is in the log, and is done at the next opening
                pass

    def _away(self, fault: sqlite3.Error) -> Away:
        if is_broken(fault):
            self._broken = str(fault)
        if not is_passing(fault):
            self._disconnect()
        return Away(sentence(self._path, fault))

    def _in_transaction(self, db: sqlite3.Connection, work: Callable[[sqlite3.Connection], _T]) -> _T:
        db.execute("BEGIN IMMEDIATE")
        try:
            done = work(db)
        except (sqlite3.IntegrityError, UnicodeError, OverflowError) as fault:  # NaN, half a surrogate pair: no second try helps
            _roll_back(db)
            raise Unsure(f"{self._path} does not take it: {fault}") from None
        except BaseException:
            _roll_back(db)
            raise
        try:
            db.execute("COMMIT")
        except sqlite3.Error as fault:
            _roll_back(db)
            if is_passing(fault):
                raise
            raise Unsure(str(self._away(fault))) from None
        return done

    def _read(self, db: sqlite3.Connection, keys: Sequence[str]) -> dict[str, Entry]:
        found: dict[str, Entry] = {}
        now = self._now()
        for row in _rows(db, keys):
            entry = _entry(row)
            if entry is not None and entry.at >= now - self._keep and not is_ahead(entry, now):
                found[entry.key] = entry
        return found

    def _write(self, db: sqlite3.Connection, by_key: Mapping[str, Sequence[Change]]) -> None:
        was = self._read(db, list(by_key))
        rows = []
        for key, changes in by_key.items():
            entry = was.get(key)
            for change in changes:
                entry = merged(entry, change, self._fading)
            assert entry is not None
            rows.append(_row(entry))
        db.executemany(_WRITE, rows)
        self._forget(db)

    def _forget(self, db: sqlite3.Connection) -> None:
        now = self._now()
        db.execute(_FORGET_OLD, (now - self._keep,))
        if not 0 <= now - self._count_at < COUNT_EVERY:
            self._count_at = now
            self._excess = _count(db) - self._max_clients
        if self._excess > 0:
            portion = min(PORTION, self._excess)
            db.execute(_FORGET_OLDEST, (portion,))
            self._excess -= portion


def _count(db: sqlite3.Connection) -> int:
    ((count,),) = db.execute("SELECT count(*) FROM clients")
    return int(count)


def _roll_back(db: sqlite3.Connection) -> None:
    if db.in_transaction:
        try:
            db.execute("ROLLBACK")
        except sqlite3.Error:  # SQLite has rolled back by itself, or the connection is about to be closed
            pass


def _rows(db: sqlite3.Connection, keys: Sequence[str]) -> Iterable[_Row]:
    """Return the rows of these keys. One statement for one key and one for `_TAKEN`: each further length would be parsed anew."""
    if len(keys) < 4:
        return [row for key in keys for row in db.execute(_SELECT_ONE, (key,))]
    rows: list[_Row] = []
    for start in range(0, len(keys), _TAKEN):
        taken: list[str | None] = [*keys[start : start + _TAKEN]]
        taken += [None] * (_TAKEN - len(taken))
        rows += db.execute(_SELECT, taken).fetchall()
    return rows


def _row(entry: Entry) -> tuple[str | float, ...]:
    return (
        entry.key,
        entry.karma,
        entry.at,
        entry.first,
        entry.sessions,
        entry.delivered,
        entry.refused,
        entry.domain,
        _encode(entry.passes).decode(),
        _encode(entry.reasons).decode(),
        _encode(entry.visits).decode(),
    )


def _entry(row: _Row) -> Entry | None:
    """Return the entry of a row, None where it makes no sense: the file may have had a fault that no check of SQLite's finds."""
    key, karma, at, first, sessions, delivered, refused, domain, passes, reasons, visits = row
    if not (float is type(karma) is type(at) is type(first) and int is type(sessions) is type(delivered) is type(refused)):
        return None
    if not (math.isfinite(karma) and math.isfinite(at) and math.isfinite(first)):
        return None
    try:
        return Entry(
            key.decode(),
            karma,
            at,
            first,
            sessions,
            delivered,
            refused,
            domain.decode(),
            _passes(passes),
            _reasons(reasons),
            _visits(visits),
        )
    except (
        ValueError,
        TypeError,
        AttributeError,
    ):  # msgspec's are ValueErrors; a column that is no text is another
        return None


def _mark(row: tuple[bytes, bytes, float, bytes, float]) -> Mark | None:
    what, action, until, comment, at = row
    try:
        found = {"what": what.decode(), "action": action.decode(), "until": until, "comment": comment.decode(), "at": at}
        return msgspec.convert(found, Mark)
    except (ValueError, TypeError, AttributeError):
        return None
