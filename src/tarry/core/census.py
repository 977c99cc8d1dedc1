"""census - how many connections the clients of all processes of a host have and make, in memory that they share.

What      Count-min sketches over a buffer, one region a process (worker): connections that are in, and those that came in this
          minute and in the one before, each by client and by network. Only its own process writes a region, all read all.
Promises  Never less than there is. A connection is counted before it is judged, so two that come to two processes at the same
          moment see each other: both may be refused the last place, and seldom (both writes still on their way) both get it.
          Seldom more: a count is too high only where in each of four rows another key has the same place. With 15,000 clients
          of the other processes that is one in 7,000, with 60,000 one in 55 (tests/core/test_census.py lets them come). Fixed
          memory, however many addresses come.
          What a process that died had counted is gone when its region is zeroed; its keeper does that.
Seed      Places are a keyed hash of the address, with a key of each start: nobody can choose addresses that share them.
Costs     With listen.max_per_client alone, 2 µs for each client that comes and 1.5 µs for each that goes, of eight processes; 15 µs
          in all with four limits (CPython 3.11, 15,000 clients).
Rate      From two fixed minutes: this one, and as much of the one before as lies within the last 60 seconds. Connections that come
          evenly are counted to within one. A client that makes all of the earlier minute's at its end, and more in this one, can
          come to nearly twice its limit within 60 seconds; one that made them at its beginning is thought for up to a minute to
          have just made some. Cloudflare found 0.003 % of 400 million requests decided wrongly.
Source    G. Cormode, S. Muthukrishnan: An Improved Data Stream Summary, 2005. J. Desgats: How we built rate limiting capable of
          scaling to millions of domains (Cloudflare, 2017).
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from struct import Struct
from typing import TypeAlias

ROWS = 4
WIDTH = 1 << 17
"""Places in a row. 1 MiB a sketch; of the six only those are touched whose limit is set."""
FULL = 0xFFFF
"""A place that has come to this stays: it counts no more, and forgets nothing. No limit below it is missed."""
MINUTE = 60.0

_SKETCH = ROWS * WIDTH
_HEADER = 32768  # places, for the minute of each half of each rate; regions are whole pages, also where these have 64 KiB
_REGION = _HEADER + 6 * _SKETCH
SIZE_PER_WORKER = _REGION * 2
"""Octets."""

Spots: TypeAlias = tuple[int, ...]
"""Where a key is in a sketch, one place a row."""

_WORDS = Struct(f"<{ROWS}I")


class Scope(IntEnum):
    """Of whom connections are counted."""

    CLIENT = 0
    NETWORK = 1


class Census:
    """What one process of several counts, and what it reads of all. *memory* holds a region of SIZE_PER_WORKER for each of them,
    zero at first; *worker* is its own number, from 1 on, and *seed* up to 64 octets that are the same for all."""

    def __init__(self, memory: memoryview, seed: bytes, worker: int = 1) -> None:
        from hashlib import blake2b  # 2 ms, which `tarry inetd` has no use for

        self.workers = len(memory) // SIZE_PER_WORKER
        if not 0 < worker <= self.workers:
            raise ValueError(f"there is no region for worker {worker} of {self.workers}")
        self._cells = memory.cast("H")
        self._minutes = memory.cast("I")
        self._own = (worker - 1) * _REGION
        self._starts = tuple(range(0, self.workers * _REGION, _REGION))
        self._all_at = [-1] * 4
        self._whole = [(self._cells[_HEADER + sketch * _SKETCH :],) for sketch in range(2, 6)]
        self._last_keys = [b"", b""]
        self._last_spots: list[Spots] = [(), ()]
        self._hash = blake2b(digest_size=_WORDS.size, key=seed)
        named = self._hash.copy()
        named.update(b"the name of this start")
        self.name = named.hexdigest()
        """The same for all processes of this start, and no other's."""

    def spots(self, scope: Scope, key: bytes) -> Spots:
        """Return where *key* is counted."""
        if self._last_keys[scope] == key:  # one admission asks for it up to four times
            return self._last_spots[scope]
        hashed = self._hash.copy()
        hashed.update(key)
        a, b, c, d = _WORDS.unpack(hashed.digest())
        mask = WIDTH - 1
        spots = (a & mask, (b & mask) + WIDTH, (c & mask) + 2 * WIDTH, (d & mask) + 3 * WIDTH)
        self._last_keys[scope], self._last_spots[scope] = key, spots
        return spots

    # Who is in.

    def enter(self, scope: Scope, spots: Spots) -> None:
        """One more is in."""
        self._add(self._own + _inside(scope), spots)

    def leave(self, scope: Scope, spots: Spots) -> None:
        """One that `enter` counted has gone."""
        cells, sketch = self._cells, self._own + _inside(scope)
        for spot in spots:
            count = cells[sketch + spot]
            if 0 < count < FULL:
                cells[sketch + spot] = count - 1

    def others(self, scope: Scope, spots: Spots, enough: float = 0) -> int:
        """Return how many are in at the other processes; exact work is done only for more than *enough*."""
        cells, sketch, own, least = self._cells, _inside(scope), self._own, FULL * self.workers
        for spot in spots:
            place = sketch + spot
            least = min(least, sum(cells[place::_REGION]) - cells[own + place])
            if least <= enough:
                break
        return least

    # Who came lately.

    def come(self, scope: Scope, spots: Spots, now: float) -> None:
        """One more came, at *now*: monotonic seconds, of a clock that all processes share."""
        minute = int(now // MINUTE)
        label = (self._own >> 1) + _label(scope, minute)
        sketch = self._own + _came(scope, minute)
        if self._minutes[label] != minute:
            self._cells[sketch : sketch + _SKETCH] = memoryview(bytes(_SKETCH * 2)).cast("H")
            self._minutes[label] = minute
        self._add(sketch, spots)

    def rate(self, scope: Scope, spots: Spots, now: float, enough: float = 0) -> float:
        """Return how many came within the last minute, to all processes; exact work is done only for more than *enough*."""
        minute = int(now // MINUTE)
        share = 1.0 - (now / MINUTE - minute)
        least = float("inf")
        this, earlier = self._of_minute(scope, minute), self._of_minute(scope, minute - 1)
        for spot in spots:
            came: float = 0
            for part in this:
                came += sum(part[spot::_REGION])
            for part in earlier:
                came += sum(part[spot::_REGION]) * share
            least = min(least, came)
            if least <= enough:
                break
        return least

    # The regions.

    def _add(self, sketch: int, spots: Spots) -> None:
        cells = self._cells
        for spot in spots:
            count = cells[sketch + spot]
            if count < FULL:
                cells[sketch + spot] = count + 1

    def _of_minute(self, scope: Scope, minute: int) -> Sequence[memoryview]:
        """Return the sketches of this minute: one view of all regions, from which every _REGION-th place is summed, or one of each
        region that has counted in it. What the others have there is of an older minute."""
        label = _label(scope, minute)
        whole = self._whole[label]
        if self._all_at[label] == minute:
            return whole
        begins = [start + _came(scope, minute) for start in self._starts if self._minutes[(start >> 1) + label] == minute]
        found = [self._cells[begin : begin + _SKETCH] for begin in begins]
        if len(found) < self.workers:
            return found
        self._all_at[label] = minute
        return whole


def _inside(scope: Scope) -> int:
    return _HEADER + scope * _SKETCH


def _came(scope: Scope, minute: int) -> int:
    return _HEADER + (2 + _label(scope, minute)) * _SKETCH


def _label(scope: Scope, minute: int) -> int:
    return scope * 2 + (minute & 1)
