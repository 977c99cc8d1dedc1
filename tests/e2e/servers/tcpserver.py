"""tcpserver - what a program that serves one client on stdin and stdout is given, as tcpserver gives it.

What     `environment(client)` is all that tcpserver tells such a program; `serving(command, client)` starts one on a loopback
         connection and gives the other end of that, so that a test can tell the client it is told of from the one it has.
Source   tcp-environ(5) and tcpserver(1) of ucspi-tcp 0.88. See inetd for one that tells nothing.
"""

import contextlib
import socket
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.e2e.servers.clients import RawClient

SERVER = ("192.0.2.1", 25)


def environment(client: tuple[str, int], server: tuple[str, int] = SERVER) -> dict[str, str]:
    """Return the variables of tcpserver for *client*, whose name nobody has looked up."""
    return {
        "PROTO": "TCP",
        "TCPLOCALIP": server[0],
        "TCPLOCALPORT": str(server[1]),
        "TCPREMOTEIP": client[0],
        "TCPREMOTEPORT": str(client[1]),
    }


@contextlib.contextmanager
def serving(command: Sequence[str], client: tuple[str, int], output: Path) -> Iterator[RawClient]:
    """Run *command* for one connection and nothing in its environment but `environment(client)`; *output* gets its stderr.

    When the connection is closed at the end of the block, the program must leave within 10 s.
    """
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        raw = stack.enter_context(RawClient(listener.getsockname()[1]))
        errors = stack.enter_context(output.open("ab"))
        accepted = listener.accept()[0]
        program = subprocess.Popen(
            list(command), stdin=accepted.fileno(), stdout=accepted.fileno(), stderr=errors, env=environment(client)
        )
        accepted.close()
        try:
            yield raw
            raw.close()
            program.wait(10)
        finally:
            program.kill()
            program.wait(10)
