"""conversation - one greeted client, from the 220 to the end, with tarry in line.

What      A state machine without I/O: the shell tells what the client and the MTA did and what time it is; effects come back.
Promises  The client sees 250 for a message only after the MTA's 250, and a 5xx to MAIL, RCPT, DATA or a message only when the
          MTA said it or the operator's policy asks for it. One command is handled at a time, so replies and commands stay in step.
          The MTA is opened by the first command that it must judge, and not at all for a client that policy refuses.
Parts     core/exchange answers, asks, holds and gives up; core/commands has the commands, core/envelope of these MAIL and RCPT,
          core/delivery the message, core/starttls STARTTLS; core/pace says what is held; here is the order of things.
Source    RFC 5321 §4.1.4 (order of commands), RFC 2920, RFC 4954, RFC 3207; DESIGN §2 rules 2, 4, 9 and 10.
"""

from __future__ import annotations

import math
from typing import assert_never

from tarry.core import replies
from tarry.core.attention import Attention
from tarry.core.border import Emit, SessionEffect
from tarry.core.commands import Commands
from tarry.core.delivery import Delivery
from tarry.core.envelope import Envelope
from tarry.core.exchange import Exchange, Waiting
from tarry.core.facts import Answer
from tarry.core.setting import Setting
from tarry.core.starttls import Established, Starttls
from tarry.core.upstream import Answered, Broken, Stage, TurnedAway
from tarry.record import schema
from tarry.smtp.inputs import (
    AuthLine,
    BrokenData,
    BrokenLine,
    ChunkData,
    ClientInput,
    CommandLine,
    EndOfChunk,
    EndOfData,
    MessageData,
    OverlongLine,
)
from tarry.smtp.receiver import Receiver

BACKLOG = 65536
"""Octets of piled-up commands beyond which the client is not read; below it a hang-up during a hold is noticed at once."""
TURN = 128
"""Inputs that are taken in one go; then other clients have their turn, and this one goes on with `go_on`. A read of 256 KB
holds 43,000 NOOPs: taken at once they stopped the loop for 1.2 s and cost 80 MB, whether the client read the replies or not.
What the MTA must judge waits for the MTA and so ends the turn by itself."""


