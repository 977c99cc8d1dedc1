"""upstream - the conversation with the MTA, seen from the client's side of it.

What      Opens the MTA when the first command needs it, passes its greeting, the login where it needs one (core/login) and
          EHLO, then asks one command at a time and tells what came back.
Promises  Lock-step: at most one command is outstanding, so no reply can answer the wrong one. What is no reply, an
          answer of the wrong class, an unasked-for reply or a connection that ends is a `Broken`, and never a success.
          The MTA's own refusals come back unchanged.
Facts     Most MTAs need no login, and what is said before EHLO costs their sessions nothing: no object, one comparison.
Not here  What to tell the client (core/conversation), sockets and deadlines (net/).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias, assert_never

from tarry.core import login
from tarry.core.border import CloseMta, Learn, OpenMta, Outbox, SecureMta
from tarry.core.client import Client
from tarry.smtp.reply import Reply, ReplyFault, ReplyReader


class Stage(Enum):
    CLOSED = "closed"
    OPENING = "opening"
    GREETING = "greeting"
    LOGIN = "login"
    SECURING = "securing"
    HELO = "helo"
    READY = "ready"


@dataclass(frozen=True, slots=True)
class Answered:
    """The MTA's reply to what was asked."""

    reply: Reply


@dataclass(frozen=True, slots=True)
class TurnedAway:
    """The MTA refused the client at its greeting, at XCLIENT or at EHLO: this is the answer to whatever the client asked."""

    reply: Reply


@dataclass(frozen=True, slots=True)
class Broken:
    """The MTA cannot be used: it is away, silent, or says what is no answer."""

    why: str


MtaEvent: TypeAlias = Answered | TurnedAway | Broken


