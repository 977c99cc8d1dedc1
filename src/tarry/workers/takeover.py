"""takeover - a new version of tarry is started, takes the sockets over, and says when it serves.

What      `begin` starts the same command anew, with the sockets; `predecessor` tells the new process that it is one, and it says
          through that when it is ready. The old one goes on serving until then, and for good where the new one fails.
Sockets   By the protocol of systemd (LISTEN_FDS), which the new process would understand from anybody. What else it needs stands
          behind the sockets and in TARRY_TAKEOVER: the pipe to say that it is ready, the turns of those who write to standard
          output, and how many workers there have been, for session ids.
Promises  A new process that does not come up within PATIENCE is ended. Nothing of the old one is inherited but this.
Starting  A shell puts its own process id into LISTEN_PID and becomes tarry: posix_spawn(3) cannot, and a fork of a process with
          threads is unsafe.
"""

from __future__ import annotations

import fcntl
import os
import shlex
import signal
import sys
from collections.abc import Mapping, MutableMapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

import msgspec

from tarry.net.inherited import FIRST
from tarry.sockets import OWN, Open
from tarry.workers.fork import ASKING

VARIABLE = "TARRY_TAKEOVER"
PATIENCE = 60.0
"""Seconds that a new version has to come up."""
SPARE = 256
"""So many processes the old one may still begin, while the new one begins its own: no two have one number."""
_READY = b"ready"
_BECOME = 'LISTEN_PID=$$; export LISTEN_PID; exec "$@"'


class Predecessor(msgspec.Struct, frozen=True):
    """The one whose place this process takes: descriptors, and the number of processes that have served before."""

    ready: int
    turns: int | None = None
    incarnation: int = 0

    def tell_ready(self) -> None:
        """Say that this process serves. The other one takes no more clients from now on."""
        with suppress(OSError):  # EPIPE: it has died meanwhile
            os.write(self.ready, _READY)
        os.close(self.ready)


def predecessor(environ: MutableMapping[str, str], pid: int) -> Predecessor | None:
    """Return whose place this process takes, None where it was started by anybody else. Call before `inherited.take`."""
    text = environ.pop(VARIABLE, "")
    if not text or environ.get("LISTEN_PID") != str(pid):
        return None
    found = msgspec.json.decode(text, type=Predecessor)
    os.set_inheritable(found.ready, False)
    if found.turns is not None:
        os.set_inheritable(found.turns, False)
    return found


@dataclass(slots=True)
class Successor:
    """The new process. ``fd`` can be read when there is something to know of it."""

    pid: int
    fd: int
    status: int | None = None
    """Its exit status once it has ended and was waited for, negative for a signal."""

    def has_said(self) -> str:
        """Return "ready" when it serves, "ended" when it will not. Only when ``fd`` can be read."""
        said = os.read(self.fd, 64)
        return "ready" if said == _READY else "ended"

    def why(self) -> str:
        """Return how it ended, for the operator. One that has closed ``fd`` and goes on is ended."""
        self.end()
        return f"its exit status is {self.status}" if self.status is not None and self.status >= 0 else "it was killed"

    def end(self) -> None:
        """Stop it, for good. One that was waited for is nobody any more, and its number may be another's."""
        if self.status is None:
            with suppress(ProcessLookupError, ChildProcessError):
                os.kill(self.pid, signal.SIGKILL)
                self.status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])

    def close(self) -> None:
        os.close(self.fd)


def begin(
    sockets: Sequence[Open],
    environ: Mapping[str, str],
    *,
    turns: int | None = None,
    incarnation: int = 0,
    command: Sequence[str] = (),
) -> Successor:
    """Start *command*, by default the one that started this process, with the sockets. Raises OSError where it cannot be run."""
    command = command or [sys.executable, *sys.orig_argv[1:]]
    given = [one.sock.fileno() for one in sockets]
    hears, says = os.pipe()
    given += [says] if turns is None else [says, turns]
    places = [FIRST + number for number in range(len(given))]
    note = Predecessor(places[len(sockets)], None if turns is None else places[-1], incarnation + SPARE)
    environment = {
        **environ,
        "LISTEN_FDS": str(len(sockets)),
        "LISTEN_FDNAMES": ":".join(one.name or OWN for one in sockets),
        VARIABLE: msgspec.json.encode(note).decode(),
    }
    lifted: list[int] = []
    try:
        # Out of the way first: a descriptor that stands where another one goes would be overwritten before its turn.
        for fd in given:
            lifted.append(fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, places[-1] + 1))
        pid = os.posix_spawn(
            "/bin/sh",
            ["sh", "-c", _BECOME, "sh", *command],
            environment,
            file_actions=[(os.POSIX_SPAWN_DUP2, fd, place) for fd, place in zip(lifted, places, strict=True)],
            setsigmask=(),
            setsigdef=(*ASKING, signal.SIGCHLD),
        )
    except BaseException:
        os.close(hears)
        raise
    finally:
        for fd in (*lifted, says):
            os.close(fd)
    return Successor(pid, hears)


def spelled(command: Sequence[str] = ()) -> str:
    """Return the command that `begin` runs, for the operator."""
    return shlex.join(command or [sys.executable, *sys.orig_argv[1:]])
