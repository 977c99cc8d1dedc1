"""`tarry explain`: a check, one of its reasons, and whether a name is one of these or of a client."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from tests.config.own import SOURCE

from tarry.checks import REGISTRY
from tarry.cli import cli


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def run(*args: str) -> Result:
    return CliRunner().invoke(cli, args, prog_name="tarry")


def write(text: str, name: str = "tarry.toml") -> None:
    Path(name).write_text(text)


def test_a_check() -> None:
    """What it looks for, its reasons with what the client is told, its values and the lines to change them."""
    result = run("explain", "many_errors")
    lines = result.stdout.splitlines()
    assert 0 == result.exit_code
    assert ["many_errors", "Notice a client that makes one mistake after the other.", ""] == lines[:3]
    assert ["What", "Why", "Mistaken", "Source", "Since", ""] == [line.partition(" ")[0] for line in lines[3:9]]
    assert [
        "Reasons",
        "  many_errors.limit: the session got more error replies than checks.many_errors.limit",
        "      drop: refused where it is found, and the connection closed",
        "      the client is told: 521 5.7.1 Too many errors [ID]",
        "",
        "Values, without a file",
        '  action     "drop"                       default',
    ] == lines[9:16]
    assert "  limit      10                           default" in lines
    assert ["To change it, in tarry.toml", "  [checks.many_errors]"] == lines[-4:-2]
    assert "  limit = 10" == lines[-1]


@pytest.mark.parametrize("args", [("explain", "-c", "a.toml", "many_errors"), ("-c", "a.toml", "explain", "many_errors")])
def test_values_are_those_of_the_file(args: tuple[str, ...]) -> None:
    """Each with its line."""
    write('[checks.many_errors]\nlimit = 3\naction = "tag"\n', "a.toml")
    lines = run(*args).stdout.splitlines()
    assert "  limit      3                            a.toml:2" in lines
    assert "Values, from a.toml" in lines
    assert "  With defer, reject or drop the client would be told: Too many errors." in lines


def test_the_usual_file_is_taken_when_it_is_there() -> None:
    """As `tarry config show` does."""
    write('preset = "carraway-2003"\n')
    assert '  action     "ignore"                     preset carraway-2003' in run("explain", "predata").stdout.splitlines()


def test_one_reason() -> None:
    """Only this one, and how to change it alone."""
    lines = run("explain", "pregreet.tls").stdout.splitlines()
    assert "pregreet.tls" == lines[0]
    assert "Reason" in lines and not [line for line in lines if "pregreet.spoke" in line]
    assert '  codes = { tls = "reject" }    # ignore, tag, delay, discard, defer, reject, drop' == lines[-1]


def test_an_own_check() -> None:
    """Like a built-in one, with its file."""
    write(SOURCE, "own.py")
    write('plugins = ["own.py"]\n[checks.greeter]\nwords = ["x", "y"]\n')
    result = run("explain", "greeter")
    assert (0, "greeter (your own check, own.py)") == (result.exit_code, result.stdout.splitlines()[0])
    assert '  words      ["x", "y"]                   tarry.toml:3' in result.stdout.splitlines()
    assert "      Words that a name is not to hold." in result.stdout.splitlines()


def test_the_list() -> None:
    """Without a name: every check in a line."""
    lines = run("explain").stdout.splitlines()
    assert [check.name for check in REGISTRY] == [line.partition(" ")[0] for line in lines]
    assert "Notice lines that do not end in CR LF." in " ".join(lines)


def test_json() -> None:
    """One object, with everything that the text has."""
    write("[checks.many_errors]\nlimit = 3\n")
    told = json.loads(run("explain", "--json", "many_errors").stdout)
    assert (1, "many_errors", None, None, "tarry.toml") == tuple(told[name] for name in ("v", "check", "code", "own", "file"))
    assert {"what", "why", "mistaken", "source", "since"} == set(told["sections"])
    assert "521 5.7.1 Too many errors [ID]" == told["reasons"][0]["reply"]
    limit = told["values"]["checks.many_errors.limit"]
    assert (3, 10, "file", "tarry.toml:2") == tuple(limit[name] for name in ("value", "default", "origin", "place"))
    assert "limit = 3" in told["change"]
    assert ["tls"] == [one["code"] for one in json.loads(run("explain", "--json", "pregreet.tls").stdout)["reasons"]]
    listed = json.loads(run("explain", "--json").stdout)
    assert [check.name for check in REGISTRY] == [one["check"] for one in listed["checks"]]


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("pregreat", 'there is no check "pregreat"; did you mean pregreet?'),
        ("pregreat.tls", 'there is no check "pregreat"; did you mean pregreet.tls?'),
        ("pregreet.tsl", 'pregreet has no code "tsl"; did you mean pregreet.tls?'),
        ("pregreet.", 'pregreet has no code ""; there is pregreet.spoke, pregreet.tls, pregreet.http, pregreet.proxy'),
        ("grouping", 'there is no check "grouping"; there are pregreet, '),
        ("group", 'there is no check "group"; did you mean pipelining.group?'),
        ("a\x1b[1m", 'there is no check "a\\u001b[1m"; there are pregreet, '),
    ],
)
def test_unknown_names(name: str, told: str) -> None:
    """The nearest right one is named; status 2."""
    result = run("explain", name)
    assert (2, "") == (result.exit_code, result.stdout)
    assert result.stderr.startswith(f"tarry explain: {told}")


@pytest.mark.parametrize("name", ["192.0.2.7", "2001:db8::7", "68A0B1C2-0001", "68A0B1C200F-0001", "18f3a0b1c2d-1a2b"])
def test_clients_and_sessions_are_told_apart_from_checks(name: str) -> None:
    """By their form alone; nothing is known of them here."""
    result = run("explain", "--store", "none", name)
    assert 1 == result.exit_code
    assert "there is no check" not in result.stderr
    assert "record.path" in result.stdout + result.stderr


def test_a_network_is_no_client() -> None:
    """And is told how to find those that are in it."""
    result = run("explain", "192.0.2.0/24")
    assert (2, "") == (result.exit_code, result.stdout)
    assert result.stderr.startswith("tarry explain: 192.0.2.0/24 is no client: give one ADDRESS; `tarry clients list --match`")


@pytest.mark.parametrize("option", ["--records", "--store"])
def test_options_about_clients(option: str) -> None:
    """Mean nothing to a check."""
    result = run("explain", option, "x", "pregreet")
    assert (2, "") == (result.exit_code, result.stdout)
    assert result.stderr.startswith("tarry explain: --records and --store are about a client or a session")


def test_a_file_with_errors() -> None:
    """What can be told is told; the errors come first, and the status is 1."""
    write("[checks.many_errors]\nlimit = 3\nlimmit = 4\n")
    result = run("explain", "many_errors")
    assert 1 == result.exit_code
    assert result.stderr.startswith("tarry.toml:3: error: checks.many_errors.limmit: no such key")
    assert "  limit      3                            tarry.toml:2" in result.stdout.splitlines()


def test_on_a_terminal_lines_are_wrapped_and_headings_bold(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not wider than the terminal; with NO_COLOR nothing is bold."""
    monkeypatch.setattr("tarry.cli.layout.is_terminal", lambda: True)
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    shown = CliRunner().invoke(cli, ["explain", "bare_newline"], color=True).stdout
    assert shown.startswith("\x1b[1mbare_newline\x1b[0m\n")
    monkeypatch.setenv("NO_COLOR", "1")
    plain = CliRunner().invoke(cli, ["explain", "bare_newline"], color=True).stdout
    assert "\x1b" not in plain
    text = plain.partition("Values")[0].splitlines()
    assert 60 > max(map(len, text))
