"""clients - SMTP clients that people use, and one that sends any bytes.

What     `swaks`, `curl`, `msmtp` and `submit` (smtplib) send a message to a loopback port and tell how it went. `RawClient`
         is a blocking socket that sends what it is told, cut as it is told, and notes when each reply came.
Promise  No client waits longer than its timeout. None reads the user's own configuration.
"""

import fcntl
import re
import smtplib
import socket
import ssl
import struct
import subprocess
import termios
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.e2e.servers import certificate

TIMEOUT = 30.0
LONGEST_REPLY = 1 << 20  # bytes without a line end; more is a server that never stops
SENDER = "sender@client.example"
RECIPIENT = "alice@example.org"
MESSAGE = b"From: <sender@client.example>\r\nTo: <alice@example.org>\r\nSubject: hello\r\n\r\nHello.\r\n"


@dataclass(frozen=True, slots=True)
class Ran:
    """How a client program ended; *output* is its stdout and stderr, for swaks and curl the dialogue too."""

    status: int
    output: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Reply:
    """One reply. *raw* is as received; *at* is time.monotonic() when its last byte was read."""

    code: int
    lines: tuple[bytes, ...]
    raw: bytes
    at: float

    @property
    def text(self) -> bytes:
        return b"\n".join(self.lines)

    @property
    def id(self) -> str:
        """The session's id, with which every refusal of tarry ends; "" where there is none."""
        found = re.search(rb"\[([0-9A-F]+-[0-9A-F]+)\]$", self.lines[-1])
        return found[1].decode() if found else ""


def swaks(port: int, *arguments: str, sender: str = SENDER, recipient: str = RECIPIENT, message: bytes = MESSAGE) -> Ran:
    """Send with swaks; *arguments* are its options, such as `--pipeline` or `-tls`."""
    route = ("--server", "127.0.0.1", "--port", str(port), "--from", sender, "--to", recipient, "--timeout", f"{TIMEOUT:.0f}s")
    return run("swaks", "--no-info-hints", *route, "--data", "-", *arguments, given=message)


def curl(port: int, *arguments: str, sender: str = SENDER, recipient: str = RECIPIENT, message: bytes = MESSAGE) -> Ran:
    """Send with curl."""
    route = ("--mail-from", sender, "--mail-rcpt", recipient, "--max-time", str(TIMEOUT), f"smtp://127.0.0.1:{port}/client.example")
    return run("curl", "-q", "--silent", "--show-error", "--verbose", *route, "--upload-file", "-", *arguments, given=message)


def msmtp(port: int, *arguments: str, sender: str = SENDER, recipient: str = RECIPIENT, message: bytes = MESSAGE) -> Ran:
    """Send with msmtp, which wants its message with LF line ends."""
    options = ("--file=/dev/null", "--host=127.0.0.1", f"--port={port}", f"--from={sender}", f"--timeout={TIMEOUT:.0f}", "--debug")
    return run("msmtp", *options, *arguments, "--", recipient, given=message.replace(b"\r\n", b"\n"))


def submit(
    port: int,
    message: bytes = MESSAGE,
    *,
    sender: str = SENDER,
    recipients: Sequence[str] = (RECIPIENT,),
    host: str = "127.0.0.1",
    source: str | None = None,
) -> dict[str, tuple[int, bytes]]:
    """Send with smtplib; return the refused recipients. Raises smtplib.SMTPException when none was taken."""
    bound = (source, 0) if source else None
    with smtplib.SMTP(host, port, local_hostname="client.example", timeout=TIMEOUT, source_address=bound) as client:
        return client.sendmail(sender, list(recipients), message)


