"""Reasons in, a verdict out: the ladder, the phases, the score, the replies."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tarry.core.border import Due, Moment
from tarry.core.check import NoOptions, Seen, Settings
from tarry.core.client import Phase
from tarry.core.judge import fill, judge, refusal_ahead
from tarry.core.policy import Delay, Policy, Score, Span
from tarry.core.result import CLEAR, PASSED, Action, Outcome, Reason
from tarry.smtp.reply import Reply
from tests.playbook import armed
from tests.strategies import actions, reasons


class Fake:
    """A check of any name that never finds anything; reasons are made by hand here."""

    codes: ClassVar[Mapping[str, str]] = {}
    settings = Settings()
    options = NoOptions
    triggers: tuple[type[Moment], ...] = (Due,)

    def __init__(self, name: str, complaint: str) -> None:
        self.name = name
        self.complaint = complaint

    def look(self, seen: Seen, options: NoOptions) -> Outcome:
        return PASSED


ONE, TWO, THREE = Fake("one", "You did one"), Fake("two", "You did two"), Fake("three", "You did three")


def policy(
    one: dict[str, Any] | None = None,
    two: dict[str, Any] | None = None,
    three: dict[str, Any] | None = None,
    *,
    score: Score = Score(delay=0.0, reject=0.0),
    delay_at: Phase = Phase.RCPT,
) -> Policy:
    """Return a policy with up to three checks and the settings given for each."""
    checks = tuple(armed(check, **changed) for check, changed in ((ONE, one), (TWO, two), (THREE, three)) if changed is not None)
    return Policy(checks=checks, score=score, delay=Delay(Span(60.0, 60.0), delay_at))


def reason(check: str = "one", phase: Phase = Phase.HOLD, weight: float = 1.0) -> Reason:
    return Reason(check, "spoke", "", weight, phase)


# Actions and phases.


@pytest.mark.parametrize("action", [action for action in Action if action not in (Action.IGNORE, Action.DELAY)])
@pytest.mark.parametrize("found", [Phase.HOLD, Phase.MAIL])
def test_an_action_is_due_where_its_reason_was_found(action: Action, found: Phase) -> None:
    """Without ``at`` it is due there and at every later phase."""
    made = policy({"action": action})
    for phase in Phase:
        assert (action if phase >= found else Action.IGNORE) == judge([reason(phase=found)], made, phase).action


@pytest.mark.parametrize("at", list(Phase))
def test_at_moves_the_action(at: Phase) -> None:
    """With ``at`` it is due from that phase on, wherever the reason was found."""
    made = policy({"action": Action.REJECT, "at": at})
    for phase in Phase:
        assert (Action.REJECT if phase >= at else Action.IGNORE) == judge([reason()], made, phase).action


@pytest.mark.parametrize("at", [Phase.MAIL, Phase.RCPT, Phase.DATA])
def test_a_delay_is_due_where_delays_are_imposed(at: Phase) -> None:
    """``delay.at`` holds for every check, whatever its own ``at``."""
    made = policy({"action": Action.DELAY, "at": Phase.CONNECT}, delay_at=at)
    for phase in Phase:
        assert (Action.DELAY if phase >= at else Action.IGNORE) == judge([reason()], made, phase).action


def test_ignored_and_unknown_reasons_do_nothing() -> None:
    """No reason, a reason that is ignored, and one of a check that is not armed: CLEAR, at every phase."""
    made = policy({"action": Action.IGNORE})
    for phase in Phase:
        for found in ([], [reason("one")], [reason("nobody")]):
            assert CLEAR == judge(found, made, phase)


def test_the_strongest_decides_and_the_rest_is_named_behind_it() -> None:
    """The deciding reason stands first, equals in the order in which they were found; what is ignored or not due stays out."""
    made = policy({"action": Action.TAG}, {"action": Action.REJECT}, {"action": Action.IGNORE})
    tag, late, gone, first, second = (
        reason("one"),
        reason("two", Phase.DATA),
        reason("three"),
        reason("two"),
        reason("two", Phase.MAIL),
    )
    verdict = judge([tag, late, gone, first, second], made, Phase.RCPT)
    assert (Action.REJECT, (first, second, tag)) == (verdict.action, verdict.reasons)


# The score.


@pytest.mark.parametrize(
    ("weights", "score", "action"),
    [
        ((0.5,), Score(delay=1.0, reject=0.0), Action.TAG),
        ((1.0,), Score(delay=1.0, reject=0.0), Action.DELAY),
        ((0.5, 0.5), Score(delay=1.0, reject=0.0), Action.DELAY),
        ((3.0,), Score(delay=1.0, reject=3.0), Action.REJECT),
        ((2.9,), Score(delay=1.0, reject=3.0), Action.DELAY),
        ((3.0, -1.0), Score(delay=1.0, reject=3.0), Action.DELAY),
        ((9.0,), Score(delay=0.0, reject=0.0), Action.TAG),
        ((9.0,), Score(delay=0.0, reject=3.0), Action.REJECT),
        ((0.0,), Score(delay=0.0, reject=0.0), Action.TAG),
    ],
)
def test_the_score_asks_from_rcpt_on(weights: tuple[float, ...], score: Score, action: Action) -> None:
    """The sum of weights reaches a threshold or does not; 0 is never; before RCPT it does not count."""
    made = policy({"action": Action.TAG}, score=score)
    found = [reason(weight=weight) for weight in weights]
    assert action == judge(found, made, Phase.RCPT).action == judge(found, made, Phase.MESSAGE).action
    assert Action.TAG == judge(found, made, Phase.MAIL).action


def test_who_is_refused_by_score_is_told_what_weighs() -> None:
    """And not of a trifle that was found before it and counts for nothing."""
    made = policy({"action": Action.TAG}, {"action": Action.TAG}, {"action": Action.TAG}, score=Score(delay=0.0, reject=3.0))
    found = [reason("one", weight=0.0), reason("two", weight=1.0), reason("three", weight=2.0)]
    verdict = judge(found, made, Phase.RCPT, id="k3x9")
    assert ["three", "two", "one"] == [one.check for one in verdict.reasons]
    assert verdict.reply is not None
    assert b"You did three" in verdict.reply.raw


def test_the_score_never_softens() -> None:
    """What a check asks for by itself stays."""
    made = policy({"action": Action.DROP}, score=Score(delay=1.0, reject=2.0))
    assert Action.DROP == judge([reason(weight=5.0)], made, Phase.RCPT).action


def test_ignored_reasons_do_not_score() -> None:
    """``action = "ignore"`` takes a check out of the sum, and out of the reply."""
    made = policy({"action": Action.IGNORE}, {"action": Action.TAG}, score=Score(delay=2.0, reject=0.0))
    assert Action.TAG == judge([reason("one", weight=5.0), reason("two")], made, Phase.RCPT).action


def test_a_score_may_refuse_before_any_reason_is_due() -> None:
    """The reply is then for the first reason that counts, and not for one that is ignored."""
    made = policy({"action": Action.IGNORE}, {"action": Action.REJECT, "at": Phase.DATA}, score=Score(delay=0.0, reject=3.0))
    verdict = judge([reason("one"), reason("two", weight=3.0)], made, Phase.RCPT, id="k3x9")
    assert (reason("two", weight=3.0),) == verdict.reasons
    assert Reply(550, b"550 5.7.1 You did two [k3x9]\r\n") == verdict.reply


# Replies.


@pytest.mark.parametrize(
    ("action", "phase", "raw"),
    [
        (Action.DEFER, Phase.CONNECT, b"421 4.7.1 You did one, try again later [k3x9]\r\n"),
        (Action.DEFER, Phase.HOLD, b"421 4.7.1 You did one, try again later [k3x9]\r\n"),
        (Action.DEFER, Phase.GREETED, b"450 4.7.1 You did one, try again later [k3x9]\r\n"),
        (Action.DEFER, Phase.RCPT, b"450 4.7.1 You did one, try again later [k3x9]\r\n"),
        (Action.REJECT, Phase.CONNECT, b"554 5.7.1 You did one [k3x9]\r\n"),
        (Action.REJECT, Phase.HOLD, b"554 5.7.1 You did one [k3x9]\r\n"),
        (Action.REJECT, Phase.HELO, b"550 5.7.1 You did one [k3x9]\r\n"),
        (Action.REJECT, Phase.MESSAGE, b"550 5.7.1 You did one [k3x9]\r\n"),
        (Action.DROP, Phase.CONNECT, b"521 5.7.1 You did one [k3x9]\r\n"),
        (Action.DROP, Phase.RCPT, b"521 5.7.1 You did one [k3x9]\r\n"),
    ],
)
def test_the_reply_fits_action_and_phase(action: Action, phase: Phase, raw: bytes) -> None:
    """In place of the greeting 421, 554 or 521 (RFC 5321 §3.1, RFC 7504), after it 450, 550 or 521."""
    verdict = judge([reason(phase=Phase.CONNECT)], policy({"action": action}), phase, client="192.0.2.7", id="k3x9")
    assert Reply(int(raw[:3]), raw) == verdict.reply


@pytest.mark.parametrize("action", [Action.TAG, Action.DELAY])
def test_milder_actions_have_no_reply(action: Action) -> None:
    """Who is only tagged or delayed is not sent away."""
    assert judge([reason()], policy({"action": action}), Phase.MESSAGE).reply is None


@given(phase=st.sampled_from(Phase), action=actions)
def test_a_reply_is_there_exactly_when_the_action_has_one(phase: Phase, action: Action) -> None:
    """And its class is that of the action: 4xx to come again, 5xx for good."""
    verdict = judge([reason(phase=Phase.CONNECT)], policy({"action": action}), phase)
    assert (verdict.action >= Action.DISCARD) == (verdict.reply is not None)
    if verdict.reply is not None:
        assert {Action.DISCARD: 2, Action.DEFER: 4}.get(verdict.action, 5) == verdict.reply.code // 100


def test_the_operator_may_word_the_reply() -> None:
    """The reply of the deciding reason's check is used, code and all, with the session's facts filled in."""
    made = policy(
        {"action": Action.TAG, "reply": "550 never"},
        {"action": Action.REJECT, "reply": "571 5.7.1 {client}: {reason} ({code}) [{id}]"},
    )
    verdict = judge([reason("one"), reason("two")], made, Phase.RCPT, client="192.0.2.7", id="k3x9")
    assert Reply(571, b"571 5.7.1 192.0.2.7: two.spoke (spoke) [k3x9]\r\n") == verdict.reply


def test_no_reply_is_longer_than_a_line_may_be() -> None:
    """Whatever is filled in; of tarry's own words the complaint is cut, and not where the sender can read on."""
    help_url = f"https://mail.example/{'h' * 179}"
    long = msgspec.structs.replace(reason("one"), subject="zone" * 80, detail="d" * 300)
    for action in (Action.DEFER, Action.REJECT, Action.DROP):
        made = dataclasses.replace(policy({"action": action}), help_url=help_url)
        verdict = judge([long], made, Phase.RCPT, id="k3x9")
        assert verdict.reply is not None
        assert 512 == len(verdict.reply.raw)
        assert verdict.reply.raw.endswith(f"[k3x9] {help_url}\r\n".encode())
    own = dataclasses.replace(policy({"action": Action.REJECT, "reply": "550 {detail} {list} {detail}"}), help_url=help_url)
    verdict = judge([long], own, Phase.RCPT, id="k3x9")
    assert verdict.reply is not None
    assert 512 == len(verdict.reply.raw)


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ("", ""),
        ("plain", "plain"),
        ("{client} {client}", "192.0.2.7 192.0.2.7"),
        ("{reason}/{code}/{id}", "one.spoke/spoke/k3x9"),
        ("{unknown} {} {client", "{unknown} {} {client"),
        ("{client.__class__} {0} %s", "{client.__class__} {0} %s"),
        ("{{client}}", "{192.0.2.7}"),
    ],
)
def test_placeholders(text: str, filled: str) -> None:
    """Four names are filled in; every other brace stays as it is."""
    assert filled == fill(text, reason(), "192.0.2.7", "k3x9")


