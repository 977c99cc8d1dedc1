"""How many connections to the MTA are being opened at one moment."""

from __future__ import annotations

from functools import partial

from hypothesis import given
from hypothesis import strategies as st

from tarry.core.clock import ManualClock
from tarry.net.openings import LONGEST, MOST, Opening, Openings
from tests.shell import Loop


class Crowd:
    """Openings, and who has begun."""

    def __init__(self) -> None:
        self.clock = ManualClock(100.0)
        self.loop = Loop(self.clock)
        self.openings = Openings(self.loop.loop, self.clock)
        self.begun: list[int] = []

    def come(self, count: int) -> list[Opening]:
        made = [Opening(partial(self.begun.append, number)) for number in range(count)]
        for one in made:
            self.openings.begin(one)
        return made


def test_a_few_begin_at_once() -> None:
    """And no timer is set."""
    crowd = Crowd()
    crowd.come(MOST)
    assert (list(range(MOST)), []) == (crowd.begun, crowd.loop.waiting)


def test_a_crowd_comes_one_by_one_as_the_mta_greets() -> None:
    """In the order in which they came."""
    crowd = Crowd()
    made = crowd.come(3 * MOST)
    for number, one in enumerate(made):
        crowd.openings.end(one)
        assert list(range(min(3 * MOST, MOST + number + 1))) == crowd.begun


def test_an_mta_that_is_slow_to_greet_keeps_nobody_for_long() -> None:
    """As many again each LONGEST seconds."""
    crowd = Crowd()
    crowd.come(3 * MOST)
    for times in (2, 3):
        crowd.loop.advance(LONGEST + 0.002)
        assert times * MOST == len(crowd.begun)
    assert [] == crowd.loop.waiting


def test_who_gives_up_in_the_crowd_is_not_opened() -> None:
    """Its place in the line goes to the next."""
    crowd = Crowd()
    made = crowd.come(MOST + 2)
    crowd.openings.end(made[MOST])
    crowd.openings.end(made[0])
    assert [*range(MOST), MOST + 1] == crowd.begun


def test_an_end_that_is_told_twice_is_one() -> None:
    """And one that has made room already is none."""
    crowd = Crowd()
    made = crowd.come(MOST + 1)
    crowd.loop.advance(LONGEST + 0.002)
    for one in (made[0], made[0], made[1]):
        crowd.openings.end(one)
    crowd.begun.clear()
    crowd.come(1)
    assert [0] == crowd.begun


@given(st.lists(st.tuples(st.sampled_from(("come", "end", "wait")), st.integers(0, 60)), max_size=60))
def test_everybody_has_a_turn_and_never_too_many(steps: list[tuple[str, int]]) -> None:
    """Whatever order things happen in: in the end each that has not ended has begun, once, and in order."""
    crowd = Crowd()
    made: list[Opening] = []
    ended: set[int] = set()
    for what, number in steps:
        if what == "come":
            one = Opening(partial(crowd.begun.append, len(made)))
            made.append(one)
            crowd.openings.begin(one)
        elif what == "end" and number < len(made):
            ended.add(number)
            crowd.openings.end(made[number])
        else:
            crowd.loop.advance(number / 1000)
    for _ in made:
        crowd.loop.advance(LONGEST + 0.002)
    assert sorted(set(crowd.begun)) == crowd.begun
    assert set(range(len(made))) - ended <= set(crowd.begun)
    assert [] == crowd.loop.waiting
