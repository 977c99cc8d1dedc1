"""client_history - all that is remembered of one client, for `tarry clients show` and `tarry explain ADDRESS`.

What      `read` gets it from a store: its entry, that of its domain, and the marks that are about it. `lines` tells it to a person,
          `report` to a program.
Promises  What karma leads to, and until when, follows from the configuration and from how karma fades, as if nothing more happened.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import TypeAlias

import msgspec

from tarry.cli.layout import filled
from tarry.cli.moments import ago, ahead, at, iso, length
from tarry.cli.opened import Memory
from tarry.cli.who import Who, is_within, network_of
from tarry.config.places import Network
from tarry.config.spelling import counted, printable
from tarry.core.history import Entry, karma_at
from tarry.store import Mark, Store

_LABEL = 10
WORDS = {"allow": "allowed", "deny": "denied"}
"""What the client of a mark is."""
Placed: TypeAlias = tuple[Network, Mark]
"""A mark, and the network that it is about."""


class Past(msgspec.Struct, frozen=True):
    """What is remembered of *who*. ``entry`` is its own, ``domain`` that of the domain which it belongs to. ``marks`` are about it
    or a network around it, the narrowest first."""

    who: Who
    entry: Entry | None
    domain: Entry | None
    marks: tuple[Mark, ...]

    @property
    def is_known(self) -> bool:
        """True where anything is remembered."""
        return self.entry is not None or bool(self.marks)


async def read(store: Store, who: Who, now: float) -> Past:
    """Read what is remembered of one client, or domain. Raises what the store does."""
    entry = (await store.read([who.key])).get(who.key)
    domain = None
    if entry is not None and entry.domain:
        domain = (await store.read([entry.domain])).get(entry.domain)
    return Past(who, entry, domain, about(who, placed(await store.marks(now))))


def placed(marks: Iterable[Mark]) -> dict[str, Placed]:
    """Return marks with their networks, by ``what``; one that has none is left out."""
    return {mark.what: (network, mark) for mark in marks if (network := network_of(mark.what)) is not None}


def about(who: Who, marks: Mapping[str, Placed]) -> tuple[Mark, ...]:
    """Return the marks on a client or on networks around it, and on parts of an IPv6 /64; the narrowest first."""
    if who.network is None:
        return ()
    client = network_of(who.key)
    found = [
        (other.prefixlen, mark)
        for other, mark in marks.values()
        if is_within(who.network, other) or (client is not None and is_within(other, client))
    ]
    return tuple(mark for _, mark in sorted(found, key=lambda one: -one[0]))


def lines(past: Past, memory: Memory) -> Iterator[str]:
    """Yield it for a person."""
    for mark in past.marks:
        yield row("mark", mark_words(mark, memory.now))
    if past.entry is None:
        yield row("history", "nothing is remembered of it: it has not come, or not for so long as store.keep says")
        return
    yield from _entry_lines(past.entry, memory, is_domain=past.who.network is None)
    if past.domain is not None:
        domain = past.domain
        yield row("domain", f"{printable(domain.key)}, {_seen(domain)}")
        yield row("", f"karma {consequence(domain, memory, is_domain=True)}")
    elif past.entry.domain:
        yield row("domain", f"{printable(past.entry.domain)}, of which nothing is remembered")


def row(label: str, text: str) -> str:
    """Return one row of what is told: a label, and a paragraph beside it."""
    return filled(text, f"  {label:<{_LABEL}}", _LABEL + 2)


def mark_words(mark: Mark, now: float) -> str:
    """Return a mark in words."""
    until = f"until {at(mark.until)} ({ahead(mark.until, now)})" if mark.until else "for good"
    said = f", said {ago(mark.at, now)}" if mark.at else ""
    comment = f": {printable(mark.comment)}" if mark.comment else ""
    return f"{mark.what} is {WORDS[mark.action]} {until}{said}{comment}"


def consequence(entry: Entry, memory: Memory, *, is_domain: bool) -> str:
    """Return the karma of an entry as it is now, what it leads to, and until when."""
    keys, fading, now = memory.config.karma, memory.fading, memory.now
    karma = karma_at(entry, now, fading)
    told = f"{karma:+.1f}"
    if karma > keys.skip_above:
        if is_domain and not keys.by_domain:
            return f"{told}, which counts for nothing while karma.by_domain is false"
        over = f"above karma.skip_above ({keys.skip_above:g}){_until(fading.below(karma, keys.skip_above), now)}"
        whose = "a client of it that has no bad karma of its own" if is_domain else "it"
        return f"{told}, {over}: {whose} is greeted as soon as that is known, unless something else speaks against it"
    if karma < keys.bad_below:
        if is_domain:
            return f"{told}: bad karma of a domain counts for none of its clients"
        worst = karma < keys.worst_below
        under = f"below karma.bad_below ({keys.bad_below:g}){_until(fading.below(karma, keys.bad_below), now)}"
        as_what = "karma.bad"
        if worst:
            as_what = f"karma.worst{_until(fading.below(karma, keys.worst_below), now)}, and as karma.bad then"
        return f"{told}, {under}: the check karma finds it as {as_what}; each good session ends it sooner"
    return (
        f"{told}, between karma.bad_below ({keys.bad_below:g}) and karma.skip_above ({keys.skip_above:g}): nothing follows from it"
    )


def _until(seconds: float, now: float) -> str:
    if not math.isfinite(seconds):
        return " for as long as it is not 0"
    return f" for another {length(seconds)}, until {at(now + seconds)}"


def _entry_lines(entry: Entry, memory: Memory, *, is_domain: bool) -> Iterator[str]:
    now = memory.now
    yield row("karma", consequence(entry, memory, is_domain=is_domain))
    yield row("sessions", _seen(entry))
    yield row("first", f"{at(entry.first)} ({ago(entry.first, now)})")
    yield row("last", f"{at(entry.at)} ({ago(entry.at, now)})")
    for number, one in enumerate(sorted(entry.passes, key=lambda one: -one.until)):
        over = f"until {at(one.until)} ({ahead(one.until, now)})" if one.until > now else f"ran out {ago(one.until, now)}"
        yield row("" if number else "passes", f"{printable(one.check)} {over}")
    for number, reason in enumerate(sorted(entry.reasons, key=lambda one: (-one.sessions, -one.last))):
        times = counted(reason.sessions, "session")
        yield row("" if number else "reasons", f"{printable(reason.name):<24} {times}, last {ago(reason.last, now)}")
    for number, visit in enumerate(entry.visits):
        did = "no action" if visit.action == "ignore" else printable(visit.action)
        yield row("" if number else "visits", f"{at(visit.at)}  {printable(visit.id)}  {did}, karma {visit.points:+g}")


def _seen(entry: Entry) -> str:
    sessions, messages = counted(entry.sessions, "session"), counted(entry.delivered, "message")
    return f"{sessions}, {messages} delivered, {entry.refused:,} times refused"


def report(past: Past, memory: Memory) -> dict[str, object]:
    """Return it for a program."""
    return {
        "what": past.who.what,
        "key": past.who.key or None,
        "notes": list(past.who.notes),
        "history": None if past.entry is None else entry_report(past.entry, memory),
        "domain": None if past.domain is None else entry_report(past.domain, memory),
        "marks": [mark_report(mark) for mark in past.marks],
    }


def entry_report(entry: Entry, memory: Memory) -> dict[str, object]:
    """Return an entry for a program; ``karma`` is as of now."""
    fading, now, keys = memory.fading, memory.now, memory.config.karma
    karma = karma_at(entry, now, fading)
    threshold = keys.bad_below if karma < keys.bad_below else keys.skip_above if karma > keys.skip_above else None
    seconds = 0.0 if threshold is None else fading.below(karma, threshold)
    return {
        "key": entry.key,
        "karma": round(karma, 3),
        "standing": "bad" if karma < keys.bad_below else "good" if karma > keys.skip_above else "none",
        "standing_until": iso(now + seconds) if threshold is not None and math.isfinite(seconds) else None,
        "first": iso(entry.first),
        "last": iso(entry.at),
        "sessions": entry.sessions,
        "delivered": entry.delivered,
        "refused": entry.refused,
        "domain": entry.domain or None,
        "passes": [{"check": one.check, "until": iso(one.until), "holds": one.until > now} for one in entry.passes],
        "reasons": [{"name": one.name, "sessions": one.sessions, "last": iso(one.last)} for one in entry.reasons],
        "visits": [{"at": iso(one.at), "id": one.id, "action": one.action, "points": one.points} for one in entry.visits],
    }


def mark_report(mark: Mark) -> dict[str, object]:
    """Return a mark for a program."""
    return {
        "what": mark.what,
        "action": mark.action,
        "until": iso(mark.until) if mark.until else None,
        "comment": mark.comment or None,
        "at": iso(mark.at) if mark.at else None,
    }
