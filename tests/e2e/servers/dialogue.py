"""dialogue - one connection of the sink: the commands, and what it says to them.

What     A small complete SMTP server for one connection: HELO, EHLO, MAIL, RCPT, DATA, BDAT, RSET, NOOP, VRFY, QUIT, AUTH
         PLAIN and LOGIN, STARTTLS, XCLIENT, XFORWARD. Every byte in either direction ends up in a `Connection`.
Not      It judges no address and no size. It is made to be looked into, not to be fast.
"""

import base64
import binascii
import contextlib
import re
import socket
import ssl
import time
from collections.abc import Callable

from tests.e2e.servers import proxyheader
from tests.e2e.servers.dialect import Body
from tests.e2e.servers.recorded import Connection, Message, verb
from tests.e2e.servers.wire import Ended, Host, Wire


class Session:
    """Runs the dialogue on *sock*; `run` returns when it is over and the socket is closed."""

    def __init__(self, sock: socket.socket, connection: Connection, host: Host) -> None:
        self._wire = Wire(sock, connection, host)
        self._connection = connection
        self._host = host
        self._helo = False
        self._forget()

    def run(self) -> None:
        self._wire.sock.settimeout(self._host.patience)
        try:
            self._read_proxy_header()
            self._wire.answer("greeting", b"", f"220 {self._host.banner}\r\n".encode())
            while True:
                self._command(self._wire.line())
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
            self._wire.sock.close()
            self._connection.ended = self._connection.ended or "crashed"
            self._connection.closed_at = time.monotonic()
            self._host.changed()

    def interrupt(self) -> None:
        """Make `run` return soon; for another thread."""
        with contextlib.suppress(OSError):  # it has just ended by itself
            self._wire.sock.shutdown(socket.SHUT_RDWR)

    def _read_proxy_header(self) -> None:
        while self._host.proxy:
            try:
                header = proxyheader.read(bytes(self._wire.buffer))
            except ValueError:
                self._wire.finish(b"", reset=False)
                raise Ended("protocol") from None
            if header is not None:
                self._wire.take(len(header.raw))
                self._connection.proxy = header
                return
            self._wire.fill()

    def _forget(self) -> None:
        self._mail: bytes | None = None
        self._rcpt: list[bytes] = []
        self._chunks: bytearray | None = None

    def _command(self, line: bytes) -> None:
        word = verb(line)
        handler: Callable[[bytes], None] | None = getattr(self, f"_on_{word.lower()}", None)
        if handler is None:
            self._wire.answer(word, line, b"500 5.5.2 command not recognized\r\n")
        else:
            handler(line)

    def _on_ehlo(self, line: bytes) -> None:
        words = [self._host.banner.split()[0], *self._host.keywords]
        if self._host.tls is not None and not self._connection.tls:
            words.append("STARTTLS")
        lines = [f"250{' ' if number == len(words) else '-'}{word}\r\n" for number, word in enumerate(words, 1)]
        if _positive(self._wire.answer("EHLO", line, "".join(lines).encode())):
            self._helo = True
            self._forget()

    def _on_helo(self, line: bytes) -> None:
        if _positive(self._wire.answer("HELO", line, f"250 {self._host.banner.split()[0]}\r\n".encode())):
            self._helo = True
            self._forget()

    def _on_mail(self, line: bytes) -> None:
        if not self._helo or self._mail is not None:
            self._wire.answer("MAIL", line, b"503 5.5.1 MAIL out of order\r\n")
        elif _positive(self._wire.answer("MAIL", line, b"250 2.1.0 sender ok\r\n")):
            self._mail = line

    def _on_rcpt(self, line: bytes) -> None:
        if self._mail is None:
            self._wire.answer("RCPT", line, b"503 5.5.1 RCPT before MAIL\r\n")
        elif _positive(self._wire.answer("RCPT", line, b"250 2.1.5 recipient ok\r\n")):
            self._rcpt.append(line)

    def _on_data(self, line: bytes) -> None:
        if not self._rcpt or self._chunks is not None:
            self._wire.answer("DATA", line, b"503 5.5.1 DATA without RCPT or after BDAT\r\n")
            return
        if not self._wire.answer("DATA", line, b"354 end with a dot on a line of its own\r\n").startswith(b"354"):
            return
        body = Body(self._host.dialect)
        fault = self._host.strike("body", line)
        early = b""
        received = 0
        ended = False
        try:
            while not ended:
                if fault is not None and received >= fault.after_bytes:
                    early, fault = self._wire.enact(fault, b""), None
                    continue
                missing = fault.after_bytes - received if fault is not None else 1 << 16
                if not self._wire.buffer:
                    self._wire.fill(min(missing, 1 << 16))
                part = self._wire.take(missing)
                received += len(part)
                ended = body.feed(part)
        finally:
            if not ended:
                self._connection.body_left = body.raw
        self._wire.buffer[:0] = body.rest
        self._finish_message(body.raw, bytes(body.text), "DATA", early)

    def _on_bdat(self, line: bytes) -> None:
        parts = re.fullmatch(rb"(?i)BDAT ([0-9]{1,10})( LAST)?", line.strip())
        if parts is None:  # how many octets follow is unknown, so nothing after it can be understood
            self._wire.finish(b"501 5.5.4 bad BDAT\r\n", reset=False)
            raise Ended("protocol")
        chunk, early = self._read_chunk(int(parts[1]), line)
        if early:
            self._forget()
        elif not self._rcpt:
            self._wire.answer("BDAT", line, b"503 5.5.1 BDAT without RCPT\r\n")
        else:
            self._take_chunk(chunk, line, last=bool(parts[2]))

    def _take_chunk(self, chunk: bytes, line: bytes, *, last: bool) -> None:
        self._chunks = (self._chunks if self._chunks is not None else bytearray()) + chunk
        if last:
            text = bytes(self._chunks)
            self._finish_message(text, text, "BDAT", b"")
        else:
            self._wire.answer("BDAT", line, b"250 2.0.0 chunk taken\r\n")

    def _read_chunk(self, size: int, line: bytes) -> tuple[bytes, bytes]:
        """Return the octets, and the reply if a fault made one before they were all there."""
        early = b""
        fault = self._host.strike("chunk", line)
        if fault is not None and fault.after_bytes < size:
            while len(self._wire.buffer) < fault.after_bytes:
                self._wire.fill(fault.after_bytes - len(self._wire.buffer))
            early = self._wire.enact(fault, b"")
        while len(self._wire.buffer) < size:
            self._wire.fill(min(size - len(self._wire.buffer), 1 << 16))
        return self._wire.take(size), early

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
            usual = self._wire.marked(b"250 2.0.0 message taken\r\n", raw)
            fault = self._host.strike("dot", message.mail)
            if fault is None or (fault.what in ("late", "drip") and not fault.reply):
                self._host.keep(message)  # before the 250: what is acknowledged is stored
            if fault is not None:
                message.reply = self._wire.enact(fault, usual)
            else:
                self._wire.say(usual)
                message.reply = usual
        self._host.changed()

    def _on_rset(self, line: bytes) -> None:
        self._forget()
        self._wire.answer("RSET", line, b"250 2.0.0 reset\r\n")

    def _on_noop(self, line: bytes) -> None:
        self._wire.answer("NOOP", line, b"250 2.0.0 ok\r\n")

    def _on_vrfy(self, line: bytes) -> None:
        self._wire.answer("VRFY", line, b"252 2.5.2 send it and see\r\n")

    def _on_quit(self, line: bytes) -> None:
        self._wire.answer("QUIT", line, b"221 2.0.0 bye\r\n")
        if isinstance(self._wire.sock, ssl.SSLSocket):
            self._wire.sock.settimeout(1)
            # The client need not wait for our close_notify. ValueError: interrupt has taken the TLS off meanwhile.
            with contextlib.suppress(OSError, ValueError):
                self._wire.sock.unwrap()
        raise Ended("quit")

    def _on_auth(self, line: bytes) -> None:
        mechanism, _, initial = line[4:].strip().partition(b" ")
        if mechanism.upper() not in (b"PLAIN", b"LOGIN"):
            self._wire.answer("AUTH", line, b"504 5.5.4 mechanism unknown\r\n")
            return
        try:
            if mechanism.upper() == b"PLAIN":
                _, name, password = (_decoded(initial) if initial else self._challenge(line, b"")).split(b"\0")
            else:
                name = _decoded(initial) if initial else self._challenge(line, b"Username:")
                password = self._challenge(line, b"Password:")
        except ValueError:  # "*" gives up; or it is no base64
            self._wire.answer("AUTH", line, b"501 5.5.2 cannot read that\r\n")
            return
        self._connection.credentials.append((name, password))
        self._wire.answer("AUTH", line, b"235 2.7.0 welcome\r\n")

    def _challenge(self, line: bytes, prompt: bytes) -> bytes:
        if not self._wire.answer("challenge", line, b"334 " + base64.b64encode(prompt) + b"\r\n").startswith(b"334"):
            raise Ended("fault")
        return _decoded(self._wire.line())

    def _on_starttls(self, line: bytes) -> None:
        if self._host.tls is None or self._connection.tls:
            self._wire.answer("STARTTLS", line, b"503 5.5.1 no STARTTLS here\r\n")
            return
        self._connection.left_before_tls = bytes(self._wire.buffer)
        self._wire.buffer.clear()
        if not _positive(self._wire.answer("STARTTLS", line, b"220 2.0.0 go ahead\r\n")):
            return
        secure = self._host.tls.wrap_socket(self._wire.sock, server_side=True, suppress_ragged_eofs=False)
        self._wire.sock = secure
        self._connection.tls = secure.version() or ""
        self._helo = False
        self._forget()

    def _on_xclient(self, line: bytes) -> None:
        if not any(keyword.startswith("XCLIENT") for keyword in self._host.keywords):
            self._wire.answer("XCLIENT", line, b"500 5.5.2 command not recognized\r\n")
            return
        self._connection.xclient.append(line)
        if _positive(self._wire.answer("XCLIENT", line, f"220 {self._host.banner}\r\n".encode())):
            self._helo = False  # a new session, greeting included
            self._forget()

    def _on_xforward(self, line: bytes) -> None:
        self._connection.xclient.append(line)
        self._wire.answer("XFORWARD", line, b"250 2.0.0 ok\r\n")


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
