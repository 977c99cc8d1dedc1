"""The command line as a whole: verbs, help, and pipes that break."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

import tarry.cli
from tarry.cli import cli, main
from tarry.version import VERSION


def run(*args: str) -> Result:
    return CliRunner().invoke(cli, args, prog_name="tarry")


@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_help_names_every_verb(flag: str) -> None:
    """With one line each, and without importing any of them."""
    result = run(flag)
    assert 0 == result.exit_code
    for verb, what in tarry.cli._VERBS.items():
        assert f"  {verb}" in result.stdout
        assert what in result.stdout


@pytest.mark.parametrize("verb", sorted(tarry.cli._VERBS))
def test_every_verb_has_its_help(verb: str) -> None:
    """It is imported when it is asked for."""
    result = run(verb, "--help")
    assert (0, True) == (result.exit_code, result.stdout.startswith(f"Usage: tarry {verb} "))


def test_the_version() -> None:
    """On standard output."""
    assert f"tarry {VERSION}\n" == run("--version").stdout


@pytest.mark.parametrize("args", [["nothing"], ["--nothing"], ["serve", "--nothing"], ["serve", "extra"]])
def test_wrong_usage_is_2(args: list[str]) -> None:
    """And says what was meant."""
    result = run(*args)
    assert (2, True) == (result.exit_code, "Usage: tarry" in result.stderr)


def test_help_imports_no_daemon() -> None:
    """`tarry --help` starts fast: no event loop, no server."""
    code = (
        "import sys, tarry.cli\ntry:\n tarry.cli.cli(['--help'])\nexcept SystemExit: pass\n"
        "assert not {'asyncio', 'tarry.daemon'} & set(sys.modules)"
    )
    assert 0 == subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=20, check=False).returncode


def test_main_runs_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    """Under its own name."""
    called: list[dict[str, Any]] = []
    monkeypatch.setattr(tarry.cli, "cli", lambda **kwargs: called.append(kwargs))
    main()
    assert [{"prog_name": "tarry"}] == called


def test_completion_asks_for_no_version() -> None:
    """Shell completion parses the line without running it."""
    assert click.Context(cli, resilient_parsing=True).resilient_parsing
    with cli.make_context("tarry", ["--version"], resilient_parsing=True) as context:
        assert None is context.obj
