"""plan - how many workers there are, which sockets each has, and when a worker that died begins again.

Promises  Pure but for `count`, which asks the system for the cores that this process may use.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TypeVar

FIRST_PAUSE = 0.1
LONGEST_PAUSE = 10.0
SHORT_LIFE = 5.0
"""Seconds. A worker that dies younger may be about to do so again and again."""

_Socket = TypeVar("_Socket")


def count(asked: int) -> int:
    """Return how many workers ``listen.workers`` asks for: 0 is one for each core that this process may use."""
    return asked or len(os.sched_getaffinity(0))


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