class Upstream:
    """The MTA's side of one session.

    ``knows_client``: the MTA is told who the client is, so a 5xx greeting is its verdict on that client; otherwise the MTA refuses
    tarry itself, which must never bounce mail. ``way`` is the login that the MTA needs, None where there is none, and ``client``
    who is announced by it, None for a probe. ``step`` counts the replies of the way from the greeting to READY.
    """

    __slots__ = (
        "_asked", "_began_early", "_client", "_knows_client", "_line", "_login", "_outbox", "_reader", "_way", "early", "ehlo",
        "helo", "stage", "step",
    )  # fmt: skip

    def __init__(self, outbox: Outbox, *, knows_client: bool, way: login.Way | None = None, client: Client | None = None) -> None:
        self._outbox = outbox
        self._knows_client = knows_client
        self._way = way
        self._client = client
        self._login: login.Login | None = None
        self._reader = ReplyReader()
        self._line = b""
        self._asked = False
        self._began_early = False  # a part of the reply had come before it was asked for
        self.stage = Stage.CLOSED
        self.step = 0
        self.helo = b""  # the client's own EHLO or HELO line, replayed to the MTA; empty where it gave none
        self.ehlo: Reply | None = None  # the MTA's answer to it in this session
        self.early: Reply | None = None  # a reply that came while message data was still being sent

    @property
    def is_ready(self) -> bool:
        return self.stage is Stage.READY

    @property
    def is_closed(self) -> bool:
        return self.stage is Stage.CLOSED

    @property
    def has_unread(self) -> bool:
        """True when the MTA said more than the reply that was taken last."""
        return len(self._reader) > 0 or self.early is not None

    def ask(self, line: bytes) -> None:
        """Send a command line (without CRLF) as soon as the MTA can take it, opening it where it is not."""
        self._asked = True
        if self.stage is Stage.READY:
            self._outbox.relay(line + b"\r\n")
            return
        self._line = line
        if self.stage is Stage.CLOSED:
            self.stage = Stage.OPENING
            self._reader = ReplyReader()
            self.early = None
            self._began_early = False
            self._outbox.put(OpenMta())

    def pass_on(self, data: bytes) -> None:
        """Send message data; no reply is due to it."""
        self._outbox.relay(data)

    def finish(self, data: bytes) -> Answered | None:
        """Send the end of a message or chunk; a reply is due, unless it has come early: then it is returned."""
        if self.early is not None:
            early, self.early = self.early, None
            return Answered(early)
        if data:
            self._outbox.relay(data)
        self._asked = True
        self._began_early = len(self._reader) > 0
        return None

    def opened(self) -> None:
        """The connection stands; the MTA speaks next."""
        self.stage = Stage.GREETING

    def secured(self) -> None:
        """The TLS handshake is done: what the MTA says from now on comes from inside."""
        assert self.stage is Stage.SECURING
        self.step += 1
        self._say_helo()

    def close(self, *, abort: bool) -> None:
        """Give the MTA up. *abort*: at once; otherwise it is told QUIT."""
        if self.stage is Stage.CLOSED:
            return
        if not abort and self.stage is Stage.READY:
            self._outbox.relay(b"QUIT\r\n")
        self._outbox.put(CloseMta(abort=abort or self.stage is not Stage.READY))
        self.stage = Stage.CLOSED
        self._asked = False

    def lost(self) -> None:
        """The connection ended by itself. An early answer is kept: it may answer the message that is still coming."""
        self.stage = Stage.CLOSED
        self._asked = False

    def receive(self, data: bytes) -> MtaEvent | None:
        """Take bytes from the MTA; return what they mean to the session, if anything yet."""
        if self.stage is Stage.SECURING:
            return Broken(login.INJECTED)
        self._reader.receive_data(data)
        event: MtaEvent | None = None
        while (got := self._reader.next_reply()) is not None:
            found = Broken(got.why) if isinstance(got, ReplyFault) else self._take(got)
            event = event or found
            if isinstance(found, Broken | TurnedAway):
                break
            # What lies behind the answer came before anything more was asked: it must not wait there to answer the next.
        return event

    def _take(self, reply: Reply) -> MtaEvent | None:
        match self.stage:
            case Stage.READY if self._asked:
                self._asked = False
                began_early, self._began_early = self._began_early, False
                return Broken("it answered the message before its end") if began_early and reply.code < 400 else Answered(reply)
            case Stage.READY if self.early is None:
                # A 421 on the way out, or a refusal while the message is still coming: kept for the command that needs it.
                self.early = reply
                return None
            case Stage.GREETING | Stage.LOGIN | Stage.HELO:
                self.step += 1
                return self._go_on(reply)
            case _:
                return Broken("a reply that nothing was asked for")

    def _go_on(self, reply: Reply) -> MtaEvent | None:
        if len(self._reader) and reply.code < 400:
            # It would answer what is said next, and every reply of the session would answer the command before.
            asked_tls = self._login is not None and self._login.asks_for_tls
            return Broken(login.INJECTED if asked_tls else "it said more than it was asked")
        match self.stage:
            case Stage.GREETING:
                if reply.code != 220:
                    return self._turned_away(reply, "greeting")
                if self._way is None:
                    self._say_helo()
                    return None
                self.stage = Stage.LOGIN
                self._login = login.Login(self._way, self._client, helo=self.helo)
                return self._follow(self._login.begin())
            case Stage.HELO:
                if reply.code != 250:
                    return self._turned_away(reply, "EHLO")
                self._greeted(reply)
                return None
            case _:
                assert self._login is not None
                return self._follow(self._login.take(reply))

    def _follow(self, step: login.Step) -> MtaEvent | None:
        match step:
            case login.Say(line=line):
                self._outbox.relay(line + b"\r\n")
            case login.Secure():
                self.stage = Stage.SECURING
                self._outbox.put(SecureMta())
            case login.Done(ehlo=ehlo):
                if ehlo is None:
                    self._say_helo()
                else:
                    self._greeted(ehlo)
            case login.Refused(reply=reply):
                return TurnedAway(reply)
            case login.Unusable(why=why):
                return Broken(why)
            case _ as unreachable:
                assert_never(unreachable)
        return None

    def _say_helo(self) -> None:
        self._login = None
        if self.helo:
            self.stage = Stage.HELO
            self._outbox.relay(self.helo + b"\r\n")
        else:
            self._begin()

    def _greeted(self, reply: Reply) -> None:
        is_esmtp = self.helo[:4].upper() == b"EHLO"
        self.ehlo = reply if is_esmtp else None
        if is_esmtp:
            self._outbox.put(Learn(reply))
        self._begin()

    def _begin(self) -> None:
        self.stage = Stage.READY
        self._outbox.relay(self._line + b"\r\n")

    def _turned_away(self, reply: Reply, where: str) -> MtaEvent:
        # Before XCLIENT the MTA does not know the client yet.
        knows_client = self._knows_client and (self._way is None or not self._way.xclient)
        if reply.code >= 500 and (knows_client or where == "EHLO"):
            return TurnedAway(reply)
        return Broken(f"its {where} is {reply.code}")
