"""ids - a name for each session, the same in every record and in every refusal.

Form      ``PPPPPPPP-NNNN``: the second in which the daemon started and the session's number, both in hexadecimal. A worker's has
          three digits more before the hyphen: which of the processes it is that were ever begun for this front door. A process that
          serves one client only has ``MMMMMMMMMMM-PPPP``, the millisecond and its process id.
Promises  Short enough to be read out over the telephone, unique over restarts of one daemon and over its workers: two that begin in
          one second are never 4,096 processes apart.
"""

from __future__ import annotations

INCARNATIONS = 0x1000
"""How many of them three digits tell apart."""


class SessionIds:
    """The ids of one process's run. ``incarnation`` is 0 for one that is alone."""

    __slots__ = ("_prefix",)

    def __init__(self, started_at: float, incarnation: int = 0) -> None:
        which = f"{incarnation % INCARNATIONS:03X}" if incarnation else ""
        self._prefix = f"{int(started_at):X}{which}-"

    def text(self, number: int) -> str:
        """Return the id of session *number*."""
        return f"{self._prefix}{number:04X}"


def of_process(started_at: float, pid: int) -> str:
    """Return the id of the one session of process *pid*; unique over the processes that share a log on one host."""
    return f"{int(started_at * 1000):X}-{pid:X}"
