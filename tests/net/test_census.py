"""Memory that processes share: what each counts the others see, and what one counted goes with it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tarry.core.admission import Admitted, Door, Rules
from tarry.core.census import SIZE_PER_WORKER, Scope
from tarry.net import census

HOST, PACKED = "192.0.2.1", b"\xc0\0\2\1"
WORKER = """
import sys
from tarry.core.admission import Door, Rules
from tarry.net import census
number, come, leave, each = map(int, sys.argv[2:])
door = Door(Rules(max_clients=10**6, max_per_client=10**6, rate_per_client=10**6), census.attach(int(sys.argv[1]), number))
for _ in range(come):
    door.admit(b"\\xc0\\0\\2\\1", "192.0.2.1", 600.0)
for other in range(each):
    door.admit(other.to_bytes(4, "big"), "", 600.0)
for _ in range(leave):
    door.leave(b"\\xc0\\0\\2\\1")
print("ready", flush=True)
sys.stdin.read()
"""
"""A process with a door: so many connections of one client come, others come once, and some of the first leave."""


@contextmanager
def memory(workers: int) -> Iterator[int]:
    fd = census.make(workers)
    try:
        yield fd
    finally:
        os.close(fd)


def begin(fd: int, worker: int, *, come: int, leave: int = 0, each: int = 0) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", WORKER, str(fd), str(worker), str(come), str(leave), str(each)]
    return subprocess.Popen(command, pass_fds=[fd], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def await_ready(*processes: subprocess.Popen[str]) -> None:
    for process in processes:
        assert process.stdout is not None
        assert "ready\n" == process.stdout.readline()


def end(process: subprocess.Popen[str], how: int) -> None:
    process.send_signal(how)
    process.communicate(timeout=10)


def seen(fd: int, worker: int) -> tuple[int, float]:
    """Return how many the others of a worker have in, and how many came to all."""
    looking = census.attach(fd, worker)
    spots = looking.spots(Scope.CLIENT, PACKED)
    return looking.others(Scope.CLIENT, spots), looking.rate(Scope.CLIENT, spots, 600.0)


def test_processes_count_together_and_one_that_is_killed_leaves_nothing() -> None:
    """Two real processes that count at the same time; SIGKILL takes one, its region is cleared, and its successor begins at 0."""
    with memory(3) as fd:
        first, second = begin(fd, 1, come=30, leave=10, each=2000), begin(fd, 2, come=7, each=2000)
        await_ready(first, second)
        assert (27, 37.0) == seen(fd, 3)
        end(first, signal.SIGKILL)
        assert (27, 37.0) == seen(fd, 3)  # until its keeper knows
        census.clear(fd, 1)
        assert (7, 7.0) == seen(fd, 3)
        successor = begin(fd, 1, come=2)
        await_ready(successor)
        assert (9, 9.0) == seen(fd, 3)
        for process in (second, successor):
            end(process, signal.SIGTERM)


def test_a_limit_holds_for_all_processes() -> None:
    """What another process has let in is refused here."""
    with memory(2) as fd:
        other = begin(fd, 2, come=3)
        await_ready(other)
        door = Door(Rules(max_per_client=4), census.attach(fd, 1))
        assert [Admitted.HELD, Admitted.TOO_MANY_FROM_CLIENT] == [door.admit(PACKED, HOST, 600.0) for _ in range(2)]
        end(other, signal.SIGTERM)


def test_regions_are_pages_of_their_own() -> None:
    """Of 64 KiB at most, so that one can be given back without its neighbour; the seed is each start's own."""
    assert 0 == SIZE_PER_WORKER % 65536
    with memory(2) as one, memory(2) as other:
        assert os.pread(one, 16, 0) != os.pread(other, 16, 0)
        assert [census.attach(fd, 1).spots(Scope.CLIENT, PACKED) for fd in (one, one)] == [
            census.attach(one, worker).spots(Scope.CLIENT, PACKED) for worker in (1, 2)
        ]


def test_clear_takes_one_region_only() -> None:
    """Its neighbours on both sides keep theirs."""
    with memory(3) as fd:
        for worker in (1, 2, 3):
            one = census.attach(fd, worker)
            for number in range(3000):
                one.enter(Scope.NETWORK, one.spots(Scope.NETWORK, number.to_bytes(3, "big")))
        looking = census.attach(fd, 1)
        census.clear(fd, 2)
        assert {1} == {looking.others(Scope.NETWORK, looking.spots(Scope.NETWORK, n.to_bytes(3, "big"))) for n in range(50)}
        looking = census.attach(fd, 2)
        assert {2} == {looking.others(Scope.NETWORK, looking.spots(Scope.NETWORK, n.to_bytes(3, "big"))) for n in range(50)}


def test_memory_is_taken_as_it_is_written() -> None:
    """With one limit a process that has 15,000 clients in has little more than 1 MiB of its 6, and after `clear` next to none."""
    with memory(2) as fd:
        door = Door(Rules(max_per_client=50), census.attach(fd, 1))
        before = os.fstat(fd).st_blocks
        for number in range(15_000):
            door.admit(number.to_bytes(4, "big"), "", 600.0)
        taken = (os.fstat(fd).st_blocks - before) * 512
        assert 900_000 < taken < 3_000_000  # the kernel gives larger pages where it likes
        census.clear(fd, 1)
        assert (os.fstat(fd).st_blocks - before) * 512 < taken / 2


def test_alone() -> None:
    """A process without others counts rates in memory of its own, of which nothing is taken before there is a rate."""
    door = Door(Rules(rate_per_network=1), census.alone())
    assert [Admitted.HELD, Admitted.TOO_OFTEN_FROM_NETWORK] == [door.admit(PACKED, HOST, 600.0) for _ in range(2)]
    before = _resident()
    kept = [census.alone() for _ in range(20)]
    assert _resident() - before < 20 * SIZE_PER_WORKER // 4
    assert 20 == len(kept)


def _resident() -> int:
    found = re.search(r"VmRSS:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found
    return int(found[1]) * 1024


def test_a_worker_without_a_region() -> None:
    """A fault of ours, told at once."""
    with memory(2) as fd, pytest.raises(ValueError, match="worker 3 of 2"):
        census.attach(fd, 3)