class RawClient:
    """A client that sends any bytes at any time; a context manager.

    *source* is the loopback address to come from, such as 127.9.8.7. `replies` are all that were read, `received` all bytes.
    """

    def __init__(self, port: int, host: str = "127.0.0.1", *, source: str | None = None, timeout: float = 10.0) -> None:
        # Before, not after: the server may accept while this thread waits for a processor, and must not seem to be early.
        self.connected_at = time.monotonic()
        self.sock: socket.socket = socket.create_connection((host, port), timeout, (source, 0) if source else None)
        # Small writes go out as they are made; Nagle would glue them together again.
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.replies: list[Reply] = []
        self.received = bytearray()
        self._buffer = bytearray()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    @property
    def address(self) -> tuple[str, int]:
        """This end of the connection."""
        name = self.sock.getsockname()
        return name[0], name[1]

    def send(self, data: bytes, *, cut_every: int | None = None, pause: float = 0.0) -> None:
        """Send *data*, in writes of *cut_every* bytes with *pause* seconds between them."""
        for start in range(0, len(data), cut_every or max(1, len(data))):
            if start and pause:
                time.sleep(pause)
            self.sock.sendall(data[start : start + (cut_every or len(data))])

    def has_arrived(self, deadline: float) -> bool:
        """Say whether all that was sent has come to the server's kernel by *deadline*, a time.monotonic(): waits until then for it.

        A busy machine delivers late even over loopback.
        """
        while time.monotonic() < deadline:
            unacknowledged = struct.unpack("i", fcntl.ioctl(self.sock, termios.TIOCOUTQ, bytes(4)))[0]
            if not unacknowledged:
                return time.monotonic() < deadline
        return False

    def read_reply(self, timeout: float | None = None) -> Reply:
        """Return the next reply. Raises ConnectionError when the server closes first, TimeoutError when it is too slow."""
        lines: list[bytes] = []
        while not lines or lines[-1][3:4] == b"-":
            while (end := self._buffer.find(b"\n")) < 0:
                if len(self._buffer) > LONGEST_REPLY or not self._fill(timeout):
                    raise ConnectionError(f"closed, or no end, after {len(self._buffer)} bytes: {bytes(self._buffer[:200])!r}")
            lines.append(bytes(self._buffer[: end + 1]))
            del self._buffer[: end + 1]
        code = int(lines[-1][:3]) if re.match(rb"[0-9]{3}", lines[-1]) else 0
        reply = Reply(code, tuple(line[4:].rstrip(b"\r\n") for line in lines), b"".join(lines), time.monotonic())
        self.replies.append(reply)
        return reply

    def command(self, line: bytes, *, timeout: float | None = None) -> Reply:
        """Send one command line and return the reply to it."""
        self.send(line + b"\r\n")
        return self.read_reply(timeout)

    def greeted(self, hello: bytes = b"EHLO client.example") -> Reply:
        """Read the greeting, say hello, return the reply to that."""
        self.read_reply()
        return self.command(hello)

    def envelope(self, sender: str = SENDER, *recipients: str) -> list[int]:
        """Say MAIL, and RCPT for each recipient; return the codes."""
        lines = [f"MAIL FROM:<{sender}>", *(f"RCPT TO:<{each}>" for each in recipients or (RECIPIENT,))]
        return [self.command(line.encode()).code for line in lines]

    def read_until_closed(self, timeout: float | None = None) -> bytes:
        """Return what comes until the server closes, by FIN or RST. Raises TimeoutError if it does not."""
        try:
            while self._fill(timeout):
                pass
        except (ConnectionResetError, BrokenPipeError):
            pass
        left = bytes(self._buffer)
        self._buffer.clear()
        return left

    def read_for(self, seconds: float) -> bytes:
        """Return what comes within *seconds*, for tests that nothing does."""
        deadline = time.monotonic() + seconds
        try:
            while (left := deadline - time.monotonic()) > 0 and self._fill(left):
                pass
        except TimeoutError:
            pass
        got = bytes(self._buffer)
        self._buffer.clear()
        return got

    def start_tls(self, trusted: Path | None = None) -> None:
        """Begin the TLS handshake now; the reply to STARTTLS is the caller's to read."""
        self.sock = certificate.client_context(trusted).wrap_socket(self.sock, server_hostname="localhost")

    def half_close(self) -> None:
        """Send FIN and go on reading."""
        self.sock.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        """End with RST."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def close(self) -> None:
        self.sock.close()

    def _fill(self, timeout: float | None) -> bool:
        before = self.sock.gettimeout()
        if timeout is not None:
            self.sock.settimeout(timeout)
        try:
            more = self.sock.recv(1 << 16)
        except ssl.SSLEOFError:
            more = b""
        finally:
            self.sock.settimeout(before)
        self.received += more
        self._buffer += more
        return bool(more)


def run(*command: str, given: bytes) -> Ran:
    """Run a client program with *given* on its stdin."""
    began = time.monotonic()
    done = subprocess.run(command, input=given, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=TIMEOUT + 10, check=False)
    return Ran(done.returncode, done.stdout.decode(errors="backslashreplace"), time.monotonic() - began)
