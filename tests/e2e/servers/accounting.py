"""accounting - what processes cost: memory, CPU time, file descriptors; read from /proc.

Every function takes process ids, as from `pids()` of a server, and leaves out those that have gone.
Source   proc(5): statm, stat, fd.
"""

import os
from collections.abc import Iterable
from pathlib import Path


def resident_bytes(pids: Iterable[int]) -> int:
    """Return the resident memory of all *pids* together; pages they share count once for each."""
    return sum(int(fields.split()[1]) for pid in pids if (fields := _read(pid, "statm"))) * os.sysconf("SC_PAGE_SIZE")


def cpu_seconds(pids: Iterable[int]) -> float:
    """Return the user and system time that *pids* have used so far, without that of children which ended."""
    ticks = 0
    for pid in pids:
        if text := _read(pid, "stat"):
            fields = text.rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def descriptors(pids: Iterable[int]) -> int:
    """Return how many file descriptors *pids* hold open together."""
    count = 0
    for pid in pids:
        try:
            count += sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())
        except (FileNotFoundError, ProcessLookupError):
            continue
    return count


def _read(pid: int, name: str) -> str:
    try:
        return Path(f"/proc/{pid}/{name}").read_text()
    except (FileNotFoundError, ProcessLookupError):  # it has just gone
        return ""
