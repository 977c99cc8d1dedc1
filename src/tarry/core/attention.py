"""attention - what of a client's commands is put before the checks, and what is looked up because of them.

What      Counts commands, keeps what is known of the session (`About`) up to date, and makes the moments of HELO, MAIL, RCPT, RSET
          and NOOP out of them.
Promises  Nothing is decided here. A moment that no check looks at is not made. Counters are few, whatever verbs a client makes up.
"""

from __future__ import annotations

from tarry.core.border import Emit, Hello, Recipient, RecipientAnswered, Repeated, Sender
from tarry.core.exchange import Exchange
from tarry.record import schema
from tarry.smtp.grammar import Command, path
from tarry.smtp.text import TEXT_LIMIT, escape

LONGEST_NAME = 255
"""Octets of a host name or a path that checks see (RFC 1035 §2.3.4, RFC 5321 §4.5.3.1.3)."""

_ARRIVALS = frozenset({"EHLO", "HELO", "MAIL", "AUTH", "STARTTLS"})
"""One of these comes before anything that matters, whatever a client leaves out."""
_FREE = 2  # EHLO before and after STARTTLS
_COUNTED_AS = {"EHLO": "HELO", "HELO": "HELO", "MAIL": "MAIL", "RSET": "RSET", "NOOP": "NOOP"}


class Attention:
    """The commands of one session, as the checks see them. ``refused`` counts the recipients that the MTA refused.

    ``sender`` and ``rcpt`` are the paths of the last MAIL and of the last RCPT behind it, as records show them.
    """

    __slots__ = ("_counts", "_has_arrived", "_x", "rcpt", "refused", "sender")

    def __init__(self, exchange: Exchange) -> None:
        self._x = exchange
        self._counts: dict[str, int] = {}
        self._has_arrived = False
        self.refused = 0
        self.sender = self.rcpt = ""

    def count(self, verb: str) -> int:
        """Return how many of these commands have come: EHLO and HELO (together), MAIL, RSET, NOOP."""
        return self._counts.get(_COUNTED_AS[verb], 0)

    def is_repeated(self, verb: str) -> bool:
        """True from the third EHLO or MAIL on. What is asked about it is answered first: a client that says one behind the other,
        each with another name, would else have as many questions under way as all others together may have."""
        return verb in ("EHLO", "HELO", "MAIL") and self.count(verb) > _FREE

    def record(self, command: Command) -> str:
        """Record that a command came, with as much of its argument as may stand in a log. Returns as much as checks may see."""
        verb, raw = command.verb, b""
        match verb:
            case "EHLO" | "HELO":
                raw = command.argument
            case "MAIL" | "RCPT":
                raw = path(command.argument)
            case "AUTH":
                raw = command.argument.split(b" ", 1)[0]  # the mechanism; what follows may be a password
        argument = escape(raw, LONGEST_NAME)
        shown = argument if len(argument) <= TEXT_LIMIT else escape(raw)
        if verb in ("MAIL", "RCPT"):
            shown = shown if self._x.policy.record_paths else ""
            if verb == "MAIL":
                self.sender, self.rcpt = shown, ""
            else:
                self.rcpt = shown
        self._x.outbox.put(Emit(schema.Command(verb, len(command.line) + 2, shown)))
        return argument

    def command(self, verb: str, argument: str, rcpts: int, now: float) -> None:
        """A command came, with the argument that `record` made of it; *rcpts* counts the RCPTs of its transaction so far."""
        counted_as = _COUNTED_AS.get(verb)
        if counted_as:
            self._counts[counted_as] = self._counts.get(counted_as, 0) + 1
        if not self._has_arrived and verb in _ARRIVALS:
            self._has_arrived = True
            self._x.screen.arrive(now)
        match verb:
            case "EHLO" | "HELO":
                if argument:
                    self._hello(verb, argument, now)
            case "MAIL":
                self._mail(argument, now)
            case "RCPT" if Recipient in self._x.policy.triggers:
                self._x.screen.look(Recipient(argument, rcpts), self._x.phase, now)
            case "RSET" | "NOOP" if Repeated in self._x.policy.triggers:
                self._x.screen.look(Repeated(verb, self._counts[verb]), self._x.phase, now)

    def recipient_answered(self, code: int, accepted: int, now: float) -> None:
        """The MTA answered a RCPT; *accepted* counts the recipients of the transaction that it has accepted."""
        if code >= 400:
            self.refused += 1
        if RecipientAnswered in self._x.policy.triggers:
            self._x.screen.look(RecipientAnswered(code, accepted, self.refused), self._x.phase, now)

    def _hello(self, verb: str, name: str, now: float) -> None:
        screen, phase = self._x.screen, self._x.phase
        count = self._counts["HELO"]
        if not self._x.transaction.is_open:
            screen.begin_message()
        hello = Hello(verb, name, count)
        screen.look(hello, phase, now)
        screen.ask(hello, phase, now)
        screen.about.helo, screen.about.verb = name, verb

    def _mail(self, address: str, now: float) -> None:
        screen, phase = self._x.screen, self._x.phase
        if not self._x.transaction.is_open:  # else it is the MTA's to refuse, and changes nothing
            screen.begin_message()
        screen.about.sender = address
        if Sender in self._x.policy.triggers:
            screen.look(Sender(address), phase, now)
        if self._x.policy.asking:
            screen.ask(Sender(address), phase, now)
