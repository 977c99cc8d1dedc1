"""sockets - wiring: where a configuration listens, and how many clients the process has descriptors for.

Promises  Where one address cannot be had no socket is left open. What was handed over and nobody asks for is closed.
Workers   For each address there are as many sockets as workers, and the kernel shares clients out among them (SO_REUSEPORT): no
          worker wakes up for a client that another one takes. The first is bound without it: a second tarry by mistake is told that
          the address is taken, and does not take half of the clients away. Where no more can be had workers share what there is.
Upgrade   Sockets that an earlier tarry opened are handed over under the name OWN; who opened them is told by their address.
"""

from __future__ import annotations

import resource
import socket
from collections.abc import Sequence
from typing import NamedTuple

from tarry.config.places import Inherited
from tarry.config.tables import Listen
from tarry.core.client import Endpoint
from tarry.net import inherited
from tarry.net.listener import let_others_join, open_socket

KEPT_DESCRIPTORS = 24
"""For the loop, listeners, logs, the standard streams."""

OWN = "tarry.listen"
"""The name of a socket that tarry itself opened, when it is handed over."""


class Open(NamedTuple):
    """A listening socket, and whether its clients begin with TLS. ``name`` is what a supervisor calls it, "" for one of tarry's
    own, which nobody else keeps when tarry closes it."""

    sock: socket.socket
    has_tls: bool
    name: str = ""


def open_sockets(listen: Listen, handed: Sequence[tuple[str, socket.socket]], workers: int = 1) -> list[Open]:
    """Return the listening sockets for so many workers. *handed* are those of a supervisor or of an earlier tarry, with names.

    ``systemd`` takes those that no ``systemd:NAME`` asks for; what nobody asks for is closed. Raises OSError where an address
    cannot be had, or nothing that listens was handed over; no socket is left open then.
    """
    named = {one.name for one in (*listen.smtp, *listen.smtps) if isinstance(one, Inherited) and one.name}
    own = [sock for name, sock in handed if name == OWN]
    opened: list[Open] = []
    try:
        for wanted, has_tls in ((listen.smtp, False), (listen.smtps, True)):
            for one in wanted:
                if isinstance(one, Inherited):
                    found = [
                        (name, sock)
                        for name, sock in handed
                        if name != OWN and (name == one.name if one.name else name not in named)
                    ]
                    if not found:
                        raise OSError(f"{one}: no such socket was handed over; start tarry by its socket unit, or name an address")
                    for _, sock in found:
                        if why := inherited.unusable(sock):
                            raise OSError(f"{one}: what was handed over cannot be used: {why}")
                    opened += [Open(sock, has_tls, name) for name, sock in found]
                else:
                    taken = _taken_over(one, own)
                    own = [sock for sock in own if sock not in taken]
                    opened += [Open(sock, has_tls) for sock in taken]
                    opened += [Open(sock, has_tls) for sock in _opened_anew(one, taken, workers)]
    except BaseException:
        for sock in (*(one.sock for one in opened), *(sock for _, sock in handed)):
            sock.close()
        raise
    used = {one.sock for one in opened}
    for _, sock in handed:
        if sock not in used:
            sock.close()
    return opened


def _taken_over(wanted: Endpoint, own: Sequence[socket.socket]) -> list[socket.socket]:
    """Return the sockets of an earlier tarry that listen there; port 0 is whatever port it has been given."""
    if not own:
        return []
    family = socket.AF_INET6 if ":" in wanted.host else socket.AF_INET
    host, port = socket.getaddrinfo(wanted.host, wanted.port, family, socket.SOCK_STREAM)[0][4][:2]
    return [
        sock for sock in own if sock.family == family and (host, port or sock.getsockname()[1]) == tuple(sock.getsockname()[:2])
    ]


def _opened_anew(wanted: Endpoint, taken: Sequence[socket.socket], workers: int) -> list[socket.socket]:
    """Return so many more sockets that each worker has one; with *taken* as many as can be had."""
    opened: list[socket.socket] = []
    try:
        if not taken:
            opened.append(open_socket(wanted.host, wanted.port))
        first = (*taken, *opened)[0]
        if workers > 1:
            for sock in (*taken, *opened):
                let_others_join(sock)
        while len(taken) + len(opened) < workers:
            # Nobody comes to it yet where others serve: who were in its backlog would be refused if this version did not come up.
            opened.append(open_socket(wanted.host, first.getsockname()[1], joins=True, listens=not taken))
    except OSError:
        if not taken:
            for sock in opened:
                sock.close()
            raise
        # EACCES: the right to a port below 1024 was given up after the first start. The workers share what there is.
    return opened


def fit_descriptors(max_clients: int) -> tuple[int, str]:
    """Raise the descriptor limit to its hard limit; return how many clients fit, and a sentence where that is fewer than asked.

    A quarter of the descriptors is kept for connections to the MTA: a held client needs one, a client in line two.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
            soft = hard
        except (OSError, ValueError):
            pass  # EPERM in some containers: the soft limit it is
    if soft == resource.RLIM_INFINITY:
        return max_clients, ""
    fits = max(1, (soft - KEPT_DESCRIPTORS) * 3 // 4)
    if fits >= max_clients:
        return max_clients, ""
    return fits, (
        f"this process may have {soft} descriptors, so at most {fits} clients are served at once and not {max_clients}: "
        "raise the limit (LimitNOFILE= under systemd) or lower listen.max_clients"
    )
