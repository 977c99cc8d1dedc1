"""schema - one record: a line of the event log.

What      The event types, the stamp that each record carries, and the line form: one JSON object, one line, ASCII only.
Promises  Fields are only ever added; a changed meaning would raise `VERSION`. `read_line` reads what `write_line` wrote
          and passes over fields that it does not know. Text from clients comes here escaped (smtp/text) and stays one line.
Form      ``v`` version, ``t`` UTC epoch seconds, ``dt`` seconds since accept, ``id`` session, ``n`` order in the
          session, ``ev`` event, then the event's own fields, all of them, every time. Records of the process have no
          ``dt``, ``id`` and ``n``.
Source    DESIGN §7. msgspec encodes a record in 0.1 µs and an event costs 0.03 µs to make; a flood is written without being felt.
"""

from __future__ import annotations

from typing import TypeAlias

import msgspec

VERSION = 1
PASSED_BEFORE = "passed before"
"""Why the hold skips a check, in an `Outcome`: the client passed it in an earlier session, and that is remembered."""
REFUSING = frozenset({"defer", "reject", "drop"})
"""The words of actions that send a client away."""


class Event(msgspec.Struct, frozen=True, gc=False, tag_field="ev", tag=str.lower):
    """What every event shares: the ``ev`` tag, the class's name in lower case."""


class Connect(Event, frozen=True):
    """A client was accepted. ``wait`` is the hold that was drawn for it, in seconds; ``exempt`` says why it has none,
    ``hold_class`` which class of clients it is of, by its address."""

    client: str
    port: int
    server: str
    wait: float = 0.0
    via: str = ""
    exempt: str = ""
    config: str = ""
    hold_class: str = ""


class Readable(Event, frozen=True):
    """Bytes lay in the socket before they were due. ``bytes`` counts what a peek showed, ``text`` is its beginning."""

    phase: str
    bytes: int
    text: str


class Answer(Event, frozen=True):
    """A fact that was asked for came back. ``source`` is the DNS list, ``names`` or ``addresses``; ``codes`` are the values,
    ``name`` is what was looked up, ``state`` found, nothing or unknown (``why``); ``ms`` is how long it took, 0 from the cache.
    ``confirmed``: so many of the names, the first ones, lead back to the address. A list's key is in ``source`` and ``name``. What
    is remembered of a client has the sources history and domain_history; for the second ``domain`` is whose history it is."""

    source: str
    codes: tuple[str, ...] = ()
    ttl: float = 0.0
    ms: float = 0.0
    state: str = "found"
    why: str = ""
    name: str = ""
    confirmed: int = 0
    domain: str = ""


class Wait(Event, frozen=True):
    """The hold is to last ``wait`` seconds from accept on, since the client is of the hold class ``name`` now ("" for none)."""

    name: str
    wait: float


class Outcome(Event, frozen=True):
    """What a check found: ``passed``, ``failed``, ``skipped`` or ``unknown``, and why where that needs saying."""

    check: str
    result: str
    why: str = ""


class Reason(Event, frozen=True):
    """Something that speaks against the client, or for it where ``weight`` is below 0. ``subject`` is the list that says so."""

    check: str
    code: str
    phase: str
    detail: str = ""
    weight: float = 1.0
    action: str = ""
    subject: str = ""


class Verdict(Event, frozen=True):
    """What the judge made of all reasons at this phase. ``observed``: not carried out, since the daemon only observes."""

    phase: str
    action: str
    reasons: tuple[str, ...] = ()
    observed: bool = False


class Greet(Event, frozen=True):
    """The greeting was written, ``held`` seconds after accept."""

    held: float


class Command(Event, frozen=True):
    """A command line came. ``size`` counts its octets with CRLF; ``arg`` is the HELO name or path, escaped."""

    verb: str
    size: int
    arg: str = ""


class Reply(Event, frozen=True):
    """A reply went to the client. ``to`` is what it answers; ``size`` the octets of the message, where it answers one."""

    code: int
    text: str
    to: str = ""
    by: str = "tarry"
    size: int = 0


class Hold(Event, frozen=True):
    """A wait in mid-session is over: why it was imposed, how long it was to be and was, and how it ended: due; left, where the
    client went away; answered, where it was for answers; cut, where tarry itself put an end to it. ``reasons``, ``sender`` and
    ``rcpt`` are told for a residual delay; ``why`` is reply_pace where a reply went out an octet at a time."""

    why: str
    asked: float
    held: float
    ended: str
    phase: str
    reasons: tuple[str, ...] = ()
    sender: str = ""
    rcpt: str = ""


class Handoff(Event, frozen=True):
    """The client was given to the MTA, or could not be. ``ms``: from asking to the MTA's EHLO reply, or until it had the
    descriptor; ``blind``: STARTTLS goes through to the MTA, and tarry sees no more."""

    mode: str
    to: str
    ok: bool
    ms: float = 0.0
    why: str = ""
    blind: bool = False


class Parked(Event, frozen=True):
    """The MTA's connection was given up for the time of a hold, with ``rcpts`` recipients that it had accepted."""

    phase: str
    rcpts: int = 0


