"""channel - what a worker and its supervisor say to each other, over a pair of sockets.

What      The orders and the reports, one JSON object a line, and `Channel`, which sends and receives them.
Promises  Nothing here blocks: what the other side is too slow to take waits in memory. The end of the other side is an end of file,
          so each learns of the other's death, however it died.
"""

from __future__ import annotations

import socket
from collections import deque
from typing import TypeAlias

import msgspec


class Order(msgspec.Struct, frozen=True, tag_field="do", tag=str.lower):
    """What the supervisor wants of a worker."""


class Reload(Order, frozen=True):
    """Take this configuration: the text of the file, which is known to be good."""

    text: str


class Drain(Order, frozen=True):
    """Take no more clients and end, as after SIGTERM."""

    why: str


class Retire(Order, frozen=True):
    """Take no more clients, and let those who are in end by themselves: another serves in this place."""

    why: str


class Settle(Order, frozen=True):
    """The one whose place this version takes was told to give way: from now on nobody else has the sockets."""


class Abort(Order, frozen=True):
    """End every session at once."""


class Report(msgspec.Struct, frozen=True, tag_field="is", tag=str.lower):
    """What a worker tells its supervisor."""


class Ready(Report, frozen=True):
    """It serves. ``where`` is where it listens, ``notes`` what the operator should be told."""

    where: tuple[tuple[str, int], ...]
    notes: tuple[str, ...] = ()


class Failed(Report, frozen=True):
    """It cannot start: the parts of an OSError, ``number`` 0 where it has none."""

    number: int
    text: str
    file: str = ""

    def fault(self) -> OSError:
        """Return the error as it was raised in the worker."""
        if not self.number:
            return OSError(self.text)
        return OSError(self.number, self.text, self.file) if self.file else OSError(self.number, self.text)


class Alive(Report, frozen=True):
    """Its event loop turns."""


AnyOrder: TypeAlias = Reload | Drain | Retire | Settle | Abort
AnyReport: TypeAlias = Ready | Failed | Alive

_encode = msgspec.json.Encoder().encode
_read_any = msgspec.json.Decoder(AnyOrder).decode
_read_report = msgspec.json.Decoder(AnyReport).decode


class Channel:
    """One side of the pair."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self._sock = sock
        self._unsent: deque[bytes] = deque()
        self._received = b""
        self.has_ended = False
        """The other side is gone."""

    def fileno(self) -> int:
        return self._sock.fileno()

    @property
    def is_behind(self) -> bool:
        """True while something waits to be sent: call `flush` when the socket can be written to."""
        return bool(self._unsent)

    def send(self, message: AnyOrder | AnyReport) -> None:
        """Say something. To one who is gone nothing is said."""
        self._unsent.append(_encode(message) + b"\n")
        self.flush()

    def flush(self) -> None:
        """Send as much as the other side takes."""
        while self._unsent:
            try:
                sent = self._sock.send(self._unsent[0])
            except BlockingIOError:
                return
            except OSError:  # EPIPE, ECONNRESET: its end of file is read in time
                self._unsent.clear()
                return
            rest = self._unsent.popleft()[sent:]
            if rest:
                self._unsent.appendleft(rest)

    def orders(self) -> list[AnyOrder]:
        """Return what the supervisor has said since."""
        return [_read_any(line) for line in self._lines()]

    def reports(self) -> list[AnyReport]:
        """Return what the worker has said since."""
        return [_read_report(line) for line in self._lines()]

    def close(self) -> None:
        self._sock.close()

    def _lines(self) -> list[bytes]:
        while not self.has_ended:
            try:
                piece = self._sock.recv(65536)
            except BlockingIOError:
                break
            except OSError:  # ECONNRESET: it died with something unread
                piece = b""
            self.has_ended = not piece
            self._received += piece
        *lines, self._received = self._received.split(b"\n")
        return lines


def make_pair() -> tuple[Channel, Channel]:
    """Return the two sides, each for a process of its own."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    return Channel(ours), Channel(theirs)
