"""bench: an interrupt, whatever is measured. That each bench runs is in test_bench_smoke."""

import json
from pathlib import Path

import pytest
from bench.cli import main
from bench.turns import Found
from click.testing import CliRunner

from bench import dns


def test_an_interrupt_keeps_what_was_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It is written, and the status says that it is not all."""
    measured: list[str] = []

    def measure(by: str, settings: dns.Settings) -> Found:
        measured.append(by)
        if len(measured) == 2:
            raise KeyboardInterrupt
        return {"cpu_ms": 1.0}, [], "process_time"

    monkeypatch.setattr(dns, "_measure", measure)
    monkeypatch.setattr(dns.install, "missing", lambda name: "")
    for name in ("resource.setrlimit", "signal.signal"):  # they are the whole process's
        monkeypatch.setattr(name, lambda *_: None)
    result = tmp_path / "dns.json"
    assert 130 == CliRunner().invoke(main, ["dns", "--quick", "--json", str(result)]).exit_code
    assert ["desk"] == [row["peer"] for row in json.loads(result.read_bytes())["rows"]]
