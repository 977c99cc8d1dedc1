"""desk - where the memory of clients is asked, and told what they did.

What      `Desk.read` calls back with an entry, `Desk.add` takes changes; `Desk.marks` is what the operator said by hand, a second
          old at most. Reads are joined for each key and asked for together every `READ_EVERY` seconds, changes are written every
          `WRITE_EVERY`.
Promises  Each `read` is called back exactly once, from the loop and never before it has returned, within ``timeout`` seconds and a
          few milliseconds whatever the store does. Nothing that a store does is raised into a caller. At most one batch of reads,
          one of changes and one look at the marks are under way, each with a deadline.
Cache     What was read counts for ``cache_for`` seconds, so that what one host learns the others use a second later. What this
          process adds is merged into it at once. While the store is away an entry counts whatever its age.
Failures  `Away`: changes are kept, `MOST_WAITING` of them, and tried again after 0.5 s to 10 s; reads are answered at once
          meanwhile. What finds no room, the oldest first, is counted in `State.lost`; so are changes of which the store does not
          say whether it has them (`Unsure`, no answer in time), since they may not count twice. ``on_change`` is told when the
          store goes and comes back, and once a minute while it is away.
Not here  What a store is, and what it does when it breaks: store/__init__, sqlite, valkey. The changes that wait: backlog.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from typing import TYPE_CHECKING, TypeAlias, TypeVar

import msgspec
from cachetools import LRUCache

from tarry.core.clock import Clock
from tarry.core.history import Change, Entry, Fading, merged
from tarry.store import Away, Mark, Partly, Store, Unsure
from tarry.store.backlog import Backlog

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop, Task, TimerHandle

READ_EVERY = 0.005
"""At 2,000 reads a second, 2 ms cost 0.05 ms of CPU a session, and 5 ms 0.03: a batch takes 0.1 ms, whatever is in it."""
WRITE_EVERY = 0.1
MARKS_EVERY = 1.0
TELL_EVERY = 60.0
WRITE_TIMEOUT = 3.0
"""Longer than a store takes to say itself what it knows of a write without an answer."""
OPEN_TIMEOUT = 3.0
"""For the first look at the store, which may look through a file."""
CLOSE_TIMEOUT = 2.0
FIRST_WAIT = 0.5
LONGEST_WAIT = 10.0
"""Between two tries while the store is away."""
CACHED = 50_000
"""Entries, of some 1 KB with a client's last visits."""
MOST_WAITING = 10_000
"""Changes that wait for the store, of some 0.5 KB."""
BATCH = 500
"""Changes in one batch: no more than that is lost where the store does not say whether it has them."""
READ_BATCH = 1000
_FOLDED_AT = 16
_MOMENT = 0.001
LATE = "no answer in time"
CLOSED = "the memory is closed"

_T = TypeVar("_T")
OnEntry: TypeAlias = Callable[[Entry | None, str], None]


class State(msgspec.Struct, frozen=True):
    """How the memory is: its URL without a password, whether it answers and why not, how many entries are in the cache, how many
    changes wait to be written, and how many were given up since the start."""

    url: str
    ok: bool
    why: str
    cached: int
    waiting: int
    lost: int


