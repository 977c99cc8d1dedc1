"""What a question takes in queries, and how their replies add up."""

from __future__ import annotations

import itertools

import pytest

from tarry.core.facts import Question, State, addresses_of, domain_listing, listing, names_of
from tarry.dns.channel import AAAA, PTR, A, Reply
from tarry.dns.lookup import FORWARD, Finding, Lookup, lookup
from tests.dns.asking import NONE, SERVFAIL, Servers, found

REVERSE = "7.2.0.192.in-addr.arpa"


class Going:
    """A lookup that has been started, and what it found."""

    def __init__(self, question: Question) -> None:
        self.servers = Servers()
        self.findings: list[Finding] = []
        going = lookup(question, self.findings.append)
        assert going is not None
        self.lookup: Lookup = going
        self.lookup.start(self.servers.query)

    @property
    def finding(self) -> Finding:
        (finding,) = self.findings
        return finding


@pytest.mark.parametrize(
    "question",
    [addresses_of("a..b"), addresses_of("a b"), domain_listing("x" * 300, "l.example"), names_of("unix"), names_of("")],
)
def test_a_name_that_no_query_can_carry(question: Question) -> None:
    """There is nothing to look up."""
    assert lookup(question, lambda finding: None) is None


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (found("127.0.0.2", "127.0.0.4", ttl=7), Finding(State.FOUND, ("127.0.0.2", "127.0.0.4"), ttl=7)),
        (NONE, Finding(State.NOTHING)),
        (SERVFAIL, Finding(State.UNKNOWN, why="SERVFAIL")),
    ],
)
def test_a_listing_is_one_query(reply: Reply, expected: Finding) -> None:
    """The addresses come as they are."""
    going = Going(listing("192.0.2.7", "l.example"))
    assert [("7.2.0.192.l.example", A)] == going.servers.asked
    assert Finding(State.UNKNOWN, why="late") == going.lookup.so_far("late")
    going.servers.reply("7.2.0.192.l.example", A, reply)
    assert expected == going.finding


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        (found("192.0.2.7", ttl=5), NONE, Finding(State.FOUND, ("192.0.2.7",), ttl=5)),
        (found("192.0.2.7", ttl=5), SERVFAIL, Finding(State.FOUND, ("192.0.2.7",), ttl=5)),
        (NONE, found("2001:db8:0::1", ttl=5), Finding(State.FOUND, ("2001:db8::1",), ttl=5)),
        (
            found("192.0.2.7", ttl=9),
            found("::ffff:192.0.2.7", "2001:db8::1", ttl=5),
            Finding(State.FOUND, ("192.0.2.7", "2001:db8::1"), ttl=5),
        ),
        (NONE, NONE, Finding(State.NOTHING)),
        (NONE, SERVFAIL, Finding(State.UNKNOWN, why="SERVFAIL")),
        (SERVFAIL, SERVFAIL, Finding(State.UNKNOWN, why="SERVFAIL")),
    ],
)
@pytest.mark.parametrize("turned", [False, True])
def test_the_addresses_of_a_name_are_of_both_kinds(first: Reply, second: Reply, expected: Finding, turned: bool) -> None:
    """Either is enough to be found, nothing takes both, and it does not matter which comes first."""
    going = Going(addresses_of("h.example"))
    replies = [(A, first), (AAAA, second)]
    for kind, reply in reversed(replies) if turned else replies:
        assert [] == going.findings
        going.servers.reply("h.example", kind, reply)
    finding = going.finding
    assert (expected.state, set(expected.values), expected.ttl, expected.why) == (
        finding.state,
        set(finding.values),
        finding.ttl,
        finding.why,
    )


@pytest.mark.parametrize(
    ("reply", "state"), [(found("192.0.2.7"), State.FOUND), (NONE, State.UNKNOWN), (SERVFAIL, State.UNKNOWN), (None, State.UNKNOWN)]
)
def test_one_kind_alone_at_the_deadline(reply: Reply | None, state: State) -> None:
    """An address that has come counts; that there is none of one kind says nothing of the other."""
    going = Going(addresses_of("h.example"))
    if reply is not None:
        going.servers.reply("h.example", A, reply)
    assert state is going.lookup.so_far("late").state


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (NONE, Finding(State.NOTHING)),
        (SERVFAIL, Finding(State.UNKNOWN, why="SERVFAIL")),
        (found("a b.example", b"\xff", "a\\010b.example"), Finding(State.NOTHING)),
    ],
)
def test_an_address_without_names(reply: Reply, expected: Finding) -> None:
    """Names that are none are dropped; nobody is asked for their addresses."""
    going = Going(names_of("192.0.2.7"))
    going.servers.reply(REVERSE, PTR, reply)
    assert expected == going.finding
    assert [(REVERSE, PTR)] == going.servers.asked


