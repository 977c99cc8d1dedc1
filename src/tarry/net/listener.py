"""listener - accept clients in bursts, and survive having no descriptor for the next one.

What      One listening socket in the event loop.
Promises  At most BURST clients are accepted at a time, so that accepting cannot starve those who are in. Without
          descriptors (EMFILE, ENFILE) it stops listening for PAUSE seconds rather than spin: the kernel keeps the
          clients in its backlog meanwhile.
"""

from __future__ import annotations

import errno
import select
import socket
from asyncio import AbstractEventLoop, TimerHandle
from collections.abc import Callable

from tarry.core.client import Endpoint, normal

BURST = 128
BACKLOG = 4096
PAUSE = 0.25
_NO_DESCRIPTORS = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


def open_socket(host: str, port: int, *, joins: bool = False, listens: bool = True) -> socket.socket:
    """Return a listening socket. Raises OSError where the address cannot be had.

    It *joins* those that listen there already and have let others join: the kernel shares the clients out among them. Without
    *listens* it has the address only, and no client comes to it before `listen`.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if joins:
            let_others_join(sock)
        if family == socket.AF_INET6:
            # [::] takes IPv6 only, so that 0.0.0.0 can be named beside it, as Postfix does.
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind((host, port))
        if listens:
            sock.listen(BACKLOG)
        sock.setblocking(False)
    except BaseException:
        sock.close()
        raise
    return sock


def listen(sock: socket.socket) -> None:
    """Let clients come to a socket, unless they do already. Raises OSError."""
    if not sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        sock.listen(BACKLOG)


def let_others_join(sock: socket.socket) -> None:
    """Allow further sockets of this user on the address of *sock*, which may listen already."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)


class Listener:
    """Accepts on one socket. ``on_client`` takes over each accepted socket; its peer comes as (address in normal form, port)."""

    def __init__(
        self,
        loop: AbstractEventLoop,
        sock: socket.socket,
        *,
        on_client: Callable[[socket.socket, str, int, Endpoint], None],
        on_stress: Callable[[bool, str], None],
    ) -> None:
        self._loop = loop
        self._sock = sock
        self._on_client = on_client
        self._on_stress = on_stress
        # An accept that finds nobody costs 5.6 us, since Linux makes the socket first; to ask before costs 0.3 us (2026-11-21).
        self._anyone = select.poll()
        self._anyone.register(sock.fileno(), select.POLLIN)
        self._paused: TimerHandle | None = None
        self._stressed = False
        host, port = sock.getsockname()[:2]
        self.endpoint = Endpoint(normal(host), port)
        loop.add_reader(sock.fileno(), self._on_readable)

    def close(self, *, takes_rest: bool = False) -> None:
        """Stop listening and close the socket. Who is in its backlog is lost, unless somebody else has the socket too.

        *takes_rest*: accept them before, so that each is told something; at most as many as a backlog holds.
        """
        if takes_rest:
            for _ in range(0, BACKLOG, BURST):
                if self._paused is not None or not self._anyone.poll(0):
                    break
                self._on_readable()
        if self._paused is not None:
            self._paused.cancel()
        else:
            self._loop.remove_reader(self._sock.fileno())
        self._sock.close()

    def _on_readable(self) -> None:
        for _ in range(BURST):
            try:
                sock, peer = self._sock.accept()
            except (BlockingIOError, InterruptedError):
                break
            except OSError as fault:
                if fault.errno in _NO_DESCRIPTORS:
                    self._pause(errno.errorcode[fault.errno])
                    return
                # ECONNABORTED and the errors of the client's network that Linux hands to accept(2): this client is gone.
                continue
            self._on_client(sock, normal(peer[0]), peer[1], self.endpoint)
            if not self._anyone.poll(0):
                break
        if self._stressed:
            self._stressed = False
            self._on_stress(False, "")

    def _pause(self, why: str) -> None:
        self._loop.remove_reader(self._sock.fileno())
        self._paused = self._loop.call_later(PAUSE, self._resume)
        if not self._stressed:
            self._stressed = True
            self._on_stress(True, why)

    def _resume(self) -> None:
        self._paused = None
        self._loop.add_reader(self._sock.fileno(), self._on_readable)
