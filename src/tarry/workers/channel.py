"""channel - what a worker and its supervisor say to each other, over a pair of sockets.

What      The orders and the reports, one JSON object a line, and `Channel`, which sends and receives them, and sockets with them.
Promises  Nothing here blocks: what the other side is too slow to take waits in memory. The end of the other side is an end of file,
          so each learns of the other's death, however it died.
Source    unix(7), SCM_RIGHTS: descriptors come with the first byte that they were sent with, and never two lots at once.
"""

from __future__ import annotations

import os
import socket
from collections import deque
from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

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


class Adopt(Order, frozen=True):
    """Take the clients of worker ``number`` too, which is away, from its ``sockets``. They come with this, and here is of
    each whether it has TLS, and its name (tarry.sockets.Open)."""

    number: int
    sockets: tuple[tuple[bool, str], ...]


class Release(Order, frozen=True):
    """Leave the clients of worker ``number`` to it: it serves again."""

    number: int


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


AnyOrder: TypeAlias = Reload | Drain | Retire | Settle | Abort | Adopt | Release
AnyReport: TypeAlias = Ready | Failed | Alive

_encode = msgspec.json.Encoder().encode
_read_any = msgspec.json.Decoder(AnyOrder).decode
_read_report = msgspec.json.Decoder(AnyReport).decode


MOST_SOCKETS = 64
"""With one message. The kernel takes 253."""


class _Unsent(NamedTuple):
    """A message, or what is left of it, and the sockets that go with its first byte: copies, since who sends may close its own."""

    data: bytes
    sockets: tuple[socket.socket, ...] = ()


class Channel:
    """One side of the pair."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self._sock = sock
        self._unsent: deque[_Unsent] = deque()
        self._received = b""
        self._descriptors: list[int] = []
        self.has_ended = False
        """The other side is gone."""

    def fileno(self) -> int:
        return self._sock.fileno()

    @property
    def is_behind(self) -> bool:
        """True while something waits to be sent: call `flush` when the socket can be written to."""
        return bool(self._unsent)

    def send(self, message: AnyOrder | AnyReport, sockets: Sequence[socket.socket] = ()) -> None:
        """Say something, with at most MOST_SOCKETS sockets. To one who is gone nothing is said."""
        self._unsent.append(_Unsent(_encode(message) + b"\n", tuple(one.dup() for one in sockets)))
        self.flush()

    def flush(self) -> None:
        """Send as much as the other side takes."""
        while self._unsent:
            data, sockets = self._unsent[0]
            try:
                sent = socket.send_fds(self._sock, [data], [one.fileno() for one in sockets]) if sockets else self._sock.send(data)
            except BlockingIOError:
                return
            except OSError:  # EPIPE, ECONNRESET: its end of file is read in time
                self._forget_unsent()
                return
            for one in sockets:
                one.close()
            self._unsent.popleft()
            if data[sent:]:
                self._unsent.appendleft(_Unsent(data[sent:]))

    def orders(self) -> list[AnyOrder]:
        """Return what the supervisor has said since."""
        return [_read_any(line) for line in self._lines()]

    def reports(self) -> list[AnyReport]:
        """Return what the worker has said since."""
        return [_read_report(line) for line in self._lines()]

    def take_sockets(self, count: int) -> list[socket.socket]:
        """Return the next *count* sockets that came, or those that did come: this process may have had no descriptors for them."""
        taken, self._descriptors = self._descriptors[:count], self._descriptors[count:]
        return [socket.socket(fileno=fd) for fd in taken]

    def close(self) -> None:
        self._forget_unsent()
        for one in self.take_sockets(len(self._descriptors)):
            one.close()
        self._sock.close()

    def _forget_unsent(self) -> None:
        for _, sockets in self._unsent:
            for one in sockets:
                one.close()
        self._unsent.clear()

    def _lines(self) -> list[bytes]:
        while not self.has_ended:
            try:
                piece, descriptors, _, _ = socket.recv_fds(self._sock, 65536, MOST_SOCKETS)
                for each in descriptors:
                    os.set_inheritable(each, False)
                self._descriptors += descriptors
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
