"""facts - what can be asked about a client, and what came back.

What      `Question` and `Answer`: a DNS list asked about an address or a domain, the names of an address, the addresses of a name,
          what is remembered of the client and of its domain.
Promises  Plain values, which the garbage collector need not look at: with some thousand listed clients held it stopped the loop for
          150 to 400 ms at a time. A question is what lookups are joined, cached and recorded by. An answer that is `Unknown` says
          why, and is no opinion: SERVFAIL, REFUSED, a timeout or a rate limit lists nobody and clears nobody (DESIGN §2 rule 5).
Not here  Who asks: checks declare it (core/check). Who answers: dns/, and store/ for what is remembered.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum
from functools import lru_cache
from ipaddress import IPv6Address, ip_address
from typing import Protocol, TypeAlias

import msgspec

from tarry.core.history import Known


class Kind(Enum):
    """What is asked."""

    LISTED = "listed"
    """The A records of ``name`` in the DNS list ``zone``; ``name`` is the whole query name."""
    NAMES = "names"
    """The PTR names of the address ``name``, and which of them have that address (forward-confirmed reverse DNS)."""
    ADDRESSES = "addresses"
    """The A and AAAA records of the host ``name``."""
    HISTORY = "history"
    """What is remembered of the address ``name``."""
    DOMAIN_HISTORY = "domain_history"
    """What is remembered of the organisational domain that answers for the address ``name``: that of a confirmed name of it which
    does not hold the address's own digits, since names like that are given to customers."""

    __hash__ = object.__hash__  # Enum's own is written in Python, and a question is hashed some twenty times


class Question(msgspec.Struct, frozen=True, gc=False):
    """One question. ``zone`` is the DNS list, for `Kind.LISTED` only."""

    kind: Kind
    name: str
    zone: str = ""

    @property
    def source(self) -> str:
        """The short name that records give it: the zone, or the kind."""
        return self.zone or self.kind.value


class State(Enum):
    """How a question came out."""

    FOUND = "found"
    NOTHING = "nothing"
    UNKNOWN = "unknown"


class Answer(msgspec.Struct, frozen=True, gc=False):
    """What came back.

    ``values``: addresses (in normal form) for LISTED and ADDRESSES; for NAMES the names, lower case and without a final dot, those
    confirmed first; ``confirmed`` counts these. ``why`` says what went wrong where the state is UNKNOWN. ``ttl`` is how many
    seconds it may be kept, ``ms`` how many milliseconds it took, 0 from a cache. ``known`` is what is remembered, for the two
    HISTORY kinds, and ``domain`` the domain that was found for DOMAIN_HISTORY.
    """

    question: Question
    state: State
    values: tuple[str, ...] = ()
    confirmed: int = 0
    why: str = ""
    ttl: float = 0.0
    ms: float = 0.0
    known: Known | None = None
    domain: str = ""


Facts: TypeAlias = Mapping[Question, Answer]


def listing(address: str, zone: str) -> Question:
    """Ask a DNS list about an address: its octets, or its nibbles, reversed before the zone (RFC 5782 §2.1 and §2.4)."""
    return Question(Kind.LISTED, f"{reversed_address(address)}.{zone}", zone)


def domain_listing(domain: str, zone: str) -> Question:
    """Ask a domain list about a domain (RFC 5782 §4)."""
    return Question(Kind.LISTED, f"{domain}.{zone}", zone)


def names_of(address: str) -> Question:
    """Ask for the names of an address."""
    return Question(Kind.NAMES, address)


def addresses_of(name: str) -> Question:
    """Ask for the addresses of a host name."""
    return Question(Kind.ADDRESSES, name)


def history_of(address: str) -> Question:
    """Ask what is remembered of an address."""
    return Question(Kind.HISTORY, address)


def domain_history_of(address: str) -> Question:
    """Ask what is remembered of the domain that answers for an address."""
    return Question(Kind.DOMAIN_HISTORY, address)


@lru_cache(maxsize=256)  # five lists are asked about an address, one after the other
def reversed_address(address: str) -> str:
    """Return an address as it stands before a zone: ``2.0.0.127``, or 32 nibbles. Raises ValueError where it is none."""
    parsed = ip_address(address)
    if isinstance(parsed, IPv6Address):
        return ".".join(reversed(parsed.exploded.replace(":", "")))
    return ".".join(reversed(address.split(".")))


class Resolver(Protocol):
    """What the shell provides to look things up."""

    def ask(self, question: Question, on_answer: Callable[[Answer], None]) -> object:
        """Call *on_answer* once, later and never from within this call, by the time that dns.timeout allows."""
