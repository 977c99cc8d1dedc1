"""session - one greeted client: two transports and the conversation between them.

What      Performs what core/conversation orders: writes to the client and to the MTA, opens the MTA, keeps the deadline,
          puts TLS between itself and the client (net/tls_transport) or pumps after STARTTLS, and ends in a way that lets the
          last reply arrive.
Promises  Bounded memory: while the MTA's side is full, or a reply is due, the client is not read; while the client does
          not take its replies, it is not read, and no further command of its is taken. After a turn (core/conversation) the
          other clients go first. Nothing the peers do raises here; what the code itself gets wrong ends this
          session alone, with a 421 and a record, and the MTA's transaction is aborted.
Facts     Protocol callbacks and not streams: a reader and a writer a session cost 5 KB and a task. Transports' write
          buffers stop at 64 KiB by themselves.
Not here  Any decision; the greeting's hold (net/waiting_room).
"""

from __future__ import annotations

import asyncio
import math
import ssl
from collections.abc import Callable, Sequence

from tarry.core import replies
from tarry.core.border import Ask, Close, CloseMta, Emit, Learn, OpenMta, Pump, Relay, SecureMta, Send, SessionEffect, StartTls
from tarry.core.clock import Clock
from tarry.core.conversation import Conversation
from tarry.core.facts import Answer, Resolver
from tarry.core.setting import Setting
from tarry.net import limbo
from tarry.net import linger as lingering
from tarry.net.backend import Backend
from tarry.net.mta_tls import secure
from tarry.net.openings import Opening, Openings
from tarry.net.sides import ClientSide, MtaSide
from tarry.net.tls_transport import TlsTransport
from tarry.record import schema
from tarry.record.journal import Journal

LINGER = lingering.LONGEST
"""Seconds that a client has to take its last reply and close (see net/linger)."""
_LINGER_OCTETS = lingering.MOST
BREATHER = 0.01
"""Seconds between the turns of a client that has piled up more commands than one turn takes. None of them needs the MTA, so no
honest client notices; without a pause one that floods kept the loop, and 45 MB of its records waited for the thread that writes."""


