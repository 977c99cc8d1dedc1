"""proxy_header - the PROXY protocol, versions 1 and 2, read and written.

What      `read_header` looks at the first bytes of a connection; `write_v1` and `write_v2` make a header for an MTA.
Promises  The receiver expects the header or it does not: nothing here guesses. Any bytes in, a value out. A header is
          complete within its cap or it is a fault: 107 bytes for version 1 and V2_CAP for version 2. What follows the
          header is not looked at. Addresses come out in normal form: an IPv4-mapped IPv6 address as IPv4.
Limits    V2_CAP is 2 KiB, the largest that receivers take in practice. Exim takes 232 bytes in all, Postfix 536; all of them
          pass over TLVs. What tarry writes has 121 at most: two IPv6 addresses, a session id, a TLS version and cipher.
Source    The PROXY protocol, versions 1 and 2 (W. Tarreau, HAProxy), sections 2.1 and 2.2.
"""

from __future__ import annotations

import re
import struct
from ipaddress import IPv4Address, IPv6Address, ip_address

import msgspec

V1_CAP = 107
V2_CAP = 2048
UNIQUE_ID = 0x05
SSL = 0x20
SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"

_CLIENT_SSL = 0x01
_NOT_VERIFIED = 1
_VERSION = 0x21
_CIPHER = 0x23

_V1 = re.compile(rb"PROXY (TCP4|TCP6) ([0-9A-Fa-f.:]{2,45}) ([0-9A-Fa-f.:]{2,45}) (0|[1-9][0-9]{0,4}) (0|[1-9][0-9]{0,4})\r\n\Z")
_V1_UNKNOWN = re.compile(rb"PROXY UNKNOWN(?: [^\r\n\0]*)?\r\n\Z")


class Header(msgspec.Struct, frozen=True):
    """A complete header of ``size`` bytes.

    ``source`` and ``destination`` are (address, port), or None where the header names none (LOCAL, UNKNOWN, AF_UNIX): then the
    connection's own addresses hold. ``tlvs`` maps a TLV's type to its value (the last one where a type is repeated).
    """

    size: int
    source: tuple[str, int] | None = None
    destination: tuple[str, int] | None = None
    tlvs: tuple[tuple[int, bytes], ...] = ()


class HeaderFault(msgspec.Struct, frozen=True):
    """What came is no PROXY header."""

    why: str


def looks_like_header(first: bytes) -> bool:
    """True where *first* begins as a PROXY header does; for telling what an early talker said, never for trusting it."""
    return first.startswith((b"PROXY ", SIGNATURE))


def read_header(data: bytes) -> Header | HeaderFault | None:
    """Read the header at the beginning of *data*; None where more bytes are needed."""
    if data.startswith(SIGNATURE):
        return _read_v2(data)
    if data.startswith(b"PROXY "):
        return _read_v1(data)
    if SIGNATURE.startswith(data) or b"PROXY ".startswith(data):
        return None
    return HeaderFault("no PROXY header")


def write_v1(source: tuple[str, int], destination: tuple[str, int]) -> bytes:
    """Return a version 1 header. Mixed families are told as TCP6 with the IPv4 address mapped. Raises ValueError for no address."""
    from_, to = ip_address(source[0]), ip_address(destination[0])
    if from_.version != to.version:
        from_, to = _as_v6(from_), _as_v6(to)
    return f"PROXY TCP{from_.version} {from_} {to} {source[1]} {destination[1]}\r\n".encode("ascii")


def write_v2(
    source: tuple[str, int] | None, destination: tuple[str, int] | None, tlvs: tuple[tuple[int, bytes], ...] = ()
) -> bytes:
    """Return a version 2 header: PROXY with both addresses, or LOCAL where they are None. Raises ValueError for no address."""
    extra = _write_tlvs(tlvs)
    if source is None or destination is None:
        return SIGNATURE + struct.pack("!BBH", 0x20, 0x00, len(extra)) + extra
    from_, to = ip_address(source[0]), ip_address(destination[0])
    if from_.version != to.version:
        from_, to = _as_v6(from_), _as_v6(to)
    body = from_.packed + to.packed + struct.pack("!HH", source[1], destination[1]) + extra
    return SIGNATURE + struct.pack("!BBH", 0x21, 0x11 if from_.version == 4 else 0x21, len(body)) + body


