"""helo - does the name that the client gives at EHLO or HELO make sense, and is it the client's?

What      One code for each test, and ``tests`` says which are made. By looking: unqualified, bare_address, literal, own_name,
          localhost, netbios; beside the name before: changed, mixed. By asking the DNS: no_dns, no_match, and for the names in
          ``spoofed_names``, and those under one, spoofed. Several may be found at once. Nothing is asked for a test that is not
          made; the reply to RCPT waits for the answers.
How       unqualified is the expression of 2004, ``^[-a-zA-Z0-9]+\\.[a-zA-Z0-9]``: it holds on at the start only, so anything may
          follow a dot with a letter behind it, and it does not know underscores. It would also have flagged every literal in
          brackets, which RFC 5321 allows; here, and so under preset flavell-2004, it does not. literal: the address in brackets is
          not the client's. own_name: tarry's name or address, or one of ``own_names``. spoofed and no_match are fair to a client
          of which they cannot tell: a name server that does not answer is unknown. A spoofed name is cleared as Exim verifies
          HELO: it is a confirmed name of the client, or has its address, or is its address in brackets. no_match also takes a
          confirmed name of the same owner (the last two labels, three below the likes of co.uk): mail.example.com sends from
          out3.example.com. mixed is a HELO after an EHLO; whether the EHLO was refused, after which HELO is right, is not seen.
Why       Viruses say the host's bare name, bots the receiver's own name or that of a large provider. RFC 5321 §4.1.1.1 wants a
          name that resolves, or the address in brackets.
Mistaken  Scripts and devices in offices and containers: they give bare names (unqualified), the address of their inner network
          (literal), or localhost. Python's smtplib says [127.0.1.1] on a Debian without a domain. Underscores in names of Windows
          hosts. Large senders whose names have no address, or another one (no_dns, no_match). Whoever connects from this host may
          say localhost and use its name. So it only tags by default, and unqualified, no_dns, no_match and mixed are not among the
          usual tests: checks.helo.tests = ["usual", "unqualified"] adds one. checks.helo.codes gives single codes more force,
          checks.helo.action all.
Source    A. Flavell, exim-users, 2004-03-02; Haraka helo.checks; qpsmtpd helo; Sendmail block_bad_helo; RFC 5321 §4.1.3.
Since     0.1
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import ClassVar

from tarry.checks.values.hostname import have_one_owner, is_host_name, plain
from tarry.core.border import Answered, Hello
from tarry.core.check import About, Seen, Settings, option
from tarry.core.facts import Answer, Kind, Question, State, addresses_of, names_of
from tarry.core.result import PASSED, Action, Failed, Outcome, Unknown
from tarry.smtp.text import TEXT_LIMIT

CODES: Mapping[str, str] = {
    "unqualified": "the name has no dot, or begins with what no host name begins with",
    "bare_address": "the name is an address without brackets",
    "literal": "the address in brackets is not the client's",
    "own_name": "the name is tarry's own, its address, or one of checks.helo.own_names",
    "localhost": "the name is localhost, or a loopback address, and the client is another host",
    "netbios": "the name is one that Windows gives a machine which nobody has named (WIN-..., DESKTOP-...), or ylmf-pc",
    "no_dns": "the name has no address in the DNS",
    "no_match": "the name's addresses are not the client's, and no confirmed name of the client's has the same owner",
    "spoofed": "the name is one of checks.helo.spoofed_names, and the client is not that host",
    "changed": "the session gave another name before",
    "mixed": "a HELO came after an EHLO",
}
USUAL = ("bare_address", "literal", "own_name", "localhost", "netbios", "spoofed", "changed")

_QUALIFIED = re.compile(r"[-a-zA-Z0-9]+\.[a-zA-Z0-9]", re.ASCII)
_LOCALHOST = re.compile(r"(?:.+\.)?localhost[46]?(?:\.localdomain[46]?)?", re.ASCII)
_NETBIOS = re.compile(r"win-[a-z0-9]{11}|desktop-[a-z0-9]{7}|laptop-[a-z0-9]{8}|ylmf-pc|user(?:-pc)?", re.ASCII)

_NAME = re.compile(r"[a-z0-9_:\[][a-z0-9_.:\]-]{0,252}", re.ASCII | re.IGNORECASE)

_Address = IPv4Address | IPv6Address


def _domain(text: str) -> str:
    """Read one of ``spoofed_names``."""
    if not _NAME.fullmatch(text):
        raise ValueError("it is no name; names below a domain count as well, without a * or a dot before it")
    return plain(text)


def _name(text: str) -> str:
    """Read one of ``own_names``: a host name, which may be without a dot, or an address."""
    if not _NAME.fullmatch(text):
        raise ValueError("it is neither a host name nor an address")
    return plain(text)


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Keys of ``[checks.helo]``."""

    tests: tuple[str, ...] = option(
        ("usual",),
        unit="codes",
        choices=("usual", *CODES),
        help=f"which of the codes are looked for; usual stands for {', '.join(USUAL[:-1])} and {USUAL[-1]}",
    )
    spoofed_names: tuple[str, ...] = option(
        (),
        read=_domain,
        example="aol.com",
        unit="domains",
        help="names that are often forged, whose owners' servers verify; all names under one count as well",
    )
    own_names: tuple[str, ...] = option(
        (), read=_name, example="mail.example.org", unit="names", help="more names of this server, which no client can have"
    )

    @property
    def made(self) -> frozenset[str]:
        """The codes that are looked for."""
        return _made(self.tests)

    def is_often_spoofed(self, name: str) -> bool:
        """True for one of ``spoofed_names``, and a name under one."""
        if not self.spoofed_names:
            return False
        own = plain(name)
        return any(own == plain(one) or own.endswith(f".{plain(one)}") for one in self.spoofed_names if one)


