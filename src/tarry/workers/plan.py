"""plan - how many workers there are, which sockets each has, and when a worker that died begins again.

Promises  Pure but for `count`, which asks the system for the cores that this process may use.
Cores     Of the affinity, and no more than a control group may use time of: a container with two CPUs of a machine with 64 would
          have 64 workers, and be throttled and out of memory.
Source    Linux, Documentation/admin-guide/cgroup-v2.rst (cpu.max); cgroup-v1: scheduler/sched-bwc.rst (cpu.cfs_quota_us).
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from math import ceil
from pathlib import Path
from typing import TypeVar

FIRST_PAUSE = 0.1
LONGEST_PAUSE = 10.0
SHORT_LIFE = 5.0
"""Seconds. A worker that dies younger may be about to do so again and again."""

_Socket = TypeVar("_Socket")


def count(asked: int, root: Path = Path("/")) -> int:
    """Return how many workers ``listen.workers`` asks for: 0 is one for each core that this process may use.

    *root* is where /proc and /sys are.
    """
    return asked or min([len(os.sched_getaffinity(0)), *(max(1, ceil(share)) for share in _quotas(root))])


def _quotas(root: Path) -> Iterator[float]:
    """Yield how many CPUs' time each control group that this process is in may use, where that is limited."""
    with suppress(OSError, ValueError):  # no /proc, no cgroups, or what nobody knows of yet: then there is no limit to know of
        for line in (root / "proc/self/cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if controllers and "cpu" not in controllers.split(","):
                continue
            top = root / "sys/fs/cgroup" / ("cpu" if controllers else "")
            own = Path(path.lstrip("/"))
            for group in (own, *own.parents):  # in a container the path may be that of the host: then only the last one is there
                with suppress(OSError, ValueError, ZeroDivisionError):
                    if controllers:
                        quota = int((top / group / "cpu.cfs_quota_us").read_text())
                        period = int((top / group / "cpu.cfs_period_us").read_text())
                    else:
                        quota, period = map(int, (top / group / "cpu.max").read_text().split())  # "max 100000": no limit
                    if quota > 0:
                        yield quota / period


def deal(sockets: Sequence[_Socket], workers: int) -> list[list[_Socket]]:
    """Return which of the sockets of one address each worker has.

    Every socket has a worker, for clients come in by all of them; where there are fewer sockets than workers, some share one.
    """
    if len(sockets) >= workers:
        return [list(sockets[number::workers]) for number in range(workers)]
    return [[sockets[number % len(sockets)]] for number in range(workers)]


class Backoff:
    """How long to wait before a worker is replaced: not at all, but for one that dies soon after its start, again and again."""

    def __init__(self) -> None:
        self._pause = 0.0

    def after(self, lived: float) -> float:
        """Return the seconds to wait after a worker that has *lived* so long."""
        if lived >= SHORT_LIFE:
            self._pause = 0.0
        else:
            self._pause = min(LONGEST_PAUSE, self._pause * 2) or FIRST_PAUSE
        return self._pause
