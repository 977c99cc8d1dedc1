"""Transcripts of held clients, and the laws of the hold."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import replace
from typing import ClassVar

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tarry.checks.dnslists import DnsLists, Options
from tarry.checks.pregreet import Pregreet
from tarry.checks.values.zone import Zone
from tarry.core.border import Answered, Due, Emit, Forget, Greet, HoldEffect, HoldInput, HungUp, Moment, Readable, Refuse
from tarry.core.check import About, Armed, NoOptions, Seen, Settings
from tarry.core.client import Phase
from tarry.core.facts import Answer, Question, State, listing, names_of
from tarry.core.hold import Held, can_wait, step
from tarry.core.policy import HoldClass, Policy, Score, Span
from tarry.core.result import Action, Outcome, Reason, Skipped
from tarry.record import schema
from tarry.smtp.reply import reply
from tests.asking import Listed
from tests.playbook import ACCEPTED_AT, Playbook, at, ends, policy

EHLO = Readable(b"EHLO x\r\n")
PASSED = Emit(schema.Outcome("pregreet", "passed"))
EARLY = Emit(schema.Readable("hold", 8, "EHLO x\\r\\n"))
FIN, RESET = Emit(schema.Hangup("hold", "fin")), Emit(schema.Hangup("hold", "reset"))

REPLIES = {
    Action.DEFER: reply(421, "4.7.1 You spoke before the greeting, try again later [k3x9]"),
    Action.REJECT: reply(554, "5.7.1 You spoke before the greeting [k3x9]"),
    Action.DROP: reply(521, "5.7.1 You spoke before the greeting [k3x9]"),
}


def spoke(action: Action) -> Emit:
    """Return the record of the reason for which pregreet fails."""
    return Emit(schema.Reason("pregreet", "spoke", "hold", "EHLO x\\r\\n", 1.0, action.word))


def verdict(action: Action, *, observed: bool = False) -> Emit:
    return Emit(schema.Verdict("hold", action.word, ("pregreet.spoke",), observed))


def pregreet(action: Action = Action.REJECT, at: Phase | None = Phase.CONNECT, **changes: object) -> Policy:
    """Return a policy of pregreet alone."""
    return policy(Pregreet(), action=action, at=at, weight=1.0, changes=changes)


# Silence.


def test_a_silent_client_is_greeted() -> None:
    """Nothing but the end of its hold happens to it."""
    assert Playbook(pregreet()) >> at("4.5s", Due()) << [PASSED, Greet()]


def test_a_silent_client_is_greeted_where_nothing_is_checked() -> None:
    """Without checks the hold is only a wait."""
    assert Playbook(Policy()) >> at("4.5s", Due()) << [Greet()]
    assert Playbook(Policy()) >> at("1s", EHLO) << [EARLY, Greet()]


# Early talk.


@pytest.mark.parametrize("action", list(REPLIES))
@pytest.mark.parametrize("phase", [None, Phase.CONNECT, Phase.HOLD])
def test_an_early_talker_is_sent_away_at_once(action: Action, phase: Phase | None) -> None:
    """Bytes during the hold end it where the action refuses: one reply in place of the greeting."""
    play = Playbook(pregreet(action, phase))
    assert play >> at("1.2s", EHLO) << [EARLY, spoke(action), verdict(action), Refuse(REPLIES[action])]


@pytest.mark.parametrize("action", list(REPLIES))
@pytest.mark.parametrize("phase", [phase for phase in Phase if phase > Phase.HOLD])
def test_an_early_talker_may_be_greeted_and_refused_later(action: Action, phase: Phase) -> None:
    """With ``at`` beyond the hold it is greeted as usual, and its reason goes with it."""
    play = Playbook(pregreet(action, phase))
    assert play >> at("1.25s", EHLO) << [EARLY, spoke(action), Greet()]
    assert (Reason("pregreet", "spoke", "EHLO x\\r\\n", 1.0, Phase.HOLD, 1.25),) == play.held.reasons


@pytest.mark.parametrize("phase", [None, *Phase])
def test_an_early_talker_that_is_ignored_is_greeted(phase: Phase | None) -> None:
    """The reason is recorded and nothing follows from it."""
    assert Playbook(pregreet(Action.IGNORE, phase)) >> at("1.2s", EHLO) << [EARLY, spoke(Action.IGNORE), Greet()]


@pytest.mark.parametrize("phase", [None, *Phase])
def test_an_early_talker_that_is_to_be_delayed_is_greeted(phase: Phase | None) -> None:
    """The delay comes at ``delay.at``, RCPT, whatever ``at`` says."""
    assert Playbook(pregreet(Action.DELAY, phase)) >> at("1.2s", EHLO) << [EARLY, spoke(Action.DELAY), Greet()]


@pytest.mark.parametrize("phase", [None, Phase.CONNECT, Phase.HOLD])
def test_an_early_talker_that_is_tagged_is_greeted(phase: Phase | None) -> None:
    """A tag is a verdict that sends nobody away."""
    play = Playbook(pregreet(Action.TAG, phase))
    assert play >> at("1.2s", EHLO) << [EARLY, spoke(Action.TAG), verdict(Action.TAG), Greet()]


def test_the_score_does_not_refuse_before_rcpt() -> None:
    """However heavy the reason: the score counts from RCPT on."""
    play = Playbook(pregreet(Action.TAG, score=Score(delay=1.0, reject=1.0)))
    assert play >> at("1.2s", EHLO) << [EARLY, spoke(Action.TAG), verdict(Action.TAG), Greet()]


def test_the_last_millisecond_counts() -> None:
    """Bytes that come just before the greeting are early."""
    play = Playbook(pregreet(Action.DROP))
    assert play >> at("4.499s", EHLO) << [EARLY, spoke(Action.DROP), verdict(Action.DROP), Refuse(REPLIES[Action.DROP])]


def test_the_length_of_early_talk_is_what_was_peeked() -> None:
    """``bytes`` counts what lay there; the text is its escaped beginning."""
    play = Playbook(pregreet(Action.IGNORE))
    text = "\\x16" + "a" * 96
    assert play >> at("1s", Readable(b"\x16" + b"a" * 600)) << [
        Emit(schema.Readable("hold", 601, text)),
        Emit(schema.Reason("pregreet", "tls", "hold", text, 1.0, "ignore")),
        Greet(),
    ]  # fmt: skip


@pytest.mark.parametrize("action", list(REPLIES))
def test_with_end_early_off_the_hold_is_waited_out(action: Action) -> None:
    """The reason is found at once and judged at the end; more talk in between is not looked at again."""
    assert (
        Playbook(pregreet(action, end_early=False))
        >> at("1.2s", EHLO) << [EARLY, spoke(action)]
        >> at("1.3s", Readable(b"EHLO x\r\nMAIL")) << []
        >> at("4.5s", Due()) << [verdict(action), Refuse(REPLIES[action])]
    )  # fmt: skip


def test_with_end_early_off_a_delayed_client_waits_as_long_as_a_silent_one() -> None:
    """And is greeted then."""
    assert (
        Playbook(pregreet(Action.DELAY, end_early=False))
        >> at("1.2s", EHLO) << [EARLY, spoke(Action.DELAY)]
        >> at("4.5s", Due()) << [Greet()]
    )  # fmt: skip


@pytest.mark.parametrize("action", list(REPLIES))
@pytest.mark.parametrize("end_early", [True, False])
def test_observing_refuses_nobody(action: Action, end_early: bool) -> None:
    """The verdict is recorded as observed, and the client is greeted."""
    play = Playbook(pregreet(action, observe=True, end_early=end_early))
    told: list[HoldEffect] = [verdict(action, observed=True), Greet()]
    if end_early:
        assert play >> at("1.2s", EHLO) << [EARLY, spoke(action), *told]
    else:
        assert play >> at("1.2s", EHLO) << [EARLY, spoke(action)] >> at("4.5s", Due()) << told


# Leaving.


def test_a_client_that_half_closes_is_still_held() -> None:
    """A FIN is recorded once, and the client is greeted when its time has come: it may still be reading."""
    assert (
        Playbook(pregreet())
        >> at("1s", HungUp()) << [FIN]
        >> at("2s", HungUp()) << []
        >> at("4.5s", Due()) << [PASSED, Greet()]
    )  # fmt: skip


def test_a_client_that_resets_is_gone() -> None:
    """A RST ends the hold: recorded, never punished."""
    assert Playbook(pregreet()) >> at("1s", HungUp(reset=True)) << [RESET, Forget()]


def test_a_client_that_half_closes_and_resets_left_once() -> None:
    """The survival event is the first one; the second one only frees the descriptor."""
    assert Playbook(pregreet()) >> at("1s", HungUp()) << [FIN] >> at("2s", HungUp(reset=True)) << [Forget()]


def test_talk_that_is_found_after_a_half_close_is_early_talk() -> None:
    """A client that wrote everything and shut its side down has spoken before the greeting."""
    assert (
        Playbook(pregreet(Action.DROP))
        >> at("1s", HungUp()) << [FIN]
        >> at("1s", EHLO) << [EARLY, spoke(Action.DROP), verdict(Action.DROP), Refuse(REPLIES[Action.DROP])]
    )  # fmt: skip


def test_an_early_talker_may_leave_while_it_is_held() -> None:
    """With ``end_early`` off talk, half-close and reset are three facts."""
    assert (
        Playbook(pregreet(Action.DROP, end_early=False))
        >> at("1s", EHLO) << [EARLY, spoke(Action.DROP)]
        >> at("2s", HungUp()) << [FIN]
        >> at("3s", HungUp(reset=True)) << [Forget()]
    )  # fmt: skip


# Checks that do not say yes or no.


class Odd:
    """Skips early talkers and raises at the end of the hold."""

    name = "odd"
    complaint = "You are odd"
    codes: ClassVar[Mapping[str, str]] = {"odd": "is odd"}
    settings = Settings(action=Action.DROP)
    options = NoOptions
    triggers: tuple[type[Moment], ...] = (Readable, Due)

    def look(self, seen: Seen, options: NoOptions) -> Outcome:
        if isinstance(seen.moment, Readable):
            return Skipped("talked")
        raise RuntimeError("no idea")


def test_a_check_that_raises_does_not_cost_the_client_its_greeting() -> None:
    """Its outcome is unknown: recorded, and it refuses nobody."""
    assert (
        Playbook(policy(Odd(), Pregreet()))
        >> at("4.5s", Due())
        << [Emit(schema.Outcome("odd", "unknown", "the check raised RuntimeError: no idea")), PASSED, Greet()]
    )


def test_a_check_that_skips_says_why() -> None:
    """It does not speak for the client either: the other check's reason stands."""
    assert (
        Playbook(policy(Odd(), Pregreet(), action=Action.REJECT, weight=1.0))
        >> at("1.2s", EHLO)
        << [
            EARLY,
            Emit(schema.Outcome("odd", "skipped", "talked")),
            spoke(Action.REJECT),
            verdict(Action.REJECT),
            Refuse(REPLIES[Action.REJECT]),
        ]
    )


