"""proxied - clients behind a proxy, until its PROXY header has come.

What      Reads the header off a connection from a network in ``listen.proxy_from``, and nothing behind it.
Promises  The header is complete within its cap and the deadline, or the connection is closed without a word (the specification's
          rule: a receiver must not guess). What the client itself said stays in the socket: it is early talk like any other.
"""

from __future__ import annotations

import socket
from asyncio import AbstractEventLoop, TimerHandle
from collections.abc import Callable
from dataclasses import dataclass, field

from tarry.core.border import Readable
from tarry.net.peek import peek
from tarry.smtp.proxy_header import V2_CAP, Header, HeaderFault, read_header

Done = Callable[[socket.socket, Header | HeaderFault], None]


@dataclass(slots=True)
class _Pending:
    sock: socket.socket
    done: Done
    timer: TimerHandle | None = None
    data: bytes = field(default=b"")


class HeaderDesk:
    """Connections whose header has not come yet."""

    def __init__(self, loop: AbstractEventLoop) -> None:
        self._loop = loop
        self._pending: dict[int, _Pending] = {}

    def __len__(self) -> int:
        return len(self._pending)

    def read(self, sock: socket.socket, limit: float, done: Done) -> None:
        """Call ``done(sock, header or fault)`` within *limit* seconds; at once where the header has come already."""
        pending = _Pending(sock, done)
        if self._advance(pending):
            return
        fd = sock.fileno()
        self._pending[fd] = pending
        pending.timer = self._loop.call_later(limit, self._finish, fd, HeaderFault("no PROXY header in time"))
        self._loop.add_reader(fd, self._on_readable, fd)

    def close(self) -> None:
        """Have done with all of them: each is told as a fault, so that each is closed and recorded."""
        for fd in list(self._pending):
            self._finish(fd, HeaderFault("the daemon is going down"))

    def _on_readable(self, fd: int) -> None:
        self._advance(self._pending[fd], fd)

    def _advance(self, pending: _Pending, fd: int | None = None) -> bool:
        """Look at what has come, take what belongs to the header; True when it is done."""
        found = peek(pending.sock, V2_CAP)
        if found is None:
            return False
        if not isinstance(found, Readable):
            return self._end(pending, fd, HeaderFault("the proxy hung up"))
        header = read_header(pending.data + found.first)
        if header is None:
            # All of it belongs to the header, which is not complete: take it out, or the socket would stay readable.
            pending.data += pending.sock.recv(len(found.first), socket.MSG_DONTWAIT)
            return False
        if isinstance(header, Header):
            pending.sock.recv(header.size - len(pending.data), socket.MSG_DONTWAIT)
        return self._end(pending, fd, header)

    def _end(self, pending: _Pending, fd: int | None, header: Header | HeaderFault) -> bool:
        if fd is not None:
            self._forget(fd)
        pending.done(pending.sock, header)
        return True

    def _finish(self, fd: int, fault: HeaderFault) -> None:
        self._end(self._pending[fd], fd, fault)

    def _forget(self, fd: int) -> None:
        pending = self._pending.pop(fd)
        self._loop.remove_reader(fd)
        if pending.timer is not None:
            pending.timer.cancel()
