"""asking - a loop that turns when told and name servers that answer when told, for tests of what asks them."""

from __future__ import annotations

import select
from collections.abc import Callable
from typing import Any

from tarry.core.clock import ManualClock
from tarry.core.facts import Answer, State
from tarry.dns.channel import OnReply, Reply
from tarry.dns.desk import Desk, Settings
from tests.shell import Loop


class TurningLoop(Loop):
    """Also calls soon, at the next turn, and has writers. Keeps what it was told of faults."""

    def __init__(self, clock: ManualClock) -> None:
        super().__init__(clock)
        self.writers: dict[int, tuple[Callable[..., object], tuple[Any, ...]]] = {}
        self.soon: list[tuple[Callable[..., object], tuple[Any, ...]]] = []
        self.faults: list[dict[str, Any]] = []

    def add_writer(self, fd: int, call: Callable[..., object], *args: Any) -> None:
        self.writers[fd] = (call, args)

    def remove_writer(self, fd: int) -> bool:
        return self.writers.pop(fd, None) is not None

    def write(self) -> None:
        """Call each writer whose descriptor is writable, once; wait a moment for the first."""
        poll = select.poll()
        for fd in self.writers:
            poll.register(fd, select.POLLOUT)
        for fd, _ in poll.poll(1000):
            call, args = self.writers[fd]
            call(*args)

    def call_soon(self, call: Callable[..., object], *args: Any) -> None:
        self.soon.append((call, args))

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        self.faults.append(context)

    def turn_once(self) -> None:
        """Call what was to be called soon, and not what that adds."""
        now, self.soon = self.soon, []
        for call, args in now:
            call(*args)


class Servers:
    """What stands for a channel: it keeps queries until it is told the replies. ``at_once`` are replies given within `query`."""

    def __init__(self) -> None:
        self.waiting: list[tuple[str, int, OnReply]] = []
        self.asked: list[tuple[str, int]] = []
        self.at_once: dict[tuple[str, int], Reply] = {}
        self.is_closed = False

    @property
    def open(self) -> int:
        return len(self.waiting)

    def query(self, name: str, kind: int, on_reply: OnReply) -> None:
        self.asked.append((name, kind))
        if (name, kind) in self.at_once:
            on_reply(self.at_once[name, kind])
        else:
            self.waiting.append((name, kind, on_reply))

    def close(self) -> None:
        self.is_closed = True
        self.waiting.clear()

    def reply(self, name: str, kind: int, reply: Reply) -> None:
        """Answer the first query for that."""
        for number, (asked, of, on_reply) in enumerate(self.waiting):
            if (asked, of) == (name, kind):
                del self.waiting[number]
                on_reply(reply)
                return
        raise AssertionError(f"{name} {kind} is not asked: {[each[:2] for each in self.waiting]}")


class Room:
    """A desk with a manual clock, and what it has answered."""

    def __init__(self, **settings: Any) -> None:
        self.clock = ManualClock(1000.0)
        self.loop = TurningLoop(self.clock)
        self.servers = Servers()
        self.desk = Desk(self.loop.loop, self.clock, Settings(**settings), self.servers)
        self.answers: list[Answer] = []

    def states(self) -> list[State]:
        """The states of what was answered since the last call."""
        answers, self.answers = self.answers, []
        return [answer.state for answer in answers]


def found(*values: str | bytes, ttl: float = 300.0) -> Reply:
    """A reply with records."""
    return Reply(State.FOUND, values, ttl)


NONE = Reply(State.NOTHING)
SERVFAIL = Reply(State.UNKNOWN, why="SERVFAIL")
