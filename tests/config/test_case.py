"""A configuration that is looked at: who is given away, what was chosen, and the words for it."""

from __future__ import annotations

import pytest

from tarry.config.case import Case, blind, chosen, warning
from tarry.config.keys import build, keys
from tarry.config.origin import DEFAULT, Origin


def case(*, alone: bool = False, **settings: str) -> Case:
    """Return a case in which these keys, with _ for the dot, were set by the operator."""
    given = {name.replace("_", ".", 1): value for name, value in settings.items()}
    values = {name: keys()[name].kind.read(value) for name, value in given.items()}
    return Case(build(values), {name: Origin("file", "t.toml", 1) if name in given else DEFAULT for name in keys()}, alone)


@pytest.mark.parametrize(
    ("mode", "stdio", "gives_away"),
    [
        ("maildir", "socket", False),
        ("proxy", "socket", False),
        ("pass", "socket", True),
        ("exec", "socket", True),
        ("exec", "pipe", False),
    ],
)
def test_who_gives_the_client_away(mode: str, stdio: str, gives_away: bool) -> None:
    """Whoever has its socket; `tarry inetd` always."""
    assert gives_away == case(handoff_mode=mode, handoff_stdio=stdio).gives_away
    assert case(handoff_mode=mode, handoff_stdio=stdio, alone=True).gives_away


def test_a_problem_is_told_where_it_was_made() -> None:
    """At the first of the keys that somebody set; the first, where nobody did."""
    made = case(hold_teaser="wait")
    assert ("hold.teaser", "hold.wait") == (chosen(made, "hold.wait", "hold.teaser"), chosen(made, "hold.wait", "delay.at"))
    assert (True, False, False) == (made.is_set("hold.teaser"), made.is_set("hold.wait"), made.is_set("nobody"))


@pytest.mark.parametrize(
    ("made", "told"),
    [
        (
            case(handoff_mode="pass"),
            'handoff.mode = "pass" gives the client away at the greeting; set handoff.mode = "proxy", or x',
        ),
        (
            case(handoff_mode="exec"),
            'handoff.mode = "exec" gives the client away at the greeting; set handoff.stdio = "pipe", or x',
        ),
        (
            case(alone=True),
            '`tarry inetd` gives the client away at the greeting; run `tarry serve` with handoff.mode = "proxy", or x',
        ),
    ],
)
def test_what_cannot_be_seen_after_the_greeting(made: Case, told: str) -> None:
    """The fix is to stay in line, or else."""
    told = told.format("gives the client away at the greeting")
    assert f"error: a.b: {told}" == str(blind(made, "a.b", "or x"))


def test_a_warning_is_no_error() -> None:
    """It is told, and works."""
    told = warning("a.b", "it is so", "change it")
    assert (False, "warning: a.b: it is so; change it") == (told.is_error, str(told))
