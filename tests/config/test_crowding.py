"""Limits and stress: numbers that contradict each other, or do nothing."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from tests.config.breaches import problems


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        (
            {"stress.low": 0.9},
            "error: stress.low: stress would end at 0.9 of all clients, which is not below the 0.9 at which it begins; set",
        ),
        ({"stress.high": 0.5}, "error: stress.high: stress would end at 0.7 of all clients, which is not below the 0.5"),
        ({"stress.wait": "6s"}, "warning: stress.wait: nobody is held for longer than that anyhow; set it below hold.wait"),
        ({"stress.wait": "0.5s", "hold.wait": "0s"}, "warning: stress.wait: nobody is held for longer"),
        ({"stress.command": "5m"}, "warning: stress.command: commands have no more than 5m anyhow (limits.command); set it"),
        (
            {"listen.max_per_network": 20},
            "warning: listen.max_per_network: a network may have 20 and a single client 50, which it never reaches; "
            "set listen.max_per_client = 20 or less",
        ),
        (
            {"listen.rate_per_network": 5, "listen.rate_per_client": 6},
            "warning: listen.rate_per_network: a network may have 5 and a single client 6",
        ),
    ],
)
def test_a_breach_is_told_with_what_mends_it(settings: Mapping[str, object], told: str) -> None:
    """Each breach is one problem, at a key that somebody set."""
    assert [told] == [str(problem)[: len(told)] for problem in problems(settings)]


@pytest.mark.parametrize(
    "settings",
    [
        {"stress.high": 1.0},
        {"stress.high": 0.8, "stress.low": 0.79},
        {"stress.wait": "5s"},
        {"stress.wait": "4s..6s", "hold.wait": "3s..7s"},
        {"stress.wait": "20s", "hold.class": [{"name": "far", "networks": ["192.0.2.0/24"], "wait": "30s"}]},
        {"stress.command": "4m"},
        {"hold.wait": "1s"},
        {"listen.max_per_network": 50, "listen.rate_per_network": 1},
        {"listen.max_per_network": 10, "listen.max_per_client": 0},
        {"listen.rate_per_client": 10},
    ],
)
def test_what_works_is_not_told(settings: Mapping[str, object]) -> None:
    """At the very edge too, and not where only defaults do nothing."""
    assert [] == [str(problem) for problem in problems(settings)]


def test_inetd_is_not_told() -> None:
    """It serves one client: nothing of this is for it."""
    assert [] == problems({"listen.max_per_network": 20, "stress.low": 0.9}, alone=True)
