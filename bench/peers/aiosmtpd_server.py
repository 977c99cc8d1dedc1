"""aiosmtpd_server - the hold that one writes first: sleep, look whether the client spoke, greet.

`python -m bench.peers.aiosmtpd_server PORT WAIT`. Messages are discarded. On uvloop, as tarry is, to be fair.
"""

import asyncio
import sys

import uvloop
from aiosmtpd.smtp import SMTP

_BACKLOG = 4096


class _Discard:
    """Takes every message and forgets it."""

    async def handle_DATA(self, server: object, session: object, envelope: object) -> str:
        return "250 OK"


class _Sleeper(SMTP):
    """SMTP that waits before its greeting, and refuses those that did not."""

    wait: float

    async def _handle_client(self) -> None:
        if self.wait:
            await asyncio.sleep(self.wait)
            if self._reader._buffer:  # type: ignore[attr-defined]  # asyncio has no public look without a read
                self._writer.write(b"554 5.5.1 you spoke before the greeting\r\n")
                self._writer.close()
                return
        await super()._handle_client()


async def _serve(port: int, wait: float) -> None:
    _Sleeper.wait = wait
    loop = asyncio.get_running_loop()

    def client() -> asyncio.BaseProtocol:
        return _Sleeper(_Discard(), loop=loop, data_size_limit=None, ident="bench")

    server = await loop.create_server(client, "127.0.0.1", port, backlog=_BACKLOG)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(_serve(int(sys.argv[1]), float(sys.argv[2])))
