"""Connections of clients and networks: exact for this process, estimated for the others."""

from __future__ import annotations

import mmap
from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from tarry.config.keys import keys
from tarry.core.census import SIZE_PER_WORKER, Census, Scope
from tarry.core.counts import Arrivals, Inside, Limit

KEY, OTHER = b"\xc0\0\2\1", b"\xc0\0\2\2"


def processes(workers: int) -> list[Census]:
    memory = memoryview(mmap.mmap(-1, workers * SIZE_PER_WORKER))
    return [Census(memory, b"seed", number) for number in range(1, workers + 1)]


def test_limits_are_named_as_their_keys() -> None:
    """So that records, leases and the configuration speak of the same things."""
    assert [] == [limit.value for limit in Limit if f"listen.{limit.value}" not in keys()]


def test_what_is_in_alone() -> None:
    """Exactly; who was not counted cannot leave."""
    inside = Inside(Scope.CLIENT, None)
    inside.leave(KEY)
    for _ in range(3):
        inside.enter(KEY)
    inside.leave(KEY)
    assert [2, 0] == [inside.count(KEY, 0.0), inside.count(OTHER, 0.0)]
    inside.clear()
    inside.leave(KEY)
    assert 0 == inside.count(KEY, 0.0)


@settings(max_examples=25)
@given(moves=st.lists(st.tuples(st.integers(0, 1), st.sampled_from("+-0"), st.sampled_from((KEY, OTHER))), max_size=40))
def test_what_is_in_of_two_processes(moves: list[tuple[int, str, bytes]]) -> None:
    """Each counts its own and the other's, also after one has cleared what it had."""
    both = [Inside(Scope.NETWORK, census) for census in processes(2)]
    model: Counter[tuple[int, bytes]] = Counter()
    for worker, move, key in moves:
        if move == "+":
            both[worker].enter(key)
            model[worker, key] += 1
        elif move == "-":
            both[worker].leave(key)
            model[worker, key] = max(0, model[worker, key] - 1)
        else:
            both[worker].clear()
            model[worker, KEY] = model[worker, OTHER] = 0
        for one in both:
            assert [model[0, key] + model[1, key] for key in (KEY, OTHER)] == [one.count(key, 0.0) for key in (KEY, OTHER)]


def test_arrivals_of_two_processes() -> None:
    """Both see what comes to either."""
    one, two = (Arrivals(Scope.CLIENT, census) for census in processes(2))
    one.come(KEY, 30.0)
    two.come(KEY, 31.0)
    assert [2, 2, 0] == [one.count(KEY, 31.0), two.count(KEY, 31.0), two.count(OTHER, 31.0)]
    assert 1.0 == two.count(KEY, 90.0)
