"""starttls - STARTTLS, whoever's it is: the MTA's, passed on (tls.mode = "relay"), or tarry's own ("terminate").

What      Offers it, answers it, has the handshake done or the pump started, and knows whether the session is inside TLS.
Promises  Bytes behind STARTTLS, from either side, end the session: what was said in the clear never counts inside. Where
          TLS ends here, the MTA's own STARTTLS is not offered, and a connection to the MTA that knows of the time before is given
          up. Inside TLS it is not offered, and 503.
Not here  What else is forgotten (core/conversation); the handshake itself (net/tls_transport).
Source    RFC 3207 §4 (501, 503), §4.2 (what is forgotten), §6 (injection); CVE-2011-0411, CVE-2021-33515.
"""

from __future__ import annotations

from dataclasses import dataclass

from tarry.core import replies
from tarry.core.border import Emit, Pump, StartTls
from tarry.core.exchange import Exchange, Waiting
from tarry.record import schema
from tarry.smtp.extensions import Capabilities, with_starttls, without_starttls
from tarry.smtp.grammar import Command
from tarry.smtp.receiver import Receiver
from tarry.smtp.reply import Reply


@dataclass(frozen=True, slots=True)
class Established:
    """A handshake that went well. ``sni`` is the name that the client asked for, escaped."""

    version: str
    cipher: str
    sni: str = ""

    def event(self, seconds: float) -> schema.Tls:
        """Return the record of it; it took *seconds*."""
        return schema.Tls("client", True, self.version, self.cipher, self.sni, round(seconds * 1000, 3))


def failure(why: str) -> schema.Tls:
    """Return the record of a handshake with the client that came to nothing."""
    return schema.Tls("client", False, why=why)


class Starttls:
    """TLS of one session. ``ends_here``: STARTTLS is tarry's own; ``is_inside``: what the client says comes through TLS."""

    __slots__ = ("_receiver", "_x", "ends_here", "is_inside")

    def __init__(self, exchange: Exchange, receiver: Receiver) -> None:
        self._x = exchange
        self._receiver = receiver
        self.ends_here = exchange.setting.ends_tls
        self.is_inside = exchange.setting.in_tls

    @property
    def is_due(self) -> bool:
        """True while the client could begin TLS with tarry and has not: a password would go in the clear."""
        return self.ends_here and not self.is_inside

    def offer(self, known: Capabilities) -> Capabilities:
        """Return what an EHLO reply offers, of what the MTA offers: its own STARTTLS, tarry's, or none inside TLS."""
        if self.is_inside:
            return without_starttls(known)
        return with_starttls(known) if self.ends_here else known

    def command(self, command: Command, known: Capabilities, now: float) -> None:
        """The client asks for TLS."""
        x = self._x
        if self.is_inside:
            x.answer(replies.TLS_ALREADY, now)
        elif not (self.ends_here or known.offers("STARTTLS")):
            x.answer(replies.NOT_OFFERED, now)
        elif command.argument:
            x.answer(replies.NO_ARGUMENT, now)
        elif self._receiver.has_pending:
            # RFC 3207 §6: what was said in the clear must not count inside TLS.
            x.end_with(replies.TALK_AFTER_STARTTLS, now, to="STARTTLS")
        elif self.ends_here:
            # The MTA's session knows what was said in the clear: a HELO name, a sender, a login. A new one will not.
            x.mta.close(abort=False)
            x.answer(replies.READY_FOR_TLS, now)
            x.outbox.put(StartTls())
            x.waiting = Waiting.HANDSHAKE
            x.asked_at = now
            x.wake_at = now + x.policy.limits.handshake
        else:
            x.ask("STARTTLS", command.line, now)

    def answered(self, reply: Reply, now: float) -> None:
        """The MTA said 220 to the client's STARTTLS, or refused it."""
        x = self._x
        if reply.code != 220:
            x.answer(reply, now, by="mta")
        elif x.mta.has_unread:
            # What the MTA said behind its 220 would be read as if it came from inside TLS (response injection).
            x.fail(now, "it said more than its 220 to STARTTLS")
        elif self._receiver.has_pending:
            x.end_with(replies.TALK_AFTER_STARTTLS, now, to="STARTTLS")
        else:
            x.answer(reply, now, by="mta")
            x.outbox.put(Emit(schema.Handoff(x.setting.mode, x.setting.to, True, blind=True)))
            x.outbox.put(Pump())
            x.stop()

    def established(self, how: Established, now: float) -> None:
        """The handshake is done; the client speaks next."""
        x = self._x
        if self._receiver.has_pending:
            # The shell reads nothing between the 220 and the handshake; were it ever to, this must not count inside.
            self.failed("clear text behind STARTTLS", now)
            return
        x.outbox.put(Emit(how.event(now - x.asked_at)))
        self.is_inside = True
        x.mta.helo = b""
        x.mta.ehlo = None
        x.waiting = Waiting.NOTHING
        x.wake_at = now + x.policy.limits.command

    def failed(self, why: str, now: float) -> None:
        """The handshake came to nothing, which ends the session: the two ends do not agree on what is clear text."""
        self._x.outbox.put(Emit(failure(why)))
        self._x.end()
