"""tables - the tables of the configuration, one dataclass each, with what each key means to a postmaster.

What      A field's metadata hold its kind, help, since, source, and whether it waits for a later version. keys.py reads them; the
          reference page, the commented file and the JSON Schema are made of them. The tables of checks follow from the checks.
Promises  Every key has a safe default. Names are a contract: tools rely on them.
Units     Durations are seconds here; see values.py for how they are written.
Not here  What makes clients wait: waits.py. What is remembered, and how the server is run: operation.py.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from tarry.config import patterns, places, values
from tarry.config.declare import key
from tarry.config.places import Address, Listening, Network
from tarry.core.client import Endpoint


@dataclass(frozen=True, slots=True, kw_only=True)
class Listen:
    """Where clients come in, and how many."""

    smtp: tuple[Listening, ...] = key(
        (Endpoint("127.0.0.1", 2525),),
        places.listening,
        help='Addresses for SMTP clients: "host:port", "[v6]:port" ("0.0.0.0:25" is all of IPv4), or "systemd" for the sockets '
        "that it hands over.",
    )
    smtps: tuple[Listening, ...] = key(
        (),
        places.listening,
        help='Addresses whose clients begin with TLS (port 465), in the same forms; "systemd:NAME" is its FileDescriptorName=.',
        source="RFC 8314 §3.3",
    )
    workers: int = key(
        0,
        values.whole(0, 255, "processes"),
        help="How many processes share the work; 0 is one a core. With 1 there is no process beside it that keeps it.",
    )
    user: str = key(
        "",
        values.text("user", ascii_only=True, example="tarry"),
        help='The user to become when the sockets are open, "name" or "name:group"; empty stays who it is. Under systemd: User=.',
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
        help="How many connections one client may have at once (an IPv4 address or an IPv6 /64), in all workers, and on all "
        "hosts where store.url is shared; 0 is no limit.",
    )
    max_per_network: int = key(
        0,
        values.whole(0, 1_000_000, "connections"),
        help="The same for its network: the IPv4 /24, or the IPv6 /48; 0 is no limit.",
    )
    rate_per_client: int = key(
        0,
        values.whole(0, 1_000_000, "connections a minute"),
        help="How many connections one client may make in a minute; one more gets 421. 0 is no limit.",
    )
    rate_per_network: int = key(
        0, values.whole(0, 1_000_000, "connections a minute"), help="The same for its network; 0 is no limit."
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
    help_url: str = key(
        "",
        places.url,
        help="A page that tells refused senders what to do: it ends tarry's own refusals, and fills {help_url} in yours.",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Handoff:
    """Where mail goes once a client has survived its holds."""

    mode: Literal["maildir", "proxy", "pass", "exec"] = key(
        "maildir",
        values.choice("maildir", "proxy", "pass", "exec"),
        help="proxy relays to the MTA at handoff.address. pass gives the client to Postfix's smtpd, exec to a command; "
        "maildir writes mail to a folder, for a first try and for traps.",
    )
    maildir: str = key(
        "mail", values.text("path", least=1, example="mail"), help="The Maildir folder for mode maildir; it is made when missing."
    )
    address: Address = key(Endpoint("127.0.0.1", 10025), places.target, help='The MTA for mode proxy: "host:port" or "unix:/path".')
    announce: Literal["none", "proxy-v1", "proxy-v2", "xclient", "pass"] = key(
        "none",
        values.choice("none", "proxy-v1", "proxy-v2", "xclient", "pass"),
        help="How the MTA learns the client's address in mode proxy; it must expect it on that port, from tarry only. "
        "xclient needs smtpd_authorized_xclient_hosts in Postfix, pass the socket of Postfix's pass service in handoff.address.",
        source="haproxy's proxy-protocol.txt; Postfix's XCLIENT_README",
    )
    socket: str = key(
        "/var/spool/postfix/private/smtpd",
        values.text("path", least=1, example="/var/spool/postfix/private/smtpd"),
        help="The socket of Postfix's pass service, for mode pass.",
    )
    max_waiting: int = key(
        100,
        values.whole(1, 100_000, "clients"),
        help="For mode pass: how many clients may wait for a free smtpd at once; further ones stay on hold in tarry.",
        source="postscreen_post_queue_limit",
    )
    command: tuple[str, ...] = key(
        ("/usr/sbin/sendmail", "-bs"),
        values.listed(values.text("words of a command"), "list of words", '["/usr/sbin/exim", "-bs"]'),
        help="The MTA to run for each client, for mode exec (Sendmail's own sendmail wants -Am as well). In its words {client}, "
        "{client_port}, {server} and {server_port} are replaced.",
    )
    stdio: Literal["socket", "pipe"] = key(
        "socket",
        values.choice("socket", "pipe"),
        help="For mode exec: socket gives the command the client's own socket; with pipe tarry stays in line, and the command must "
        "learn the client from its words or from TCPREMOTEIP.",
    )
    max_children: int = key(
        100,
        values.whole(1, 100_000, "processes"),
        help="For mode exec: how many commands may run at once; one client more gets 421.",
    )
    park_after: float = key(
        20.0,
        values.duration(),
        help="A hold in mid-session that is longer gives up the MTA's connection, and opens one anew afterwards.",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Dns:
    """Lookups: block lists, the names of clients, the addresses of the names that they give."""

    servers: tuple[Endpoint, ...] = key(
        (), places.name_servers, help="DNS servers by address, port 53 where none is named; empty takes the system's."
    )
    timeout: float = key(
        3.0,
        values.duration(0.001),
        help="How long to wait for an answer. The greeting waits for none; what is missing is no opinion.",
    )
    max_queries: int = key(
        1000, values.whole(1, 1_000_000, "questions"), help="How many may be under way at once; more have no answer."
    )
    cache: int = key(50_000, values.whole(0, 10_000_000, "answers"), help="How many answers are kept.")
    min_ttl: float = key(60.0, values.duration(), help="No answer is kept for less.", source="postscreen_dnsbl_min_ttl")
    max_ttl: float = key(3600.0, values.duration(), help="No answer is kept for longer.", source="postscreen_dnsbl_max_ttl")
    self_test: float = key(
        1800.0,
        values.duration(),
        help="How often each list is tested; one that lists everybody, or nobody, is not asked until it is mended. 0s is never.",
        source="RFC 5782 §5",
    )


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
    handshake: float = key(30.0, values.duration(0.001), help="For a TLS handshake, with the client or with the MTA.")
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
    """Clients that are never held nor checked. `tarry clients allow` adds to them while the server runs."""

    networks: tuple[Network, ...] = key((), places.networks, help="Your own networks, and those of partners and monitors.")
    patterns: tuple[re.Pattern[str], ...] = key(
        (),
        patterns.patterns,
        help="Regular expressions searched for in the client's address, for what no network can say.",
        source="sendwrap, 2004",
    )
    files: tuple[str, ...] = key(
        (),
        values.listed(values.text("file", least=1), "list of files", '["partners.txt"]'),
        help="Files with one network or address a line, and behind # a comment; until=2026-12-31 before it ends the line that day. "
        "They are read again when they change.",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Deny:
    """Clients that are refused as soon as they connect. `tarry clients deny` adds to them while the server runs."""

    networks: tuple[Network, ...] = key((), places.networks, help="Networks that get one reply, 554, and are closed.")
    files: tuple[str, ...] = key(
        (), values.listed(values.text("file", least=1), "list of files", '["blocked.txt"]'), help="Files as in exempt.files."
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """STARTTLS, and TLS from the first byte on."""

    mode: Literal["relay", "terminate", "off"] = key(
        "relay",
        values.choice("relay", "terminate", "off"),
        help="relay: the MTA does STARTTLS, and tarry sees nothing of the session afterwards. terminate: tarry does it. "
        "off: it is not offered.",
    )
    certificate: str = key(
        "",
        values.text("path", example="/etc/ssl/mail.pem"),
        help="The certificate chain (PEM), for mode terminate and listen.smtps. Read again on SIGHUP.",
    )
    minimum: Literal["1.2", "1.3"] = key(
        "1.2", values.choice("1.2", "1.3"), help="The oldest version of TLS that is spoken.", source="RFC 8996, RFC 9325"
    )
    to_mta: Literal["plain", "starttls", "verify"] = key(
        "plain",
        values.choice("plain", "starttls", "verify"),
        help="The way to the MTA in mode proxy: plain, with STARTTLS, or with STARTTLS and its certificate verified for the name "
        "in handoff.address.",
    )
    # The last one, since it hides the function of this name.
    key: str = key(
        "",
        values.text("path", example="/etc/ssl/mail.key"),
        help="Its private key (PEM); it may be in the same file.",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """The event log: what each client did, and what was done about it."""

    path: str = key(
        "-",
        values.text("path", least=1, example="-"),
        help='Where its lines go: a file, a folder of hourly files where it ends in "/", or "-" for the standard output.',
    )
    detail: Literal["all", "close"] = key(
        "all", values.choice("all", "close"), help="all writes every event, close only one line for each session."
    )
    style: Literal["json", "postscreen"] = key(
        "json",
        values.choice("json", "postscreen"),
        help="The form of the lines. json is tarry's own, and the one that its tools read; postscreen writes those of Postfix's "
        "postscreen, for pflogsumm, fail2ban and exporters that read a mail log.",
        source="Postfix's postscreen(8) and POSTSCREEN_README",
    )
    paths: bool = key(True, values.boolean, help="Show the addresses of senders and recipients. False keeps them out of the log.")
