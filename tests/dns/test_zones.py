"""Does a DNS list work? The self-test of RFC 5782 section 5."""

from __future__ import annotations

from typing import Any

import pytest

from tarry.core.facts import State, domain_listing, listing
from tarry.dns.channel import SOA, A, Reply
from tarry.dns.zones import RETRY, Zone, Zones
from tests.dns.asking import NONE, SERVFAIL, Room, found

NAME = "l.example"
ZONE = Zone(NAME)
NEGATIVE = listing("127.0.0.1", NAME).name
POSITIVE = listing("127.0.0.2", NAME).name
NEGATIVE_6 = listing("::ffff:7f00:1", NAME).name
POSITIVE_6 = listing("::ffff:7f00:2", NAME).name
LISTED = found("127.0.0.2")
PARKED = found("203.0.113.80")
ERROR = found("127.255.255.254")


class Watched:
    """The tests of zones, against a name server that answers as told, and what was said of them."""

    def __init__(self, *zones: Zone, every: float = 1800.0) -> None:
        self.room = Room()
        self.changes: list[tuple[str, bool, str]] = []
        self.zones = Zones(self.room.loop.loop, self.room.desk, zones or (ZONE,), every, lambda *told: self.changes.append(told))
        self.answer({})

    def answer(self, replies: dict[str, Reply]) -> None:
        """Answer A so from now on, and each SOA with a failure."""
        self.room.servers.at_once = {(name, A): reply for name, reply in replies.items()}
        self.room.servers.at_once.update({(each, SOA): SERVFAIL for each in (NAME, "d.example", "example")})

    def start(self) -> None:
        self.zones.start()
        self.settle()

    def settle(self) -> None:
        for _ in range(4):
            self.room.loop.turn_once()

    def advance(self, seconds: float) -> None:
        self.room.loop.advance(seconds)
        self.settle()

    def is_on(self) -> bool:
        known = self.room.desk.known(listing("192.0.2.1", NAME))
        return known is None


WORKS = {NEGATIVE: NONE, POSITIVE: LISTED}
IPV6_WORKS = {NEGATIVE: NONE, POSITIVE: NONE, NEGATIVE_6: NONE, POSITIVE_6: LISTED}


@pytest.mark.parametrize(
    ("replies", "is_on", "why"),
    [
        (WORKS, True, ""),
        (IPV6_WORKS, True, ""),
        ({NEGATIVE: LISTED, POSITIVE: LISTED}, False, "it lists 127.0.0.1, which no list may"),
        ({NEGATIVE: LISTED, POSITIVE: SERVFAIL}, False, "it lists 127.0.0.1, which no list may"),
        (
            {NEGATIVE: PARKED, POSITIVE: PARKED},
            False,
            "it does not list 127.0.0.2, which every list must, and answers 203.0.113.80",
        ),
        (
            {NEGATIVE: ERROR, POSITIVE: ERROR},
            False,
            "it does not list 127.0.0.2, which every list must, and answers 127.255.255.254",
        ),
        (
            {NEGATIVE: SERVFAIL, POSITIVE: PARKED},
            False,
            "it does not list 127.0.0.2, which every list must, and answers 203.0.113.80",
        ),
        (
            {NEGATIVE: NONE, POSITIVE: NONE, NEGATIVE_6: NONE, POSITIVE_6: NONE},
            False,
            "it does not list 127.0.0.2, which every list must",
        ),
        (
            {NEGATIVE: NONE, POSITIVE: NONE, NEGATIVE_6: LISTED, POSITIVE_6: LISTED},
            False,
            "it lists ::ffff:7f00:1, which no list may",
        ),
        ({NEGATIVE: NONE, POSITIVE: SERVFAIL}, True, ""),
        ({NEGATIVE: SERVFAIL, POSITIVE: LISTED}, True, ""),
        ({NEGATIVE: SERVFAIL, POSITIVE: SERVFAIL}, True, ""),
        ({NEGATIVE: NONE, POSITIVE: NONE, NEGATIVE_6: NONE, POSITIVE_6: SERVFAIL}, True, ""),
    ],
)
def test_what_a_list_must_answer(replies: dict[str, Reply], is_on: bool, why: str) -> None:
    """One wrong answer switches it off and is told; no answer leaves it as it is."""
    watched = Watched()
    watched.answer(replies)
    watched.start()
    assert is_on is watched.is_on()
    assert ([] if is_on else [(NAME, False, why)]) == watched.changes
    assert ({} if is_on else {NAME: why}) == watched.zones.off


