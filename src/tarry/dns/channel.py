"""channel - queries to name servers by c-ares, on the event loop.

What      `Channel.query` sends one query and calls back once with a `Reply`. The only file that knows pycares.
Promises  No task, future or thread for a query. A reply carries addresses and names only; no text of a name server is ever taken.
          It may call back before `query` returns (c-ares remembers the answer, or cannot send). A fault of the callee's is told
          to the loop and reaches nobody else.
Trusted   c-ares: random ids (its own generator), sockets connected to the one server, the question of a reply compared with that
          of the query, TCP after a truncated reply, the next server after SERVFAIL, REFUSED, NOTIMP and a timeout, DNS cookies
          (RFC 7873, which is what EDNS is switched on for). RFC 5452 wants id and port drawn at random for each query; c-ares
          has one port for all queries of a channel, so here a channel is renewed.
Renewal   After QUERIES queries or LIFE seconds the next query makes a new c-ares channel, which draws a new source port and reads
          /etc/resolv.conf anew. It also bounds memory: c-ares keeps answers for up to an hour, without a bound in number, and
          pycares gives no way to say otherwise. Queries under way end on the old channel, which is closed after the last of them
          and never from within a callback. A channel takes 0.02 ms to make. A new one knows nothing of servers that are down, so
          it is given the order in which those before it have come to prefer them.
Facts     pycares destroys a closed channel in a thread, and c-ares calls back about sockets and queries from there; so readers are
          taken out of the loop before, and these calls are not listened to. A malformed packet makes c-ares give its connection
          up and send what is under way there again; who can forge one can make lookups fail, and a failed lookup is no opinion.
          It does not look at the bit that says reply: an echoed query says that nothing is there. A reply by TCP may have 64 KB;
          to read that takes 6 ms, and there is no way to take less of it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import msgspec
import pycares

from tarry.core.clock import Clock
from tarry.core.facts import State

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop, TimerHandle

A = pycares.QUERY_TYPE_A
AAAA = pycares.QUERY_TYPE_AAAA
PTR = pycares.QUERY_TYPE_PTR
SOA = pycares.QUERY_TYPE_SOA

QUERIES = 2000
LIFE = 10.0
TICK = 0.05
"""How often c-ares looks for queries that have waited too long, while there are any."""
OVERDUE = 10
"""An old channel is closed after so many times the timeout, whatever it still waits for."""
MOST_VALUES = 32
"""More addresses or names than that are not taken out of a reply."""

_FLAGS = pycares.ARES_FLAG_NOSEARCH | pycares.ARES_FLAG_STAYOPEN | pycares.ARES_FLAG_EDNS
_FIRST_TRY = 0.25
_RECEIVE_BUFFER = 1 << 20  # the kernel's own default holds some 250 replies, fewer than a crowd's
_NOBODY = pycares.ARES_SOCKET_BAD
_NOTHING = frozenset({pycares.errno.ARES_ENOTFOUND, pycares.errno.ARES_ENODATA})
_WHY = {
    pycares.errno.ARES_ESERVFAIL: "SERVFAIL",
    pycares.errno.ARES_EREFUSED: "REFUSED",
    pycares.errno.ARES_ENOTIMP: "NOTIMP",
    pycares.errno.ARES_EFORMERR: "FORMERR",
    pycares.errno.ARES_ETIMEOUT: "no answer in time",
    pycares.errno.ARES_ECONNREFUSED: "the name server cannot be reached",
    pycares.errno.ARES_EBADRESP: "a malformed answer",
}


class Reply(msgspec.Struct, frozen=True):
    """How a query came out: addresses or names, at most MOST_VALUES and each once, and the seconds for which they hold.

    For SOA there are no values, and ``ttl`` is how long the zone says that its negative answers hold (RFC 2308 §5).
    """

    state: State
    values: tuple[str | bytes, ...] = ()
    ttl: float = 0.0
    why: str = ""


OnReply: TypeAlias = Callable[[Reply], None]


class Queries(Protocol):
    """What a `Channel` is to those who ask."""

    @property
    def open(self) -> int:
        """How many queries are under way."""

    def query(self, name: str, kind: int, on_reply: OnReply) -> None:
        """Ask for the records of *kind* that *name* has."""

    def close(self) -> None:
        """Call nobody back any more."""


class Channel:
    """Queries to *servers* (``127.0.0.1:5353``; none: the system's), each sent again until some *timeout* seconds are over.

    Raises ValueError where *servers* are none.
    """

    def __init__(self, loop: AbstractEventLoop, clock: Clock, servers: Sequence[str], timeout: float) -> None:
        self._loop = loop
        self._clock = clock
        self._servers = list(servers)
        # c-ares doubles its patience with each round of all servers, less up to a half by chance, and begins with five times what a
        # server took on average, or 250 ms (its least) where that is more. With two rounds it would give up after 750 ms a question
        # that a resolver, quick as a rule, has to ask the world for. An answer is heard if it comes to the last query sent.
        self._tries = max(2, math.ceil(math.log2(1 + timeout / (_FIRST_TRY * max(1, len(servers))))))
        self._overdue = OVERDUE * timeout
        self._order: list[str] = []
        self._open = 0
        self._old: list[_Socketed] = []
        self._timer: TimerHandle | None = None
        self._is_closed = False
        try:
            self._current = self._renewed()
        except pycares.AresError as problem:
            raise ValueError(f"not name servers: {', '.join(servers)} ({problem})") from None

    @property
    def open(self) -> int:
        """How many queries are under way."""
        return self._open

    def query(self, name: str, kind: int, on_reply: OnReply) -> None:
        """Ask for the records of *kind* that *name* has; *name* is ASCII and within the bounds of RFC 1035."""
        if self._is_closed:
            return
        current = self._current
        current.asked += 1
        if current.asked > QUERIES or self._clock.monotonic() > current.until:
            self._old.append(current)
            self._order = current.ares.servers
            current = self._current = self._renewed()
            current.asked = 1
        self._open += 1
        current.open += 1
        query = _Query(self, current, name, kind, on_reply)
        try:
            current.ares.query(name, kind, callback=query)
        except pycares.AresError as problem:  # a name that c-ares does not take, no memory
            if not query.is_over:  # c-ares 1.34 has called back with the same, but does not promise it
                query(None, problem.args[0])
        if self._timer is None and (self._open or self._old):
            self._timer = self._loop.call_later(TICK, self._on_tick)

    def close(self) -> None:
        """Give all queries up; nobody is called back."""
        self._is_closed = True
        if self._timer is not None:
            self._timer.cancel()
        for each in (*self._old, self._current):
            self._end(each)
        self._old.clear()

    def _on_tick(self) -> None:
        now = self._clock.monotonic()
        self._timer = None
        for each in (*self._old, self._current):
            if each.open and not self._is_closed:
                each.ares.process_fd(_NOBODY, _NOBODY)
        for each in [old for old in self._old if not old.open or now > old.until + self._overdue]:
            self._old.remove(each)
            self._order = each.ares.servers
            if each.open:
                each.ares.cancel()  # calls back, here and now, each that is under way
            self._end(each)
        if not self._is_closed and self._timer is None and (self._open or self._old):
            self._timer = self._loop.call_later(TICK, self._on_tick)

    def _end(self, each: _Socketed) -> None:
        each.is_over = True
        for fd in each.reading:
            self._loop.remove_reader(fd)
        for fd in each.writing:
            self._loop.remove_writer(fd)
        each.ares.close()

    def _renewed(self) -> _Socketed:
        made = _Socketed(self._loop, self._servers, self._tries, self._clock.monotonic() + LIFE)
        if self._order and self._order != made.ares.servers and set(self._order) == set(made.ares.servers):
            made.ares.servers = self._order
        return made

    def _ended(self, query: _Query, reply: Reply) -> None:
        self._open -= 1
        query.where.open -= 1
        if self._is_closed:
            return
        try:
            query.on_reply(reply)
        except Exception as fault:  # our bug; raised into c-ares it would be printed, and lost
            self._loop.call_exception_handler({"message": "a reply ends in a fault of tarry itself", "exception": fault})


class _Socketed:
    """One channel of c-ares and its sockets in the event loop."""

    __slots__ = ("_loop", "ares", "asked", "is_over", "open", "reading", "until", "writing")

    def __init__(self, loop: AbstractEventLoop, servers: list[str], tries: int, until: float) -> None:
        self._loop = loop
        self.until = until
        self.asked = 0
        self.open = 0
        self.is_over = False
        self.reading: set[int] = set()
        self.writing: set[int] = set()
        self.ares = pycares.Channel(
            flags=_FLAGS,
            timeout=_FIRST_TRY,
            tries=tries,
            servers=servers or None,
            socket_receive_buffer_size=_RECEIVE_BUFFER,
            sock_state_cb=self._on_socket,
        )

    def _on_socket(self, fd: int, readable: bool, writable: bool) -> None:
        if self.is_over:
            return  # in pycares' thread
        if readable and fd not in self.reading:
            self.reading.add(fd)
            self._loop.add_reader(fd, self.ares.process_read_fd, fd)
        elif not readable and fd in self.reading:
            self.reading.remove(fd)
            self._loop.remove_reader(fd)
        if writable and fd not in self.writing:
            self.writing.add(fd)
            self._loop.add_writer(fd, self.ares.process_write_fd, fd)
        elif not writable and fd in self.writing:
            self.writing.remove(fd)
            self._loop.remove_writer(fd)


class _Query:
    """A query under way; pycares calls it with what came of it."""

    __slots__ = ("_channel", "is_over", "kind", "name", "on_reply", "where")

    def __init__(self, channel: Channel, where: _Socketed, name: str, kind: int, on_reply: OnReply) -> None:
        self._channel = channel
        self.where = where
        self.name = name
        self.kind = kind
        self.on_reply = on_reply
        self.is_over = False

    def __call__(self, result: pycares.DNSResult | None, error: int | None) -> None:
        self.is_over = True
        if result is not None and error is None:
            reply = _read(result.answer, self.name, self.kind)
        elif error in _NOTHING:
            reply = _NOTHING_THERE
        else:
            reply = Reply(State.UNKNOWN, why=_WHY.get(error or 0) or str(pycares.errno.strerror(error or 0)))
        self._channel._ended(self, reply)


_NOTHING_THERE = Reply(State.NOTHING)


def _read(records: Sequence[pycares.DNSRecord], name: str, kind: int) -> Reply:
    """Return what the answer section says. CNAMEs have been followed by the name server; their TTLs count as well."""
    found: dict[str | bytes, None] = {}
    ttl = float("inf")
    for record in records:
        ttl = min(ttl, record.ttl)
        if record.type != kind or len(found) >= MOST_VALUES:
            continue
        data: Any = record.data
        if kind == PTR:
            found[data.dname] = None
        elif kind == SOA:
            return Reply(State.FOUND, ttl=min(record.ttl, data.minimum))
        else:
            found[data.addr] = None
    if found:
        return Reply(State.FOUND, tuple(found), ttl)
    return Reply(State.UNKNOWN, why="a loop of CNAMEs") if _is_loop(records, name) else _NOTHING_THERE


def _is_loop(records: Sequence[pycares.DNSRecord], name: str) -> bool:
    """Say whether CNAMEs lead from *name* to a name where they have been before."""
    leads: dict[str, str] = {}
    for record in records:
        data: Any = record.data
        if record.type == pycares.QUERY_TYPE_CNAME and isinstance(record.name, str) and isinstance(data.cname, str):
            leads[record.name.lower()] = data.cname.lower()
    at, seen = name.lower(), set()
    while at in leads and at not in seen:
        seen.add(at)
        at = leads[at]
    return at in seen
