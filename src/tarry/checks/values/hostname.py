"""hostname - what can be told of a host name by looking at it.

What      `is_host_name`, whether it could be in the DNS; `labels`; `owned`, how many labels at its end are the owner's domain.
Not here  The public suffix list, which is dns/domains': a check imports nothing that reads files. Two labels are taken for the
          owner's domain, and three where the last two look like ``co.uk``. Where that is wrong the domain comes out too short, so
          two names pass for one owner's too often, and never too rarely for ``mail.example.com`` and ``out.example.com``.
Source    RFC 1123 §2.1, with the underscore, which is in use.
"""

from __future__ import annotations

import re

_HOST = re.compile(r"(?=.{1,253}\Z)(?:[a-z0-9_](?:[a-z0-9_-]{0,62})\.)+(?![0-9]+\Z)[a-z0-9-]{1,63}", re.ASCII | re.IGNORECASE)
_REGISTRIES = frozenset({"ac", "co", "com", "edu", "gob", "gov", "gv", "mil", "ne", "net", "nom", "or", "org", "plc", "sch"})


def plain(name: str) -> str:
    """Return a name in lower case and without a final dot."""
    return name.removesuffix(".").lower()


def is_host_name(name: str) -> bool:
    """True for a name with a dot that could be in the DNS; an address is none."""
    return _HOST.fullmatch(plain(name)) is not None


def labels(name: str) -> list[str]:
    """Return the labels of a name, in lower case."""
    return plain(name).split(".")


def owned(name: str) -> int:
    """Return how many labels at the end of a name are its owner's domain: 2, or 3 below the likes of ``co.uk``."""
    *_, second, top = ("", *labels(name))
    return 3 if len(top) == 2 and second in _REGISTRIES else 2


def have_one_owner(one: str, other: str) -> bool:
    """True where both names end in the same domain."""
    count = owned(one)
    first, second = labels(one), labels(other)
    return len(first) >= count and first[-count:] == second[-count:]
