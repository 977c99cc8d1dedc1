"""drain - the writer thread.

What      Takes batches from the queue, gives them to the writer, and says in the log itself what is missing from it.
Promises  Every line that was taken from the queue is written or counted, once. A `lost` record stands where the lines that
          it counts would have stood, as soon as something can be written there again; if it is lost too, its count is kept.
          The thread ends at the queue's last batch and never for another reason.
Not here  Waiting for the disk to come back: the next batch is the next try, so a full disk costs one failed call each 100 ms.
"""

from __future__ import annotations

from collections.abc import Callable
from threading import Thread

from tarry.record.schema import Lost, write_process_line
from tarry.sinks.queue import Batch, LineQueue
from tarry.sinks.writer import Failure, Writer

QUEUE_FULL = "queue full"
"""Why lines are lost that found no room; all other reasons are the names of errnos."""


class Drain:
    """Empties one queue into one writer. ``lost`` counts what the writer could not write, ``trouble`` says why it
    fails at present ("" while it works). ``wall`` gives UTC epoch seconds, for the stamp of `lost` records."""

    def __init__(self, queue: LineQueue, writer: Writer, wall: Callable[[], float]) -> None:
        self.lost = 0
        self.trouble = ""
        self._queue = queue
        self._writer = writer
        self._wall = wall
        self._untold: dict[str, int] = {}  # losses that are not yet in the log, by reason
        self.has_given_up = False
        self._thread: Thread | None = None

    def start(self) -> None:
        """Start the thread. It is a daemon thread: one that is stuck in a pipe nobody reads must not keep the process alive."""
        self._thread = Thread(target=self._run, name="tarry-records", daemon=True)
        self._thread.start()

    def drain_once(self) -> bool:
        """Write one batch if one was handed over, without waiting, and return whether there was one. What the thread does."""
        batch = self._queue.take(block=False)
        if batch is not None:
            self._take_out(batch)
        return batch is not None

    def join(self, timeout: float) -> bool:
        """Wait up to *timeout* seconds until the last batch is written; False if it is not. Without a thread, write it here.

        After False the thread writes at most the batch in which it is stuck.
        """
        if self._thread is None:
            while self.drain_once():
                pass
            return True
        self._thread.join(timeout)
        self.has_given_up = self._thread.is_alive()
        return not self.has_given_up

    def _run(self) -> None:
        while True:
            batch = self._queue.take(block=True)
            assert batch is not None
            if self.has_given_up:
                return
            self._take_out(batch)
            if batch.last:
                return

    def _take_out(self, batch: Batch) -> None:
        if batch.reopen:
            self._writer.reopen()
        self._write(batch)
        self._queue.finished(batch)
        if batch.last:
            self._writer.close()

    def _write(self, batch: Batch) -> None:
        before = [(why, self._lost_line(why, count)) for why, count in self._untold.items()]
        lines = [line for _, line in before]
        lines += batch.lines
        if batch.missed:
            lines.append(self._lost_line(QUEUE_FULL, batch.missed))
        if not lines:
            return
        try:
            failure = self._writer.write(lines)
        except Exception as fault:  # a bug in a renderer costs its batch, never the thread and with it the log
            failure = Failure(len(lines), type(fault).__name__)
        written = len(lines) - (failure.count if failure else 0)
        for why, _ in before[:written]:
            del self._untold[why]
        self.trouble = failure.why if failure else ""
        if failure is not None:
            lost = min(len(batch.lines), max(0, len(before) + len(batch.lines) - written))
            self.lost += lost
            self._add_untold(failure.why, lost)
            self._add_untold(QUEUE_FULL, batch.missed)  # its line was the last, so it is lost with any other

    def _add_untold(self, why: str, count: int) -> None:
        if count:
            self._untold[why] = self._untold.get(why, 0) + count

    def _lost_line(self, why: str, count: int) -> bytes:
        return write_process_line(Lost(count, why), t=self._wall())
