"""lookup - what a question takes in queries, and how their replies add up.

What      One class for each `Kind`. ``start`` sends queries, ``on_end`` is called once with the `Finding`; at the deadline
          ``so_far`` says what is known by then.
Promises  A query that failed is no opinion: it is UNKNOWN unless the other queries alone settle the question.
Rules     LISTED      one A query.
          ADDRESSES   A and AAAA together. FOUND if either is found, NOTHING only if neither exists.
          NAMES       PTR, then A or AAAA of the first FORWARD names that are host names. FOUND if any of them has the address, or
                      if all of them are known not to have it (confirmed = 0). A name beyond these is not looked up and is not
                      confirmed: who publishes a hundred names does not get a hundred queries for them.
Source    RFC 5782 §2.1; RFC 1035 §3.5 and RFC 3596 §2.5 (reverse trees); RFC 8499 §7 (forward-confirmed reverse DNS).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Protocol, TypeAlias

import msgspec

from tarry.core.client import normal
from tarry.core.facts import Kind, Question, State
from tarry.dns.channel import AAAA, PTR, A, OnReply, Reply
from tarry.dns.names import host_name, query_name, reverse_name

FORWARD = 5
"""How many names of an address are looked up: one in most of the honest world, and a bound for the rest."""


class Finding(msgspec.Struct, frozen=True):
    """What came of a question, but for the question and the time. ``ttl`` is what the name servers say."""

    state: State
    values: tuple[str, ...] = ()
    confirmed: int = 0
    ttl: float = 0.0
    why: str = ""


Query: TypeAlias = Callable[[str, int, OnReply], None]
OnEnd: TypeAlias = Callable[[Finding], None]

NOTHING = Finding(State.NOTHING)


class Lookup(Protocol):
    """A question under way."""

    def start(self, query: Query) -> None:
        """Send what can be sent at once."""

    def so_far(self, why: str) -> Finding:
        """Return what is known, *why* being the reason for what is not."""


def lookup(question: Question, on_end: OnEnd) -> Lookup | None:
    """Return what will answer *question*, or None where no query can be made of its name, so that nothing has it."""
    name = reverse_name(question.name) if question.kind is Kind.NAMES else query_name(question.name)
    if not name:
        return None
    match question.kind:
        case Kind.LISTED:
            return Listed(name, on_end)
        case Kind.ADDRESSES:
            return Addresses(name, on_end)
        case Kind.NAMES:
            return Names(question.name, name, on_end)
        case Kind.HISTORY | Kind.DOMAIN_HISTORY:
            return None  # no name server knows that


class Listed:
    """The A records of a name."""

    __slots__ = ("_name", "_on_end")

    def __init__(self, name: str, on_end: OnEnd) -> None:
        self._name = name
        self._on_end = on_end

    def start(self, query: Query) -> None:
        query(self._name, A, self._on_reply)

    def so_far(self, why: str) -> Finding:
        return Finding(State.UNKNOWN, why=why)

    def _on_reply(self, reply: Reply) -> None:
        self._on_end(Finding(reply.state, _addresses(reply), ttl=reply.ttl, why=reply.why))


class Addresses:
    """The A and AAAA records of a name."""

    __slots__ = ("_name", "_on_end", "_replies")

    def __init__(self, name: str, on_end: OnEnd) -> None:
        self._name = name
        self._on_end = on_end
        self._replies: list[Reply] = []

    def start(self, query: Query) -> None:
        query(self._name, A, self._on_reply)
        query(self._name, AAAA, self._on_reply)

    def so_far(self, why: str) -> Finding:
        found = [reply for reply in self._replies if reply.state is State.FOUND]
        if found:
            values = dict.fromkeys(value for reply in found for value in _addresses(reply))
            return Finding(State.FOUND, tuple(values), ttl=min(reply.ttl for reply in found))
        failed = [reply.why for reply in self._replies if reply.state is State.UNKNOWN]
        if failed or len(self._replies) < 2:
            return Finding(State.UNKNOWN, why=failed[0] if failed else why)
        return NOTHING

    def _on_reply(self, reply: Reply) -> None:
        self._replies.append(reply)
        if len(self._replies) == 2:
            self._on_end(self.so_far(""))


class Names:
    """The PTR names of an address, and which of them have it."""

    __slots__ = ("_address", "_confirmed", "_doubt", "_name", "_names", "_on_end", "_query", "_ttl", "_waiting")

    def __init__(self, address: str, name: str, on_end: OnEnd) -> None:
        self._address = normal(address)
        self._name = name
        self._on_end = on_end
        self._names: list[str] = []
        self._confirmed: list[str] = []
        self._doubt = ""
        self._waiting = 0
        self._ttl = 0.0

    def start(self, query: Query) -> None:
        self._query = query
        query(self._name, PTR, self._on_names)

    def so_far(self, why: str) -> Finding:
        others = [name for name in self._names if name not in self._confirmed]
        values = (*[name for name in self._names if name in self._confirmed], *others)
        if self._confirmed or (self._names and not self._waiting and not self._doubt):
            return Finding(State.FOUND, values, len(self._confirmed), self._ttl)
        return Finding(State.UNKNOWN, values, why=self._doubt or why)

    def _on_names(self, reply: Reply) -> None:
        if reply.state is State.UNKNOWN:
            self._on_end(Finding(State.UNKNOWN, why=reply.why))
            return
        self._names = list(dict.fromkeys(name for value in reply.values if (name := host_name(value))))
        if not self._names:
            self._on_end(NOTHING)
            return
        self._ttl = reply.ttl
        asked = self._names[:FORWARD]
        self._waiting = len(asked)  # before the first of them, which may be answered at once
        for name in asked:
            self._query(name, AAAA if ":" in self._address else A, partial(self._on_forward, name))

    def _on_forward(self, name: str, reply: Reply) -> None:
        self._waiting -= 1
        match reply.state:
            case State.FOUND:
                self._ttl = min(self._ttl, reply.ttl)
                if self._address in _addresses(reply):
                    self._confirmed.append(name)
            case State.NOTHING:
                self._ttl = 0.0  # how long a name stays without addresses is not known: the least that is kept
            case State.UNKNOWN:
                self._doubt = self._doubt or f"the addresses of {name}: {reply.why}"
        if not self._waiting:
            self._on_end(self.so_far(""))


def _addresses(reply: Reply) -> tuple[str, ...]:
    """Return the addresses of a reply in normal form."""
    return tuple(normal(value) for value in reply.values if isinstance(value, str))
