"""The verb `tarry inetd` as click shows it."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from tarry.cli import cli, straight
from tarry.cli.straight import Asked


@pytest.mark.parametrize(
    ("words", "asked"),
    [
        (["inetd", "-cf", "--", "cmd", "-x", "--help"], Asked(("cmd", "-x", "--help"), "f")),
        (["-c", "g", "inetd", "--", "cmd"], Asked(("cmd",), "g")),
        (["inetd", "--observe", "cmd", "-c", "h"], Asked(("cmd", "-c", "h"), "", True)),
    ],
)
def test_its_words(words: list[str], asked: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file before or behind the verb; the command's own options are the command's. The exit status is what came of it."""
    taken: list[Asked] = []
    monkeypatch.setattr(straight, "serve", lambda one: taken.append(one) or 75)
    assert 75 == CliRunner().invoke(cli, words, prog_name="tarry").exit_code
    assert [asked] == taken


def test_a_command_is_needed() -> None:
    """Wrong usage is 2."""
    result = CliRunner().invoke(cli, ["inetd"], prog_name="tarry")
    assert (2, True) == (result.exit_code, "Missing argument" in result.stderr)


def test_help_says_how_it_is_started() -> None:
    """By whom, and with what."""
    said = CliRunner().invoke(cli, ["inetd", "--help"], prog_name="tarry").stdout
    for word in ("inetd (nowait)", "tcpserver", "Accept=yes", "StandardInput=socket", "TCPREMOTEIP", "{client}"):
        assert word in said
