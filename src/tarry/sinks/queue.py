"""queue - lines on their way from the event loop to the thread that writes them.

What      `put` takes a line and returns at once; `flush` hands over all that came since the last one, as one `Batch`;
          the thread takes batches with `take` and gives their room back with `finished`.
Promises  `put` never blocks, never wakes a thread and never raises. What is held, handed over but unwritten lines included, stays
          below `max_bytes` and `max_lines`. What does not fit is counted, and the count travels in order: `Batch.missed` stands
          for the lines that belong right behind those of the batch.
Loop      `on_first` is called when there is something to hand over and was nothing before; the shell arms a timer there, if none
          is armed, and calls `flush` from it. While a gap is open it is called again after each `flush`.
Threads   Everything belongs to the loop's thread but `take` and `finished`. The two sides share a SimpleQueue and two counts
          that only the writer changes and the loop reads, so there is no lock. Make it after a fork, never before.
Full      After a gap an eighth of the room must be free before lines are taken again. Without that, a writer that cannot keep up
          frees one line at a time and every second line in the log becomes a `lost` record.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from queue import Empty, SimpleQueue

MAX_BYTES = 64 * 1024 * 1024
"""About 300,000 records of 200 octets."""

MAX_LINES = 500_000
"""Each line costs 41 bytes beside its own length (a bytes object and a list slot, CPython 3.11): 20 MB."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Lines to write with one call, then ``missed`` lines that found no room. ``reopen``: open the file anew first."""

    lines: Sequence[bytes] = ()
    missed: int = 0
    reopen: bool = False
    last: bool = False


class LineQueue:
    """A bounded queue with one loop on one side and one writer on the other."""

    __slots__ = (
        "_base", "_batches", "_closed", "_handed_lines", "_line_room", "_lines", "_max_bytes", "_max_lines", "_missed", "_room",
        "_written_bytes", "_written_lines", "missed", "on_first",
    )  # fmt: skip

    def __init__(
        self, *, max_bytes: int = MAX_BYTES, max_lines: int = MAX_LINES, on_first: Callable[[], None] | None = None
    ) -> None:
        self.on_first = on_first
        self.missed = 0  # all lines that ever found no room
        self._max_bytes = max_bytes
        self._max_lines = max_lines
        self._batches: SimpleQueue[Batch] = SimpleQueue()
        self._lines: list[bytes] = []
        # Bytes and lines that `put` may take before it must look at what the writer has freed. `_base - _room` is the sum of all
        # bytes ever taken, so that `put` keeps one number and not two.
        self._room = self._base = max_bytes
        self._line_room = max_lines
        self._missed = 0  # the gap that is open: lines refused since the last one that was taken
        self._handed_lines = 0
        self._written_bytes = self._written_lines = 0
        self._closed = False

    @property
    def unwritten(self) -> int:
        """Lines handed over that the writer has not finished with."""
        return self._handed_lines - self._written_lines

    @property
    def held_bytes(self) -> int:
        """Octets of all lines that were taken and are not yet written."""
        return self._base - self._room - self._written_bytes

    def put(self, line: bytes) -> None:
        """Take one line, with its newline; 0.1 µs."""
        lines = self._lines
        waiting = len(lines)
        room = self._room - len(line)
        if room < 0 or waiting >= self._line_room:
            self._put_without_room(line)
            return
        self._room = room
        lines.append(line)
        if not waiting and self.on_first is not None:
            self.on_first()

    def flush(self) -> None:
        """Hand over what came since the last call; about 2 µs, most of it for waking the thread."""
        if self._closed:
            return
        self._reclaim()
        over = self._missed if self._is_free() else 0
        if self._lines or over:
            self._hand_over(Batch(self._lines, over))
        if self._missed:
            self._set_room(-1)
            if self.on_first is not None:
                self.on_first()

    def reopen(self) -> None:
        """Hand over what there is and have the file opened anew behind it, also when no line comes for hours."""
        self.flush()
        if not self._closed:
            self._batches.put(Batch(reopen=True))

    def close(self) -> None:
        """Hand over the rest. A line put after this is counted as missed."""
        if not self._closed:
            self._closed = True
            self._hand_over(Batch(self._lines, self._missed, last=True))
            self._set_room(-1)

    def take(self, *, block: bool) -> Batch | None:
        """Return the next batch. With *block* wait for it; else None where there is none. The writer's side."""
        try:
            return self._batches.get(block)
        except Empty:
            return None

    def finished(self, batch: Batch) -> None:
        """Give back the room of a batch that was written or given up. The writer's side."""
        self._written_bytes += sum(map(len, batch.lines))
        self._written_lines += len(batch.lines)

    def _put_without_room(self, line: bytes) -> None:
        if self._closed:
            self.missed += 1
            return
        self._reclaim()
        fits = self._room >= len(line) and len(self._lines) < self._line_room
        if fits and (not self._missed or self._is_free()):
            if self._missed:
                self.flush()  # the gap is handed over before the line that follows it
            self.put(line)
            return
        if not self._missed and not self._lines and self.on_first is not None:
            self.on_first()
        self._missed += 1
        self.missed += 1
        self._set_room(-1)  # every put comes here until the gap is handed over

    def _hand_over(self, batch: Batch) -> None:
        self._handed_lines += len(batch.lines)
        self._lines = []
        self._missed -= batch.missed
        self._batches.put(batch)
        self._reclaim()

    def _reclaim(self) -> None:
        self._set_room(self._max_bytes - self.held_bytes)
        self._line_room = self._max_lines - self.unwritten

    def _set_room(self, room: int) -> None:
        self._base += room - self._room
        self._room = room

    def _is_free(self) -> bool:
        return self._room * 8 >= self._max_bytes and (self._line_room - len(self._lines)) * 8 >= self._max_lines
