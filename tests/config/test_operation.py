"""The tables of what is remembered, and of how a server is run."""

from __future__ import annotations

from tarry.checks.karma import Thresholds
from tarry.config.compile import fading, karma_rules
from tarry.config.schema import Config
from tarry.core.history import Fading


def test_the_defaults_are_those_of_the_core() -> None:
    """So that who embeds the core alone has what a file would give."""
    karma = Config().karma
    assert Fading() == fading(Config())
    assert Thresholds() == Thresholds(karma.skip_above, karma.bad_below, karma.worst_below, karma.by_domain)


def test_every_rule_explains_itself() -> None:
    """In a sentence that can stand behind "because", and with points."""
    for rule in karma_rules(Config()):
        assert rule.points
        assert rule.why and rule.why[-1] != "."


def test_nobody_is_made_to_wait_for_a_first_offence() -> None:
    """One bad thing alone is not below karma.bad_below; and no sum of a session's penalties is more than the most there is."""
    karma = Config().karma
    assert min(rule.points for rule in karma.rules) > karma.bad_below


def test_stress_ends_below_where_it_begins() -> None:
    """Or it would come and go with each client."""
    stress = Config().stress
    assert 0 < stress.low < stress.high <= 1
