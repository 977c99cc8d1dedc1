"""children - commands that serve one client each, started, counted and reaped.

What      `Children.start` runs an MTA in inetd mode on a descriptor; `CommandConnector` runs one on a pipe and stays in line.
Promises  The command has the descriptor as 0 and 1 in blocking mode, tarry's standard error as 2, no other descriptor, a clean
          environment, a session of its own, no signal blocked and none ignored, and the limit of descriptors that tarry was
          started with. Each child is reaped, and its end told once. Above the limit of children nothing is started.
Facts     posix_spawn, not fork: a fork of a front door with 15,000 clients copies their page tables. All of Python's descriptors
          are closed on exec (PEP 446), uvloop's and epoll's as well. A pidfd is readable when its process has ended. Programs
          close all the descriptors they may have, or give those above 1023 to select(), so a raised limit is not for them.
Not here  What a command may be (config/problems), what it is told of the client (net/ucspi).
"""

from __future__ import annotations

import asyncio
import errno
import os
import resource
import select
import signal
import socket
import threading
import time
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass

from tarry.core.client import OURSELVES, Client
from tarry.net import ucspi

_KEPT = ("PATH", "LANG", "LC_ALL", "TZ")
"""What a command is told of tarry's own environment."""
MOST_OWN = 2
"""Commands that run at once for tarry itself. It asks every few seconds, and one that hangs would have many for company."""
_HANDLED = signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}


@dataclass(frozen=True, slots=True)
class RunFor:
    """A command that is run for each client: its words, and how many may run at once."""

    command: tuple[str, ...]
    max_children: int


class Children:
    """The commands that run now, each with the limit of descriptors that this process has when the object is made."""

    def __init__(self) -> None:
        self._running: dict[int, tuple[float, Callable[[int, float], None] | None]] = {}  # by pidfd
        self._limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        self._count = 0

    def __len__(self) -> int:
        """How many run for clients."""
        return self._count

    def start(self, run: RunFor, client: Client | None, fd: int, on_exit: Callable[[int, float], None] | None = None) -> None:
        """Run the command for *client* on *fd*. ``on_exit(status, seconds)`` is called once, with a negative status for a signal.

        None is tarry itself, which takes no client's place. Raises OSError: EAGAIN above the limit, what exec says (ENOENT,
        EACCES), EMFILE; nothing runs then.
        """
        is_counted = client is not None
        running, most = (self._count, run.max_children) if is_counted else (len(self._running) - self._count, MOST_OWN)
        if running >= most:
            raise OSError(errno.EAGAIN, f"{running} commands run already{'' if is_counted else ' that have not answered'}")
        loop = asyncio.get_running_loop()
        spare = os.dup(fd)  # the pidfd's place: without one nothing must run, for it might greet the client that is told 421
        os.set_blocking(fd, True)
        try:
            try:
                pid = self._spawn(run.command, client or OURSELVES, fd)
            finally:
                os.close(spare)
            pidfd = _watch(pid)
        except BaseException:
            os.set_blocking(fd, False)
            raise
        now = time.monotonic()
        if pidfd is None:
            if on_exit is not None:
                loop.call_soon(on_exit, 0, 0.0)
            return
        self._count += is_counted
        self._running[pidfd] = (now, on_exit)
        loop.add_reader(pidfd, self._on_end, pidfd, is_counted)

    def close(self) -> None:
        """Have done with all: they go on by themselves, and nobody is told of their end. They are reaped all the same."""
        loop = asyncio.get_running_loop()
        for pidfd in self._running:
            loop.remove_reader(pidfd)
        if self._running:  # an embedding program lives on, and its loop may not
            threading.Thread(target=_reap_all, args=(list(self._running),), name="tarry-reaper", daemon=True).start()
        self._running.clear()
        self._count = 0

    def _spawn(self, command: tuple[str, ...], client: Client, fd: int) -> int:
        words = ucspi.fill(command, client)
        environment = ucspi.environment(client, clean(os.environ))
        raised = resource.getrlimit(resource.RLIMIT_NOFILE)
        # What is open stays open. That the thread that writes records can open nothing for a moment is the lesser evil: set from
        # outside once the command runs, the limit may come after it has asked for it.
        with suppress(OSError, ValueError):  # EPERM in some containers; a hard limit that was lowered meanwhile
            resource.setrlimit(resource.RLIMIT_NOFILE, (self._limit, raised[1]))
        try:
            return os.posix_spawn(
                words[0],
                words,
                environment,
                file_actions=[(os.POSIX_SPAWN_DUP2, fd, 0), (os.POSIX_SPAWN_DUP2, fd, 1)],
                setsid=True,
                setsigmask=[],
                setsigdef=_HANDLED,
            )
        finally:
            with suppress(OSError):  # EPERM, as above
                resource.setrlimit(resource.RLIMIT_NOFILE, raised)

    def _on_end(self, pidfd: int, is_counted: bool) -> None:
        since, on_exit = self._running.pop(pidfd)
        self._count -= is_counted
        asyncio.get_running_loop().remove_reader(pidfd)
        try:
            status = _reap(os.P_PIDFD, pidfd)
        finally:
            os.close(pidfd)
        if on_exit is not None:
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
            # Its end needs no heed: it is the end of the connection, and the session tells that.
            self._children.start(self._run, client, theirs.fileno())
            ours.setblocking(False)
            # Not create_unix_connection: uvloop before 0.23 closes the socket of one that is cancelled, and then we would again.
            await asyncio.get_running_loop().connect_accepted_socket(factory, ours)
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()


def clean(environ: Mapping[str, str]) -> dict[str, str]:
    """Return what a command is told of *environ*: where programs are, language and time zone."""
    return {"PATH": os.defpath, **{name: environ[name] for name in _KEPT if name in environ}}


def _watch(pid: int) -> int | None:
    """Return a pidfd of a child, None where it has ended and is reaped already. Raises OSError; the child is no more then."""
    try:
        return os.pidfd_open(pid)
    except ProcessLookupError:
        return None
    except OSError:
        # EMFILE, ENFILE, ENOMEM: a child of which nobody learns the end would have a client that is told to come again.
        os.kill(pid, signal.SIGKILL)
        _reap(os.P_PID, pid)
        raise


def _reap_all(pidfds: Collection[int]) -> None:
    """Reap each child when it ends, and close its pidfd."""
    poll = select.poll()
    left = set(pidfds)
    for pidfd in left:
        poll.register(pidfd, select.POLLIN)
    while left:
        for pidfd, _ in poll.poll():
            poll.unregister(pidfd)
            left.remove(pidfd)
            _reap(os.P_PIDFD, pidfd)
            os.close(pidfd)


def _reap(which: int, id: int) -> int:
    """Return the status of a child that has ended, negative for a signal; 0 where an embedding program was first to reap it."""
    try:
        ended = os.waitid(which, id, os.WEXITED)
    except ChildProcessError:
        return 0
    if ended is None:
        return 0
    return ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status
