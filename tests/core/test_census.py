"""What several processes count together: never too little, and seldom too much."""

from __future__ import annotations

import mmap
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tarry.core.census import FULL, SIZE_PER_WORKER, WIDTH, Census, Scope

SEED = b"a seed of sixteen"
CLIENT, NETWORK = Scope


def memory(workers: int) -> memoryview:
    """Return memory that costs nothing before it is written."""
    return memoryview(mmap.mmap(-1, workers * SIZE_PER_WORKER))


def processes(workers: int, seed: bytes = SEED) -> list[Census]:
    shared = memory(workers)
    return [Census(shared, seed, number) for number in range(1, workers + 1)]


def address(number: int) -> bytes:
    return number.to_bytes(4, "big")


def others(census: Census, key: bytes, scope: Scope = CLIENT, enough: float = 0) -> int:
    return census.others(scope, census.spots(scope, key), enough)


def rate(census: Census, key: bytes, now: float, scope: Scope = CLIENT, enough: float = 0) -> float:
    return census.rate(scope, census.spots(scope, key), now, enough)


def enter(census: Census, key: bytes, scope: Scope = CLIENT) -> None:
    census.enter(scope, census.spots(scope, key))


def come(census: Census, key: bytes, now: float, scope: Scope = CLIENT) -> None:
    census.come(scope, census.spots(scope, key), now)


def test_a_process_sees_what_the_others_have() -> None:
    """And not its own, which it knows exactly; nor what is counted by another scope."""
    one, two, three = processes(3)
    for census in (one, two, two):
        enter(census, b"\xc0\0\2\1")
    assert [2, 1, 3] == [others(census, b"\xc0\0\2\1") for census in (one, two, three)]
    assert [0, 0] == [others(three, b"\xc0\0\2\2"), others(three, b"\xc0\0\2\1", NETWORK)]


@settings(max_examples=30)
@given(
    moves=st.lists(st.tuples(st.integers(0, 2), st.integers(0, 5), st.booleans(), st.sampled_from(Scope)), max_size=60),
)
def test_never_less_than_there_is(moves: list[tuple[int, int, bool, Scope]]) -> None:
    """Whoever comes and goes, where, in whatever order; and with few clients it is exact."""
    all_of_them = processes(3)
    inside: Counter[tuple[int, Scope, bytes]] = Counter()
    for worker, client, comes, scope in moves:
        census, key = all_of_them[worker], address(client)
        if comes:
            enter(census, key, scope)
            inside[worker, scope, key] += 1
        elif inside[worker, scope, key]:
            census.leave(scope, census.spots(scope, key))
            inside[worker, scope, key] -= 1
    for worker, census in enumerate(all_of_them):
        for scope in Scope:
            for client in range(6):
                expected = sum(inside[other, scope, address(client)] for other in range(3) if other != worker)
                assert expected == others(census, address(client), scope)


@pytest.mark.parametrize("scope", Scope)
def test_too_much_is_rare(scope: Scope) -> None:
    """15,000 clients of four processes: about one stranger in 7,000 is thought to be in already, and none to be in three times."""
    asking, *busy = processes(5)
    for number in range(15_000):
        enter(busy[number % 4], address(number), scope)
    strangers = Counter(others(asking, address(number), scope) for number in range(1 << 20, (1 << 20) + 30_000))
    known = Counter(others(asking, address(number), scope) for number in range(15_000))
    assert strangers[0] >= 30_000 - 20
    assert max(strangers) <= 2
    assert known[1] >= 15_000 - 10
    assert min(known) == 1


def test_enough_is_where_looking_ends() -> None:
    """Who has no more than enough costs one row; what is said is then enough at most, and else exact."""
    one, two = processes(2)
    for _ in range(5):
        enter(two, b"\1\1\1\1")
    assert [5, 5, 5] == [others(one, b"\1\1\1\1", enough=enough) for enough in (0, 4, 5)]
    row, *_ = one.spots(CLIENT, b"\2\2\2\2")
    two.enter(CLIENT, (row,))  # another client that has the first place of this one
    assert [0, 1] == [others(one, b"\2\2\2\2", enough=enough) for enough in (0, 1)]


