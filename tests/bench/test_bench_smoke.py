"""Each bench runs from its command line to a valid result file; what it measures is not judged here.

They mostly wait: a few run at the same time.
"""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from bench.peers import PEERS
from tests.e2e.servers import install, valkey

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

ROOT = Path(__file__).resolve().parents[2]
AT_A_TIME = 3
BENCHES = {  # those that take longest first
    "lists": [],
    "residual": [],
    "pass": ["--peer", "tarry_pass"],
    "hold": ["--ending", "quit", "--peer", "epoll"],
    "history": [],
    "dns": [],
    "line": ["--peer", "relay"],
}

Reports = Callable[[str], dict[str, Any]]


def missing(name: str) -> str:
    """Say what that bench would need and is not there."""
    if name == "pass":
        return PEERS["tarry_pass"].missing()
    if name == "history":
        return valkey.missing()
    return install.missing("rbldnsd") if name in ("lists", "residual", "dns") else ""


@pytest.fixture(scope="module")
def reports(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reports]:
    """Give the report of the bench of that name; those of all tests that were asked for are made from the first on."""
    folder = tmp_path_factory.mktemp("bench")
    asked = " ".join(item.name for item in request.session.items)

    def made(name: str) -> dict[str, Any]:
        result = folder / f"{name}.json"
        command = [sys.executable, "-m", "bench", name, "--quick", *BENCHES[name], "--json", str(result)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        report: dict[str, Any] = json.loads(result.read_bytes())
        return report

    with ThreadPoolExecutor(AT_A_TIME) as pool:
        making: dict[str, Future[dict[str, Any]]] = {
            name: pool.submit(made, name) for name in BENCHES if f"test_{name}_" in asked and not missing(name)
        }

        def report(name: str) -> dict[str, Any]:
            if problem := missing(name):
                pytest.skip(problem)
            return making[name].result()

        yield report


def figures(report: dict[str, Any]) -> dict[str, float]:
    """Return the figures of its one row."""
    (row,) = report["rows"]
    found: dict[str, float] = row["figures"]
    return found


def test_hold_writes_a_result_with_its_machine_and_one_row(reports: Reports) -> None:
    """`python -m bench hold` on the bare epoll peer greets every client and says where that was measured."""
    report = reports("hold")

    assert (report["schema"], report["measure"], report["skipped"]) == (1, "hold", [])
    assert {"cpu", "cores", "kernel", "python", "date", "command", "commit"} <= report["machine"].keys()
    assert [row["peer"] for row in report["rows"]] == ["epoll"]
    assert report["rows"][0]["figures"]["not_greeted"] == 0
    assert report["summary"]["epoll"].keys() == {figure["key"] for figure in report["figures"]}


def test_line_counts_the_clients_that_stay_and_what_they_take(reports: Reports) -> None:
    """`python -m bench line` on the blind relay gets all clients as far as a recipient, and has a figure of what each takes.

    Of fifty clients it may be below 0: what the relay gives back meanwhile counts as well.
    """
    found = figures(reports("line"))
    assert found["in_line"] == 50
    assert isinstance(found["pss_kib"], float)


def test_pass_tells_the_front_door_from_what_stands_behind_it(reports: Reports) -> None:
    """`python -m bench pass` greets every client, and the door's own CPU is a part of all."""
    found = figures(reports("pass"))
    assert found["not_greeted"] == 0
    assert 0 < found["own_ms"] < found["cpu_ms"]


def test_dns_answers_every_question(reports: Reports) -> None:
    """`python -m bench dns` has an answer to all that its clients ask, and finds that each takes something."""
    rows = reports("dns")["rows"]
    assert [row["peer"] for row in rows] == ["desk", "pycares"]
    assert {row["figures"]["unknown"] for row in rows} == {0}
    assert all(row["figures"]["cpu_ms"] > 0 for row in rows)


def test_lists_tells_what_they_cost_beside_the_hold(reports: Reports) -> None:
    """The hold alone, then with five lists: dearer by what it says, nobody left ungreeted, and all answers in the record."""
    hold, lists = (row["figures"] for row in reports("lists")["rows"])
    assert [0, 0] == [hold["not_greeted"], lists["not_greeted"]]
    assert abs(lists["cpu_ms"] - hold["cpu_ms"] - lists["beside_ms"]) < 1e-6
    assert [None, 0] == [hold["in_time_percent"], lists["unknown"]]
    assert 0 < lists["in_time_percent"] <= 100  # the hold is half a second: a machine that stands still misses some


def test_residual_sees_the_crowd_wait_without_the_mta(reports: Reports) -> None:
    """No message of good mail fails, nobody is refused, and what a client in line takes is something."""
    found = figures(reports("residual"))
    assert (60, 0, 0, 0) == (found["in_line"], found["refused"], found["good_failed"], found["mta_waiting"])
    assert found["pss_kib"] > 0
    assert found["beside_p99_ms"] > 0


def test_history_remembers_every_session(reports: Reports) -> None:
    """`python -m bench history` reads and writes with each store, and nothing is lost."""
    rows = reports("history")["rows"]
    assert ["sqlite", "valkey"] == [row["peer"] for row in rows]
    assert [0, 0] == [row["figures"]["lost"] for row in rows]
    assert all(row["figures"]["p99_ms"] > 0 for row in rows)
