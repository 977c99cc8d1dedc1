"""The bench runs from its command line to a valid result file; what it measures is not judged here."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from bench.peers import PEERS
from tests.e2e.servers import install

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.e2e
@pytest.mark.slow
def test_hold_writes_a_result_with_its_machine_and_one_row(tmp_path: Path) -> None:
    """`python -m bench hold` on the bare epoll peer greets every client and says where that was measured."""
    result = tmp_path / "hold.json"
    command = [sys.executable, "-m", "bench", "hold", "--quick", "--ending", "quit", "--peer", "epoll", "--json", str(result)]

    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)

    assert done.returncode == 0, done.stderr
    report = json.loads(result.read_bytes())
    assert (report["schema"], report["measure"], report["skipped"]) == (1, "hold", [])
    assert {"cpu", "cores", "kernel", "python", "date", "command", "commit"} <= report["machine"].keys()
    assert [row["peer"] for row in report["rows"]] == ["epoll"]
    assert report["rows"][0]["figures"]["not_greeted"] == 0
    assert report["summary"]["epoll"].keys() == {figure["key"] for figure in report["figures"]}


@pytest.mark.e2e
@pytest.mark.slow
def test_line_counts_the_clients_that_stay_and_what_they_take(tmp_path: Path) -> None:
    """`python -m bench line` on the blind relay gets all clients as far as a recipient, and finds that each takes something."""
    figures = _figures(tmp_path / "line.json", "line", "--quick", "--peer", "relay")
    assert figures["in_line"] == 50
    assert figures["pss_kib"] > 0


@pytest.mark.e2e
@pytest.mark.slow
def test_pass_tells_the_front_door_from_what_stands_behind_it(tmp_path: Path) -> None:
    """`python -m bench pass` greets every client, and the door's own CPU is a part of all."""
    if problem := PEERS["tarry_pass"].missing():
        pytest.skip(problem)
    figures = _figures(tmp_path / "pass.json", "pass", "--quick", "--peer", "tarry_pass")
    assert figures["not_greeted"] == 0
    assert 0 < figures["own_ms"] < figures["cpu_ms"]


@pytest.mark.e2e
@pytest.mark.slow
def test_dns_answers_every_question(tmp_path: Path) -> None:
    """`python -m bench dns` has an answer to all that its clients ask, and finds that each takes something."""
    if problem := install.missing("rbldnsd"):
        pytest.skip(problem)
    result = tmp_path / "dns.json"
    command = [sys.executable, "-m", "bench", "dns", "--quick", "--json", str(result)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    rows = json.loads(result.read_bytes())["rows"]
    assert [row["peer"] for row in rows] == ["desk", "pycares"]
    assert {row["figures"]["unknown"] for row in rows} == {0}
    assert all(row["figures"]["cpu_ms"] > 0 for row in rows)


def _figures(result: Path, *arguments: str) -> dict[str, float]:
    """Run the bench and return the figures of its one row."""
    command = [sys.executable, "-m", "bench", *arguments, "--json", str(result)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    (row,) = json.loads(result.read_bytes())["rows"]
    figures: dict[str, float] = row["figures"]
    return figures
