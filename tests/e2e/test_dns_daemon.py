"""DNS in the running daemon: name servers that misbehave, and lists on a real rbldnsd, seen from the clients and in the record.

Nobody is refused, delayed or greeted late because of a name server; and a listing leads to what the operator has said.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import dns.flags
import dns.rcode
import pytest

from tarry.core.facts import State, reversed_address
from tests.e2e.servers.nameservers import Behaviour, NameServer, Query
from tests.e2e.servers.processes import free_port
from tests.e2e.servers.tarry import Tarry
from tests.e2e.servers.visitor import Visit, visits
from tests.e2e.test_dns_hostile import CASES, LATE, MALFORMED, Case, listed, records, says_nothing

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

HOLD = 2.0
MARGIN = 3.0  # a machine may stand still for a while
LATEST = HOLD + MARGIN
ZONE = "l.example"
BASE = f"""
[listen]
max_per_client = 0
proxy_from = ["127.0.0.1/32"]
[hold]
wait = "{HOLD:g}s"
"""
REJECT = '[checks.dnslists]\naction = "reject"\n'


def asking(server: str, zones: str = f'{{ zone = "{ZONE}" }}', hold: float = HOLD, **dns: str) -> str:
    """Return a configuration that asks *server* about *zones*, and refuses whom one of them lists, before the greeting."""
    keys = "\n".join(f"{key} = {value}" for key, value in {"self_test": '"0s"', **dns}.items())
    return f'{BASE.replace(f"{HOLD:g}s", f"{hold:g}s")}{REJECT}zones = [{zones}]\n[dns]\nservers = ["{server}"]\n{keys}\n'


def assert_let_through(made: Iterable[Visit], hold: float = HOLD) -> None:
    """Each was greeted when its hold was over, and could deliver."""
    for one in made:
        assert ("", True) == (one.fault, one.is_delivered), one
        assert hold <= one.greeted_after <= hold + MARGIN, one


Seen = tuple[dict[str, Visit], dict[str, list[dict[str, Any]]], set[str]]
"""The visits by client address, the records of each, and the names that were asked for."""


@pytest.fixture(scope="module")
def seen() -> Iterator[Callable[[Callable[[], Seen]], Seen]]:
    """What is seen in each of SCENES, which are played at the same time: they mostly wait."""
    with ThreadPoolExecutor(len(SCENES)) as pool:
        playing: dict[Callable[[], Seen], Future[Seen]] = {scene: pool.submit(scene) for scene in SCENES}
        yield lambda scene: playing[scene].result(60)


def seen_at(door: Tarry, addresses: Iterable[str], server: NameServer | None = None, apart: float = 0.0) -> Seen:
    made = visits(door.port, list(addresses), apart=apart)
    stories = {address: one.records(door) for address, one in made.items()}
    return made, stories, {each.name for each in server.asked if each.kind == "A"} if server else set()


def unknowns(story: Iterable[dict[str, Any]]) -> list[str]:
    return [each["why"] for each in story if each["ev"] == "outcome" and each["result"] == "unknown"]


# Name servers that misbehave.


def looped(query: Query) -> None:
    query.send(query.reply("@ 300 CNAME b.example.", f"b.example. 300 CNAME {query.asked.name}."))


def to_itself(query: Query) -> None:
    query.send(query.reply(f"@ 300 CNAME {query.asked.name.upper()}."))


def truncated_without_end(query: Query) -> None:
    """Short of the answer by UDP, and nothing at all by TCP."""
    if not query.asked.over_tcp:
        query.send(query.reply(flags=dns.flags.TC))


GIVEN_UP, HELD = 6.5, 8.5
"""An answer that is sent at once may take so long to be read, and the hold of this scene is longer still."""
NO_ANSWER_BY_TCP = "truncated, and no answer by TCP"
HERE = {
    "loop of CNAMEs": looped,
    "CNAME to itself": to_itself,
    "after the deadline": lambda query: query.send_later(GIVEN_UP + 0.2, listed(query)),
}
"""Where the case of the table is for one client only, or for its own timeout."""
_ORDER = (MALFORMED, "", LATE)
"""A malformed answer makes c-ares send anew what it has asked of that server: in this order none disturbs another."""
BEHAVIOURS = sorted(
    [
        *(replace(case, behave=HERE.get(case.name, case.behave)) for case in CASES if case.tcp),
        Case(NO_ANSWER_BY_TCP, truncated_without_end, State.UNKNOWN, why=LATE),
    ],
    key=lambda case: _ORDER.index(case.why if case.why in _ORDER else ""),
)
CLIENTS = {f"192.0.2.{number}": case for number, case in enumerate(BEHAVIOURS, 10)}


def misbehaving() -> Seen:
    by_name = {f"{reversed_address(address)}.{ZONE}": case.behave for address, case in CLIENTS.items()}
    no_such_name = records(rcode=dns.rcode.NXDOMAIN)  # the zone's SOA
    with (
        NameServer(lambda query: by_name.get(query.asked.name.lower(), no_such_name)(query)) as server,
        Tarry(asking(server.address, hold=HELD, timeout=f'"{GIVEN_UP}s"')) as door,
    ):
        return seen_at(door, CLIENTS, apart=0.03)


def test_a_name_server_that_misbehaves_costs_no_client_anything(seen: Callable[[Callable[[], Seen]], Seen]) -> None:
    """Each client meets another misbehaviour. Only an honest listing refuses; all others go on in time, and the record says why."""
    made, told, _ = seen(misbehaving)
    stories = {case.name: told[address] for address, case in CLIENTS.items()}
    named = {case.name: made[address] for address, case in CLIENTS.items()}
    assert {case.name: 554 if case.is_listing else 220 for case in BEHAVIOURS} == {
        name: one.codes[""] for name, one in named.items()
    }
    assert_let_through((one for name, one in named.items() if one.codes[""] == 220), HELD)
    said = {name: outcomes(story) for name, story in stories.items()}
    # c-ares gives up on TCP by itself, at about the time of the deadline.
    assert said.pop(NO_ANSWER_BY_TCP) in [[("unknown", f"{ZONE}: {why}")] for why in (LATE, "the name server cannot be reached")]
    assert {case.name: said_of(case) for case in BEHAVIOURS if case.name != NO_ANSWER_BY_TCP} == said
    assert all(one.greeted_after < HELD for one in named.values() if one.codes[""] == 554)


def said_of(case: Case) -> list[tuple[str, str]]:
    """Return what the record is to say of the list's answer."""
    if case.is_listing:
        return []
    if case.state is State.UNKNOWN:
        return [("unknown", f"{ZONE}: {case.why}")]
    if case.values:
        objection = "an error code, not a listing" if case.values[0].startswith("127.") else "not in 127.0.0.0/8, so no listing"
        return [("unknown", f"{ZONE} answers {case.values[0]}: {objection}")]
    return [("passed", "")]


