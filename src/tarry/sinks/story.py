"""story - what the events of a session say in plain words.

What      `tell` gives the words for one event of a session, `tell_process` for one of the daemon. Most events say nothing by
          themselves: of a refused early talker the record holds five, and a person wants one line.
How       Early talk is kept until it is known what was done about it (a reply, the greeting, a hang-up), then told in one go.
          Commands only count; a reply is told when it refuses, or answers a message.
Not here  Time, address, width, colour: terminal.py.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import Enum

from tarry.config.spelling import counted
from tarry.core.client import Endpoint
from tarry.record.schema import (
    REFUSING,
    Close,
    Command,
    Config,
    Connect,
    Exit,
    Greet,
    Handoff,
    Hangup,
    Hold,
    Lost,
    Parked,
    ProcessEvent,
    Readable,
    Reason,
    Reply,
    SessionEvent,
    Start,
    Stop,
    Stress,
    Tls,
    Verdict,
    Wait,
    Worker,
)

_ENDED = {"left": ", then hung up", "talked": ", then spoke", "cut": ", cut short"}
_PLAIN_PATH = re.compile(r"<?([!#-;=?-~]{1,64})>?")
_ESCAPE = re.compile(r"\\(?:x[0-9a-f]{2}|.)")


class Tone(Enum):
    """How a line is coloured, where it is."""

    PLAIN = 0
    QUIET = 1
    GOOD = 2
    WARN = 3
    BAD = 4


@dataclass(frozen=True, slots=True)
class Said:
    """One line: words, then what the client or the MTA said (escaped, to be quoted; None for nothing), then words.

    ``is_cut``: the quotation is only the beginning.
    """

    tone: Tone
    before: str
    quote: str | None = None
    after: str = ""
    is_cut: bool = False


@dataclass(slots=True)
class Session:
    """What is remembered of an open session between its events."""

    client: str = "?"
    is_known: bool = False
    early: tuple[float, Readable] | None = None
    reasons: list[str] = field(default_factory=list)
    verdict: Verdict | None = None
    sender: str = ""
    recipients: int = 0
    has_spoken: bool = False
    has_quit: bool = False
    has_left: bool = False
    is_greeted: bool = False
    is_told: bool = False  # how it ended was said already


def tell(session: Session, event: SessionEvent, dt: float) -> list[Said]:
    """Return the lines that *event*, *dt* seconds after accept, is worth, and remember in *session* what later ones need."""
    match event:
        case Command():
            _count(session, event)
            return []
        case Reply():
            return _tell_reply(session, event)
        case Connect():
            session.client = str(Endpoint(event.client, event.port))
            session.is_known = True
            return [_connected(event)]
        case Readable():
            if event.phase == "hold" and session.early is None:
                session.early = (dt, event)
            session.has_spoken = True
            return []
        case Reason():
            session.reasons.append(f"{event.check}.{event.code}")
            if session.early is not None:
                return []
            words = f"{event.check}.{event.code} at {event.phase}"
            return [Said(Tone.WARN, f"{words}:", event.detail) if event.detail else Said(Tone.WARN, words)]
        case Verdict():
            return _tell_verdict(session, event)
        case Greet():
            session.is_greeted = True
            action = session.verdict.action if session.verdict else "let through"
            return [*_early(session, f"{action}{_because(session)}"), Said(Tone.PLAIN, f"greeted after {event.held:.2f} s")]
        case Hold():
            return [_tell_hold(event)]
        case Wait():
            whose = f" as one of {event.name}" if event.name else ""
            return [Said(Tone.QUIET, f"is to wait {event.wait:.1f} s in all{whose}")]
        case Handoff():
            return _tell_handoff(event)
        case Parked():
            return [Said(Tone.QUIET, f"parked at {event.phase}: the MTA is free meanwhile")]
        case Tls():
            return [_tell_tls(event)]
        case Exit():
            tone = Tone.WARN if event.status else Tone.QUIET
            return [Said(tone, f"the command ended after {event.seconds:.1f} s with status {event.status}")]
        case Hangup():
            return _tell_hangup(session, event, dt)
        case Close():
            return _tell_close(session, event)
        case _:
            return []  # Answer, whose consequence is a reason, and Outcome


def tell_process(event: ProcessEvent) -> list[Said]:
    """Return the lines for an event of the daemon itself."""
    match event:
        case Start():
            return [Said(Tone.PLAIN, f"{event.version} listens on {', '.join(event.listen)}")]
        case Config(ok=True):
            return [Said(Tone.PLAIN, f"configuration {event.config} taken")]
        case Config():
            return [Said(Tone.BAD, f"configuration refused, the old one stays: {event.why}")]
        case Stress(what=what) if what.startswith("list "):
            gone = f"the DNS {what} is not asked: {event.why}"
            return [Said(Tone.BAD, gone) if event.on else Said(Tone.PLAIN, f"the DNS {what} is asked again")]
        case Stress():
            return [Said(Tone.WARN, f"{'under' if event.on else 'no longer under'} stress: {event.what} {event.why}".rstrip())]
        case Lost():
            return [Said(Tone.BAD, f"{counted(event.count, 'record')} lost: {event.why}")]
        case Worker(what="began"):
            return [Said(Tone.QUIET, f"worker {event.number} began (process {event.pid})")]
        case Worker():
            tone = Tone.BAD if event.status else Tone.QUIET
            return [Said(tone, f"worker {event.number} {event.what}: {event.why or f'status {event.status}'}")]
        case Stop():
            return [Said(Tone.PLAIN, f"stops: {event.why}, {counted(event.sessions, 'session')} open")]


def _connected(event: Connect) -> Said:
    via = f" through {event.via}" if event.via else ""
    if event.exempt:
        return Said(Tone.QUIET, f"connected{via}, exempt: {event.exempt}")
    whose = f" as one of {event.hold_class}" if event.hold_class else ""
    return Said(Tone.QUIET, f"connected{via}, held for {event.wait:.1f} s{whose}" if event.wait else f"connected{via}{whose}")


def _count(session: Session, event: Command) -> None:
    session.has_spoken = True
    if event.verb == "MAIL":
        session.sender = _path(event.arg)
        session.recipients = 0
    elif event.verb == "QUIT":
        session.has_quit = True


def _tell_hold(event: Hold) -> Said:
    if event.why != "residual":
        return Said(Tone.WARN, f"waited {event.held:.1f} s at {event.phase} ({event.why}){_ENDED.get(event.ended, '')}")
    # As the recipe of 2004 told it: all reasons, sender, recipient, seconds; and whether the ruse has been successful.
    took = f"{event.held:.1f} s" if event.ended == "due" else f"{event.held:.1f} of {event.asked:.1f} s"
    words = f"delayed {took} at {event.phase} for {', '.join(event.reasons)}"
    if event.sender or event.rcpt:
        words += f": from {_path(event.sender)}" + (f" to {_path(event.rcpt)}" if event.rcpt else "")
    return Said(Tone.WARN, words + (", unexpected disconnection" if event.ended == "left" else ""))


def _path(path: str) -> str:
    match = _PLAIN_PATH.fullmatch(path)
    return f"<{match[1]}>" if match else "<>" if path in ("", "<>") else "an odd path"


def _tell_reply(session: Session, event: Reply) -> list[Said]:
    if event.to == "RCPT" and 250 <= event.code < 260:
        session.recipients += 1
    who = "the MTA" if event.by == "mta" else event.by
    if event.to == "message":
        to = counted(session.recipients, "recipient")
        words = f"message of {counted(event.size, 'octet')} from {session.sender or '?'} to {to}: {event.code} by {who}"
        if event.by == "tarry" and event.code < 400:
            return [Said(Tone.WARN, f"{words}, thrown away{_because(session)}")]
        return [Said(Tone.GOOD, words) if event.code < 400 else Said(Tone.BAD, words, event.text)]
    if event.code < 400:
        return []
    to = "" if event.to == "connect" else event.to
    if event.by != "mta" and session.verdict is not None and session.verdict.action in REFUSING:
        refused = f"refused {event.code}{_because(session)}"
        session.is_told = not to
        return _early(session, refused) or [Said(Tone.BAD, f"{to} {refused}".lstrip())]
    return [*_early(session, "answered"), Said(Tone.WARN, f"{event.code}{to and ' to ' + to} by {who}:", event.text)]


def _tell_verdict(session: Session, event: Verdict) -> list[Said]:
    is_new = session.verdict is None or session.verdict.action != event.action
    session.verdict = event
    if event.observed:
        words = f"only observed: {event.action}{_because(session)}"
        return _early(session, words) or ([Said(Tone.WARN, words)] if is_new else [])
    if event.action in REFUSING or session.early is not None or not is_new:
        return []  # the reply, or the greeting, tells it
    return [Said(Tone.WARN, f"{event.action}{_because(session)}")]


def _tell_handoff(event: Handoff) -> list[Said]:
    if not event.ok:
        return [Said(Tone.BAD, f"the MTA at {event.to} cannot be used: {event.why}")]
    if event.blind:
        return [Said(Tone.PLAIN, "encrypted from here on: bytes are only passed on")]
    return [Said(Tone.GOOD, f"handed to {event.to}")] if event.mode in ("pass", "exec") else []


def _tell_tls(event: Tls) -> Said:
    who = "the client" if event.side == "client" else "the MTA"
    if not event.ok:
        return Said(Tone.WARN, f"no TLS with {who}: {event.why}")
    return Said(Tone.QUIET, f"TLS with {who}: {event.version} {event.cipher}")


def _tell_hangup(session: Session, event: Hangup, dt: float) -> list[Said]:
    if session.has_quit or session.has_left:
        return []  # a half-close in the hold is met again at the greeting
    session.has_left = True
    session.is_told = not session.is_greeted
    return [*_early(session, "nobody waits for an answer"), _hung_up(dt, event.how == "reset", session.has_spoken)]


def _tell_close(session: Session, event: Close) -> list[Said]:
    if not session.is_known:  # only closing lines are recorded, or the log was joined in the middle
        session.client = str(Endpoint(event.client, event.port)) if event.client else "?"
        if not event.greeted and event.hangup is not None:
            return [_hung_up(event.hangup, False, event.early is not None)]
        if event.is_refused:
            return [Said(Tone.BAD, f"{event.action} after {event.total:.1f} s ({', '.join(event.reasons)})")]
    told = _early(session, event.action)
    if event.ended == "handoff" or (session.is_told and not event.commands):
        return told  # told already; but a client that half-closed in the hold may still have sent mail
    if not event.greeted:
        return [*told, Said(Tone.QUIET, f"gone after {event.total:.1f} s")]
    gone = f" and {event.discarded:,} thrown away" if event.discarded else ""
    counts = f"{counted(event.messages, 'message')}{gone}, {counted(event.commands, 'command')}, {event.total:.1f} s"
    return [*told, Said(Tone.QUIET, f"done: {counts}")]


def _early(session: Session, done: str) -> list[Said]:
    """Return the line about early talk if one is owed, with what was *done* about it."""
    if session.early is None:
        return []
    dt, event = session.early
    session.early = None
    is_cut = len(_ESCAPE.sub("-", event.text)) < event.bytes
    return [Said(Tone.BAD, f"spoke after {dt:.2f} s:", event.text, f" -> {done}", is_cut)]


def _hung_up(after: float, is_reset: bool, has_spoken: bool) -> Said:
    how = "reset the connection" if is_reset else "hung up"
    return Said(Tone.QUIET, f"{how} after {after:.1f} s" + ("" if has_spoken else " without a word"))


def _because(session: Session) -> str:
    reasons = session.verdict.reasons if session.verdict and session.verdict.reasons else session.reasons
    return f" ({', '.join(reasons)})" if reasons else ""
