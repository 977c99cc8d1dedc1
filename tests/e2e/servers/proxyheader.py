"""proxyheader - the PROXY protocol header, version 1 and 2, read and written.

What     `read` takes a header off the front of a buffer, as a back end does that demands one; `v1` and `v2` make one.
Not      Local sockets (AF_UNIX). TLVs are kept as bytes.
Source   HAProxy's proxy-protocol.txt §2.1 (text, at most 107 bytes) and §2.2 (binary).
"""

import ipaddress
import re
import struct
from dataclasses import dataclass

SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
V1_MAX_BYTES = 107

_V1 = re.compile(rb"PROXY (TCP4|TCP6) (\S+) (\S+) (\d{1,5}) (\d{1,5})\r\n")


@dataclass(frozen=True, slots=True)
class Header:
    """What a header says; *client* and *server* are (address, port), None for UNKNOWN and LOCAL."""

    version: int
    client: tuple[str, int] | None
    server: tuple[str, int] | None
    raw: bytes
    tlvs: bytes = b""


def read(buffer: bytes) -> Header | None:
    """Return the header that *buffer* begins with, None when more bytes are needed. Raises ValueError if there is none."""
    if buffer.startswith(SIGNATURE):
        return _read_v2(buffer)
    if SIGNATURE.startswith(buffer) or (b"PROXY ".startswith(buffer) and len(buffer) < 6):
        return None
    if not buffer.startswith(b"PROXY "):
        raise ValueError(f"no PROXY header: {buffer[:40]!r}")
    line, found, _ = buffer.partition(b"\r\n")
    if not found:
        if len(buffer) >= V1_MAX_BYTES:
            raise ValueError(f"PROXY line too long: {buffer[:40]!r}")
        return None
    line += found
    if line.startswith(b"PROXY UNKNOWN"):
        return Header(1, None, None, line)
    if not (parts := _V1.fullmatch(line)):
        raise ValueError(f"bad PROXY line: {line!r}")
    client, server = (ipaddress.ip_address(part.decode("ascii")) for part in parts.group(2, 3))
    if {client.version, server.version} != {4 if parts[1] == b"TCP4" else 6}:
        raise ValueError(f"family and addresses of a PROXY line differ: {line!r}")
    return Header(1, (str(client), int(parts[4])), (str(server), int(parts[5])), line)


def v1(client: tuple[str, int], server: tuple[str, int]) -> bytes:
    """Return a version 1 header."""
    family = "TCP6" if ":" in client[0] else "TCP4"
    return f"PROXY {family} {client[0]} {server[0]} {client[1]} {server[1]}\r\n".encode("ascii")


def v2(client: tuple[str, int] | None, server: tuple[str, int] | None, tlvs: bytes = b"") -> bytes:
    """Return a version 2 header; without addresses it is the LOCAL one of a health check."""
    if client is None or server is None:
        return SIGNATURE + struct.pack("!BBH", 0x20, 0, len(tlvs)) + tlvs
    addresses = [ipaddress.ip_address(each[0]) for each in (client, server)]
    family = 0x21 if addresses[0].version == 6 else 0x11
    payload = b"".join(each.packed for each in addresses) + struct.pack("!HH", client[1], server[1]) + tlvs
    return SIGNATURE + struct.pack("!BBH", 0x21, family, len(payload)) + payload


def _read_v2(buffer: bytes) -> Header | None:
    if len(buffer) < 16:
        return None
    version, family, length = struct.unpack("!BBH", buffer[12:16])
    if version >> 4 != 2 or version & 15 > 1:
        raise ValueError(f"not PROXY version 2: {version:#x}")
    if len(buffer) < 16 + length:
        return None
    raw, payload = buffer[: 16 + length], buffer[16 : 16 + length]
    size = {0x11: 4, 0x21: 16}.get(family)
    if version & 15 == 0 or size is None:
        return Header(2, None, None, raw, payload)
    if length < 2 * size + 4:
        raise ValueError("PROXY version 2 header too short for its family")
    client, server = (str(ipaddress.ip_address(payload[at : at + size])) for at in (0, size))
    ports = struct.unpack("!HH", payload[2 * size : 2 * size + 4])
    return Header(2, (client, ports[0]), (server, ports[1]), raw, payload[2 * size + 4 :])
