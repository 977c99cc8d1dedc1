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

from bench.processes import ControlGroup, CpuMeter, Memory, Named, ProcessTree, is_alive, memory, open_files, settle


@dataclass(frozen=True, slots=True)
class Running:
    """A started server: the root of its process tree and its port on 127.0.0.1.

    ``behind`` are the roots of further trees that serve its clients, as the Postfix to which they are given. ``own`` is the name
    of the processes below ``root`` that are the front door; empty: all of them, None: it has none that can be told apart.
    """

    root: int
    port: int
    behind: tuple[int, ...] = ()
    own: str | None = ""


@dataclass(frozen=True, slots=True)
class Server:
    """A running server that can be measured."""

    root: int
    port: int
    meter: CpuMeter
    own: Named | None

    def own_cpu(self) -> float | None:
        """Return CPU seconds that the front door's own processes used so far; None where they cannot be told apart."""
        return self.own.used() if self.own is not None else None

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


class Cost:
    """What a server spends from here on."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._all, self._own = server.settled_cpu(), server.own_cpu()

    def each_ms(self, count: int) -> tuple[float | None, float | None]:
        """Return CPU milliseconds for each of *count* clients, of all processes and of the front door's own, at rest again."""
        if not count:
            return None, None
        used, own = self._server.settled_cpu() - self._all, self._server.own_cpu()
        own_ms = None if own is None or self._own is None else 1000 * (own - self._own) / count
        return 1000 * used / count, own_ms


@contextlib.contextmanager
def measured(running: Running) -> Iterator[Server]:
    """Yield *running* with the best meter there is; enter before the load, leave before the server is ended."""
    tree = ProcessTree(running.root, *running.behind)
    own = None if running.own is None else Named(ProcessTree(running.root), running.own)
    _nudge(running.port)
    group = ControlGroup.create(str(running.root))
    if group is None:
        yield Server(running.root, running.port, tree, own)
        return
    try:
        group.adopt(tree)
        yield Server(running.root, running.port, group, own)
    finally:
        group.release()


def attached(pid: int, port: int) -> Server:
    """Return a server that runs already, metered through its process tree."""
    tree = ProcessTree(pid)
    return Server(pid, port, tree, Named(tree, ""))


def free_ports(count: int) -> list[int]:
    """Return *count* loopback ports outside the ephemeral range on which nobody listens.

    Below 32768, because a flood of clients uses up the ephemeral ports, and a restarted server could lose its own.
    """
    found: list[int] = []
    # Far from where another bench looks that was started at the same time and has the next process id.
    for port in range(20000 + os.getpid() * 101 % 10000, 32768):
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
