"""login - what tarry says to the MTA before the client's own EHLO.

What      `Login` goes from the MTA's greeting through XCLIENT and STARTTLS: each reply in, the next thing to do out. Where an MTA
          needs neither of the two (`Upstream.way` is None), there is no such object.
Order     EHLO with tarry's own name; XCLIENT, each answered by a greeting that nobody gets to see; EHLO again; STARTTLS. XCLIENT
          comes before TLS, which it does not reset.
Promises  An MTA that does not take the client's address is not used: it would take every client for this host, and be an open
          relay. An MTA that does not do STARTTLS where that is asked for is not used: nothing falls back to clear text.
Facts     Postfix answers the XCLIENT with ADDR as it would greet that client: 220, or the verdict of its client restrictions. To
          a host that may not say XCLIENT it answers 550 5.7.0, which is about tarry and must bounce no mail.
Not here  What the MTA offers to the client: that is what it answers to the client's own EHLO (core/upstream).
Source    Postfix's XCLIENT_README and smtpd.c (3.12), tried with 3.7.11; RFC 3207.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias

from tarry.core.client import Client
from tarry.smtp import xclient
from tarry.smtp.extensions import words_of
from tarry.smtp.grammar import parse_command
from tarry.smtp.reply import Reply
from tarry.smtp.text import escape

NOT_OFFERED = "it does not offer XCLIENT to this host: see smtpd_authorized_xclient_hosts"
NO_ADDRESS = "its XCLIENT takes no ADDR, so it cannot be told who the client is"
NO_STARTTLS = "it does not offer STARTTLS, which tls.to_mta asks for"
INJECTED = "it said more than its 220 to STARTTLS"

_OUR_FAULT = (b"5.7.0 ", b"5.7.14 ")
"""Enhanced codes that speak of tarry's right to say XCLIENT and not of the client: Postfix's and Dovecot's (Pigeonhole's) own."""


@dataclass(frozen=True, slots=True)
class Way:
    """What an MTA needs to hear first; the same for all its clients. ``name`` is what tarry calls itself."""

    name: str
    xclient: bool = False
    tls: bool = False


@dataclass(frozen=True, slots=True)
class Say:
    """Send this line; its reply is to be told."""

    line: bytes


@dataclass(frozen=True, slots=True)
class Secure:
    """Begin the TLS handshake; when it is done the login is."""


@dataclass(frozen=True, slots=True)
class Done:
    """It is the client's turn. ``ehlo`` is the MTA's EHLO reply where no further EHLO need be said."""

    ehlo: Reply | None = None


@dataclass(frozen=True, slots=True)
class Refused:
    """The MTA knows the client and does not want it."""

    reply: Reply


@dataclass(frozen=True, slots=True)
class Unusable:
    """The MTA cannot be used."""

    why: str


Step: TypeAlias = Say | Secure | Done | Refused | Unusable


class _At(Enum):
    EHLO = "EHLO"
    XCLIENT = "XCLIENT"
    EHLO_AGAIN = "EHLO again"
    STARTTLS = "STARTTLS"


class Login:
    """One login. ``client`` is None for a probe: it looks whether XCLIENT is offered, and says none."""

    __slots__ = ("_at", "_client", "_helo", "_lines", "_name", "_way")

    def __init__(self, way: Way, client: Client | None, *, helo: bytes, name: bytes | None = None) -> None:
        self._way = way
        self._client = client
        self._helo = helo
        self._name = name  # the client's host name, where a later version knows it
        self._at = _At.EHLO
        self._lines: list[bytes] = []

    @property
    def asks_for_tls(self) -> bool:
        """True when STARTTLS was said last: what comes behind its reply must not be taken for something from inside TLS."""
        return self._at is _At.STARTTLS

    def begin(self) -> Step:
        """The MTA has greeted."""
        return Say(b"EHLO " + self._way.name.encode("ascii", "replace"))

    def take(self, reply: Reply) -> Step:
        """The MTA has answered what was said last."""
        match self._at:
            case _At.EHLO | _At.EHLO_AGAIN if reply.code == 250:
                return self._greeted(reply)
            case _At.XCLIENT:
                return self._named(reply)
            case _At.STARTTLS if reply.code == 220:
                return Secure()
            case _:
                return self._unusable(reply)

    def _greeted(self, ehlo: Reply) -> Step:
        if self._way.xclient and self._at is _At.EHLO:
            offered = words_of(ehlo, "XCLIENT")
            if offered is None:
                return Unusable(NOT_OFFERED)
            if "ADDR" not in offered:
                return Unusable(NO_ADDRESS)
            if self._client is not None:
                self._at = _At.XCLIENT
                self._lines = self._commands(self._client, offered)
                return Say(self._lines.pop(0))
        if not self._way.tls:
            return Done(ehlo)
        if words_of(ehlo, "STARTTLS") is None:
            return Unusable(NO_STARTTLS)
        self._at = _At.STARTTLS
        return Say(b"STARTTLS")

    def _named(self, reply: Reply) -> Step:
        if reply.code != 220:
            # Before the last command the MTA still takes tarry for the client, and 50x is about the command.
            is_verdict = not self._lines and reply.code > 504 and not reply.last_line.startswith(_OUR_FAULT)
            return Refused(reply) if is_verdict else self._unusable(reply)
        if self._lines:
            return Say(self._lines.pop(0))
        if not self._way.tls:
            return Done()
        self._at = _At.EHLO_AGAIN
        return self.begin()

    def _commands(self, client: Client, offered: tuple[str, ...]) -> list[bytes]:
        said = parse_command(self._helo)
        return list(
            xclient.commands(
                offered,
                (client.endpoint.host, client.endpoint.port),
                (client.server.host, client.server.port),
                helo=said.argument,
                is_esmtp=said.verb == "EHLO",
                name=self._name,
            )
        )

    def _unusable(self, reply: Reply) -> Unusable:
        return Unusable(f"its {self._at.value.split()[0]} is {reply.code} {escape(reply.last_line)}".rstrip())
