"""postscreen_cache - the temporary pass cache of postscreen, as `postmap -s` prints it, as passes.

What      A line is ``address<TAB>t1;t2;t3;t4;t5``: until when the client's pass of each test counts, in seconds since 1970.
          `passes` gives one `Pass` for each that still counts, under the name of the check here.
Promises  Nothing but ImportProblem is raised. 0 (never passed) and 1 (never passed, and the test was off) are no passes; fields
          that older versions did not write count as 1, and so does a field that is no number.
Source    postfix's postscreen_tests.c; the key _LAST_CACHE_CLEANUP_COMPLETED_ is dict_cache's own.
"""

from __future__ import annotations

from ipaddress import ip_address

import msgspec

from tarry.config.imports.found import ImportProblem
from tarry.config.spelling import printable
from tarry.core import history
from tarry.core.history import Change, key_of

CHECKS = ("pregreet", "dnslists", "pipelining", "non_smtp", "bare_newline")
"""The fields of a record, by the check here that looks for the same."""

HELD_FOR = ("pregreet", "dnslists")
_LATEST = 253_402_300_799  # the end of the year 9999
_NEVER = (0, 1)


class Pass(msgspec.Struct, frozen=True):
    """A client has passed a check, and need not again until ``until`` (seconds since 1970)."""

    address: str
    check: str
    until: int


class Cache(msgspec.Struct, frozen=True):
    """What a cache holds. ``clients`` counts its records, ``over`` the passes that count no longer."""

    passes: tuple[Pass, ...]
    clients: int
    over: int


def passes(text: str, file: str, now: float) -> Cache:
    """Read what postmap printed; *now* is in seconds since 1970."""
    found, clients, over = list[Pass](), 0, 0
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        key, *rest = line.split(None, 1)
        if key.startswith("_"):
            continue
        address = _address(key)
        if address is None or not rest:
            what = f'"{printable(line[:40])}" is no record of postscreen'
            raise ImportProblem(file, number, what, "print the cache with postmap -s btree:/var/lib/postfix/postscreen_cache")
        clients += 1
        for check, field in zip(CHECKS, rest[0].strip().split(";"), strict=False):
            until = int(field) if field.isascii() and field.isdigit() and len(field) < 16 else 1
            if until in _NEVER or until > _LATEST:
                continue
            if until < now:
                over += 1
            else:
                found.append(Pass(address, check, until))
    return Cache(tuple(found), clients, over)


def _address(text: str) -> str | None:
    try:
        return str(ip_address(text)) if "%" not in text else None
    except ValueError:
        return None


def lines(cache: Cache) -> bytes:
    """Return the passes as JSON lines."""
    return b"".join(msgspec.json.encode(one) + b"\n" for one in cache.passes)


def changes(read: Cache, now: float) -> tuple[Change, ...]:
    """Return what the passes come to in tarry's memory: those of checks for which a client is held here."""
    by_address: dict[str, list[history.Pass]] = {}
    for one in read.passes:
        if one.check in HELD_FOR:
            by_address.setdefault(key_of(one.address), []).append(history.Pass(one.check, float(one.until)))
    return tuple(Change(address, now, passes=tuple(found)) for address, found in by_address.items())