class Tls(Event, frozen=True):
    """A TLS handshake with the ``client`` or the ``mta`` (``side``) is over. ``sni`` is the name that the client asked for."""

    side: str
    ok: bool
    version: str = ""
    cipher: str = ""
    sni: str = ""
    ms: float = 0.0
    why: str = ""


class Exit(Event, frozen=True):
    """The command that served the client ended, ``seconds`` after it was started; ``status`` is negative for a signal."""

    status: int
    seconds: float = 0.0


class Hangup(Event, frozen=True):
    """The client ended its side: ``how`` is fin or reset."""

    phase: str
    how: str


class Close(Event, frozen=True):
    """The session in one wide line; equals `summary.fold` of the session's other records.

    ``messages_refused`` counts those that the MTA answered 5xx; ``passed`` are the checks of the hold that it passed; ``domain``
    is the organisational domain that answers for its address, where that was looked up; ``mta_ms`` how long the MTA took to answer.
    """

    client: str = ""
    port: int = 0
    server: str = ""
    phase: str = "connect"
    ended: str = "tarry"
    held: float = 0.0
    total: float = 0.0
    greeted: bool = False
    early: float | None = None
    hangup: float | None = None
    action: str = "ignore"
    reasons: tuple[str, ...] = ()
    helo: str = ""
    commands: int = 0
    rcpts: int = 0
    rcpts_accepted: int = 0
    messages: int = 0
    octets: int = 0
    errors: int = 0
    delayed: float = 0.0
    mta: bool = False
    blind: bool = False
    observed: bool = False
    parked: int = 0
    tls: str = ""
    discarded: int = 0
    messages_refused: int = 0
    login: bool = False
    passed: tuple[str, ...] = ()
    domain: str = ""
    mta_ms: float | None = None

    @property
    def is_refused(self) -> bool:
        """True where tarry sent the client away, for what it did or is."""
        return self.action in REFUSING and not self.observed


class Start(Event, frozen=True):
    """The daemon is up; ``worker`` is the number of the process among those that share the work, 0 where it is alone."""

    version: str
    listen: tuple[str, ...]
    pid: int
    config: str = ""
    max_clients: int = 0
    worker: int = 0


class Config(Event, frozen=True):
    """A configuration was taken, or refused (``ok`` false; the old one stays)."""

    config: str
    ok: bool = True
    why: str = ""


class Stress(Event, frozen=True):
    """The daemon came under stress or out of it: it has no descriptors left, too many clients are in (load), the MTA does not
    answer, the memory of clients is away, or a DNS list fails its test and is not asked (``what``: descriptors, load, mta, store,
    or list and its name)."""

    what: str
    on: bool
    why: str = ""


class Lost(Event, frozen=True):
    """Records that could not be written: how many, and why."""

    count: int
    why: str = ""


class Worker(Event, frozen=True):
    """One of the processes that share the work began or ended (``what``: began, ended, replaced), told by the one that keeps them.

    ``status`` is its exit status, negative for the signal that ended it.
    """

    number: int
    what: str
    pid: int = 0
    status: int = 0
    why: str = ""


class Stop(Event, frozen=True):
    """The daemon is going down."""

    why: str
    sessions: int = 0


SessionEvent: TypeAlias = (
    Connect
    | Readable
    | Answer
    | Wait
    | Outcome
    | Reason
    | Verdict
    | Greet
    | Command
    | Reply
    | Hold
    | Handoff
    | Parked
    | Tls
    | Exit
    | Hangup
    | Close
)
ProcessEvent: TypeAlias = Start | Config | Stress | Lost | Worker | Stop
AnyEvent: TypeAlias = SessionEvent | ProcessEvent

PROCESS_EVENTS = (Start, Config, Stress, Lost, Worker, Stop)


class Stamp(msgspec.Struct, frozen=True, gc=False):
    """When and for whom: what stands before the event in a line."""

    v: int
    t: float
    dt: float = 0.0
    id: str = ""
    n: int = 0


class Record(msgspec.Struct, frozen=True, gc=False):
    """One line, read back."""

    stamp: Stamp
    event: AnyEvent


_encode = msgspec.json.Encoder().encode
_read_stamp = msgspec.json.Decoder(Stamp).decode
_read_event = msgspec.json.Decoder(AnyEvent).decode


def write_line(event: SessionEvent, *, t: float, dt: float, id: str, n: int) -> bytes:
    """Return the record's line, with its newline. The id is ASCII without quotes (tarry makes it), so it is set in as it is."""
    return b'{"v":1,"t":%.6f,"dt":%.6f,"id":"%b","n":%d,%b\n' % (t, dt, id.encode("ascii"), n, _encode(event)[1:])


def write_process_line(event: ProcessEvent, *, t: float) -> bytes:
    """Return the line of a record that belongs to no session."""
    return b'{"v":1,"t":%.6f,%b\n' % (t, _encode(event)[1:])


def read_line(line: bytes | str) -> Record:
    """Read a line of any version up to this one. Raises msgspec.DecodeError (a ValueError) for what is no record."""
    return Record(_read_stamp(line), _read_event(line))
