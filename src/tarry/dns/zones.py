"""zones - does a DNS list work? Each is tested at start and every so often, and one that fails is not asked.

What      `Zones` asks each list about what it must list and what it must not, switches it off at the desk when it fails and on
          again when it passes, and tells ``on_change``. It also has the desk learn how long the zone's negative answers hold.
Why       A list that has ended often answers for everything, so that all mail is refused; or its domain is parked, or it answers
          each query of a public resolver with an error code. All of this has happened, to large lists.
Tests     Addresses: 127.0.0.1 must not be listed, 127.0.0.2 must. Where that gives nothing at all, the same in IPv6, for lists that
          have no other addresses: ::FFFF:7F00:1 and ::FFFF:7F00:2. Domains: INVALID must not be listed, TEST must.
          A zone that is asked about both must pass both.
Rules     No answer is no verdict: the zone stays on or off as it is, and is tested again after RETRY seconds. What is listed is an
          address in 127.0.0.0/8 and outside 127.255.255.0/24 (checks/values/zone). A zone is on until it fails.
Source    RFC 5782 §5; RFC 2308 §5.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeAlias

import msgspec

from tarry.checks.values.zone import EVERYTHING
from tarry.core.facts import Answer, Question, State, domain_listing, listing
from tarry.dns.desk import Desk, Waiter

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop, TimerHandle

RETRY = 60.0

OnChange: TypeAlias = Callable[[str, bool, str], None]
"""Called with a zone, whether it is on now, and why it is not."""


class Zone(msgspec.Struct, frozen=True):
    """A DNS list, and whether it is asked about domains and not about addresses."""

    name: str
    is_of_domains: bool = False


class Pair(msgspec.Struct, frozen=True):
    """What a list must not list, and what it must, as questions and in words."""

    negative: Question
    positive: Question
    must_not: str
    must: str


class Verdict(msgspec.Struct, frozen=True):
    """Whether a zone has passed; None where nobody knows. ``is_empty``: neither of the two is there."""

    passed: bool | None
    why: str = ""
    is_empty: bool = False


class Zones:
    """The self-tests of *zones*, every *every* seconds; 0 is never. Each zone's SOA is asked at least once."""

    def __init__(
        self, loop: AbstractEventLoop, desk: Desk, zones: Sequence[Zone], every: float, on_change: OnChange | None = None
    ) -> None:
        self._loop = loop
        self._desk = desk
        self._zones = tuple(dict.fromkeys(zones))
        self._every = every
        self._on_change = on_change
        self._failed: dict[Zone, str] = {}
        self._timers: dict[Zone, TimerHandle] = {}
        self._waiting: dict[Question, Waiter] = {}

    @property
    def off(self) -> dict[str, str]:
        """The zones that are switched off, and why."""
        return {zone.name: why for zone, why in reversed(self._failed.items())}

    @property
    def is_tested(self) -> bool:
        """True when each zone has had its first test, whatever came of it, or none is due."""
        return self._every <= 0.0 or all(zone in self._timers for zone in self._zones)

    def start(self) -> None:
        """Test all, now."""
        for zone in self._zones:
            self._test(zone)

    def close(self) -> None:
        """Test none any more."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        for waiter in self._waiting.values():
            self._desk.forget(waiter)
        self._waiting.clear()

    def _test(self, zone: Zone) -> None:
        self._desk.learn_negative_ttl(zone.name)
        if self._every <= 0.0:
            return
        first = domain_pair(zone.name) if zone.is_of_domains else ipv4_pair(zone.name)

        def on_first(found: Verdict) -> None:
            if found.is_empty and not zone.is_of_domains:
                self._ask(ipv6_pair(zone.name), lambda second: self._conclude(zone, found if second.is_empty else second))
            else:
                self._conclude(zone, found)

        self._ask(first, on_first)

    def _ask(self, pair: Pair, on_verdict: Callable[[Verdict], None]) -> None:
        answers: dict[Question, Answer] = {}

        def on_answer(answer: Answer) -> None:
            answers[answer.question] = answer
            del self._waiting[answer.question]
            if len(answers) == 2:
                on_verdict(judge(pair, answers[pair.negative], answers[pair.positive]))

        for question in (pair.negative, pair.positive):
            self._waiting[question] = self._desk.ask_anew(question, on_answer)

    def _conclude(self, zone: Zone, found: Verdict) -> None:
        was_off = zone.name in self.off
        if found.passed is True:
            self._failed.pop(zone, None)
        elif found.passed is False:
            self._failed[zone] = found.why
        why = self.off.get(zone.name, "")
        if why:
            self._desk.switch_off(zone.name, why)
        else:
            self._desk.switch_on(zone.name)
        delay = min(RETRY, self._every) if found.passed is None else self._every
        self._timers[zone] = self._loop.call_later(delay, self._test, zone)
        if self._on_change is not None and bool(why) is not was_off:
            self._on_change(zone.name, not why, why)


def ipv4_pair(zone: str) -> Pair:
    """Return the test of a list of IPv4 addresses."""
    return Pair(listing("127.0.0.1", zone), listing("127.0.0.2", zone), "127.0.0.1", "127.0.0.2")


def ipv6_pair(zone: str) -> Pair:
    """Return the test of a list of IPv6 addresses only."""
    negative, positive = "::ffff:7f00:1", "::ffff:7f00:2"
    return Pair(listing(negative, zone), listing(positive, zone), negative, positive)


def domain_pair(zone: str) -> Pair:
    """Return the test of a list of domains."""
    return Pair(domain_listing("invalid", zone), domain_listing("test", zone), "INVALID", "TEST")


def judge(pair: Pair, negative: Answer, positive: Answer) -> Verdict:
    """Return what the answers say of the zone. One answer alone can fail it; it takes both to pass."""
    if any(one in EVERYTHING for one in negative.values):
        return Verdict(False, f"it lists {pair.must_not}, which no list may")
    if positive.state is State.UNKNOWN:
        return Verdict(None, positive.why)
    if not any(one in EVERYTHING for one in positive.values):
        said = f", and answers {positive.values[0]}" if positive.values else ""
        is_empty = negative.state is State.NOTHING and positive.state is State.NOTHING
        return Verdict(False, f"it does not list {pair.must}, which every list must{said}", is_empty)
    return Verdict(None, negative.why) if negative.state is State.UNKNOWN else Verdict(True)
