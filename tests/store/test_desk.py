"""The desk: reads that are called back in time, changes that are written once, and a store that may do what it likes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

import pytest

from tarry.core.history import Change, Entry, merged
from tarry.store import Away, Mark, Order, Partly, Unsure, desk
from tarry.store.desk import CLOSED, LATE, Desk, State
from tests.shell import LeapingLoop
from tests.store.keeping import FADING, NOW, change

TIMEOUT = 0.25
Answer = tuple[int, str]
"""How many sessions were told (0: nothing known), and why not."""


class StillLoop(LeapingLoop):
    """A loop whose time is that of its timers alone: the test may take as long as it likes."""

    def time(self) -> float:
        return self._leapt


class Clock:
    """The loop's time, which leaps."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop

    def monotonic(self) -> float:
        return self._loop.time()

    def wall(self) -> float:
        return NOW + self._loop.time()


class Scripted:
    """A store in a dictionary that does what a test says before it does its work."""

    def __init__(self) -> None:
        self.entries: dict[str, Entry] = {}
        self.kept_marks: list[Mark] = []
        self.reads: list[list[str]] = []
        self.writes: list[list[str]] = []
        self.most_at_once = 0
        self.is_closed = False
        self.on_read: Callable[[], Awaitable[object]] = _at_once
        self.on_write: Callable[[], Awaitable[object]] = _at_once
        self.on_marks: Callable[[], Awaitable[object]] = _at_once
        self.on_close: Callable[[], Awaitable[object]] = _at_once
        self._under_way = 0

    where = "scripted:"

    async def read(self, keys: Collection[str]) -> Mapping[str, Entry]:
        self.reads.append(list(keys))
        await self._do(self.on_read)
        return {key: self.entries[key] for key in keys if key in self.entries}

    async def write(self, changes: Sequence[Change]) -> None:
        self.writes.append([one.key for one in changes])
        await self._do(self.on_write)
        self.merge(changes)

    def merge(self, changes: Sequence[Change]) -> None:
        for one in changes:
            self.entries[one.key] = merged(self.entries.get(one.key), one, FADING)

    async def _do(self, first: Callable[[], Awaitable[object]]) -> None:
        self._under_way += 1
        self.most_at_once = max(self.most_at_once, self._under_way)
        try:
            await first()
        finally:
            self._under_way -= 1

    async def marks(self, now: float) -> Sequence[Mark]:
        await self.on_marks()
        return [mark for mark in self.kept_marks if mark.until == 0 or mark.until > now]

    async def close(self) -> None:
        await self.on_close()
        self.is_closed = True

    async def forget(self, keys: Collection[str]) -> int:
        raise AssertionError("no desk does this")

    async def list(self, order: Order, now: float) -> Sequence[Entry]:
        raise AssertionError("no desk does this")

    async def mark(self, mark: Mark) -> None:
        raise AssertionError("no desk does this")

    async def unmark(self, what: str) -> bool:
        raise AssertionError("no desk does this")

    async def count(self) -> int:
        raise AssertionError("no desk does this")


async def _at_once() -> None:
    """Nothing is in the way."""


def after(seconds: float) -> Callable[[], Awaitable[object]]:
    return lambda: asyncio.sleep(seconds)


def failing(fault: BaseException) -> Callable[[], Awaitable[object]]:
    async def fail() -> None:
        raise fault

    return fail


class Room:
    """A desk, its store, and what was heard of both."""

    def __init__(self, loop: LeapingLoop) -> None:
        self.loop = loop
        self.store = Scripted()
        self.changes: list[tuple[bool, str]] = []
        self.faults: list[dict[str, Any]] = []
        self.answers: list[Answer] = []
        loop.set_exception_handler(lambda loop, context: self.faults.append(context))
        self.desk = Desk(loop, Clock(loop), self.store, fading=FADING, timeout=TIMEOUT, on_change=self.on_change)
        self.run(self.desk.start())

    def on_change(self, is_ok: bool, why: str) -> None:
        self.changes.append((is_ok, why))

    def run(self, awaited: Any) -> Any:
        return self.loop.run_until_complete(awaited)

    def wait(self, seconds: float) -> None:
        self.run(asyncio.sleep(seconds))

    def take(self, entry: Entry | None, why: str) -> None:
        self.answers.append((entry.sessions if entry else 0, why))

    def read(self, key: str = "192.0.2.1", wait: float = 0.01) -> list[Answer]:
        """Ask, wait, and return what was answered."""
        self.answers = []
        self.desk.read(key, self.take)
        assert [] == self.answers
        self.wait(wait)
        return self.answers

    @property
    def state(self) -> State:
        return self.desk.state