def ssl_value(version: str, cipher: str) -> bytes:
    """Return the value of the TLV `SSL`: the client speaks TLS, and has shown no certificate (section 2.2.6)."""
    inside = _write_tlvs(((_VERSION, version.encode("ascii")), (_CIPHER, cipher.encode("ascii"))))
    return struct.pack("!BI", _CLIENT_SSL, _NOT_VERIFIED) + inside


def _write_tlvs(tlvs: tuple[tuple[int, bytes], ...]) -> bytes:
    return b"".join(struct.pack("!BH", kind, len(value)) + value for kind, value in tlvs)


def _as_v6(address: IPv4Address | IPv6Address) -> IPv6Address:
    return address if isinstance(address, IPv6Address) else IPv6Address(f"::ffff:{address}")


def _normal(address: IPv4Address | IPv6Address) -> str:
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return str(mapped or address)


def _read_v1(data: bytes) -> Header | HeaderFault | None:
    end = data.find(b"\n", 0, V1_CAP)
    if end < 0:
        return HeaderFault(f"a PROXY line beyond {V1_CAP} bytes") if len(data) >= V1_CAP else None
    line = data[: end + 1]
    if _V1_UNKNOWN.match(line):
        return Header(len(line))
    match = _V1.match(line)
    if match is None:
        return HeaderFault("a malformed PROXY line")
    try:
        from_, to = ip_address(match[2].decode()), ip_address(match[3].decode())
    except ValueError:
        return HeaderFault("a PROXY line with no IP address in it")
    version = 4 if match[1] == b"TCP4" else 6
    ports = int(match[4]), int(match[5])
    if from_.version != version or to.version != version or max(ports) > 65535:
        return HeaderFault("a PROXY line that contradicts itself")
    return Header(len(line), (_normal(from_), ports[0]), (_normal(to), ports[1]))


def _read_v2(data: bytes) -> Header | HeaderFault | None:
    if len(data) < 16:
        return None
    kind, family, length = struct.unpack_from("!BBH", data, 12)
    size = 16 + length
    if kind not in (0x20, 0x21):
        return HeaderFault("a PROXY header of an unknown version or command")
    if size > V2_CAP:
        return HeaderFault(f"a PROXY header beyond {V2_CAP} bytes")
    if len(data) < size:
        return None
    width = {0x11: 4, 0x21: 16}.get(family, 0)
    if kind == 0x20 or not width:
        # LOCAL (a balancer's health check) and families that are no TCP: the specification lets the connection's own
        # addresses hold.
        return Header(size)
    start = 16 + 2 * width + 4
    if start > size:
        return HeaderFault("a PROXY header too short for its addresses")
    from_, to = ip_address(data[16 : 16 + width]), ip_address(data[16 + width : 16 + 2 * width])
    ports = struct.unpack_from("!HH", data, start - 4)
    tlvs = _read_tlvs(data[start:size])
    if tlvs is None:
        return HeaderFault("a PROXY header with a broken TLV")
    return Header(size, (_normal(from_), ports[0]), (_normal(to), ports[1]), tlvs)


def _read_tlvs(data: bytes) -> tuple[tuple[int, bytes], ...] | None:
    found: dict[int, bytes] = {}
    at = 0
    while at < len(data):
        if at + 3 > len(data):
            return None
        kind, length = struct.unpack_from("!BH", data, at)
        at += 3
        if at + length > len(data):
            return None
        found[kind] = data[at : at + length]
        at += length
    return tuple(found.items())
