"""processes - what a tree of processes costs: CPU time, user memory, open sockets.

CPU      `ControlGroup` counts to the nanosecond what a private cgroup used, whoever forked whom (v1 cpuacct or v2).
         `ProcessTree` sums utime + stime of a root and its descendants plus cutime + cstime, so that reaped children
         stay counted. It needs no rights: the fallback, and the only meter for a server that somebody else
         started. Times are cut to ticks of 10 ms for each process, so it reads low where many processes each do little:
         18 % low for Postfix with 50 smtpd, equal within 1 % for a single process (3,000 messages, 2 cores).
         `Named` counts the processes of one name in a tree, to the nanosecond, by the time that the scheduler gave each of
         their threads: the front door without what stands behind it.
Memory   Pss and private pages from /proc/PID/smaps_rollup, summed. Pages shared by forked children count once in Pss.
Not here Kernel memory; loopback packet work, which Linux charges to the sender, so that each generator carries a part
         of it for every peer alike.
Source   proc(5); kernel documentation, admin-guide/cgroup-v1/cpuacct.rst, cgroup-v2.rst and scheduler/sched-stats.rst.
"""

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

_TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")
_CGROUP_V1 = Path("/sys/fs/cgroup/cpuacct")
_CGROUP_V2 = Path("/sys/fs/cgroup")


class CpuMeter(Protocol):
    """Counts the CPU seconds of one server since some fixed moment."""

    @property
    def name(self) -> str:
        """Return how it counts, for the report."""
        ...

    def used(self) -> float:
        """Return CPU seconds so far; only differences mean something."""
        ...

    def pids(self) -> list[int]:
        """Return the live processes that are counted."""
        ...


@dataclass(frozen=True, slots=True)
class Memory:
    """User memory of a set of processes, in KiB."""

    pss: int
    private: int


class ProcessTree:
    """Counts processes and their descendants through /proc."""

    name = "process tree"

    def __init__(self, *roots: int) -> None:
        self._roots = roots

    def used(self) -> float:
        """Return utime + stime + cutime + cstime over the tree; a child that was reaped moved into its parent's sum."""
        return sum(ticks for pid in self.pids() for ticks in _ticks(pid)) / _TICKS_A_SECOND

    def pids(self) -> list[int]:
        """Return the roots and their descendants, parents before children."""
        children: dict[int, list[int]] = {}
        for pid, parent in _parents():
            children.setdefault(parent, []).append(pid)
        found = list(self._roots)
        for pid in found:
            found.extend(children.get(pid, ()))
        return found


class Named:
    """Counts the processes of a tree that have one name, or all of it where *name* is empty.

    /proc/PID/task/TID/schedstat has nanoseconds. A thread that has ended keeps what was last seen of it.
    """

    def __init__(self, tree: ProcessTree, name: str) -> None:
        self._tree = tree
        self._name = name
        self._seen: dict[int, int] = {}

    def used(self) -> float | None:
        """Return CPU seconds so far; None where the kernel does not tell (no CONFIG_SCHED_INFO)."""
        for pid in self._tree.pids():
            try:
                if self._name and Path(f"/proc/{pid}/comm").read_text().strip() != self._name:
                    continue
                for task in Path(f"/proc/{pid}/task").iterdir():
                    self._seen[int(task.name)] = int((task / "schedstat").read_text().split()[0])
            except (FileNotFoundError, ProcessLookupError):
                continue  # ended since we looked
        return sum(self._seen.values()) / 1e9 if self._seen else None


