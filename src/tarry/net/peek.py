"""peek - look at a socket without taking anything out of it.

What      One look at the receive queue of a bare descriptor.
Promises  No byte is consumed: whoever gets the descriptor next reads the client's first byte. Never blocks, never raises
          for what a peer does.
"""

from __future__ import annotations

import socket

from tarry.core.border import PEEK_BYTES, HungUp, Readable

_LOOK = int(socket.MSG_PEEK | socket.MSG_DONTWAIT)  # a number: to join two members of an enum costs as much as the look


def peek(sock: socket.socket, size: int = PEEK_BYTES) -> Readable | HungUp | None:
    """Return what waits in the socket; None where nothing does."""
    try:
        first = sock.recv(size, _LOOK)
    except (BlockingIOError, InterruptedError):
        return None
    except OSError:
        # ECONNRESET is a RST. ETIMEDOUT, EHOSTUNREACH and their kind are what keepalive or ICMP say of a client that is gone:
        # to the session all of them are the same.
        return HungUp(reset=True)
    return Readable(first) if first else HungUp(reset=False)
