"""Facts that are told by hand."""

from __future__ import annotations

import pytest

from tarry.core.facts import Answer, State, addresses_of, domain_listing, listing, names_of
from tarry.rehearsal.given import Fact, Given, read_fact, unknown
from tests.rehearsal.situations import ADDRESS, given, nobody, seconds

LISTED = listing(ADDRESS, "bl.example")


@pytest.mark.parametrize(
    ("text", "fact"),
    [
        ("bl.example=127.0.0.4", Fact("bl.example", State.FOUND, ("127.0.0.4",))),
        ("BL.example. = 127.0.0.4 , 127.0.0.2", Fact("bl.example", State.FOUND, ("127.0.0.4", "127.0.0.2"))),
        ("bl.example=127.0.0.4@2.5s", Fact("bl.example", State.FOUND, ("127.0.0.4",), 2.5)),
        ("bl.example=", Fact("bl.example", State.NOTHING)),
        ("names=Nothing", Fact("names", State.NOTHING)),
        ("names=unknown@1s", Fact("names", State.UNKNOWN, after=1.0)),
        ("names=Mail.Example.Org.", Fact("names", State.FOUND, ("mail.example.org",))),
        ("addresses=2001:DB8::1,::ffff:192.0.2.7", Fact("addresses", State.FOUND, ("2001:db8::1", "192.0.2.7"))),
    ],
)
def test_a_fact_is_read(text: str, fact: Fact) -> None:
    """A source, values in normal form, and when they come."""
    assert fact == read_fact(text, seconds)


@pytest.mark.parametrize("text", ["", "bl.example", "=127.0.0.2", "bl.example=yes", "addresses=mail.example.org", "names=a@soon"])
def test_what_is_no_fact_is_told_in_words(text: str) -> None:
    """As a ValueError."""
    with pytest.raises(ValueError, match=r"\w"):
        read_fact(text, seconds)


def test_a_fact_answers_the_questions_about_its_source() -> None:
    """About addresses and domains alike; what is not given is asked further."""
    facts = Given([read_fact("bl.example=127.0.0.4@1s", seconds)], ADDRESS, 3.0, unknown)
    domain = domain_listing("b.example", "bl.example")
    found = facts.look([LISTED, names_of(ADDRESS), domain])
    assert [
        Answer(LISTED, State.FOUND, ("127.0.0.4",), ms=1000.0),
        Answer(names_of(ADDRESS), State.UNKNOWN, why="not looked up"),
        Answer(domain, State.FOUND, ("127.0.0.4",), ms=1000.0),
    ] == list(found)


def test_nothing_is_asked_further_where_all_is_given() -> None:
    """Nobody is bothered."""
    assert [State.NOTHING] == [one.state for one in Given([Fact("bl.example", State.NOTHING)], ADDRESS, 3.0, nobody).look([LISTED])]


@pytest.mark.parametrize(("after", "state"), [("3s", State.FOUND), ("3.1s", State.UNKNOWN)])
def test_an_answer_after_the_timeout_is_none(after: str, state: State) -> None:
    """It is Unknown when the time is over."""
    (answer,) = given(f"bl.example=127.0.0.2@{after}").look([LISTED])
    assert (state, 3000.0) == (answer.state, answer.ms)


def test_what_is_said_to_be_unknown_is() -> None:
    """With a reason."""
    (answer,) = given("bl.example=unknown").look([LISTED])
    assert (State.UNKNOWN, "said to be unknown") == (answer.state, answer.why)


def test_several_facts_of_a_source_add_up() -> None:
    """In their order, and the last to come tells when."""
    (answer,) = given("bl.example=127.0.0.2@1s", "bl.example=127.0.0.4").look([LISTED])
    assert (("127.0.0.2", "127.0.0.4"), 1000.0) == (answer.values, answer.ms)


@pytest.mark.parametrize(
    ("facts", "confirmed"),
    [((), 1), ((f"addresses={ADDRESS}",), 1), (("addresses=192.0.2.9",), 0), (("addresses=nothing",), 0)],
)
def test_names_are_confirmed_unless_addresses_say_otherwise(facts: tuple[str, ...], confirmed: int) -> None:
    """Addresses have nothing to be confirmed."""
    names, addresses = given("names=mail.example.org", *facts).look([names_of(ADDRESS), addresses_of("mail.example.org")])
    assert (confirmed, 0) == (names.confirmed, addresses.confirmed)


def test_what_nobody_asks_is_known() -> None:
    """So that it can be told."""
    facts = given("bl.example=127.0.0.2", "other.example=127.0.0.2")
    facts.look([LISTED])
    assert ("other.example",) == facts.unasked
