"""admission - who may come in at all, and who need not wait.

What      Limits on clients, exempt and denied networks, and the connections of each client and each network: how many are in, and
          how many come in a minute.
Promises  Pure but for its own counts. IPv6 clients are counted by /64, IPv4 clients by address; networks are the /48 and the /24.
          What was admitted is given back by `leave`, exactly once. Who is denied is refused first, and who is exempt has no limit
          but that of all places; its connections are counted with those of its network.
Order     A connection meets the limits of its client first, and only what passes them is counted as an arrival of its network: one
          client that knocks without end uses up its own rate, and not that of its neighbours. One that is refused for its rate
          counts as an arrival, as with anvil: who goes on at full speed stays out.
Elsewhere What other processes of this host count is in the census (core/census), what other hosts do in `elsewhere` (store/leases).
Source    postscreen_client_connection_count_limit (50); smtpd_client_connection_rate_limit, anvil(8); sendwrap's list of patterns
          (J. Rudd, 2004).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from ipaddress import IPv4Network, IPv6Network
from math import ceil
from typing import NamedTuple

import msgspec

from tarry.core import replies
from tarry.core.census import Census, Scope
from tarry.core.client import count_key, network_key
from tarry.core.counts import Arrivals, Elsewhere, Inside, Limit
from tarry.core.marked import Marked
from tarry.smtp.reply import Reply

HEAVY = 0.25
"""Share of a limit from which on other hosts are told of a key."""
MOST_HEAVY = 10_000
"""Keys that other hosts are told of at most."""


class Admitted(Enum):
    """What became of a client at the door."""

    HELD = "held"
    EXEMPT = "exempt"
    DENIED = "denied"
    TOO_MANY = "too many clients"
    TOO_MANY_FROM_CLIENT = "too many connections of this client"
    TOO_MANY_FROM_NETWORK = "too many connections of its network"
    TOO_OFTEN_FROM_CLIENT = "too many connections of this client in a minute"
    TOO_OFTEN_FROM_NETWORK = "too many connections of its network in a minute"


REFUSALS: Mapping[Admitted, Callable[[str, str], Reply]] = {
    Admitted.DENIED: replies.denied,
    Admitted.TOO_MANY: replies.too_many_clients,
    Admitted.TOO_MANY_FROM_CLIENT: replies.too_many_from_client,
    Admitted.TOO_MANY_FROM_NETWORK: replies.too_many_from_network,
    Admitted.TOO_OFTEN_FROM_CLIENT: replies.too_often_from_client,
    Admitted.TOO_OFTEN_FROM_NETWORK: replies.too_often_from_network,
}
"""What who may not come in is told: a function of the session's id and the help URL."""


class Networks(msgspec.Struct, frozen=True):
    """A list of networks, prepared so that asking for an address costs an AND and a lookup for each length of prefix."""

    v4: tuple[tuple[int, frozenset[int]], ...] = ()
    v6: tuple[tuple[int, frozenset[int]], ...] = ()

    @staticmethod
    def of(networks: Iterable[IPv4Network | IPv6Network]) -> Networks:
        found: dict[int, dict[int, set[int]]] = {4: {}, 6: {}}
        for network in networks:
            found[network.version].setdefault(int(network.netmask), set()).add(int(network.network_address))
        return Networks(*(tuple((mask, frozenset(same)) for mask, same in found[version].items()) for version in (4, 6)))

    def __bool__(self) -> bool:
        return bool(self.v4 or self.v6)

    def __contains__(self, packed: bytes) -> bool:
        """True when the address, 4 or 16 bytes in network order, lies in one of the networks."""
        table = self.v4 if len(packed) == 4 else self.v6
        if not table:
            return False
        number = int.from_bytes(packed, "big")
        return any(number & mask in same for mask, same in table)


@dataclass(frozen=True, slots=True)
class Rules:
    """What the operator allows: how many clients at once, and of each client and network how many at once (``max``) and in a minute
    (``rate``), where 0 means no limit."""

    max_clients: int = 15000
    max_per_client: int = 50
    max_per_network: int = 0
    rate_per_client: int = 0
    rate_per_network: int = 0
    exempt: Networks = Networks()
    exempt_patterns: tuple[re.Pattern[str], ...] = ()
    deny: Networks = Networks()


