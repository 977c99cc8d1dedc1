"""The manual clock."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tarry.core.clock import Clock, ManualClock


def readings(clock: Clock) -> tuple[float, float]:
    """Read both; typed as the protocol, which the manual clock fulfils."""
    return clock.monotonic(), clock.wall()


def test_it_stands_still() -> None:
    """Reading a manual clock does not move it."""
    clock = ManualClock(5.0, 1000.0)
    assert [(5.0, 1000.0), (5.0, 1000.0)] == [readings(clock), readings(clock)]


def test_it_moves_when_told() -> None:
    """Both readings move by the same length, and the new monotonic one is returned."""
    clock = ManualClock(5.0, 1000.0)
    assert 7.5 == clock.advance(2.5)
    assert (7.5, 1002.5) == readings(clock)


@given(steps=st.lists(st.floats(0, 1e6)))
def test_it_never_goes_back(steps: list[float]) -> None:
    """Monotonic means so."""
    clock = ManualClock()
    seen = [clock.monotonic(), *(clock.advance(length) for length in steps)]
    assert sorted(seen) == seen


def test_a_negative_step_is_our_mistake() -> None:
    """It raises, and the clock stays where it was."""
    clock = ManualClock(5.0, 1000.0)
    with pytest.raises(ValueError, match="never goes back"):
        clock.advance(-1.0)
    assert (5.0, 1000.0) == readings(clock)