def test_a_check_is_told_when_it_looks() -> None:
    """``dt`` counts from accept, and the phase is the hold."""
    told: list[Seen] = []

    class Watching(Odd):
        def look(self, seen: Seen, options: NoOptions) -> Outcome:
            told.append(seen)
            return Skipped("watching")

    Playbook(policy(Watching())) >> at("4.5s", Due())
    assert Seen(Due(), Phase.HOLD, 4.5, About("192.0.2.7")) == told[0]


# Laws.

_inputs = st.lists(
    st.tuples(st.floats(0, 300), st.just(Due()) | st.builds(HungUp, st.booleans()) | st.builds(Readable, st.binary(max_size=20))),
    max_size=8,
)
_policies = st.builds(
    pregreet,
    st.sampled_from(Action),
    st.none() | st.sampled_from(Phase),
    end_early=st.booleans(),
    observe=st.booleans(),
    score=st.builds(Score, st.sampled_from((0.0, 1.0)), st.sampled_from((0.0, 1.0))),
)


def live(made: Policy, happened: list[tuple[float, HoldInput]]) -> list[tuple[HoldEffect, ...]]:
    """Let things happen to a client until its hold is over, as the waiting room does."""
    held, taken = Held("k3x9", "192.0.2.7", ACCEPTED_AT), list[tuple[HoldEffect, ...]]()
    for dt, one in sorted(happened, key=lambda pair: pair[0]):
        held, effects = step(held, one, ACCEPTED_AT + dt, made)
        taken.append(effects)
        if ends(effects):
            break
    return taken


