"""fork - a child that begins with nothing of the supervisor's but what it is given, and the signals that the supervisor waits for.

Promises  A child never comes back into the code of its parent. Signals that come between the fork and the child's own handlers
          wait. The other end of its channel is the supervisor's alone, so that its end is heard.
"""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import NoReturn, Self

from tarry.workers.channel import Channel, make_pair

EX_SOFTWARE = 70
ASKING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR2)
"""Signals that ask a front door for something."""


class Signals:
    """Signals as something to wait for: one descriptor, and their names. A context manager, for the main thread."""

    def __init__(self, *numbers: signal.Signals) -> None:
        self._numbers = numbers

    def __enter__(self) -> Self:
        self._reading, self._writing = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(self._writing, warn_on_full_buffer=False)
        self._before = {number: signal.signal(number, lambda *_: None) for number in self._numbers}
        return self

    def __exit__(self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self.close()

    def fileno(self) -> int:
        return self._reading

    def came(self) -> list[str]:
        """Return the names of those that came since, each once, those that say that it ends first."""
        try:
            numbers = set(os.read(self._reading, 65536))
        except BlockingIOError:
            return []
        return [one.name for one in self._numbers if one in numbers]

    def block(self) -> None:
        """Let signals wait from now on."""
        signal.pthread_sigmask(signal.SIG_BLOCK, self._numbers)

    def unblock(self) -> None:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, self._numbers)

    def close(self) -> None:
        """Hear no more of them; each does what it does where nobody has said anything."""
        signal.set_wakeup_fd(-1)
        os.close(self._reading)
        os.close(self._writing)


def fork(signals: Signals, body: Callable[[Channel], int], *, let_go: Callable[[], None]) -> tuple[int, Channel]:
    """Run *body* in a child, with its side of a channel; return the child's process id and ours. Raises OSError.

    *let_go* closes, in the child, what is not for it.
    """
    ours, theirs = make_pair()
    _write_out()  # or the child would write it again
    signals.block()
    try:
        pid = os.fork()
        if not pid:
            _live(signals, body, let_go, ours, theirs)
    except OSError:
        ours.close()
        raise
    finally:
        signals.unblock()
        theirs.close()
    return pid, ours


def _live(signals: Signals, body: Callable[[Channel], int], let_go: Callable[[], None], ours: Channel, theirs: Channel) -> NoReturn:
    status = EX_SOFTWARE
    try:
        ours.close()
        let_go()
        signals.close()
        # What systemd or a terminal sends to all processes is the supervisor's to hand on; until the child says otherwise.
        for number in ASKING:
            signal.signal(number, signal.SIG_IGN)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signals.unblock()
        status = body(theirs)
    except BaseException:  # whatever it is, it must not unwind into the supervisor's own code
        with suppress(OSError):
            traceback.print_exc()
    finally:
        _write_out()
        os._exit(status)


def _write_out() -> None:
    """Empty the buffers of standard output and error, where there are any and somebody takes it."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(AttributeError, OSError, ValueError):  # None: closed before Python began; ENOSPC, EPIPE; closed since
            stream.flush()
