"""bench residual: it runs, the crowd is held and takes no connection of the MTA's, and good mail gets through beside it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from bench.residual import Settings
from tests.e2e.servers.need import need

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(("clients", "rate", "is_told"), [(5000, 500.0, False), (5000, 50.0, True)])
def test_all_must_be_in_line_before_the_first_goes_on(clients: int, rate: float, is_told: bool) -> None:
    """Settings with which there would be no such moment are refused."""
    settings = Settings(clients=clients, rate=rate, low=60.0, high=290.0, good_rate=100.0, seconds=120.0)
    assert is_told is bool(settings.problem())


@pytest.mark.e2e
@pytest.mark.slow
def test_residual_sees_the_crowd_wait_without_the_mta(tmp_path: Path) -> None:
    """No message of good mail fails, nobody is refused, and what a client in line takes is something."""
    need("rbldnsd")
    result = tmp_path / "residual.json"
    command = [sys.executable, "-m", "bench", "residual", "--quick", "--json", str(result)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    (row,) = json.loads(result.read_bytes())["rows"]
    figures = row["figures"]
    assert (60, 0, 0, 0) == (figures["in_line"], figures["refused"], figures["good_failed"], figures["mta_waiting"])
    assert figures["pss_kib"] > 0
    assert figures["beside_p99_ms"] > 0