@given(made=_policies | st.just(policy(Odd(), Pregreet())), happened=_inputs)
def test_a_hold_ends_once(made: Policy, happened: list[tuple[float, HoldInput]]) -> None:
    """Any inputs in any order: nothing raises, and there is at most one of Greet, Refuse and Forget, and it is the last effect."""
    taken = live(made, happened)
    everything = [effect for effects in taken for effect in effects]
    found = ends(tuple(everything))
    assert found == everything[len(everything) - len(found) :] and len(found) <= 1
    assert all(not ends(effects) for effects in taken[:-1])


@given(made=_policies, happened=_inputs)
def test_a_hold_ends_when_it_is_due(made: Policy, happened: list[tuple[float, HoldInput]]) -> None:
    """Whatever went before: a client that is still there when its hold is over is greeted or refused."""
    taken = live(made, [*happened, (301.0, Due())])
    assert 1 == len(ends(taken[-1]))


@given(made=_policies, happened=_inputs)
def test_observing_greets_whoever_stays(made: Policy, happened: list[tuple[float, HoldInput]]) -> None:
    """With ``observe`` nobody is refused, whatever the policy."""
    taken = live(replace(made, observe=True), [*happened, (301.0, Due())])
    assert not any(isinstance(effect, Refuse) for effects in taken for effect in effects)


