"""mta - the MTA of a rehearsal: it accepts everything, but for as many recipients as it is told to refuse.

What      Takes what a conversation relays, and gives what an MTA would say to it.
Promises  No socket, no time: each reply is there at once. It counts what it accepted, and keeps nothing.
"""

from __future__ import annotations

from collections.abc import Iterable

from tarry.core.border import CloseMta, OpenMta, Relay, SessionEffect
from tarry.smtp.extensions import read_capabilities
from tarry.smtp.reply import reply

NAME = "mta.invalid"
_EHLO = reply(250, NAME, "PIPELINING", "SIZE 0", "8BITMIME", "ENHANCEDSTATUSCODES", "CHUNKING")
OFFERED = read_capabilities(_EHLO)


class Mta:
    """The MTA of one session. ``refuses``: so many recipients, the first ones. ``messages`` counts those that it accepted."""

    def __init__(self, refuses: int = 0) -> None:
        self._refuses = refuses
        self._is_wanted = False
        self._is_open = False
        self._in_data = False
        self._buffer = b""
        self.rcpts = 0
        self.accepted = 0
        self.messages = 0

    @property
    def is_wanted(self) -> bool:
        """True when it was asked for a connection, and has not greeted yet."""
        return self._is_wanted

    def take(self, effects: Iterable[SessionEffect]) -> None:
        """Hear what the conversation orders."""
        for effect in effects:
            match effect:
                case OpenMta():
                    self._is_wanted = True
                case CloseMta():
                    self._is_wanted = self._is_open = self._in_data = False
                    self._buffer = b""
                case Relay(data=data):
                    self._buffer += data
                case _:
                    pass

    def says(self) -> bytes:
        """Return the reply that is due next, or nothing."""
        if self._is_wanted:
            self._is_wanted, self._is_open = False, True
            return b"220 " + NAME.encode() + b" ESMTP\r\n"
        if not self._is_open:
            return b""
        end = b"\r\n.\r\n" if self._in_data else b"\r\n"
        line, found, rest = self._buffer.partition(end)
        if not found:
            return b""
        self._buffer = rest
        if self._in_data:
            self._in_data = False
            self.messages += 1
            return b"250 2.0.0 Ok\r\n"
        return self._answer(line[:4].upper())

    def _answer(self, verb: bytes) -> bytes:
        match verb:
            case b"EHLO":
                return _EHLO.raw
            case b"RCPT":
                self.rcpts += 1
                if self.rcpts <= self._refuses:
                    return b"550 5.1.1 No such mailbox\r\n"
                self.accepted += 1
                return b"250 2.1.5 Ok\r\n"
            case b"DATA":
                self._in_data = True
                return b"354 End with a dot\r\n"
            case _:
                return b"250 2.0.0 Ok\r\n"
