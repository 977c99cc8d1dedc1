"""A held client of which something is remembered: karma that greets it, passes that it need not earn again."""

from __future__ import annotations

from typing import Any

import pytest

from tarry.checks.dnslists import DnsLists, Options
from tarry.checks.karma import Karma
from tarry.checks.pregreet import Pregreet
from tarry.checks.values.zone import Zone
from tarry.core.border import Due, Emit, Greet, HoldEffect, Readable, Refuse, Wait
from tarry.core.facts import Answer, State, domain_history_of, history_of, listing
from tarry.core.history import Known
from tarry.core.hold import can_wait
from tarry.core.policy import HoldClass, Policy, Span
from tarry.core.result import Action
from tarry.record import schema
from tests.playbook import Playbook, armed, at, comes, told

CLIENT = "192.0.2.7"
LIST = listing(CLIENT, "bl.example")
LISTED, CLEAR = Answer(LIST, State.FOUND, ("127.0.0.2",)), Answer(LIST, State.NOTHING)
NEW = Answer(history_of(CLIENT), State.NOTHING)
STRANGE = Answer(domain_history_of(CLIENT), State.NOTHING)
GOOD_DOMAIN = Answer(domain_history_of(CLIENT), State.FOUND, known=Known(9.0, 90), domain="example.org")


def known(karma: float = 0.0, *passes: str) -> Answer:
    return Answer(history_of(CLIENT), State.FOUND, known=Known(karma, 9, 9, passes))


def policy(*, zones: bool = False, **changes: Any) -> Policy:
    rows = (Zone(zone="bl.example", weight=2.0),) if zones else ()
    checks = (armed(Pregreet()), armed(Karma()), armed(DnsLists(), options=Options(zones=rows), action=Action.DELAY))
    return Policy(checks=checks, **changes)


def reason(code: str, detail: str, weight: float = 0.0, subject: str = "") -> Emit:
    return Emit(schema.Reason("karma", code, "hold", detail, weight, "tag", subject))


def skipped(check: str) -> Emit:
    return Emit(schema.Outcome(check, "skipped", "passed before"))


def test_a_client_with_good_karma_is_greeted_at_once() -> None:
    """As soon as that is known."""
    good = known(5.5)
    assert Playbook(policy()) >> comes("0.1s", good) << [told(good), reason("good", "karma 5.5 of 9 sessions", -1.0), Greet()]


def test_a_new_address_of_a_good_domain_is_greeted_at_once() -> None:
    """When both are known."""
    play = Playbook(policy()) >> comes("0.1s", NEW) << [told(NEW)]
    assert (
        play
        >> comes("0.2s", GOOD_DOMAIN)
        << [
            told(GOOD_DOMAIN),
            reason("good", "karma 9.0 of example.org", -1.0, "example.org"),
            Greet(),
        ]
    )


def test_a_good_client_that_is_listed_now_waits() -> None:
    """The list weighs more than the karma."""
    play = Playbook(policy(zones=True)) >> comes("0.1s", LISTED)
    listed = schema.Reason("dnslists", "listed", "hold", "bl.example=127.0.0.2", 2.0, "delay", "bl.example")
    play << [told(LISTED), Emit(listed)]
    good = known(5.5)
    assert play >> comes("0.2s", good) << [told(good), reason("good", "karma 5.5 of 9 sessions", -1.0)]


def test_a_good_client_that_has_talked_is_refused() -> None:
    """Karma is no excuse."""
    early = Readable(b"EHLO x\r\n")
    play = Playbook(policy(end_early=False)) >> at("0.1s", early)
    play << [
        Emit(schema.Readable("hold", 8, "EHLO x\\r\\n")),
        Emit(schema.Reason("pregreet", "spoke", "hold", "EHLO x\\r\\n", 0.0, "reject")),
    ]
    good = known(9.0)
    assert play >> comes("0.2s", good) << [told(good), reason("good", "karma 9.0 of 9 sessions", -1.0)]


