"""sinks: where the event log goes. `open_sink` joins a queue, a writer thread and a writer.

What      A `Sink` takes record lines on the event loop and has them written by a thread. `Sink.put` is the `Write` of a Journal.
Promises  What was put is written once, whole and in order, or counted in `Sink.lost` and told in the log by a `lost` record.
          No method raises for the state of disk, pipe or terminal.
Making    After the last fork of the process: threads and locks do not survive one.
"""

from __future__ import annotations

from collections.abc import Callable

from tarry.sinks.drain import Drain
from tarry.sinks.files import STDOUT, open_writer
from tarry.sinks.queue import MAX_BYTES, MAX_LINES, LineQueue
from tarry.sinks.writer import Rendered, Renderer, Writer

__all__ = ["Rendered", "Renderer", "Sink", "ending_of", "open_sink", "open_writer", "renderer_of"]


class Sink:
    """Record lines on their way to one destination."""

    __slots__ = ("_drain", "_queue", "_writer", "put")

    def __init__(self, queue: LineQueue, writer: Writer, wall: Callable[[], float]) -> None:
        self._queue = queue
        self._writer = writer
        self._drain = Drain(queue, writer, wall)
        self.put: Callable[[bytes], None] = queue.put  # bound here: a method that calls a method costs 0.05 µs a line

    @property
    def on_first(self) -> Callable[[], None] | None:
        """Called when there is something to flush and was nothing before; arm a timer there unless one is armed."""
        return self._queue.on_first

    @on_first.setter
    def on_first(self, call: Callable[[], None] | None) -> None:
        self._queue.on_first = call

    @property
    def lost(self) -> int:
        """Lines put and not written, for whatever reason; those still on their way are not among them, unless `close` gave up."""
        given_up = self._queue.unwritten if self._drain.has_given_up else 0
        return self._queue.missed + self._drain.lost + given_up

    @property
    def trouble(self) -> str:
        """Why the last batch could not be written, an errno's name; "" while all is well."""
        return self._drain.trouble

    def prepare(self) -> str:
        """Open the destination now, before `start`, and return "" or the errno's name: for a word to the operator at start."""
        return self._writer.prepare()

    def start(self) -> None:
        """Start the writer thread."""
        self._drain.start()

    def flush(self) -> None:
        """Hand what was put to the thread. Called from a timer of the loop, every 100 ms while there is something."""
        self._queue.flush()

    def reopen(self) -> None:
        """Have the file opened anew behind what was put so far (SIGHUP). Rotation is noticed without it, at the next record."""
        self._queue.reopen()

    def drain_once(self) -> bool:
        """Write one batch here and now and return whether there was one: the thread's work, for those who start none."""
        return self._drain.drain_once()

    def close(self, timeout: float) -> bool:
        """Write out the rest within *timeout* seconds, and return whether that was enough. Nothing may be put after it."""
        self._queue.close()
        return self._drain.join(timeout)


def open_sink(
    path: str,
    *,
    wall: Callable[[], float],
    style: str = "json",
    terminal: bool = False,
    colour: bool = False,
    renderer: Renderer | None = None,
    on_first: Callable[[], None] | None = None,
    max_bytes: int = MAX_BYTES,
    max_lines: int = MAX_LINES,
    stdout: int = STDOUT,
    turns: int | None = None,
    waits: bool = True,
) -> Sink:
    """Return the sink for a configured ``record.path`` and ``record.style``; not started yet.

    *terminal*: stdout is one, so path "-" gets lines for a person, with *colour* or without (`terminal.wants_colour`), unless
    *style* asks for others. *renderer* gives the lines another form, wherever they go. *wall* gives UTC epoch seconds.
    *turns* is for the processes that share standard output, and without *waits* nothing waits long (see `open_writer`).
    """
    writer = open_writer(path, wall=wall, stdout=stdout, ending=ending_of(style), turns=turns, waits=waits)
    renderer = renderer or renderer_of(style)
    if renderer is None and terminal and path == "-":
        from tarry.sinks.terminal import TerminalRenderer, width_of  # for people only: 1.4 ms of the start of `tarry inetd`

        renderer = TerminalRenderer(colour=colour, width=lambda: width_of(stdout))
    if renderer is not None:
        writer = Rendered(renderer, writer)
    return Sink(LineQueue(max_bytes=max_bytes, max_lines=max_lines, on_first=on_first), writer, wall)


def renderer_of(style: str) -> Renderer | None:
    """Return what makes the lines of a ``record.style``; None for JSON, which they are."""
    if style != "postscreen":
        return None
    from tarry.sinks.postscreen import PostscreenRenderer  # for those who ask for it: `tarry inetd` starts anew for each client

    return PostscreenRenderer()


def ending_of(style: str) -> str:
    """Return how the names of hourly segments end."""
    return "jsonl" if style == "json" else "log"
