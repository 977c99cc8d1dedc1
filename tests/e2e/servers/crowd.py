"""crowd - many clients at once, as bare sockets.

What     `Crowd(port, count)` is a context manager that connects that many clients, twenty to an address, and closes them
         all at its end. `sockets` are theirs to use.
Not      It reads nothing by itself.
"""

import contextlib
import socket
import struct
from types import TracebackType
from typing import Self

PER_ADDRESS = 20
RESET = struct.pack("ii", 1, 0)


class Crowd:
    """Connected clients. A client that cannot connect within *timeout* seconds raises OSError."""

    def __init__(self, port: int, count: int, *, timeout: float = 10.0) -> None:
        self.sockets: list[socket.socket] = []
        try:
            for number in range(count):
                source = (f"127.20.{number // PER_ADDRESS // 250}.{number // PER_ADDRESS % 250 + 1}", 0)
                self.sockets.append(socket.create_connection(("127.0.0.1", port), timeout, source))
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def send(self, data: bytes) -> None:
        """Let each send *data*; one whose connection is gone is passed over."""
        for sock in self.sockets:
            with contextlib.suppress(OSError):
                sock.send(data)

    def close(self, *, reset: bool = False) -> None:
        """Let all leave, by FIN or RST."""
        for sock in self.sockets:
            if reset and sock.fileno() >= 0:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            sock.close()
        self.sockets.clear()
