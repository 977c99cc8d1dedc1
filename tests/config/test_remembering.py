"""Rules about what is remembered."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from tests.config.breaches import problems


def rules(*on: str) -> dict[str, object]:
    return {"karma.rules": [{"on": one, "points": 1} for one in on]}


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"store.url": "tarry.db"}, 'error: store.url: "tarry.db" is no place to remember clients in; did you mean '),
        ({"store.url": "valkey"}, 'error: store.url: "valkey" is no place to remember clients in; did you mean valkey? write'),
        ({"store.url": "rdis://host"}, 'error: store.url: "rdis://host" is no place to remember clients in; did you mean redis?'),
        (
            {"store.url": "valky://:secret@host"},
            'error: store.url: "valky://:***@host" is no place to remember clients in; did you mean valkey?',
        ),
        (
            {"karma.worst_below": -4},
            "error: karma.worst_below: a client is the worst before it is bad; set karma.worst_below to -5",
        ),
        ({"karma.bad_below": -16}, "error: karma.bad_below: a client is the worst before it is bad; set karma.worst_below to -16"),
        ({"karma.skip_above": 20}, "warning: karma.skip_above: no client gets there, since karma is never more than 20"),
        ({"karma.most": 14}, "warning: karma.most: no client gets there, since karma is never more than 14"),
        (rules("deliverd"), 'error: karma.rules: "deliverd" is nothing that brings karma; write "delivered"'),
        (rules("quite else"), 'error: karma.rules: "quite else" is nothing that brings karma; write one of delivered, login'),
        (rules("karma.good"), 'error: karma.rules: "karma.good" is nothing that brings karma; '),
        (
            {"store.url": "none", "karma.skip_above": 3},
            'warning: karma.skip_above: nothing is remembered, since store.url = "none"; set store.url',
        ),
        (
            {"store.url": "none", "checks.pregreet.remember": "1d"},
            "warning: checks.pregreet.remember: nothing is remembered, since",
        ),
        (
            {"checks.karma.action": "ignore", "checks.pregreet.remember": "1d"},
            "warning: checks.pregreet.remember: nobody asks for the passes that are remembered, since checks.karma.action is",
        ),
        (
            {"checks.pipelining.remember": "30d"},
            "warning: checks.pipelining.remember: pipelining looks at what comes after the greeting, and no client is held for",
        ),
        ({"checks.ptr.remember": "1d"}, "warning: checks.ptr.remember: nobody is held for ptr, since its action is ignore; leave"),
    ],
    ids=str,
)
def test_a_breach_is_told_with_its_remedy(settings: Mapping[str, object], told: str) -> None:
    """One problem each."""
    found = [str(problem).partition(": ")[2] for problem in problems(settings)]
    assert [True] == [one.startswith(told.partition(": ")[2]) or told in f"x: {one}" for one in found], found
    assert [told.partition(":")[0]] == [problem.severity.value for problem in problems(settings)]


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"store.url": "none"},
        {"store.url": "valkeys://user:word@host:6379/0?cluster=true"},
        {"checks.pregreet.remember": "7d", "checks.dnslists.remember": "1h"},
        {"karma.rules": []},
        {"karma.rules": [], "karma.skip_above": 1000},
        rules("delivered", "pregreet", "helo.spoofed", "left"),
    ],
    ids=str,
)
def test_what_is_right_is_not_told(settings: Mapping[str, object]) -> None:
    """Nothing is said of it."""
    assert [] == problems(settings)