# Looking ahead.


@pytest.mark.parametrize(
    ("action", "at", "delay_at", "ahead"),
    [
        (Action.IGNORE, None, Phase.RCPT, False),
        (Action.TAG, None, Phase.RCPT, False),
        (Action.DELAY, None, Phase.RCPT, False),
        (Action.DELAY, None, Phase.MAIL, False),
        (Action.DELAY, None, Phase.DATA, False),
        (Action.DEFER, None, Phase.RCPT, True),
        (Action.REJECT, Phase.RCPT, Phase.RCPT, True),
        (Action.REJECT, Phase.DATA, Phase.RCPT, False),
        (Action.DROP, Phase.MAIL, Phase.RCPT, True),
    ],
)
def test_what_lies_ahead_is_known(action: Action, at: Phase | None, delay_at: Phase, ahead: bool) -> None:
    """A refusal that must come is known before its phase: the MTA need not be opened for it."""
    made = policy({"action": action, "at": at}, delay_at=delay_at)
    assert ahead == refusal_ahead([reason()], made)
    assert not refusal_ahead([], made)


def test_a_refusal_goes_before_a_delay() -> None:
    """Who is refused in the end is not delayed for it."""
    made = policy({"action": Action.DELAY}, {"action": Action.REJECT, "at": Phase.RCPT})
    found = [reason("one"), reason("two")]
    assert refusal_ahead(found, made)
    assert not judge(found, made, Phase.RCPT).delaying


