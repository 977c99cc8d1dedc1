"""relay_server - a blind relay: two uvloop protocols a client, that copy bytes and look at none.

`python -m bench.peers.relay_server PORT SINK_PORT`. Each side stops reading while the other cannot write.
"""

import asyncio
import sys
from typing import cast

import uvloop

_BACKLOG = 4096


class _Side(asyncio.Protocol):
    """One of the two connections of a client; `other` gets what this one reads."""

    transport: asyncio.Transport
    other: "_Side | None" = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's own is no subclass

    def data_received(self, data: bytes) -> None:
        if self.other is not None:
            self.other.transport.write(data)

    def pause_writing(self) -> None:
        if self.other is not None:
            self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        if self.other is not None:
            self.other.transport.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        other, self.other = self.other, None
        if other is not None:
            other.other = None
            other.transport.close()


class _Client(_Side):
    """The side of the client; connects the other, and does not read before that."""

    def __init__(self, sink_port: int) -> None:
        self._sink_port = sink_port

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.transport.pause_reading()
        self._task = asyncio.get_running_loop().create_task(self._connect())

    async def _connect(self) -> None:
        try:
            await asyncio.get_running_loop().create_connection(lambda: _Sink(self), "127.0.0.1", self._sink_port)
        except OSError:  # no sink: the client learns it by the close
            self.transport.close()


class _Sink(_Side):
    """The side of the sink; joined at once, since its greeting may come before anyone waits for the connection."""

    def __init__(self, client: _Client) -> None:
        self._client = client

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        if self._client.transport.is_closing():
            self.transport.close()
            return
        self.other, self._client.other = self._client, self
        self._client.transport.resume_reading()


async def _serve(port: int, sink_port: int) -> None:
    server = await asyncio.get_running_loop().create_server(lambda: _Client(sink_port), "127.0.0.1", port, backlog=_BACKLOG)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(_serve(int(sys.argv[1]), int(sys.argv[2])))
