"""Values that rows share: told apart by identity, and forgotten with their last row."""

from __future__ import annotations

import gc
import weakref

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tarry.net.places import Places


class Value:
    """Equal to every other."""

    def __eq__(self, other: object) -> bool:
        return True

    def __hash__(self) -> int:
        return 0


def test_a_value_has_one_place() -> None:
    """Identical ones share it, equal ones do not."""
    places: Places[Value] = Places()
    one, other = Value(), Value()
    first, second = places.take(one), places.take(other)
    assert first != second
    assert (first, second) == (places.take(one), places.take(other))
    assert places[first] is one
    assert places[second] is other


def test_a_value_goes_with_its_last_row() -> None:
    """And its place is the next one's."""
    places: Places[Value] = Places()
    value = Value()
    gone, place = weakref.ref(value), places.take(value)
    assert place == places.take(value)
    del value
    places.give_back(place)
    assert places[place] is gone()
    places.give_back(place)
    gc.collect()
    assert gone() is None
    with pytest.raises(AssertionError, match="no row"):
        places[place]
    assert place == places.take(Value())


@given(moves=st.lists(st.tuples(st.integers(0, 3), st.booleans()), max_size=60))
def test_every_row_finds_its_value(moves: list[tuple[int, bool]]) -> None:
    """Whatever comes and goes, and with no more places than there were values at once."""
    places: Places[Value] = Places()
    values = [Value() for _ in range(4)]
    rows: list[tuple[int, int]] = []
    for number, comes in moves:
        if comes:
            rows.append((number, places.take(values[number])))
        elif rows:
            _, place = rows.pop(number % len(rows))
            places.give_back(place)
        assert {True} >= {places[place] is values[which] for which, place in rows}
        assert len(places) <= 4