# Laws.

_settings = st.fixed_dictionaries({"action": actions, "at": st.none() | st.sampled_from(Phase)})
_policies = st.builds(
    policy,
    _settings,
    _settings,
    st.none() | _settings,
    score=st.builds(
        Score,
        delay=st.sampled_from((0.0, 1.0, 2.5)),
        defer=st.sampled_from((0.0, 1.5)),
        reject=st.sampled_from((0.0, 2.0, 4.0)),
        drop=st.sampled_from((0.0, 5.0)),
        at=st.sampled_from(list(Phase)),
    ),
    delay_at=st.sampled_from((Phase.MAIL, Phase.RCPT, Phase.DATA)),
)
_found = st.lists(reasons("one", "two", "three"), max_size=5)


@given(made=_policies, found=_found, extra=reasons("one", "two", "three"), phase=st.sampled_from(Phase), place=st.integers(0, 5))
def test_one_more_reason_never_softens_the_verdict(
    made: Policy, found: list[Reason], extra: Reason, phase: Phase, place: int
) -> None:
    """Wherever in the list it stands."""
    assert judge(found, made, phase).action <= judge([*found[:place], extra, *found[place:]], made, phase).action


@given(made=_policies, found=_found, phases=st.tuples(st.sampled_from(Phase), st.sampled_from(Phase)))
def test_a_later_phase_never_softens_the_verdict(made: Policy, found: list[Reason], phases: tuple[Phase, Phase]) -> None:
    """What was due once stays due."""
    earlier, later = sorted(phases)
    assert judge(found, made, earlier).action <= judge(found, made, later).action