@pytest.mark.parametrize(
    ("invalid", "test", "is_on"), [(NONE, LISTED, True), (LISTED, LISTED, False), (NONE, NONE, False), (SERVFAIL, LISTED, True)]
)
def test_what_a_list_of_domains_must_answer(invalid: Reply, test: Reply, is_on: bool) -> None:
    """TEST is listed and INVALID is not; addresses are not asked for."""
    watched = Watched(Zone("d.example", is_of_domains=True))
    watched.answer({"invalid.d.example": invalid, "test.d.example": test})
    watched.start()
    known = watched.room.desk.known(domain_listing("x.example", "d.example"))
    assert is_on is (known is None)
    assert {"invalid.d.example", "test.d.example"} == {name for name, kind in watched.room.servers.asked if kind == A}


def test_a_zone_that_fails_is_off_until_it_passes() -> None:
    """It is tested again each time, and a test without an answer changes nothing."""
    watched = Watched(every=1800.0)
    steps: list[tuple[dict[str, Reply], bool, float]] = [
        (WORKS, True, 1800.0),
        ({NEGATIVE: LISTED, POSITIVE: LISTED}, False, 1800.0),
        ({NEGATIVE: NONE, POSITIVE: SERVFAIL}, False, RETRY),
        ({NEGATIVE: LISTED, POSITIVE: LISTED}, False, 1800.0),
        (WORKS, True, 1800.0),
        ({NEGATIVE: SERVFAIL, POSITIVE: SERVFAIL}, True, RETRY),
    ]
    delay = 0.0
    for replies, is_on, then in steps:
        watched.answer(replies)
        if delay:
            watched.advance(delay - 1.0)
            asked = len(watched.room.servers.asked)
            watched.advance(1.1)
            assert len(watched.room.servers.asked) > asked
        else:
            watched.start()
        assert is_on is watched.is_on()
        delay = then
    assert [False, True] == [is_on for _, is_on, _ in watched.changes]


def test_a_zone_of_both_kinds_must_pass_both() -> None:
    """It is off while one of them fails; that is told once."""
    watched = Watched(ZONE, Zone(NAME, is_of_domains=True), every=100.0)
    domains: dict[str, Any] = {"invalid.l.example": NONE, "test.l.example": LISTED}
    watched.answer(WORKS | domains)
    watched.start()
    assert watched.is_on()
    for replies in (
        WORKS | domains | {"invalid.l.example": LISTED},
        WORKS | domains | {"invalid.l.example": LISTED, NEGATIVE: LISTED},
    ):
        watched.answer(replies)
        watched.advance(100.5)
        assert not watched.is_on()
    watched.answer(WORKS | domains | {NEGATIVE: LISTED})
    watched.advance(100.5)
    assert not watched.is_on()
    watched.answer(WORKS | domains)
    watched.advance(100.5)
    assert watched.is_on()
    assert [(NAME, False), (NAME, True)] == [told[:2] for told in watched.changes]


def test_no_test_and_yet_the_soa() -> None:
    """With self_test = 0 nothing is tested; how long negative answers hold is asked once."""
    watched = Watched(every=0.0)
    watched.answer({NEGATIVE: LISTED})
    watched.start()
    watched.advance(10_000)
    assert [(NAME, SOA)] == watched.room.servers.asked
    assert watched.is_on()


def test_the_soa_is_asked_with_each_test() -> None:
    """What it says holds for what is not in the zone."""
    watched = Watched(every=100.0)
    watched.answer(WORKS | {listing("192.0.2.1", NAME).name: NONE})
    watched.room.servers.at_once[NAME, SOA] = Reply(State.FOUND, ttl=500)
    watched.start()
    watched.advance(100.5)
    assert 2 == watched.room.servers.asked.count((NAME, SOA))
    watched.room.desk.ask(listing("192.0.2.1", NAME), watched.room.answers.append)
    watched.room.loop.turn_once()
    assert [500] == [answer.ttl for answer in watched.room.answers]


def test_closed_zones_are_still() -> None:
    """Neither a test under way nor one that is due is heard of again."""
    watched = Watched(every=100.0)
    watched.answer(WORKS)
    watched.start()
    watched.answer({})
    watched.advance(100.5)
    assert 2 == watched.room.desk.open
    watched.zones.close()
    for name in (NEGATIVE, POSITIVE):
        watched.room.servers.reply(name, A, LISTED)
    watched.advance(1000)
    assert [] == watched.changes
    assert [] == watched.room.loop.waiting


def test_whether_all_have_been_tested_is_known() -> None:
    """Whatever came of it; where none is tested, at once."""
    watched = Watched()
    assert not watched.zones.is_tested
    watched.answer({NEGATIVE: SERVFAIL, POSITIVE: SERVFAIL})
    watched.start()
    assert watched.zones.is_tested
    assert Watched(every=0.0).zones.is_tested
