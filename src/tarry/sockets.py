"""sockets - wiring: where a configuration listens, and how many clients the process has descriptors for.

Promises  Where one address cannot be had no socket is left open. What was handed over and nobody asks for is closed.
"""

from __future__ import annotations

import resource
import socket
from collections.abc import Sequence

from tarry.config.places import Inherited
from tarry.config.tables import Listen
from tarry.net import inherited
from tarry.net.listener import open_socket

KEPT_DESCRIPTORS = 24
"""For the loop, listeners, logs, the standard streams."""


def open_sockets(listen: Listen, handed: Sequence[tuple[str, socket.socket]]) -> list[tuple[socket.socket, bool]]:
    """Return the listening sockets, each with whether its clients begin with TLS. *handed* are those of a supervisor, with names.

    ``systemd`` takes those that no ``systemd:NAME`` asks for; what nobody asks for is closed. Raises OSError where an address
    cannot be had, or nothing that listens was handed over; no socket is left open then.
    """
    named = {one.name for one in (*listen.smtp, *listen.smtps) if isinstance(one, Inherited) and one.name}
    opened: list[tuple[socket.socket, bool]] = []
    try:
        for wanted, has_tls in ((listen.smtp, False), (listen.smtps, True)):
            for one in wanted:
                if isinstance(one, Inherited):
                    found = [sock for name, sock in handed if (name == one.name if one.name else name not in named)]
                    if not found:
                        raise OSError(f"{one}: no such socket was handed over; start tarry by its socket unit, or name an address")
                    for sock in found:
                        if why := inherited.unusable(sock):
                            raise OSError(f"{one}: what was handed over cannot be used: {why}")
                    opened += [(sock, has_tls) for sock in found]
                else:
                    opened.append((open_socket(one.host, one.port), has_tls))
    except BaseException:
        for sock in (*(sock for sock, _ in opened), *(sock for _, sock in handed)):
            sock.close()
        raise
    used = {sock for sock, _ in opened}
    for _, sock in handed:
        if sock not in used:
            sock.close()
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
