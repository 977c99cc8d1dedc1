"""verbs - what the events of a session are in postscreen's log verbs.

What      `tell` gives the lines for one event, without their prefix; `unfold` makes the events of a session out of its closing
          line, where that is all there is.
Promises  Verbs, order and numbers are postscreen's: text escaped as Postfix escapes it, times with two digits, each test told once
          a session. Nothing that a record holds makes it raise. What the record does not know is empty or left out.
PASS      postscreen says it when it gives a client to smtpd. tarry stays in line, so it stands where the MTA takes the session and
          no test has failed. OLD is a client that has passed before, as far as `Passed` or the memory of clients knows. From there
          on a hang-up is the MTA's to tell, as in Postfix: fail2ban bans for HANGUP.
Rejects   Those of tarry itself. The MTA's own are in the MTA's log; told here too they would be counted twice.
Source    Postfix 3.7 to 3.11, src/postscreen and src/dnsblog; the log of a real postscreen. Formats are facts.
Not here  Time, host, process id, the memory of sessions: postscreen.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

from tarry.core import replies
from tarry.core.admission import REFUSALS, Admitted
from tarry.core.facts import listing
from tarry.record import schema
from tarry.record.schema import (
    REFUSING,
    Answer,
    Close,
    Command,
    Connect,
    Greet,
    Handoff,
    Hangup,
    Outcome,
    Readable,
    Reason,
    Reply,
    SessionEvent,
    Verdict,
)
from tarry.smtp.reply import ERRORS
from tarry.smtp.reply import Reply as Told

PASSED = 50_000
"""How many addresses that have passed are remembered; 6 MB."""

BEFORE, AFTER = "tests before SMTP handshake", "tests after SMTP handshake"
_VERBS = frozenset(
    {"HELO", "EHLO", "STARTTLS", "XCLIENT", "XFORWARD", "AUTH", "MAIL", "RCPT", "DATA", "BDAT", "RSET", "NOOP", "VRFY", "ETRN"}
)
_BY_SMTPD = {
    **{verb: verb for verb in ("HELO", "EHLO", "MAIL", "AUTH", "STARTTLS", "DATA", "BDAT")},
    "message": "END-OF-MESSAGE",
}
"""Where smtpd logs a reject that postscreen cannot make, and what it calls the place."""
_FURTHEST = {"helo": "EHLO", "mail": "MAIL", "rcpt": "RCPT", "data": "DATA", "message": "DATA"}
_ADDRESS = re.compile(r"[0-9]{1,3}(?:\.[0-9]{1,3}){3}")
_ESCAPE = re.compile(r"\\(?:x([0-9a-f]{2})|(.))")
_SHORT = {7: "\\a", 8: "\\b", 11: "\\v", 12: "\\f"}
_MOST_WEIGHT = 1e6


class Said(NamedTuple):
    """One line without its prefix. ``program`` is the part of Postfix that writes such lines."""

    text: str
    program: str = "postscreen"


class Passed:
    """The addresses that have passed, the oldest forgotten first: what postscreen's cache is for its PASS OLD."""

    __slots__ = ("_addresses", "_most")

    def __init__(self, most: int = PASSED) -> None:
        self._addresses: dict[str, None] = {}
        self._most = most

    def add(self, address: str) -> bool:
        """Take an address; return whether it is new."""
        is_new = self._addresses.pop(address, self) is self
        if len(self._addresses) >= self._most:
            del self._addresses[next(iter(self._addresses))]
        self._addresses[address] = None
        return is_new


@dataclass(slots=True)
class Session:
    """What is remembered of an open session between its events. ``client`` is ``[address]:port``, empty while that is not known."""

    client: str = ""
    address: str = ""
    greeted_at: float | None = None
    where: str = "CONNECT"  # the last command, and the one before it
    before: str = "CONNECT"
    protocol: str = "SMTP"
    helo: str = ""
    sender: str | None = None
    recipient: str = ""
    rank: float = 0.0
    told: tuple[str, ...] = ()  # tests that were told
    refuses: bool = False  # the verdict of now sends it away
    has_recipient: bool = False
    is_handed: bool = False  # the MTA has it, or it is exempt
    has_ended: bool = False  # it said QUIT, or hung up
    is_explained: bool = False  # why it is refused is told
    is_known: bool = False  # it was not held, since it has passed before


def tell(session: Session, event: SessionEvent, dt: float, passed: Passed) -> list[Said]:
    """Return the lines that *event*, *dt* seconds after accept, is worth, and remember in *session* what later ones need."""
    if isinstance(event, Connect):
        return _connected(session, event)
    if not session.client:
        return []  # its first record is missing, so nobody can say who it is
    match event:
        case Command():
            return _took(session, event)
        case Reply():
            return _replied(session, event)
        case Readable(phase="hold"):
            text = f"PREGREET {event.bytes} after {seconds(dt)} from {session.client}: {escaped(event.text)}"
            return _failed(session, "PREGREET", text)
        case Outcome(why=schema.PASSED_BEFORE) | Reason(check="karma", code="good"):
            session.is_known = True
            return []
        case Reason():
            return _found(session, event)
        case Verdict():
            return _judged(session, event)
        case Answer():
            return _listed(session, event)
        case Greet():
            session.greeted_at = dt
            return []
        case Handoff():
            return _handed(session, event, passed)
        case Hangup():
            return _hung_up(session, dt)
        case Outcome(check="proxy_header", result="failed"):
            return [Said(f"warning: haproxy read: {plain(event.why)}")]
        case Close():
            # Given away, it goes on without tarry; postscreen has no last word on it either.
            return [] if event.ended == "handoff" else [Said(f"DISCONNECT {session.client}")]
        case _:
            return []


