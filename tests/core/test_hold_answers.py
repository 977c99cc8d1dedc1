"""A held client about which answers come: early greetings, refusals, classes of holds."""

from __future__ import annotations

import re
from ipaddress import ip_network
from itertools import permutations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tarry.checks.dnslists import DnsLists, Options
from tarry.checks.dynamic_name import DynamicName
from tarry.checks.pregreet import Pregreet
from tarry.checks.ptr import Ptr
from tarry.checks.values.zone import Zone
from tarry.core.admission import Networks
from tarry.core.border import Due, Emit, Greet, HoldEffect, Readable, Refuse, Wait
from tarry.core.facts import Answer, State, listing, names_of
from tarry.core.hold import class_of, wait_of
from tarry.core.policy import HoldClass, Policy, Score, Span
from tarry.core.result import Action, Reason
from tarry.record import schema
from tests.playbook import Playbook, armed, at, comes, ends, told

CLIENT = "192.0.2.7"
ZONES = (Zone(zone="bl.example", weight=2.0), Zone(zone="good.example", weight=-3.0))
BLOCKED, CLEAR, LOST = (
    Answer(listing(CLIENT, "bl.example"), State.FOUND, ("127.0.0.2",)),
    Answer(listing(CLIENT, "bl.example"), State.NOTHING),
    Answer(listing(CLIENT, "bl.example"), State.UNKNOWN, why="SERVFAIL"),
)
GOOD = listing(CLIENT, "good.example")
ALLOWED, NOT_ALLOWED = Answer(GOOD, State.FOUND, ("127.0.0.2",)), Answer(GOOD, State.NOTHING)
NO_NAME, DYNAMIC = Answer(names_of(CLIENT), State.NOTHING), Answer(names_of(CLIENT), State.FOUND, ("dsl7.isp.example",), 1)
SERVER = Answer(names_of(CLIENT), State.FOUND, ("mail.example.com",), 1)

LONG = HoldClass("dubious", Span(20.0, 40.0), reasons=frozenset({"dnslists.listed", "ptr.none", "dynamic_name"}))
NONE = HoldClass("known", Span(0.0, 0.0), allowed=True)
SHORT = HoldClass("new", Span(1.0, 3.0), unknown=True)


def lists(action: Action = Action.DELAY, **changes: Any) -> Policy:
    """Return a policy of two lists and the names of clients, as the operator may set them up."""
    checks = (
        armed(Pregreet()),
        armed(DnsLists(), options=Options(zones=ZONES), action=action),
        armed(Ptr(), action=Action.TAG),
        armed(DynamicName(), action=Action.TAG),
    )
    return Policy(checks=checks, **changes)


def reason(code: str, list_: str, weight: float, action: Action = Action.DELAY) -> Emit:
    return Emit(schema.Reason("dnslists", code, "hold", f"{list_}=127.0.0.2", weight, action.word, list_))


# The end of a hold.


def test_an_allow_listed_client_is_greeted_at_once() -> None:
    """As soon as that is known; the silence of the rest of the hold is not waited for."""
    play = Playbook(lists())
    assert play >> comes("0.1s", ALLOWED) << [told(ALLOWED), reason("allowed", "good.example", -3.0), Greet()]


def test_a_client_that_both_lists_have_is_greeted_when_they_come_to_less_than_the_threshold() -> None:
    """2 - 3 = -1, which is score.allow; what the block list says is a tag then."""
    play = Playbook(lists()) >> comes("0.1s", BLOCKED)
    assert play << [told(BLOCKED), reason("listed", "bl.example", 2.0)]
    tagged = Emit(schema.Verdict("hold", "tag", ("dnslists.listed",)))
    assert play >> comes("0.2s", ALLOWED) << [told(ALLOWED), reason("allowed", "good.example", -3.0), tagged, Greet()]


@pytest.mark.parametrize("allow", [0.0, -4.0])
def test_an_allow_list_that_does_not_suffice_greets_nobody_early(allow: float) -> None:
    """With score.allow at 0 none does."""
    play = Playbook(lists(score=Score(allow=allow)))
    assert play >> comes("0.1s", ALLOWED) << [told(ALLOWED), reason("allowed", "good.example", -3.0)]


