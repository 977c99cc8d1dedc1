"""What the desk answers when name servers misbehave: a table of behaviours, each over real sockets of c-ares.

The rule is the same for all: only what an honest answer says is taken, all else is no opinion, and the question ends in time.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset
import pytest
import uvloop

from tarry.checks.values.zone import EVERYTHING
from tarry.clocks import SystemClock
from tarry.core.facts import Answer, Question, State, addresses_of, listing, names_of
from tarry.dns.channel import QUERIES
from tarry.dns.desk import Desk, Settings
from tests.e2e.servers.nameservers import Behaviour, NameServer, Query

pytestmark = pytest.mark.e2e

TIMEOUT = 0.6
LISTED = listing("192.0.2.7", "l.example")
FOUND, NOTHING, UNKNOWN = State.FOUND, State.NOTHING, State.UNKNOWN
LATE = "no answer in time"
MALFORMED = "a malformed answer"


NewLoop = Callable[[], asyncio.AbstractEventLoop]


def ask(
    servers: Sequence[str],
    *questions: Question,
    timeout: float = TIMEOUT,
    linger: float = 0.0,
    new_loop: NewLoop = uvloop.new_event_loop,
) -> list[Answer]:
    """Ask on an event loop of its own and return the answers in the order of the questions; each must come once and in time."""

    async def all_of_them() -> list[Answer]:
        loop = asyncio.get_running_loop()
        faults: list[object] = []
        loop.set_exception_handler(lambda _, context: faults.append(context))
        desk = Desk(loop, SystemClock(), Settings(servers=tuple(servers), timeout=timeout, max_queries=500))
        answers: dict[Question, list[Answer]] = {question: [] for question in questions}
        begun = time.monotonic()
        for question in questions:
            desk.ask(question, answers[question].append)
        while not all(answers.values()) and time.monotonic() < begun + timeout + 5:
            await asyncio.sleep(0.005)
        took = time.monotonic() - begun
        await asyncio.sleep(linger)
        desk.close()
        await asyncio.sleep(0)
        assert [] == faults
        assert took < timeout + 3, took
        assert {1} == {len(got) for got in answers.values()}
        return [answers[question][0] for question in questions]

    with asyncio.Runner(loop_factory=new_loop) as runner:
        return runner.run(all_of_them())


def records(*what: str, rcode: dns.rcode.Rcode = dns.rcode.NOERROR, flags: int = 0) -> Behaviour:
    """An honest server with these records."""
    return lambda query: query.send(query.reply(*what, rcode=rcode, flags=flags))


def listed(query: Query) -> dns.message.Message:
    """The reply that the others pervert."""
    return query.reply("@ 300 A 127.0.0.2")


def wrong_id(query: Query) -> None:
    reply = listed(query)
    reply.id ^= 1
    query.send(reply)


def every_wrong_id(query: Query) -> None:
    """A thousand guesses, and then the truth."""
    reply = query.reply("@ 300 A 127.0.0.66")
    for guess in range(1, 1001):
        reply.id = query.message.id ^ guess
        query.send(reply)
    query.send(query.reply())


def wrong_question(query: Query) -> None:
    reply = listed(query)
    owner = dns.name.from_text("another.example")
    reply.question = [dns.rrset.RRset(owner, dns.rdataclass.IN, dns.rdatatype.A)]
    query.send(reply)


def no_question(query: Query) -> None:
    reply = listed(query)
    reply.question = []
    query.send(reply)


def a_query(query: Query) -> None:
    query.send(query.message.to_wire())


def truncated(query: Query) -> None:
    query.send(listed(query) if query.asked.over_tcp else query.reply(flags=dns.flags.TC))


def truncated_in_the_middle(query: Query) -> None:
    wire = query.reply("@ 300 A 127.0.0.2", flags=dns.flags.TC).to_wire()
    query.send(listed(query) if query.asked.over_tcp else wire[:-6])


def short(octets: int) -> Behaviour:
    return lambda query: query.send(listed(query).to_wire()[:octets])


def compression_loop(query: Query) -> None:
    """The owner of the answer is a pointer to itself."""
    wire = bytearray(listed(query).to_wire())
    at = len(dns.message.make_response(query.message).to_wire()) - 11  # behind the question; OPT takes the last 11
    assert wire[at] & 0xC0 == 0xC0
    wire[at : at + 2] = bytes([0xC0 | at >> 8, at & 0xFF])
    query.send(bytes(wire))


def garbage(query: Query) -> None:
    query.send(query.message.id.to_bytes(2, "big") + bytes(range(1, 200)))


def more_than_it_has(query: Query) -> None:
    """The header announces 65535 answers."""
    wire = bytearray(listed(query).to_wire())
    wire[6:8] = b"\xff\xff"
    query.send(bytes(wire))


def many(number: int) -> Behaviour:
    return records(*(f"@ 300 A 127.0.{each >> 8}.{each & 255}" for each in range(2, number + 2)))


def from_another_port(query: Query) -> None:
    query.send_from("127.0.0.1", 0, listed(query))


def from_another_address(query: Query) -> None:
    """And the same port."""
    query.send_from("127.0.0.9", query.server_port, listed(query))


def after_the_deadline(query: Query) -> None:
    query.send_later(TIMEOUT + 0.2, listed(query))


def twice(query: Query) -> None:
    query.send(listed(query))
    query.send(query.reply("@ 300 A 127.0.0.99"))


def slowly(query: Query) -> None:
    query.send_later(0.1, listed(query))


def text(query: Query) -> None:
    """Text that would break out of a log line, a terminal or a page, as the answer, and beside an address."""
    evil = '"\\013\\010550 5.7.1 forged" "\\027[2J" "<script>alert(1)</script>"'
    query.send(query.reply("@ 300 A 127.0.0.2", f"@ 300 TXT {evil}", f"evil.example 300 TXT {evil}"))


def only_text(query: Query) -> None:
    query.send(query.reply('@ 300 TXT "\\013\\010550 forged" "<b>"'))


def says_nothing(query: Query) -> None:
    """No answer at all."""


@dataclass(frozen=True)
class Case:
    """A behaviour of the server, and what is answered."""

    name: str
    behave: Behaviour
    state: State
    values: tuple[str, ...] = ()
    why: str = ""
    tcp: bool = True
    is_listing: bool = False
    linger: float = 0.0
    question: Question = field(default=LISTED)


CASES = [
    Case("an address", records("@ 300 A 127.0.0.2"), FOUND, ("127.0.0.2",), is_listing=True),
    Case("nxdomain", records(rcode=dns.rcode.NXDOMAIN), NOTHING),
    Case("no data", records(), NOTHING),
    Case("servfail", records(rcode=dns.rcode.SERVFAIL), UNKNOWN, why="SERVFAIL"),
    Case("refused", records(rcode=dns.rcode.REFUSED), UNKNOWN, why="REFUSED"),
    Case("not implemented", records(rcode=dns.rcode.NOTIMP), UNKNOWN, why="NOTIMP"),
    Case("format error", records(rcode=dns.rcode.FORMERR), UNKNOWN, why="FORMERR"),
    Case("silence", says_nothing, UNKNOWN, why=LATE),
    Case("wrong id", wrong_id, UNKNOWN, why=LATE),
    Case("a thousand wrong ids", every_wrong_id, NOTHING),
    Case("wrong question", wrong_question, UNKNOWN, why=LATE),
    Case("no question", no_question, UNKNOWN, why=MALFORMED),
    # c-ares does not look at the bit that says reply; whoever can echo a query could as well deny it.
    Case("the query itself", a_query, NOTHING),
    Case("truncated, TCP", truncated, FOUND, ("127.0.0.2",), is_listing=True),
    Case("truncated, no TCP", truncated, UNKNOWN, why="the name server cannot be reached", tcp=False),
    Case("truncated within a record", truncated_in_the_middle, UNKNOWN, why=MALFORMED),
    Case(
        "loop of CNAMEs",
        records("@ 300 CNAME b.example.", "b.example. 300 CNAME 7.2.0.192.l.example."),
        UNKNOWN,
        why="a loop of CNAMEs",
    ),
    Case("CNAME to itself", records("@ 300 CNAME 7.2.0.192.L.example."), UNKNOWN, why="a loop of CNAMEs"),
    Case("CNAME to nothing", records("@ 300 CNAME b.example."), NOTHING),
    Case(
        "CNAME to an address",
        records("@ 300 CNAME b.example.", "b.example. 300 A 127.0.0.4"),
        FOUND,
        ("127.0.0.4",),
        is_listing=True,
    ),
    Case("compression loop", compression_loop, UNKNOWN, why=MALFORMED),
    Case("200 answers", many(200), FOUND, tuple(f"127.0.0.{each}" for each in range(2, 34)), is_listing=True),
    Case("4000 answers, TCP", many(4000), FOUND, tuple(f"127.0.0.{each}" for each in range(2, 34)), is_listing=True),
    Case("one answer 30 times", records(*["@ 300 A 127.0.0.2"] * 30), FOUND, ("127.0.0.2",), is_listing=True),
    Case("short: nothing", short(0), UNKNOWN, why=LATE),
    Case("short: one octet", short(1), UNKNOWN, why=MALFORMED),
    Case("short: a header", short(12), UNKNOWN, why=MALFORMED),
    Case("short: half an answer", short(50), UNKNOWN, why=MALFORMED),
    Case("garbage", garbage, UNKNOWN, why=MALFORMED),
    Case("fewer records than said", more_than_it_has, UNKNOWN, why=MALFORMED),
    Case("a parked domain", records("@ 300 A 203.0.113.80"), FOUND, ("203.0.113.80",)),
    Case("127.255.255.252", records("@ 300 A 127.255.255.252"), FOUND, ("127.255.255.252",)),
    Case("127.255.255.254", records("@ 300 A 127.255.255.254"), FOUND, ("127.255.255.254",)),
    Case("127.255.255.255", records("@ 300 A 127.255.255.255"), FOUND, ("127.255.255.255",)),
    Case("text beside an address", text, FOUND, ("127.0.0.2",), is_listing=True),
    Case("text in place of an address", only_text, NOTHING),
    Case("IPv6 in place of IPv4", records("@ 300 AAAA ::ffff:127.0.0.2"), NOTHING),
    Case("another port", from_another_port, UNKNOWN, why=LATE),
    Case("another address", from_another_address, UNKNOWN, why=LATE),
    Case("after the deadline", after_the_deadline, UNKNOWN, why=LATE, linger=0.4),
    Case("twice", twice, FOUND, ("127.0.0.2",), is_listing=True, linger=0.1),
    Case("slowly", slowly, FOUND, ("127.0.0.2",), is_listing=True),
]


LOOPS: list[NewLoop] = [uvloop.new_event_loop, asyncio.new_event_loop]


def answered(case: Case, new_loop: NewLoop) -> Answer:
    with NameServer(case.behave, tcp=case.tcp) as server:
        timeout = TIMEOUT if case.why == LATE else 10 * TIMEOUT  # which is not the point of the others
        (answer,) = ask([server.address], case.question, timeout=timeout, linger=case.linger, new_loop=new_loop)
    assert server.asked, "it was never asked"
    return answer


@pytest.fixture(scope="module")
def late() -> Iterator[dict[tuple[str, NewLoop], Future[Answer]]]:
    """The answers to those cases that wait for nothing, which they do at the same time."""
    cases = [(case, new_loop) for case in CASES for new_loop in LOOPS if case.why == LATE]
    with ThreadPoolExecutor(len(cases)) as pool:
        yield {(case.name, new_loop): pool.submit(answered, case, new_loop) for case, new_loop in cases}


@pytest.mark.slow
@pytest.mark.parametrize("new_loop", LOOPS, ids=["uvloop", "asyncio"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_what_the_desk_answers(case: Case, new_loop: NewLoop, late: dict[tuple[str, NewLoop], Future[Answer]]) -> None:
    """Once, in time, and with addresses only; what is listed is in 127.0.0.0/8 and no error code."""
    answer = late[case.name, new_loop].result(30) if case.why == LATE else answered(case, new_loop)
    assert (case.state, case.values) == (answer.state, answer.values)
    assert case.why == answer.why
    assert case.is_listing is any(value in EVERYTHING for value in answer.values)


def test_a_wildcard_zone_lists_everybody() -> None:
    """To the desk that is a listing like any other: it takes the self-test of dns/zones to see it (test_dns_zones)."""
    with NameServer(records("@ 300 A 127.0.0.2")) as server:
        answers = ask([server.address], *(listing(f"192.0.2.{last}", "l.example") for last in range(5)))
    assert {("127.0.0.2",)} == {answer.values for answer in answers}


def test_a_server_that_is_not_there() -> None:
    """Nobody has the port: that is known at once, and no opinion."""
    with NameServer(says_nothing) as server:
        address = server.address
    (answer,) = ask([address], LISTED)
    assert (UNKNOWN, "the name server cannot be reached") == (answer.state, answer.why)
    assert answer.ms < 500


PTR = "7.2.0.192.in-addr.arpa"


def reverse(names: Sequence[str], forward: dict[str, Callable[[Query], dns.message.Message | None]]) -> Behaviour:
    """A server with PTR records, and what it says of these names."""

    def behave(query: Query) -> None:
        if query.asked.name == PTR:
            query.send(query.reply(*(f"@ 300 PTR {name}" for name in names)))
        elif (reply := forward.get(query.asked.name, Query.reply)(query)) is not None:
            query.send(reply)

    return behave


def has_it(query: Query) -> dns.message.Message:
    return query.reply("@ 300 A 192.0.2.7")


def has_another(query: Query) -> dns.message.Message:
    return query.reply("@ 300 A 198.51.100.1")


def fails(query: Query) -> dns.message.Message:
    return query.reply(rcode=dns.rcode.SERVFAIL)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("names", "forward", "state", "values", "confirmed"),
    [
        (["a.example."], {"a.example": has_it}, FOUND, ("a.example",), 1),
        (["A.Example."], {"A.Example": has_it, "a.example": has_it}, FOUND, ("a.example",), 1),
        (["a.example."], {"a.example": has_another}, FOUND, ("a.example",), 0),
        (["a.example."], {}, FOUND, ("a.example",), 0),
        (["a.example."], {"a.example": fails}, UNKNOWN, ("a.example",), 0),
        (["a.example."], {"a.example": lambda query: None}, UNKNOWN, ("a.example",), 0),
        (["a.example.", "b.example."], {"b.example": has_it}, FOUND, ("b.example", "a.example"), 1),
        (
            ["a.example.", "b.example."],
            {"a.example": lambda query: None, "b.example": has_it},
            FOUND,
            ("b.example", "a.example"),
            1,
        ),
        (["\\013\\010550.example.", "a\\.b.example.", "<b>.example.", "\\027[2J.", "\\255."], {}, NOTHING, (), 0),
        (["\\000.example.", "a.example."], {"a.example": has_it}, FOUND, ("a.example",), 1),
        (["."], {}, NOTHING, (), 0),
        ([], {}, NOTHING, (), 0),
    ],
)
def test_the_names_of_an_address(
    names: list[str],
    forward: dict[str, Callable[[Query], dns.message.Message | None]],
    state: State,
    values: tuple[str, ...],
    confirmed: int,
) -> None:
    """Confirmed by their addresses; no answer to that is no opinion; a name that is no host name is never shown."""
    with NameServer(reverse(names, forward)) as server:
        (answer,) = ask([server.address], names_of("192.0.2.7"))
    assert (state, set(values), confirmed) == (answer.state, set(answer.values), answer.confirmed)
    assert answer.values[:confirmed] == values[:confirmed]


def test_a_thousand_names_of_an_address() -> None:
    """Thirty-two are told, five are looked up."""
    with NameServer(reverse([f"n{number}.example." for number in range(1000)], {})) as server:
        (answer,) = ask([server.address], names_of("192.0.2.7"), timeout=10 * TIMEOUT)
    assert (FOUND, 32, 0) == (answer.state, len(answer.values), answer.confirmed)
    assert 5 == len({asked.name for asked in server.asked if asked.kind == "A"})


def test_the_addresses_of_a_name() -> None:
    """A and AAAA, both asked."""

    def behave(query: Query) -> None:
        query.send(query.reply("@ 300 A 192.0.2.7") if query.asked.kind == "A" else query.reply("@ 300 AAAA 2001:DB8:0:0::7"))

    with NameServer(behave) as server:
        (answer,) = ask([server.address], addresses_of("h.example"))
    assert (FOUND, {"192.0.2.7", "2001:db8::7"}) == (answer.state, set(answer.values))


@pytest.mark.slow
def test_a_dead_server_is_passed_over() -> None:
    """The questions of the first moment wait for it; later ones go to the next server first, also when the channel is renewed."""
    with NameServer(says_nothing) as dead, NameServer(records("@ 300 A 127.0.0.2")) as alive:

        async def three_channels() -> tuple[list[Answer], int]:
            loop = asyncio.get_running_loop()
            settings = Settings(servers=(dead.address, alive.address), timeout=4.5, max_queries=10_000)
            desk = Desk(loop, SystemClock(), settings)
            answers: list[Answer] = []
            at_first = 0
            for number in range(4 * QUERIES):
                if number == 2 * QUERIES:
                    at_first = len(dead.asked)
                desk.ask(listing(f"10.0.{number >> 8}.{number & 255}", "l.example"), answers.append)
                while len(answers) <= number - 50:
                    await asyncio.sleep(0.001)
            while len(answers) < 4 * QUERIES:
                await asyncio.sleep(0.01)
            desk.close()
            return answers, at_first

        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            answers, at_first = runner.run(three_channels())
    assert {FOUND} == {answer.state for answer in answers}
    assert 50 <= at_first <= 150
    # A server that has failed is tried now and then; by a copy of a query, so that nobody waits for it.
    assert len(dead.asked) - at_first < 50
    assert max(answer.ms for answer in answers[2 * QUERIES :]) < 1350


@pytest.mark.slow
def test_a_server_that_is_quick_as_a_rule_is_waited_for() -> None:
    """c-ares learns to expect quick answers; one that takes a resolver its time is heard all the same, within the timeout."""

    first_asked: list[float] = []

    def behave(query: Query) -> None:
        """As a resolver does: all who ask meanwhile are answered when it has found the answer."""
        if query.asked.name.startswith("99."):
            first_asked.append(time.monotonic())
            query.send_later(max(0.0, first_asked[0] + 1.5 - first_asked[-1]), listed(query))
        else:
            listed_at_once(query)

    listed_at_once = records("@ 300 A 127.0.0.2")
    with NameServer(behave) as server:
        questions = [listing(f"192.0.2.{last}", "l.example") for last in range(40)]

        async def quick_ones_first() -> list[Answer]:
            desk = Desk(asyncio.get_running_loop(), SystemClock(), Settings(servers=(server.address,), timeout=3.0))
            answers: list[Answer] = []
            for number, question in enumerate([*questions, listing("192.0.2.99", "l.example")]):
                desk.ask(question, answers.append)
                while len(answers) <= number:
                    await asyncio.sleep(0.002)
            desk.close()
            return answers

        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            answers = runner.run(quick_ones_first())
    assert {FOUND} == {answer.state for answer in answers}
    assert 1400 < answers[-1].ms < 2000
    assert len(first_asked) <= 4


@pytest.mark.slow
def test_ids_and_ports_are_drawn_at_random() -> None:
    """5,000 queries: nearly as many ids as chance has them, from several ports, none of them next to one another."""
    with NameServer(records("@ 300 A 127.0.0.2")) as server:

        async def five_thousand() -> None:
            loop = asyncio.get_running_loop()
            desk = Desk(loop, SystemClock(), Settings(servers=(server.address,), max_queries=500, timeout=5.0))
            answered: list[Answer] = []
            for number in range(5000):
                desk.ask(listing(f"10.0.{number >> 8}.{number & 255}", "l.example"), answered.append)
                while desk.open >= 300:
                    await asyncio.sleep(0.002)
            while len(answered) < 5000:
                await asyncio.sleep(0.01)
            desk.close()
            assert {FOUND} == {answer.state for answer in answered}

        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(five_thousand())
    first_asked = {asked.name: asked for asked in reversed(server.asked)}.values()
    ids = [asked.id for asked in first_asked]
    assert 5000 == len(ids)
    assert 4000 < len(set(ids))
    assert 3 <= len({asked.port for asked in first_asked})
    steps = [abs(after - before) for before, after in itertools.pairwise(ids)]
    assert sum(step < 100 for step in steps) < 50
