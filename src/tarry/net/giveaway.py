"""giveaway - clients that leave tarry at the greeting: to Postfix's smtpd, or to a command of their own.

What      Takes a client whose hold is over, gives its socket to the MTA, and closes its record.
Promises  A client is given away once or told to come again, never both. One that had to wait for its turn is looked at once more,
          so that early talk counts to the last moment. Its place at the door is free when the MTA has it (pass), or when its
          command has ended (exec): `listen.max_per_client` counts whom tarry can count.
Not here  How the descriptor travels (net/passing), how a command is run (net/children), what is said where it fails (`serve`).
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from functools import partial

from tarry.core import hold, replies
from tarry.core.border import Due, Emit, HungUp, Readable, Refuse
from tarry.core.clock import Clock
from tarry.core.hold import Held
from tarry.net.children import Children, RunFor
from tarry.net.linger import Linger
from tarry.net.passing import PassDesk, PassTo
from tarry.net.peek import peek
from tarry.net.waiting_room import Guest
from tarry.record import schema


class GiveAway:
    """Clients on their way out of one process.

    ``serve(guest, why)`` takes those back whom the MTA could not take; ``leave`` frees their place at the door; ``on_fewer`` is
    called when one has gone.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        clock: Clock,
        *,
        children: Children,
        linger: Linger,
        serve: Callable[[Guest, str], None],
        leave: Callable[[bytes], None],
        on_fewer: Callable[[], None],
    ) -> None:
        self._clock = clock
        self._children = children
        self._linger = linger
        self._serve = serve
        self._leave = leave
        self._on_fewer = on_fewer
        self._desk = PassDesk(loop, clock)
        self._guests: dict[int, Guest] = {}  # those whose command runs
        self._number = 0

    def __len__(self) -> int:
        return len(self._desk) + len(self._guests)

    def give(self, guest: Guest, to: PassTo | RunFor) -> None:
        """Give a client away. Its socket is taken over."""
        if isinstance(to, PassTo):
            self._desk.give(guest, to, self)
        else:
            self._run(guest, to)

    def drain(self) -> None:
        """The daemon is going down: who waits is told so, who is under way goes on."""
        self._desk.drain()

    def abort(self) -> None:
        """Wait for nobody any more. Commands that run go on by themselves."""
        self._desk.abort()
        guests = list(self._guests.values())
        self._guests.clear()
        for guest in guests:
            self._close(guest)

    def close(self) -> None:
        """Let go of everything."""
        self._desk.close()

    # What the desk tells.

    def given(self, guest: Guest, to: str, ms: float) -> None:
        """smtpd has the client."""
        now = self._clock.monotonic()
        guest.journal.emit(schema.Handoff("pass", to, True, ms), now)
        guest.sock.close()
        self._close(guest, now)

    def not_given(self, guest: Guest, why: str) -> None:
        """smtpd does not have it: it is told to come again."""
        self._serve(guest, why)
        self._on_fewer()

    def let_go(self, guest: Guest, to: str, why: str) -> None:
        """smtpd may have it or not, so nothing more is said to it."""
        guest.journal.emit(schema.Handoff("pass", to, False, why=why), self._clock.monotonic())
        guest.sock.close()
        self._close(guest)

    def is_still_quiet(self, guest: Guest) -> bool:
        """Look once more at a client that had to wait for its turn; False when it was refused, or has gone."""
        if guest.talked or guest.is_exempt:
            return True  # it has been judged, or is not to be
        found = peek(guest.sock)
        if found is None:
            return True
        now = self._clock.monotonic()
        # Its hold is over: what had no answer then has been told.
        held = Held(guest.journal.id, guest.client.address, guest.accepted_at, guest.reasons, answers=guest.answers, asks=False)
        held, effects = hold.step(held, found, now, guest.policy)
        if isinstance(found, Readable) and not guest.policy.end_early:
            held, more = hold.step(held, Due(), now, guest.policy)
            effects = (*effects, *more)
        guest.reasons = held.reasons
        guest.talked = held.talked
        for effect in effects:
            match effect:
                case Emit(event=event):
                    guest.journal.emit(event, now)
                case Refuse(reply=reply):
                    guest.journal.emit(replies.at_connect(reply), now)
                    self._linger.send_off(guest.sock, reply.raw)
                    self._close(guest)
                    return False
                case _:
                    pass  # Greet is what it is here for; Forget comes with a reset
        if isinstance(found, HungUp):
            guest.sock.close()
            self._close(guest)
            return False
        return True

    # Commands.

    def _run(self, guest: Guest, run: RunFor) -> None:
        self._number += 1
        number = self._number
        now = self._clock.monotonic()
        try:
            self._children.start(run, guest.client, guest.sock.fileno(), partial(self._on_exit, number))
        except OSError as fault:
            self._serve(guest, f"cannot be run: {fault.strerror or os.strerror(fault.errno or 0)}")
            return
        guest.sock.close()
        ms = round((self._clock.monotonic() - now) * 1000, 3)
        guest.journal.emit(schema.Handoff("exec", run.command[0], True, ms), self._clock.monotonic())
        self._guests[number] = guest

    def _on_exit(self, number: int, status: int, seconds: float) -> None:
        guest = self._guests.pop(number, None)
        if guest is not None:
            guest.journal.emit(schema.Exit(status, seconds), self._clock.monotonic())
            self._close(guest)

    def _close(self, guest: Guest, now: float | None = None) -> None:
        guest.journal.close(self._clock.monotonic() if now is None else now)
        self._leave(guest.packed)
        self._on_fewer()