def unfold(close: Close) -> Iterator[tuple[SessionEvent, float]]:
    """Yield what a closing line still knows of its session, as events with their times after accept.

    Texts and counts are gone: early talk has 0 bytes, each list weighs 1, and commands are those of the furthest phase.
    """
    yield Connect(close.client, close.port, close.server), 0.0
    if close.early is not None:
        yield Readable("hold", 0, ""), close.early
    has_left_early = close.hangup is not None and (not close.greeted or close.hangup < close.held)
    if close.hangup is not None and has_left_early:
        yield Hangup("hold", "fin"), close.hangup
    if close.greeted:
        yield Greet(close.held), close.held
    verb = _FURTHEST.get(close.phase, "")
    if verb:
        yield Command(verb, 0), close.total
    for name in close.reasons:
        check, _, code = name.partition(".")
        detail = f"{verb}: " if check == "pipelining" else ""
        yield Reason(check, code, close.phase, detail, action=close.action), close.total
    yield Verdict(close.phase, close.action, close.reasons, close.observed), close.total
    if close.mta:
        yield Handoff("", "", True), close.total
    if close.hangup is not None and not has_left_early:
        yield Hangup(close.phase, "fin"), close.hangup
    yield close, close.total


def _connected(session: Session, event: Connect) -> list[Said]:
    session.address = plain(event.client)
    session.client = f"[{session.address}]:{event.port}"
    lines = [Said(f"CONNECT from {session.client} to {_bracketed(event.server)}")]
    if event.exempt:
        session.is_handed = True
        lines.append(Said(f"ALLOWLISTED {session.client}"))
    return lines


def _took(session: Session, event: Command) -> list[Said]:
    verb = event.verb
    session.before, session.where = session.where, verb if verb in _VERBS else "UNIMPLEMENTED"
    match verb:
        case "EHLO" | "HELO":
            session.helo, session.protocol = event.arg, "ESMTP" if verb == "EHLO" else "SMTP"
        case "MAIL":
            session.sender, session.has_recipient = event.arg, False
        case "RCPT":
            session.recipient = event.arg
        case "QUIT":
            session.has_ended = True
        case _:
            pass
    return []


def _replied(session: Session, event: Reply) -> list[Said]:
    if event.code < 400:
        session.has_recipient = session.has_recipient or event.to == "RCPT"
        return []
    if event.by != "tarry":
        return []
    client = session.client
    if event.to == "connect" or (not event.to and session.greeted_at is None):
        return _turned_away(session, event)
    if not session.refuses:
        if _is(event, replies.TOO_SLOW):
            return _failed(session, "TIME", f"COMMAND TIME LIMIT from {client} after {session.where}")
        if _is(event, replies.LINE_TOO_LONG):
            return _failed(session, "LENGTH", f"COMMAND LENGTH LIMIT from {client} after {session.where}")
    if event.to in ("DATA", "BDAT") and not session.has_recipient:
        return [Said(f"{event.to} without valid RCPT from {client}")]
    if event.to == "RCPT" and (session.refuses or event.code not in ERRORS):
        return [_reject(session, event, "RCPT")]
    if event.to in _BY_SMTPD and session.refuses:
        return [_reject(session, event, _BY_SMTPD[event.to])]
    return []


def _reject(session: Session, event: Reply, verb: str) -> Said:
    """Postfix tells the sender from MAIL on, the recipient from RCPT on."""
    facts = [f"{event.code} {plain(event.text)}"]
    if session.sender is not None:
        facts.append(f"from=<{plain(session.sender)}>")
    if verb == "RCPT" or session.has_recipient:
        facts.append(f"to=<{plain(session.recipient)}>")
    first, rest = facts[0], ", ".join([*facts[1:], f"proto={session.protocol}", f"helo=<{plain(session.helo)}>"])
    return Said(f"NOQUEUE: reject: {verb} from {session.client}: {first}; {rest}")


def _turned_away(session: Session, event: Reply) -> list[Said]:
    client = session.client
    if session.refuses:
        if session.is_explained:
            return []  # dropped for a test, as postscreen drops: its line says it
        return [Said(f"NOQUEUE: reject: CONNECT from {client}: {event.code} {plain(event.text)}; proto=SMTP")]
    if event.code >= 500:
        return [Said(f"DENYLISTED {client}")]
    why = "too many connections" if event.text.startswith(_limits()) else "all server ports busy"
    return [Said(f"NOQUEUE: reject: CONNECT from {client}: {why}")]


