"""alone - one client, held by a process that does nothing else.

What      `hold_client` waits and looks until core/hold has decided, `send_off` sends a client away, and `apologise` ends a greeting
          that a teaser began and nobody can go on with.
Promises  What the waiting room promises, without an event loop: peeked and never read, a half-closed client is held, a
          greeting is never early, a refusal arrives. While a client is held it costs a sleeping process and no wakeups.
Time      A clock and a way of waiting come in as arguments; `Waiter` is the one that polls.
Source    J. Rudd's sendwrap, 2004: select with a timeout, then exec. X21 in postscreen (features.md, section 2.1.4).
"""

from __future__ import annotations

import math
import select
import signal
import socket
from collections.abc import Callable, Sequence
from types import FrameType
from typing import TypeAlias

from tarry.core import hold, replies
from tarry.core.border import Answered, Due, Emit, Forget, Greet, HoldInput, HungUp, Refuse
from tarry.core.border import Wait as WaitFor
from tarry.core.clock import Clock
from tarry.core.facts import Answer
from tarry.core.hold import Held
from tarry.core.policy import Policy
from tarry.net.linger import BLOCK, LONGEST, MOST, drain, say
from tarry.net.peek import peek
from tarry.record.schema import SessionEvent
from tarry.smtp.reply import Reply

End: TypeAlias = Greet | Refuse | Forget
Wait: TypeAlias = Callable[[socket.socket, int, float], int]
"""Wait until a socket shows one of the events of a mask, or seconds have gone by; return the events, 0 for none."""

FIRST_COMMAND = 30.0
"""Seconds to wait for the command that an apology answers. What is said afterwards is a 421 whatever the command."""
_LINE = 2048
_GONE = select.POLLERR | select.POLLHUP
_SILENT = select.POLLIN | select.POLLRDHUP


class Stopped(Exception):
    """The process was told to end while it waited."""


class Waiter:
    """Waits with poll(2), and tells by `Stopped` when a signal says that the process is to end.

    A handler that raises is safe here and nowhere else: what poll was about to say it will say again.
    """

    def __init__(self) -> None:
        self._is_waiting = False
        self._is_stopped = False
        self._before: dict[int, object] = {}

    def listen(self, *numbers: int) -> None:
        """Take these signals from now on. One that is ignored (nohup) stays so."""
        for number in numbers:
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self._on_signal)

    @property
    def is_stopped(self) -> bool:
        """True when such a signal has come, also while nobody waited."""
        return self._is_stopped

    def __call__(self, sock: socket.socket, mask: int, seconds: float, also: int = -1) -> int:
        """Wait; *also* is a descriptor that ends the wait when it is readable."""
        poll = select.poll()
        poll.register(sock, mask)
        if also >= 0:
            poll.register(also, select.POLLIN)
        try:
            self._is_waiting = True
            if self._is_stopped:
                raise Stopped
            found = poll.poll(math.ceil(seconds * 1000))
        finally:
            self._is_waiting = False
        return next((events for fd, events in found if fd != also), 0)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self._is_stopped = True
        if self._is_waiting:
            raise Stopped


def hold_client(
    sock: socket.socket,
    held: Held,
    policy: Policy,
    *,
    until: float,
    clock: Clock,
    wait: Wait,
    emit: Callable[[SessionEvent, float], None],
    answers: Callable[[], Sequence[Answer]] = tuple,
) -> End:
    """Hold a client until *until* (monotonic), or until it is decided. Raises Stopped.

    *answers* returns what has come since it was called last of what was asked about the client.
    """
    while True:
        now = clock.monotonic()
        found: HoldInput | None
        for answer in answers():
            # The answer may let the client in, and early bytes count to the last moment.
            for also in (None if held.talked else peek(sock), Answered(answer)):
                if also is not None:
                    held, end = _step(held, also, now, policy, emit)
                    if isinstance(end, WaitFor):
                        until = held.accepted_at + end.seconds
                    elif end is not None:
                        return end
        if now >= until:
            # The socket is looked at once more: early bytes count to the last moment.
            found = None if held.talked else peek(sock)
            for happened in (found, Due()):
                if happened is not None:
                    held, end = _step(held, happened, now, policy, emit)
                    if end is not None and not isinstance(end, WaitFor):
                        return end
            raise AssertionError("a hold ends when it is due")
        mask = wait(sock, _interest(held), until - now)
        if not mask:
            continue
        if mask & _GONE:
            found = HungUp(reset=True)
        elif held.talked:
            # Only its hang-up is listened for. A peek would show the early bytes again and not the FIN behind them.
            found = HungUp(reset=False)
        else:
            found = peek(sock)
        if found is not None:
            held, end = _step(held, found, clock.monotonic(), policy, emit)
            if end is not None and not isinstance(end, WaitFor):
                return end


def _interest(held: Held) -> int:
    """What to wait for: poll says again what it has said, so nothing that is known. Errors and resets always come."""
    if held.left:
        return 0
    return select.POLLRDHUP if held.talked else _SILENT


def _step(
    held: Held, happened: HoldInput, now: float, policy: Policy, emit: Callable[[SessionEvent, float], None]
) -> tuple[Held, End | WaitFor | None]:
    held, effects = hold.step(held, happened, now, policy)
    for effect in effects:
        match effect:
            case Emit(event=event):
                emit(event, now)
            case Greet() | Refuse() | Forget() | WaitFor():
                return held, effect
    return held, None


def send_off(sock: socket.socket, data: bytes, *, clock: Clock, wait: Wait) -> None:
    """Send *data*, close our side, and read and throw away what the client still sends until it closes too.

    Within the bounds of net/linger, and for its reason: a close with unread input would destroy the reply.
    """
    if not say(sock, data):
        return
    try:
        sock.shutdown(socket.SHUT_WR)
    except OSError:
        return  # ENOTCONN: the client is gone
    until = clock.monotonic() + LONGEST
    scratch = bytearray(BLOCK)
    left = drain(sock, MOST, scratch)
    while left > 0 and (remains := until - clock.monotonic()) > 0:
        if wait(sock, _SILENT, remains):
            left = drain(sock, left, scratch)


def apologise(sock: socket.socket, greeting: Reply, refusal: Reply, *, clock: Clock, wait: Wait) -> Reply:
    """Finish a greeting that a teaser began, and answer the first command: *refusal*, or 221 to QUIT. Returns what was said.

    A 421 behind ``220-`` would be no reply at all. Raises Stopped.
    """
    said = refusal
    if say(sock, greeting.raw):
        until = clock.monotonic() + FIRST_COMMAND
        line = b""
        while b"\n" not in line and len(line) < _LINE and (remains := until - clock.monotonic()) > 0:
            if wait(sock, select.POLLIN, remains):
                try:
                    piece = sock.recv(_LINE, socket.MSG_DONTWAIT)
                except BlockingIOError:
                    continue
                except OSError:
                    break  # ECONNRESET and its kind: it is gone
                if not piece:
                    break
                line += piece
        if line.partition(b"\n")[0].strip().upper() == b"QUIT":
            said = replies.BYE
    send_off(sock, said.raw, clock=clock, wait=wait)
    return said