def test_places_follow_from_the_seed() -> None:
    """The processes of one start agree; who knows the addresses and not the seed cannot tell which of them share places."""
    one, two = processes(2)
    (stranger,) = processes(1, b"another seed")
    assert one.spots(CLIENT, b"\1\2\3\4") == two.spots(CLIENT, b"\1\2\3\4") != stranger.spots(CLIENT, b"\1\2\3\4")
    spots = [one.spots(CLIENT, address(number)) for number in range(1000)]
    assert [[0, 1, 2, 3]] * 1000 == [[spot // WIDTH for spot in each] for each in spots]
    assert 990 < len({each[0] for each in spots})
    assert one.name == two.name != stranger.name


def test_a_place_that_is_full_stays_so() -> None:
    """It neither begins at 0 again nor forgets whom it had counted."""
    one, two = processes(2)
    spots = two.spots(CLIENT, b"\1\2\3\4")
    for _ in range(FULL + 3):
        two.enter(CLIENT, spots)
    assert FULL == others(one, b"\1\2\3\4")
    two.leave(CLIENT, spots)
    assert FULL == others(one, b"\1\2\3\4")


def test_a_place_is_never_below_nothing() -> None:
    """Also where more leave than came, after a fault of ours."""
    one, two = processes(2)
    two.leave(CLIENT, two.spots(CLIENT, b"\1\2\3\4"))
    assert 0 == others(one, b"\1\2\3\4")


# The rate.


@pytest.mark.parametrize("start", [0.0, 86_400.0 * 400, 59.0])
def test_the_rate_of_even_arrivals_is_exact(start: float) -> None:
    """One each two seconds is thirty a minute at every moment, from the second minute on, by whomever they were taken."""
    one, two = processes(2)
    for step in range(150):
        now = start + step * 2.0
        come((one, two)[step % 2], b"\1\2\3\4", now)
        if step >= 60:
            assert 30 == pytest.approx(rate(two, b"\1\2\3\4", now), abs=1.01)


def test_who_stops_is_forgotten_within_two_minutes() -> None:
    """The minute before counts for as much of it as is within the last 60 seconds."""
    (census,) = processes(1)
    for _ in range(10):
        come(census, b"\1\2\3\4", 60.0)
    expected = [(60.0, 10.0), (119.9, 10.0), (120.0, 10.0), (150.0, 5.0), (174.0, 1.0), (180.0, 0.0), (300.0, 0.0)]
    assert expected == [(at, pytest.approx(rate(census, b"\1\2\3\4", at))) for at, _ in expected]


def test_the_error_of_two_windows_has_bounds() -> None:
    """Ten at the end of a minute and what a limit of ten admits in the next: never twenty within 60 seconds."""
    (census,) = processes(1)
    admitted: list[float] = [119.0] * 10
    for _ in admitted:
        come(census, b"\1\2\3\4", 119.0)
    now = 120.0
    while now < 240.0:
        now += 0.5
        if rate(census, b"\1\2\3\4", now) <= 9:
            come(census, b"\1\2\3\4", now)
            admitted.append(now)
    within = [sum(1 for one in admitted if at - 60.0 < one <= at) for at in admitted]
    assert 10 < max(within) < 20
    assert within[-1] <= 11


@settings(max_examples=30)
@given(arrivals=st.lists(st.tuples(st.integers(0, 2), st.floats(0, 40), st.integers(0, 3)), max_size=40))
def test_the_rate_is_that_of_two_exact_windows(arrivals: list[tuple[int, float, int]]) -> None:
    """Whoever counts them, and however long a process has taken nobody: what it has of older minutes is not read."""
    all_of_them, now = processes(3), 1000.0
    came: Counter[tuple[int, bytes]] = Counter()
    for worker, later, client in arrivals:
        now += later
        come(all_of_them[worker], address(client), now)
        came[int(now // 60), address(client)] += 1
        share = 1 - now % 60 / 60
        for key in map(address, range(4)):
            expected = came[int(now // 60), key] + share * came[int(now // 60) - 1, key]
            assert [pytest.approx(expected)] * 3 == [rate(census, key, now) for census in all_of_them]


def test_the_rate_of_a_network_is_another() -> None:
    """And `enough` holds for rates too."""
    (census,) = processes(1)
    for _ in range(4):
        come(census, b"\1\2\3", 70.0, NETWORK)
    assert [0, 4] == [rate(census, b"\1\2\3", 70.0, scope) for scope in Scope]
    assert 4 == rate(census, b"\1\2\3", 70.0, NETWORK, enough=9)


@pytest.mark.parametrize("worker", [0, 3, -1])
def test_a_worker_has_a_region(worker: int) -> None:
    """A number without one is a fault of ours, told at once."""
    with pytest.raises(ValueError, match=f"no region for worker {worker} of 2"):
        Census(memory(2), SEED, worker)
