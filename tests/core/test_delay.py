"""How long to hold, for any numbers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tarry.core.delay import LEAST_RESIDUAL, residual, tarpit
from tarry.core.policy import LONGEST_HOLD, Tarpit

anything = st.floats()  # infinities and NaN as well


@pytest.mark.parametrize(
    ("target", "accepted_at", "now", "hold"),
    [
        (60.0, 1000.0, 1000.0, 60.0),
        (60.0, 1000.0, 1045.0, 15.0),
        (60.0, 1000.0, 1059.5, 1.0),
        (60.0, 1000.0, 2000.0, 1.0),
        (290.0, 1000.0, 1000.0, 290.0),
        (400.0, 1000.0, 1000.0, 295.0),
        (400.0, 1000.0, 1200.0, 200.0),
        (0.0, 1000.0, 1000.0, 1.0),
        (60.0, 1000.0, 990.0, 70.0),
    ],
)
def test_residual(target: float, accepted_at: float, now: float, hold: float) -> None:
    """What is left of the target; time already waited counts."""
    assert hold == residual(target, accepted_at, now)


@given(target=anything, accepted_at=anything, now=anything)
def test_a_residual_delay_is_bounded(target: float, accepted_at: float, now: float) -> None:
    """From 1 to 295 seconds, whatever is put in."""
    assert LEAST_RESIDUAL <= residual(target, accepted_at, now) <= LONGEST_HOLD


@given(target=st.floats(0, 295), accepted_at=st.floats(0, 1e6), waited=st.floats(0, 300))
def test_the_whole_wait_comes_to_the_target(target: float, accepted_at: float, waited: float) -> None:
    """Whoever has waited longer waits less now; at most one second too much in all."""
    now = accepted_at + waited
    total = (now - accepted_at) + residual(target, accepted_at, now)
    assert max(target, now - accepted_at) - 1e-6 <= total <= max(target, now - accepted_at + LEAST_RESIDUAL) + 1e-6


@pytest.mark.parametrize(
    ("count", "settings", "hold"),
    [
        (1, Tarpit(5, 10.0), 0.0),
        (5, Tarpit(5, 10.0), 0.0),
        (6, Tarpit(5, 10.0), 60.0),
        (7, Tarpit(5, 10.0), 70.0),
        (6, Tarpit(5, 300.0, 300.0), 300.0),
        (31, Tarpit(5, 10.0), 300.0),
        (1, Tarpit(0, 10.0), 10.0),
        (0, Tarpit(0, 10.0), 0.0),
        (100, Tarpit(5), 0.0),
        (6, Tarpit(5, -1.0), 0.0),
    ],
)
def test_tarpit(count: int, settings: Tarpit, hold: float) -> None:
    """Nothing for the first ones, then step times count up to the cap; step 0 switches it off."""
    assert hold == tarpit(count, settings)


@given(count=st.integers(0, 10**9), free=st.integers(0, 100), step=anything, cap=st.floats(0, 1e6))
def test_a_tarpit_stays_within_its_cap(count: int, free: int, step: float, cap: float) -> None:
    """Never negative, never beyond the cap, whatever the step."""
    assert 0.0 <= tarpit(count, Tarpit(free, step, cap)) <= cap


@given(count=st.integers(0, 10**6), free=st.integers(0, 100), step=st.floats(0, 1e3), cap=st.floats(0, 1e6))
def test_a_tarpit_never_gets_shorter(count: int, free: int, step: float, cap: float) -> None:
    """One command more is never held less."""
    settings = Tarpit(free, step, cap)
    assert tarpit(count, settings) <= tarpit(count + 1, settings)


# The other shape.


@pytest.mark.parametrize(
    ("count", "settings", "hold"),
    [
        (5, Tarpit(5, start=2.0, factor=3.0), 0.0),
        (6, Tarpit(5, start=2.0, factor=3.0), 2.0),
        (7, Tarpit(5, start=2.0, factor=3.0), 6.0),
        (9, Tarpit(5, start=2.0, factor=3.0), 54.0),
        (9, Tarpit(5, start=2.0), 2.0),
        (10**9, Tarpit(5, start=2.0, factor=3.0, cap=240.0), 240.0),
        (6, Tarpit(5, start=300.0, factor=1.0, cap=240.0), 240.0),
        (6, Tarpit(5, start=2.0, cap=0.0), 0.0),
        (6, Tarpit(5, step=1.0, start=2.0), 6.0),
    ],
)
def test_a_tarpit_that_multiplies(count: int, settings: Tarpit, hold: float) -> None:
    """From ``start`` on, each ``factor`` times as long as the one before; a step counts where both are set."""
    assert hold == pytest.approx(tarpit(count, settings))


@given(
    count=st.integers(0, 10**6),
    free=st.integers(0, 100),
    start=st.floats(0, 1e4),
    factor=st.floats(1, 1000),
    cap=st.floats(0, 1e5),
)
def test_a_tarpit_that_multiplies_stays_within_its_cap_and_never_gets_shorter(
    count: int, free: int, start: float, factor: float, cap: float
) -> None:
    """Whatever the numbers."""
    settings = Tarpit(free, cap=cap, start=start, factor=factor)
    one, next_one = tarpit(count, settings), tarpit(count + 1, settings)
    assert 0.0 <= one <= next_one <= cap + cap * 1e-9


@given(target=anything, accepted_at=anything, now=anything, left=st.floats(0, 1000))
def test_a_residual_delay_takes_no_more_than_is_left(target: float, accepted_at: float, now: float, left: float) -> None:
    """Of the session's cap; also where that is less than the least delay."""
    assert 0.0 <= residual(target, accepted_at, now, left=left) <= min(left, LONGEST_HOLD)


@given(target=st.floats(0, 1000), more=st.floats(0, 1000), waited=st.floats(0, 400), left=st.floats(0, 400))
def test_a_longer_target_never_makes_a_shorter_delay(target: float, more: float, waited: float, left: float) -> None:
    """All else being equal."""
    now = 1000.0 + waited
    assert residual(target, 1000.0, now, left=left) <= residual(target + more, 1000.0, now, left=left)