class Session:
    """One client in line. ``on_end`` is called once, when both connections are gone; ``tls`` are the terms for a STARTTLS."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        clock: Clock,
        *,
        conversation: Conversation,
        setting: Setting,
        journal: Journal,
        backend: Backend,
        on_end: Callable[[Session], None],
        tls: ssl.SSLContext | None = None,
        resolver: Resolver | None = None,
        openings: Openings | None = None,
    ) -> None:
        self._tls = tls
        self._openings = openings or Openings(loop, clock)
        self._resolver = resolver
        self._loop = loop
        self._clock = clock
        self._conversation = conversation
        self._setting = setting
        self._journal = journal
        self._backend = backend
        self._on_end = on_end
        self._client: asyncio.Transport | None = None
        self._unsent = b""  # what it is to be told, from before its transport was made
        self._mta: asyncio.Transport | None = None
        self._opening: asyncio.Task[None] | None = None
        self._turn_to_open: Opening | None = None
        self.attaching: asyncio.Task[None] | None = None  # kept here, since the loop holds tasks weakly
        self._mta_serial = 0  # a connection that comes late, for a conversation that gave up waiting, is known by it
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = math.inf
        self._turn: asyncio.TimerHandle | None = None
        self._paused = self._client_full = self._mta_full = self._securing = False
        self._pumping = self._closing = self._ended = False
        self._client_left = False  # its FIN has come: nothing is left to drain
        self._drained = 0

    # The client's side.

    def client_made(self, transport: asyncio.Transport) -> None:
        self._client = transport
        if self._unsent:
            transport.write(self._unsent)
        if self._closing:
            self._close_client()
        else:
            self._control_timer(self._clock.monotonic())  # a client that says nothing has its time as well

    def client_data(self, data: bytes) -> None:
        if self._closing:
            self._drained += len(data)
            if self._drained > _LINGER_OCTETS and self._client is not None:
                self._client.abort()
        elif self._pumping:
            if self._mta is not None:
                self._mta.write(data)
        else:
            self._perform(lambda now: self._conversation.client_sent(data, now))

    def client_eof(self) -> bool:
        """Return True to keep our side open."""
        self._client_left = True
        if self._closing:
            return False
        if self._pumping:
            if self._mta is not None:
                _half_close(self._mta)
            return True
        self._perform(lambda now: self._conversation.client_left(now, reset=False))
        return not self._closing

    def client_lost(self, exc: Exception | None) -> None:
        self._client = None
        if not self._closing and not self._pumping:
            self._perform(lambda now: self._conversation.client_left(now, reset=True))
        if self._mta is not None:
            self._mta.abort()
        self._end()

    def client_writable(self, yes: bool) -> None:
        self._client_full = not yes
        if self._pumping:
            _flow(self._mta, yes)
        else:
            self._control_reading()

    # The MTA's side.

    def mta_made(self, serial: int, transport: asyncio.Transport) -> None:
        if serial != self._mta_serial or self._closing:
            transport.abort()
            return
        self._mta = transport
        limbo.watch(transport)
        tls = self._client.established if isinstance(self._client, TlsTransport) else None
        announcement = self._backend.announcement(self._setting.client, id=self._setting.id, tls=tls)
        if announcement:
            transport.write(announcement)
        self._perform(self._conversation.mta_opened)

    def mta_data(self, serial: int, data: bytes) -> None:
        if serial != self._mta_serial:
            return
        if self._turn_to_open is not None:
            self._end_opening()
            if self._mta is not None:
                limbo.unwatch(self._mta)
        if self._pumping:
            if self._client is not None:
                self._client.write(data)
        else:
            self._perform(lambda now: self._conversation.mta_sent(data, now))

    def mta_lost(self, serial: int, exc: Exception | None) -> None:
        if serial != self._mta_serial or self._securing:
            return  # how a handshake ended is told by itself
        turn = self._turn_to_open
        self._end_opening()
        self._mta = None
        self._mta_full = False
        if turn is not None and limbo.is_lost(exc, self._clock.monotonic() - turn.at, turn.tries):
            self._open_mta(turn.tries + 1)
            return
        if self._pumping:
            self._close_client()
        else:
            why = "the connection broke" if exc else "it closed the connection"
            self._perform(lambda now: self._conversation.mta_left(now, why))

    def mta_writable(self, serial: int, yes: bool) -> None:
        if serial == self._mta_serial:
            self._mta_full = not yes
            if self._pumping:
                self._control_reading()
            else:
                self._perform(lambda now: self._conversation.mta_full(now, full=not yes))

    # The daemon's side.

    def drain(self) -> None:
        """The daemon is going down."""
        if not self._closing and not self._pumping:
            self._perform(self._conversation.drain)

    def abort(self) -> None:
        """End at once."""
        if self._mta is not None:
            self._mta.abort()
        if self._client is not None:
            self._client.abort()
        else:
            self._end()

    # Performing.

    def _perform(self, step: Callable[[float], Sequence[SessionEffect]]) -> None:
        now = self._clock.monotonic()
        try:
            effects = step(now)
        except Exception as fault:  # the one broad handler of a session: our bug ends this session and no other
            self._break(fault, now)
            return
        self._carry_out(effects, now)

    def _carry_out(self, effects: Sequence[SessionEffect], now: float) -> None:
        for effect in effects:
            match effect:
                case Emit(event=event):
                    self._journal.emit(event, now)
                case Send(data=data):
                    if self._client is not None:
                        self._client.write(data)
                    else:
                        self._unsent += data
                case Relay(data=data):
                    if self._mta is not None:
                        self._mta.write(data)
                case OpenMta():
                    self._open_mta()
                case CloseMta(abort=abort):
                    self._close_mta(abort=abort)
                case Learn(ehlo=ehlo):
                    self._backend.learn(ehlo)
                case SecureMta():
                    self._securing = True
                    self._opening = self._loop.create_task(self._secure_mta(self._mta_serial))
                case Ask(questions=questions):
                    if self._resolver is not None:
                        for question in questions:
                            self._resolver.ask(question, self._on_answer)
                case Pump():
                    self._pumping = True
                    self._stop_timer()
                case StartTls():
                    self._start_tls()
                case Close(linger=linger):
                    self._closing = True
                    self._close_client(linger=linger)
        if not self._closing and not self._pumping:
            self._control_reading()
            self._control_timer(now)

    def _on_answer(self, answer: Answer) -> None:
        if not self._closing and not self._pumping:
            self._perform(lambda now: self._conversation.answered(answer, now))

    def _on_turn(self) -> None:
        self._turn = None
        if not self._closing and not self._pumping:
            self._perform(self._conversation.go_on)

    def _break(self, fault: Exception, now: float) -> None:
        self._loop.call_exception_handler(
            {"message": f"session {self._setting.id} ends by a fault of tarry itself", "exception": fault}
        )
        why = f"a fault of tarry itself: {type(fault).__name__}: {fault}"[:200]
        self._journal.emit(schema.Handoff(self._setting.mode, self._setting.to, False, why=why), now)
        self._close_mta(abort=True)
        if self._client is not None and not self._closing:
            self._client.write(replies.FAULT.raw)
        self._closing = True
        self._close_client()

    def _start_tls(self) -> None:
        below = self._client
        if below is None:
            return
        assert self._tls is not None, "STARTTLS is offered only where there is a certificate"
        inside = TlsTransport(
            self._tls,
            ClientSide(self),
            on_established=lambda how: self._perform(lambda now: self._conversation.tls_established(how, now)),
            on_failed=lambda why: self._perform(lambda now: self._conversation.tls_failed(why, now)),
        )
        inside.begin(below)
        self._client = inside

    def _open_mta(self, tries: int = 1) -> None:
        self._mta_serial += 1
        self._turn_to_open = Opening(self._begin_to_connect, tries)
        self._openings.begin(self._turn_to_open)

    def _begin_to_connect(self) -> None:
        self._opening = self._loop.create_task(self._connect(self._mta_serial))

    def _end_opening(self) -> None:
        if self._turn_to_open is not None:
            turn, self._turn_to_open = self._turn_to_open, None
            self._openings.end(turn)

    async def _connect(self, serial: int) -> None:
        try:
            await self._backend.connector.connect(lambda: MtaSide(self, serial), self._setting.client)
        except OSError as fault:
            # ECONNREFUSED, ENOENT, EMFILE, EHOSTUNREACH: to the client all of them are "try again later".
            self._backend.doubt()
            if serial == self._mta_serial:
                self._end_opening()
                why = f"cannot be reached: {fault.strerror or fault}"
                self._perform(lambda now: self._conversation.mta_left(now, why))

    async def _secure_mta(self, serial: int) -> None:
        assert self._mta is not None
        assert self._backend.tls is not None
        transport, tls = await secure(self._backend.tls, self._mta, MtaSide(self, serial))
        self._securing = False
        self._mta = transport or self._mta
        self._perform(lambda now: self._conversation.mta_secured(tls, now))

    def _close_mta(self, *, abort: bool) -> None:
        self._mta_serial += 1
        self._end_opening()
        self._mta_full = self._securing = False
        if self._opening is not None:
            self._opening.cancel()
            self._opening = None
        mta, self._mta = self._mta, None
        if mta is not None:
            if abort:
                mta.abort()
            else:
                if mta.get_write_buffer_size():
                    # An MTA that takes no more would keep the socket for as long as it likes.
                    self._loop.call_later(LINGER, mta.abort)
                mta.close()

    def _close_client(self, *, linger: bool = True) -> None:
        self._closing = True
        self._stop_timer()
        client = self._client
        if client is None:
            return
        if not linger or self._client_left:
            client.close()
            if not client.get_write_buffer_size():
                return
            # A client that does not take its last replies would keep the socket for as long as it likes.
        else:
            if self._paused:
                self._paused = False
                client.resume_reading()
            _half_close(client)
        self._timer = self._loop.call_later(LINGER, client.abort)

    def _control_reading(self) -> None:
        """Read the client only while what it says can go somewhere, and go on with what it has said."""
        client = self._client
        if client is None or self._closing:
            return
        has_more = self._conversation.has_more
        if has_more and not self._client_full and self._turn is None:
            self._turn = self._loop.call_later(BREATHER, self._on_turn)
        stop = self._mta_full or self._client_full or has_more or not self._conversation.wants_data
        if stop != self._paused:
            self._paused = stop
            _flow(client, not stop)

    def _control_timer(self, now: float) -> None:
        wake_at = self._conversation.wake_at
        if wake_at < self._timer_at:
            self._stop_timer()
            self._timer_at = wake_at
            self._timer = self._loop.call_later(max(0.0, wake_at - now), self._on_timer)

    def _on_timer(self) -> None:
        # Deadlines move with every command; the timer is only set anew when it goes off early or a nearer one comes.
        self._timer = None
        self._timer_at = math.inf
        self._perform(self._conversation.due)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._timer_at = math.inf

    def _end(self) -> None:
        if not self._ended:
            self._ended = self._closing = True
            self._stop_timer()
            if self._turn is not None:
                self._turn.cancel()
            self._close_mta(abort=True)
            self._journal.close(self._clock.monotonic())
            self._on_end(self)


def _half_close(transport: asyncio.Transport) -> None:
    if transport.can_write_eof() and not transport.is_closing():
        try:
            transport.write_eof()
        except OSError:
            transport.abort()  # ENOTCONN: a reset has come, and the loop has not told of it yet


def _flow(transport: asyncio.Transport | None, go: bool) -> None:
    if transport is None or transport.is_closing():
        return
    if go:
        transport.resume_reading()
    else:
        transport.pause_reading()
