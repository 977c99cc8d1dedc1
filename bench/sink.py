"""sink - where the mail ends: Postfix's smtp-sink in C, or a small uvloop server where there is no Postfix.

`sink_command` is how one is started on a port; `python -m bench.sink PORT` is the uvloop one: it takes every command
and every message, as fast as Python allows, and checks nothing.
"""

import asyncio
import os
import sys
from typing import cast

import uvloop
from tests.e2e.servers import install

_BACKLOG = 4096
_CLIENTS = 15000  # smtp-sink stops accepting at 256 unless told
_EHLO = b"250-sink\r\n250-PIPELINING\r\n250 8BITMIME\r\n"
_REPLIES = {b"EHLO": _EHLO, b"DATA": b"354 go on\r\n", b"QUIT": b"221 bye\r\n"}


def sink_name() -> str:
    """Return which sink `sink_command` starts."""
    return "uvloop" if install.missing("postfix") else "smtp-sink"


def sink_command(port: int) -> list[str]:
    """Return the command of the best sink there is."""
    if sink_name() == "uvloop":
        return [sys.executable, "-m", "bench.sink", str(port)]
    program = install.folder("postfix") / "usr/sbin/smtp-sink"
    libraries = install.environment("postfix")["LD_LIBRARY_PATH"]
    user = ["-u", "nobody"] if os.getuid() == 0 else []  # it refuses to run as root
    address = f"inet:127.0.0.1:{port}"
    return ["/usr/bin/env", f"LD_LIBRARY_PATH={libraries}", str(program), *user, "-m", str(_CLIENTS), address, str(_BACKLOG)]


class _Sink(asyncio.Protocol):
    """One client of the uvloop sink."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's own is no subclass
        self._heard = b""
        self._in_message = False
        self._transport.write(b"220 sink ESMTP\r\n")

    def data_received(self, data: bytes) -> None:
        heard = self._heard + data
        while heard:
            if self._in_message:
                _, dot, rest = heard.partition(b"\r\n.\r\n")
                if not dot:
                    heard = heard[-4:]  # all that the final dot's line could have begun in
                    break
                self._in_message, heard = False, rest
                self._transport.write(b"250 taken\r\n")
                continue
            line, end, rest = heard.partition(b"\r\n")
            if not end:
                break
            heard, verb = rest, line[:4].upper()
            self._transport.write(_REPLIES.get(verb, b"250 ok\r\n"))
            self._in_message = verb == b"DATA"
            if verb == b"QUIT":
                self._transport.close()
                return
        self._heard = heard


async def _serve(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(_Sink, "127.0.0.1", port, backlog=_BACKLOG)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(_serve(int(sys.argv[1])))