@given(made=_policies, happened=_inputs)
def test_leaving_is_recorded_once_and_never_held_against_the_client(made: Policy, happened: list[tuple[float, HoldInput]]) -> None:
    """At most one hang-up in the record; without talk there is no reason and no refusal."""
    silent = [(dt, one) for dt, one in happened if not isinstance(one, Readable)]
    effects = [effect for effects in live(made, [*silent, (301.0, Due())]) for effect in effects]
    records = [effect.event for effect in effects if isinstance(effect, Emit)]
    assert sum(isinstance(event, schema.Hangup) for event in records) <= 1
    assert not any(isinstance(event, schema.Reason | schema.Verdict) for event in records)
    assert isinstance(effects[-1], Greet | Forget)


# Answers.

_ZONES = (
    Zone(zone="a.example"),
    Zone(zone="b.example"),
    Zone(zone="good.example", weight=-3.0),
)
_LISTED = [Answer(listing("192.0.2.7", zone.zone), State.FOUND, ("127.0.0.2",)) for zone in _ZONES]


def listed_client() -> Held:
    return Held("k3x9", "192.0.2.7", ACCEPTED_AT)


def lists(*others: Armed, allow: float = -1.0) -> Policy:
    """Return a policy of two block lists and an allow list that outweighs both."""
    checks = (Armed(DnsLists(), Settings(action=Action.REJECT), Options(zones=_ZONES)), *others)
    return Policy(checks=checks, score=Score(allow=allow))


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_an_allow_list_outweighs_in_whatever_order_the_answers_come(order: tuple[int, ...]) -> None:
    """What the block lists say first refuses nobody while the allow list has not answered."""
    held, ended = listed_client(), []
    for number, which in enumerate(order):
        held, effects = step(held, Answered(_LISTED[which]), ACCEPTED_AT + number, lists(allow=0.0))
        ended += ends(effects)
    assert [] == ended
    _, effects = step(held, Due(), ACCEPTED_AT + 4, lists(allow=0.0))
    assert [Greet()] == list(ends(effects))


@pytest.mark.parametrize("last", [State.NOTHING, State.UNKNOWN])
def test_a_listed_client_is_refused_when_all_lists_have_answered(last: State) -> None:
    """The last answer may be none at all: then nothing is left that could outweigh."""
    held, answers = listed_client(), [*_LISTED[:2], Answer(_LISTED[2].question, last)]
    ended = []
    for number, answer in enumerate(answers):
        held, effects = step(held, Answered(answer), ACCEPTED_AT + number, lists())
        ended.append([type(each) for each in ends(effects)])
    assert [[], [], [Refuse]] == ended


