"""talk - transcripts of one greeted client, with the MTA behind it.

    Talk().plays(
        '''
        S: 220 mail.example ESMTP
        C: EHLO client.example
        S: 250 mail.example
        C: MAIL FROM:<a@b.example>
        * open the MTA
        ! opened
        M< 220 mta.example
        M> EHLO client.example
        '''
    )

What is put in   ``C:`` a line of the client, ``M<`` a line of the MTA; ``C+`` and ``M+`` raw bytes of theirs, with Python's escapes
                 and no line end of our own. Lines of one kind that follow each other come in one block; ``--`` parts them.
                 ``! opened``, ``! secured``, ``! not secured: why``, ``! MTA left: why``, ``! FIN``, ``! RST``, ``! drain``,
                 ``! MTA full``, ``! MTA takes``, ``! TLS`` (the client's handshake is done), ``! TLS failed: why``, and ``! 5s``:
                 that much time goes by.
                 ``A< names 192.0.2.7 = mail.example`` answers a question that was asked: the values, none for nothing, or
                 ``A< names 192.0.2.7 ? SERVFAIL`` for no answer. All names of an answer are confirmed ones.
What comes out   ``A> names 192.0.2.7``, a question (``listed`` with the whole query name, ``names``, ``addresses``); ``S:`` a line
                 to the client, ``M>`` a line to the MTA, ``S+`` and ``M-`` bytes to them that end no line, and the other effects:
                 ``* open the MTA``, ``* secure the MTA``, ``* abort the MTA``, ``* close the MTA``, ``* close``,
                 ``* close at once``, ``* pump``, ``* start TLS``.

The whole transcript is compared, so nothing goes unmentioned. Records are kept in ``events``. ``due`` is called when its
time has come and never between, as a timer does.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import Any, TypeVar, assert_never

from tarry.core.border import Ask, Close, CloseMta, Emit, Learn, OpenMta, Pump, Relay, SecureMta, Send, SessionEffect, StartTls
from tarry.core.client import Client, Endpoint, Phase
from tarry.core.conversation import Conversation
from tarry.core.facts import Answer, Question, State
from tarry.core.policy import Policy
from tarry.core.result import Reason
from tarry.core.setting import Setting
from tarry.core.starttls import Established
from tarry.record import schema
from tarry.smtp.extensions import Capabilities, read_capabilities
from tarry.smtp.reply import reply

ACCEPTED_AT = 1000.0
BEGUN_AT = 1004.0
CLIENT = Client(Endpoint("192.0.2.7", 40000), Endpoint("198.51.100.1", 25))
EHLO = reply(250, "mta.example", "PIPELINING", "CHUNKING", "AUTH PLAIN LOGIN", "STARTTLS")
OFFERED = read_capabilities(EHLO)

GREETED = """
S: 220 mail.example ESMTP
"""
HELLO = f"""{GREETED}
C: EHLO client.example
S: 250-mail.example
S: 250-PIPELINING
S: 250-CHUNKING
S: 250-AUTH PLAIN LOGIN
S: 250 STARTTLS
"""
LOGIN = """
* open the MTA
! opened
M< 220 mta.example ESMTP
M> EHLO client.example
M< 250-mta.example
M< 250-PIPELINING
M< 250-CHUNKING
M< 250-AUTH PLAIN LOGIN
M< 250 STARTTLS
"""
MAIL = f"""
C: MAIL FROM:<a@b.example>
{LOGIN}
M> MAIL FROM:<a@b.example>
M< 250 2.1.0 Sender ok
S: 250 2.1.0 Sender ok
"""
RCPT = """
C: RCPT TO:<c@d.example>
M> RCPT TO:<c@d.example>
M< 250 2.1.5 Recipient ok
S: 250 2.1.5 Recipient ok
"""
DATA = """
C: DATA
M> DATA
M< 354 Go ahead
S: 354 Go ahead
"""
MESSAGE = """
C: Subject: x
C:
C: text
C: .
M> Subject: x
M>
M> text
M> .
M< 250 2.0.0 Queued
S: 250 2.0.0 Queued
"""
ENVELOPE = HELLO + MAIL + RCPT
SENDING = ENVELOPE + DATA
GONE = "S: 421 4.3.2 Service not available, try again later [K3X9-0001]"

AnEvent = TypeVar("AnEvent")


def setting(policy: Policy | None = None, **changed: Any) -> Setting:
    """Return what a conversation of these tests begins with, but for what is *changed*."""
    known: dict[str, Any] = {
        "id": "K3X9-0001",
        "client": CLIENT,
        "accepted_at": ACCEPTED_AT,
        "policy": policy or Policy(),
        "capabilities": OFFERED,
        "name": "mail.example",
        "random": lambda: 0.0,
        "mode": "proxy",
        "to": "127.0.0.1:10025",
    }
    return Setting(**{**known, **changed})


def found(check: str, code: str = "spoke", weight: float = 1.0, phase: Phase = Phase.HOLD) -> Reason:
    """Return a reason of the hold before the greeting."""
    return Reason(check, code, "EHLO x", weight, phase, 1.0)


def slowly(line: str, pace: float = 1.0) -> str:
    """Return the part of a transcript in which a reply of one line goes out an octet at a time."""
    return f"\n! {pace}s\n".join(f"S+ {char}" for char in [*line, "\\r", "\\n"])


class Slow:
    """A count of slow replies for one process: here, one test."""

    def __init__(self) -> None:
        self.ids: set[str] = set()

    def begin(self, id: str, limit: int) -> bool:
        if len(self.ids) >= limit:
            return False
        self.ids.add(id)
        return True

    def end(self, id: str) -> None:
        self.ids.discard(id)


class Talk:
    """One client in conversation, on a clock of its own."""

    def __init__(self, policy: Policy | None = None, **changed: Any) -> None:
        self.conversation = Conversation(setting(policy, **changed))
        self.now = BEGUN_AT
        self.events: list[schema.SessionEvent] = []
        self.learned: list[Capabilities] = []
        self._asked: dict[str, Question] = {}
        self._actual: list[str] = []
        self._take(self.conversation.begin(self.now))

    def plays(self, *scripts: str) -> Talk:
        """Play the inputs of a script and compare all that comes of them with it; may be called again to go on."""
        expected = _lines(scripts)
        for kind, lines in groupby(expected, _kind):
            self._put_in(kind, list(lines))
        actual, self._actual = self._actual, []
        assert "\n".join(line for line in expected if line != "--") == "\n".join(actual)
        return self

    def of(self, kind: type[AnEvent]) -> list[AnEvent]:
        """Return the records of one kind."""
        return [event for event in self.events if isinstance(event, kind)]

    def _put_in(self, kind: str, lines: list[str]) -> None:
        match kind:
            case "input of the client":
                self._actual += lines
                self._take(self.conversation.client_sent(b"".join(map(_raw, lines)), self.now))
                self._go_on()
            case "input of the MTA":
                self._actual += lines
                self._take(self.conversation.mta_sent(b"".join(map(_raw, lines)), self.now))
            case "answer":
                for line in lines:
                    self._actual.append(line)
                    self._take(self.conversation.answered(self._answer(line[3:]), self.now))
                    self._go_on()
            case "event":
                for line in lines:
                    self._actual.append(line)
                    self._happen(line[2:])

    def _answer(self, text: str) -> Answer:
        question, mark, rest = next(text.partition(sign) for sign in (" =", " ?") if sign in text)
        if mark == " ?":
            return Answer(self._asked.pop(question), State.UNKNOWN, why=rest.strip())
        values = tuple(rest.replace(",", " ").split())
        return Answer(self._asked.pop(question), State.FOUND if values else State.NOTHING, values, len(values))

    def _go_on(self) -> None:
        while self.conversation.has_more:
            self._take(self.conversation.go_on(self.now))

    def _happen(self, what: str) -> None:
        talk = self.conversation
        match what.partition(": "):
            case "opened", _, _:
                self._take(talk.mta_opened(self.now))
            case "secured", _, _:
                self._take(talk.mta_secured(schema.Tls("mta", True, "TLSv1.3", "X"), self.now))
            case "not secured", _, why:
                self._take(talk.mta_secured(schema.Tls("mta", False, why=why), self.now))
            case "MTA left", _, why:
                self._take(talk.mta_left(self.now, why))
            case "FIN", _, _:
                self._take(talk.client_left(self.now, reset=False))
            case "RST", _, _:
                self._take(talk.client_left(self.now, reset=True))
            case "TLS", _, _:
                self._take(talk.tls_established(Established("TLSv1.3", "TLS_AES_256_GCM_SHA384", "mail.example"), self.now))
            case "TLS failed", _, why:
                self._take(talk.tls_failed(why, self.now))
            case "drain", _, _:
                self._take(talk.drain(self.now))
            case ("MTA full" | "MTA takes", _, _) as which:
                self._take(talk.mta_full(self.now, full=which[0] == "MTA full"))
            case _:
                self._wait(float(what.removesuffix("s")))

    def _wait(self, seconds: float) -> None:
        until = self.now + seconds
        while self.conversation.wake_at <= until:
            self.now = max(self.now, self.conversation.wake_at)
            self._take(self.conversation.due(self.now))
        self.now = until

    def _take(self, effects: Iterable[SessionEffect]) -> None:
        for effect in effects:
            match effect:
                case Emit(event=event):
                    self.events.append(event)
                case Ask(questions=questions):
                    self._asked |= {_told(question): question for question in questions}
                    self._actual += shown(effect)
                case Learn(ehlo=ehlo):
                    self.learned.append(read_capabilities(ehlo))
                case _:
                    self._actual += shown(effect)


def _kind(line: str) -> str:
    return {"C": "input of the client", "A<": "answer", "M<": "input of the MTA", "M+": "input of the MTA", "!": "event"}.get(
        line[0] if line[0] in "C!" else line[:2], "effect"
    )


def _lines(scripts: Iterable[str]) -> list[str]:
    return [line.strip() for script in scripts for line in script.splitlines() if line.strip()]


def _raw(line: str) -> bytes:
    text = line[3:]
    return text.encode("latin-1").decode("unicode_escape").encode("latin-1") if line[1] == "+" else text.encode() + b"\r\n"


def shown(effect: SessionEffect) -> Iterator[str]:
    """Return an effect as the lines of a transcript; records and what is learned are not part of it."""
    match effect:
        case Send(data=data):
            yield from _text(data, "S:", "S+")
        case Relay(data=data):
            yield from _text(data, "M>", "M-")
        case Ask(questions=questions):
            yield from (f"A> {_told(question)}" for question in questions)
        case OpenMta():
            yield "* open the MTA"
        case SecureMta():
            yield "* secure the MTA"
        case CloseMta(abort=abort):
            yield "* abort the MTA" if abort else "* close the MTA"
        case Close(linger=linger):
            yield "* close" if linger else "* close at once"
        case Pump():
            yield "* pump"
        case StartTls():
            yield "* start TLS"
        case Emit() | Learn():
            return
        case _ as unreachable:
            assert_never(unreachable)


def _told(question: Question) -> str:
    return f"{question.kind.value} {question.name}"


def _text(data: bytes, whole: str, broken: str) -> Iterator[str]:
    *lines, rest = data.split(b"\r\n")
    for line in lines:
        yield f"{whole} {_escaped(line)}".rstrip()
    if rest:
        yield f"{broken} {_escaped(rest)}".rstrip()


def _escaped(data: bytes) -> str:
    return data.decode("latin-1").encode("unicode_escape").decode("ascii")
