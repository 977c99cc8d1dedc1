"""bench workers: how a crowd is shared out among generators. That it runs: `python -m bench workers --quick`."""

import os
from pathlib import Path

import pytest
from bench.workers import OF_ONE_GENERATOR, Settings, limited


def settings(clients: int, rate: float = 1500.0, wait: float = 60.0) -> Settings:
    return Settings(counts=(1, 2), messages=100, share=0.4, clients=clients, crowd_workers=4, rate=rate, wait=wait)


@pytest.mark.parametrize(("clients", "crowds"), [(1, [1]), (15000, [15000]), (15001, [7501, 7500]), (50000, [12500] * 4)])
def test_no_generator_has_more_clients_than_descriptors(clients: int, crowds: list[int]) -> None:
    """And none is left out."""
    assert crowds == settings(clients).crowds()
    assert max(crowds) <= OF_ONE_GENERATOR


def test_all_must_be_in_before_the_first_is_greeted() -> None:
    """Or they would not be held at once."""
    assert "" == settings(50000).problem()
    assert "raise --rate or --wait" in settings(50000, wait=30.0).problem()


def test_without_a_group_workers_run_free(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that is not there cannot be limited, and no group is left behind."""
    monkeypatch.setattr("bench.workers._home", lambda: Path("/nonexistent"))
    with limited([os.getpid()], 0.5) as is_limited:
        assert not is_limited
