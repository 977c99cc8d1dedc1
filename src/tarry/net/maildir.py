"""maildir - the embedded MTA: takes every recipient and keeps the mail in a Maildir.

What      aiosmtpd's SMTP server at the other end of a socketpair, behind the same relay path as any MTA, and a handler that stores.
Promises  The 250 comes after the message is on disk: written to tmp, fsync, renamed to new, fsync of the folder. What
          cannot be stored is answered 452 and nothing of it stays. The message is kept as it came, behind the trace
          lines of final delivery (RFC 5321 §4.4): Return-Path, Delivered-To, Received.
Not here  A second SMTP server of our own.
Source    D. J. Bernstein's maildir(5); RFC 5321 §4.4 and §6.1.
Limits    SIZE_LIMIT octets a message, LINE_LIMIT a line: RFC 5321 allows 1,000, and real mail exceeds it.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
import socket
import time
from collections.abc import Callable
from email.utils import formatdate
from pathlib import Path

from aiosmtpd.proxy_protocol import ProxyData
from aiosmtpd.smtp import SMTP, Envelope
from aiosmtpd.smtp import Session as SmtpSession

from tarry.core.client import Client
from tarry.smtp.text import escape

SIZE_LIMIT = 64 * 1024 * 1024
LINE_LIMIT = 64 * 1024
_PROXY_TIMEOUT = 30.0


class _Server(SMTP):
    """aiosmtpd's server, with room for the long lines that real mail has."""

    line_length_limit = LINE_LIMIT

    def eof_received(self) -> bool:
        super().eof_received()
        return False  # close it: nobody else would, where the task that this has called off had not begun


class MaildirConnector:
    """The way to the embedded MTA: a socketpair, so that no port is open beside tarry's own."""

    def __init__(self, path: Path, host_name: str) -> None:
        self._path = path
        self._handler = _Handler(path, host_name)
        self._host_name = host_name
        # aiosmtpd tells of each session at level INFO, and of a client's bytes: the records do that here.
        logging.getLogger("mail.log").setLevel(logging.ERROR)

    @property
    def where(self) -> str:
        return str(self._path)

    async def connect(self, factory: Callable[[], asyncio.Protocol], client: Client | None) -> None:
        """Open a session with the embedded MTA. Raises OSError (EMFILE)."""
        loop = asyncio.get_running_loop()
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        theirs.setblocking(False)
        try:
            # Made to the end whatever becomes of us: where it is called off half way, uvloop (0.23) never tells the server.
            await asyncio.shield(loop.create_task(loop.connect_accepted_socket(self._server, theirs)))
            # Not create_unix_connection: uvloop before 0.23 closes the socket of one that is cancelled, and then we would again.
            await loop.connect_accepted_socket(factory, ours)
        except BaseException:  # cancelled meanwhile, as a rule
            ours.close()  # the server hears of it, and closes its end
            raise

    def _server(self) -> _Server:
        return _Server(
            self._handler,
            data_size_limit=SIZE_LIMIT,
            enable_SMTPUTF8=True,
            hostname=self._host_name,
            ident="tarry",
            proxy_protocol_timeout=_PROXY_TIMEOUT,
            timeout=3600,  # tarry has deadlines of its own
            loop=asyncio.get_running_loop(),
        )


class _Handler:
    """Stores what aiosmtpd received."""

    def __init__(self, path: Path, host_name: str) -> None:
        self._path = path
        self._host_name = host_name

    async def handle_PROXY(self, server: SMTP, session: SmtpSession, envelope: Envelope, proxy: ProxyData) -> bool:
        return True  # tarry itself wrote it

    async def handle_DATA(self, server: SMTP, session: SmtpSession, envelope: Envelope) -> str:
        content = envelope.content
        assert isinstance(content, bytes)
        trace = self._trace(session, envelope)
        try:
            name = await asyncio.get_running_loop().run_in_executor(None, store, self._path, trace + content)
        except OSError as fault:
            # ENOSPC, EDQUOT, EROFS, EACCES, ENOENT: whatever it is, the message is not on disk and the client keeps it.
            return f"452 4.3.1 Cannot store the message now: {os.strerror(fault.errno or 0)}"
        return f"250 2.0.0 Ok: stored as {name}"

    def _trace(self, session: SmtpSession, envelope: Envelope) -> bytes:
        proxy = session.proxy_data
        address = str(proxy.src_addr) if proxy is not None and proxy.src_addr else "unknown"
        literal = f"IPv6:{address}" if ":" in address else address
        helo = escape((session.host_name or "unknown").encode("utf-8", "replace"), 255)
        with_ = "ESMTP" if session.extended_smtp else "SMTP"
        lines = [f"Return-Path: <{_path(envelope.mail_from)}>"]
        lines += [f"Delivered-To: {_path(recipient)}" for recipient in envelope.rcpt_tos]
        lines.append(f"Received: from {helo} ([{literal}])")
        lines.append(f"\tby {self._host_name} (tarry) with {with_}; {formatdate(localtime=True)}")
        return "".join(line + "\r\n" for line in lines).encode("utf-8", "replace")


def store(path: Path, message: bytes) -> str:
    """Put a message into the Maildir at *path*, made where it is missing; return its file name. It is on disk when this returns.

    Raises OSError, and then leaves nothing behind. Not mailbox.Maildir.add: that one does not sync the folder, without
    which a rename may be lost in a crash, and leaves its temporary file when the disk is full.
    """
    prepare(path)
    name = _fresh_name()
    temporary, final = path / "tmp" / name, path / "new" / name
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(fd, "wb", buffering=0) as file:
            view = memoryview(message)
            while view:
                view = view[file.write(view) :]
            os.fsync(fd)
        temporary.rename(final)
        _sync_folder(path / "new")
    except BaseException:
        # Also from new: the client is told 452 and comes again, and a message that stayed would be there twice.
        temporary.unlink(missing_ok=True)
        final.unlink(missing_ok=True)
        raise
    return name


def prepare(path: Path) -> None:
    """Make the folders of the Maildir at *path* where they are missing. Raises OSError."""
    for folder in ("tmp", "new", "cur"):
        (path / folder).mkdir(mode=0o700, parents=True, exist_ok=True)


def _sync_folder(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


_serial = itertools.count(1)


def _fresh_name() -> str:
    """Return a name that no other delivery uses: time, process, a count of this process's own, host (the Maildir convention)."""
    host = socket.gethostname().replace("/", "\\057").replace(":", "\\072")
    seconds, nanoseconds = divmod(time.time_ns(), 1_000_000_000)
    return f"{seconds}.M{nanoseconds // 1000}P{os.getpid()}Q{next(_serial)}.{host}"


def _path(mailbox: str | None) -> str:
    return escape((mailbox or "").encode("utf-8", "surrogateescape"), 320)
