"""backlog - changes that wait for the store.

What      `Backlog.add` takes changes, `take` gives the oldest as a batch that is then under way, and `end` says what became of it:
          all was written, but those that are lost, and those that were not done and wait again, before those that came since.
Promises  Pure, and never more than `most` wait: the oldest keys make room, a change each, and are counted in ``lost``. Each change
          is written once, is lost, or waits. The changes of a key keep their order.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from tarry.core.history import Change


class Backlog:
    """Changes by their key, the key that has waited for longest first."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._queued: dict[str, list[Change]] = {}
        self._queue_length = 0
        self._under_way: dict[str, list[Change]] = {}
        self._under_way_length = 0
        self.lost = 0
        self.batches = 0

    def __len__(self) -> int:
        """Those under way included."""
        return self._queue_length + self._under_way_length

    @property
    def queue_length(self) -> int:
        """How many changes are in no batch yet."""
        return self._queue_length

    def add(self, changes: Sequence[Change]) -> None:
        """Take changes."""
        for change in changes:
            self._queued.setdefault(change.key, []).append(change)
        self._queue_length += len(changes)
        self._drop_oldest()

    def take(self, most: int) -> list[Change]:
        """Return *most* changes or a few more, those of a key together."""
        assert not self._under_way
        changes: list[Change] = []
        while self._queued and len(changes) < most:
            key = next(iter(self._queued))
            self._under_way[key] = self._queued.pop(key)
            changes += self._under_way[key]
        self._queue_length -= len(changes)
        self._under_way_length = len(changes)
        self.batches += 1
        return changes

    def end(self, *, undone: Collection[str] = (), lost: Collection[str] = ()) -> Mapping[str, list[Change]]:
        """Say of which keys the changes of the batch were not written, or are lost; return those that were written."""
        under_way, self._under_way = self._under_way, {}
        self._under_way_length = 0
        for key in lost:
            self.lost += len(under_way.pop(key))
        if undone:
            waiting = {key: under_way.pop(key) for key in list(under_way) if key in undone}
            self._queue_length += sum(map(len, waiting.values()))
            for key, changes in self._queued.items():
                waiting.setdefault(key, []).extend(changes)
            self._queued = waiting
            self._drop_oldest()
        return under_way

    @property
    def keys_under_way(self) -> set[str]:
        """The keys of the batch."""
        return set(self._under_way)

    def clear(self) -> None:
        """Give up what waits."""
        self.lost += self._queue_length
        self._queued, self._queue_length = {}, 0

    def after(self, key: str, batches: int) -> list[Change]:
        """Return the changes of a key that are in none of the first *batches*, and not yet written."""
        found: list[Change] = []
        if self.batches > batches:
            found += self._under_way.get(key, ())
        found += self._queued.get(key, ())
        return found

    def _drop_oldest(self) -> None:
        while self._queue_length > self._most:
            key = next(iter(self._queued))
            changes = self._queued.pop(key)
            if len(changes) > 1:  # its next one is younger than the first of others
                self._queued[key] = changes[1:]
            self._queue_length -= 1
            self.lost += 1