class Desk:
    """The memory as one process has it. The store is used after `start` and closed by `close`."""

    def __init__(
        self,
        loop: AbstractEventLoop,
        clock: Clock,
        store: Store,
        *,
        fading: Fading,
        timeout: float,
        on_change: Callable[[bool, str], None],
        cache_for: float = 1.0,
    ) -> None:
        self._loop = loop
        self._clock = clock
        self._store = store
        self._fading = fading
        self._timeout = timeout
        self._on_change = on_change
        self._cache_for = cache_for
        self.marks: tuple[Mark, ...] = ()
        self.on_marks: Callable[[tuple[Mark, ...]], None] = _nobody
        self._kept: LRUCache[str, _Kept] = LRUCache(CACHED)
        self._reads = _Way()
        self._writes = _Way()
        self._is_ok = True
        self._told_at = 0.0
        self._is_closed = False
        # Reads: those that nobody has answered yet, those of them for the next batch, and all in the order of their deadlines.
        self._waiting: dict[str, _Waiting] = {}
        self._asked: list[_Waiting] = []
        self._deadlines: deque[_Waiting] = deque()
        self._deadline_timer: TimerHandle | None = None
        self._read_timer: TimerHandle | None = None
        self._reading: Task[None] | None = None
        self._backlog = Backlog(MOST_WAITING)
        # Changes of batches that were begun and written while one batch of reads was under way.
        self._overtaken: dict[str, list[Change]] = {}
        self._reading_after = 0
        self._write_timer: TimerHandle | None = None
        self._writing: Task[None] | None = None
        self._marks_timer: TimerHandle | None = None
        self._looking: Task[None] | None = None

    @property
    def state(self) -> State:
        """How it is now."""
        return State(self._store.where, self._is_ok, self._why, len(self._kept), len(self._backlog), self._backlog.lost)

    async def start(self) -> None:
        """Open the store and read the marks, within `OPEN_TIMEOUT`. A store that is away now is tried again later. Never raises."""
        self._looking = self._loop.create_task(self._look(OPEN_TIMEOUT))
        await asyncio.wait([self._looking])

    def read(self, key: str, on_entry: OnEntry) -> None:
        """Have *on_entry* called with the entry, None for nothing known, and "" or why it could not be told: then the entry is
        what this process remembers of it."""
        now = self._clock.monotonic()
        kept = self._kept.get(key)
        if kept is not None and kept.until > now:
            self._loop.call_soon(self._call, on_entry, self._folded(kept), "")
        elif self._is_closed or now < self._reads.retry_at:
            self._loop.call_soon(self._call, on_entry, self._remembered(key), CLOSED if self._is_closed else self._reads.why)
        elif (waiting := self._waiting.get(key)) is not None:
            waiting.calls.append(on_entry)
        else:
            waiting = _Waiting(key, on_entry, now + self._timeout)
            self._waiting[key] = waiting
            self._asked.append(waiting)
            self._deadlines.append(waiting)
            if self._deadline_timer is None:
                self._deadline_timer = self._loop.call_later(self._timeout, self._on_deadline)
            if self._read_timer is None and self._reading is None:
                self._read_timer = self._loop.call_later(READ_EVERY, self._begin_reading)

    def add(self, changes: Sequence[Change]) -> None:
        """Take what sessions add, to be written soon."""
        if self._is_closed:
            self._backlog.lost += len(changes)
            return
        self._backlog.add(changes)
        for change in changes:
            kept = self._kept.get(change.key)
            if kept is not None:
                kept.changes.append(change)
                if len(kept.changes) >= _FOLDED_AT:
                    self._folded(kept)
            elif not self._is_ok:
                self._kept[change.key] = _Kept(None, 0.0, [change])
        self._arm_writing()

    async def close(self) -> None:
        """Write what is left, within `CLOSE_TIMEOUT`, and close the store. Who still waits is answered at once. Never raises."""
        if self._is_closed:
            return
        self._is_closed = True
        for timer in (self._deadline_timer, self._read_timer, self._write_timer, self._marks_timer):
            if timer is not None:
                timer.cancel()
        under_way = [task for task in (self._reading, self._looking) if task is not None]
        for task in under_way:
            task.cancel()
        self._answer(list(self._waiting.values()), CLOSED)
        until = self._loop.time() + CLOSE_TIMEOUT
        if under_way:
            await asyncio.wait(under_way, timeout=CLOSE_TIMEOUT)
        while len(self._backlog) and (left := until - self._loop.time()) > 0:
            tried = self._writing is None
            writing = self._writing or self._begin_writing()
            await asyncio.wait([writing], timeout=left)
            if tried and self._writes.why:
                break
        if self._writing is not None:
            self._writing.cancel()
            await asyncio.wait([self._writing], timeout=CLOSE_TIMEOUT)
        self._backlog.clear()
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT):
                await self._store.close()
        except TimeoutError:
            pass
        except Exception as fault:  # a store promises not to
            self._complain("closing the memory ends in a fault", fault)

    # Reads.

    def _begin_reading(self) -> None:
        self._read_timer = None
        asked = [waiting for waiting in self._asked if waiting.calls]
        batch, self._asked = asked[:READ_BATCH], asked[READ_BATCH:]
        if batch:
            self._overtaken = {}
            self._reading_after = self._backlog.batches
            self._reading = self._loop.create_task(self._read(batch))

    async def _read(self, batch: Sequence[_Waiting]) -> None:
        found, why = await self._heard(self._store.read([waiting.key for waiting in batch]), self._timeout)
        self._reading = None
        now = self._clock.monotonic()
        if found is None:
            self._reads.failed(now, why, hung=why == LATE)
            self._answer([*batch, *self._asked], why)
            self._asked = []
        else:
            self._reads.went_well()
            until = now + self._cache_for
            for waiting in batch:
                self._kept[waiting.key] = _Kept(found.get(waiting.key), until, self._missing(waiting.key))
            self._answer(batch, "")
            if self._asked:
                self._begin_reading()
        self._tell()

    def _missing(self, key: str) -> list[Change]:
        """Return the changes that an answer cannot have: those of batches begun after it was asked for, and those that wait."""
        return [*self._overtaken.get(key, ()), *self._backlog.after(key, self._reading_after)]

    def _on_deadline(self) -> None:
        self._deadline_timer = None
        now = self._clock.monotonic()
        late = []
        while self._deadlines:
            first = self._deadlines[0]
            if first.calls and first.due_at > now:
                # uvloop counts whole milliseconds and may come early by one.
                self._deadline_timer = self._loop.call_later(first.due_at - now + _MOMENT, self._on_deadline)
                break
            late.append(self._deadlines.popleft())
        self._answer(late, LATE)

    def _answer(self, those: Iterable[_Waiting], why: str) -> None:
        for waiting in those:
            calls, waiting.calls = waiting.calls, []
            if calls:
                del self._waiting[waiting.key]
                entry = self._remembered(waiting.key)
                for on_entry in calls:
                    self._call(on_entry, entry, why)

    def _remembered(self, key: str) -> Entry | None:
        kept = self._kept.get(key)
        return None if kept is None else self._folded(kept)

    def _folded(self, kept: _Kept) -> Entry | None:
        if kept.changes:
            for change in kept.changes:
                kept.entry = merged(kept.entry, change, self._fading)
            kept.changes = []
        return kept.entry

    # Changes.

    def _arm_writing(self, delay: float = WRITE_EVERY) -> None:
        if self._write_timer is None and self._writing is None and len(self._backlog) and not self._is_closed:
            away = self._writes.retry_at - self._clock.monotonic()
            self._write_timer = self._loop.call_later(max(delay, away), self._begin_writing)

    def _begin_writing(self) -> Task[None]:
        self._write_timer = None
        self._writing = self._loop.create_task(self._write(self._backlog.take(BATCH)))
        return self._writing

    async def _write(self, changes: Sequence[Change]) -> None:
        undone: Collection[str] = ()
        lost: Collection[str] = ()
        keys = self._backlog.keys_under_way
        try:
            async with asyncio.timeout(WRITE_TIMEOUT):
                await self._store.write(changes)
        except Away as fault:
            undone, why = keys, str(fault)
        except TimeoutError:
            lost, why = keys, LATE
        except Unsure as fault:
            lost, why = keys, str(fault)
        except Partly as fault:
            undone, lost, why = set(fault.undone), set(fault.unsure), str(fault)
        except asyncio.CancelledError:  # by `close`, whose time is over
            self._backlog.end(lost=keys)
            raise
        except Exception as fault:  # whatever a library throws: the next batch is tried all the same
            lost, why = keys, self._complain("the memory ends in a fault", fault)
        else:
            why = ""
        self._writing = None
        written = self._backlog.end(undone=undone, lost=lost)
        if self._reading is not None and self._backlog.batches > self._reading_after:
            for key, done in written.items():
                self._overtaken.setdefault(key, []).extend(done)
        if why:
            self._writes.failed(self._clock.monotonic(), why)
        else:
            self._writes.went_well()
        self._tell()
        self._arm_writing(0.0 if self._backlog.queue_length >= BATCH else WRITE_EVERY)

    # Marks, and how the store is.

    def _on_marks_due(self) -> None:
        self._marks_timer = None
        if self._clock.monotonic() >= self._reads.retry_at:
            self._looking = self._loop.create_task(self._look(max(self._timeout, MARKS_EVERY)))
        else:
            self._tell()
            self._marks_timer = self._loop.call_later(MARKS_EVERY, self._on_marks_due)

    async def _look(self, timeout: float) -> None:
        found, why = await self._heard(self._store.marks(self._clock.wall()), timeout)
        self._looking = None
        now = self._clock.monotonic()
        if found is None:
            self._reads.failed(now, why)
        else:
            # Marks may be had where reads hang: that they are says little as long as those do.
            if not self._reads.hung or now - self._reads.failed_at > LONGEST_WAIT:
                self._reads.went_well()
            if not len(self._backlog):
                self._writes.went_well()
            marks = tuple(found)
            if marks != self.marks:
                self.marks = marks
                try:
                    self.on_marks(marks)
                except Exception as fault:  # our bug: it would end the refreshing
                    self._complain("new marks end in a fault of tarry itself", fault)
        self._tell()
        if not self._is_closed:
            self._marks_timer = self._loop.call_later(MARKS_EVERY, self._on_marks_due)

    async def _heard(self, asked: Awaitable[_T], timeout: float) -> tuple[_T | None, str]:
        """Return what the store says, or None and why it says nothing."""
        try:
            async with asyncio.timeout(timeout):
                return await asked, ""
        except TimeoutError:
            return None, LATE
        except (Away, Unsure) as fault:
            return None, str(fault)
        except Exception as fault:  # whatever a library throws: it must not take who waits with it
            return None, self._complain("the memory ends in a fault", fault)

    @property
    def _why(self) -> str:
        return self._reads.why or self._writes.why

    def _tell(self) -> None:
        why = self._why
        now = self._clock.monotonic()
        if self._is_ok != (not why):
            self._is_ok = not why
        elif self._is_ok or now - self._told_at < TELL_EVERY:
            return
        else:
            why = f"{why}; {len(self._backlog)} changes wait, {self._backlog.lost} are lost"
        self._told_at = now
        try:
            self._on_change(self._is_ok, why)
        except Exception as fault:  # our bug: it would take a batch with it
            self._complain("a change of the memory ends in a fault of tarry itself", fault)

    def _call(self, on_entry: OnEntry, entry: Entry | None, why: str) -> None:
        try:
            on_entry(entry, why)
        except Exception as fault:  # our bug: it would take with it the others who wait for this batch
            self._complain("what is remembered ends in a fault of tarry itself", fault)

    def _complain(self, message: str, fault: Exception) -> str:
        self._loop.call_exception_handler({"message": message, "exception": fault})
        return f"{message}: {fault!r}"