@given(
    made=_policies,
    found=st.lists(reasons("one", "two", "three", weights=st.floats(-9, 9)), max_size=6),
    phase=st.sampled_from(Phase),
)
def test_a_verdict_is_of_a_piece(made: Policy, found: list[Reason], phase: Phase) -> None:
    """Its reasons are among those given; it is CLEAR, or names at least one; it refuses with a reply, and else has none."""
    verdict = judge(found, made, phase)
    assert set(verdict.reasons) <= set(found)
    assert (verdict == CLEAR) == (verdict.action is Action.IGNORE) == (not verdict.reasons)
    assert (verdict.action >= Action.DISCARD) == (verdict.reply is not None)


# What delays.


def test_what_delays_is_told_with_the_verdict() -> None:
    """The reasons that ask for it, where delays are imposed; not tags, nor allow lists. None where the client is refused."""
    made = policy({"action": Action.TAG}, {"action": Action.DELAY}, {"action": Action.DISCARD, "at": Phase.DATA})
    tag, delay, allow = reason("one"), reason("two"), reason("one", weight=-0.5)
    assert () == judge([tag, delay], made, Phase.MAIL).delaying
    assert (delay,) == judge([tag, delay, allow], made, Phase.RCPT).delaying
    discard = judge([delay, reason("three")], made, Phase.DATA)
    assert (Action.DISCARD, (delay,)) == (discard.action, discard.delaying)
    refusing = policy({"action": Action.REJECT}, {"action": Action.DELAY})
    assert () == judge([tag, delay], refusing, Phase.RCPT).delaying


