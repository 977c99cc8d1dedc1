"""bench lists: how many clients come before the count. That it runs, and finds what it is to find, is in test_bench_smoke."""

from bench.lists import Settings


def test_a_tenth_comes_before_the_count() -> None:
    """And twenty at least."""
    assert [20, 200] == [Settings(clients=clients, rate=1.0, wait=1.0).warm_up for clients in (100, 2000)]
