"""client - who connected, and how far the session has come.

What      The client's addresses, the key under which it is counted, and the phases of a session.
Source    RFC 5321 §3.1 (session) and §3.3 (transaction); IPv6 by /64 since one subscriber usually holds a whole /64
          (RFC 6177), so counting single IPv6 addresses counts nothing. Networks are the /48 that a site is given, and the IPv4 /24,
          the smallest that is routed on the Internet.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from ipaddress import IPv4Address, IPv6Address, ip_address

import msgspec


class Phase(IntEnum):
    """How far a session has come; ordered, so that "at RCPT or later" is a comparison.

    ``RSET`` and ``QUIT`` of the record schema are commands that leave the phase alone or end it.
    """

    CONNECT = 0
    HOLD = 1
    GREETED = 2
    HELO = 3
    MAIL = 4
    RCPT = 5
    DATA = 6
    MESSAGE = 7
    CLOSED = 8

    @property
    def word(self) -> str:
        """The name as it stands in config files and records."""
        return _PHASE_WORDS[self]


_PHASE_WORDS = tuple(phase.name.lower() for phase in Phase)


class Endpoint(msgspec.Struct, frozen=True):
    """An address and a port, in the form that logs and PROXY headers show: no brackets, no zone, no ``::ffff:``."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Client:
    """The host that connected.

    ``via`` is the proxy that announced it with a PROXY header, or None where the peer of the socket is the client itself.
    """

    endpoint: Endpoint
    server: Endpoint
    via: Endpoint | None = None

    @property
    def address(self) -> str:
        return self.endpoint.host


def normal(host: str) -> str:
    """Return *host* in the one form used everywhere: IPv4-mapped IPv6 as IPv4, no scope id, lower case.

    A value that is no IP address (a Unix socket's name) comes back unchanged.
    """
    if ":" not in host:
        return host
    bare = host.partition("%")[0]
    if bare.startswith("::ffff:") and "." in bare:
        return bare[7:]
    try:
        address = ip_address(bare)
    except ValueError:
        return host
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return str(mapped or address)


def count_key(packed: bytes) -> bytes:
    """Return the key under which connections of one client are counted: the IPv4 address, or the IPv6 /64.

    *packed* is an address in network order, 4 or 16 bytes.
    """
    return packed if len(packed) == 4 else packed[:8]


def network_key(packed: bytes) -> bytes:
    """Return the key under which connections of one network are counted: the IPv4 /24, or the IPv6 /48."""
    return packed[:3] if len(packed) == 4 else packed[:6]


def parse(host: str) -> IPv4Address | IPv6Address | None:
    """Return the address object of a normal host, or None where it is none (a Unix socket)."""
    try:
        return ip_address(host)
    except ValueError:
        return None


OURSELVES = Client(Endpoint("127.0.0.1", 25), Endpoint("127.0.0.1", 25))
"""In whose name tarry asks the MTA for itself, where the MTA must be told a client."""
