"""domains - the organisational domain of a name: what its owner has registered.

What      ``mail.example.co.uk`` is of ``example.co.uk``. A list of sender domains is asked about that one, and two names are
          of one house if theirs is the same.
Promises  Any text is taken and nothing is raised. A public suffix or an address comes back as it is, in lower case and without a
          final dot, and what is no name unchanged.
Measured  The list is loaded at the first call, from the publicsuffixlist package, without a network: 33 ms and 3.0 MB (10,000
          rules). A call is 2 µs. So what asks no such questions does not pay, `tarry inetd` above all.
Source    https://publicsuffix.org (with its section of private domains: the owners of two of github.io's names are strangers);
          RFC 7489 §3.2 has the term.
"""

from __future__ import annotations

from functools import cache
from ipaddress import ip_address
from typing import TYPE_CHECKING

from tarry.dns.names import query_name

if TYPE_CHECKING:
    from publicsuffixlist import PublicSuffixList


def organizational_domain(name: str) -> str:
    """Return the domain that the owner of *name* has registered, in ASCII."""
    ascii_name = query_name(name).lower()
    if not ascii_name:
        return name
    if ascii_name[-1].isdigit() and _is_address(ascii_name):
        return ascii_name
    return _suffixes().privatesuffix(ascii_name) or ascii_name


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


@cache
def _suffixes() -> PublicSuffixList:
    from publicsuffixlist import PublicSuffixList

    return PublicSuffixList()
