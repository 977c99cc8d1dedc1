"""The bench runs from its command line to a valid result file; what it measures is not judged here."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

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
