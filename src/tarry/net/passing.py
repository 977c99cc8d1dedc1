"""passing - clients that are given to Postfix's smtpd: the descriptor, and who is at its other end.

What      `PassDesk` gives held clients away, as postscreen does. `PassConnector` gives one end of a socketpair away in a client's
          name and stays in line at the other: Postfix sees the true client, and needs no set-up beyond its pass service.
Promises  A client is in one pair of hands: until smtpd has the descriptor it can still be told 421; once smtpd may have it,
          nothing more is written to it. While all smtpds are busy clients wait here, in order, and are looked at once more when
          their turn comes.
Sequence  Connect to the service's socket; in one sendmsg a NUL byte with the descriptor (SCM_RIGHTS) and the attributes, each name
          and value ended by a NUL, the list by one more; then wait for the end of file. smtpd closes when it has all, and greets.
Failures  connect refused, no such socket: the client is told to come again. EAGAIN: all smtpds are busy and the backlog is full, so
          try again until the deadline. A reset: smtpd died before it had all. Bytes: this is no pass service. No end of file in
          GIVE_UP seconds: smtpd may take the client yet, so it is let go in silence.
Source    Postfix's pass_accept_attr (3.4 to 3.12: the same); DESIGN §3; postscreen waits 100 s as well.
"""

from __future__ import annotations

import asyncio
import errno
import os
import select
import socket
import struct
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from tarry.core.client import OURSELVES, Client
from tarry.core.clock import Clock
from tarry.net.waiting_room import Guest

GIVE_UP = 100.0
"""Seconds until a hand-off that smtpd has not taken is let go."""
RETRY = 0.1
"""Seconds between attempts while all smtpds are busy."""
SLICE = 256
"""How many are dealt with at a time: when Postfix is stopped all who wait are told, and 4,000 at once kept the loop for 0.19 s."""
_STREAM = int(socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
_BUSY = frozenset({errno.EAGAIN, errno.ETOOMANYREFS, errno.EINTR})


@dataclass(frozen=True, slots=True)
class PassTo:
    """A pass service: its socket, how many clients may wait for its smtpds, and how long further ones are kept (seconds)."""

    path: str
    max_waiting: int
    timeout: float

    @property
    def where(self) -> str:
        return f"unix:{self.path}"


class Teller(Protocol):
    """Who is told what became of a client."""

    def given(self, guest: Guest, to: str, ms: float) -> None:
        """The MTA has the client."""

    def not_given(self, guest: Guest, why: str) -> None:
        """The MTA does not have it; its socket is the teller's."""

    def let_go(self, guest: Guest, to: str, why: str) -> None:
        """The MTA may have it or not."""

    def is_still_quiet(self, guest: Guest) -> bool:
        """Look once more at a client that had to wait; False when it has been dealt with otherwise."""


def attributes(client: Client) -> bytes:
    """Return a client in the attribute form of smtpd: bare addresses, decimal ports. smtpd wants all four."""
    here, there = client.server, client.endpoint
    pairs = f"client_address\0{there.host}\0client_port\0{there.port}\0server_address\0{here.host}\0server_port\0{here.port}\0\0"
    return pairs.encode("ascii")


def hand_over(path: str, fd: int, client: Client) -> socket.socket:
    """Give *fd* to the service at *path* and return the socket on which its end of file will come. Raises OSError.

    One sendmsg for all: an smtpd that has accepted waits for the rest, and keeps its neighbours waiting too.
    """
    control = socket.socket(socket.AF_UNIX, _STREAM)
    try:
        control.connect(path)
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack("i", fd))]
        control.sendmsg([b"\0" + attributes(client)], rights, socket.MSG_NOSIGNAL)
    except BaseException:
        control.close()
        raise
    return control


@dataclass(slots=True)
class _Waiting:
    guest: Guest
    to: PassTo
    teller: Teller
    since: float
    has_waited: bool = False


