"""smtps - clients that begin with TLS: the handshake first, then the hold inside it.

What      Takes accepted clients of listen.smtps, has TLS done, keeps them for their hold, tells core/hold what they do
          meanwhile, and does what it orders: the same checks, records and verdicts as in the waiting room, on what comes
          inside TLS.
Promises  The handshake has a deadline, and its failure is recorded and ends the connection. The hold counts from accept.
          What comes inside TLS before the greeting is early talk; where it is let in, the session gets it, and nothing of
          it is lost. A refusal is one reply and close_notify. Bytes that are in the socket when the hold ends are read before the
          greeting is written, as far as whole TLS records have come.
Costs     A transport and a TLS state each, 21 KB (400 held, uvloop, OpenSSL 3.0): not a row of numbers as in the waiting room.
Not here  Who may come in (net/front), TLS itself (net/tls_transport), the session after the greeting (net/session).
Source    RFC 8314 §3.3 (port 465).
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable

from tarry.core import hold, replies
from tarry.core.border import PEEK_BYTES, Due, Emit, Forget, Greet, HoldInput, HungUp, Readable, Refuse
from tarry.core.clock import Clock
from tarry.core.hold import Held
from tarry.core.starttls import Established, failure
from tarry.net import linger
from tarry.net.peek import peek
from tarry.net.tls_transport import TlsSide, TlsTransport
from tarry.net.waiting_room import Guest
from tarry.record import schema
from tarry.smtp.reply import Reply

EARLY_MOST = 16384
"""Octets of early talk that are kept for the session; a client that sends more is not read before it is greeted."""
LAST_LOOK = 0.002
"""Seconds that the loop has to read what is in the socket when the hold ends, up to LOOKS times."""
LOOKS = 5


class TlsRoom:
    """The clients of listen.smtps that have not been greeted. ``greet`` takes a client, its TLS and what it said early, and says
    whether it has taken it; ``leave`` is told the address of one that has gone."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        clock: Clock,
        *,
        greet: Callable[[Guest, TlsTransport, bytes], bool],
        leave: Callable[[bytes], None],
    ) -> None:
        self.loop = loop
        self.clock = clock
        self.greet = greet
        self.leave = leave
        self.held: set[Newcomer] = set()
        self.leaving: set[Newcomer] = set()

    def __len__(self) -> int:
        return len(self.held)

    def enter(self, guest: Guest, context: ssl.SSLContext, wait: float, name: str) -> None:
        """Begin TLS with a client, and hold it until *wait* seconds after it was accepted; one that is exempt is not held.

        *name* is the one in the greeting.
        """
        one = Newcomer(self, guest, context, wait, name)
        self.held.add(one)
        guest.sock.setblocking(False)
        one.attaching = self.loop.create_task(self._attach(one))

    def drain(self, reply: Reply) -> None:
        """The daemon is going down: all get *reply*, or the end where TLS is not there yet."""
        for one in list(self.held):
            one.send_away(reply)

    def close(self) -> None:
        """Let go of those who linger, at once."""
        for one in list(self.leaving):
            one.inside.abort()

    async def _attach(self, one: Newcomer) -> None:
        try:
            await self.loop.connect_accepted_socket(lambda: TlsSide(one.inside), one.guest.sock)
        except OSError:
            # ENOTCONN, EBADF: the client was gone before its transport was made.
            one.guest.sock.close()
            one.connection_lost(None)