def test_a_listed_client_is_refused_when_its_hold_is_over() -> None:
    """A list that does not answer puts the refusal off, not away."""
    held, effects = step(listed_client(), Answered(_LISTED[0]), ACCEPTED_AT + 1, lists())
    assert not ends(effects)
    _, effects = step(held, Due(), ACCEPTED_AT + 4, lists())
    assert [Refuse] == [type(each) for each in ends(effects)]


def test_who_is_allowed_and_refused_waits_for_all_answers() -> None:
    """An allow list speaks for its own check only: another that refuses still does, and no sooner than any refusal."""
    rules = lists(Armed(Listed(), Settings(action=Action.REJECT, weight=1.0), NoOptions()))
    other = Answer(listing("192.0.2.7", "bl.example"), State.FOUND, ("127.0.0.1",))
    held, ended = listed_client(), []
    for number, answer in enumerate([other, _LISTED[2], *(Answer(one.question, State.NOTHING) for one in _LISTED[:2])]):
        held, effects = step(held, Answered(answer), ACCEPTED_AT + number, rules)
        ended.append([type(each) for each in ends(effects)])
    assert [[], [], [], [Refuse]] == ended


# The score before the greeting.


@pytest.mark.parametrize("at", [Phase.CONNECT, Phase.HOLD])
@pytest.mark.parametrize(
    ("score", "told"),
    [
        (Score(delay=0.0, defer=2.0), "421 4.7.1 You spoke before the greeting, try again later [k3x9] https://x.example/refused"),
        (Score(delay=0.0, reject=2.0), "554 5.7.1 You spoke before the greeting [k3x9] https://x.example/refused"),
        (Score(delay=0.0, drop=2.0), "521 5.7.1 You spoke before the greeting [k3x9] https://x.example/refused"),
    ],
)
def test_the_score_refuses_before_the_greeting(at: Phase, score: Score, told: str) -> None:
    """Where score.at is as early as that; the refusal names the session and the page for help. Later it waits."""
    checks = policy(Pregreet(), action=Action.TAG, weight=2.0).checks
    for phase, end in ((at, Refuse(reply(int(told[:3]), told[4:]))), (Phase.HELO, Greet())):
        rules = Policy(checks=checks, score=msgspec.structs.replace(score, at=phase), help_url="https://x.example/refused")
        _, effects = step(Held("k3x9", "192.0.2.7", ACCEPTED_AT), EHLO, ACCEPTED_AT + 1.0, rules)
        assert [end] == ends(effects)


@pytest.mark.parametrize("action", [Action.DELAY, Action.DISCARD])
def test_what_is_done_later_greets_as_usual(action: Action) -> None:
    """A delay and a discard are carried out after the greeting, wherever they were due."""
    rules = policy(Pregreet(), action=action, at=Phase.CONNECT)
    _, effects = step(Held("k3x9", "192.0.2.7", ACCEPTED_AT), EHLO, ACCEPTED_AT + 1.0, rules)
    assert [Greet()] == ends(effects)


# What a silent client's answers can wait for.


@pytest.mark.parametrize(
    ("state", "question", "waits"),
    [
        (State.FOUND, listing("192.0.2.7", "bl.example"), False),
        (State.NOTHING, listing("192.0.2.7", "bl.example"), True),
        (State.UNKNOWN, listing("192.0.2.7", "bl.example"), True),
        (State.FOUND, names_of("192.0.2.7"), True),
    ],
)
def test_an_answer_can_wait_unless_a_list_has_the_client(state: State, question: Question, waits: bool) -> None:
    """And none can where the class of a client depends on facts."""
    by_facts = Policy(classes=(HoldClass("dubious", Span(9.0, 9.0), unknown=True),))
    by_address = Policy(classes=(HoldClass("all", Span(9.0, 9.0)),))
    answer = Answer(question, state)
    assert [waits, waits, False] == [can_wait(answer, policy) for policy in (Policy(), by_address, by_facts)]