def test_a_delay_by_score_is_owed_to_what_makes_it_up() -> None:
    """Where no reason asks for one itself; a weight of nothing is no part of it."""
    made = policy({"action": Action.TAG}, {"action": Action.DELAY}, score=Score(delay=1.0))
    light, heavy, none = reason("one", weight=0.4), reason("one", Phase.MAIL, 0.7), reason("one", Phase.HELO, 0.0)
    assert (light, heavy) == judge([light, none, heavy], made, Phase.RCPT).delaying
    assert (reason("two"),) == judge([light, heavy, reason("two")], made, Phase.RCPT).delaying
    assert () == judge([light, none], made, Phase.RCPT).delaying


# The score at every phase.


@pytest.mark.parametrize("at", list(Phase))
@pytest.mark.parametrize(
    ("score", "action"),
    [
        (Score(delay=0.0, defer=2.0), Action.DEFER),
        (Score(delay=0.0, reject=2.0), Action.REJECT),
        (Score(delay=0.0, drop=2.0), Action.DROP),
        (Score(delay=2.0), Action.DELAY),
    ],
)
def test_the_score_counts_from_its_phase_on(at: Phase, score: Score, action: Action) -> None:
    """Earlier than RCPT too, and with it the reply of that action, whatever the operator wrote for another."""
    made = policy({"action": Action.TAG, "reply": "550 never"}, score=msgspec.structs.replace(score, at=at))
    for phase in Phase:
        found = judge([reason(weight=2.0)], made, phase, id="K3X9-0001")
        tag = Action.TAG if phase >= Phase.HOLD else Action.IGNORE
        assert (action if phase >= at else tag) == found.action
        if found.reply is not None:
            assert (
                found.reply.raw.endswith(b"You did one [K3X9-0001]\r\n")
                or b"You did one, try again later [K3X9-0001]" in found.reply.raw
            )


def test_the_operator_words_a_discard() -> None:
    """By a reply that begins with 250, which no refusal is; another one is for refusals."""
    made = policy({"action": Action.DISCARD, "reply": "250 2.0.0 Gone: {reason}"}, {"action": Action.REJECT, "reply": "250 Gone"})
    assert b"250 2.0.0 Gone: one.spoke\r\n" == judge([reason("one")], made, Phase.RCPT).reply.raw
    assert b"550 5.7.1 You did two []\r\n" == judge([reason("two")], made, Phase.RCPT).reply.raw
    other = policy({"action": Action.DISCARD, "reply": "550 no"})
    assert b"250 2.6.0 Message accepted\r\n" == judge([reason("one")], other, Phase.RCPT).reply.raw
