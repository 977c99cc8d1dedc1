"""tables - every table of the configuration, one dataclass each, with what each key means to a postmaster.

What      A field's metadata hold its kind, help, since, source, and whether it waits for a later version. keys.py reads them; the
          reference page, the commented file and the JSON Schema are made of them. The tables of checks follow from the checks.
Promises  Every key has a safe default. Names are a contract: tools rely on them.
Units     Durations are seconds here; see values.py for how they are written.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Literal

from tarry.config import patterns, places, values
from tarry.config.places import Address, Network
from tarry.core.client import Endpoint, Phase
from tarry.core.policy import Span

PHASES = {phase.word: phase for phase in Phase if phase is not Phase.CLOSED}
DELAY_PHASES = ("helo", "mail", "rcpt", "data")


def key(default: Any, kind: values.Kind, *, help: str, since: str = "0.1", source: str = "", later: bool = False) -> Any:
    """Declare one key. ``later``: it is known, and has no effect in this version."""
    return field(default=default, metadata={"kind": kind, "help": help, "since": since, "source": source, "later": later})


@dataclass(frozen=True, slots=True, kw_only=True)
class Listen:
    """Where clients come in, and how many."""

    smtp: tuple[Endpoint, ...] = key(
        (Endpoint("127.0.0.1", 2525),),
        places.endpoints,
        help='Addresses for SMTP clients, as "host:port" or "[v6]:port". "0.0.0.0:25" is every IPv4 address of the host.',
    )
    workers: int = key(
        0,
        values.whole(0, 1024, "processes"),
        help="How many processes share the work; 0 is one a core. This version always runs one.",
    )
    proxy_from: tuple[Network, ...] = key(
        (),
        places.networks,
        help="Networks whose connections must begin with a PROXY header, version 1 or 2. From anyone else one is early talk.",
        source="haproxy's proxy-protocol.txt",
    )
    max_clients: int = key(
        15000,
        values.whole(1, 1_000_000, "clients"),
        help="How many clients are served at once; one more gets 421. Each needs a file descriptor or two.",
    )
    max_per_client: int = key(
        50,
        values.whole(0, 1_000_000, "connections"),
        help="How many connections one client may have at once (an IPv4 address or an IPv6 /64); 0 is no limit.",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Smtp:
    """How tarry speaks SMTP."""

    name: str = key(
        "",
        values.text("host name", longest=253, ascii_only=True, example="mail.example.org"),
        help="The host name in the greeting. Empty takes the name from the MTA's EHLO reply.",
    )
    bare_newline: Literal["normalize", "reject"] = key(
        "normalize",
        values.choice("normalize", "reject"),
        help="What becomes of a bare LF, CR or NUL: normalize mends it, reject refuses the message. None reaches the MTA raw.",
        source="RFC 5321 §2.3.8; CVE-2023-51764",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Handoff:
    """Where mail goes once a client has survived its holds."""

    mode: Literal["maildir", "proxy", "pass", "exec"] = key(
        "maildir",
        values.choice(
            "maildir",
            "proxy",
            later={
                "pass": 'set handoff.mode = "proxy" and handoff.address to a port of the MTA',
                "exec": 'set handoff.mode = "proxy" and let the MTA listen on a port of its own',
            },
        ),
        help="proxy relays to the MTA at handoff.address. maildir writes mail to a folder, for a first try and for traps.",
    )
    maildir: str = key(
        "mail", values.text("path", least=1, example="mail"), help="The Maildir folder for mode maildir; it is made when missing."
    )
    address: Address = key(Endpoint("127.0.0.1", 10025), places.target, help='The MTA for mode proxy: "host:port" or "unix:/path".')
    announce: Literal["none", "proxy-v1", "proxy-v2", "xclient", "pass"] = key(
        "none",
        values.choice(
            "none",
            "proxy-v1",
            "proxy-v2",
            later={
                "xclient": 'set handoff.announce = "proxy-v2" and let the MTA expect a PROXY header on that port',
                "pass": 'set handoff.announce = "proxy-v2" and let smtpd expect it with smtpd_upstream_proxy_protocol = haproxy',
            },
        ),
        help="How the MTA learns the client's address. It must expect the header on that port, and from tarry only.",
    )
    socket: str = key(
        "/var/spool/postfix/private/smtpd",
        values.text("path", least=1, example="/var/spool/postfix/private/smtpd"),
        help="The socket of Postfix's pass service, for mode pass.",
        later=True,
    )
    command: tuple[str, ...] = key(
        ("/usr/sbin/sendmail", "-bs"),
        values.listed(values.text("words of a command"), "list of words", '["/usr/sbin/sendmail", "-bs"]'),
        help="The MTA to run on the client's socket, for mode exec.",
        later=True,
    )
    park_after: float = key(
        20.0, values.duration(), help="A hold longer than this gives up the MTA's connection meanwhile.", later=True
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
        values.text("text", longest=400, ascii_only=True, example="mail.example.org"),
        help="Text of a first greeting line (220-) that is sent at once, the last line only after the hold. Empty sends none.",
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """Sums of the weights of all reasons. From these on an action is taken at RCPT, whatever the single reasons ask for."""

    delay: float = key(1.0, values.number(0, 1_000_000, "weight"), help="Delay from this sum on; 0 is never.")
    reject: float = key(0.0, values.number(0, 1_000_000, "weight"), help="Reject from this sum on; 0 is never.")


@dataclass(frozen=True, slots=True, kw_only=True)
class RcptTarpit:
    """Holds the reply to each RCPT beyond a number: step times the count so far, at most cap."""

    free: int = key(
        5,
        values.whole(0, 1_000_000, "commands"),
        help="How many RCPTs of a message are answered at once.",
        source="A. Poling, 1997",
    )
    step: float = key(0.0, values.duration(), help="The seventh RCPT waits seven times this. 0s switches the tarpit off.")
    cap: float = key(300.0, values.duration(), help="No reply is held longer than this.")


@dataclass(frozen=True, slots=True, kw_only=True)
class RsetTarpit:
    """Holds the reply to each RSET beyond a number, in the same way."""

    free: int = key(
        4,
        values.whole(0, 1_000_000, "commands"),
        help="How many RSETs of a session are answered at once.",
        source="A. Poling, 1997",
    )
    step: float = key(0.0, values.duration(), help="The sixth RSET waits six times this. 0s switches the tarpit off.")
    cap: float = key(300.0, values.duration(), help="No reply is held longer than this.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Dns:
    """Lookups of block lists."""

    servers: tuple[Endpoint, ...] = key((), places.endpoints, help="DNS servers; empty takes the system's.")
    timeout: float = key(3.0, values.duration(0.001), help="How long to wait for an answer; never longer than the hold.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Deadlines and sizes, so that nobody can hold a session for ever."""

    command: float = key(
        300.0, values.duration(0.001), help="For one whole command line, however slowly it drips in.", source="RFC 5321 §4.5.3.2.7"
    )
    data: float = key(
        600.0, values.duration(0.001), help="For the message, from the 354 to the final dot.", source="RFC 5321 §4.5.3.2"
    )
    backend: float = key(30.0, values.duration(0.001), help="For the MTA to be connected, to greet and to answer each command.")
    message: float = key(
        600.0,
        values.duration(0.001),
        help="For the MTA's answer to the whole message. Where limits.backend is set and this is not, it takes that value.",
        source="RFC 5321 §4.5.3.2.6",
    )
    proxy: float = key(5.0, values.duration(0.001), help="For a PROXY header to come from a network in listen.proxy_from.")
    drain: float = key(30.0, values.duration(), help="How long a stopping server lets running sessions finish.")
    line: int = key(
        2048,
        values.whole(512, 65536, "octets"),
        help="The longest command line, with its line end.",
        source="RFC 5321 §4.5.3.1.4 asks for 512; Postfix and Exim take 2,048",
    )
    recipients: int = key(
        1000,
        values.whole(1, 100_000, "recipients"),
        help="Recipients a message may have; one more gets 452.",
        source="RFC 5321 §4.5.3.1.8 asks for 100",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Headers:
    """Header lines for the filters behind the MTA."""

    insert: bool = key(
        False,
        values.boolean,
        help="Put X-Tarry-Reasons and the headers that checks ask for before the message. A signed message stays valid.",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Exempt:
    """Clients that are never held nor checked."""

    networks: tuple[Network, ...] = key((), places.networks, help="Your own networks, and those of partners and monitors.")
    patterns: tuple[re.Pattern[str], ...] = key(
        (),
        patterns.patterns,
        help="Regular expressions searched for in the client's address, for what no network can say.",
        source="sendwrap, 2004",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Deny:
    """Clients that are refused as soon as they connect."""

    networks: tuple[Network, ...] = key((), places.networks, help="Networks that get one reply, 554, and are closed.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Karma:
    """What earlier sessions of a client count."""

    skip_above: int = key(
        5, values.whole(0, 1_000_000, "karma"), help="A client with more karma is not held.", source="qpsmtpd earlytalker"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """STARTTLS."""

    mode: Literal["relay", "terminate", "off"] = key(
        "relay",
        values.choice("relay", "off", later={"terminate": 'set tls.mode = "relay", so that the MTA does STARTTLS'}),
        help="relay: the MTA does STARTTLS, and tarry sees nothing of the session afterwards. off: STARTTLS is not offered.",
    )
    certificate: str = key(
        "", values.text("path", example="/etc/ssl/mail.pem"), help="The certificate chain (PEM), for mode terminate.", later=True
    )
    key: str = key(
        "", values.text("path", example="/etc/ssl/mail.key"), help="The private key (PEM), for mode terminate.", later=True
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Store:
    """The memory of clients."""

    url: str = key(
        "sqlite:tarry.db", values.text("URL"), help='"sqlite:FILE", "valkey://host:6379/0" for several front doors, or "none".'
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """The event log: what each client did, and what was done about it."""

    path: str = key(
        "-",
        values.text("path", least=1, example="-"),
        help='Where JSON lines go: a file, a folder of hourly files where it ends in "/", or "-" for the standard output.',
    )
    detail: Literal["all", "close"] = key(
        "all", values.choice("all", "close"), help="all writes every event, close only one line for each session."
    )
    style: Literal["json"] = key(
        "json",
        values.choice("json", later={"postscreen": 'leave it at "json"; postscreen\'s log lines come with a later version'}),
        help="The form of the lines.",
    )
    paths: bool = key(True, values.boolean, help="Show the addresses of senders and recipients. False keeps them out of the log.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Web:
    """The dashboard and /metrics."""

    listen: Endpoint | None = key(None, places.optional_endpoint, help="Where to serve them; empty is nowhere.")
