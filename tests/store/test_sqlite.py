"""The memory in a file: what goes wrong with a file in use, what is forgotten, and what others can read of it."""

from __future__ import annotations

import asyncio
import json
import shutil
import sqlite3
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tarry.core.history import Change, Pass
from tarry.store import Away, Mark, Unsure, sqlite_file
from tarry.store.sqlite import COUNT_EVERY, PORTION, SqliteStore
from tests.store.keeping import FADING, KEEP, NOW, Place, change


class Now:
    """UTC as a test has it."""

    def __init__(self) -> None:
        self.seconds = NOW

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    made = Place(f"sqlite:{tmp_path}/tarry.db")
    yield made
    made.close()


def opened(place: Place, now: Now | None = None, *, keep: float = KEEP, max_clients: int = 1_000_000) -> SqliteStore:
    """Return a store with a clock of its own."""
    path = place.url.removeprefix("sqlite:")
    store = SqliteStore(path, fading=FADING, keep=keep, max_clients=max_clients, now=now or Now())
    place._stores.append(store)
    return store


def sessions(place: Place, store: SqliteStore, key: str = "192.0.2.1") -> int:
    entry = place.run(store.read([key])).get(key)
    return entry.sessions if entry else 0


def away(place: Place, asked: Any) -> str:
    with pytest.raises(Away) as told:
        place.run(asked)
    return str(told.value)


def test_columns_are_for_queries(place: Place, tmp_path: Path) -> None:
    """Numbers are numbers, and lists are JSON, for sqlite3 and datasette."""
    store = opened(place)
    place.run(store.write([change(points=-2.5, refused=1, reasons=("pregreet.spoke",), passes=(Pass("ptr", NOW + 9),))]))
    place.run(store.mark(Mark("192.0.2.0/24", "deny", 0.0, "rude", NOW)))
    with sqlite3.connect(tmp_path / "tarry.db") as db:
        db.row_factory = sqlite3.Row
        row = dict(db.execute("SELECT * FROM clients WHERE karma < -2").fetchone())
        mark = tuple(db.execute("SELECT what, action, until, comment FROM marks").fetchone())
    db.close()
    assert ("192.0.2.1", -2.5, NOW, 1, 1, 0) == tuple(
        row[name] for name in ("key", "karma", "at", "sessions", "refused", "delivered")
    )
    assert [{"check": "ptr", "until": NOW + 9}] == json.loads(row["passes"])
    assert [{"name": "pregreet.spoke", "sessions": 1, "last": NOW}] == json.loads(row["reasons"])
    assert -2.5 == json.loads(row["visits"])[0]["points"]
    assert ("192.0.2.0/24", "deny", 0.0, "rude") == mark


def test_who_has_not_come_for_long_is_forgotten(place: Place) -> None:
    """At once for who asks, and in the file with the next changes."""
    now = Now()
    store = opened(place, now, keep=3600)
    place.run(store.write([change(points=-5.0), change("192.0.2.2")]))
    now.seconds += 3601
    assert 0 == sessions(place, store)
    place.run(store.write([change("192.0.2.2", now.seconds)]))
    assert (1, 1) == (place.run(store.count()), sessions(place, store, "192.0.2.2"))


def test_above_max_clients_the_oldest_are_forgotten(place: Place) -> None:
    """In portions: they are counted now and then, and a batch deletes some of them."""
    now = Now()
    store = opened(place, now, max_clients=100)
    many = 100 + PORTION + 50
    place.run(store.write([change(f"10.1.{number >> 8}.{number & 255}", NOW + number / 1000) for number in range(many)]))
    assert 100 + 50 == place.run(store.count())
    place.run(store.write([change("10.1.2.100", NOW + 1)]))
    assert 100 == place.run(store.count())
    assert 0 == sessions(place, store, "10.1.0.0")
    place.run(store.write([change(f"10.2.0.{number}", NOW + 2) for number in range(20)]))
    assert 120 == place.run(store.count())
    now.seconds += COUNT_EVERY
    place.run(store.write([change("10.2.0.1", NOW + 2)]))
    assert (100, 2) == (place.run(store.count()), sessions(place, store, "10.2.0.1"))


