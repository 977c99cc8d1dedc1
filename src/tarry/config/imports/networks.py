"""networks - addresses and networks as old configurations write them, and lists of which the first match counts.

What      `read_network` takes brackets and IPv4 in IPv6; `read_prefix` takes what ends early ("192.168.", "2001:db8"), as
          qpsmtpd and Sendmail write networks; `disjoint` turns an ordered list of verdicts into one set of networks each.
Promises  Nothing but ValueError is raised. What `disjoint` returns says of every address the same as the list did.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network
from typing import Any, TypeAlias

import msgspec

Network: TypeAlias = IPv4Network | IPv6Network

_COMPARISONS = 2_000_000
"""How many pairs `disjoint` compares, about a second; a list that needs more is left to its reader."""

_PIECES = 4096
"""Into how many networks one may fall apart."""


class Rule(msgspec.Struct, frozen=True):
    """One line of an ordered list; ``source`` is whatever its reader wants back."""

    network: Network
    verdict: str
    source: Any


class TooLong(ValueError):
    """The list cannot be turned into sets in reasonable time."""


def read_network(text: str) -> Network:
    """Return the network that Postfix means: an address, or one with a prefix length, the address perhaps in brackets."""
    text = text.strip()
    if text.startswith("["):
        inside, closed, rest = text[1:].partition("]")
        if not closed or (rest and not rest.startswith("/")):
            raise ValueError(f"{text} is not a network")
        text = inside + rest
    if not text.isascii():
        raise ValueError(f"{text} is not a network")
    network = ip_network(text)
    if isinstance(network, IPv6Network) and network.prefixlen >= 96 and network.network_address.ipv4_mapped is not None:
        return IPv4Network((network.network_address.ipv4_mapped, network.prefixlen - 96))
    return network


def read_prefix(text: str) -> Network:
    """Return the network of an address, of a network with its length, or of the first parts of an address."""
    text = text.strip().removeprefix("IPv6:")
    try:
        return read_network(text)
    except ValueError:
        parts = text.rstrip(".:").split("." if ":" not in text else ":")
    if "::" in text:
        raise ValueError(f"{text} is not a network")
    if ":" in text:
        if not 1 <= len(parts) < 8 or not all(0 < len(part) <= 4 for part in parts):
            raise ValueError(f"{text} is not a network")
        number = sum(int(part, 16) << (112 - 16 * place) for place, part in enumerate(parts))
        return IPv6Network((IPv6Address(number), 16 * len(parts)))
    if not 1 <= len(parts) < 4 or not all(part.isascii() and part.isdigit() and int(part[:4]) < 256 for part in parts):
        raise ValueError(f"{text} is not a network")
    number = sum(int(part) << (24 - 8 * place) for place, part in enumerate(parts))
    return IPv4Network((IPv4Address(number), 8 * len(parts)))


def disjoint(rules: Iterable[Rule]) -> list[Rule]:
    """Return *rules* so that their order says nothing: from each network, those of earlier rules with another verdict are cut.

    Raises TooLong for a list that would take too long.
    """
    before: dict[str, list[Network]] = {}
    made: list[Rule] = []
    compared = 0
    for rule in rules:
        pieces: list[Network] = [rule.network]
        for verdict, networks in before.items():
            if verdict == rule.verdict:
                continue
            compared += len(networks)
            if compared > _COMPARISONS:
                raise TooLong("the list is too long")
            for other in networks:
                if other.version == rule.network.version and rule.network.overlaps(other):
                    pieces = _without(pieces, other)
        made += [Rule(piece, rule.verdict, rule.source) for piece in pieces]
        before.setdefault(rule.verdict, []).append(rule.network)
    return made


def spelled(network: Network) -> str:
    """Return a network as the configuration has it: without a length where it is one address."""
    return str(network.network_address) if network.prefixlen == network.max_prefixlen else str(network)


def _without(pieces: Sequence[Network], other: Network) -> list[Network]:
    left = [left for piece in pieces for left in _cut(piece, other)]
    if len(left) > _PIECES:
        raise TooLong("a network falls apart into too many")
    return left


def _cut(piece: Any, other: Any) -> list[Network]:
    """Both are of one version."""
    if not piece.overlaps(other):
        return [piece]
    if piece.subnet_of(other):
        return []
    return sorted(piece.address_exclude(other))
