"""Connections that the MTA's kernel has forgotten: a full accept queue drops the last packet of a handshake."""

import asyncio
import contextlib
import socket
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.e2e.servers.tarpitted import reply_code
from tests.e2e.servers.tarry import Tarry
from tests.e2e.servers.wire import LINGER_RESET

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

QUEUE = 10
OTHERS = 60
"""Connections that are begun together with tarry's, so that all of their packets are sent again at the same moment."""
CLIENTS = 8
STEP = 2.5, 1.0
"""Seconds until the MTA takes those who wait in its queue, and until it goes on: the kernel sends a SYN again after 1 and 3 s, or
after 1, 2 and 3, and all of those that come after 3 s are answered where there is room for a few."""
LONGEST = 20.0
"""More than the steps, and less than limits.backend, after which those who were lost get 421."""


class Mta:
    """An MTA with a short accept queue; between `stand_still` and `go_on` it accepts nobody by itself.

    While `disowns` is above 0 it counts down with each connection, which is not greeted and is reset after more than a second,
    as a kernel does that has forgotten it and is asked.
    """

    def __init__(self) -> None:
        self.disowns = 0
        self._listening = socket.create_server(("127.0.0.1", 0), backlog=QUEUE)
        self._listening.setblocking(False)
        self.port: int = self._listening.getsockname()[1]
        self._accepting: asyncio.Task[None] | None = None
        self._sessions: list[asyncio.Task[None]] = []

    def go_on(self) -> None:
        self._accepting = asyncio.create_task(self._accept())

    async def stand_still(self) -> None:
        assert self._accepting is not None
        self._accepting.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._accepting

    def take_those_who_wait(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while True:
                self._greet(self._listening.accept()[0])

    async def end(self) -> None:
        await self.stand_still()
        for session in self._sessions:
            session.cancel()
        await asyncio.gather(*self._sessions, return_exceptions=True)
        self._listening.close()

    async def _accept(self) -> None:
        while True:
            self._greet((await asyncio.get_running_loop().sock_accept(self._listening))[0])

    def _greet(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self._sessions.append(asyncio.create_task(self._serve(sock)))

    async def _serve(self, sock: socket.socket) -> None:
        reader, writer = await asyncio.open_connection(sock=sock)
        with contextlib.suppress(ConnectionError), contextlib.closing(writer):
            if self.disowns > 0:
                self.disowns -= 1
                await asyncio.sleep(1.2)
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_RESET)
                return
            writer.write(b"220 mta.example ESMTP\r\n")
            while line := await reader.readline():
                writer.write(b"221 bye\r\n" if line.startswith(b"QUIT") else b"250 ok\r\n")


async def _client(port: int, ready: asyncio.Barrier) -> int:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    with contextlib.closing(writer):
        await reply_code(reader)
        await ready.wait()  # the MTA may stand still now
        await ready.wait()  # it does
        writer.write(b"HELO client.example\r\n")
        await reply_code(reader)
        writer.write(b"MAIL FROM:<sender@client.example>\r\n")
        return await reply_code(reader)


def _begin(port: int) -> socket.socket:
    sock = socket.socket()
    sock.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        sock.connect(("127.0.0.1", port))
    return sock


@contextlib.asynccontextmanager
async def _tarry(backend: int) -> AsyncIterator[Tarry]:
    with ThreadPoolExecutor(1) as aside:  # while it starts and stops it asks the MTA, which is in this loop
        loop = asyncio.get_running_loop()
        tarry = Tarry(backend=backend, wait="0s")
        await loop.run_in_executor(aside, tarry.__enter__)
        try:
            yield tarry
        finally:
            await loop.run_in_executor(aside, tarry.__exit__, None, None, None)


async def _crowd(port: int, mta: Mta) -> Counter[int]:
    """All come while it accepts nobody, with many others."""
    ready = asyncio.Barrier(CLIENTS + 1)
    with contextlib.ExitStack() as others:
        clients = [asyncio.create_task(_client(port, ready)) for _ in range(CLIENTS)]
        await ready.wait()
        await mta.stand_still()
        for _ in range(OTHERS):
            others.enter_context(_begin(mta.port))
        await ready.wait()
        await asyncio.sleep(STEP[0])
        mta.take_those_who_wait()
        await asyncio.sleep(STEP[1])
        mta.go_on()
        return Counter(await asyncio.gather(*clients))


async def _disowned(port: int, mta: Mta) -> Counter[int]:
    """The first connection of each is disowned."""
    ready = asyncio.Barrier(CLIENTS + 1)
    clients = [asyncio.create_task(_client(port, ready)) for _ in range(CLIENTS)]
    await ready.wait()
    mta.disowns = CLIENTS
    await ready.wait()
    return Counter(await asyncio.gather(*clients))


async def _at(meeting: Callable[[int, Mta], Awaitable[Counter[int]]]) -> Counter[int]:
    mta = Mta()
    mta.go_on()
    async with _tarry(mta.port) as tarry:
        async with asyncio.timeout(LONGEST):
            told = await meeting(tarry.port, mta)
        await mta.end()
        return told


def test_a_forgotten_connection_is_found() -> None:
    """Tarry's connections are among many to an MTA that stood still: those that its kernel lost are found, and all are served."""
    assert {250: CLIENTS} == asyncio.run(_at(_crowd))


def test_a_disowned_connection_is_opened_again() -> None:
    """The MTA's kernel, asked, resets a connection that it does not know: the client waits a moment longer and is served."""
    assert {250: CLIENTS} == asyncio.run(_at(_disowned))
