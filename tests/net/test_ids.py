"""Names of sessions."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from tarry.net.ids import SessionIds, of_process


def test_an_id_is_the_start_and_a_number() -> None:
    """Short enough to be read out."""
    ids = SessionIds(1_700_000_000.9)
    assert ["6553F100-0001", "6553F100-0020", "6553F100-12345"] == [ids.text(1), ids.text(32), ids.text(0x12345)]


@given(
    started=st.lists(st.integers(0, 2**33), min_size=2, max_size=2, unique=True),
    numbers=st.lists(st.integers(1, 2**40), unique=True),
)
def test_ids_are_unique(started: list[int], numbers: list[int]) -> None:
    """Over restarts a second apart, and within a run."""
    names = [SessionIds(start).text(number) for start in started for number in numbers]
    assert len(names) == len(set(names))
    assert all(name.isascii() and '"' not in name for name in names)


@given(
    st.lists(st.integers(1, 4096), min_size=2, max_size=2, unique=True),
    st.integers(1_700_000_000, 2**32 - 1),
    st.integers(1, 2**32),
)
def test_workers_that_begin_in_one_second_have_ids_of_their_own(incarnations: list[int], started: int, number: int) -> None:
    """Each id has the form in which `tarry explain` looks for one, and one that is alone has none of theirs."""
    names = {SessionIds(started, which).text(number) for which in (0, *incarnations)}
    assert 3 == len(names)
    assert all(re.fullmatch("[0-9A-F]{8,11}-[0-9A-F]{1,9}", name) for name in names)


def test_a_process_of_its_own_has_an_id_of_its_own() -> None:
    """A daemon's has fewer digits before the dash, a worker's begins with another one until 2106, so one log may hold them all."""
    assert "18BCFE56800-1A2B" == of_process(1_700_000_000.0, 0x1A2B)
    assert "6553F10000A-0001" == SessionIds(1_700_000_000.0, 10).text(1)
    assert len(SessionIds(2**32).text(1).partition("-")[0]) < len(of_process(1_700_000_000.0, 1).partition("-")[0])
