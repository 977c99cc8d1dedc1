"""linger - a last word that arrives.

What      Sends a client away: one reply, our side closed, and what the client still sends read and thrown away until it closes too.
Promises  The reply is not destroyed by a reset: a socket that is closed with unread input, or that gets input after it
          was closed, makes the kernel send a RST, and that discards what the client has not read yet (postscreen loses
          one refusal in six so). Bounded: LONGEST seconds and MOST octets a client, after which the reset is the
          client's own doing.
Facts     Own epoll instance, one descriptor in the event loop. Level-triggered: what is readable is read.
"""

from __future__ import annotations

import select
import socket
from typing import TYPE_CHECKING

from tarry.core.clock import Clock
from tarry.net.wheel import FD_BITS, FD_MASK, Wheel

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

LONGEST = 5.0
MOST = 1 << 20
BLOCK = 1 << 16
_AT_ONCE = int(socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)


class Linger:
    """Clients that have had their reply and have not gone yet."""

    def __init__(self, loop: AbstractEventLoop, clock: Clock) -> None:
        self._loop = loop
        self._clock = clock
        self._epoll = select.epoll()
        self._wheel = Wheel(loop, clock, self._on_due)
        self._leaving: dict[int, tuple[socket.socket, int, int]] = {}  # fd -> socket, serial, octets left
        self._serial = 0
        self._scratch = bytearray(BLOCK)
        loop.add_reader(self._epoll.fileno(), self._on_ready)

    def __len__(self) -> int:
        return len(self._leaving)

    def send_off(self, sock: socket.socket, data: bytes) -> None:
        """Send *data*, close our side, and close the socket when the client has gone. Takes the socket over."""
        try:
            if data:
                sock.send(data, _AT_ONCE)
            sock.shutdown(socket.SHUT_WR)
        except OSError:
            # EPIPE, ECONNRESET, ENOTCONN: the client is gone. EAGAIN on a fresh socket: it has a window of nothing, and
            # no time is owed.
            sock.close()
            return
        left = drain(sock, MOST, self._scratch)
        if left <= 0:
            sock.close()
            return
        fd = sock.fileno()
        self._serial = (self._serial + 1) & 0xFFFFFFFF
        self._leaving[fd] = (sock, self._serial, left)
        self._epoll.register(fd, select.EPOLLIN | select.EPOLLRDHUP)
        self._wheel.add(self._clock.monotonic() + LONGEST, self._serial << FD_BITS | fd)

    def release(self) -> None:
        """Descriptors are short: close all that linger, at once. They have been told; a reset takes it from the slow ones."""
        for fd in list(self._leaving):
            self._forget(fd)

    def close(self) -> None:
        """Close all that linger, at once."""
        self._wheel.close()
        self._loop.remove_reader(self._epoll.fileno())
        for sock, _, _ in self._leaving.values():
            sock.close()
        self._leaving.clear()
        self._epoll.close()

    def _on_ready(self) -> None:
        for fd, _ in self._epoll.poll(0, 512):
            sock, serial, left = self._leaving[fd]
            left = drain(sock, left, self._scratch)
            if left <= 0:
                self._forget(fd)
            else:
                self._leaving[fd] = (sock, serial, left)

    def _on_due(self, entry: int) -> None:
        fd = entry & FD_MASK
        known = self._leaving.get(fd)
        if known is not None and known[1] == entry >> FD_BITS:
            self._forget(fd)

    def _forget(self, fd: int) -> None:
        sock, _, _ = self._leaving.pop(fd)
        self._epoll.unregister(fd)
        sock.close()


def say(sock: socket.socket, data: bytes) -> bool:
    """Write a few bytes to a fresh socket; False when the client is gone."""
    try:
        sock.send(data, _AT_ONCE)
    except OSError:
        return False  # EPIPE, ECONNRESET
    return True


def drain(sock: socket.socket, left: int, scratch: bytearray) -> int:
    """Read and throw away; return how many more octets the client may send, 0 or less when it is gone or has sent enough.

    *scratch* is a place for BLOCK octets.
    """
    while left > 0:
        try:
            got = sock.recv_into(scratch, BLOCK, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return left
        except OSError:
            return 0  # ECONNRESET and its kind: the client is gone
        if got == 0:
            return 0
        left -= got
        if got < BLOCK:
            return left if left > 0 else 0
    return 0