class ControlGroup:
    """Counts everything that runs in one private cgroup, a child of the one in which this process is."""

    name = "cgroup"

    def __init__(self, folder: Path, *, v1: bool) -> None:
        self._folder = folder
        self._members = folder / "cgroup.procs"
        self._home = folder.parent / "cgroup.procs"
        self._v1 = v1

    @classmethod
    def create(cls, label: str) -> "ControlGroup | None":
        """Make a group, or return None where there is no writable cgroup tree (then count with ProcessTree)."""
        v1 = (_CGROUP_V1 / "cpuacct.usage").exists()
        if not v1 and not (_CGROUP_V2 / "cgroup.controllers").exists():
            return None
        folder = _own_group(v1=v1) / f"tarry-bench-{os.getpid()}-{label}"
        try:
            folder.mkdir()
        except OSError:  # not root, read-only in a container, or a name that is taken: all end in the same fallback
            return None
        return cls(folder, v1=v1)

    def adopt(self, tree: ProcessTree) -> None:
        """Move a whole tree in. What a member forks is a member, so this ends once a look finds nobody outside."""
        for _ in range(20):
            outside = set(tree.pids()) - set(self.pids())
            if not outside:
                return
            for pid in outside:
                try:
                    self._members.write_text(str(pid))
                except ProcessLookupError:  # ended since we looked
                    continue

    def used(self) -> float:
        """Return the CPU seconds of all members, past ones included."""
        if self._v1:
            return int((self._folder / "cpuacct.usage").read_text()) / 1e9
        for line in (self._folder / "cpu.stat").read_text().splitlines():
            key, value = line.split()
            if key == "usage_usec":
                return int(value) / 1e6
        raise AssertionError("cpu.stat without usage_usec")

    def pids(self) -> list[int]:
        """Return the members that are alive."""
        return [int(pid) for pid in self._members.read_text().split()]

    def release(self) -> None:
        """Move what is left back to the group of this process, and delete this one."""
        for _ in range(50):
            for pid in self.pids():
                try:
                    self._home.write_text(str(pid))
                except ProcessLookupError:  # ended since we looked
                    continue
            try:
                self._folder.rmdir()
            except OSError:  # EBUSY: somebody forked meanwhile
                time.sleep(0.02)
            else:
                return


def memory(pids: list[int]) -> Memory:
    """Return the summed user memory of *pids*; one that ended meanwhile counts as nothing."""
    pss = private = 0
    for pid in pids:
        try:
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        except (FileNotFoundError, ProcessLookupError):
            continue
        for line in lines:
            key, _, value = line.partition(":")
            if key == "Pss":
                pss += int(value.split()[0])
            elif key in ("Private_Clean", "Private_Dirty"):
                private += int(value.split()[0])
    return Memory(pss, private)


def open_files(pids: list[int]) -> int:
    """Return how many descriptors *pids* have open together: the proof that held clients were really accepted."""
    total = 0
    for pid in pids:
        try:
            total += len(os.listdir(f"/proc/{pid}/fd"))  # noqa: PTH208 - a count of 10,000 names, no Path objects
        except (FileNotFoundError, ProcessLookupError):
            continue
    return total


def is_alive(pid: int) -> bool:
    """Return whether *pid* runs: neither gone nor a zombie that waits for its parent."""
    fields = _stat(pid)
    return bool(fields) and fields[0] not in "ZX"


def settle(meter: CpuMeter, *, quiet: float = 0.3, patience: float = 5.0) -> float:
    """Wait until the server used no more than 2 % of a core for *quiet* seconds (or *patience* ran out); return used()."""
    give_up = time.monotonic() + patience
    before = meter.used()
    while time.monotonic() < give_up:
        time.sleep(quiet)
        now = meter.used()
        if now - before <= 0.02 * quiet:
            return now
        before = now
    return before


def _own_group(*, v1: bool) -> Path:
    """Return the folder of the cgroup in which this process is."""
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if ("cpuacct" in controllers.split(",")) if v1 else not controllers:
            return Path(f"{_CGROUP_V1 if v1 else _CGROUP_V2}{path}")
    raise AssertionError("no cgroup of our own in /proc/self/cgroup")


def _parents() -> Iterator[tuple[int, int]]:
    """Yield (pid, parent's pid) of every process."""
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            fields = _stat(int(entry.name))
            if fields:
                yield int(entry.name), int(fields[1])


def _ticks(pid: int) -> list[int]:
    """Return utime, stime, cutime, cstime in clock ticks, or nothing when *pid* is gone."""
    fields = _stat(pid)
    return [int(field) for field in fields[11:15]]


def _stat(pid: int) -> list[str]:
    """Return the fields of /proc/PID/stat after the command name (which may hold spaces), from `state` on."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return []
    return text.rpartition(")")[2].split()