@pytest.fixture
def room() -> Iterator[Room]:
    loop = StillLoop()
    asyncio.set_event_loop(loop)
    room = Room(loop)
    yield room
    room.store.on_write = room.store.on_close = _at_once
    room.run(room.desk.close())
    asyncio.set_event_loop(None)
    loop.close()


def test_reads_of_a_moment_are_one_batch(room: Room) -> None:
    """Each key once, and everybody who asked for it is called."""
    room.store.merge([change(), change("192.0.2.2"), change("192.0.2.2")])
    for key in ("192.0.2.1", "192.0.2.2", "192.0.2.1", "192.0.2.3"):
        room.desk.read(key, room.take)
    room.wait(0.01)
    assert [["192.0.2.1", "192.0.2.2", "192.0.2.3"]] == room.store.reads
    assert [(0, ""), (1, ""), (1, ""), (2, "")] == sorted(room.answers)


def test_what_was_read_counts_for_a_second(room: Room) -> None:
    """Also that nothing was known; then the store is asked again, and hears of what other hosts did."""
    assert [(0, "")] == room.read()
    room.store.merge([change()])
    assert [(0, "")] == room.read()
    assert 1 == len(room.store.reads)
    room.wait(1.0)
    assert [(1, "")] == room.read()


def test_own_changes_count_at_once(room: Room) -> None:
    """Before they are written, while they are, and afterwards: never twice, never not."""
    room.store.on_write = after(0.3)
    assert [(0, "")] == room.read()
    room.desk.add([change()])
    for _ in range(40):
        assert [(1, "")] == room.read(wait=0.05)
    assert 1 == room.store.entries["192.0.2.1"].sessions


@pytest.mark.parametrize("begun", [0.0, 0.02, 0.05, 0.099, 0.101, 0.15])
@pytest.mark.parametrize("writing", [0.0, 0.03, 0.5])
def test_an_answer_that_comes_late_lacks_no_own_change(room: Room, begun: float, writing: float) -> None:
    """Whether the change is written before the store looks, meanwhile, or after: what is told counts it once.

    This store looks at what it has when a read begins, as one does that serves its requests in their order.
    """

    async def read_what_was() -> None:
        was = dict(room.store.entries)
        await asyncio.sleep(0.2)
        room.store.entries, room.wrote = was, room.store.entries  # type: ignore[attr-defined]
        asyncio.get_running_loop().call_soon(lambda: setattr(room.store, "entries", room.wrote))  # type: ignore[attr-defined]

    room.store.on_read, room.store.on_write = read_what_was, after(writing)
    room.desk.add([change("192.0.2.9")])
    room.wait(begun)
    room.answers = []
    room.desk.read("192.0.2.1", room.take)
    room.wait(0.01)
    room.desk.add([change()])
    room.wait(0.24)
    assert [(1, "")] == room.answers


def test_many_changes_of_one_key_are_folded(room: Room) -> None:
    """A client that comes again and again and is not asked about does not fill the memory."""
    assert [(0, "")] == room.read()
    for number in range(100):
        room.desk.add([change(at=NOW + number)])
    assert [(100, "")] == room.read()


def test_a_store_that_hangs_makes_nobody_wait_longer(room: Room) -> None:
    """Each read ends within the timeout, with what the cache has; one batch is under way, and nothing piles up."""
    room.store.merge([change()])
    assert [(1, "")] == room.read()
    room.wait(1.0)
    room.store.on_read = after(1e9)
    came: list[tuple[float, int, str]] = []
    begun = room.loop.time()
    for number in range(40):
        asked_at, key = room.loop.time(), f"192.0.2.{number % 4 + 1}"

        def take(entry: Entry | None, why: str, at: float = asked_at) -> None:
            came.append((room.loop.time() - at, entry.sessions if entry else 0, why))

        room.desk.read(key, take)
        room.wait(0.02)
    room.wait(TIMEOUT)
    assert 40 == len(came)
    assert all(took <= TIMEOUT + 0.01 for took, _, _ in came)
    assert {LATE} == {why for _, _, why in came}
    assert {1: 10, 0: 30} == {known: len([one for one in came if one[1] == known]) for known in (0, 1)}
    assert 1 == room.store.most_at_once
    assert len(room.store.reads) <= 2 + (room.loop.time() - begun) / TIMEOUT
    assert [(False, LATE)] == room.changes


