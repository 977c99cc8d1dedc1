"""resp - a server that speaks as much of Redis' protocol as a test wants, to say what real ones say too seldom."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

Reply = bytes | None
Answer = Callable[[list[str]], Reply]
"""What to reply to a command: octets; nothing, for ever (None); or b"" to end the connection."""


class Resp:
    """The server, and what it was asked: each command as a list of words."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.asked: list[list[str]] = []
        self.port = 0
        self.connections = 0
        self.writers: list[asyncio.StreamWriter] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.writers.append(writer)
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            while line := await reader.readline():
                words = []
                for _ in range(int(line[1:])):
                    length = int((await reader.readline())[1:])
                    words.append((await reader.readexactly(length + 2))[:-2].decode(errors="replace"))
                self.asked.append(words)
                reply = self.answer(words)
                if reply == b"":
                    break
                if reply is not None:
                    writer.write(reply)
                    await writer.drain()
        writer.close()

    async def end(self) -> None:
        """End every connection."""
        for writer in self.writers:
            writer.close()
            with suppress(ConnectionError, OSError):
                await writer.wait_closed()


@asynccontextmanager
async def resp(answer: Answer) -> AsyncIterator[Resp]:
    """Serve on a port of loopback."""
    made = Resp(answer)
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.port = server.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        server.close()
        await made.end()