class PassDesk:
    """Clients on their way to smtpd."""

    def __init__(self, loop: asyncio.AbstractEventLoop, clock: Clock) -> None:
        self._loop = loop
        self._clock = clock
        self._epoll = select.epoll()
        self._queue: deque[_Waiting] = deque()
        # By the descriptor of the control socket: that socket, and until when its end is waited for. All wait equally long, so the
        # first one here is the first to be given up, and one timer does: a wheel would turn once more for each that has long gone.
        self._under_way: dict[int, tuple[socket.socket, float, _Waiting]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._giving_up: asyncio.TimerHandle | None = None
        loop.add_reader(self._epoll.fileno(), self._on_ready)

    def __len__(self) -> int:
        return len(self._queue) + len(self._under_way)

    def give(self, guest: Guest, to: PassTo, teller: Teller) -> None:
        """Give a client away; *teller* is told what became of it. Takes its socket over meanwhile."""
        waiting = _Waiting(guest, to, teller, self._clock.monotonic())
        self._queue.append(waiting)
        if len(self._queue) == 1:
            self._go_on()
        waiting.has_waited = True

    def drain(self) -> None:
        """The daemon is going down: those who wait are told to come again; what is under way is finished."""
        while self._queue:
            waiting = self._queue.popleft()
            waiting.teller.not_given(waiting.guest, "tarry is going down")

    def abort(self) -> None:
        """Wait for nobody any more: who waits is told to come again, who is under way is let go."""
        self.drain()
        for fd in list(self._under_way):
            waiting = self._end(fd)
            waiting.teller.let_go(waiting.guest, waiting.to.where, "tarry went down before smtpd had taken it")

    def close(self) -> None:
        """Let go of everything."""
        self.abort()
        for timer in (self._timer, self._giving_up):
            if timer is not None:
                timer.cancel()
        self._loop.remove_reader(self._epoll.fileno())
        self._epoll.close()

    def _go_on(self) -> None:
        """Give away as many as can be taken; the first in the queue goes first."""
        queue, room = self._queue, SLICE
        while queue and room and len(self._under_way) < queue[0].to.max_waiting:
            room -= 1
            waiting = queue.popleft()
            is_there = not waiting.has_waited or waiting.teller.is_still_quiet(waiting.guest)
            if is_there and not self._hand_over(waiting):
                queue.appendleft(waiting)
                break
        self._expire(room)
        if queue and self._timer is None:
            self._timer = self._loop.call_later(RETRY, self._on_timer)

    def _hand_over(self, waiting: _Waiting) -> bool:
        """Return False where all smtpds are busy."""
        guest = waiting.guest
        try:
            control = hand_over(waiting.to.path, guest.sock.fileno(), guest.client)
        except OSError as fault:
            if fault.errno in _BUSY:
                return False
            waiting.teller.not_given(guest, f"cannot be reached: {fault.strerror or fault}")
            return True
        fd = control.fileno()
        self._under_way[fd] = (control, self._clock.monotonic() + GIVE_UP, waiting)
        self._epoll.register(fd, select.EPOLLIN)
        if self._giving_up is None:
            self._giving_up = self._loop.call_later(GIVE_UP, self._on_given_up)
        return True

    def _expire(self, room: int) -> None:
        now = self._clock.monotonic()
        while self._queue and room and now >= self._queue[0].since + self._queue[0].to.timeout:
            room -= 1
            waiting = self._queue.popleft()
            waiting.teller.not_given(waiting.guest, "all its smtpds are busy")

    def _on_timer(self) -> None:
        self._timer = None
        self._go_on()

    def _on_ready(self) -> None:
        for fd, _ in self._epoll.poll(0, 512):
            control, _, waiting = self._under_way[fd]
            why = _read_end(control)
            if why is None:
                continue
            self._end(fd)
            if why:
                waiting.teller.not_given(waiting.guest, why)
            else:
                ms = round((self._clock.monotonic() - waiting.since) * 1000, 3)
                waiting.teller.given(waiting.guest, waiting.to.where, ms)
        self._go_on()

    def _on_given_up(self) -> None:
        """Let go of those who have been under way for too long, and come again for the next one."""
        self._giving_up = None
        now = self._clock.monotonic()
        while self._under_way:
            fd, (_, until, _) = next(iter(self._under_way.items()))
            if until > now:
                # A millisecond more: uvloop rounds, and would come again at once for what is left.
                self._giving_up = self._loop.call_later(until - now + 0.001, self._on_given_up)
                break
            waiting = self._end(fd)
            waiting.teller.let_go(waiting.guest, waiting.to.where, f"no smtpd took it in {GIVE_UP:.0f} s")
        self._go_on()

    def _end(self, fd: int) -> _Waiting:
        control, _, waiting = self._under_way.pop(fd)
        self._epoll.unregister(fd)
        control.close()
        return waiting


def _read_end(control: socket.socket) -> str | None:
    """Return "" at the end of file, why it is none, or None where nothing has come yet."""
    try:
        said = control.recv(64)
    except (BlockingIOError, InterruptedError):
        return None
    except OSError as fault:
        return f"smtpd ended before it had the client: {os.strerror(fault.errno or 0)}"  # ECONNRESET
    return "it is no pass service: it spoke" if said else ""


class PassConnector:
    """The way to Postfix through its pass service, with tarry in line."""

    def __init__(self, path: str, timeout: float) -> None:
        self._path = path
        self._timeout = timeout

    @property
    def where(self) -> str:
        return f"unix:{self._path}"

    async def connect(self, factory: Callable[[], asyncio.Protocol], client: Client | None) -> None:
        """Open a connection in the name of *client*; None is tarry itself. Raises OSError, after a while where all are busy."""
        loop = asyncio.get_running_loop()
        until = loop.time() + self._timeout
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        try:
            while True:
                try:
                    control = hand_over(self._path, theirs.fileno(), client or OURSELVES)
                    break
                except OSError as fault:
                    if fault.errno not in _BUSY:
                        raise
                    if loop.time() >= until:
                        raise OSError(fault.errno, "all its smtpds are busy") from None
                await asyncio.sleep(RETRY)
            _Receipt(loop, control)
            # Not create_unix_connection: uvloop before 0.23 closes the socket of one that is cancelled, and then we would again.
            await loop.connect_accepted_socket(factory, ours)
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()


class _Receipt:
    """The control socket of a connection, kept until smtpd closes it, as postscreen does."""

    def __init__(self, loop: asyncio.AbstractEventLoop, control: socket.socket) -> None:
        self._loop = loop
        self._control = control
        self._timer = loop.call_later(GIVE_UP, self._end)
        loop.add_reader(control.fileno(), self._on_readable)

    def _on_readable(self) -> None:
        # End of file, a reset, or words of something that is no pass service: it did not take our end, which closes with it.
        if _read_end(self._control) is not None:
            self._end()

    def _end(self) -> None:
        self._timer.cancel()
        self._loop.remove_reader(self._control.fileno())
        self._control.close()
