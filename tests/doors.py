"""doors - a front door in a loop of its own, on a loopback port that the system chooses, and a client of it.

What     For the tests of the wiring, together with the fixture `own_folder`: `config_of` is its configuration, `records` what its
         log holds, `Client` talks to it.
"""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from pathlib import Path
from typing import Any

from tarry.config.load import Loaded, load
from tarry.config.schema import Config
from tarry.daemon import Server


def config_of(text: str = "", *, listen: str = '"127.0.0.1:0"', wait: str = "0s") -> Config:
    return Config.from_toml(
        f'{text}\n[listen]\nsmtp = [{listen}]\nmax_clients = 50\n[record]\npath = "log"\n[hold]\nwait = "{wait}"\n'
    )


def records(kind: str = "") -> list[dict[str, Any]]:
    """Return what the log holds, of one kind or all."""
    lines = [json.loads(line) for line in Path("log").read_text().splitlines()]
    return [line for line in lines if kind in ("", line["ev"])]


def loaded(text: str) -> Loaded:
    return load(None, text=text)


class Client:
    """A client of a server."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @staticmethod
    async def of(server: Server) -> Client:
        host, port = server.addresses[0]
        return Client(*await asyncio.open_connection(host, port))

    async def hears(self) -> str:
        """Return the next reply's last line, "" at the end."""
        async with asyncio.timeout(5):
            while True:
                line = (await self._reader.readline()).decode()
                if line[3:4] != "-":
                    return line.rstrip("\r\n")

    async def says(self, line: str) -> str:
        self._writer.write(line.encode() + b"\r\n")
        return await self.hears()

    async def leaves(self) -> None:
        self._writer.close()
        with suppress(ConnectionError):
            await self._writer.wait_closed()


async def in_transaction(server: Server) -> Client:
    client = await Client.of(server)
    await client.hears()
    for line in ("EHLO x", "MAIL FROM:<a@b.example>"):
        assert (await client.says(line)).startswith("250 ")
    return client