class _Kept:
    """An entry in the cache, the time until which it counts, and changes that are still to be merged into it."""

    __slots__ = ("changes", "entry", "until")

    def __init__(self, entry: Entry | None, until: float, changes: list[Change]) -> None:
        self.entry = entry
        self.until = until
        self.changes = changes


class _Waiting:
    """A key that is asked for, who waits for it (nobody: it is over), and until when."""

    __slots__ = ("calls", "due_at", "key")

    def __init__(self, key: str, on_entry: OnEntry, due_at: float) -> None:
        self.key = key
        self.calls = [on_entry]
        self.due_at = due_at


class _Way:
    """How reads go, or writes: why not, since when, whether a batch of reads hung, and when to try again."""

    __slots__ = ("_delay", "failed_at", "hung", "retry_at", "why")

    def __init__(self) -> None:
        self.failed_at = 0.0
        self.hung = False
        self.went_well()

    def went_well(self) -> None:
        self.why = ""
        self.retry_at = 0.0
        self._delay = FIRST_WAIT

    def failed(self, now: float, why: str, *, hung: bool = False) -> None:
        self.why = why
        self.failed_at = now
        self.hung = hung
        if now >= self.retry_at:  # otherwise it was begun before the last failure, and is the same one
            self.retry_at = now + self._delay
            self._delay = min(LONGEST_WAIT, 2 * self._delay)


def _nobody(marks: tuple[Mark, ...]) -> None:
    pass
