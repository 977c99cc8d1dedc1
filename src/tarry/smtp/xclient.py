"""xclient - the commands that tell an MTA who the client is.

What      `commands` makes the XCLIENT commands for one client, of those attributes that the MTA's EHLO reply offers.
Promises  Whatever the client calls itself, it adds no attribute and ends no line: values are xtext. A line has at most LINE_LIMIT
          octets with its CRLF. ADDR is in the last command, since the right to send more may be gone with it; and so is what
          an MTA forgets with each XCLIENT (HELO, PROTO), or may judge that right by (NAME). LOGIN is never sent.
Facts     Postfix takes a value of at most 255 octets, counted as it is sent. A name that it is not told stays tarry's own,
          REVERSE_NAME included: then rules on client names would be asked about tarry.
Not here  When they are sent, and what the MTA makes of them (core/login).
Source    Postfix's XCLIENT_README; smtpd.c, xclient_cmd (3.12); RFC 3461 §4 (xtext).
"""

from __future__ import annotations

import re
from collections.abc import Collection
from ipaddress import IPv6Address, ip_address

LINE_LIMIT = 512
VALUE_LIMIT = 255
UNAVAILABLE = b"[UNAVAILABLE]"
"""There is none, and asking again does not help."""
TEMPORARILY_UNAVAILABLE = b"[TEMPUNAVAIL]"
"""It was not found out, and may be later: rules that need it answer 450."""

_VERB = b"XCLIENT"
_NO_XCHAR = re.compile(rb"[^!-*,-<>-~]")


def xtext(value: bytes) -> bytes:
    """Return *value* with all that is no printable ASCII, and blank, + and =, as +XX."""
    return _NO_XCHAR.sub(lambda found: b"+%02X" % found[0][0], value)


def commands(
    offered: Collection[str],
    source: tuple[str, int],
    destination: tuple[str, int],
    *,
    helo: bytes,
    is_esmtp: bool,
    name: bytes | None = None,
) -> tuple[bytes, ...]:
    """Return the commands to send one after the other, without their CRLFs.

    ``offered`` are the attribute names of the MTA's EHLO reply, in upper case; ``helo`` is the client's own name (empty where it
    gave none), ``name`` its host name (None where that is not known). Without ADDR in ``offered`` they tell nothing of use.
    """
    client_name = _value(name, TEMPORARILY_UNAVAILABLE) if name is not None else TEMPORARILY_UNAVAILABLE
    # The most important first: what does not fit into the last line goes into one before it.
    wanted = [
        ("ADDR", _address(source[0])),
        ("PORT", b"%d" % source[1]),
        ("NAME", client_name),
        ("REVERSE_NAME", client_name if name is None else b""),
        ("PROTO", b"ESMTP" if is_esmtp else b"SMTP"),
        ("HELO", _value(helo, UNAVAILABLE) if helo else UNAVAILABLE),
    ]
    if destination[0] not in ("0.0.0.0", "::"):
        wanted += [("DESTADDR", _address(destination[0])), ("DESTPORT", b"%d" % destination[1])]
    lines: list[bytes] = [_VERB]
    for attribute, value in wanted:
        if attribute in offered and value:
            word = b" %b=%b" % (attribute.encode("ascii"), value)
            if len(lines[0]) + len(word) + 2 > LINE_LIMIT:
                lines.insert(0, _VERB)
            lines[0] += word
    return tuple(lines)


def _value(value: bytes, instead: bytes) -> bytes:
    encoded = xtext(value)
    return encoded if encoded and len(encoded) <= VALUE_LIMIT else instead


def _address(host: str) -> bytes:
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return UNAVAILABLE  # a Unix socket; the MTA must not go on with tarry's own address
    if isinstance(address, IPv6Address) and address.ipv4_mapped is None:
        return f"IPV6:{address}".encode("ascii")
    return str(address.ipv4_mapped if isinstance(address, IPv6Address) else address).encode("ascii")
