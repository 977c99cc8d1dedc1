"""How many clients of a process are told something slowly."""

from __future__ import annotations

from tarry.net.slow import Slow


def test_a_limit_for_all_sessions() -> None:
    """Beyond it nobody more, until one is through; the limit is the asking session's own."""
    slow = Slow()
    assert [True, True, False] == [slow.begin("a", 2), slow.begin("b", 2), slow.begin("c", 2)]
    slow.end("a")
    assert [True, False, True] == [slow.begin("c", 2), slow.begin("d", 2), slow.begin("d", 3)]
    assert 3 == len(slow)


def test_ending_twice_frees_one_place() -> None:
    """And who never began may end."""
    slow = Slow()
    slow.begin("a", 9), slow.begin("b", 9)
    for id in ("a", "a", "never"):
        slow.end(id)
    assert 1 == len(slow)


def test_a_limit_of_nothing() -> None:
    """Nobody is told anything slowly."""
    assert not Slow().begin("a", 0)
