"""operation - the tables of what a server remembers of its clients, and of how it is run.

Promises  As in tables.py: every key has a safe default, and names are a contract.
Units     Durations are seconds here; see values.py for how they are written.
"""

from __future__ import annotations

from dataclasses import dataclass

from tarry.config import places, values
from tarry.config.declare import key
from tarry.config.rows import rows
from tarry.core.client import Endpoint
from tarry.core.policy import Span


@dataclass(frozen=True, slots=True, kw_only=True)
class KarmaRule:
    """What brings karma, once a session."""

    on: str = key(
        "",
        values.text("word", least=1, longest=80, ascii_only=True, example="delivered"),
        help="delivered, login, message_refused, none_accepted, left, refused; or the name of a check or a reason (check.code).",
        required=True,
    )
    points: float = key(0.0, values.number(-1000, 1000, "karma"), help="The karma that it brings, below 0 takes.", required=True)
    why: str = key("", values.text("text", longest=200, ascii_only=True), help="The sentence that explains it to who asks.")


KARMA_RULES = (
    KarmaRule(on="delivered", points=1.0, why="the MTA took a message of it"),
    KarmaRule(on="login", points=2.0, why="it knew a password"),
    KarmaRule(on="message_refused", points=-1.0, why="the MTA refused a message of it for good"),
    KarmaRule(on="pregreet", points=-3.0, why="it spoke before the greeting, as no honest sender does"),
    KarmaRule(on="predata", points=-2.0, why="it sent a message unasked"),
    KarmaRule(on="non_smtp", points=-3.0, why="it spoke HTTP, or gave a message as commands"),
    KarmaRule(on="many_rcpt", points=-2.0, why="it worked through a long list of recipients"),
    KarmaRule(on="many_rset", points=-2.0, why="it tried recipients and reset, again and again"),
    KarmaRule(on="bad_rcpt", points=-2.0, why="most of the recipients that it tried do not exist"),
    KarmaRule(on="null_sender_many_rcpt", points=-2.0, why="it sent what looks like a bounce to many at once"),
    KarmaRule(on="helo.spoofed", points=-3.0, why="it gave a name that is somebody else's"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Karma:
    """What earlier sessions of a client count. What comes of it: checks.karma."""

    skip_above: float = key(
        5.0,
        values.number(0, 1_000_000, "karma"),
        help="A client with more karma is greeted as soon as that is known, unless something else speaks against it.",
        source="qpsmtpd earlytalker",
    )
    bad_below: float = key(
        -5.0,
        values.number(-1_000_000, 0, "karma"),
        help="A client with less is found by the check karma, with the reason karma.bad.",
        source="qpsmtpd's karma plugin: with less than -5, and not one good session, the penalty grows",
    )
    worst_below: float = key(
        -15.0,
        values.number(-1_000_000, 0, "karma"),
        help="And one with less than this has the reason karma.worst in place of it.",
    )
    half_life: float = key(
        14 * 86400.0,
        values.duration(1.0),
        help="Karma fades by half in this time, so that every penalty has an end.",
    )
    most: float = key(20.0, values.number(1, 1_000_000, "karma"), help="Karma is never more than this, above 0 or below.")
    by_domain: bool = key(
        True,
        values.boolean,
        help="Good karma counts for the whole organisational domain of a client whose name leads back to it, unless the name "
        "looks like a customer's. Asks the name server about each client that is held and silent for 0.3 s.",
        source="the public suffix list; RFC 1912 §2.1",
    )
    rules: tuple[KarmaRule, ...] = key(
        KARMA_RULES,
        rows(KarmaRule, lambda one: one.metadata["kind"], unit="list of rules", example='{ on = "delivered", points = 1 }'),
        help="What brings karma: [[karma.rules]], each with on, points and why. A file that has one has only its own.",
        source="the order of Haraka's karma.ini",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Store:
    """The memory of clients."""

    url: str = key(
        "sqlite:tarry.db",
        values.text("URL", least=1, example="sqlite:tarry.db"),
        help='"sqlite:FILE" for one host; "valkey://host:6379/0" or "redis://", "valkeys://" or "rediss://" with TLS, for several '
        'front doors; "none" remembers nothing.',
    )
    timeout: float = key(
        0.25,
        values.duration(0.001),
        help="How long to wait for what is remembered. No greeting waits for it: what is missing is no opinion.",
    )
    keep: float = key(60 * 86400.0, values.duration(60.0), help="A client that has not come for so long is forgotten.")
    max_clients: int = key(
        1_000_000,
        values.whole(1000, 1_000_000_000, "clients"),
        help="How many clients a file remembers; beyond it those are forgotten that came longest ago.",
    )
    prefix: str = key(
        "tarry:",
        values.text("text", longest=60, ascii_only=True, example="tarry:"),
        help="What stands before every key in a shared server, so that it can be used for other things too.",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Stress:
    """What changes while too many clients are in."""

    high: float = key(
        0.9,
        values.number(0, 1, "share"),
        help="Stress begins when so much of listen.max_clients is taken; 1 is never.",
        source="postscreen: 0.9 of its queue",
    )
    low: float = key(0.7, values.number(0, 1, "share"), help="And ends when no more than this is.", source="postscreen: 0.7")
    wait: Span = key(
        Span(2.0, 2.0),
        values.span,
        help="New clients are held no longer than this meanwhile.",
        source="postscreen_greet_wait under stress",
    )
    command: float = key(
        10.0,
        values.duration(0.001),
        help="A command of theirs may take no longer than this meanwhile.",
        source="postscreen_command_time_limit under stress",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Control:
    """Where `tarry status`, `tarry clients` and `tarry explain` reach the running server."""

    socket: str = key(
        "tarry.sock",
        values.text("path", example="/run/tarry/tarry.sock"),
        help="A Unix socket, for its owner and group only; empty is none.",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Web:
    """/metrics for Prometheus, and /health for balancers."""

    listen: Endpoint | None = key(
        None, places.optional_endpoint, help='Where to serve them over HTTP, such as "127.0.0.1:8025"; empty is nowhere.'
    )
