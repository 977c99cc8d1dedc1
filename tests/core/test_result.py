"""The ladder of actions, reasons and verdicts."""

from __future__ import annotations

import gc

from tarry.core.result import CLEAR, PASSED, Action, Passed, Reason, Verdict


def test_actions_are_a_ladder() -> None:
    """The mildest comes first; the words are those of config files and records."""
    assert ["ignore", "tag", "delay", "discard", "defer", "reject", "drop"] == [action.word for action in sorted(Action)]


def test_three_actions_send_the_client_away() -> None:
    """Defer, reject and drop refuse; nothing milder does."""
    assert [Action.DEFER, Action.REJECT, Action.DROP] == [action for action in Action if action.refuses]


def test_a_reason_is_named_by_check_and_code() -> None:
    """Reports, headers and records show it so."""
    assert "pregreet.tls" == Reason("pregreet", "tls").name


def test_nothing_against_a_client_is_clear() -> None:
    """CLEAR does nothing and says nothing; PASSED is any pass."""
    assert Verdict(Action.IGNORE, (), None) == CLEAR
    assert Passed() == PASSED


def test_the_garbage_collector_need_not_look_at_reasons() -> None:
    """Each listed client that is held has some, and no cycle can go through one."""
    assert not gc.is_tracked(Reason("dnslists", "listed", subject="bl.example"))
