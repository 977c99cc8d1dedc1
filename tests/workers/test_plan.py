"""How many workers, which sockets, and when again."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tarry.workers.plan import FIRST_PAUSE, LONGEST_PAUSE, SHORT_LIFE, Backoff, count, deal


@pytest.mark.parametrize(("asked", "cores", "expected"), [(0, 4, 4), (0, 1, 1), (1, 4, 1), (7, 2, 7)])
def test_how_many(monkeypatch: pytest.MonkeyPatch, asked: int, cores: int, expected: int) -> None:
    """0 is one a core, of those that this process may use."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(cores)))
    assert expected == count(asked)


@pytest.mark.parametrize(
    ("sockets", "workers", "expected"),
    [
        ("a", 1, ["a"]),
        ("ab", 2, ["a", "b"]),
        ("abcd", 2, ["ac", "bd"]),
        ("abc", 2, ["ac", "b"]),
        ("a", 3, ["a", "a", "a"]),
        ("ab", 3, ["a", "b", "a"]),
    ],
)
def test_sockets_are_dealt(sockets: str, workers: int, expected: list[str]) -> None:
    """One each; the ones too many go round, and where there are too few they are shared."""
    assert expected == ["".join(each) for each in deal(sockets, workers)]


@given(st.lists(st.integers(), min_size=1, unique=True), st.integers(1, 300))
def test_nobody_goes_without(sockets: list[int], workers: int) -> None:
    """Every worker has a socket, and every socket a worker: or the clients in its backlog would wait for ever."""
    dealt = deal(sockets, workers)
    assert workers == len(dealt)
    assert all(dealt)
    assert set(sockets) == {one for each in dealt for one in each}


def test_a_worker_that_dies_again_and_again_is_replaced_later_each_time() -> None:
    """Up to a bound; one that has lived is replaced at once, and has made up for it."""
    backoff = Backoff()
    pauses = [backoff.after(0.0) for _ in range(9)]
    assert [FIRST_PAUSE * 2**n for n in range(7)] + [LONGEST_PAUSE] * 2 == pytest.approx(pauses)
    assert [0.0, FIRST_PAUSE] == [backoff.after(SHORT_LIFE), backoff.after(SHORT_LIFE - 0.1)]