HAS = found("198.51.100.1", "192.0.2.7", ttl=50)
HAS_NOT = found("198.51.100.1", ttl=20)


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        (HAS, HAS, Finding(State.FOUND, ("a.example", "b.example"), 2, 50)),
        (HAS_NOT, HAS, Finding(State.FOUND, ("b.example", "a.example"), 1, 20)),
        (NONE, HAS, Finding(State.FOUND, ("b.example", "a.example"), 1, 0)),
        (SERVFAIL, HAS, Finding(State.FOUND, ("b.example", "a.example"), 1, 50)),
        (HAS_NOT, HAS_NOT, Finding(State.FOUND, ("a.example", "b.example"), 0, 20)),
        (HAS_NOT, NONE, Finding(State.FOUND, ("a.example", "b.example"), 0, 0)),
        (NONE, NONE, Finding(State.FOUND, ("a.example", "b.example"), 0, 0)),
        (HAS_NOT, SERVFAIL, Finding(State.UNKNOWN, ("a.example", "b.example"), why="the addresses of b.example: SERVFAIL")),
        (SERVFAIL, NONE, Finding(State.UNKNOWN, ("a.example", "b.example"), why="the addresses of a.example: SERVFAIL")),
    ],
)
@pytest.mark.parametrize("turned", [False, True])
def test_names_are_confirmed_by_their_addresses(first: Reply, second: Reply, expected: Finding, turned: bool) -> None:
    """One that has the address is enough; that none has it takes an answer for each. The confirmed ones come first."""
    going = Going(names_of("192.0.2.7"))
    going.servers.reply(REVERSE, PTR, found("A.Example.", "b.example", "a.example", "<i>", ttl=90))
    replies = [("a.example", first), ("b.example", second)]
    for name, reply in reversed(replies) if turned else replies:
        assert [] == going.findings
        going.servers.reply(name, A, reply)
    assert expected == going.finding


def test_names_of_an_ipv6_address_are_confirmed_by_aaaa() -> None:
    """In whatever form they are written."""
    going = Going(names_of("2001:db8::7"))
    ((reverse, kind),) = going.servers.asked
    assert reverse.endswith(".8.b.d.0.1.0.0.2.ip6.arpa")
    going.servers.reply(reverse, kind, found("a.example"))
    going.servers.reply("a.example", AAAA, found("2001:0db8:0:0::7"))
    assert (State.FOUND, ("a.example",), 1) == (going.finding.state, going.finding.values, going.finding.confirmed)


def test_of_many_names_a_few_are_looked_up() -> None:
    """The rest are told and not confirmed."""
    going = Going(names_of("192.0.2.7"))
    names = tuple(f"n{number}.example" for number in range(20))
    going.servers.reply(REVERSE, PTR, found(*names))
    assert [(name, A) for name in names[:FORWARD]] == going.servers.asked[1:]
    for name in names[:FORWARD]:
        going.servers.reply(name, A, HAS_NOT)
    assert (State.FOUND, names, 0) == (going.finding.state, going.finding.values, going.finding.confirmed)


@pytest.mark.parametrize("replies", list(itertools.product([None, HAS, HAS_NOT, NONE, SERVFAIL], repeat=2)))
def test_names_at_the_deadline(replies: tuple[Reply | None, ...]) -> None:
    """They are told; FOUND if one is confirmed by then, and otherwise unknown as long as an answer is missing."""
    going = Going(names_of("192.0.2.7"))
    assert Finding(State.UNKNOWN, why="late") == going.lookup.so_far("late")
    going.servers.reply(REVERSE, PTR, found("a.example", "b.example"))
    for name, reply in zip(("a.example", "b.example"), replies, strict=True):
        if reply is not None:
            going.servers.reply(name, A, reply)
    if going.findings:
        assert None not in replies
        return
    finding = going.lookup.so_far("late")
    assert {"a.example", "b.example"} == set(finding.values)
    assert (State.FOUND if HAS in replies else State.UNKNOWN) is finding.state
    assert bool(finding.why) is (finding.state is State.UNKNOWN)


def test_replies_that_come_while_queries_are_sent() -> None:
    """A lookup that has all its answers at once ends once."""
    going = Going(names_of("192.0.2.7"))
    going.servers.at_once = {("a.example", A): NONE, ("b.example", A): HAS}
    going.servers.reply(REVERSE, PTR, found("a.example", "b.example"))
    assert ("b.example", "a.example") == going.finding.values
