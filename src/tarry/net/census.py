"""census - the memory in which the processes of a host count their clients together.

What      `make` is for the process that keeps the others, before it forks; `attach` for each of these; `clear` for the keeper
          again, when one has ended, however that came; `alone` for a process without others.
Promises  What a process that died had counted is gone after `clear`. Pages are taken when they are first written: with
          listen.max_per_client alone a process has 1 MiB of it, with all limits 6. Nothing is left behind: a memfd has no name.
Not here  What is counted, and how: core/census.
Source    memfd_create(2); madvise(2), MADV_REMOVE.
"""

from __future__ import annotations

import mmap
import os

from tarry.core.census import SIZE_PER_WORKER, Census

_HEADER = mmap.PAGESIZE
_SEED = 16


def make(workers: int) -> int:
    """Return a descriptor of new memory for so many processes, which those that are forked from here on share."""
    fd = os.memfd_create("tarry-census")
    os.ftruncate(fd, _HEADER + workers * SIZE_PER_WORKER)
    os.pwrite(fd, os.urandom(_SEED), 0)
    return fd


def attach(fd: int, worker: int) -> Census:
    """Return the census as *worker*, from 1 on, writes and reads it. The descriptor stays the caller's."""
    memory = memoryview(mmap.mmap(fd, 0))
    return Census(memory[_HEADER:], bytes(memory[:_SEED]), worker)


def clear(fd: int, worker: int) -> None:
    """Forget what a process had counted that has ended, before another one takes its number."""
    with mmap.mmap(fd, 0) as memory:
        memory.madvise(mmap.MADV_REMOVE, _HEADER + (worker - 1) * SIZE_PER_WORKER, SIZE_PER_WORKER)


def alone() -> Census:
    """Return a census of this process only."""
    return Census(memoryview(mmap.mmap(-1, SIZE_PER_WORKER)), os.urandom(_SEED))
