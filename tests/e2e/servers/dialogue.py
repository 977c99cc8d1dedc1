"""dialogue - one connection of the sink: reads commands in a dialect, answers, and enacts faults.

What     A small complete SMTP server on a blocking socket: HELO, EHLO, MAIL, RCPT, DATA, BDAT, RSET, NOOP, VRFY, QUIT, AUTH
         PLAIN and LOGIN, STARTTLS, XCLIENT, XFORWARD. Every byte in either direction ends up in a `Connection`.
Promise  What is in `Connection` happened; `Message.reply` is what the client was told, empty when it was told nothing.
Not      It judges no address and no size. It is made to be looked into, not to be fast.
"""

import base64
import binascii
import contextlib
import re
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from tests.e2e.servers import proxyheader
from tests.e2e.servers.dialect import Body, Dialect
from tests.e2e.servers.faults import ENDLESS_BYTES, Fault

LINGER_RESET = struct.pack("ii", 1, 0)  # close(2) then sends RST
DRAIN_SECONDS = 2.0


@dataclass(slots=True)
class Message:
    """A message that came to its end. *raw* is as on the wire, *text* without stuffed dots; both without the dot line."""

    sender: bytes
    recipients: list[bytes]
    raw: bytes
    text: bytes
    via: str  # "DATA" or "BDAT"
    mail: bytes  # the MAIL line
    rcpt: list[bytes]  # the RCPT lines
    connection: int
    at: float
    reply: bytes = b""

    @property
    def accepted(self) -> bool:
        """Whether the client was told 250, in full."""
        return self.reply.startswith(b"250 ") and self.reply.endswith(b"\r\n")


@dataclass(slots=True)
class Connection:
    """All that happened on one connection. Times are time.monotonic()."""

    number: int
    peer: tuple[str, int]
    opened_at: float
    received: bytearray = field(default_factory=bytearray)  # after TLS starts: the clear text
    sent: bytearray = field(default_factory=bytearray)
    reads: list[tuple[float, int]] = field(default_factory=list)  # when, and how many bytes
    lines: list[bytes] = field(default_factory=list)  # command lines without their ends
    messages: list[Message] = field(default_factory=list)
    proxy: proxyheader.Header | None = None
    xclient: list[bytes] = field(default_factory=list)
    credentials: list[tuple[bytes, bytes]] = field(default_factory=list)
    tls: str = ""  # protocol version once STARTTLS is through
    left_before_tls: bytes = b""  # sent in the clear behind STARTTLS; dropped
    body_left: bytes = b""  # what there was of a message that did not end
    ended: str = ""  # empty while open: quit, eof, reset, truncated, timeout, stopped, fault, protocol
    closed_at: float = 0.0

    @property
    def verbs(self) -> list[str]:
        return [_verb(line) for line in self.lines]


class Host(Protocol):
    """What a session needs of the sink it belongs to."""

    dialect: Dialect
    keywords: Sequence[str]
    banner: str
    proxy: str
    patience: float
    tls: ssl.SSLContext | None
    stopping: threading.Event

    def strike(self, at: str, line: bytes) -> Fault | None: ...
    def keep(self, message: Message) -> None: ...
    def changed(self) -> None: ...


class Ended(Exception):
    """The dialogue is over; the text is why."""


