"""target - where the probe goes, and whether it may.

What     Reads HOST:PORT, turns it into endpoints, and tells a server of one's own from a stranger's.
Rule     A probe plays the habits of spam software. Against somebody else's server that is abuse, and gets the user's own
         address on block lists. So every address that the name stands for must be loopback, link-local or private.
Since    0.1
"""

import asyncio
import ipaddress
import re
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
Interface: TypeAlias = ipaddress.IPv4Interface | ipaddress.IPv6Interface

_TARGET = re.compile(r"(?:\[(?P<v6>[^\[\]]+)\]|(?P<host>[^\[\]:]+)):(?P<port>[0-9]{1,5})")


class BadTarget(ValueError):
    """The user's HOST:PORT or source address cannot be meant so; the text says what to write instead."""


class NotFound(Exception):
    """The name has no address."""


@dataclass(frozen=True, slots=True)
class Target:
    """A host name or address, without brackets, and a port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One address to connect to; *scope* is the interface of a link-local one, 0 for all others."""

    address: Address
    port: int
    scope: int = 0

    @property
    def family(self) -> socket.AddressFamily:
        return socket.AF_INET6 if self.address.version == 6 else socket.AF_INET

    @property
    def sockaddr(self) -> tuple[str, int] | tuple[str, int, int, int]:
        """The address as socket.connect wants it."""
        host = str(self.address).partition("%")[0]
        return (host, self.port, 0, self.scope) if self.address.version == 6 else (host, self.port)


def read_target(text: str) -> Target:
    """Return the target that *text* names.

    Raises BadTarget when the port is missing or out of range, or an IPv6 address has no brackets.
    """
    match = _TARGET.fullmatch(text)
    if match is None:
        if text.count(":") > 1 and "[" not in text:
            raise BadTarget(f"an IPv6 address goes in brackets: [::1]:2525, not {text!r}")
        raise BadTarget(f"{text!r} is not HOST:PORT: say both, as in 127.0.0.1:2525, mx.example.org:25 or [::1]:2525")
    port = int(match["port"])
    if not 1 <= port <= 65535:
        raise BadTarget(f"port {port} does not exist: ports go from 1 to 65535")
    return Target(match["v6"] or match["host"], port)


def is_own(address: Address) -> bool:
    """Tell whether *address* can only be a machine near the user: loopback, link-local or private."""
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    # Python 3.11 calls the whole of ::ffff:0:0/96 private, so the IPv4 address inside has to be asked.
    real = mapped or address
    return real.is_loopback or real.is_link_local or real.is_private


def strangers(endpoints: Iterable[Endpoint]) -> tuple[Address, ...]:
    """Return the addresses among *endpoints* that may belong to somebody else."""
    return tuple(endpoint.address for endpoint in endpoints if not is_own(endpoint.address))


def source_of(source: Interface | None, number: int) -> Address | None:
    """Return the address to bind for connection *number*, counted from 0.

    A plain address is used for all. With a network length (127.0.0.11/8) each connection gets the next address, from the one
    given on, so that a server that remembers clients by address judges each habit by itself.
    """
    if source is None:
        return None
    room = int(source.network.broadcast_address) - int(source.ip) + 1
    return source.ip + number % room


async def resolve(target: Target) -> tuple[Endpoint, ...]:
    """Return the endpoints of *target* in the system's order.

    Raises NotFound with the system's words.
    """
    try:
        found = await asyncio.get_running_loop().getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
    except (socket.gaierror, UnicodeError) as error:  # UnicodeError: a label that IDNA cannot encode, such as "a..b"
        words = error.strerror if isinstance(error, socket.gaierror) else "not a host name"
        raise NotFound(f"{target.host} has no address: {words}") from error
    return tuple(dict.fromkeys(_endpoint(sockaddr) for *_, sockaddr in found))


def _endpoint(sockaddr: tuple[str | int | bytes, ...]) -> Endpoint:
    host, port, *rest = sockaddr
    scope = int(rest[1]) if len(rest) == 2 else 0
    return Endpoint(ipaddress.ip_address(str(host).partition("%")[0]), int(port), scope)
