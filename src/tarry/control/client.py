"""client - asks a running server how it is; for the command line, so it blocks.

Promises  Whatever is wrong is a `NotAnswered`, with a sentence that says what, where, and what to do. A server that stands still is
          given up after a few seconds.
"""

from __future__ import annotations

import errno
import os
import socket
from pathlib import Path

from tarry.control import protocol
from tarry.control.states import State

TIMEOUT = 5.0
_PIECE = 65536
_LONGEST = 16 * 2**20
"""Octets of a reply: far more than any state has, and an end for what is none."""


class NotAnswered(Exception):
    """The server could not be asked. The text says why. ``is_running`` is False where nobody listens there."""

    def __init__(self, why: str, *, is_running: bool) -> None:
        super().__init__(why)
        self.is_running = is_running


def ask_status(path: str, timeout: float = TIMEOUT) -> State:
    """Return the state of the server behind the socket *path*. Raises NotAnswered."""
    where = Path(path).absolute()
    try:
        line = _ask(str(where), protocol.write(protocol.Request("status")), timeout)
        reply = protocol.read_reply(line)
    except TimeoutError:
        raise NotAnswered(f"the tarry behind {where} does not answer within {timeout:g} s", is_running=True) from None
    except OSError as fault:
        raise _explained(fault, where) from None
    except ValueError:
        raise NotAnswered(f"what answers on {where} is no tarry, or of another version", is_running=True) from None
    if reply.state is None:
        raise NotAnswered(f"the tarry behind {where} answers: {reply.error or 'nothing'}", is_running=True)
    return reply.state


def _ask(path: str, line: bytes, timeout: float) -> bytes:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.settimeout(timeout)
        sock.connect(path)
        sock.sendall(line)
        received = bytearray()
        while (piece := sock.recv(_PIECE)) and len(received) < _LONGEST:
            received += piece
        if not received:
            raise ConnectionResetError(errno.ECONNRESET, "closed without an answer")
        return bytes(received)


def _explained(fault: OSError, where: Path) -> NotAnswered:
    match fault.errno:
        case errno.ENOENT:
            why = f"there is no socket {where}: is the server running, and is this its control.socket? Name its file with -c"
        case errno.ECONNREFUSED:
            why = f"nobody listens on {where}: the server that made it has ended"
        case errno.EACCES | errno.EPERM:
            why = f"{where} is not for you: it is for its owner and group; ask as root, or as a member of the group"
            return NotAnswered(why, is_running=True)
        case errno.ECONNRESET | errno.EPIPE | errno.EAGAIN:
            why = f"the tarry behind {where} closed without an answer: it is going down, or too many ask at once"
            return NotAnswered(why, is_running=True)
        case None:
            # "AF_UNIX path too long" comes without a number.
            why = f"{where} cannot be the path of a socket: {fault}"
        case number:
            why = f"{where} cannot be asked: {os.strerror(number)}"
    return NotAnswered(why, is_running=False)