class Session:
    """Runs the dialogue on *sock*; `run` returns when it is over and the socket is closed."""

    def __init__(self, sock: socket.socket, connection: Connection, host: Host) -> None:
        self._sock = sock
        self._connection = connection
        self._host = host
        self._buffer = bytearray()
        self._helo = False
        self._forget()

    def run(self) -> None:
        self._sock.settimeout(self._host.patience)
        try:
            self._read_proxy_header()
            self._answer("greeting", b"", f"220 {self._host.banner}\r\n".encode())
            while True:
                self._command(self._line())
        except Ended as why:
            self._connection.ended = str(why)
        except TimeoutError:
            self._connection.ended = "timeout"
        except (ConnectionResetError, BrokenPipeError):
            self._connection.ended = "reset"
        except ssl.SSLError:  # the peer stopped without close_notify, or spoke no TLS
            self._connection.ended = "truncated"
        except OSError:  # stop() closed the socket under us
            self._connection.ended = "stopped"
        finally:
            self._sock.close()
            self._connection.ended = self._connection.ended or "crashed"
            self._connection.closed_at = time.monotonic()
            self._host.changed()

    def interrupt(self) -> None:
        """Make `run` return soon; for another thread."""
        with contextlib.suppress(OSError):  # it has just ended by itself
            self._sock.shutdown(socket.SHUT_RDWR)

    # Reading

    def _fill(self, at_most: int = 1 << 16) -> None:
        more = self._sock.recv(at_most)
        if not more:
            raise Ended("stopped" if self._host.stopping.is_set() else "eof")
        self._connection.received += more
        self._connection.reads.append((time.monotonic(), len(more)))
        self._buffer += more
        self._host.changed()

    def _take(self, count: int) -> bytes:
        taken = bytes(self._buffer[:count])
        del self._buffer[:count]
        return taken

    def _line(self) -> bytes:
        scan = 0
        while not (end := self._host.dialect.command_end.search(self._buffer, scan)):
            scan = max(0, len(self._buffer) - 1)
            self._fill()
        line = self._take(end.end())[: end.start()]
        self._connection.lines.append(line)
        self._host.changed()
        return line

    def _read_proxy_header(self) -> None:
        while self._host.proxy:
            try:
                header = proxyheader.read(bytes(self._buffer))
            except ValueError:
                self._finish(b"", reset=False)
                raise Ended("protocol") from None
            if header is not None:
                self._take(len(header.raw))
                self._connection.proxy = header
                return
            self._fill()

    # Answering

    def _say(self, reply: bytes) -> None:
        self._sock.sendall(reply)
        self._connection.sent += reply

    def _answer(self, at: str, line: bytes, usual: bytes) -> bytes:
        """Say *usual*, or what a fault makes of it; return what was said."""
        fault = self._host.strike(at, line)
        if fault is None:
            self._say(usual)
            return usual
        return self._enact(fault, usual)

    def _enact(self, fault: Fault, usual: bytes) -> bytes:
        words = fault.reply or usual
        match fault.what:
            case "reply":
                self._say(words)
            case "close" | "reset":
                self._finish(fault.reply, reset=fault.what == "reset")
                raise Ended("fault")
            case "silent":
                self._say(fault.reply)
                while True:
                    self._fill()
            case "stall":
                self._say(fault.reply)
                self._host.stopping.wait(self._host.patience)
                raise Ended("fault")
            case "late":
                self._pause(fault.seconds)
                self._say(words)
            case "drip":
                for byte in words:
                    self._pause(fault.seconds)
                    self._say(bytes((byte,)))
            case "endless":
                for _ in range(ENDLESS_BYTES // len(words)):
                    self._say(words)
                raise Ended("fault")
            case _:
                raise AssertionError(f"{fault.what} cannot happen at {fault.at}")
        return words

    def _pause(self, seconds: float) -> None:
        if self._host.stopping.wait(seconds):
            raise Ended("stopped")

    def _finish(self, words: bytes, *, reset: bool) -> None:
        """Say *words* and end. A FIN needs the unread bytes drained: closing on top of them would send RST."""
        self._say(words)
        if reset:
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_RESET)
            return
        deadline = time.monotonic() + DRAIN_SECONDS
        with contextlib.suppress(OSError, Ended):
            self._sock.shutdown(socket.SHUT_WR)
            while (left := deadline - time.monotonic()) > 0:
                self._sock.settimeout(left)
                self._fill()

    # The dialogue

    def _forget(self) -> None:
        self._mail: bytes | None = None
        self._rcpt: list[bytes] = []
        self._chunks: bytearray | None = None

    def _command(self, line: bytes) -> None:
        verb = _verb(line)
        handler: Callable[[bytes], None] | None = getattr(self, f"_on_{verb.lower()}", None)
        if handler is None:
            self._answer(verb, line, b"500 5.5.2 command not recognized\r\n")
        else:
            handler(line)

    def _on_ehlo(self, line: bytes) -> None:
        words = [self._host.banner.split()[0], *self._host.keywords]
        if self._host.tls is not None and not self._connection.tls:
            words.append("STARTTLS")
        lines = [f"250{' ' if number == len(words) else '-'}{word}\r\n" for number, word in enumerate(words, 1)]
        if _positive(self._answer("EHLO", line, "".join(lines).encode())):
            self._helo = True
            self._forget()

    def _on_helo(self, line: bytes) -> None:
        if _positive(self._answer("HELO", line, f"250 {self._host.banner.split()[0]}\r\n".encode())):
            self._helo = True
            self._forget()

    def _on_mail(self, line: bytes) -> None:
        if not self._helo or self._mail is not None:
            self._answer("MAIL", line, b"503 5.5.1 MAIL out of order\r\n")
        elif _positive(self._answer("MAIL", line, b"250 2.1.0 sender ok\r\n")):
            self._mail = line

    def _on_rcpt(self, line: bytes) -> None:
        if self._mail is None:
            self._answer("RCPT", line, b"503 5.5.1 RCPT before MAIL\r\n")
        elif _positive(self._answer("RCPT", line, b"250 2.1.5 recipient ok\r\n")):
            self._rcpt.append(line)

    def _on_data(self, line: bytes) -> None:
        if not self._rcpt or self._chunks is not None:
            self._answer("DATA", line, b"503 5.5.1 DATA without RCPT or after BDAT\r\n")
            return
        if not self._answer("DATA", line, b"354 end with a dot on a line of its own\r\n").startswith(b"354"):
            return
        body = Body(self._host.dialect)
        fault = self._host.strike("body", line)
        early = b""
        received = 0
        ended = False
        try:
            while not ended:
                if fault is not None and received >= fault.after_bytes:
                    early, fault = self._enact(fault, b""), None
                    continue
                missing = fault.after_bytes - received if fault is not None else 1 << 16
                if not self._buffer:
                    self._fill(min(missing, 1 << 16))
                part = self._take(missing)
                received += len(part)
                ended = body.feed(part)
        finally:
            if not ended:
                self._connection.body_left = body.raw
        self._buffer[:0] = body.rest
        self._finish_message(body.raw, bytes(body.text), "DATA", early)

    def _on_bdat(self, line: bytes) -> None:
        parts = re.fullmatch(rb"(?i)BDAT ([0-9]{1,10})( LAST)?", line.strip())
        if parts is None:  # how many octets follow is unknown, so nothing after it can be understood
            self._finish(b"501 5.5.4 bad BDAT\r\n", reset=False)
            raise Ended("protocol")
        chunk, early = self._read_chunk(int(parts[1]), line)
        if early:
            self._forget()
        elif not self._rcpt:
            self._answer("BDAT", line, b"503 5.5.1 BDAT without RCPT\r\n")
        else:
            self._take_chunk(chunk, line, last=bool(parts[2]))

    def _take_chunk(self, chunk: bytes, line: bytes, *, last: bool) -> None:
        self._chunks = (self._chunks if self._chunks is not None else bytearray()) + chunk
        if last:
            text = bytes(self._chunks)
            self._finish_message(text, text, "BDAT", b"")
        else:
            self._answer("BDAT", line, b"250 2.0.0 chunk taken\r\n")

    def _read_chunk(self, size: int, line: bytes) -> tuple[bytes, bytes]:
        """Return the octets, and the reply if a fault made one before they were all there."""
        early = b""
        fault = self._host.strike("chunk", line)
        if fault is not None and fault.after_bytes < size:
            while len(self._buffer) < fault.after_bytes:
                self._fill(fault.after_bytes - len(self._buffer))
            early = self._enact(fault, b"")
        while len(self._buffer) < size:
            self._fill(min(size - len(self._buffer), 1 << 16))
        return self._take(size), early

    def _finish_message(self, raw: bytes, text: bytes, via: str, early: bytes) -> None:
        assert self._mail is not None
        message = Message(
            sender=_path(self._mail),
            recipients=[_path(line) for line in self._rcpt],
            raw=raw,
            text=text,
            via=via,
            mail=self._mail,
            rcpt=self._rcpt,
            connection=self._connection.number,
            at=time.monotonic(),
        )
        self._connection.messages.append(message)
        self._forget()
        if early:
            message.reply = early
        else:
            usual = b"250 2.0.0 message taken\r\n"
            fault = self._host.strike("dot", message.mail)
            if fault is None or (fault.what in ("late", "drip") and not fault.reply):
                self._host.keep(message)  # before the 250: what is acknowledged is stored
            if fault is not None:
                message.reply = self._enact(fault, usual)
            else:
                self._say(usual)
                message.reply = usual
        self._host.changed()

    def _on_rset(self, line: bytes) -> None:
        self._forget()
        self._answer("RSET", line, b"250 2.0.0 reset\r\n")

    def _on_noop(self, line: bytes) -> None:
        self._answer("NOOP", line, b"250 2.0.0 ok\r\n")

    def _on_vrfy(self, line: bytes) -> None:
        self._answer("VRFY", line, b"252 2.5.2 send it and see\r\n")

    def _on_quit(self, line: bytes) -> None:
        self._answer("QUIT", line, b"221 2.0.0 bye\r\n")
        if isinstance(self._sock, ssl.SSLSocket):
            self._sock.settimeout(1)
            with contextlib.suppress(OSError):  # the client need not wait for our close_notify
                self._sock.unwrap()
        raise Ended("quit")

    def _on_auth(self, line: bytes) -> None:
        mechanism, _, initial = line[4:].strip().partition(b" ")
        if mechanism.upper() not in (b"PLAIN", b"LOGIN"):
            self._answer("AUTH", line, b"504 5.5.4 mechanism unknown\r\n")
            return
        try:
            if mechanism.upper() == b"PLAIN":
                _, name, password = (_decoded(initial) if initial else self._challenge(line, b"")).split(b"\0")
            else:
                name = _decoded(initial) if initial else self._challenge(line, b"Username:")
                password = self._challenge(line, b"Password:")
        except ValueError:  # "*" gives up; or it is no base64
            self._answer("AUTH", line, b"501 5.5.2 cannot read that\r\n")
            return
        self._connection.credentials.append((name, password))
        self._answer("AUTH", line, b"235 2.7.0 welcome\r\n")

    def _challenge(self, line: bytes, prompt: bytes) -> bytes:
        if not self._answer("challenge", line, b"334 " + base64.b64encode(prompt) + b"\r\n").startswith(b"334"):
            raise Ended("fault")
        return _decoded(self._line())

    def _on_starttls(self, line: bytes) -> None:
        if self._host.tls is None or self._connection.tls:
            self._answer("STARTTLS", line, b"503 5.5.1 no STARTTLS here\r\n")
            return
        self._connection.left_before_tls = bytes(self._buffer)
        self._buffer.clear()
        if not _positive(self._answer("STARTTLS", line, b"220 2.0.0 go ahead\r\n")):
            return
        secure = self._host.tls.wrap_socket(self._sock, server_side=True, suppress_ragged_eofs=False)
        self._sock = secure
        self._connection.tls = secure.version() or ""
        self._helo = False
        self._forget()

    def _on_xclient(self, line: bytes) -> None:
        if not any(keyword.startswith("XCLIENT") for keyword in self._host.keywords):
            self._answer("XCLIENT", line, b"500 5.5.2 command not recognized\r\n")
            return
        self._connection.xclient.append(line)
        if _positive(self._answer("XCLIENT", line, f"220 {self._host.banner}\r\n".encode())):
            self._helo = False  # a new session, greeting included
            self._forget()

    def _on_xforward(self, line: bytes) -> None:
        self._connection.xclient.append(line)
        self._answer("XFORWARD", line, b"250 2.0.0 ok\r\n")


def _verb(line: bytes) -> str:
    return (line.strip().split(None, 1) or [b""])[0].decode("latin-1").upper()


def _path(line: bytes) -> bytes:
    found = re.search(rb"<(.*?)>", line)
    return found[1] if found else line.partition(b":")[2].strip()


def _positive(reply: bytes) -> bool:
    return reply.startswith(b"2")


def _decoded(text: bytes) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        raise ValueError(text) from None
