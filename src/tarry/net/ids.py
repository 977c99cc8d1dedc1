"""ids - a name for each session, the same in every record and in every refusal.

Form      ``PPPPPPPP-NNNN``: the second in which the daemon started and the session's number, both in hexadecimal. A process that
          serves one client only has ``MMMMMMMMMMM-PPPP``, the millisecond and its process id.
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


def of_process(started_at: float, pid: int) -> str:
    """Return the id of the one session of process *pid*; unique over the processes that share a log on one host."""
    return f"{int(started_at * 1000):X}-{pid:X}"
