"""history - what is remembered of a client, and how a session adds to it.

What      `Entry`, what the store keeps under a key; `Change`, what one session adds; `merged`, the one rule by which both become
          the next entry; `Known`, what a check is told. `key_of` names a client: an IPv4 address, an IPv6 /64, and beside these
          an organisational domain, which is its own key.
Promises  Pure; times are UTC epoch seconds and come in as arguments. Changes may come late and in any order, on any host: karma
          added at an earlier time counts as what is left of it, so that two hosts that were apart agree afterwards to the last
          digits that a float has.
How       Karma fades by half every half-life, towards 0, and is never more than `most` in either direction: each penalty has an
          end, and `below` tells when. What a clock wrote that ran ahead (`is_ahead`) would not fade before that time, and no good
          session would count against it; so it is nothing known, and stores begin anew.
Source    qpsmtpd's karma plugin (good and bad sessions of an address); postscreen's cache (passes with an expiry for each test).
"""

from __future__ import annotations

import math
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address

import msgspec

_TRANSLATED = int(IPv6Address("64:ff9b::")) >> 32
VISITS = 8
"""How many of the last sessions of a client are named."""
AHEAD = 86400.0
"""Seconds by which clocks of hosts may differ."""
REASONS = 32
"""How many kinds of reasons are kept; the one that is longest ago makes room."""


class Visit(msgspec.Struct, frozen=True, gc=False):
    """One session in brief: when it ended, its id, what was done (an action's word), and the karma that it brought."""

    at: float
    id: str
    action: str = "ignore"
    points: float = 0.0


class Counted(msgspec.Struct, frozen=True, gc=False):
    """In how many sessions a reason (``check.code``) was found, and when last."""

    name: str
    sessions: int
    last: float


class Pass(msgspec.Struct, frozen=True, gc=False):
    """The client passed a check, and need not be held for it until then."""

    check: str
    until: float


class Entry(msgspec.Struct, frozen=True):
    """All that is remembered under one key. ``karma`` is as of ``at``; what it is now tells `karma_at`.

    ``delivered`` counts messages that the MTA took, ``refused`` sessions that tarry refused. ``domain`` is the organisational
    domain of an address, "" where none is known. ``visits`` are the last sessions, the newest first.
    """

    key: str
    karma: float = 0.0
    at: float = 0.0
    first: float = 0.0
    sessions: int = 0
    delivered: int = 0
    refused: int = 0
    domain: str = ""
    passes: tuple[Pass, ...] = ()
    reasons: tuple[Counted, ...] = ()
    visits: tuple[Visit, ...] = ()


class Change(msgspec.Struct, frozen=True):
    """What one session that ended at ``at`` adds to the entry of ``key``. ``voids``: it failed a check, so that older passes count
    no more. ``passes`` are those that it earned."""

    key: str
    at: float
    points: float = 0.0
    delivered: int = 0
    refused: int = 0
    domain: str = ""
    voids: bool = False
    passes: tuple[Pass, ...] = ()
    reasons: tuple[str, ...] = ()
    visit: Visit | None = None


class Fading(msgspec.Struct, frozen=True):
    """How karma fades: by half every ``half_life`` seconds, and never beyond ``most`` above or below 0."""

    half_life: float = 14 * 86400.0
    most: float = 20.0

    def after(self, karma: float, seconds: float) -> float:
        """Return what is left of *karma* after so many seconds; before 0 seconds nothing has faded."""
        return karma * math.exp2(-seconds / self.half_life) if seconds > 0 else karma

    def within(self, karma: float) -> float:
        """Return *karma*, or the most that there is."""
        return max(-self.most, min(self.most, karma))

    def below(self, karma: float, threshold: float) -> float:
        """Return the seconds until *karma* is no further from 0 than *threshold*, which has its sign; 0 where it is so now."""
        if abs(karma) <= abs(threshold):
            return 0.0
        return math.inf if threshold == 0 else self.half_life * math.log2(karma / threshold)


class Known(msgspec.Struct, frozen=True, gc=False):
    """What a check is told of a client, as it is now. ``passes`` are the checks that need not hold it."""

    karma: float = 0.0
    sessions: int = 0
    delivered: int = 0
    passes: tuple[str, ...] = ()

    @property
    def words(self) -> tuple[str, ...]:
        """The same as it stands in a record."""
        said = (f"karma {self.karma:.2f}", f"sessions {self.sessions}", f"delivered {self.delivered}")
        return (*said, *(f"pass {check}" for check in self.passes))


def key_of(host: str) -> str:
    """Return the key of a client's address: the IPv4 address, or the IPv6 /64 with its length. Raises ValueError for none.

    All of IPv4 is in one /64 where a translator stands before a network of IPv6 only (RFC 6052 §2.1, RFC 7755): it is the address
    within that counts.
    """
    address = ip_address(host)
    if isinstance(address, IPv4Address):
        return str(address)
    inside = address.ipv4_mapped or (IPv4Address(address.packed[12:]) if int(address) >> 32 == _TRANSLATED else None)
    return str(inside) if inside is not None else str(IPv6Network((int(address) >> 64 << 64, 64)))


def karma_at(entry: Entry, now: float, fading: Fading) -> float:
    """Return the karma of an entry as it is at *now*."""
    return fading.after(entry.karma, now - entry.at)


def is_ahead(entry: Entry, now: float) -> bool:
    """True where the clock that wrote an entry was wrong, since its last session is further ahead than clocks may differ."""
    return entry.at > now + AHEAD


def known(entry: Entry, now: float, fading: Fading) -> Known:
    """Return what a check is told of an entry."""
    if is_ahead(entry, now):
        return Known()
    passes = tuple(one.check for one in entry.passes if one.until > now)
    return Known(round(karma_at(entry, now, fading), 3), entry.sessions, entry.delivered, passes)


def merged(entry: Entry | None, change: Change, fading: Fading) -> Entry:
    """Return the entry with what a session adds to it."""
    was = entry or Entry(change.key, at=change.at, first=change.at)
    at = max(was.at, change.at)
    karma = fading.after(was.karma, at - was.at) + fading.after(change.points, at - change.at)
    passes = {} if change.voids else {one.check: one.until for one in was.passes}
    for one in change.passes:
        passes[one.check] = max(one.until, passes.get(one.check, 0.0))
    return Entry(
        was.key,
        fading.within(karma),
        at,
        min(was.first, change.at),
        was.sessions + 1,
        was.delivered + change.delivered,
        was.refused + change.refused,
        change.domain or was.domain,
        tuple(Pass(check, until) for check, until in sorted(passes.items())),
        _counted(was.reasons, change),
        _visits(was.visits, change.visit),
    )


def _counted(reasons: tuple[Counted, ...], change: Change) -> tuple[Counted, ...]:
    if not change.reasons:
        return reasons
    found = {one.name: one for one in reasons}
    for name in dict.fromkeys(change.reasons):
        was = found.get(name)
        found[name] = Counted(name, was.sessions + 1, max(was.last, change.at)) if was else Counted(name, 1, change.at)
    newest = sorted(found.values(), key=lambda one: (-one.last, one.name))[:REASONS]
    return tuple(sorted(newest, key=lambda one: one.name))


def _visits(visits: tuple[Visit, ...], visit: Visit | None) -> tuple[Visit, ...]:
    if visit is None:
        return visits
    return tuple(sorted((visit, *visits), key=lambda one: -one.at)[:VISITS])
