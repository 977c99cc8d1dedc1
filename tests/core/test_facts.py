"""Tests of what can be asked about a client."""

from __future__ import annotations

import gc

import pytest

from tarry.core.facts import Answer, Kind, Question, State, addresses_of, domain_listing, listing, names_of, reversed_address


def test_an_ipv4_address_is_asked_for_with_its_octets_reversed() -> None:
    """RFC 5782 §2.1."""
    assert listing("192.0.2.99", "bl.example") == Question(Kind.LISTED, "99.2.0.192.bl.example", "bl.example")


def test_an_ipv6_address_is_asked_for_with_its_nibbles_reversed() -> None:
    """RFC 5782 §2.4, with its own example."""
    assert (
        listing("2001:db8:1:2:3:4:567:89ab", "ugly.example.com").name
        == "b.a.9.8.7.6.5.0.4.0.0.0.3.0.0.0.2.0.0.0.1.0.0.0.8.b.d.0.1.0.0.2.ugly.example.com"
    )


def test_a_domain_stands_before_its_zone_as_it_is() -> None:
    """RFC 5782 §4."""
    assert domain_listing("mail.example", "dbl.example").name == "mail.example.dbl.example"


def test_what_is_no_address_cannot_be_reversed() -> None:
    """A Unix socket's name asks no list."""
    with pytest.raises(ValueError):
        reversed_address("unix:/run/x")


def test_a_question_is_named_in_records_by_its_zone_or_its_kind() -> None:
    """The zone for a list, the kind for the rest."""
    assert [one.source for one in (listing("192.0.2.1", "bl.example"), names_of("192.0.2.1"), addresses_of("a.example"))] == [
        "bl.example",
        "names",
        "addresses",
    ]


def test_the_garbage_collector_need_not_look_at_questions_and_answers() -> None:
    """There are thousands of them while clients are held, and no cycle can go through one."""
    question = listing("192.0.2.1", "bl.example")
    assert [False, False] == [gc.is_tracked(one) for one in (question, Answer(question, State.FOUND, ("127.0.0.2",)))]
