"""caller - a habit that is played without a network, for whoever has a clock and something that answers.

What     `Caller` carries out the steps of a habit by the same `perform` as `play` does. It is told what the server says, asked
         when it acts next, and gives what it says then; the server is somebody else's (the rehearsal of a configuration, a test).
Times    Those of the clock that it is told, which may leap. A wait without a bound ends after PATIENCE.
Since    0.1
"""

import math
from collections import deque
from collections.abc import Generator

from tarry.probe.play import Said, labelled, perform
from tarry.probe.replies import ReplyReader
from tarry.probe.steps import Habit
from tarry.probe.trace import Ending, Reply, Seconds, Trace
from tarry.smtp.text import escape

# RFC 5321 §4.5.3.2: how long a client should wait for the greeting, and for most replies.
PATIENCE = Seconds(300.0)


class Caller:
    """One client. When its habit is over it closes the connection."""

    def __init__(self, habit: Habit) -> None:
        self._habit = habit
        self._said = Said()
        self._wire = _Wire()
        self._doing = perform(habit, self._wire, self._said)
        self._is_over = False
        self._ended: Ending | None = None
        self._ended_at = Seconds(0.0)

    @property
    def acts_at(self) -> float:
        """When it does something unless it hears something before; infinite when it has gone."""
        wire = self._wire
        if self._ended is not None:
            return math.inf
        return wire.now if wire.outbox or wire.is_served or self._is_over else wire.until

    def act(self, now: float) -> bytes | None:
        """Return what it says now: nothing (None), or that it says no more (empty)."""
        wire = self._wire
        wire.now = max(wire.now, now)
        if not (wire.outbox or self._is_over):
            self._go_on()
        if wire.outbox:
            return wire.outbox.popleft()
        if not self._is_over:
            return None
        self._end(Ending.CLIENT)
        return None if wire.is_half_closed else b""

    def hear(self, data: bytes, now: float) -> None:
        """Take what the server says; a client that has gone does not hear it."""
        wire = self._wire
        if self._ended is None:
            wire.now = max(wire.now, now)
            wire.replies += [Reply(code, text, Seconds(wire.now)) for code, text in wire.reader.feed(data)]

    def closed(self, now: float) -> None:
        """The server has closed the connection."""
        wire = self._wire
        if self._ended is None:
            wire.now = max(wire.now, now)
            self._end(Ending.SERVER)
        wire.is_open = False
        while not self._is_over:
            self._go_on()

    def trace(self) -> Trace:
        """Return what happened. The connection must be over."""
        assert self._ended is not None
        said, wire = self._said, self._wire
        return Trace(
            habit=self._habit.name,
            sent=escape(said.beginning),
            sent_bytes=said.length,
            sent_lines=said.lines,
            replies=labelled(wire.replies, said.heard),
            ended=self._ended,
            ended_after=self._ended_at,
            quit_sent=said.quit,
        )

    def _go_on(self) -> None:
        try:
            self._doing.send(None)
        except StopIteration:
            self._is_over = True

    def _end(self, ended: Ending) -> None:
        self._ended, self._ended_at = ended, Seconds(self._wire.now)


class _Wire:
    """The server as `perform` sees it; a wait hands the turn back to whoever has the clock."""

    def __init__(self) -> None:
        self.replies: list[Reply] = []
        self.is_open = True
        self.is_half_closed = False
        self.outbox: deque[bytes] = deque()
        self.reader = ReplyReader()
        self.now = 0.0
        self.until = 0.0
        self._count = 0

    @property
    def is_served(self) -> bool:
        """True when what is waited for has come."""
        return not self.is_open or len(self.replies) >= self._count

    async def send(self, data: bytes) -> None:
        self.outbox.append(data)

    async def half_close(self) -> None:
        self.is_half_closed = True
        self.outbox.append(b"")

    async def wait(self, count: int, within: Seconds | None) -> None:
        self._count, self.until = count, self.now + (PATIENCE if within is None else within)
        while not self.is_served and self.now < self.until:
            await _Turn()


class _Turn:
    """Somebody else's turn."""

    def __await__(self) -> Generator[None, None, None]:
        yield
