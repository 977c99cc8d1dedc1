"""The residual delays of a session: for which reasons, how long, and no longer than the cap."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from tarry.core.policy import LONGEST_HOLD, Delay, Span
from tarry.core.residual import Residual
from tarry.core.result import CLEAR, Action, Reason, Verdict

ONE, TWO, THREE = (Reason(name, "x") for name in ("one", "two", "three"))


def asks(*reasons: Reason) -> Verdict:
    return Verdict(Action.DELAY, reasons, None, reasons)


def residual(delay: Delay) -> Residual:
    return Residual(delay, 1000.0, lambda: 0.5)


def test_a_delay_is_served_once() -> None:
    """Up to the target since accept, which is drawn from its range."""
    one = residual(Delay(Span(60.0, 80.0)))
    assert (True, False) == (one.is_due(asks(ONE)), one.is_due(CLEAR))
    assert [66.0, 0.0, 0.0] == [one.take(asks(ONE), 1004.0), one.take(asks(ONE), 1070.0), one.take(CLEAR, 1070.0)]
    assert (ONE,) == one.reasons


def test_each_reason_beyond_the_first_adds_to_the_target() -> None:
    """Those that came together and those that come later; and one that is gone again takes nothing away."""
    one = residual(Delay(Span(60.0, 60.0), per_reason=20.0))
    assert 76.0 == one.take(asks(ONE, TWO), 1004.0)
    assert 20.0 == one.take(asks(THREE), 1080.0)
    assert (ONE, TWO, THREE) == one.reasons


def test_a_later_reason_delays_for_a_second_at_least() -> None:
    """Where the target has passed."""
    one = residual(Delay(Span(60.0, 60.0)))
    assert [56.0, 1.0] == [one.take(asks(ONE), 1004.0), one.take(asks(ONE, TWO), 1500.0)]


def test_the_cap_of_the_session() -> None:
    """What is left of it is all that there is, the second of the least delay included; then no delay is due any more."""
    one = residual(Delay(Span(60.0, 60.0), session_cap=56.5))
    for reason, held in ((ONE, 56.0), (TWO, 0.5), (THREE, 0.0)):
        assert held == one.take(asks(reason), 1004.0)
        one.spend(held)
    assert not one.is_due(asks(THREE))
    assert 0.0 == residual(Delay(session_cap=0.0)).take(asks(ONE), 1004.0)


@given(
    steps=st.lists(st.tuples(st.sets(st.sampled_from("abcdefgh"), min_size=1), st.floats(0, 400)), max_size=8),
    target=st.floats(0, 295),
    per_reason=st.floats(0, 300),
    cap=st.floats(0, 1000),
)
def test_no_session_is_delayed_beyond_its_cap(
    steps: list[tuple[set[str], float]], target: float, per_reason: float, cap: float
) -> None:
    """Nor one hold beyond 295 s; and a reason is never delayed for twice."""
    one = residual(Delay(Span(target, target), per_reason=per_reason, session_cap=cap))
    now, total, known = 1000.0, 0.0, set[str]()
    for names, waited in steps:
        now += waited
        held = one.take(asks(*(Reason(name, "x") for name in sorted(names))), now)
        assert 0.0 <= held <= LONGEST_HOLD
        assert held == 0.0 or not names <= known
        known |= names if held else set()
        one.spend(held)
        now, total = now + held, total + held
    assert total <= cap + 1e-6


@given(reasons=st.integers(1, 6), target=st.floats(0, 295), per_reason=st.floats(0, 100))
def test_one_more_reason_never_shortens_a_delay(reasons: int, target: float, per_reason: float) -> None:
    """All else being equal."""
    few, more = (
        residual(Delay(Span(target, target), per_reason=per_reason, session_cap=math.inf)).take(
            asks(*(Reason(str(number), "x") for number in range(count))), 1004.0
        )
        for count in (reasons, reasons + 1)
    )
    assert few <= more
