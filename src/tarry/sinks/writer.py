"""writer - what stands at the end of the queue.

What      The protocols `Writer` (takes batches of lines) and `Renderer` (turns a record's line into another form), and `Rendered`,
          which puts the second before the first.
Promises  A writer returns its failures and never raises for what the world does to it: a full disk is a value.
Adding    Another style of the log is one file with a renderer in it; `open_sink` takes it as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec


class Failure(msgspec.Struct, frozen=True):
    """Of the lines given, the last ``count`` were not written whole. ``why`` is an errno's name, ``ENOSPC``."""

    count: int
    why: str


class Writer(Protocol):
    """Writes lines somewhere. Only the writer thread calls it, `prepare` before the thread is started excepted."""

    def prepare(self) -> str:
        """Open what there is to open, and return "" or the errno's name. Nothing depends on it having been called."""

    def write(self, lines: Sequence[bytes]) -> Failure | None:
        """Write whole lines, in order, with one call of the system where it takes them all."""

    def reopen(self) -> None:
        """Open the file anew, since somebody has moved it away."""

    def close(self) -> None:
        """Give back what is open."""


class Renderer(Protocol):
    """Another form of the log."""

    def render(self, line: bytes) -> bytes | None:
        """Return whole lines that say what the record *line* says, or None for nothing."""


class Rendered:
    """A writer that passes each line through a renderer first."""

    def __init__(self, renderer: Renderer, writer: Writer) -> None:
        self._renderer = renderer
        self._writer = writer

    def prepare(self) -> str:
        return self._writer.prepare()

    def write(self, lines: Sequence[bytes]) -> Failure | None:
        render = self._renderer.render
        shown = [(index, piece) for index, line in enumerate(lines) if (piece := render(line)) is not None]
        if not shown:
            return None
        failure = self._writer.write([piece for _, piece in shown])
        if failure is None or failure.count == 0:
            return None
        # Counted in records, from the first that was lost on, so that the caller knows which of its own were among them.
        return Failure(len(lines) - shown[-failure.count][0], failure.why)

    def reopen(self) -> None:
        self._writer.reopen()

    def close(self) -> None:
        self._writer.close()
