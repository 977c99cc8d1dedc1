"""admission - who may come in at all, and who need not wait.

What      Limits on clients, exempt and denied networks, and the count of connections of each client.
Promises  Pure but for its own counts. IPv6 clients are counted by /64, IPv4 clients by address. What was admitted is given back by
          `leave`, exactly once.
Source    postscreen_client_connection_count_limit (50); sendwrap's list of patterns (J. Rudd, 2004).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from ipaddress import IPv4Network, IPv6Network

import msgspec

from tarry.core.client import count_key
from tarry.core.marked import Marked


class Admitted(Enum):
    """What became of a client at the door."""

    HELD = "held"
    EXEMPT = "exempt"
    DENIED = "denied"
    TOO_MANY = "too many clients"
    TOO_MANY_FROM_CLIENT = "too many connections of this client"


class Networks(msgspec.Struct, frozen=True):
    """A list of networks, prepared so that asking for an address costs an AND and a comparison for each."""

    v4: tuple[tuple[int, int], ...] = ()
    v6: tuple[tuple[int, int], ...] = ()

    @staticmethod
    def of(networks: Sequence[IPv4Network | IPv6Network]) -> Networks:
        def pairs(version: int) -> tuple[tuple[int, int], ...]:
            return tuple((int(n.network_address), int(n.netmask)) for n in networks if n.version == version)

        return Networks(pairs(4), pairs(6))

    def __contains__(self, packed: bytes) -> bool:
        """True when the address, 4 or 16 bytes in network order, lies in one of the networks."""
        table = self.v4 if len(packed) == 4 else self.v6
        if not table:
            return False
        number = int.from_bytes(packed, "big")
        return any(number & mask == network for network, mask in table)


@dataclass(frozen=True, slots=True)
class Rules:
    """What the operator allows. ``max_per_client`` 0 means no limit."""

    max_clients: int = 15000
    max_per_client: int = 50
    exempt: Networks = Networks()
    exempt_patterns: tuple[re.Pattern[str], ...] = ()
    deny: Networks = Networks()


class Door:
    """Counts who is in, and says who may come."""

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self.marked = Marked()
        """What was said of single clients while the server runs; it counts before the rules."""
        self._per_client: dict[bytes, int] = {}
        self.inside = 0

    def admit(self, packed: bytes, host: str) -> Admitted:
        """Let a client in, or not. Whatever the answer, the client is counted as inside until `leave`."""
        rules = self.rules
        self.inside += 1
        count = 1
        if rules.max_per_client:
            key = count_key(packed)
            self._per_client[key] = count = self._per_client.get(key, 0) + 1
        word = self.marked.find(packed)
        if word is False or (word is None and packed in rules.deny):
            return Admitted.DENIED
        if self.inside > rules.max_clients:
            return Admitted.TOO_MANY
        if word or packed in rules.exempt or any(pattern.search(host) for pattern in rules.exempt_patterns):
            return Admitted.EXEMPT
        if rules.max_per_client and count > rules.max_per_client:
            return Admitted.TOO_MANY_FROM_CLIENT
        return Admitted.HELD

    def leave(self, packed: bytes) -> None:
        """A client that `admit` saw has gone."""
        self.inside -= 1
        key = count_key(packed)
        count = self._per_client.get(key)
        if count is None:
            return
        if count > 1:
            self._per_client[key] = count - 1
        else:
            del self._per_client[key]

    def expect(self) -> bool:
        """Give a place to a connection whose client is not known yet, until `arrived`; False where there is none."""
        if self.inside >= self.rules.max_clients:
            return False
        self.inside += 1
        return True

    def arrived(self) -> None:
        """The client of such a connection is known, and `admit` counts it anew; or the connection has gone."""
        self.inside -= 1

    def change(self, rules: Rules) -> None:
        """Take new rules; who is inside stays. Counting that is switched on starts from nothing."""
        if not rules.max_per_client:
            self._per_client.clear()
        self.rules = rules
