"""tarpitted - a crowd of clients that speak SMTP and wait for what they are made to wait for.

What     `Tarpitted(port, count, pace)` is a context manager. That many clients a second come, each says EHLO, MAIL and two RCPTs,
         and waits for the reply to the second, which a tarpit holds; then it sends a message, if it is one of `delivering`, and
         quits. `told` are the codes of those replies, `waited` the seconds that they took, `delivered` counts the 250s.
         `mta_connections(port)` counts the connections that anybody here has to a server on that port.
Facts    One thread with an event loop; twenty clients to an address. `is_held`: all of the crowd wait in the tarpit now.
Source   proc(5) for /proc/net/tcp.
"""

import asyncio
import contextlib
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.e2e.servers.crowd import PER_ADDRESS

ESTABLISHED = "01"
MESSAGE = b"From: <sender@client.example>\r\nSubject: from the crowd\r\n\r\nHello.\r\n.\r\n"


class Tarpitted:
    """A crowd in a tarpit; see the module text. One client in *each* goes on to deliver."""

    def __init__(self, port: int, count: int, *, pace: float, each: int = 100, patience: float = 180.0) -> None:
        self.told: list[int] = []
        self.waited: list[float] = []
        self.delivered = 0
        self.delivering = len(range(0, count, each))
        self.problems: list[str] = []
        self._port, self._count, self._pace, self._each, self._patience = port, count, pace, each, patience
        self._held = 0
        self._thread = threading.Thread(target=lambda: asyncio.run(self._come()), name="crowd", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None) -> None:
        self.wait()

    @property
    def is_held(self) -> bool:
        return self._held == self._count

    def wait(self) -> None:
        """Return when all have gone."""
        self._thread.join(self._patience)

    async def _come(self) -> None:
        began = time.monotonic()
        async with asyncio.timeout(self._patience), asyncio.TaskGroup() as crowd:
            for number in range(self._count):
                await asyncio.sleep(max(0.0, began + number / self._pace - time.monotonic()))
                crowd.create_task(self._client(number))

    async def _client(self, number: int) -> None:
        source = (f"127.20.{number // PER_ADDRESS // 250}.{number // PER_ADDRESS % 250 + 1}", 0)
        writer: asyncio.StreamWriter | None = None
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", self._port, local_addr=source)

            async def said(line: bytes) -> int:
                assert writer is not None
                writer.write(line)
                return await reply_code(reader)

            await reply_code(reader)
            for line in (b"EHLO crowd.example\r\n", b"MAIL FROM:<sender@client.example>\r\n", b"RCPT TO:<alice@example.org>\r\n"):
                if (code := await said(line)) != 250:
                    self.problems.append(f"{line[:4].decode()}: {code}")
                    return
            self._held += 1
            began = time.monotonic()
            code = await said(b"RCPT TO:<bob@example.org>\r\n")
            self._held -= 1
            self.waited.append(time.monotonic() - began)
            self.told.append(code)
            if code != 250:
                return
            if number % self._each == 0 and await said(b"DATA\r\n") == 354:
                taken = await said(MESSAGE) == 250
                self.delivered += taken  # not in one: what it was before the reply would be added to
            await said(b"QUIT\r\n")
        except (OSError, asyncio.IncompleteReadError, ValueError) as problem:
            self.problems.append(repr(problem))
        finally:
            if writer is not None:
                with contextlib.suppress(OSError):
                    writer.close()
                    await writer.wait_closed()


async def reply_code(reader: asyncio.StreamReader) -> int:
    """Read one reply; return its code."""
    line = await reader.readuntil(b"\n")
    while line[3:4] == b"-":
        line = await reader.readuntil(b"\n")
    return int(line[:3])


def mta_connections(port: int) -> int:
    """Return how many connections to *port* stand now, counted at the end of those who connected."""
    wanted = f":{port:04X}"
    rows = [line.split(maxsplit=4)[:4] for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(remote.endswith(wanted) and state == ESTABLISHED for _, _, remote, state in rows)
