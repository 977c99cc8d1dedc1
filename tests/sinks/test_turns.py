"""Several processes that write to one pipe."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator

import pytest

from tarry.sinks.files import StreamWriter
from tarry.sinks.turns import Turns, make_turns


@pytest.fixture
def memory() -> Iterator[int]:
    fd = make_turns()
    yield fd
    os.close(fd)


def child(body: Callable[[], object]) -> int:
    """Run *body* in a process of its own; return its id."""
    pid = os.fork()
    if not pid:
        status = 1
        try:
            body()
            status = 0
        finally:
            os._exit(status)
    return pid


def status_of(pid: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_one_at_a_time(memory: int) -> None:
    """Another process has no turn while this one has; afterwards it does."""

    def find(expected: bool) -> None:
        with Turns(memory, patience=0.0).turn() as has_turn:
            assert expected == has_turn

    with Turns(memory).turn() as has_turn:
        assert has_turn
        assert 0 == status_of(child(lambda: find(False)))
    assert 0 == status_of(child(lambda: find(True)))


def test_a_writer_that_dies_leaves_its_note_and_no_lock(memory: int) -> None:
    """The next one begins a line of its own."""

    def die() -> None:
        turns = Turns(memory)
        with turns.turn():
            turns.is_torn = True
            os.kill(os.getpid(), signal.SIGKILL)

    assert -signal.SIGKILL == status_of(child(die))
    reading, writing = os.pipe()
    assert None is StreamWriter(writing, turns=Turns(memory)).write([b"whole\n"])
    assert None is StreamWriter(writing, turns=Turns(memory)).write([b"and whole\n"])
    os.close(writing)
    assert b"\nwhole\nand whole\n" == os.read(reading, 100)
    os.close(reading)


def test_long_writes_of_several_processes_are_not_mixed(memory: int) -> None:
    """Each is sixteen times what the kernel keeps together in a pipe."""
    reading, writing = os.pipe()

    def write(letter: bytes) -> None:
        os.close(reading)
        writer = StreamWriter(writing, turns=Turns(memory))
        for _ in range(40):
            assert writer.write([letter * 65535 + b"\n"]) is None

    children = [child(lambda one=letter: write(one)) for letter in (b"a", b"b", b"c")]  # type: ignore[misc]
    os.close(writing)
    with os.fdopen(reading, "rb") as stream:
        lines = stream.readlines()
    assert [0, 0, 0] == list(map(status_of, children))
    assert ([120, 1]) == [len(lines), max(len(set(line.strip())) for line in lines)]


def test_who_may_not_wait_does_not(memory: int) -> None:
    """Neither for a turn nor for a pipe that nobody reads."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    while True:
        try:
            os.write(writing, b"x" * 65536)
        except BlockingIOError:
            break
    os.set_blocking(writing, True)
    writer = StreamWriter(writing, turns=Turns(memory, patience=0.0), waits=False)
    failure = writer.write([b"a\n", b"b\n"])
    assert failure is not None
    assert (2, "EAGAIN") == (failure.count, failure.why)
    with Turns(memory).turn():
        assert 0 == status_of(child(lambda: writer.write([b"a\n"]).why == "EAGAIN" or 1 / 0))  # type: ignore[union-attr]
    os.close(reading)
    os.close(writing)
