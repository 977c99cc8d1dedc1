"""stutter - a reply that goes out an octet at a time.

What      Which octets of a reply are due at a point in time, and who may be told that way.
Promises  The first octet is due at once and each further one a pace later; what a late timer missed is due with it. At its end all
          that is left is due, so a reply and the hold before it never take longer than a client has patience for.
Not here  Which replies (core/exchange); the timer (net/session).
Source    OpenBSD spamd(8), -s, and its limits on the number of such clients.
"""

from __future__ import annotations

from typing import Protocol


class SlowReplies(Protocol):
    """What the shell provides: how many clients of the process are told something slowly."""

    def begin(self, id: str, limit: int) -> bool:
        """Count this session, unless *limit* are counted already; tell whether it may go on."""

    def end(self, id: str) -> None:
        """The session is told nothing slowly any more; it need not have been."""


class Stutter:
    """One reply on its way out, from ``since`` on. ``until`` is when it has all gone out."""

    __slots__ = ("_data", "_pace", "_sent", "since", "until")

    def __init__(self, data: bytes, pace: float, now: float, end_by: float) -> None:
        self._data = data
        self._pace = pace
        self._sent = 0
        self.since = now
        self.until = max(now, min(now + pace * (len(data) - 1), end_by))

    @property
    def next_at(self) -> float:
        """When `take` is to be asked next."""
        return min(self.since + self._sent * self._pace, self.until)

    @property
    def is_over(self) -> bool:
        """True when nothing is left."""
        return self._sent >= len(self._data)

    def take(self, now: float) -> bytes:
        """Return what is due now and was not taken."""
        if now >= self.until:
            return self.rest()
        # Where the division says less than the comparison that led here, one octet is due all the same.
        due = max(int((now - self.since) / self._pace) + 1, self._sent + (now >= self.next_at))
        taken, self._sent = self._data[self._sent : due], due
        return taken

    def rest(self) -> bytes:
        """Return all that is left, due or not."""
        taken, self._sent = self._data[self._sent :], len(self._data)
        return taken
