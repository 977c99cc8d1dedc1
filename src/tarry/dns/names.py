"""names - what may stand in a query, and what may be believed of a reply.

What      `query_name` is the form in which a name goes out; `host_name` is a name out of a reply in the one form used everywhere;
          `reverse_name` is where the names of an address are kept.
Promises  Any text is taken and nothing is raised. What comes out is letters, digits, hyphens, underscores and dots: a backslash
          would be an escape to c-ares, and a name with control characters, quotes or angle brackets in it would get into records
          and replies. An underscore is no host name's (RFC 1123 §2.1), but such names are in use and resolve.
Source    RFC 1035 §2.3.4 (63 octets a label, 255 a name: 253 characters as text); RFC 3490 by the standard library's codec.
"""

from __future__ import annotations

import re
from ipaddress import ip_address

MOST_CHARACTERS = 253

_ASCII = re.compile(r"(?:[A-Za-z0-9_-]{1,63}\.)*[A-Za-z0-9_-]{1,63}")


def query_name(name: str) -> str:
    """Return *name* as it goes out, without a final dot; empty where no query can be made of it."""
    if not name.isascii():
        try:
            name = name.encode("idna").decode("ascii")
        except UnicodeError:  # an empty or too long label, or characters that IDNA has not
            return ""
    name = name.removesuffix(".")
    return name if len(name) <= MOST_CHARACTERS and _ASCII.fullmatch(name) else ""


def host_name(name: str | bytes) -> str:
    """Return a name out of a reply in lower case and without a final dot; empty where it is no printable host name.

    pycares gives bytes where a name is not ASCII; c-ares writes most of these, and all control characters, as escapes.
    """
    if isinstance(name, bytes):
        return ""
    name = name.removesuffix(".").lower()
    return name if len(name) <= MOST_CHARACTERS and _ASCII.fullmatch(name) else ""


def reverse_name(address: str) -> str:
    """Return the name that has the PTR records of *address*; empty where it is no address."""
    try:
        return ip_address(address).reverse_pointer
    except ValueError:
        return ""
