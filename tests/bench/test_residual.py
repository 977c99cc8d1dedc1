"""bench residual: its settings. That it runs, and finds what it is to find, is in test_bench_smoke."""

import pytest
from bench.residual import Settings


@pytest.mark.parametrize(("clients", "rate", "is_told"), [(5000, 500.0, False), (5000, 50.0, True)])
def test_all_must_be_in_line_before_the_first_goes_on(clients: int, rate: float, is_told: bool) -> None:
    """Settings with which there would be no such moment are refused."""
    settings = Settings(clients=clients, rate=rate, low=60.0, high=290.0, good_rate=100.0, seconds=120.0)
    assert is_told is bool(settings.problem())