class Newcomer(asyncio.Protocol):
    """One client: in its handshake, then held, then leaving or taken."""

    def __init__(self, room: TlsRoom, guest: Guest, context: ssl.SSLContext, wait: float, name: str) -> None:
        self._room = room
        self.guest = guest
        self._name = name
        self.inside = TlsTransport(context, self, on_established=self._established, on_failed=self._failed)
        self.attaching: asyncio.Task[None] | None = None  # kept here, since the loop holds tasks weakly
        self._held = Held(guest.journal.id, guest.client.address, guest.accepted_at, asks=False)
        self._due_at = guest.accepted_at + wait
        self._early = b""
        self._looks = LOOKS
        self._timer = self._later(guest.accepted_at + guest.policy.limits.handshake, self._on_too_slow)

    # What the client does.

    def data_received(self, data: bytes) -> None:
        self._early += data
        if len(self._early) > EARLY_MOST:
            self.inside.pause_reading()
        self._step(Readable(self._early[:PEEK_BYTES]))

    def eof_received(self) -> bool:
        self._gone(reset=False)
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._gone(reset=True)
        self._room.leaving.discard(self)
        self._timer.cancel()

    def _gone(self, *, reset: bool) -> None:
        if self not in self._room.held:
            return
        if self.inside.established is None:
            self._emit(schema.Hangup("connect", "reset" if reset else "fin"))
            self._emit(failure("the client hung up"))
        else:
            self._step(HungUp(reset=reset))
        if self in self._room.held:  # a FIN is no half-close inside TLS
            self._leave()

    # What TLS and the clock say.

    def _established(self, how: Established) -> None:
        now = self._room.clock.monotonic()
        self._emit(how.event(now - self.guest.accepted_at))
        self._timer.cancel()
        if self.guest.is_exempt:
            self._greet()
            return
        if self.guest.policy.teaser:
            self.inside.write(replies.teaser(self.guest.policy.teaser, self._name))
        self._timer = self._later(self._due_at, self._on_due)

    def _failed(self, why: str) -> None:
        self._emit(failure(why))
        self._leave()

    def _on_too_slow(self) -> None:
        self._failed("no handshake in time")

    def _on_due(self) -> None:
        if self._room.clock.monotonic() < self._due_at:
            self._timer = self._later(self._due_at, self._on_due)  # uvloop's clock has milliseconds; a greeting is never early
            return
        if not self._held.talked and self._looks and peek(self.guest.sock, 1) is not None:
            # It counts to the last millisecond, and only the loop can decrypt it.
            self._looks -= 1
            self._timer = self._room.loop.call_later(LAST_LOOK, self._on_due)
            return
        self._step(Due())

    # What is done about it.

    def send_away(self, reply: Reply) -> None:
        """Say this one reply inside TLS, where there is one, and close."""
        if self.inside.established is None:
            self._emit(failure("the daemon is going down"))
        else:
            self._emit(replies.at_connect(reply))
            self.inside.write(reply.raw)
        self._leave()

    def _step(self, happened: HoldInput) -> None:
        now = self._room.clock.monotonic()
        self._held, effects = hold.step(self._held, happened, now, self.guest.policy)
        for effect in effects:
            match effect:
                case Emit(event=event):
                    self.guest.journal.emit(event, now)
                case Greet():
                    self._greet()
                case Refuse(reply=reply):
                    self.send_away(reply)
                case Forget():
                    self._leave()

    def _greet(self) -> None:
        self._timer.cancel()
        self.guest.reasons = self._held.reasons
        early, self._early = self._early, b""
        if len(early) > EARLY_MOST:
            self.inside.resume_reading()
        if self._room.greet(self.guest, self.inside, early):
            self._room.held.discard(self)
        else:
            self._leave()

    def _leave(self) -> None:
        """The client is sent away: its last words arrive, and what it still sends is thrown away, as in net/linger."""
        room = self._room
        room.held.discard(self)
        room.leaving.add(self)
        self._timer.cancel()
        self._early = b""
        self.guest.journal.close(room.clock.monotonic())
        room.leave(self.guest.packed)
        self._timer = room.loop.call_later(linger.LONGEST, self.inside.abort)
        try:
            self.inside.resume_reading()
            self.inside.write_eof()
        except OSError:
            self.inside.abort()  # ENOTCONN: a reset has come, and the loop has not told of it yet

    def _emit(self, event: schema.SessionEvent) -> None:
        self.guest.journal.emit(event, self._room.clock.monotonic())

    def _later(self, at: float, call: Callable[[], None]) -> asyncio.TimerHandle:
        return self._room.loop.call_later(max(0.0, at - self._room.clock.monotonic()), call)
