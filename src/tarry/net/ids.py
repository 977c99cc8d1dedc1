"""ids - a name for each session, the same in every record and in every refusal.

Form      ``PPPPPPPP-NNNN``: the second in which the daemon started and the session's number, both in hexadecimal.
Promises  Short enough to be read out over the telephone, unique over restarts of one daemon.
"""

from __future__ import annotations


class SessionIds:
    """The ids of one daemon's run."""

    __slots__ = ("_prefix",)

    def __init__(self, started_at: float) -> None:
        self._prefix = f"{int(started_at):X}-"

    def text(self, number: int) -> str:
        """Return the id of session *number*."""
        return f"{self._prefix}{number:04X}"