class Door:
    """Counts who is in, and says who may come. Without a *census* rates are not limited: one client alone has none."""

    def __init__(self, rules: Rules, census: Census | None = None, elsewhere: Elsewhere | None = None) -> None:
        self.marked = Marked()
        """What was said of single clients while the server runs; it counts before the rules."""
        shared = census if census is not None and census.workers > 1 else None
        self._clients = Inside(Scope.CLIENT, shared)
        self._networks = Inside(Scope.NETWORK, shared)
        self._arrivals = (Arrivals(Scope.CLIENT, census), Arrivals(Scope.NETWORK, census)) if census is not None else ()
        self._elsewhere = elsewhere
        self._heavy: dict[tuple[Limit, bytes], None] = {}
        self.inside = 0
        self.change(rules)

    def change(self, rules: Rules) -> None:
        """Take new rules; who is inside stays. Counting that is switched on starts from nothing."""
        self.rules = rules
        if not rules.max_per_client:
            self._clients.clear()
        if not rules.max_per_network:
            self._networks.clear()
        self._limited = tuple(one for one in self._limits() if one.most)

    def admit(self, packed: bytes, host: str, now: float) -> Admitted:
        """Let a client in, or not, at *now* (monotonic). Whatever the answer, it is counted as inside until `leave`."""
        rules = self.rules
        self.inside += 1
        if rules.max_per_client:
            self._clients.enter(count_key(packed))
        if rules.max_per_network:
            self._networks.enter(network_key(packed))
        word = self.marked.find(packed)
        if word is False or (word is None and packed in rules.deny):
            return Admitted.DENIED
        if self.inside > rules.max_clients:
            return Admitted.TOO_MANY
        if word or packed in rules.exempt or any(pattern.search(host) for pattern in rules.exempt_patterns):
            return Admitted.EXEMPT
        for limited in self._limited:
            if self._is_over(limited, limited.key_of(packed), now):
                return limited.refusal
        return Admitted.HELD

    def leave(self, packed: bytes) -> None:
        """A client that `admit` saw has gone."""
        self.inside -= 1
        self._clients.leave(count_key(packed))
        if self.rules.max_per_network:
            self._networks.leave(network_key(packed))

    def expect(self) -> bool:
        """Give a place to a connection whose client is not known yet, until `arrived`; False where there is none."""
        if self.inside >= self.rules.max_clients:
            return False
        self.inside += 1
        return True

    def arrived(self) -> None:
        """The client of such a connection is known, and `admit` counts it anew; or the connection has gone."""
        self.inside -= 1

    def heavy(self, now: float) -> dict[Limit, dict[bytes, int]]:
        """Return what this host counts of the keys that other hosts are to know of: those that came to a quarter of a limit."""
        told: dict[Limit, dict[bytes, int]] = {}
        limits = {one.limit: one for one in self._limited}
        for limit, key in list(self._heavy):
            limited = limits.get(limit)
            count = limited.counted(key, now, 0) if limited is not None else 0
            if limited is not None and count >= limited.most * HEAVY:
                told.setdefault(limit, {})[key] = ceil(count)
            else:
                del self._heavy[limit, key]
        return told

    def _is_over(self, limited: _Limited, key: bytes, now: float) -> bool:
        if limited.come is not None:
            limited.come(key, now)
        if self._elsewhere is None:
            return limited.counted(key, now, limited.most) > limited.most
        count = limited.counted(key, now, limited.most * HEAVY)
        if count >= limited.most * HEAVY and len(self._heavy) < MOST_HEAVY:
            self._heavy[limited.limit, key] = None
        return count + self._elsewhere(limited.limit, key) > limited.most

    def _limits(self) -> Iterator[_Limited]:
        rules, clients, networks = self.rules, self._clients, self._networks
        yield _Limited(Limit.CLIENT, rules.max_per_client, count_key, clients.count, Admitted.TOO_MANY_FROM_CLIENT)
        for arrivals in self._arrivals[:1]:
            rate, count = rules.rate_per_client, arrivals.count
            yield _Limited(Limit.CLIENT_RATE, rate, count_key, count, Admitted.TOO_OFTEN_FROM_CLIENT, arrivals.come)
        yield _Limited(Limit.NETWORK, rules.max_per_network, network_key, networks.count, Admitted.TOO_MANY_FROM_NETWORK)
        for arrivals in self._arrivals[1:]:
            rate, count = rules.rate_per_network, arrivals.count
            yield _Limited(Limit.NETWORK_RATE, rate, network_key, count, Admitted.TOO_OFTEN_FROM_NETWORK, arrivals.come)


class _Limited(NamedTuple):
    """A limit that is set, the key it is for, what counts it, and what comes of one too many."""

    limit: Limit
    most: int
    key_of: Callable[[bytes], bytes]
    counted: Callable[[bytes, float, float], float]
    refusal: Admitted
    come: Callable[[bytes, float], None] | None = None
