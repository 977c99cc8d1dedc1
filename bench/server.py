"""server - a server under test, seen from outside: where it listens, what it uses, how many clients it holds.

`measured` puts all processes of a server that just started into a private cgroup where the machine allows, so that
whatever they fork is counted, too; otherwise the process tree is read (see processes). `attached` measures a server
that somebody else runs, moves nothing and ends nothing.
Starting and ending is the peers' part, with the means of tests/e2e/servers: a process group of its own for each,
ended by pid also when the bench is interrupted or killed.
"""

import contextlib
import os
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass

from bench.processes import ControlGroup, CpuMeter, Memory, ProcessTree, is_alive, memory, open_files, settle


@dataclass(frozen=True, slots=True)
class Running:
    """A started server: the root of its process tree and its port on 127.0.0.1."""

    root: int
    port: int


@dataclass(frozen=True, slots=True)
class Server:
    """A running server that can be measured."""

    root: int
    port: int
    meter: CpuMeter

    def cpu(self) -> float:
        """Return CPU seconds used so far, at once."""
        return self.meter.used()

    def settled_cpu(self) -> float:
        """Return CPU seconds used, after it came to rest: closing and logging belong to the work before."""
        return settle(self.meter)

    def memory(self) -> Memory:
        """Return the user memory of all its processes."""
        return memory(self.meter.pids())

    def open_files(self) -> int:
        """Return the number of descriptors open in all its processes."""
        return open_files(self.meter.pids())

    def alive(self) -> bool:
        """Return whether its root process still runs."""
        return is_alive(self.root)


@contextlib.contextmanager
def measured(running: Running) -> Iterator[Server]:
    """Yield *running* with the best meter there is; enter before the load, leave before the server is ended."""
    tree = ProcessTree(running.root)
    _nudge(running.port)
    group = ControlGroup.create(str(running.root))
    if group is None:
        yield Server(running.root, running.port, tree)
        return
    try:
        group.adopt(tree)
        yield Server(running.root, running.port, group)
    finally:
        group.release()


def attached(pid: int, port: int) -> Server:
    """Return a server that runs already, metered through its process tree."""
    return Server(pid, port, ProcessTree(pid))


def free_ports(count: int) -> list[int]:
    """Return *count* loopback ports outside the ephemeral range on which nobody listens.

    Below 32768, because a flood of clients uses up the ephemeral ports, and a restarted server could lose its own.
    """
    found: list[int] = []
    for port in range(20000 + os.getpid() % 10000, 32768):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # left-over TIME_WAIT is no listener
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:  # EADDRINUSE: try the next
                continue
        found.append(port)
        if len(found) == count:
            return found
    raise AssertionError("no free port between 20000 and 32767")


def _nudge(port: int) -> None:
    """Connect once and leave: postscreen's process starts with its first client, and must be there when idle is read."""
    with socket.create_connection(("127.0.0.1", port), timeout=5):
        time.sleep(0.1)
    time.sleep(0.3)