def _is(event: Reply, told: Told) -> bool:
    return event.text.startswith(_words(told))


@cache  # made once: in a flood each client that is turned away asks for it
def _limits() -> tuple[str, ...]:
    return tuple(_words(told("", "")) for why, told in REFUSALS.items() if why not in (Admitted.DENIED, Admitted.TOO_MANY))


def _words(told: Told) -> str:
    """Return what a reply of tarry's own says before the session's id."""
    return told.last_line.decode("ascii").partition(" [")[0]


def _found(session: Session, event: Reason) -> list[Said]:
    client, check = session.client, event.check
    if check == "dnslists":
        session.rank += min(_MOST_WEIGHT, max(-_MOST_WEIGHT, event.weight))
        return []
    if check == "pipelining":
        return _failed(session, "PIPELINING", f"COMMAND PIPELINING from {client} after {escaped(event.detail)}")
    if check == "predata":
        return _failed(session, "PIPELINING", f"COMMAND PIPELINING from {client} after DATA: {escaped(event.detail)}")
    if check == "non_smtp":
        command, _, rest = escaped(event.detail).partition(" ")
        return _failed(session, "NON-SMTP", f"NON-SMTP COMMAND from {client} after {session.before}: {command} {rest}")
    if check == "bare_newline":
        text = escaped(event.detail.partition(": ")[2]) if event.code == "command" else session.where
        return _failed(session, "BARE", f"BARE NEWLINE from {client} after {text}")
    if event.code == "limit" and event.action in REFUSING:
        return _failed(session, "COUNT", f"COMMAND COUNT LIMIT from {client} after {session.before}")
    return []


def _judged(session: Session, event: Verdict) -> list[Said]:
    session.refuses = event.action in REFUSING and not event.observed
    if any(reason.startswith("dnslists.") for reason in event.reasons):
        return _failed(session, "DNSBL", f"DNSBL rank {max(0, round(session.rank))} for {session.client}")
    return []


def _listed(session: Session, event: Answer) -> list[Said]:
    """Tell what a DNS list says about the client's address. Domains are looked up in lists too, and names in the DNS."""
    try:
        asked = listing(session.address, event.source).name
    except ValueError:  # a peer without an IP address: no list is asked about it
        return []
    if event.name != asked:
        return []
    found = [code for code in event.codes if _ADDRESS.fullmatch(code)]
    return [Said(f"addr {session.address} listed by domain {plain(event.source)} as {code}", "dnsblog") for code in found]


def _handed(session: Session, event: Handoff, passed: Passed) -> list[Said]:
    if not event.ok:
        return [Said(f"warning: cannot pass connection to service {plain(event.to)}: {plain(event.why)}")]
    if session.is_handed:
        return []
    session.is_handed = True
    if session.is_explained:
        return []
    is_new = passed.add(session.address) and not session.is_known
    return [Said(f"PASS {'NEW' if is_new else 'OLD'} {session.client}")]


def _hung_up(session: Session, dt: float) -> list[Said]:
    if session.has_ended or session.is_handed:
        return []
    session.has_ended = True
    since = session.greeted_at
    tests, after = (BEFORE, dt) if since is None else (AFTER, dt - since)
    return [Said(f"HANGUP after {seconds(after)} from {session.client} in {tests}")]


def _failed(session: Session, test: str, text: str) -> list[Said]:
    """Tell a test that failed; the first time only, since postscreen skips it for the rest of the session."""
    session.is_explained = True
    if test in session.told:
        return []
    session.told += (test,)
    return [Said(text)]


def seconds(length: float) -> str:
    """Return a length of time as Postfix writes it: two digits and no zeros behind them (``0.27``, ``4.3``, ``16``)."""
    micros = int(min(max(0.0, length), 1e9) * 1_000_000 + 0.5)  # in this order a length that is no number is 0
    unit = 1_000_000 if micros >= 10_000_000 else 100_000 if micros >= 1_000_000 else 10_000
    whole, rest = divmod((micros + unit // 2) // unit * unit, 1_000_000)
    return f"{whole}.{rest:06d}".rstrip("0") if rest else str(whole)


def escaped(text: str) -> str:
    """Return escaped text with Postfix's escapes: C's short ones, and octal numbers for the rest."""
    return _ESCAPE.sub(_octal, text) if "\\x" in text else text


def plain(text: str) -> str:
    """Return escaped text as Postfix prints it outside of tests: unprintable characters are question marks."""
    return _ESCAPE.sub(lambda found: "\\" if found[2] == "\\" else "?", text) if "\\" in text else text


def _octal(found: re.Match[str]) -> str:
    if found[1] is None:
        return found[0]
    byte = int(found[1], 16)
    return _SHORT.get(byte) or f"\\{byte:03o}"


def _bracketed(server: str) -> str:
    """Return ``host:port``, as records have it, with brackets around the host."""
    host, _, port = plain(server).rpartition(":")
    return f"[{host.strip('[]')}]:{port}"