class Conversation:
    """One client in conversation. Every method that the shell calls returns the effects to carry out, in order."""

    def __init__(self, setting: Setting) -> None:
        self._setting = setting
        self._policy = policy = setting.policy
        self._x = Exchange(setting)
        self._mta = self._x.mta
        self._screen = self._x.screen
        self._receiver = Receiver(line_limit=policy.limits.line, normalize=policy.normalize)
        attention = Attention(self._x)
        self._envelope = Envelope(self._x, attention)
        self._delivery = Delivery(self._x, self._envelope, self._receiver)
        self._tls = Starttls(self._x, self._receiver)
        self._commands = Commands(self._x, attention, self._envelope, self._delivery, self._tls, self._receiver)
        self._left = self._draining = self._has_more = False
        self._stalled_at = math.inf  # when an MTA that takes no data is given up

    @property
    def wake_at(self) -> float:
        """When `due` wants to be called (monotonic); may move with every step, and is infinite once the end is ordered."""
        if self._x.waiting is Waiting.STUTTER:
            return self._x.next_octet_at
        return min(self._x.wake_at, self._stalled_at) if self._is_delivering else self._x.wake_at

    @property
    def wants_data(self) -> bool:
        """False when the client has piled up so much that no more is to be read before it has had its replies."""
        return self._receiver.pending_octets < BACKLOG

    def begin(self, now: float) -> list[SessionEffect]:
        """Greet, or send the client away where there is no MTA for it.

        Where a first line of the greeting has gone out, a 421 behind it would be no reply that a client can read: the greeting is
        finished, and the first command is told (postscreen does the same). An exempt client has had no such line.
        """
        setting, x = self._setting, self._x
        away = setting.away or ("" if setting.capabilities is not None else "the MTA has not been reached yet")
        if away and (setting.is_exempt or not self._policy.teaser):
            x.fail(now, away)
        else:
            if away:
                self._commands.is_away = True
                x.outbox.put(Emit(schema.Handoff(setting.mode, setting.to, False, why=away)))
            x.outbox.put(Emit(schema.Greet(max(0.0, round(now - setting.accepted_at, 6)))))
            x.outbox.send(replies.greeting(setting.name).raw)
            x.wake_at = now + self._policy.limits.command
        return x.outbox.take()

    def client_sent(self, data: bytes, now: float) -> list[SessionEffect]:
        """Bytes came from the client."""
        self._receiver.receive_data(data)
        self._go_on(now)
        return self._x.outbox.take()

    @property
    def has_more(self) -> bool:
        """True when a turn is over and something of the client's may still be taken: `go_on` is to be called."""
        return self._has_more and self._x.waiting is Waiting.NOTHING

    def go_on(self, now: float) -> list[SessionEffect]:
        """Take another turn at what the client has piled up. To be called once the client takes its replies."""
        self._go_on(now)
        return self._x.outbox.take()

    def client_left(self, now: float, *, reset: bool) -> list[SessionEffect]:
        """The client closed its side, so that what it sent before is still served, or reset the connection."""
        x = self._x
        if not self._left and x.waiting is not Waiting.END:
            self._left = True
            x.outbox.put(Emit(schema.Hangup(x.phase.word, "reset" if reset else "fin")))
            if x.waiting in (Waiting.HOLD, Waiting.STUTTER):
                x.leave(now)
            elif x.waiting is Waiting.HANDSHAKE:
                self._tls.failed("the client hung up", now)
            elif reset or self._tls.is_inside:
                # The end of TLS is the end of all: what comes behind it is nobody's, and half of a message is none.
                x.end()
            else:
                self._go_on(now)
        return x.outbox.take()

    def tls_established(self, how: Established, now: float) -> list[SessionEffect]:
        """The handshake that StartTls asked for is done: nothing that was said before counts any more (RFC 3207 §4.2)."""
        x = self._x
        if x.waiting is Waiting.HANDSHAKE:
            self._tls.established(how, now)
            self._envelope.forget()
            self._delivery.reset()
            self._commands.begin_anew()
            self._go_on(now)
        return x.outbox.take()

    def tls_failed(self, why: str, now: float) -> list[SessionEffect]:
        """The handshake came to nothing, and nothing more can be said."""
        if self._x.waiting is Waiting.HANDSHAKE:
            self._tls.failed(why, now)
        return self._x.outbox.take()

    def answered(self, answer: Answer, now: float) -> list[SessionEffect]:
        """What Ask ordered to be looked up came back."""
        x = self._x
        if x.waiting is not Waiting.END:
            self._screen.answered(answer, x.phase, now)
            if x.holds_for_answers and not self._screen.seconds_to_wait(x.phase, now):
                x.release(now, "answered")(now)
                self._go_on(now)
        return x.outbox.take()

    def mta_opened(self, now: float) -> list[SessionEffect]:
        """The connection that OpenMta asked for stands; the MTA has its time for the greeting from here."""
        self._mta.opened()
        self._stalled_at = math.inf
        self._x.wake_at = now + self._policy.limits.backend
        return self._x.outbox.take()

    def mta_sent(self, data: bytes, now: float) -> list[SessionEffect]:
        """Bytes came from the MTA."""
        x = self._x
        if x.waiting is not Waiting.END:
            step = self._mta.step
            event = self._mta.receive(data)
            if self._mta.step != step:
                x.logged_on(now)
            match event:
                case Answered(reply=reply):
                    if not x.restored(reply, now):
                        self._commands.answered(reply, now)
                    self._go_on(now)
                case TurnedAway(reply=reply):
                    self._mta.close(abort=True)
                    if not x.restored(reply, now):
                        x.answer(reply, now, by="mta")
                    self._go_on(now)
                case Broken(why=why):
                    x.fail(now, why)
                case None:
                    pass
                case _ as unreachable:
                    assert_never(unreachable)
        return x.outbox.take()

    def mta_secured(self, tls: schema.Tls, now: float) -> list[SessionEffect]:
        """The TLS handshake that SecureMta asked for is over, well or not."""
        self._x.secured(tls, now)
        return self._x.outbox.take()

    def mta_left(self, now: float, why: str) -> list[SessionEffect]:
        """The MTA's connection ended, or could not be made."""
        x = self._x
        if x.waiting is Waiting.MTA or self._delivery.needs_mta:
            x.fail(now, why)
        elif x.waiting is not Waiting.END and self._mta.stage is not Stage.CLOSED:
            self._envelope.lose(why)
            self._mta.lost()
        return x.outbox.take()

    def mta_full(self, now: float, *, full: bool) -> list[SessionEffect]:
        """The MTA takes no more data for now, so that the client must wait; or it takes data again."""
        # Not the client's deadline, which is long and grows with the message: it is the MTA that keeps it waiting.
        self._stalled_at = now + self._policy.limits.backend if full else math.inf
        return self._x.outbox.take()

    def due(self, now: float) -> list[SessionEffect]:
        """The point in time of `wake_at` has come."""
        x = self._x
        if self._is_delivering and now >= self._stalled_at:
            x.asked = "message"
            x.fail(now, "it took no data in time")
        elif now >= self.wake_at:
            match x.waiting:
                case Waiting.HOLD:
                    x.release(now, "due")(now)
                    self._go_on(now)
                case Waiting.STUTTER:
                    x.say_more(now)
                    self._go_on(now)
                case Waiting.MTA:
                    x.be_late(now)
                case Waiting.NOTHING:
                    x.end_with(replies.TOO_SLOW, now)
                case Waiting.HANDSHAKE:
                    self._tls.failed("no handshake in time", now)
                case Waiting.END:
                    pass
        return x.outbox.take()

    def drain(self, now: float) -> list[SessionEffect]:
        """The daemon is going down: end now where no transaction is under way, else after its message."""
        self._draining = True
        self._x.hurry(now)
        self._go_down_if_idle(now)
        return self._x.outbox.take()

    # What the client did.

    def _go_on(self, now: float) -> None:
        self._has_more = False
        for _ in range(TURN):
            if self._x.waiting is not Waiting.NOTHING:
                return
            got = self._receiver.next_input()
            if got is None:
                if self._left:
                    self._x.end()
                elif self._draining:
                    self._go_down_if_idle(now)
                return
            self._take(got, now)
        self._has_more = True

    def _take(self, got: ClientInput, now: float) -> None:
        x = self._x
        match got:
            case CommandLine(command=command, bare_newline=bare):
                self._commands.take(command, bare, now)
            case MessageData(data=data) | ChunkData(data=data):
                self._delivery.take(data)
            case EndOfData(mended=what):
                self._delivery.end_of_data(what, now)
            case EndOfChunk():
                self._delivery.end_of_chunk(now)
            case AuthLine(line=line):
                self._commands.take_auth_line(line, now)
            case BrokenLine(what=what, line=line):
                self._commands.take_broken_line(what, line, now)
            case OverlongLine():
                x.end_with(replies.LINE_TOO_LONG, now)
            case BrokenData(what=what):
                self._delivery.broken(what, now)
            case _ as unreachable:
                assert_never(unreachable)

    # Small parts.

    @property
    def _is_delivering(self) -> bool:
        return self._x.waiting is Waiting.NOTHING and self._delivery.is_open

    def _go_down_if_idle(self, now: float) -> None:
        x = self._x
        if x.waiting is Waiting.NOTHING and not self._envelope.is_open and not self._delivery.is_open:
            x.end_with(replies.GOING_DOWN, now)
