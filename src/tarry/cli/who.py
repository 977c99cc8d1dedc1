"""who - what a person calls a client: an address, a network, or a domain.

What      `who` reads one. An IPv6 address stands for its /64, which is what one client has, and a network with bits right of its
          prefix for the network: either is a note for who wrote it.
Promises  ``what`` is in the form that `ipaddress` writes, an address without its /32; it is what a mark is kept under.
"""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network

import msgspec

from tarry.config.lists import mended
from tarry.config.places import Network
from tarry.config.spelling import shown
from tarry.config.values import Wrong
from tarry.core.client import normal
from tarry.core.history import key_of
from tarry.dns.domains import organizational_domain

_DOMAIN = re.compile(r"(?=.{1,253}\Z)(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.)+[a-z][a-z0-9-]*[a-z0-9]", re.ASCII)
SUBNET = 64
"""An IPv6 client has all addresses with these first bits."""


class Who(msgspec.Struct, frozen=True):
    """A client, or many. ``network`` is None for a domain; ``key`` is that of the store, "" where it is more than one client."""

    what: str
    network: Network | None
    key: str
    notes: tuple[str, ...] = ()

    def has(self, key: str) -> bool:
        """True where the client of a key is meant."""
        if self.network is None or self.key:
            return key == self.key
        other = network_of(key)
        return other is not None and is_within(other, self.network)


def who(text: str) -> Who:
    """Read an address, a network or a domain. Raises ValueError, in words."""
    bare = text.strip().removeprefix("[").removesuffix("]").removesuffix(".")
    if "/" not in bare:
        try:
            return _of_address(ip_address(normal(bare)))
        except ValueError:
            if _DOMAIN.fullmatch(bare.lower()):
                return _of_domain(bare.lower())
    try:
        network, note = mended(bare)
    except Wrong as wrong:
        if bare[:1].isdigit() or ":" in bare or "/" in bare:
            raise ValueError(f"{wrong.what}; {wrong.fix}") from None
        raise ValueError(f"{shown(text)} is no address, network or domain: write 192.0.2.7, 2001:db8::/64 or example.org") from None
    return _of_network(network, (note,) if note else ())


def network_of(key: str) -> Network | None:
    """Return the network that a key or a mark is about; None for a domain."""
    try:
        return ip_network(key)
    except ValueError:
        return None


def is_within(inner: Network, outer: Network) -> bool:
    """True where all of *inner* lies in *outer*."""
    return inner.version == outer.version and inner.prefixlen >= outer.prefixlen and inner.network_address in outer


def _of_address(address: IPv4Address | IPv6Address) -> Who:
    key = key_of(str(address))
    if isinstance(address, IPv4Address):
        return Who(key, ip_network(key), key)
    return Who(key, ip_network(key), key, (f"an IPv6 client is known by its /64: {key}",))


def _of_network(network: Network, notes: tuple[str, ...]) -> Who:
    if isinstance(network, IPv6Network):
        if network.prefixlen < SUBNET:
            return Who(str(network), network, "", notes)
        key = key_of(str(network.network_address))
        what = str(network) if network.prefixlen < network.max_prefixlen else str(network.network_address)
        if network.prefixlen > SUBNET:
            notes = (*notes, f"what is remembered of an IPv6 client is remembered of its /64: {key}")
        return Who(what, network, key, notes)
    if network.prefixlen == network.max_prefixlen:
        address = str(network.network_address)
        return Who(address, network, address, notes)
    return Who(str(network), network, "", notes)


def _of_domain(name: str) -> Who:
    domain = organizational_domain(name)
    notes = (f"what is remembered of a domain is remembered of the one that was registered: {domain}",) if domain != name else ()
    return Who(domain, None, domain, notes)