def test_a_transaction_of_another_program_is_waited_for_and_told(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reads go on meanwhile; afterwards the same connection serves."""
    monkeypatch.setattr(sqlite_file, "LOCK_WAIT", 0.01)
    store = opened(place)
    place.run(store.write([change()]))
    other = sqlite3.connect(tmp_path / "tarry.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    assert "tarry.db is locked by another program" in away(place, store.write([change()]))
    assert 1 == sessions(place, store)
    other.execute("ROLLBACK")
    other.close()
    place.run(store.write([change()]))
    assert 2 == sessions(place, store)


def test_the_log_is_cut_when_another_program_has_read(place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While it reads the log cannot begin anew, and grows; a file once large would stay so for as long as the server runs."""
    monkeypatch.setattr(sqlite_file, "LOG_LIMIT", 100_000)
    store, log = opened(place), tmp_path / "tarry.db-wal"
    place.run(store.write([change()]))
    other = sqlite3.connect(tmp_path / "tarry.db", isolation_level=None)
    other.execute("BEGIN")
    other.execute("SELECT count(*) FROM clients").fetchall()
    for part in range(40):
        place.run(store.write([change(f"10.{number}.{part}.1") for number in range(250)]))
    large = log.stat().st_size
    other.close()
    for _ in range(3):
        place.run(store.write([change()]))
    assert large > 4_500_000 > 200_000 > log.stat().st_size


def test_a_file_that_was_deleted_is_begun_anew(place: Place, tmp_path: Path) -> None:
    """It is told once."""
    store = opened(place)
    place.run(store.write([change()]))
    (tmp_path / "tarry.db").unlink()
    assert "was deleted: it is opened anew" in away(place, store.write([change()]))
    place.run(store.write([change()]))
    assert 1 == sessions(place, store)


def test_a_file_that_was_replaced_is_read_from_then_on(place: Place, tmp_path: Path) -> None:
    """As when a backup is put back; nothing of the file that was replaced gets into the new one."""
    store = opened(place)
    place.run(store.write([change()]))
    with sqlite3.connect(tmp_path / "tarry.db") as db, sqlite3.connect(tmp_path / "backup.db") as backup:
        db.backup(backup)
    db.close()
    backup.close()
    place.run(store.write([change(), change("192.0.2.2")]))
    (tmp_path / "backup.db").replace(tmp_path / "tarry.db")
    for suffix in ("-wal", "-shm"):
        (tmp_path / f"tarry.db{suffix}").unlink()
    assert "was replaced by another" in away(place, store.read(["192.0.2.1"]))
    assert (1, 0) == (sessions(place, store), sessions(place, store, "192.0.2.2"))
    place.run(store.write([change()]))
    assert 2 == sessions(place, store)


def test_a_file_that_breaks_in_use_is_moved_aside(place: Place, tmp_path: Path) -> None:
    """What SQLite trips over later is found as what it is, and told; the next call has a new file."""
    store = opened(place)
    place.run(store.write([change(f"10.1.0.{number}") for number in range(200)]))
    place.run(store.close())
    path = tmp_path / "tarry.db"
    whole = path.read_bytes()
    store = opened(place)
    assert 1 == sessions(place, store, "10.1.0.7")
    with path.open("r+b") as file:  # the file itself, not a new one in its place
        file.seek(4096)
        file.write(b"\xff" * (len(whole) - 4096))
    opened_again = opened(place)  # its cache is empty; it takes the file for whole, as a long one is taken
    opened_again._which = sqlite_file.identity(path)
    assert "malformed" in away(place, opened_again.read(["10.1.0.8"]))
    assert "was broken" in away(place, opened_again.read(["10.1.0.8"]))
    assert 0 == sessions(place, opened_again, "10.1.0.8")
    assert "was replaced by another" in away(place, store.read(["10.1.0.9"]))
    assert 1 == len(list(tmp_path.glob("tarry.db.corrupt-*[0-9]")))


@pytest.mark.parametrize(
    "damage",
    [
        "karma = 'much'",
        "karma = 9e999",
        "at = -9e999",
        "sessions = 1.5",
        "domain = x'ff'",
        "passes = '[{\"check\": 1}]'",
        "reasons = 'nonsense'",
        "visits = 7",
        "key = x'ff'",
    ],
)
def test_a_row_that_makes_no_sense_is_nothing_known(place: Place, tmp_path: Path, damage: str) -> None:
    """The next session replaces it; the other rows are as they were."""
    store = opened(place)
    place.run(store.write([change(), change("192.0.2.2")]))
    with sqlite3.connect(tmp_path / "tarry.db") as db:
        db.execute(f"UPDATE clients SET {damage} WHERE key = '192.0.2.1'")
    db.close()
    assert (0, 1) == (sessions(place, store), sessions(place, store, "192.0.2.2"))
    place.run(store.write([change()]))
    assert 1 == sessions(place, store)


def test_a_mark_that_makes_no_sense_is_none(place: Place, tmp_path: Path) -> None:
    """Someone wrote it by hand; the others hold."""
    store = opened(place)
    place.run(store.mark(Mark("192.0.2.1", "deny", at=NOW)))
    with sqlite3.connect(tmp_path / "tarry.db") as db:
        for row in ("'192.0.2.2', 'maybe', 0, '', 0", "'192.0.2.3', 'deny', 'x', '', 0", "x'ff', 'deny', 0, '', 0"):
            db.execute(f"INSERT INTO marks VALUES ({row})")
    db.close()
    assert ["192.0.2.1"] == [mark.what for mark in place.run(store.marks(NOW))]


def test_a_change_that_cannot_be_kept_is_given_up(place: Place) -> None:
    """It would else be tried for ever, with all that waits behind it."""
    store = opened(place)
    for bad in (Change("192.0.2.1", NOW, 1.0, 1 << 70), Change("192.0.2.1", NOW, domain="\udc00")):
        with pytest.raises(Unsure, match="does not take it"):
            place.run(store.write([bad]))
    place.run(store.write([change()]))
    assert 1 == sessions(place, store)


def test_a_commit_that_fails_is_in_doubt(place: Place) -> None:
    """The next one is not."""
    store = opened(place)
    place.run(store.write([change()]))

    def refuse(action: int, first: str | None, *more: str | None) -> int:
        return sqlite3.SQLITE_DENY if (action, first) == (sqlite3.SQLITE_TRANSACTION, "COMMIT") else sqlite3.SQLITE_OK

    assert store._db is not None
    store._db.set_authorizer(refuse)
    with pytest.raises(Unsure, match="not authorized"):
        place.run(store.write([change()]))
    place.run(store.write([change()]))
    assert 2 == sessions(place, store)


def test_while_the_disk_hangs_nothing_is_begun(place: Place) -> None:
    """A call that was given up holds the thread; what comes after it is away at once and not done later."""
    store = opened(place)
    place.run(store.write([change()]))
    go_on = threading.Event()

    async def hang() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await store._do(lambda db: go_on.wait(20))
        with pytest.raises(Away, match="the disk does not answer"):
            await store.write([change()])
        go_on.set()
        while store._given_up is None or not store._given_up.done():
            await asyncio.sleep(0)

    place.run(hang())
    assert 1 == sessions(place, store)


def test_what_waits_behind_a_hang_is_not_done_later(place: Place) -> None:
    """It was given up before it began, so that it is nobody's any more."""
    store = opened(place)
    place.run(store.write([change()]))
    go_on = threading.Event()

    async def hang() -> None:
        first = asyncio.ensure_future(store._do(lambda db: go_on.wait(20)))
        await asyncio.sleep(0)
        second = asyncio.ensure_future(store.write([change()]))
        await asyncio.sleep(0)
        second.cancel()
        await asyncio.wait([second])
        go_on.set()
        await first

    place.run(hang())
    assert 1 == sessions(place, store)


@pytest.fixture
def small_disk() -> Iterator[Path]:
    """A file system of 512 KiB."""
    folder = Path(tempfile.mkdtemp(prefix="tarry-small-"))
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", str(folder)], capture_output=True, check=False)
    if mounted.returncode:
        folder.rmdir()
        pytest.skip("only root can mount a small disk")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)
    shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.slow
