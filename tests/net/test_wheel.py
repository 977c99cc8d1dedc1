"""Many deadlines, one timer."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tarry.core.clock import ManualClock
from tarry.net.wheel import TICK, Wheel
from tests.shell import Loop


class Watch:
    """A wheel, and when each of its entries was handed out."""

    def __init__(self) -> None:
        self.clock = ManualClock(100.0)
        self.loop = Loop(self.clock)
        self.handed_out: dict[int, float] = {}
        self.wheel = Wheel(self.loop.loop, self.clock, self.on_due)
        self.then: dict[int, tuple[float, int]] = {}

    def on_due(self, entry: int) -> None:
        assert entry not in self.handed_out
        self.handed_out[entry] = self.clock.monotonic()
        if entry in self.then:
            delay, more = self.then[entry]
            self.wheel.add(self.clock.monotonic() + delay, more)


def test_an_entry_comes_at_its_time() -> None:
    """Not before, and within a tick."""
    watch = Watch()
    watch.wheel.add(101.0, 7)
    watch.loop.advance(0.999)
    assert {} == watch.handed_out
    watch.loop.advance(0.001 + TICK)
    assert [7] == list(watch.handed_out)
    assert [] == watch.loop.waiting


def test_one_timer_serves_all() -> None:
    """It is set for the earliest, and set anew when an earlier one comes."""
    watch = Watch()
    for at in (105.0, 103.0, 104.0, 101.0, 101.0):
        watch.wheel.add(at, int(at * 10) + len(watch.loop.timers))
    assert [True] == [101.0 <= timer.at <= 101.0 + TICK for timer in watch.loop.waiting]


def test_a_crowd_is_handed_out_in_slices() -> None:
    """Between them the loop has its turn; nobody is forgotten."""
    watch = Watch()
    for entry in range(1, 601):
        watch.wheel.add(101.0, entry)
    counts = []
    watch.clock.advance(1.0 + TICK)
    while watch.loop.waiting:
        (timer,) = watch.loop.waiting
        watch.loop.timers.clear()
        timer.call()
        counts.append(len(watch.handed_out))
    assert [256, 512, 600] == counts


def test_the_timer_is_set_for_a_whole_millisecond_that_is_not_early() -> None:
    """A timer of whole milliseconds, as libuv's, comes once: it is not early, and so never set for the rest."""
    watch = Watch()
    watch.loop.advance(0.0007)
    watch.wheel.add(101.0, 7)
    (timer,) = watch.loop.waiting
    delay_ms = (timer.at - watch.clock.monotonic()) * 1000
    assert abs(delay_ms - round(delay_ms)) < 1e-6
    assert int(watch.clock.monotonic() * 1000) + round(delay_ms) >= 101_000


def test_a_late_entry_is_due_at_once() -> None:
    """Its time is over already."""
    watch = Watch()
    watch.wheel.add(50.0, 1)
    watch.loop.advance(0.0)
    assert [1] == list(watch.handed_out)


def test_adding_while_a_crowd_is_handed_out() -> None:
    """The timer that this sets does not make the rest of the crowd wait for it."""
    watch = Watch()
    for entry in range(1, 301):
        watch.wheel.add(101.0, entry)
    watch.then = {entry: (60.0, 1000 + entry) for entry in range(1, 301)}
    watch.loop.advance(1.0 + TICK)
    assert 300 == len(watch.handed_out)
    watch.loop.advance(61.0)
    assert 600 == len(watch.handed_out)


def test_a_closed_wheel_is_still() -> None:
    """Nothing is handed out, and no timer is left; it may be filled again."""
    watch = Watch()
    watch.wheel.close()
    watch.wheel.add(101.0, 1)
    watch.wheel.close()
    assert [] == watch.loop.waiting
    watch.wheel.add(102.0, 2)
    watch.loop.advance(3.0)
    assert [2] == list(watch.handed_out)


def test_a_fault_with_one_is_no_others() -> None:
    """It is told to the loop, and the rest of the crowd is handed out."""
    told: list[dict[str, Any]] = []
    watch = Watch()
    wheel = Wheel(watch.loop.loop, watch.clock, lambda entry: watch.handed_out.update({entry: 1 / (entry - 2)}))
    watch.loop.call_exception_handler = told.append  # type: ignore[attr-defined]
    for entry in (1, 2, 3):
        wheel.add(101.0, entry)
    watch.loop.advance(2.0)
    assert {1, 3} == watch.handed_out.keys()
    assert ["a deadline ends in a fault of tarry itself"] == [each["message"] for each in told]


@given(
    delays=st.lists(st.floats(0, 2) | st.integers(0, 400).map(lambda ticks: ticks * TICK), max_size=30),
    steps=st.lists(st.floats(0, 0.5), max_size=20),
)
def test_never_early_and_a_tick_and_a_millisecond_late_at_most(delays: list[float], steps: list[float]) -> None:
    """For all deadlines, whenever they are added."""
    watch = Watch()
    due = {}
    for entry, delay in enumerate(delays):
        if steps:
            watch.loop.advance(steps[entry % len(steps)])
        due[entry] = watch.clock.monotonic() + delay
        watch.wheel.add(due[entry], entry)
    watch.loop.advance(5.0)
    assert due.keys() == watch.handed_out.keys()
    late = [watch.handed_out[entry] - at for entry, at in due.items()]
    assert all(-1e-9 <= one <= TICK + 0.001 + 1e-6 for one in late), late
