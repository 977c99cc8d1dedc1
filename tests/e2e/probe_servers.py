"""Small real servers for the probe: one that believes everything, one that holds, one that is mute, one that resets."""

import asyncio
import contextlib
import ipaddress
import socket
import struct
import time
from collections.abc import AsyncIterator, Awaitable, Callable

from aiosmtpd.smtp import SMTP, Envelope, Session

from tarry.probe.habits import habits
from tarry.probe.play import play
from tarry.probe.steps import Options
from tarry.probe.target import Address, Endpoint
from tarry.probe.trace import Seconds, Trace

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
HOLD = 0.5
LOOPBACK = ipaddress.ip_address("127.0.0.1")


class Mailbox:
    """What the naive server stores."""

    def __init__(self) -> None:
        self.stored: list[bytes] = []

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        assert isinstance(envelope.content, bytes)
        self.stored.append(envelope.content)
        return "250 OK"


@contextlib.asynccontextmanager
async def naive(mailbox: Mailbox) -> AsyncIterator[Endpoint]:
    server = await asyncio.get_running_loop().create_server(lambda: SMTP(mailbox, hostname="naive.example"), "127.0.0.1", 0)
    async with server:
        yield Endpoint(LOOPBACK, server.sockets[0].getsockname()[1])


@contextlib.asynccontextmanager
async def serving(handler: Handler) -> AsyncIterator[Endpoint]:
    async def guarded(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
                await handler(reader, writer)
        finally:
            writer.close()

    server = await asyncio.start_server(guarded, "127.0.0.1", 0)
    async with server:
        yield Endpoint(LOOPBACK, server.sockets[0].getsockname()[1])


async def holding(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Hold for half a second; refuse who talks meanwhile, and let the refusal arrive; then be a plain strict server."""
    held_until = time.monotonic() + HOLD
    try:
        early = await asyncio.wait_for(reader.read(1), HOLD)
    except TimeoutError:
        early = b""
    if early:
        writer.write(b"521 5.5.1 hold.example you talked before the greeting\r\n")
        writer.write_eof()
        await asyncio.wait_for(reader.read(), 1)
        return
    await asyncio.sleep(held_until - time.monotonic())  # a half-closed client is still held
    writer.write(b"220 hold.example ESMTP\r\n")
    while verb := (await reader.readuntil(b"\r\n"))[:4].strip().upper():
        match verb:
            case b"DATA":
                writer.write(b"354 go on\r\n")
                await reader.readuntil(b"\r\n.\r\n")
                writer.write(b"250 2.0.0 stored\r\n")
            case b"EHLO" | b"HELO" | b"MAIL" | b"RCPT" | b"RSET":
                writer.write(b"250 2.0.0 ok\r\n")
            case b"QUIT":
                writer.write(b"221 2.0.0 bye\r\n")
                return
            case _:
                writer.write(b"521 5.5.2 this is no SMTP\r\n")
                return


async def mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Never say anything."""
    await reader.read()
    await asyncio.Event().wait()


async def resetting(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Refuse, and reset the connection before the client can have said all."""
    await reader.read(1)
    writer.write(b"554 go away\r\n")
    await asyncio.sleep(0.1)
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer for ever."""
    while True:
        writer.write(b"500 no\r\n" * 100)
        await writer.drain()


async def one(name: str, endpoint: Endpoint, timeout: float = 10, source: Address | None = None) -> Trace:
    habit = next(habit for habit in habits(Options()) if habit.name == name)
    return await play(habit, [endpoint], clock=time.monotonic, timeout=Seconds(timeout), source=source)