def test_an_allow_listed_client_that_has_talked_waits() -> None:
    """Whoever speaks first is not greeted early for being known elsewhere."""
    play = Playbook(lists(end_early=False)) >> at("0.1s", Readable(b"EHLO x\r\n")) >> comes("0.2s", ALLOWED)
    assert play << [told(ALLOWED), reason("allowed", "good.example", -3.0)]


def test_a_listed_client_is_refused_at_connect() -> None:
    """With an action that refuses, once the allow list has said nothing for it; the reply names the list."""
    play = Playbook(lists(Action.REJECT)) >> comes("0.1s", BLOCKED)
    assert play << [told(BLOCKED), reason("listed", "bl.example", 2.0, Action.REJECT)]
    play = play >> comes("0.2s", NOT_ALLOWED) >> comes("0.3s", SERVER)
    refusal = next(one for one in play.effects if isinstance(one, Refuse)).reply
    assert b"554 5.7.1 Your address is on a DNS list (bl.example) [k3x9]\r\n" == refusal.raw


@pytest.mark.parametrize("changed", [{"observe": True}, {"end_early": False}])
def test_nobody_is_refused_early_otherwise(changed: dict[str, bool]) -> None:
    """Not while tarry only observes, nor where holds are waited out."""
    play = Playbook(lists(Action.REJECT, **changed))
    for number, answer in enumerate((BLOCKED, NOT_ALLOWED, SERVER)):
        play = play >> comes(f"0.{number}s", answer)
        assert [] == ends(play.effects)
    play = play >> at("4s", Due())
    assert [Greet if changed.get("observe") else Refuse] == [type(one) for one in ends(play.effects)]


def test_no_answer_is_no_opinion() -> None:
    """It is told, refuses nobody and greets nobody early."""
    unknown = Emit(schema.Outcome("dnslists", "unknown", "bl.example: SERVFAIL"))
    assert Playbook(lists(Action.DROP)) >> comes("1s", LOST) << [told(LOST), unknown]


def test_what_is_missing_when_the_hold_is_over_is_unknown() -> None:
    """Each question is told with the check that asked it first, and the client is greeted in time."""
    play = Playbook(lists(Action.DROP)) >> comes("1s", CLEAR) >> at("4s", Due())
    assert [
        Emit(schema.Outcome("dnslists", "unknown", "no answer from good.example within the hold")),
        Emit(schema.Outcome("ptr", "unknown", "no answer from names within the hold")),
        Emit(schema.Outcome("pregreet", "passed")),
        Greet(),
    ] == list(play.effects)


# Classes.


def test_a_client_of_a_class_waits_for_its_time() -> None:
    """The draw stays: half of the way in one range is half of the way in the other. Nothing is told where nothing changes."""
    play = Playbook(lists(classes=(LONG,))) >> comes("0.5s", BLOCKED)
    assert [Emit(schema.Wait("dubious", 30.0)), Wait(30.0)] == list(play.effects)[2:]
    assert "dubious" == play.held.wait_class
    play = play >> comes("0.6s", NO_NAME)
    assert [] == [one for one in play.effects if isinstance(one, Wait)]


def test_a_class_may_be_left_again() -> None:
    """Who looked new turns out to be listed, and then to be allow-listed by enough."""
    rules = lists(classes=(NONE, LONG, SHORT), score=Score(allow=-1.0))
    play = Playbook(rules) >> comes("0.1s", SERVER)
    assert Wait(2.0) == list(play.effects)[-1]
    play = play >> comes("0.2s", BLOCKED)
    assert Wait(30.0) == list(play.effects)[-1]
    play = play >> comes("0.3s", ALLOWED)
    assert [Greet()] == ends(play.effects)


@pytest.mark.parametrize(
    ("answers", "expected"),
    [((), "new"), ((BLOCKED,), "dubious"), ((NO_NAME,), "dubious"), ((DYNAMIC,), "dubious"), ((SERVER, CLEAR), "new")],
)
def test_which_class_the_answers_make(answers: tuple[Answer, ...], expected: str) -> None:
    """A check, or one of its codes; who is neither for nor against is unknown."""
    rules = lists(classes=(NONE, LONG, SHORT))
    play = Playbook(rules)
    for answer in answers:
        play = play >> comes("1s", answer)
    found = class_of(CLIENT, b"\xc0\x00\x02\x07", play.held.reasons, rules)
    assert expected == (found.name if found else "")


