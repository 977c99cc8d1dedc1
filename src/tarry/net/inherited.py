"""inherited - listening sockets that systemd, or another supervisor, has opened and hands over.

What      `take` gives the sockets of the LISTEN_FDS protocol, each with its name (FileDescriptorName=).
Promises  Only for the process that they are meant for (LISTEN_PID), and once: the variables are taken out of the environment, so
          that no child believes them, and the descriptors are closed on exec.
Source    sd_listen_fds(3), sd_listen_fds_with_names(3).
"""

from __future__ import annotations

import os
import socket
from collections.abc import MutableMapping

FIRST = 3
"""The first descriptor that is handed over (SD_LISTEN_FDS_START)."""


def unusable(sock: socket.socket) -> str:
    """Return why SMTP clients cannot be accepted on a socket; "" where they can."""
    if sock.family not in (socket.AF_INET, socket.AF_INET6) or sock.type != socket.SOCK_STREAM:
        return "it is no socket for TCP; write ListenStream=HOST:PORT in the socket unit"
    if not sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        return "it is a client, and does not listen; write Accept=no in the socket unit, or run `tarry inetd`"
    return ""


def take(environ: MutableMapping[str, str], pid: int) -> list[tuple[str, socket.socket]]:
    """Return (name, socket) of all that was handed to the process *pid*; a socket without a name has ``unknown``, as systemd says.

    Raises OSError where a descriptor is no socket, ValueError where the variables are no numbers.
    """
    count, meant_for = environ.pop("LISTEN_FDS", ""), environ.pop("LISTEN_PID", "")
    names = environ.pop("LISTEN_FDNAMES", "").split(":")
    if not count or meant_for != str(pid):
        return []
    taken = []
    for number in range(int(count)):
        fd = FIRST + number
        os.set_inheritable(fd, False)
        sock = socket.socket(fileno=fd)
        sock.setblocking(False)
        taken.append((names[number] if number < len(names) and names[number] else "unknown", sock))
    return taken
