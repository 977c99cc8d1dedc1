"""shell - what stands in for the event loop and the network in tests of the shell.

`Loop` has what net/ and the wiring ask of a loop: readers, timers, time that a `ManualClock` tells, and a thread that is this one.
Its readers watch real descriptors; nothing sleeps. `pair` gives the two ends of a TCP connection over loopback, with real FINs
and RSTs.
"""

from __future__ import annotations

import asyncio
import select
import socket
import struct
from asyncio import AbstractEventLoop
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, cast

from tarry.core.clock import ManualClock

MOST_TURNS = 20
"""A loop that is woken more often than this with nothing new to do spins."""


@dataclass
class Timer:
    """A call that is due at a point on the clock."""

    at: float
    call: Callable[..., object]
    args: tuple[Any, ...]
    is_cancelled: bool = False

    def cancel(self) -> None:
        self.is_cancelled = True


class Loop:
    """A loop that turns when told. ``wakeups`` counts the readers that were called."""

    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock
        self.readers: dict[int, tuple[Callable[..., object], tuple[Any, ...]]] = {}
        self.timers: list[Timer] = []
        self.wakeups = 0

    @property
    def loop(self) -> AbstractEventLoop:
        """Itself, in the type that its users expect."""
        return cast(AbstractEventLoop, self)

    @property
    def waiting(self) -> list[Timer]:
        """The timers that are set."""
        return [timer for timer in self.timers if not timer.is_cancelled]

    def add_reader(self, fd: int, call: Callable[..., object], *args: Any) -> None:
        self.readers[fd] = (call, args)

    def remove_reader(self, fd: int) -> bool:
        return self.readers.pop(fd, None) is not None

    def call_later(self, delay: float, call: Callable[..., object], *args: Any) -> Timer:
        timer = Timer(self.clock.monotonic() + delay, call, args)
        self.timers.append(timer)
        return timer

    def run_in_executor(self, executor: None, call: Callable[..., object], *args: Any) -> Future[object]:
        """Call it here and now."""
        done: Future[object] = Future()
        done.set_result(call(*args))
        return done

    def turn(self, patience: float = 0.0) -> int:
        """Call each reader whose descriptor is readable, once; wait up to *patience* seconds for the first."""
        poll = select.poll()
        for fd in self.readers:
            poll.register(fd, select.POLLIN)
        called = 0
        for fd, _ in poll.poll(int(patience * 1000)):
            if fd in self.readers:
                call, args = self.readers[fd]
                call(*args)
                called += 1
        self.wakeups += called
        return called

    def settle(self) -> None:
        """Turn until nothing is readable: what was sent over loopback has come when the first turn is over."""
        turns = int(self.turn(0.05) > 0)
        while self.turn():
            turns += 1
            assert turns < MOST_TURNS, "the loop spins"

    def advance(self, seconds: float) -> None:
        """Let time go by and call what comes due, in order."""
        until = self.clock.monotonic() + seconds
        while due := [timer for timer in self.waiting if timer.at <= until]:
            timer = min(due, key=lambda one: one.at)
            self.timers.remove(timer)
            # A real clock has moved when a timer goes off; one that stood still would never pass a bound that rounding moved.
            self.clock.advance(max(1e-6, timer.at - self.clock.monotonic()))
            timer.call(*timer.args)
        self.clock.advance(max(0.0, until - self.clock.monotonic()))


def pair(family: socket.AddressFamily = socket.AF_INET) -> tuple[socket.socket, socket.socket]:
    """Return (our end, the client's end) of a TCP connection over loopback; the client's end times out after a second."""
    with socket.socket(family, socket.SOCK_STREAM) as listening:
        listening.bind(("127.0.0.1" if family == socket.AF_INET else "::1", 0))
        listening.listen(1)
        client = socket.socket(family, socket.SOCK_STREAM)
        client.connect(listening.getsockname())
        ours, _ = listening.accept()
    client.settimeout(1.0)
    _made.extend((ours, client))
    return ours, client


_made: list[socket.socket] = []


def close_all() -> None:
    """Close what `pair` made and nobody has closed: for the end of a test."""
    while _made:
        _made.pop().close()


def reset(client: socket.socket) -> None:
    """Close the client's end with a RST."""
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()


def await_mask(sock: socket.socket, mask: int) -> None:
    """Return when poll shows *mask* (POLLHUP for a RST, POLLRDHUP for a FIN): loopback needs a moment."""
    poll = select.poll()
    poll.register(sock, mask)
    assert poll.poll(1000), "it has not come"


def read_all(client: socket.socket) -> bytes:
    """Return all that comes until the other side closes. Raises ConnectionResetError where a reset destroys it."""
    pieces = []
    while piece := client.recv(65536):
        pieces.append(piece)
    return b"".join(pieces)


class LeapingLoop(asyncio.SelectorEventLoop):
    """An event loop that waits for no timer: while there is nothing to do its clock leaps to the next one."""

    _leapt = 0.0

    def time(self) -> float:
        return super().time() + self._leapt

    def _run_once(self) -> None:
        if not self._ready:  # type: ignore[attr-defined]
            due = [timer.when() for timer in self._scheduled if not timer.cancelled()]  # type: ignore[attr-defined]
            self._leapt += max(0.0, min(due, default=0.0) - self.time())
        super()._run_once()  # type: ignore[misc]