NETWORK = HoldClass("ours", Span(0.0, 0.0), networks=Networks.of((ip_network("192.0.2.0/24"),)))
MATCHED = HoldClass("matched", Span(5.0, 5.0), patterns=(re.compile(r"^192\."),))
ALL = HoldClass("all", Span(9.0, 9.0))
LISTED = Reason("dnslists", "listed", weight=1.0, subject="bl.example")
IGNORED = Reason("gone", "code")


@pytest.mark.parametrize(
    ("classes", "reasons", "expected"),
    [
        ((), (), ""),
        ((LONG,), (), ""),
        ((LONG,), (LISTED,), "dubious"),
        ((LONG,), (Reason("dnslists", "allowed", weight=-1.0),), ""),
        ((NONE,), (Reason("dnslists", "allowed", weight=-1.0),), "known"),
        ((NONE,), (Reason("dnslists", "allowed", weight=-1.0), LISTED), ""),
        ((SHORT,), (LISTED,), ""),
        ((SHORT,), (IGNORED,), "new"),
        ((SHORT,), (Reason("dnslists", "allowed", weight=-0.5),), "new"),
        ((NETWORK, LONG), (LISTED,), "ours"),
        ((LONG, NETWORK), (LISTED,), "dubious"),
        ((LONG, NETWORK), (), "ours"),
        ((MATCHED,), (), "matched"),
        ((LONG, ALL), (), "all"),
    ],
)
def test_the_first_class_that_fits_counts(classes: tuple[HoldClass, ...], reasons: tuple[Reason, ...], expected: str) -> None:
    """By network, pattern, reason, sum or for everybody; where none fits hold.wait does."""
    rules = lists(classes=classes)
    found = class_of(CLIENT, b"\xc0\x00\x02\x07", reasons, rules)
    assert expected == (found.name if found else "")
    assert (found.wait if found else rules.wait) == wait_of(found, rules)


# Laws.

_answers = st.tuples(
    st.sampled_from((BLOCKED, CLEAR, LOST)), st.sampled_from((ALLOWED, NOT_ALLOWED)), st.sampled_from((NO_NAME, DYNAMIC, SERVER))
)


def outcome(rules: Policy, answers: tuple[Answer, ...]) -> tuple[frozenset[str], str, type[HoldEffect], str]:
    """Return the reasons, how the hold ends when all has been answered and its time has come, and the class of who is greeted."""
    play = Playbook(rules)
    for answer in answers:
        play = play >> comes("1s", answer)
        ended = ends(play.effects)
        if ended:
            break
    else:
        play = play >> at("9s", Due())
        ended = ends(play.effects)
    (end,) = ended
    names = frozenset(f"{one.name} {one.subject}" for one in play.held.reasons)
    if isinstance(end, Refuse):  # at once, with the last answer: nobody asks any more of what class it would have been
        return names, "", Refuse, end.reply.last_line.decode()
    return names, play.held.wait_class, type(end), ""


@given(answers=_answers, action=st.sampled_from(Action), observe=st.booleans(), end_early=st.booleans())
def test_the_order_of_answers_does_not_matter(answers: tuple[Answer, ...], action: Action, observe: bool, end_early: bool) -> None:
    """The same reasons, class and end come of the same answers, where nobody is greeted before all are there."""
    rules = lists(action, classes=(NONE, LONG, SHORT), score=Score(allow=0.0), observe=observe, end_early=end_early)
    assert 1 == len({outcome(rules, order) for order in permutations(answers)})


@given(answers=_answers)
def test_who_ends_up_refused_is_refused_in_any_order(answers: tuple[Answer, ...]) -> None:
    """Also where an allow list greets early: it greets only whom no order would refuse."""
    rules = lists(Action.REJECT, score=Score(allow=-1.0))
    assert 1 == len({outcome(rules, order)[2] for order in permutations(answers)})


def test_answers_do_not_make_the_greeting_later() -> None:
    """Without a class that waits longer nothing but the timer ends a hold of who is only to be delayed."""
    play = Playbook(lists())
    for answer in (BLOCKED, NOT_ALLOWED, NO_NAME):
        play = play >> comes("1s", answer)
        assert [] == [one for one in play.effects if isinstance(one, Wait | Greet | Refuse)]
