"""inetd - a small inetd: starts a command for each client, with the client's socket as its stdin and stdout.

What     `Inetd(command)` is a context manager that listens on a loopback port. `on_socketpair` does it once, without TCP.
Promise  The command gets a blocking socket and an empty environment. Whoever still runs at the end is killed.
Not      It waits for nobody and limits nothing.
"""

import contextlib
import socket
import subprocess
import threading
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Self


class Inetd:
    """A running inetd; *port* is where clients connect, *started* are the processes it started, oldest first."""

    def __init__(self, command: Sequence[str], address: str = "127.0.0.1") -> None:
        self.started: list[subprocess.Popen[bytes]] = []
        self._command = command
        self._listener = socket.create_server((address, 0), family=socket.AF_INET6 if ":" in address else socket.AF_INET)
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._accept, name="inetd", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)  # wakes accept, which close alone does not
        self._thread.join(10)
        self._listener.close()
        for process in self.started:
            _end(process)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:  # shut down by __exit__
                return
            with client:
                self.started.append(_start(self._command, client))


@contextlib.contextmanager
def on_socketpair(command: Sequence[str]) -> Iterator[socket.socket]:
    """Start *command* on one end of a socket pair and give the other; it is closed and the command killed at the end."""
    ours, its = socket.socketpair()
    with ours:
        with its:
            process = _start(command, its)
        try:
            ours.settimeout(10)
            yield ours
        finally:
            _end(process)


def _start(command: Sequence[str], sock: socket.socket) -> subprocess.Popen[bytes]:
    return subprocess.Popen(command, stdin=sock, stdout=sock, stderr=subprocess.DEVNULL, env={}, start_new_session=True)


def _end(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(1)  # it may be about to leave by itself, after QUIT
    process.kill()
    process.wait(10)
