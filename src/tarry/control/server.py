"""server - the control socket of a process: it is asked there how it is.

What      `ControlServer` listens on a Unix socket, mode 0660, and answers each line that is asked (protocol.py).
Promises  Nothing that comes here can harm the server: at most `MOST_CLIENTS` are connected at once, each for `PATIENCE` seconds,
          with one line of bounded length, and a fault in an answer ends that connection only. The socket that a dead process left
          behind is taken over; one that answers is not, and `start` says whose it is. `close` removes the socket if it is still
          ours.
Source    unix(7): ECONNREFUSED where nobody listens, SO_PEERCRED for the process that does. On Linux a socket file is made
          with the mode of the socket's inode, so that it is never open to more than its owner and group, not even for a moment.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import stat
import struct
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, TypeAlias, cast

from tarry.control import protocol
from tarry.control.states import State

MODE = 0o660
MOST_CLIENTS = 16
PATIENCE = 5.0
"""Seconds for a client from its connection to the end of the reply."""
_BACKLOG = 16
_CREDENTIALS = struct.Struct("3i")

Answer: TypeAlias = Callable[[], Coroutine[Any, Any, State]]
"""Tells the state, in the event loop."""


class ControlServer:
    """Answers on the socket *path*; a relative path is taken from where the process stands when it starts.

    ``replaces``: it takes the socket's place also where one that answers has it. That is for a worker, which follows another.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, path: str, answer: Answer, *, version: str = "", replaces: bool = False
    ) -> None:
        self._loop = loop
        self._path = path
        self._answer = answer
        self._version = version
        self._replaces = replaces
        self._server: asyncio.Server | None = None
        self._inode = (0, 0)
        self._clients: set[_Client] = set()

    async def start(self) -> str:
        """Listen; return "" or, in a sentence, why that cannot be. Never raises OSError."""
        # Bound as it was written, since a path has 107 octets at most; kept whole, since the process may change its folder.
        path = os.path.abspath(self._path)  # noqa: PTH100  resolve() would follow links
        try:
            sock = _open(self._path, replaces=self._replaces)
        except Taken as taken:
            return f"control socket {path} belongs to another tarry (process {taken.pid}); until that ends this one has none"
        except OSError as fault:
            why = os.strerror(fault.errno) if fault.errno else str(fault)
            return f"control socket {path} cannot be had: {why}; this tarry cannot be asked how it is"
        self._path = path
        with suppress(OSError):
            found = os.stat(self._path)  # noqa: PTH116  in the event loop, as cheap as it gets
            self._inode = (found.st_dev, found.st_ino)
        self._server = await self._loop.create_unix_server(self._make, sock=sock)
        return ""

    @property
    def is_listening(self) -> bool:
        """True from a start that went well until the end."""
        return self._server is not None

    def close(self) -> None:
        """End, and remove the socket. May be called twice."""
        if self._server is None:
            return
        with suppress(OSError):
            found = os.stat(self._path)  # noqa: PTH116
            if (found.st_dev, found.st_ino) == self._inode:
                os.unlink(self._path)  # noqa: PTH108
        self._server.close()
        self._server = None
        for client in list(self._clients):
            client.end()

    def _make(self) -> asyncio.Protocol:
        return _Client(self)

    async def _reply(self, line: bytes) -> protocol.Reply:
        request = protocol.read_request(line)
        if request is None:
            return protocol.Reply(error='ask {"do":"status"} or {"do":"ping"}')
        if request.do == "ping":
            return protocol.Reply(os.getpid(), self._version)
        return protocol.Reply(os.getpid(), self._version, await self._answer())


class _Client(asyncio.Protocol):
    """One connection: one line, one reply."""

    def __init__(self, server: ControlServer) -> None:
        self._server = server
        self._received = b""
        self._transport: asyncio.Transport | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self._replying: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's transports are not subclasses
        if len(self._server._clients) >= MOST_CLIENTS:
            self._transport.abort()
            return
        self._server._clients.add(self)
        self._deadline = self._server._loop.call_later(PATIENCE, self.end)

    def data_received(self, data: bytes) -> None:
        if self._replying is not None:
            return  # one question a connection: what follows it is read, so that closing does not reset, and dropped
        self._received += data
        line, newline, _ = self._received.partition(b"\n")
        if newline or len(line) > protocol.LONGEST:
            self._replying = self._server._loop.create_task(self._reply(line[: protocol.LONGEST]))
            self._received = b""

    def connection_lost(self, exc: Exception | None) -> None:
        self._server._clients.discard(self)
        if self._deadline is not None:
            self._deadline.cancel()
        if self._replying is not None:
            self._replying.cancel()

    def end(self) -> None:
        """End the connection, whatever it is at."""
        if self._transport is not None:
            self._transport.abort()

    async def _reply(self, line: bytes) -> None:
        try:
            reply = await self._server._reply(line)
        except Exception as fault:  # the one place that keeps a fault in telling the state from the clients of the server
            reply = protocol.Reply(error=f"a fault of tarry's own: {fault!r}")
        if self._transport is not None:
            self._transport.write(protocol.write(reply))
            self._transport.close()


class Taken(Exception):
    """Somebody answers on that socket: the process *pid*."""

    def __init__(self, pid: int) -> None:
        self.pid = pid


def _open(path: str, *, replaces: bool) -> socket.socket:
    """Return a listening socket. Raises Taken, and OSError where the file cannot be made."""
    if not replaces and (pid := listener_of(path)) is not None:
        raise Taken(pid)
    with suppress(FileNotFoundError):
        found = os.lstat(path)
        if not stat.S_ISSOCK(found.st_mode):
            raise OSError(errno.EEXIST, "there is a file of that name, and it is no socket")
        os.unlink(path)  # noqa: PTH108  nobody listens on it: a process left it behind
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        os.fchmod(sock.fileno(), MODE)
        sock.bind(path)
        _open_to_group(path)
        sock.listen(_BACKLOG)
        sock.setblocking(False)
    except BaseException:
        sock.close()
        raise
    return sock


def _open_to_group(path: str) -> None:
    """Give a socket its mode, which the umask has narrowed; not to what somebody has put in its place, or linked there."""
    fd = os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        if not stat.S_ISSOCK(os.fstat(fd).st_mode):
            raise OSError(errno.EEXIST, "somebody else makes files of that name")
        with suppress(FileNotFoundError):  # no /proc: it is its owner's only
            os.chmod(f"/proc/self/fd/{fd}", MODE)  # noqa: PTH101  the one way to what was looked at
    finally:
        os.close(fd)


def listener_of(path: str) -> int | None:
    """Return the process that listens on the Unix socket *path*; None where nobody does.

    Raises OSError where it may not be asked.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asking:
        asking.setblocking(False)
        try:
            asking.connect(path)
        except BlockingIOError:
            return 0  # its backlog is full: somebody listens, and is busy
        except (FileNotFoundError, ConnectionRefusedError):
            return None
        pid, _, _ = _CREDENTIALS.unpack(asking.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))
        return int(pid)
