"""load - the clients of the model, as real connections on loopback, and a sink for their mail.

What     `Load` opens connections at a rate, by Poisson, each of a kind and from an address of its own in 127.0.0.0/8 whose second
         octet tells the kind, so that the log can be read by kind. ``python -m scale.load PORT`` is the sink: it takes all mail.
Bounds   No client lives longer than `LONGEST`, and only 127.0.0.1 is ever connected to.
"""

from __future__ import annotations

import asyncio
import random
import sys
from collections import Counter
from contextlib import suppress

from scale.fluid import KINDS, Model
from scale.times import GIVE_UP, LEAVE, SESSION, SPAM_SESSION, TALK

LONGEST = 120.0
SECOND_OCTETS = {"early": 10, "impatient": 20, "patient": 30, "good": 40}
_EHLO = b"250-sink\r\n250-PIPELINING\r\n250 8BITMIME\r\n"
_REPLIES = {b"EHLO": _EHLO, b"DATA": b"354 go on\r\n", b"QUIT": b"221 bye\r\n"}
_ENVELOPE = b"MAIL FROM:<sender@client.example>\r\n", b"RCPT TO:<user@example.com>\r\n", b"DATA\r\n"


def message(kilobytes: float) -> bytes:
    """Return a message of about that size, with its final dot."""
    head = b"From: <sender@client.example>\r\nTo: <user@example.com>\r\nSubject: scale\r\n\r\n"
    return head + (b"x" * 70 + b"\r\n") * max(1, round((kilobytes * 1000 - len(head)) / 72)) + b".\r\n"


class Load:
    """Clients that come for some seconds, so many a second, to a port of 127.0.0.1."""

    def __init__(self, model: Model, port: int, rate: float, seconds: float, seed: int) -> None:
        self.model, self.port, self.rate, self.seconds = model, port, rate, seconds
        self.random = random.Random(seed)
        self.ended: Counter[str] = Counter()
        self._message = message(model.parameters.message_kb)

    async def run(self) -> None:
        """Open all, and wait until all have gone."""
        loop, shares = asyncio.get_running_loop(), self.model.parameters.shares
        clients: list[asyncio.Task[None]] = []
        begun = loop.time()
        due, number = begun, 0
        while due - begun < self.seconds:
            due += self.random.expovariate(self.rate)
            await asyncio.sleep(max(0.0, due - loop.time()))
            kind = self.random.choices(KINDS, [shares[one] for one in KINDS])[0]
            number += 1
            address = f"127.{SECOND_OCTETS[kind]}.{number // 250 % 250}.{1 + number % 250}"
            clients.append(asyncio.create_task(self._client(kind, address)))
        await asyncio.gather(*clients)

    async def _client(self, kind: str, address: str) -> None:
        try:
            async with asyncio.timeout(LONGEST):
                said = await getattr(self, f"_{kind}")(address)
        except (OSError, EOFError, TimeoutError) as problem:
            said = type(problem).__name__
        self.ended[f"{kind}: {said}"] += 1

    async def _open(self, address: str) -> _Line:
        return _Line(*await asyncio.open_connection("127.0.0.1", self.port, local_addr=(address, 0)))

    async def _early(self, address: str) -> str:
        async with await self._open(address) as line:
            await asyncio.sleep(TALK.at(self.random.random()))
            line.writer.write(b"EHLO bot.example\r\n" + b"".join(_ENVELOPE))
            return await line.reply()

    async def _impatient(self, address: str) -> str:
        async with await self._open(address):
            await asyncio.sleep(LEAVE.at(self.random.random()))
        return "left"

    async def _patient(self, address: str) -> str:
        """One that gives up when its patience is over, unless its recipient has been answered by then."""
        try:
            async with asyncio.timeout(GIVE_UP.at(self.random.random())) as patience, await self._open(address) as line:
                listed = self.random.random() < self.model.parameters.listed
                seconds = SPAM_SESSION.at(self.random.random())
                return await self._mail(line, "bot" if listed else "bot.example", seconds, patience)
        except TimeoutError:
            return "gave up"

    async def _good(self, address: str) -> str:
        async with await self._open(address) as line:
            delayed = self.random.random() < self.model.parameters.good_delayed
            return await self._mail(line, "relay" if delayed else "relay.example", SESSION.at(self.random.random()))

    async def _mail(self, line: _Line, name: str, seconds: float, patience: asyncio.Timeout | None = None) -> str:
        """Send one message; a name without a dot is what tarry delays here. The time of the session is spent before the QUIT."""
        await line.reply()
        for command in (f"EHLO {name}\r\n".encode(), *_ENVELOPE, self._message):
            line.writer.write(command)
            said = await line.reply()
            if command.startswith(b"RCPT") and patience is not None:
                patience.reschedule(None)
        await asyncio.sleep(seconds)
        line.writer.write(b"QUIT\r\n")
        await line.reply()
        return said


class _Line:
    """A connection; leaving it closes it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def __aenter__(self) -> _Line:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.writer.close()
        with suppress(OSError):
            await self.writer.wait_closed()

    async def reply(self) -> str:
        """Return the code of the next whole reply. Raises EOFError."""
        while True:
            text = await self.reader.readline()
            if not text:
                raise EOFError
            if text[3:4] != b"-":
                return text[:3].decode(errors="replace")


class _Sink(asyncio.Protocol):
    """One client of the sink."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport, self._heard, self._in_message = transport, b"", False
        transport.write(b"220 sink ESMTP\r\n")

    def data_received(self, data: bytes) -> None:
        self._heard += data
        while self._heard:
            end = b"\r\n.\r\n" if self._in_message else b"\r\n"
            line, found, rest = self._heard.partition(end)
            if not found:
                self._heard = self._heard[-4:] if self._in_message else self._heard
                return
            self._heard, verb = rest, b"" if self._in_message else line[:4].upper()
            self._in_message = verb == b"DATA"
            self._transport.write(_REPLIES.get(verb, b"250 ok\r\n"))
            if verb == b"QUIT":
                self._transport.close()
                return


async def _serve(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(_Sink, "127.0.0.1", port, backlog=4096)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1])))