def test_a_bad_client_may_be_held_for_longer() -> None:
    """By a class of its own; and refused in the hold, where the operator wants that."""
    dubious = HoldClass("dubious", Span(30.0, 30.0), reasons=frozenset({"karma.bad"}))
    bad = known(-6.0)
    play = Playbook(policy(classes=(dubious,))) >> comes("0.1s", bad)
    assert play << [
        told(bad),
        reason("bad", "karma -6.0 of 9 sessions"),
        Emit(schema.Wait("dubious", 30.0)),
        Wait(30.0),
    ]


def test_a_bad_client_may_be_refused() -> None:
    """When all that was asked about it is known."""
    rules = Policy(checks=(armed(Pregreet()), armed(Karma(), action=Action.REJECT)))
    play = Playbook(rules) >> comes("0.1s", STRANGE) << [told(STRANGE)]
    play = play >> comes("0.2s", known(-6.0))
    *_, last = play.effects
    assert isinstance(last, Refuse)


def test_a_client_that_passed_is_not_held_again() -> None:
    """Its pass is told as what it is: the check did not look."""
    passed = known(0.0, "pregreet")
    assert Playbook(policy()) >> comes("0.1s", passed) << [told(passed), skipped("pregreet"), Greet()]


def test_a_list_that_was_not_passed_is_waited_for() -> None:
    """And for nothing else: the hold ends with its answer."""
    passed = known(0.0, "pregreet")
    play = Playbook(policy(zones=True)) >> comes("0.1s", passed) << [told(passed)]
    clear = Emit(schema.Outcome("dnslists", "passed"))
    assert play >> comes("0.2s", CLEAR) << [told(CLEAR), clear, skipped("pregreet"), Greet()]


def test_a_list_that_was_passed_is_not_waited_for() -> None:
    """As with postscreen's dnsbl_ttl."""
    passed = known(0.0, "dnslists", "pregreet")
    play = Playbook(policy(zones=True)) >> comes("0.1s", passed)
    assert play << [told(passed), skipped("dnslists"), skipped("pregreet"), Greet()]


def test_a_pass_is_no_excuse_for_what_is_found_now() -> None:
    """Who passed once, and is listed or bad by now, waits for as long as the operator wants such clients to wait."""
    slow = HoldClass("slow", Span(30.0, 30.0), reasons=frozenset({"karma.bad", "dnslists.listed"}))
    for answers in ((known(-6.0, "pregreet"),), (LISTED, known(0.0, "pregreet")), (known(0.0, "pregreet"), LISTED)):
        play = Playbook(policy(zones=True, classes=(slow,)))
        found: list[HoldEffect] = []
        for number, answer in enumerate((*answers, STRANGE), 1):
            play = play >> comes(f"0.{number}s", answer)
            found += play.effects
        assert Wait(30.0) in found and Greet() not in found


@pytest.mark.parametrize("answer", [known(0.0), known(0.0, "dnslists"), known(0.0, "gone")], ids=repr)
def test_who_has_not_passed_is_held(answer: Answer) -> None:
    """For what it has not passed."""
    assert Playbook(policy()) >> comes("0.1s", answer) << [told(answer)]


def test_a_pass_is_no_excuse_for_talking() -> None:
    """Whoever talks is judged as if it came for the first time."""
    play = Playbook(policy(end_early=False)) >> at("0.1s", Readable(b"EHLO x\r\n"))
    passed = known(0.0, "pregreet")
    play = play >> comes("0.2s", passed)
    assert not any(isinstance(effect, Greet) for effect in play.effects)
    play = play >> at("5s", Due())
    assert isinstance(play.effects[-1], Refuse)


@pytest.mark.parametrize(
    ("answer", "may_wait"),
    [(NEW, True), (STRANGE, True), (known(), False), (GOOD_DOMAIN, False), (CLEAR, True), (LISTED, False)],
    ids=repr,
)
def test_which_answers_may_wait_in_the_room(answer: Answer, may_wait: bool) -> None:
    """Those that change nothing: most clients come for the first time, and cost no more for it."""
    assert may_wait is can_wait(answer, policy(zones=True))
