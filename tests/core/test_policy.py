"""The compiled configuration: draws, and the two tables made of its checks."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tarry.checks import REGISTRY
from tarry.core.border import Due, Erred, Readable
from tarry.core.client import Phase
from tarry.core.policy import LONGEST_HOLD, Policy, Span
from tarry.core.result import Action
from tests.asking import Listed
from tests.playbook import armed, policy

_lengths = st.floats(0, 1e6)
_random = st.floats(0, 1, exclude_max=True)


@given(low=_lengths, high=_lengths, drawn=_random)
def test_a_draw_stays_within_its_span(low: float, high: float, drawn: float) -> None:
    """From low to high; a span whose ends are equal, or the wrong way round, is its low end."""
    assert low <= Span(low, high).draw(lambda: drawn) <= max(low, high)


@pytest.mark.parametrize(("drawn", "length"), [(0.0, 4.0), (0.5, 6.5), (0.75, 7.75)])
def test_a_draw_is_uniform(drawn: float, length: float) -> None:
    """The length is as far into the span as the random number is into [0, 1)."""
    assert length == Span(4.0, 9.0).draw(lambda: drawn)


def test_a_span_of_no_width_needs_no_randomness() -> None:
    """A fixed length is not drawn."""

    def no_random() -> float:
        raise AssertionError

    assert 6.0 == Span(6.0, 6.0).draw(no_random)


def test_the_checks_of_a_policy_are_found_by_moment_and_by_name() -> None:
    """In the order in which they were armed; a moment that nobody looks at has no entry."""
    made = policy(*REGISTRY)
    assert ["pregreet"] == [one.name for one in made.triggers[Readable]] == [one.name for one in made.triggers[Due]]
    assert [check.name for check in REGISTRY] == list(made.armed)
    assert all(name == one.name for name, one in made.armed.items())
    assert Erred not in policy(REGISTRY[0]).triggers
    assert ({}, {}) == (Policy().triggers, Policy().armed)


def test_two_checks_may_look_at_one_moment() -> None:
    """Both are asked, in the order in which they were armed."""
    first, second = armed(REGISTRY[0]), armed(REGISTRY[0])
    assert (first, second) == Policy(checks=(first, second)).triggers[Due]


def test_the_defaults_are_within_what_smtp_allows() -> None:
    """Nobody is held longer than RFC 5321 lets a greeting take."""
    usual = Policy()
    assert max(usual.wait.high, usual.delay.target.high) <= LONGEST_HOLD < 300.0


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({}, False),
        ({"weight": -1.0}, True),
        ({"weight": -1.0, "action": Action.IGNORE}, False),
        ({"action": Action.REJECT}, True),
        ({"action": Action.REJECT, "at": Phase.CONNECT}, True),
        ({"action": Action.REJECT, "at": Phase.RCPT}, False),
        ({"codes": {"yes": Action.DROP}}, True),
        ({"action": Action.DELAY}, False),
    ],
)
def test_which_answers_may_end_a_hold(changed: dict[str, Any], expected: bool) -> None:
    """Any, where a check of answers speaks for clients by its weight, or refuses before the greeting; else listings only."""
    assert expected is policy(Listed(), **changed).heeds_every_answer
    assert not policy(REGISTRY[0], **changed).heeds_every_answer
