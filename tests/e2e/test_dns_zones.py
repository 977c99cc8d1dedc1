"""DNS lists on a real rbldnsd: answers, self-tests and how long answers are kept; and lists that have died."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import TypeVar

import dns.rcode
import pytest
import uvloop

from tarry.clocks import SystemClock
from tarry.core.facts import Answer, Question, State, addresses_of, domain_listing, listing
from tarry.dns.desk import Desk, Settings
from tarry.dns.zones import Zone, Zones
from tests.e2e.servers.nameservers import Behaviour, NameServer, Query, rbldnsd
from tests.e2e.servers.need import need

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

IPV4 = """\
:127.0.0.4:$ is listed
192.0.2.7
198.51.100.0/25 :127.0.0.10:
198.51.100.9 :127.0.0.11:
127.0.0.2
"""
IPV6 = ":127.0.0.3:listed\n2001:db8:0:1::/64\n::ffff:7f00:2/128\n"
DOMAINS = ":127.0.1.2:listed\nspam.example\n.bulk.example\ntest\n"
EVERYBODY = ":127.0.0.2:\n0.0.0.0/1\n128.0.0.0/1\n"
EMPTY = ":127.0.0.2:\n192.0.2.1\n"

V4 = "v4.test"
V6 = "v6.test"
DOM = "dom.test"

T = TypeVar("T")


@pytest.fixture(scope="module")
def lists() -> Iterator[str]:
    """An rbldnsd with lists that work and lists that do not; its address."""
    need("rbldnsd")
    zones = {
        V4: ("ip4set", IPV4),
        V6: ("ip6trie", IPV6),
        DOM: ("dnset", DOMAINS),
        "everybody.test": ("ip4set", EVERYBODY),
        "empty.test": ("ip4set", EMPTY),
        "mixed.test": ("ip4set", IPV4),
    }
    with rbldnsd(zones, negative_ttl=400) as port:
        yield f"127.0.0.1:{port}"


LOOPS: list[Callable[[], asyncio.AbstractEventLoop]] = [uvloop.new_event_loop, asyncio.new_event_loop]


def on_a_loop(
    server: str,
    work: Callable[[Desk], Awaitable[T]],
    timeout: float = 2.0,
    new_loop: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop,
) -> T:
    """Return what *work* returns, with a desk that asks *server*."""

    async def working() -> T:
        desk = Desk(asyncio.get_running_loop(), SystemClock(), Settings(servers=(server,), timeout=timeout))
        try:
            return await work(desk)
        finally:
            desk.close()

    with asyncio.Runner(loop_factory=new_loop) as runner:
        return runner.run(working())


async def answers_of(desk: Desk, questions: Sequence[Question]) -> list[Answer]:
    got: list[Answer] = []
    for question in questions:
        desk.ask(question, got.append)
    while len(got) < len(questions):
        await asyncio.sleep(0.002)
    return sorted(got, key=lambda answer: questions.index(answer.question))


@pytest.mark.parametrize(
    ("question", "values"),
    [
        (listing("192.0.2.7", V4), ("127.0.0.4",)),
        (listing("192.0.2.8", V4), ()),
        (listing("198.51.100.1", V4), ("127.0.0.10",)),
        (listing("2001:db8:0:1::99", V6), ("127.0.0.3",)),
        (listing("2001:db8:0:2::99", V6), ()),
        (listing("2001:db8:0:1::99", V4), ()),
        (domain_listing("spam.example", DOM), ("127.0.1.2",)),
        (domain_listing("www.spam.example", DOM), ()),
        (domain_listing("deep.bulk.example", DOM), ("127.0.1.2",)),
        (domain_listing("SPAM.Example", DOM), ("127.0.1.2",)),
        (domain_listing("honest.example", DOM), ()),
        (addresses_of("7.2.0.192." + V4), ("127.0.0.4",)),
    ],
)
def test_what_a_list_says(lists: str, question: Question, values: tuple[str, ...]) -> None:
    """Its address for what is listed, and nothing for what is not."""
    (answer,) = on_a_loop(lists, lambda desk: answers_of(desk, [question]))
    assert (State.FOUND if values else State.NOTHING, values, "") == (answer.state, answer.values, answer.why)


def test_the_list_that_it_does_not_serve_refuses(lists: str) -> None:
    """That is no opinion."""
    (answer,) = on_a_loop(lists, lambda desk: answers_of(desk, [listing("192.0.2.7", "elsewhere.test")]))
    assert (State.UNKNOWN, "REFUSED") == (answer.state, answer.why)


@pytest.mark.parametrize("new_loop", LOOPS)
def test_a_crowd_of_questions(lists: str, new_loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
    """Three thousand at once, over several channels: each has its own answer, on either event loop."""
    questions = [listing(f"198.51.{third}.{last}", V4) for third in range(95, 107) for last in range(250)]

    async def all_of_them(desk: Desk) -> list[Answer]:
        got: list[Answer] = []
        for question in questions:
            while desk.open >= 900:
                await asyncio.sleep(0.001)
            desk.ask(question, got.append)
        while len(got) < len(questions):
            await asyncio.sleep(0.002)
        return got

    found = {answer.question for answer in on_a_loop(lists, all_of_them, new_loop=new_loop) if answer.state is State.FOUND}
    assert {listing(f"198.51.100.{last}", V4) for last in range(128)} == found


def test_lists_that_work_stay_on_and_those_that_do_not_go_off(lists: str) -> None:
    """Of IPv4, of IPv6 only, of domains; one that lists everybody, one that has nothing, one that is not of domains."""
    changes: list[tuple[str, bool, str]] = []
    zones = [
        Zone(V4),
        Zone(V6),
        Zone(DOM, is_of_domains=True),
        Zone("everybody.test"),
        Zone("empty.test"),
        Zone("mixed.test", is_of_domains=True),
    ]

    async def tested(desk: Desk) -> list[Answer]:
        testing = Zones(
            asyncio.get_running_loop(), desk, zones, 1800.0, lambda zone, is_on, why: changes.append((zone, is_on, why))
        )
        testing.start()
        for _ in range(200):
            await asyncio.sleep(0.005)
            if len(changes) >= 3 and not desk.open:
                break
        questions = [listing("192.0.2.7", V4), listing("192.0.2.7", "everybody.test"), listing("192.0.2.9", V4)]
        answers = await answers_of(desk, questions)
        testing.close()
        return answers

    answers = on_a_loop(lists, tested)
    assert {
        ("everybody.test", False, "it lists 127.0.0.1, which no list may"),
        ("empty.test", False, "it does not list 127.0.0.2, which every list must"),
        ("mixed.test", False, "it does not list TEST, which every list must"),
    } == set(changes)
    assert [State.FOUND, State.UNKNOWN, State.NOTHING] == [answer.state for answer in answers]
    assert "the zone is switched off: it lists 127.0.0.1, which no list may" == answers[1].why
    assert 400 == answers[2].ttl, "as the SOA says"


# With a TTL of 0, for c-ares remembers answers as well; between real tests there is half an hour.


def listed(query: Query) -> None:
    query.send(query.reply("@ 0 A 127.0.0.2"))


def parked(query: Query) -> None:
    query.send(query.reply("@ 0 A 203.0.113.80"))


def refused_by_code(query: Query) -> None:
    query.send(query.reply("@ 0 A 127.255.255.254"))


def works(query: Query) -> None:
    is_listed = query.asked.name.startswith("2.0.0.127.")
    query.send(query.reply("@ 0 A 127.0.0.2") if is_listed else query.reply(rcode=dns.rcode.NXDOMAIN))


def dead(query: Query) -> None:
    query.send(query.reply(rcode=dns.rcode.SERVFAIL))


def silent(query: Query) -> None:
    """No answer."""


def test_a_list_dies_and_comes_back() -> None:
    """It is off while it answers for everything, is parked, or answers with error codes; that nobody answers changes nothing."""
    behaviour: list[Behaviour] = [works]
    steps: list[tuple[Behaviour, bool]] = [
        (works, True),
        (dead, True),
        (listed, False),
        (dead, False),
        (silent, False),
        (works, True),
        (parked, False),
        (works, True),
        (refused_by_code, False),
        (works, True),
        (silent, True),
    ]
    changes: list[bool] = []
    begun: set[int] = set()

    def behave(query: Query) -> None:
        if query.asked.name.startswith("1.0.0.127."):  # again under its old id where nobody has answered
            begun.add(query.asked.id)
        behaviour[0](query)

    with NameServer(behave) as server:

        async def lives(desk: Desk) -> list[bool]:
            seen = []
            loop = asyncio.get_running_loop()
            zones = Zones(loop, desk, [Zone("l.example")], 0.03, lambda zone, is_on, why: changes.append(is_on))
            zones.start()
            for behaviour[0], _ in steps:
                begun.clear()
                while len(begun) < 4:  # two rounds are over then; one may have begun before
                    await asyncio.sleep(0.01)
                seen.append(desk.known(listing("192.0.2.1", "l.example")) is None)
            zones.close()
            return seen

        seen = on_a_loop(server.address, lives, timeout=0.3)
    assert [is_on for _, is_on in steps] == seen
    assert [False, True] * 3 == changes


def test_the_text_of_a_listing_is_never_asked_for() -> None:
    """A listing is one query, for addresses."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as between:
        between.bind(("127.0.0.1", 0))
        between.settimeout(1.0)

        async def one(desk: Desk) -> bytes:
            desk.ask(listing("192.0.2.7", V4), lambda answer: None)
            await asyncio.sleep(0.05)
            return between.recv(4096)

        wire = on_a_loop(f"127.0.0.1:{between.getsockname()[1]}", one)
    assert b"\x04test\x00\x00\x01\x00\x01" in wire, "type A, class IN"
