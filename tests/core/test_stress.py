"""Stress: when it begins and ends, and what new clients get meanwhile."""

from __future__ import annotations

from dataclasses import fields

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tarry.checks.pregreet import Pregreet
from tarry.core.policy import Delay, HoldClass, Limits, Policy, Span
from tarry.core.stress import Load, Relief, relieved
from tests.playbook import policy

CALM = policy(
    Pregreet(),
    changes={
        "wait": Span(1.0, 6.0),
        "classes": (HoldClass("home", Span(0.0, 0.0)), HoldClass("listed", Span(20.0, 30.0), reasons=frozenset({"dnslists"}))),
        "delay": Delay(reply_pace=1.0, per_reason=10.0),
    },
)


class Told:
    """A load, and what was told of it."""

    def __init__(self, places: int = 20, relief: Relief = Relief(), calm: Policy = CALM) -> None:
        self.turns: list[tuple[bool, str]] = []
        self.load = Load(calm, relief, places, lambda on, why: self.turns.append((on, why)))

    def weigh(self, *inside: int) -> list[bool]:
        """Return whether there is stress after each number."""
        found = []
        for one in inside:
            self.load.weigh(one)
            found.append(self.load.is_high)
        return found


def test_between_the_marks_nothing_changes() -> None:
    """It begins at the high one and ends at the low one, and each is told once, with numbers."""
    told = Told()
    assert [False, False, True, True, True, False, False, True] == told.weigh(0, 17, 18, 20, 15, 14, 17, 19)
    assert [(True, "18 of 20 clients are in"), (False, "14 of 20 clients are in"), (True, "19 of 20 clients are in")] == told.turns


@pytest.mark.parametrize(("places", "enters", "leaves"), [(1, 1, 0), (10, 9, 7), (15_000, 13_500, 10_500), (90, 81, 63)])
def test_marks_of_any_size(places: int, enters: int, leaves: int) -> None:
    """A share of the places, whole: also of one place, and where 0.7 * 90 is a little less than 63."""
    told = Told(places)
    assert [False, True, True, False] == told.weigh(enters - 1, enters, leaves + 1, leaves)


def test_high_of_one_is_never() -> None:
    """Not even where more are at the door than there are places; and stress that was ends."""
    told = Told(relief=Relief(high=1.0))
    assert [False, False] == told.weigh(20, 25)
    told = Told()
    told.weigh(18)
    told.load.change(CALM, Relief(high=1.0), 20, 18)
    assert [True, False] == [on for on, _ in told.turns]


@given(
    marks=st.tuples(st.floats(0, 1), st.floats(0, 1)).filter(lambda pair: pair[0] != pair[1]).map(sorted),
    places=st.integers(1, 50),
    inside=st.lists(st.integers(0, 60), max_size=40),
)
def test_it_never_flutters(marks: list[float], places: int, inside: list[int]) -> None:
    """The same number twice never turns it twice, whatever the marks."""
    low, high = marks
    told = Told(places, Relief(high, low))
    for one in inside:
        told.load.weigh(one)
        turns = len(told.turns)
        told.load.weigh(one)
        assert turns == len(told.turns)
    assert [number % 2 == 0 for number in range(len(told.turns))] == [on for on, _ in told.turns]


def test_new_terms_are_weighed_at_once() -> None:
    """A reload with other places or marks may begin the stress or end it; the policies are the new ones."""
    told, other = Told(), policy(Pregreet())
    assert told.load.policy is CALM
    told.load.change(other, Relief(), 10, 10)
    assert (True, 2.0, other.checks) == (told.load.is_high, told.load.policy.wait.high, told.load.policy.checks)
    told.load.change(other, Relief(), 20, 10)
    assert told.load.policy is other
    told.load.weigh(18)
    told.load.change(other, Relief(wait=Span(1.0, 1.0)), 20, 18)
    assert (True, Span(1.0, 1.0)) == (told.load.is_high, told.load.policy.wait)


def test_the_policy_is_made_once() -> None:
    """Clients are kept by the identity of their policy."""
    told = Told()
    told.weigh(18)
    under_stress = told.load.policy
    told.weigh(10, 18)
    assert told.load.policy is under_stress


def test_what_is_relieved() -> None:
    """Waits, the patience with commands, and slow replies; all else is as it was."""
    under_stress = relieved(CALM, Relief(wait=Span(2.0, 3.0)))
    assert Span(1.0, 3.0) == under_stress.wait
    assert [Span(0.0, 0.0), Span(2.0, 3.0)] == [one.wait for one in under_stress.classes]
    assert [one.name for one in CALM.classes] == [one.name for one in under_stress.classes]
    assert (Limits(command=10.0), Delay(per_reason=10.0)) == (under_stress.limits, under_stress.delay)
    changed = {one.name for one in fields(Policy) if getattr(CALM, one.name) != getattr(under_stress, one.name)}
    assert {"wait", "classes", "limits", "delay"} == changed


@given(
    wait=st.tuples(st.floats(0, 300), st.floats(0, 300)).map(sorted),
    least=st.tuples(st.floats(0, 300), st.floats(0, 300)).map(sorted),
    command=st.floats(0.1, 600),
    share=st.floats(0, 1),
)
def test_nothing_gets_longer(wait: list[float], least: list[float], command: float, share: float) -> None:
    """Neither a hold, at any place in its range, nor the time for a command."""
    calm = policy(changes={"wait": Span(*wait)})
    under_stress = relieved(calm, Relief(wait=Span(*least), command=command))
    assert under_stress.wait.at(share) <= calm.wait.at(share) + 1e-6
    assert under_stress.wait.high <= least[1]
    assert under_stress.limits.command == min(command, calm.limits.command)
