"""dnslists: the client's address in DNS lists."""

from __future__ import annotations

from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tarry.checks.dnslists import DnsLists, Options
from tarry.checks.values.zone import Answers, Zone
from tarry.core.border import Answered, Arrived, Hello
from tarry.core.check import About, Seen
from tarry.core.client import Phase
from tarry.core.facts import Answer, Question, State, domain_listing, listing, names_of
from tarry.core.result import PASSED, Failed, Outcome, Unknown
from tests.checks.looking import codes, looks, says_unknown_elsewhere

CLIENT = "192.0.2.7"
A, B, GOOD = "a.example", "b.example", "good.example"
OPTIONS = Options(
    zones=(
        Zone(zone=A, answers=Answers("127.0.0.2..11"), weight=3.0),
        Zone(zone=A, answers=Answers("127.0.0.10"), weight=-1.0),
        Zone(zone=f"key.{B}", name="B"),
        Zone(zone=GOOD, weight=-2.0),
    )
)


def answer(zone: str, *values: str, state: State | None = None, why: str = "", client: str = CLIENT) -> Answer:
    return Answer(listing(client, zone), state or (State.FOUND if values else State.NOTHING), values, why=why)


def found(*answers: Answer, client: str = CLIENT, options: Options = OPTIONS) -> tuple[Outcome, ...]:
    """Return what the check finds in the last of the answers, with all of them known."""
    facts = {one.question: one for one in answers}
    return looks(DnsLists(), Answered(answers[-1]), options, About(client, facts=facts))


LISTED = f"{A} 127.0.0.2..11"
TABLE: list[tuple[Answer, Outcome | None]] = [
    (answer(A, "127.0.0.4"), Failed("listed", f"{A}=127.0.0.4", LISTED, 3.0)),
    (answer(A, "127.0.0.12"), None),
    (answer(A), None),
    (answer(f"key.{B}", "127.0.0.2"), Failed("listed", "B=127.0.0.2", "B", 1.0)),
    (answer(GOOD, "127.0.1.2"), Failed("allowed", f"{GOOD}=127.0.1.2", GOOD, -2.0)),
    (answer(GOOD, "127.255.255.254"), Unknown(f"{GOOD} answers 127.255.255.254: an error code, not a listing")),
    (answer(A, "198.51.100.9"), Unknown(f"{A} answers 198.51.100.9: not in 127.0.0.0/8, so no listing")),
    (answer(A, state=State.UNKNOWN, why="SERVFAIL"), Unknown(f"{A}: SERVFAIL")),
]


@pytest.mark.parametrize(("one", "outcome"), TABLE, ids=repr)
def test_what_one_answer_says(one: Answer, outcome: Outcome | None) -> None:
    """A listing fails at once; where nothing is listed the check waits for the other zones; no answer is unknown."""
    assert (() if outcome is None else (outcome,)) == found(one)


def test_a_zone_may_stand_several_times() -> None:
    """Each row that counts the answer is a finding of its own, with its weight."""
    assert (
        Failed("listed", f"{A}=127.0.0.10", LISTED, 3.0),
        Failed("allowed", f"{A}=127.0.0.10", f"{A} 127.0.0.10", -1.0),
    ) == found(answer(A, "127.0.0.10"))


CLEAR = (answer(A), answer(f"key.{B}"), answer(GOOD))


def test_it_passes_when_no_zone_lists_the_client() -> None:
    """With the last answer, in whatever order they come."""
    for order in permutations(CLEAR):
        assert [(), (), (PASSED,)] == [found(*order[: count + 1]) for count in range(3)]


@pytest.mark.parametrize(
    "other",
    [
        answer(A, "127.0.0.4"),
        answer(A, "127.255.255.254"),
        answer(A, state=State.UNKNOWN, why="timeout"),
    ],
    ids=repr,
)
def test_it_does_not_pass_otherwise(other: Answer) -> None:
    """Who is listed, or may be, is not cleared by the last zone."""
    assert () == found(other, *CLEAR[1:])


def test_an_answer_that_no_row_counts_is_a_pass() -> None:
    """The filter has said that it is no listing."""
    assert (PASSED,) == found(answer(A, "127.0.0.12"), *CLEAR[1:])


@pytest.mark.parametrize(
    "other",
    [
        answer("other.example", "127.0.0.2"),
        answer(A, "127.0.0.2", client="192.0.2.8"),
        Answer(names_of(CLIENT), State.FOUND, ("mail.example",), 1),
        Answer(domain_listing("spam.example", A), State.FOUND, ("127.0.0.2",)),
    ],
    ids=repr,
)
def test_the_answers_of_others_are_not_looked_at(other: Answer) -> None:
    """Nor those about anything but this client."""
    assert () == found(other)


def asked(client: str, options: Options = OPTIONS) -> tuple[Question, ...]:
    return DnsLists().asks(Seen(Arrived(), Phase.CONNECT, 0.0, About(client)), options)


def test_what_it_asks() -> None:
    """Each zone once about the address, octets or nibbles reversed; only when the client arrives."""
    assert [f"7.2.0.192.{zone}" for zone in (A, f"key.{B}", GOOD)] == [question.name for question in asked(CLIENT)]
    assert ["7" + ".0" * 23 + f".8.b.d.0.1.0.0.2.{A}"] == [question.name for question in asked("2001:db8::7")][:1]
    assert () == DnsLists().asks(Seen(Hello("EHLO", "x.example", 1), Phase.HELO, 0.0, About(CLIENT)), OPTIONS)


@pytest.mark.parametrize("client", ["", "unix", "/run/tarry.sock", "fe80::1%eth0"])
def test_a_client_without_an_address_is_not_asked_about(client: str) -> None:
    """A Unix socket, or an address that only means something on its link."""
    assert () == asked(client)


def test_nothing_is_asked_by_default() -> None:
    """There are no zones, and nobody is needed to look things up."""
    assert () == asked(CLIENT, Options())
    assert (False, True) == (DnsLists().may_ask(Options()), DnsLists().may_ask(OPTIONS))


@given(order=st.permutations([*CLEAR[1:], answer(A, "127.0.0.4", "127.0.0.10")]))
def test_the_order_of_answers_does_not_matter(order: list[Answer]) -> None:
    """The same findings come of the same answers."""
    outcomes = {outcome for count in range(1, 4) for outcome in found(*order[:count])}
    assert {
        Failed("listed", f"{A}=127.0.0.4,127.0.0.10", LISTED, 3.0),
        Failed("allowed", f"{A}=127.0.0.10", f"{A} 127.0.0.10", -1.0),
    } == outcomes


def test_its_codes() -> None:
    """Each declared code can be had, and no other; elsewhere it says unknown."""
    assert set(DnsLists.codes) == codes(TABLE)
    assert says_unknown_elsewhere(DnsLists())
