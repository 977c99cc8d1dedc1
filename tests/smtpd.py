"""smtpd - what Postfix's smtpd does at its pass service, step by step, for tests of those who give clients to it.

`Smtpd` listens; `take` is the whole of it: accept, one byte with the descriptor, the attributes up to the empty name, close.
All of it blocks for a second at most, and not at all where the other side has kept to the protocol (one sendmsg for all).
`Desk` is a desk with clients to give, on a loop that turns when told.
"""

from __future__ import annotations

import array
import os
import socket
from dataclasses import dataclass
from pathlib import Path

from tarry.core.client import Client, Endpoint
from tarry.core.clock import ManualClock
from tarry.core.policy import Policy
from tarry.net.passing import PassDesk, PassTo
from tarry.net.waiting_room import Guest
from tarry.record.journal import Journal
from tests.shell import Loop, pair

PATIENCE = 1.0
TO = PassTo("smtpd", 100, 30.0)


@dataclass(frozen=True)
class Taken:
    """A client that was given: its socket, and what was said of it."""

    sock: socket.socket
    attributes: dict[str, str]
    raw: bytes


class Smtpd:
    """A pass service at *path*. *backlog* connections and one more wait there; then connect says EAGAIN."""

    def __init__(self, path: str = "smtpd", *, backlog: int = 16) -> None:
        self.path = path
        self._listening = _kept(socket.socket(socket.AF_UNIX))
        self._listening.bind(path)
        self._listening.listen(backlog)
        self._listening.settimeout(PATIENCE)

    def accept(self) -> socket.socket:
        """Take a connection, and nothing of what it says."""
        control, _ = self._listening.accept()
        control.settimeout(PATIENCE)
        return _kept(control)

    def take(self) -> Taken:
        """Take a client and close: it is ours."""
        control = self.accept()
        taken = receive(control)
        control.close()
        return taken

    def stop(self) -> None:
        """Be no more, as Postfix when it is stopped."""
        self._listening.close()
        Path(self.path).unlink(missing_ok=True)


class Desk:
    """A desk on a loop that turns when told, and one who is told what became of the clients."""

    def __init__(self) -> None:
        self.loop = Loop(ManualClock(100.0))
        self.desk = PassDesk(self.loop.loop, self.loop.clock)
        self.guests: list[Guest] = []
        self.told: list[tuple[str, int, str]] = []
        self.asked: list[int] = []
        self.talkers: set[int] = set()

    def give(self, to: PassTo = TO) -> socket.socket:
        """A client is to be given; return its end."""
        ours, end = pair()
        journal = Journal("x", accepted_at=0.0, accepted_wall=0.0, write=lambda line: None)
        client = Client(Endpoint("192.0.2.7", len(self.guests)), Endpoint("198.51.100.1", 25))
        self.guests.append(Guest(ours, client, b"", journal, 0.0, Policy()))
        self.desk.give(self.guests[-1], to, self)
        return end

    def given(self, guest: Guest, to: str, ms: float) -> None:
        assert "unix:smtpd" == to
        self.told.append(("given", self.guests.index(guest), f"{ms:g} ms"))

    def not_given(self, guest: Guest, why: str) -> None:
        self.told.append(("not given", self.guests.index(guest), why))

    def let_go(self, guest: Guest, to: str, why: str) -> None:
        assert to.startswith("unix:")
        self.told.append(("let go", self.guests.index(guest), why))

    def is_still_quiet(self, guest: Guest) -> bool:
        self.asked.append(self.guests.index(guest))
        return self.guests.index(guest) not in self.talkers

    def hears(self) -> list[tuple[str, int, str]]:
        """Let the loop settle; return what was told since the last call."""
        self.loop.settle()
        told, self.told = self.told, []
        return told


def receive(control: socket.socket) -> Taken:
    """Read one byte with a descriptor, as smtpd does, then attributes until they end."""
    byte, control_data, flags, _ = control.recvmsg(1, socket.CMSG_LEN(4))
    assert (b"\0", 1, 0) == (byte, len(control_data), flags & socket.MSG_CTRUNC)
    level, kind, data = control_data[0]
    assert (socket.SOL_SOCKET, socket.SCM_RIGHTS) == (level, kind)
    (fd,) = array.array("i", data)
    sock = _kept(socket.socket(fileno=fd))
    sock.settimeout(PATIENCE)
    raw = b""
    while not raw.endswith(b"\0\0"):
        piece = control.recv(1)
        assert piece, "the list of attributes has no end"
        raw += piece
    words = raw[:-2].decode("ascii").split("\0")
    return Taken(sock, dict(zip(words[::2], words[1::2], strict=True)), raw)


def close_all() -> None:
    """Close what was made and nobody has closed: for the end of a test."""
    while _made:
        _made.pop().close()


def _kept(sock: socket.socket) -> socket.socket:
    os.set_inheritable(sock.fileno(), False)
    _made.append(sock)
    return sock


_made: list[socket.socket] = []