def test_while_the_store_is_away_reads_are_answered_at_once(room: Room) -> None:
    """It is asked again after half a second, and after longer and longer; when it is back that is told once."""
    room.store.on_read = room.store.on_marks = failing(Away("the disk is full"))
    assert [(0, "the disk is full")] == room.read()
    assert [(0, "the disk is full")] == room.read(wait=0.0)
    assert 2 == len(room.store.reads) + 1
    for _ in range(600):
        room.desk.read("192.0.2.1", room.take)
        room.wait(0.1)
    assert 5 <= len(room.store.reads) <= 13
    room.store.on_read = room.store.on_marks = _at_once
    room.wait(11.0)
    assert [(0, "")] == room.read()
    assert [(False, "the disk is full"), (True, "")] == [room.changes[0], room.changes[-1]]
    assert [(False, "the disk is full; 0 changes wait, 0 are lost")] == room.changes[1:-1]
    assert State("scripted:", True, "", 1, 0, 0) == room.state


def test_while_it_is_away_the_cache_counts_whatever_its_age(room: Room) -> None:
    """With what this process has done since; and of others, what it has done itself."""
    room.store.merge([change()])
    assert [(1, "")] == room.read()
    room.store.on_read = room.store.on_write = room.store.on_marks = failing(Away("gone"))
    room.wait(3600.0)
    room.desk.add([change(), change("192.0.2.2")])
    assert [(2, "gone")] == room.read()
    assert [(1, "gone")] == room.read("192.0.2.2")


def test_changes_wait_until_the_store_is_back(room: Room) -> None:
    """Each is written once, and those of a client in their order."""
    room.store.on_write = failing(Away("locked"))
    for number in range(50):
        room.desk.add([change(f"192.0.2.{number % 10}", NOW + number)])
        room.wait(0.1)
    assert (50, 0, False, "locked") == (room.state.waiting, room.state.lost, room.state.ok, room.state.why)
    assert len(room.store.writes) <= 8
    room.store.on_write = _at_once
    room.wait(11.0)
    assert [5] * 10 == [room.store.entries[f"192.0.2.{number}"].sessions for number in range(10)]
    assert [(False, "locked"), (True, "")] == room.changes
    assert (0, 0, True) == (room.state.waiting, room.state.lost, room.state.ok)


def test_reads_go_on_while_only_writes_fail(room: Room) -> None:
    """As on a full disk."""
    room.store.merge([change()])
    room.store.on_write = failing(Away("full"))
    room.desk.add([change("192.0.2.2")])
    room.wait(5.0)
    assert [(1, "")] == room.read()
    assert [(False, "full")] == room.changes


@pytest.mark.parametrize("fault", [Unsure("the connection broke"), RuntimeError("a library")])
def test_what_may_have_been_written_is_not_written_again(room: Room, fault: Exception) -> None:
    """It is counted; the next batch is another one."""
    room.store.on_write = failing(fault)
    room.desk.add([change(), change()])
    room.wait(0.3)
    room.store.on_write = _at_once
    room.desk.add([change("192.0.2.2")])
    room.wait(1.0)
    assert [["192.0.2.1", "192.0.2.1"], ["192.0.2.2"]] == room.store.writes
    assert (0, 2, True) == (room.state.waiting, room.state.lost, room.state.ok)
    assert int(isinstance(fault, RuntimeError)) == len(room.faults)


def test_a_write_that_hangs_is_given_up(room: Room) -> None:
    """Nobody knows what becomes of it. No second one is begun meanwhile."""
    room.store.on_write = after(1e9)
    for _ in range(25):
        room.desk.add([change()])
        room.wait(0.1)
    assert 1 == len(room.store.writes)
    room.store.on_write = _at_once
    room.wait(3.0)
    assert [(False, LATE), (True, "")] == room.changes
    assert 25 == room.store.entries["192.0.2.1"].sessions + room.state.lost
    assert 0 < room.state.lost < 5


def test_what_a_part_of_the_servers_did_is_done(room: Room) -> None:
    """Of a batch some keys may be written, some not, and of some nobody knows."""
    room.store.on_write = failing(Partly("a node", undone=["192.0.2.1"], unsure=["192.0.2.2"]))
    room.desk.add([change(), change("192.0.2.2"), change("192.0.2.3")])
    room.wait(0.3)
    room.store.on_write = _at_once
    room.wait(1.0)
    assert ["192.0.2.1"] == room.store.writes[-1]
    assert (1, {"192.0.2.1"}) == (room.state.lost, set(room.store.entries))