def test_a_full_disk_is_told_and_reads_go_on(small_disk: Path) -> None:
    """Once there is room the changes can be written, and the file is whole."""
    place = Place(f"sqlite:{small_disk}/tarry.db")
    store = opened(place)
    try:
        place.run(store.write([change()]))
        (small_disk / "filler").write_bytes(b"\0" * 300_000)
        said = ""
        for start in range(0, 4000, 100):
            try:
                place.run(store.write([change(f"10.1.{(start + number) >> 8}.{(start + number) & 255}") for number in range(100)]))
            except Away as away:
                said = str(away)
                break
        assert "the disk is full" in said
        assert "the disk is full" in away_text(place, store)
        assert 1 == sessions(place, store)
        (small_disk / "filler").unlink()
        place.run(store.write([change()]))
        assert 2 == sessions(place, store)
        again = opened(place)
        assert 2 == sessions(place, again)
    finally:
        place.close()


def away_text(place: Place, store: SqliteStore) -> str:
    return away(place, store.write([change(f"10.9.{number >> 8}.{number & 255}") for number in range(1000)]))


@pytest.mark.slow
def test_a_full_disk_has_no_room_for_a_new_file(small_disk: Path) -> None:
    """And tarry goes on without one."""
    (small_disk / "filler").write_bytes(b"\0" * (512 * 1024 - 4096))
    place = Place(f"sqlite:{small_disk}/tarry.db")
    store = opened(place)
    assert "the disk is full" in away(place, store.read(["192.0.2.1"]))
    (small_disk / "filler").unlink()
    place.run(store.write([change()]))
    assert 1 == sessions(place, store)
    place.close()
