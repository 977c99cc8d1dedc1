"""peer - the socket on descriptor 0, and who is at its other end.

What      `take` for a program that is started once a client: by inetd, tcpserver or systemd.
Promises  The kernel is asked first, and the environment only where it does not know (a Unix socket pair). Nothing is read.
"""

from __future__ import annotations

import socket
from collections.abc import Mapping

from tarry.core.client import Client, Endpoint, normal
from tarry.net.ucspi import told

_INET = (socket.AF_INET, socket.AF_INET6)
_HOW = "start it by inetd (nowait), xinetd, tcpserver or systemd (Accept=yes and StandardInput=socket)"


class Unusable(Exception):
    """Descriptor 0 is no client; the message says how this is meant to be run."""


def take(fd: int, environ: Mapping[str, str]) -> tuple[socket.socket, Client | None]:
    """Return the client's socket, and the client, or None for one that has gone already. Raises Unusable."""
    try:
        sock = socket.socket(fileno=fd)
    except OSError:  # ENOTSOCK
        if environ.get("TCPREMOTEIP"):
            what = "standard input is no socket (something between tcpserver and tarry, such as recordio, has put a pipe there)"
            raise Unusable(
                f"{what}: early talk can be seen only on the client's own socket; let tarry come first in the line"
            ) from None
        raise Unusable(f"standard input is no client's socket; {_HOW}") from None
    if sock.type != socket.SOCK_STREAM:
        raise _unusable(sock, f"standard input is a socket for datagrams; {_HOW}")
    if sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        raise _unusable(
            sock, "standard input is a listening socket: say nowait in inetd.conf, wait = no in xinetd, Accept=yes in systemd"
        )
    if sock.family in _INET:
        try:
            return sock, Client(_endpoint(sock.getpeername()), _endpoint(sock.getsockname()))
        except OSError:  # ENOTCONN: it sent a RST before we looked
            return sock, told(environ)
    client = told(environ)
    if client is None:
        raise _unusable(sock, "standard input is a Unix socket, and TCPREMOTEIP does not say who the client is")
    return sock, client


def _unusable(sock: socket.socket, what: str) -> Unusable:
    sock.detach()  # the descriptor stays the caller's
    return Unusable(what)


def _endpoint(name: tuple[str, int]) -> Endpoint:
    return Endpoint(normal(name[0]), name[1])
