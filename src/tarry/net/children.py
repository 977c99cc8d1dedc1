"""children - commands that serve one client each, started, counted and reaped.

What      `Children.start` runs an MTA in inetd mode on a descriptor; `CommandConnector` runs one on a pipe and stays in line.
Promises  The command has the descriptor as 0 and 1 in blocking mode, tarry's standard error as 2, no other descriptor, a clean
          environment, a session of its own, no signal blocked and none ignored. Each child is reaped, and its end told once.
          Above the limit nothing is started.
Facts     posix_spawn, not fork: a fork of a front door with 15,000 clients copies their page tables. All of Python's descriptors
          are closed on exec (PEP 446), uvloop's and epoll's as well. A pidfd is readable when its process has ended.
Not here  What a command may be (config/problems), what it is told of the client (net/ucspi).
"""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from tarry.core.client import OURSELVES, Client
from tarry.net import ucspi

_KEPT = ("PATH", "LANG", "LC_ALL", "TZ")
"""What a command is told of tarry's own environment."""
_HANDLED = frozenset(signal.Signals) - {signal.SIGKILL, signal.SIGSTOP}


@dataclass(frozen=True, slots=True)
class RunFor:
    """A command that is run for each client: its words, and how many may run at once."""

    command: tuple[str, ...]
    max_children: int


class Children:
    """The commands that run now."""

    def __init__(self) -> None:
        self._running: dict[int, tuple[int, float, Callable[[int, float], None]]] = {}  # by pidfd

    def __len__(self) -> int:
        return len(self._running)

    def start(self, run: RunFor, client: Client, fd: int, on_exit: Callable[[int, float], None]) -> None:
        """Run the command for *client* on *fd*. ``on_exit(status, seconds)`` is called once, with a negative status for a signal.

        Raises OSError: EAGAIN above the limit, and what exec says (ENOENT, EACCES).
        """
        if len(self._running) >= run.max_children:
            raise OSError(errno.EAGAIN, f"{len(self._running)} commands run already")
        words = ucspi.fill(run.command, client)
        environment = ucspi.environment(client, clean(os.environ))
        os.set_blocking(fd, True)
        try:
            pid = os.posix_spawn(
                words[0],
                words,
                environment,
                file_actions=[(os.POSIX_SPAWN_DUP2, fd, 0), (os.POSIX_SPAWN_DUP2, fd, 1)],
                setsid=True,
                setsigmask=[],
                setsigdef=_HANDLED,
            )
        except BaseException:
            os.set_blocking(fd, False)
            raise
        pidfd = os.pidfd_open(pid)
        self._running[pidfd] = (pid, time.monotonic(), on_exit)
        asyncio.get_running_loop().add_reader(pidfd, self._on_end, pidfd)

    def close(self) -> None:
        """Have done with all: they go on by themselves, and nobody is told of their end."""
        loop = asyncio.get_running_loop()
        for pidfd in self._running:
            loop.remove_reader(pidfd)
            os.close(pidfd)
        self._running.clear()

    def _on_end(self, pidfd: int) -> None:
        pid, since, on_exit = self._running.pop(pidfd)
        asyncio.get_running_loop().remove_reader(pidfd)
        os.close(pidfd)
        try:
            status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        except ChildProcessError:
            status = 0  # an embedding program reaps all children by itself
        on_exit(status, round(time.monotonic() - since, 6))


class CommandConnector:
    """The way to an MTA that is run for each connection, at the other end of a socketpair."""

    def __init__(self, run: RunFor, children: Children) -> None:
        self._run = run
        self._children = children

    @property
    def where(self) -> str:
        return self._run.command[0]

    async def connect(self, factory: Callable[[], asyncio.Protocol], client: Client | None) -> None:
        """Run the command for *client*; None is tarry itself. Raises OSError."""
        ours, theirs = socket.socketpair()
        try:
            self._children.start(self._run, client or OURSELVES, theirs.fileno(), _unheeded)
            ours.setblocking(False)
            await asyncio.get_running_loop().create_unix_connection(factory, sock=ours)
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()


def clean(environ: Mapping[str, str]) -> dict[str, str]:
    """Return what a command is told of *environ*: where programs are, language and time zone."""
    return {"PATH": os.defpath, **{name: environ[name] for name in _KEPT if name in environ}}


def _unheeded(status: int, seconds: float) -> None:
    """A command on a pipe: its end is the end of the connection, and the session tells that."""
