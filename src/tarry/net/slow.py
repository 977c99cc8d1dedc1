"""slow - how many clients of this process are told something slowly.

What      The count that all sessions share (core/stutter.SlowReplies).
Promises  A session is counted once, whatever it says, and its place is free when it has ended. The limit is the one of the policy
          that the session began with, so a reload needs no change here.
"""

from __future__ import annotations


class Slow:
    """The sessions that are being told something slowly, by their ids."""

    __slots__ = ("_ids",)

    def __init__(self) -> None:
        self._ids: set[str] = set()

    def __len__(self) -> int:
        return len(self._ids)

    def begin(self, id: str, limit: int) -> bool:
        """Count this session, unless *limit* are counted already; tell whether it may go on."""
        if len(self._ids) >= limit:
            return False
        self._ids.add(id)
        return True

    def end(self, id: str) -> None:
        """The session is told nothing slowly any more; it need not have been."""
        self._ids.discard(id)
