"""marked - networks of which the operator has said something: allow, or deny.

What      `Marked` finds the narrowest network that an address lies in, and what was said of it.
Promises  Pure. Asking costs a dictionary look-up for each length of prefix in use, however many networks there are. Of two words
          about the same network the last one counts; an address within two networks has the word about the narrower one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from ipaddress import IPv4Network, IPv6Network

import msgspec


class Marked(msgspec.Struct, frozen=True):
    """What was said of networks, by length of prefix, the longest first: (mask, what was said by network address)."""

    v4: tuple[tuple[int, Mapping[int, bool]], ...] = ()
    v6: tuple[tuple[int, Mapping[int, bool]], ...] = ()

    @staticmethod
    def of(said: Iterable[tuple[IPv4Network | IPv6Network, bool]]) -> Marked:
        """Prepare what was said: networks, each with True for allow and False for deny."""
        tables: dict[int, dict[int, dict[int, bool]]] = {4: {}, 6: {}}
        for network, allow in said:
            tables[network.version].setdefault(int(network.netmask), {})[int(network.network_address)] = allow
        v4, v6 = (tuple(sorted(tables[version].items(), reverse=True)) for version in (4, 6))
        return Marked(v4, v6)

    def find(self, packed: bytes) -> bool | None:
        """Return what was said of an address (4 or 16 bytes in network order): True is allow, False deny, None nothing."""
        table = self.v4 if len(packed) == 4 else self.v6
        if table:
            number = int.from_bytes(packed, "big")
            for mask, said in table:
                found = said.get(number & mask)
                if found is not None:
                    return found
        return None