def outcomes(story: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(each["result"], each["why"]) for each in story if each["ev"] == "outcome" and each["check"] == "dnslists"]


def late(seconds: float) -> Behaviour:
    """An honest listing that takes its time, as with a resolver: whoever has asked meanwhile is answered as well."""
    first: list[float] = []

    def behave(query: Query) -> None:
        first.append(time.monotonic())
        query.send_later(max(0.0, first[0] + seconds - first[-1]), listed(query))

    return behave


def late_answers() -> Seen:
    waits: dict[str, Behaviour] = {"192.0.2.1": says_nothing, "192.0.2.2": late(3.2), "192.0.2.3": late(5.8)}
    by_name = {f"{reversed_address(address)}.{ZONE}": behave for address, behave in waits.items()}
    with (
        NameServer(lambda query: by_name.get(query.asked.name, records(rcode=dns.rcode.NXDOMAIN))(query)) as server,
        Tarry(asking(server.address, timeout='"5s"')) as door,
    ):
        return seen_at(door, waits)


def test_the_greeting_waits_for_no_answer(seen: Callable[[Callable[[], Seen]], Seen]) -> None:
    """Who is found to be listed after the greeting is refused at RCPT, which waits for the answer until dns.timeout, no longer."""
    made, stories, _ = seen(late_answers)
    silent, within, beyond = made.values()
    assert_let_through([silent, beyond])
    assert (220, 250, 550) == (within.codes[""], within.codes["MAIL"], within.codes["RCPT"])
    assert HOLD <= within.greeted_after <= LATEST
    assert 3.1 <= within.rcpt_after < 3.2 + MARGIN
    assert all(3.5 <= one.rcpt_after < 5.0 + MARGIN for one in (silent, beyond)), made
    missed = f"no answer from {ZONE} within the hold"
    assert [missed, f"{ZONE}: no answer in time"] == unknowns(stories["192.0.2.1"]) == unknowns(stories["192.0.2.3"])
    assert [missed] == unknowns(stories["192.0.2.2"])
    assert [["dnslists.listed"]] == [each["reasons"] for each in stories["192.0.2.2"] if each["ev"] == "close"]


def nobody_there() -> Seen:
    with Tarry(asking(f"127.0.0.1:{free_port()}")) as door:
        return seen_at(door, ["192.0.2.1", "2001:db8::1"])


def test_no_name_server_is_there(seen: Callable[[Callable[[], Seen]], Seen]) -> None:
    """All are let through, and the record says so."""
    made, stories, _ = seen(nobody_there)
    assert_let_through(made.values())
    assert [[f"{ZONE}: the name server cannot be reached"]] * 2 == [unknowns(story) for story in stories.values()]


def too_many_questions() -> Seen:
    addresses = [f"192.0.2.{number}" for number in range(1, 11)]
    with NameServer(says_nothing) as server, Tarry(asking(server.address, max_queries="2", timeout='"1s"')) as door:
        return seen_at(door, addresses, server)


def test_more_questions_than_may_be_asked(seen: Callable[[Callable[[], Seen]], Seen]) -> None:
    """With two under way the third is none: nobody waits for a place, and nobody is refused for it."""
    made, stories, asked = seen(too_many_questions)
    said = [unknowns(story) for story in stories.values()]
    assert_let_through(made.values())
    assert len(asked) <= 2
    assert {f"{ZONE}: too many questions", f"{ZONE}: no answer in time"} >= {why for each in said for why in each}
    assert [1] * 10 == [len(each) for each in said]
    assert sum(each == [f"{ZONE}: too many questions"] for each in said) >= 8


SCENES = (misbehaving, late_answers, nobody_there, too_many_questions)
