"""tls_transport - a client's connection inside TLS, as a transport over its transport.

What      The TLS of one connection over two memory buffers (`ssl.MemoryBIO`). The session writes to a `TlsTransport` and is told
          by it as by any other; below it is the socket's own transport, of asyncio or uvloop.
Promises  From `begin` on nothing that comes is clear text to anyone: the protocol below is changed in the same turn of the
          loop, so that there is no moment between the 220 and the handshake in which a byte could be taken for a command
          or a ClientHello be lost. What comes behind the client's close_notify is never read. A fault of the
          client is told to it as an alert. Nothing a client does raises.
          `write_eof` is a half-close: the last words, close_notify and a FIN go out, and what the client still sends is
          thrown away within bounds, so that no reset destroys them.
Why       Not `loop.start_tls`: its transport cannot half-close, takes unread input at the end for an error and resets the
          connection under the last reply, keeps a failed handshake's alert to itself (3.11), and has a buffer of 256 KiB a
          connection, which a crowd of held clients would fill 2.5 GB with.
Not here  Deadlines, and what the handshake means (core/starttls, net/smtps).
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from enum import Enum
from typing import Any, cast

from tarry.core.starttls import Established
from tarry.net import linger
from tarry.net.tls import said
from tarry.smtp.client_hello import MOST, server_name
from tarry.smtp.text import escape

_RECORD = 16384
"""Octets of plain text in a TLS record, at most: what one `read` gives."""


class _Stage(Enum):
    HANDSHAKE = "handshake"
    OPEN = "open"
    SHUT = "shut"


class TlsTransport(asyncio.Transport):
    """The inside of one client's TLS. *app* is told what comes; exactly one of *on_established* and *on_failed* is called, or
    none where the connection ends before."""

    def __init__(
        self,
        context: ssl.SSLContext,
        app: asyncio.BaseProtocol,
        *,
        on_established: Callable[[Established], None],
        on_failed: Callable[[str], None],
    ) -> None:
        super().__init__()
        self._app = cast(asyncio.Protocol, app)
        self._on_established = on_established
        self._on_failed = on_failed
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._stage = _Stage.HANDSHAKE
        self._hello = b""
        self._drained = 0
        self._below: asyncio.Transport | None = None
        self.established: Established | None = None

    def begin(self, below: asyncio.Transport) -> None:
        """Take over the connection: what comes from now on is TLS."""
        self._below = below
        below.set_protocol(TlsSide(self))

    # What the socket's transport tells.

    def below_made(self, below: asyncio.Transport) -> None:
        self._below = below
        if self._stage is _Stage.SHUT:
            below.abort()  # it was given up before its transport was made

    def received(self, data: bytes) -> None:
        match self._stage:
            case _Stage.HANDSHAKE:
                self._incoming.write(data)
                self._shake_hands(data)
            case _Stage.OPEN:
                self._incoming.write(data)
                self._read()
            case _Stage.SHUT:
                self._drained += len(data)
                if self._drained > linger.MOST:
                    self.abort()

    def eof(self) -> None:
        """A FIN: inside TLS it is the end, as close_notify is, and never a half-close."""
        if self._stage is not _Stage.SHUT:
            self._app.eof_received()
            self.close()

    def lost(self, exc: Exception | None) -> None:
        self._stage = _Stage.SHUT
        self._below = None
        self._app.connection_lost(exc)

    def writable(self, yes: bool) -> None:
        if yes:
            self._app.resume_writing()
        else:
            self._app.pause_writing()

    # What the session asks for.

    def write(self, data: Any) -> None:
        if self._stage is not _Stage.OPEN or not data:
            return
        view = memoryview(data)
        try:
            while view:
                view = view[self._tls.write(view) :]
        except ssl.SSLError:
            self.abort()  # the client broke the protocol in what came last, and OpenSSL will say no more
            return
        self._flush()

    def write_eof(self) -> None:
        self._shut()
        below = self._below
        if below is not None and below.can_write_eof() and not below.is_closing():
            below.write_eof()

    def can_write_eof(self) -> bool:
        return True

    def close(self) -> None:
        self._shut()
        if self._below is not None:
            self._below.close()

    def abort(self) -> None:
        self._stage = _Stage.SHUT
        if self._below is not None:
            self._below.abort()

    def is_closing(self) -> bool:
        return self._below is None or self._below.is_closing()

    def pause_reading(self) -> None:
        if self._below is not None:
            self._below.pause_reading()

    def resume_reading(self) -> None:
        if self._below is not None:
            self._below.resume_reading()

    def get_write_buffer_size(self) -> int:
        return self._below.get_write_buffer_size() if self._below is not None else 0

    def get_protocol(self) -> asyncio.BaseProtocol:
        return self._app

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._app = cast(asyncio.Protocol, protocol)

    # TLS.

    def _shake_hands(self, data: bytes) -> None:
        if len(self._hello) < MOST:
            self._hello += data[: MOST - len(self._hello)]
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            self._flush()
            return
        except ssl.SSLError as fault:
            self._stage = _Stage.SHUT
            self._flush()  # the alert
            self._on_failed(said(fault.reason))
            return
        self._stage = _Stage.OPEN
        self._flush()
        cipher = self._tls.cipher()
        sni = escape(server_name(self._hello))
        self._hello = b""
        self.established = Established(self._tls.version() or "", cipher[0] if cipher else "", sni)
        self._on_established(self.established)
        self._read()  # a client may put its first command behind the end of the handshake

    def _read(self) -> None:
        pieces, is_over, is_broken = [], False, False
        try:
            while self._stage is _Stage.OPEN and (piece := self._tls.read(_RECORD)):
                pieces.append(piece)
            is_over = True  # close_notify, for which OpenSSL gives nothing
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLError:
            is_broken = True  # clear text, a record that was tampered with, an alert
        self._flush()
        if pieces:
            self._app.data_received(b"".join(pieces))
        if self._stage is not _Stage.OPEN:
            return
        if is_broken:
            self.abort()
        elif is_over:
            self.eof()

    def _shut(self) -> None:
        """Say close_notify, if there is anything to close; from then on what comes is not looked at."""
        if self._stage is _Stage.OPEN:
            try:
                self._tls.unwrap()
            except ssl.SSLError:
                pass  # it would wait for the client's own, or stumbles over what lies before it: ours is written either way
            self._flush()
        self._stage = _Stage.SHUT

    def _flush(self) -> None:
        if self._outgoing.pending:
            data = self._outgoing.read()
            if self._below is not None:
                self._below.write(data)


class TlsSide(asyncio.Protocol):
    """The socket's transport tells the TLS over it."""

    __slots__ = ("_over",)

    def __init__(self, over: TlsTransport) -> None:
        self._over = over

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._over.below_made(cast(asyncio.Transport, transport))  # uvloop's are not subclasses

    def data_received(self, data: bytes) -> None:
        self._over.received(data)

    def eof_received(self) -> bool:
        self._over.eof()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._over.lost(exc)

    def pause_writing(self) -> None:
        self._over.writable(False)

    def resume_writing(self) -> None:
        self._over.writable(True)
