"""waits - the tables of what makes clients wait: the hold before the greeting and its classes, residual delays, the score, tarpits.

Promises  As in tables.py: every key has a safe default, and names are a contract.
Units     Durations are seconds here; see values.py for how they are written.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from tarry.config import patterns, places, values
from tarry.config.declare import DELAY_PHASES, PHASES, key
from tarry.config.places import Network
from tarry.config.rows import rows
from tarry.core.client import Phase
from tarry.core.policy import Span


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldClass:
    """Clients with a wait of their own: whoever meets one of the conditions, or everybody where there is none."""

    name: str = key(
        "", values.text("name", least=1, longest=40, ascii_only=True, example="dubious"), help="Its name in records.", required=True
    )
    who: tuple[str, ...] = key(
        (),
        values.listed(values.text("words", least=1, ascii_only=True), "list of words", '["listed", "no_ptr"]'),
        help="allowed, listed, unknown, no_ptr, dynamic_name; or the name of a check, or of a reason (check.code).",
    )
    networks: tuple[Network, ...] = key((), places.networks, help="Its address is in one of these.")
    patterns: tuple[re.Pattern[str], ...] = key((), patterns.patterns, help="One of these is found in its address.")
    wait: Span = key(
        Span(0.0, 0.0), values.span, help="How long such clients wait for the greeting; 0s is not at all.", required=True
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """The wait before the greeting, and before 354."""

    wait: Span = key(
        Span(3.0, 6.0),
        values.span,
        help="How long each client waits for the greeting. A range is drawn anew for each, so that no sender can learn the number.",
        source="2023, 5,212 connections: 99.6 % of the early talkers had spoken after 2 s, all after 4.6 s",
    )
    teaser: str = key(
        "",
        values.text("text", longest=400, ascii_only=True, example="{name} ESMTP"),
        help="Text of a first greeting line (220-) that is sent at once, the last line only after the hold; {name} is the name in "
        "the greeting. Empty sends none.",
        source="postscreen_greet_banner",
    )
    data_wait: Span = key(
        Span(0.0, 0.0),
        values.span,
        help="How long to wait before the 354, to see who sends the message unasked.",
        source="qpsmtpd earlytalker, check-at DATA",
    )
    end_early: bool = key(
        True,
        values.boolean,
        help="End the hold as soon as a client has talked: refuse it, or greet it where its action lets it in. False waits it out.",
    )
    class_: tuple[HoldClass, ...] = key(
        (),
        rows(
            HoldClass,
            lambda one: one.metadata["kind"],
            unit="list of classes",
            example='{ name = "ours", networks = ["192.0.2.0/24"], wait = "0s" }',
        ),
        help="Clients with a wait of their own: [[hold.class]], each with name, wait, and who, networks or patterns. The first "
        "that a client belongs to counts, also when that is found out while it waits.",
        source="Sendmail's GreetPause: in the access map",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Delay:
    """The residual delay: for clients with a reason whose action is delay."""

    target: Span = key(
        Span(60.0, 290.0),
        values.span,
        help="How long such a client is to have waited in all since it connected; earlier holds and lookups count.",
        source="A. Flavell, exim-users, 2004-03-02; RFC 5321 §4.5.3.2 lets clients wait 5 minutes",
    )
    at: Phase = key(
        Phase.RCPT,
        values.mapped(values.choice(*DELAY_PHASES), PHASES.__getitem__, lambda phase: phase.word),
        help="The command whose reply is held.",
    )
    per_reason: float = key(0.0, values.duration(), help="What each reason beyond the first adds to the target.")
    session_cap: float = key(290.0, values.duration(), help="All residual delays of a session together are no longer than this.")
    reply_pace: float = key(
        0.0,
        values.duration(),
        help="Send a held reply an octet at a time, one each so long; 0s sends it at once.",
        source="OpenBSD spamd -s",
    )
    reply_pace_clients: int = key(
        100,
        values.whole(0, 1_000_000, "clients"),
        help="To how many clients at once; what the others are told goes out at once.",
        source="OpenBSD spamd stops when it has too many clients",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """Sums of the weights of all reasons. From these on an action is taken, whatever the single reasons ask for."""

    delay: float = key(1.0, values.number(0, 1_000_000, "weight"), help="Delay from this sum on; 0 is never.")
    defer: float = key(0.0, values.number(0, 1_000_000, "weight"), help="Defer from this sum on; 0 is never.")
    reject: float = key(0.0, values.number(0, 1_000_000, "weight"), help="Reject from this sum on; 0 is never.")
    drop: float = key(0.0, values.number(0, 1_000_000, "weight"), help="Drop from this sum on; 0 is never.")
    allow: float = key(
        -1.0,
        values.number(-1_000_000, 0, "weight"),
        help="At this sum or below it the client is greeted as soon as that is known; 0 is never.",
        source="postscreen_dnsbl_allowlist_threshold",
    )
    at: Phase = key(
        Phase.RCPT,
        values.mapped(values.choice(*PHASES), PHASES.__getitem__, lambda phase: phase.word),
        help="The phase from which on these actions are carried out; a delay is at delay.at.",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Tarpit:
    """A hold that grows with the number of commands, or replies, of a kind."""

    free: int = key(5, values.whole(0, 1_000_000, "commands"), help="How many are answered at once.")
    step: float = key(
        0.0, values.duration(), help="The n-th beyond that waits n times this; 0s is not at all.", source="A. Poling, 1997"
    )
    start: float = key(0.0, values.duration(), help="Where step is 0s: the first beyond that waits this long, ...")
    factor: float = key(
        1.0,
        values.number(1, 1000, "times"),
        help="And each one this many times as long as the one before.",
        source="Exim's smtp_ratelimit_rcpt",
    )
    cap: float = key(300.0, values.duration(), help="No reply is held longer than this.")


@dataclass(frozen=True, slots=True, kw_only=True)
class RcptTarpit(Tarpit):
    """Holds the reply to each RCPT of a message beyond a number."""

    say: str = key(
        "",
        values.text("text", longest=400, ascii_only=True),
        help="Text in place of the MTA's own after a 250 to RCPT; empty is the MTA's.",
    )
    say_after: int = key(0, values.whole(0, 1_000_000, "commands"), help="For recipients beyond this number.")


@dataclass(frozen=True, slots=True, kw_only=True)
class RsetTarpit(Tarpit):
    """Holds the reply to each RSET of a session beyond a number."""

    free: int = key(4, values.whole(0, 1_000_000, "commands"), help="How many are answered at once.", source="A. Poling, 1997")


@dataclass(frozen=True, slots=True, kw_only=True)
class NoopTarpit(RsetTarpit):
    """Holds the reply to each NOOP of a session beyond a number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MailTarpit(Tarpit):
    """Holds the reply to each MAIL of a session beyond a number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorTarpit(Tarpit):
    """Holds each reply 500 to 504 or 555 of a session beyond a number."""

    free: int = key(3, values.whole(0, 1_000_000, "replies"), help="How many are sent at once.")


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusedTarpit(ErrorTarpit):
    """Holds the MTA's refusal of each recipient of a session beyond a number."""
