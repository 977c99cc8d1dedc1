"""bench lists: it runs, every client is greeted, and every question has an answer in time."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from bench.lists import Settings
from tests.e2e.servers.need import need

ROOT = Path(__file__).resolve().parents[2]


def test_a_tenth_comes_before_the_count() -> None:
    """And twenty at least."""
    assert [20, 200] == [Settings(clients=clients, rate=1.0, wait=1.0).warm_up for clients in (100, 2000)]


@pytest.mark.e2e
@pytest.mark.slow
def test_lists_tells_what_they_cost_beside_the_hold(tmp_path: Path) -> None:
    """The hold alone, then with five lists: dearer by what it says, nobody left ungreeted, and all answers in the record."""
    need("rbldnsd")
    result = tmp_path / "lists.json"
    command = [sys.executable, "-m", "bench", "lists", "--quick", "--json", str(result)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    hold, lists = (row["figures"] for row in json.loads(result.read_bytes())["rows"])
    assert [0, 0] == [hold["not_greeted"], lists["not_greeted"]]
    assert abs(lists["cpu_ms"] - hold["cpu_ms"] - lists["beside_ms"]) < 1e-6
    assert [None, 100, 0] == [hold["in_time_percent"], lists["in_time_percent"], lists["unknown"]]
