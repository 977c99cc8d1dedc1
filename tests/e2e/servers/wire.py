"""wire - the socket side of the sink: bytes in and out, recorded, with faults enacted.

What     `Wire` reads lines in a dialect and says replies. Whatever is to be said goes through `answer`, where the host may
         put a fault in its place. The end of a dialogue, by anyone, is the exception `Ended`.
"""

import contextlib
import re
import socket
import ssl
import struct
import threading
import time
from collections.abc import Sequence
from typing import Protocol

from tests.e2e.servers.dialect import Dialect
from tests.e2e.servers.faults import ENDLESS_BYTES, Fault
from tests.e2e.servers.recorded import Connection, Message

LINGER_RESET = struct.pack("ii", 1, 0)  # close(2) then sends RST
DRAIN_SECONDS = 2.0


class Host(Protocol):
    """What a session needs of the sink it belongs to."""

    dialect: Dialect
    keywords: Sequence[str]
    banner: str
    proxy: str
    patience: float
    tls: ssl.SSLContext | None
    token: re.Pattern[bytes] | None
    stopping: threading.Event

    def strike(self, at: str, line: bytes) -> Fault | None: ...
    def keep(self, message: Message) -> None: ...
    def changed(self) -> None: ...


class Ended(Exception):
    """The dialogue is over; the text is why."""


class Wire:
    """One connected socket. *buffer* is what has come and is not yet understood."""

    def __init__(self, sock: socket.socket, connection: Connection, host: Host) -> None:
        self.sock = sock
        self.buffer = bytearray()
        self._connection = connection
        self._host = host

    def fill(self, at_most: int = 1 << 16) -> None:
        """Wait for bytes and add them to the buffer. Raises Ended at the end of the stream."""
        more = self.sock.recv(at_most)
        if not more:
            raise Ended("stopped" if self._host.stopping.is_set() else "eof")
        self._connection.received += more
        self._connection.reads.append((time.monotonic(), len(more)))
        self.buffer += more
        self._host.changed()

    def take(self, count: int) -> bytes:
        """Return the first *count* bytes of the buffer, or all if there are fewer."""
        taken = bytes(self.buffer[:count])
        del self.buffer[:count]
        return taken

    def line(self) -> bytes:
        """Return the next command line without its end."""
        scan = 0
        while not (end := self._host.dialect.command_end.search(self.buffer, scan)):
            scan = max(0, len(self.buffer) - 1)
            self.fill()
        line = self.take(end.end())[: end.start()]
        self._connection.lines.append(line)
        self._host.changed()
        return line

    def say(self, reply: bytes) -> None:
        """Send *reply* as it is."""
        self.sock.sendall(reply)
        self._connection.sent += reply

    def answer(self, at: str, line: bytes, usual: bytes) -> bytes:
        """Say *usual*, or what a fault makes of it; return what was said."""
        usual = self.marked(usual, line)
        fault = self._host.strike(at, line)
        if fault is None:
            self.say(usual)
            return usual
        return self.enact(fault, usual)

    def marked(self, reply: bytes, said: bytes) -> bytes:
        """Return *reply* with the last token of *said* at its end, where the host wants tokens and there is one."""
        found = self._host.token.findall(said) if self._host.token is not None else []
        return reply.removesuffix(b"\r\n") + b" " + found[-1] + b"\r\n" if found else reply

    def enact(self, fault: Fault, usual: bytes) -> bytes:
        """Do what *fault* says in place of saying *usual*; return what was said. Raises Ended unless it goes on."""
        words = fault.reply or usual
        match fault.what:
            case "reply":
                self.say(words)
            case "close" | "reset":
                self.finish(fault.reply, reset=fault.what == "reset")
                raise Ended("fault")
            case "silent":
                self.say(fault.reply)
                while True:
                    self.fill()
            case "stall":
                self.say(fault.reply)
                self._host.stopping.wait(self._host.patience)
                raise Ended("fault")
            case "late":
                self._pause(fault.seconds)
                self.say(words)
            case "drip":
                for byte in words:
                    self._pause(fault.seconds)
                    self.say(bytes((byte,)))
            case "endless":
                for _ in range(ENDLESS_BYTES // len(words)):
                    self.say(words)
                raise Ended("fault")
            case _:
                raise AssertionError(f"{fault.what} cannot happen at {fault.at}")
        return words

    def _pause(self, seconds: float) -> None:
        if self._host.stopping.wait(seconds):
            raise Ended("stopped")

    def finish(self, words: bytes, *, reset: bool) -> None:
        """Say *words* and end. A FIN needs the unread bytes drained: closing on top of them would send RST."""
        self.say(words)
        if reset:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_RESET)
            return
        deadline = time.monotonic() + DRAIN_SECONDS
        with contextlib.suppress(OSError, Ended):
            self.sock.shutdown(socket.SHUT_WR)
            while (left := deadline - time.monotonic()) > 0:
                self.sock.settimeout(left)
                self.fill()