@lru_cache(maxsize=8)
def _made(tests: tuple[str, ...]) -> frozenset[str]:
    return frozenset((*tests, *USUAL) if "usual" in tests else tests) - {"usual"}


class Helo:
    """Fails for each of ``tests`` that the name does not stand."""

    name = "helo"
    complaint = "Your HELO name is not yours or is none"
    codes: ClassVar[Mapping[str, str]] = CODES
    settings = Settings(action=Action.TAG)
    options = Options
    triggers = (Hello, Answered)
    kinds = frozenset({Kind.NAMES, Kind.ADDRESSES})

    def may_ask(self, options: Options) -> bool:
        made = options.made
        return not made.isdisjoint({"no_dns", "no_match"}) or ("spoofed" in made and bool(options.spoofed_names))

    def asks(self, seen: Seen, options: Options) -> tuple[Question, ...]:
        return _questions(seen.moment.name, seen.about.client, options) if isinstance(seen.moment, Hello) else ()

    def look(self, seen: Seen, options: Options) -> Outcome | tuple[Outcome, ...]:
        about = seen.about
        match seen.moment:
            case Hello(verb=verb, name=name):
                shown = {**dict.fromkeys((*_by_looking(name, about, options), *_by_facts(name, about, options)), name)}
                if about.helo and plain(about.helo) != plain(name):
                    shown["changed"] = f"{about.helo} -> {name}"
                if verb == "HELO" and about.verb == "EHLO":
                    shown["mixed"] = name
                return _failures(shown, options) or PASSED
            case Answered(answer=answer):
                asked = _questions(about.helo, about.client, options) if about.helo else ()
                if answer.question not in asked:
                    return ()
                if answer.state is State.UNKNOWN:
                    return Unknown(f"{answer.question.source} of {answer.question.name}: {answer.why or 'no answer'}")
                failed = _failures(dict.fromkeys(_by_facts(about.helo, about, options), about.helo), options)
                return failed or (PASSED if all(_known(about.facts.get(question)) for question in asked) else ())
            case _:
                return Unknown("not observed")


def _failures(shown: Mapping[str, str], options: Options) -> tuple[Failed, ...]:
    """Return a failure for each code that is tested, in the order of the declaration."""
    made = options.made
    return tuple(Failed(code, shown[code][:TEXT_LIMIT]) for code in CODES if code in shown and code in made)


def _questions(name: str, client: str, options: Options) -> tuple[Question, ...]:
    """Return what must be known of this name for the tests that are made."""
    if not is_host_name(name):
        return ()
    made = options.made
    needs_both = "no_match" in made or ("spoofed" in made and options.is_often_spoofed(name))
    if needs_both and _address(client) is not None:
        return addresses_of(plain(name)), names_of(client)
    return (addresses_of(plain(name)),) if "no_dns" in made else ()


def _by_looking(name: str, about: About, options: Options) -> Iterator[str]:
    """Yield the codes that need nothing but the name."""
    own, literal, bare = plain(name), _literal(name), _address(name)
    said, client, server = literal or bare, _address(about.client), _address(about.server)
    is_here = client is not None and (client.is_loopback or client == server)
    if not name.startswith("[") and not _QUALIFIED.match(name):
        yield "unqualified"
    if bare is not None:
        yield "bare_address"
    if name.startswith("[") and literal != client and not (is_here and literal is not None and literal.is_loopback):
        yield "literal"
    if not is_here:
        if own in {plain(one) for one in (about.name, *options.own_names) if one} or (said is not None and said == server):
            yield "own_name"
        if _LOCALHOST.fullmatch(own) or (said is not None and said.is_loopback):
            yield "localhost"
    if _NETBIOS.fullmatch(own):
        yield "netbios"
    if options.is_often_spoofed(name) and not is_host_name(name) and (literal is None or literal != client):
        yield "spoofed"


def _by_facts(name: str, about: About, options: Options) -> Iterator[str]:
    """Yield the codes for which enough has been answered."""
    addresses, names = about.facts.get(addresses_of(plain(name))), about.facts.get(names_of(about.client))
    if not is_host_name(name) or addresses is None or addresses.state is State.UNKNOWN:
        return
    if addresses.state is State.NOTHING:
        yield "no_dns"
    client = _address(about.client)
    if names is None or names.state is State.UNKNOWN or client is None or client in map(_address, addresses.values):
        return
    confirmed = names.values[: names.confirmed]
    if addresses.state is State.FOUND and not any(plain(one) == plain(name) or have_one_owner(one, name) for one in confirmed):
        yield "no_match"
    if options.is_often_spoofed(name) and plain(name) not in map(plain, confirmed):
        yield "spoofed"


def _known(answer: Answer | None) -> bool:
    return answer is not None and answer.state is not State.UNKNOWN


def _literal(name: str) -> _Address | None:
    """Return the address of a literal, ``[192.0.2.7]`` or ``[IPv6:2001:db8::7]``; the tag may be missing."""
    if not (name.startswith("[") and name.endswith("]")):
        return None
    inner = name[1:-1]
    tagged = inner[:5].lower() == "ipv6:"
    address = _address(inner[5:] if tagged else inner)
    return None if tagged and ":" not in inner[5:] else address


@lru_cache(maxsize=256)  # three are looked at for each EHLO, one of them always the same; ipaddress takes 5 µs for one
def _address(text: str) -> _Address | None:
    """Return an address, that of IPv4 where it is written as one of IPv6; None for anything else."""
    try:
        address = ip_address(text)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address
