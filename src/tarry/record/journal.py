"""journal - one session's records, in order, on their way to a sink.

What      Stamps events, counts them, adds them to the session's sum, and writes the closing line.
Promises  What `close` says is the sum of what was emitted, also when only `close` is written (``detail = "close"``).
Not here  Where lines go: the sink is a function that takes a line and never blocks (sinks/).
"""

from __future__ import annotations

from collections.abc import Callable

from tarry.record.schema import Close, Connect, SessionEvent, write_line
from tarry.record.summary import Summary

Write = Callable[[bytes], None]
OnClose = Callable[[Close, str, float], None]
"""Is told each closing line, with the session's id and the time of its end (UTC epoch seconds)."""


class Journal:
    """One session's log. ``accepted_at`` is monotonic, ``accepted_wall`` the same instant in UTC epoch seconds."""

    __slots__ = ("_accepted_at", "_accepted_wall", "_all", "_count", "_dt", "_now", "_on_close", "_summary", "_write", "id")

    def __init__(
        self,
        id: str,
        *,
        accepted_at: float,
        accepted_wall: float,
        write: Write,
        all_records: bool = True,
        on_close: OnClose | None = None,
    ) -> None:
        self.id = id
        self._accepted_at = accepted_at
        self._accepted_wall = accepted_wall
        self._write = write
        self._all = all_records
        self._on_close = on_close
        self._count = 0
        self._summary = Summary()
        self._now = accepted_at
        self._dt = 0.0

    def emit(self, event: SessionEvent, now: float) -> None:
        """Write one record of something that happened at *now* (monotonic)."""
        dt = self._since_accept(now)
        self._summary.add(event, dt)
        self._count += 1
        if self._all:
            self._write(write_line(event, t=self._accepted_wall + dt, dt=dt, id=self.id, n=self._count))

    def resume(self, connect: Connect) -> None:
        """Take up a session whose `connect` was written when nothing more was known of it (a silent client in the room)."""
        self._summary.add(connect, 0.0)
        self._count = 1

    def close(self, now: float) -> None:
        """Write the closing line. Nothing may be emitted after it, but by a session that turns out not to be over (a command that
        could not be run after all): its next `close` sums up the whole again."""
        dt = self._since_accept(now)
        event = self._summary.close()
        self._count += 1
        self._write(write_line(event, t=self._accepted_wall + dt, dt=dt, id=self.id, n=self._count))
        if self._on_close is not None:
            self._on_close(event, self.id, self._accepted_wall + dt)

    def _since_accept(self, now: float) -> float:
        # Rounded as it is written, so that the sum made here and the sum of the lines read back are equal to the last digit.
        # Several records share a moment, and rounding costs as much as encoding.
        if now != self._now:
            self._now = now
            self._dt = max(0.0, round(now - self._accepted_at, 6))
        return self._dt