def test_no_more_than_so_many_changes_wait(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest make room, and are counted; the store is not flooded when it is back."""
    room.store.on_write = failing(Away("gone"))
    for number in range(12_000):
        room.desk.add([change(f"10.0.{number >> 8}.{number & 255}")])
    room.wait(1.0)
    assert (desk.MOST_WAITING, 12_000 - desk.MOST_WAITING) == (room.state.waiting, room.state.lost)
    room.store.on_write = _at_once
    room.wait(15.0)
    assert (desk.MOST_WAITING, 0) == (len(room.store.entries), room.state.waiting)
    assert desk.BATCH == max(map(len, room.store.writes))
    assert "10.0.0.0" not in room.store.entries


def test_an_absence_is_told_once_a_minute(room: Room) -> None:
    """With how much waits and how much is lost, though nobody asks for anything."""
    room.store.on_marks = room.store.on_write = failing(Away("gone"))
    room.desk.add([change(), change()])
    room.wait(150.0)
    assert [(False, "gone"), *[(False, "gone; 2 changes wait, 0 are lost")] * 2] == room.changes


def test_marks_are_fresh_each_second(room: Room) -> None:
    """Who wants to know is called when they are others; those that were known stay while the store is away."""
    heard: list[tuple[Mark, ...]] = []
    room.desk.on_marks = heard.append
    mark = Mark("192.0.2.0/24", "deny", at=NOW)
    room.store.kept_marks = [mark]
    room.wait(3.0)
    assert ([(mark,)], (mark,)) == (heard, room.desk.marks)
    room.store.on_marks = failing(Away("gone"))
    room.wait(3.0)
    assert (mark,) == room.desk.marks
    room.store.on_marks, room.store.kept_marks = _at_once, []
    room.wait(12.0)
    assert [(mark,), ()] == heard


def test_marks_are_known_when_it_has_started() -> None:
    """Unless the store takes too long: then the door opens without them."""
    for seconds, expected in ((2.0, 1), (9.0, 0)):
        loop = StillLoop()
        room_store = Scripted()
        room_store.kept_marks, room_store.on_marks = [Mark("192.0.2.1", "deny")], after(seconds)
        made = Desk(loop, Clock(loop), room_store, fading=FADING, timeout=TIMEOUT, on_change=lambda ok, why: None)
        loop.run_until_complete(made.start())
        assert expected == len(made.marks)
        loop.run_until_complete(made.close())
        loop.close()


def test_close_writes_what_is_left(room: Room) -> None:
    """And closes the store; who still waits is answered, and what comes later is answered and counted."""
    room.store.on_read = after(1e9)
    room.desk.read("192.0.2.1", room.take)
    room.wait(0.01)
    room.desk.add([change(f"10.0.{number >> 8}.{number & 255}") for number in range(1200)])
    room.run(room.desk.close())
    assert ([(0, CLOSED)], 1200, True) == (room.answers, len(room.store.entries), room.store.is_closed)
    assert [(0, CLOSED)] == room.read("192.0.2.7")
    room.desk.add([change()])
    room.wait(30.0)
    assert (1200, 1) == (len(room.store.entries), room.state.lost)
    room.run(room.desk.close())


@pytest.mark.parametrize("away", [after(1e9), failing(Away("gone"))])
def test_close_takes_no_longer_than_it_may(room: Room, away: Callable[[], Awaitable[object]]) -> None:
    """What could not be written is counted."""
    room.store.on_write = room.store.on_close = away
    room.desk.add([change()])
    room.wait(0.2)
    room.desk.add([change("192.0.2.2")])
    begun = room.loop.time()
    room.run(room.desk.close())
    assert room.loop.time() - begun <= 3 * desk.CLOSE_TIMEOUT
    assert (0, 2) == (room.state.waiting, room.state.lost)


def test_a_fault_of_who_is_called_is_told_and_kept_from_others(room: Room) -> None:
    """Of who asked, of who hears of marks, and of who hears of the store."""

    def broken(*told: object) -> None:
        raise ValueError("ours")

    room.desk.read("192.0.2.1", broken)
    assert [(0, "")] == room.read()
    room.desk.on_marks = broken
    room.store.kept_marks = [Mark("192.0.2.1", "deny")]
    room.wait(2.0)
    room.desk._on_change = broken
    room.store.on_marks = failing(Away("gone"))
    room.wait(1.0)
    assert 3 == len(room.faults)
    assert 1 == len(room.desk.marks)


@pytest.mark.parametrize("what", ["on_read", "on_marks", "on_close"])
def test_whatever_a_store_throws_is_no_more_than_away(room: Room, what: str) -> None:
    """A store promises what it raises; a library beneath it does not."""
    setattr(room.store, what, failing(RuntimeError("surprise")))
    room.read()
    room.wait(1.5)
    room.run(room.desk.close())
    assert {"RuntimeError('surprise')"} == {repr(fault["exception"]) for fault in room.faults}
