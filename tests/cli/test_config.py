"""`tarry config`: init, check, show, reference, schema."""

from __future__ import annotations

import json
import os
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result
from tests.certificates import make
from tests.config.own import SOURCE

from tarry.cli.config import command
from tarry.config import pages, render

WRONG = '[hold]\nwiat = "3s"\nwait = 6\n'
UNWISE = '[hold]\nwait = "31s"\n'


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)


def run(*args: str, obj: str | None = None) -> Result:
    """Run `tarry config` with *args*; *obj* is what -c before the verb named."""
    return CliRunner().invoke(command, args, obj=obj, prog_name="tarry config")


def write(text: str, name: str = "tarry.toml") -> str:
    """Write a file and return its name."""
    Path(name).write_text(text)
    return name


def test_init_writes_a_file_that_is_fine() -> None:
    """init writes tarry.toml, and check finds nothing in it."""
    assert "Wrote tarry.toml: " in run("init").stdout
    assert render.commented_file() == Path("tarry.toml").read_text()
    assert 0 == run("check").exit_code


def test_init_overwrites_only_when_told_to() -> None:
    """A file that is there stays, unless --force is given."""
    write("# mine")
    refused = run("init")
    assert (1, "", "# mine") == (refused.exit_code, refused.stdout, Path("tarry.toml").read_text())
    assert "tarry config: tarry.toml is there already; write another one, or overwrite it with --force\n" == refused.stderr
    assert 0 == run("init", "--force").exit_code
    assert "# mine" != Path("tarry.toml").read_text()


def test_init_tells_what_the_system_says() -> None:
    """A file that cannot be written is told in one line."""
    failed = run("init", "none/tarry.toml")
    assert (1, "tarry config: none/tarry.toml cannot be written: No such file or directory\n") == (failed.exit_code, failed.stderr)


def test_init_writes_to_standard_output() -> None:
    """The name - is the standard output."""
    assert render.commented_file() == run("init", "-").stdout


@pytest.mark.parametrize("args", [("a.toml",), ("-c", "a.toml"), ("--config", "a.toml"), ("a.toml", "-c", "a.toml")])
@pytest.mark.parametrize("verb", ["init", "check", "show"])
def test_a_file_is_named_in_either_way(verb: str, args: tuple[str, ...]) -> None:
    """FILE and -c FILE are the same."""
    if verb != "init":
        write("", "a.toml")
    assert "a.toml" in run(verb, *args).stdout


def test_a_file_named_before_the_verb_counts() -> None:
    """`tarry -c FILE config check` and `tarry config -c FILE check` read that file."""
    write(WRONG, "a.toml")
    assert "a.toml:2: " in run("check", obj="a.toml").stdout
    assert "a.toml:2: " in run("-c", "a.toml", "check").stdout


def test_two_files_are_wrong_usage() -> None:
    """Two different names are wrong usage, status 2."""
    failed = run("check", "a.toml", "-c", "b.toml")
    assert (2, True) == (failed.exit_code, "two files are named: a.toml and b.toml" in failed.stderr)


def test_check_tells_every_mistake_and_counts() -> None:
    """Each problem has its line and remedy; the count comes last; the status is 1."""
    write(WRONG)
    result = run("check")
    assert [
        "tarry.toml:2: error: hold.wiat: no such key; did you mean hold.wait?",
        'tarry.toml:3: error: hold.wait: 6 has no unit; write "6s" for seconds',
        "tarry.toml: 2 errors; tarry does not start with it",
    ] == result.stdout.splitlines()
    assert 1 == result.exit_code


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        (
            "",
            [
                "tarry.toml is fine: listens on 127.0.0.1:2525, holds each client 3s..6s.",
                "Early talkers are rejected at connect; mail goes to the Maildir mail.",
            ],
        ),
        (
            'hold.wait = "1s"\n[handoff]\nmode = "proxy"\naddress = "mx:25"\nannounce = "proxy-v1"\n'
            '[checks.pregreet]\naction = "delay"\n'
            '[exempt]\nnetworks = ["192.0.2.0/24"]\n[listen]\nsmtp = ["0.0.0.0:25", "[::]:25"]',
            [
                "tarry.toml is fine: listens on 0.0.0.0:25, [::]:25, holds each client 1s.",
                "Early talkers are held longer; mail goes to the MTA at mx:25; 1 exemption.",
            ],
        ),
    ],
)
def test_check_says_what_the_file_does(text: str, lines: list[str]) -> None:
    """A file without problems gets two plain lines."""
    write(text)
    result = run("check")
    assert (lines, 0) == (result.stdout.splitlines(), result.exit_code)


@pytest.mark.parametrize(("args", "status"), [((), 0), (("--strict",), 1)])
def test_warnings_change_the_status_only_when_strict(args: tuple[str, ...], status: int) -> None:
    """A warning is told and the file still called fine; --strict makes its status 1."""
    write(UNWISE)
    result = run("check", *args)
    lines = result.stdout.splitlines()
    assert lines[0].startswith("tarry.toml:2: warning: hold.wait: every new client waits up to 31s")
    assert ("tarry.toml: 1 warning", status) == (lines[1], result.exit_code)
    assert lines[2].startswith("tarry.toml is fine: ")


def test_check_of_a_missing_file() -> None:
    """A file that is not there is an error like others."""
    result = run("check", "none.toml")
    assert (1, True) == (result.exit_code, result.stdout.startswith("none.toml: error: there is no such file; "))


def test_check_looks_for_the_user() -> None:
    """One that is not there stops a start, so it is told here."""
    write('[listen]\nuser = "no-such-user"\n')
    result = run("check")
    told = (
        "tarry.toml:2: error: listen.user: there is no user no-such-user; make it (adduser --system --group no-such-user), or name"
    )
    assert (1, True) == (result.exit_code, result.stdout.startswith(told))


@pytest.mark.parametrize(
    ("uid", "listen", "is_told"),
    [
        (0, 'smtp = ["0.0.0.0:25"]', True),
        (0, 'smtps = ["[::]:465"]', True),
        (0, 'smtp = ["0.0.0.0:2525"]', False),
        (0, 'smtp = ["systemd"]', False),
        (0, 'smtp = ["0.0.0.0:25"]\nuser = "nobody"', False),
        (1000, 'smtp = ["0.0.0.0:25"]', False),
    ],
)
def test_check_warns_of_what_would_stay_root(monkeypatch: pytest.MonkeyPatch, uid: int, listen: str, is_told: bool) -> None:
    """Only root is told, and only where there is a port that takes root."""
    monkeypatch.setattr(os, "geteuid", lambda: uid)
    write(f"[listen]\n{listen}\n")
    assert is_told == ("listen.user: it has ports below 1024 to open" in run("check").stdout)


@pytest.mark.parametrize("table", ['[tls]\nmode = "terminate"', '[listen]\nsmtps = ["127.0.0.1:2465"]\n[tls]'])
def test_check_looks_at_the_certificate(table: str) -> None:
    """A file that cannot be used is an error of the line that names it, and nothing is found in a pair that fits."""
    certificate, key = make(Path())
    write(f'{table}\ncertificate = "{certificate}"\nkey = "{key}"\n')
    assert 0 == run("check").exit_code
    key.unlink()
    failed = run("check")
    line = table.count("\n") + 3
    assert 1 == failed.exit_code
    assert f"tarry.toml:{line}: error: tls.key: {key}: No such file or directory" in " ".join(failed.stdout.split())


def test_check_json() -> None:
    """--json writes one object with every problem."""
    write(WRONG)
    result = run("check", "--json")
    report = json.loads(result.stdout)
    assert (1, 1, False, 2, 0, None) == (
        result.exit_code,
        *(report[name] for name in ("v", "ok", "errors", "warnings", "fingerprint")),
    )
    assert {
        "file": "tarry.toml",
        "line": 2,
        "column": None,
        "severity": "error",
        "key": "hold.wiat",
        "what": "no such key",
        "fix": "did you mean hold.wait?",
    } == report["problems"][0]


def test_check_json_of_a_fine_file() -> None:
    """A fine file has its fingerprint, and no problems."""
    write("")
    report = json.loads(run("check", "--json").stdout)
    assert (True, [], 10) == (report["ok"], report["problems"], len(report["fingerprint"]))


def test_show_tells_where_each_value_comes_from() -> None:
    """Each value stands in a line with its origin; long ones push it to the next line; nothing is wider than 80 columns."""
    networks = '["192.0.2.0/24", "198.51.100.0/24"]'
    write(f'preset = "carraway-2003"\n[exempt]\nnetworks = {networks}\n[limits]\nbackend = "20s"\n')
    result = run("show")
    lines = result.stdout.splitlines()
    assert lines[0].startswith("tarry.toml, preset carraway-2003, fingerprint ")
    assert 'preset           "carraway-2003"                  tarry.toml:1' in lines
    assert '  wait           "1s"                             preset carraway-2003' in lines
    assert "  max_clients    15000                            default" in lines
    assert '  message        "20s"                            from limits.backend' in lines
    assert f"  networks       {networks}" == lines[lines.index("[exempt]") + 1]
    assert "                                                  tarry.toml:3" == lines[lines.index("[exempt]") + 2]
    assert 80 >= max(map(len, lines))
    assert 0 == result.exit_code


def test_show_changed() -> None:
    """--changed leaves out the defaults; a file without any says so."""
    write('[hold]\nwait = "1s"\n')
    assert ["", "[hold]", '  wait           "1s"                             tarry.toml:2'] == run(
        "show", "--changed"
    ).stdout.splitlines()[1:]
    write("")
    assert "Everything is at its default." == run("show", "--changed").stdout.splitlines()[1]


def test_show_without_a_file_shows_the_defaults() -> None:
    """Where no file is named and none is there, the defaults are shown."""
    assert run("show").stdout.startswith("no file, preset tarry, fingerprint ")


def test_show_of_a_wrong_file() -> None:
    """A file with errors is shown as far as it is right; the errors go to standard error, and the status is 1."""
    write(WRONG)
    result = run("show")
    assert (1, 2) == (result.exit_code, len(result.stderr.splitlines()))
    assert '  wait           "3s..6s"                         default' in result.stdout.splitlines()


def test_show_json() -> None:
    """--json gives each value as TOML would, with the kind and place of its origin."""
    write('[listen]\nsmtp = ["127.0.0.1:25"]\n')
    report = json.loads(run("show", "--json", "--changed").stdout)
    assert {"listen.smtp": {"value": ["127.0.0.1:25"], "origin": "file", "place": "tarry.toml:2"}} == report["values"]
    assert (1, "tarry.toml") == (report["v"], report["file"])
    assert json.loads(run("show", "--json").stdout)["values"]["hold.wait"]["value"] == "3s..6s"


@pytest.mark.parametrize("args", [(), ("--json",)])
def test_show_keeps_the_password_of_the_store(args: tuple[str, ...]) -> None:
    """What it writes is sent to others who are to help."""
    Path("tarry.toml").write_text('[store]\nurl = "valkey://tarry:secret@192.0.2.1:6379/0"\n')
    assert "secret" not in run("show", *args).output
    assert "valkey://tarry:***@192.0.2.1:6379/0" in run("show", *args).output


def test_check_looks_at_the_url_of_the_store() -> None:
    """With one that is not well formed tarry starts, and remembers nothing: a warning."""
    Path("tarry.toml").write_text('[store]\nurl = "valkey://:secret@192.0.2.1:63x9/0"\n')
    result = run("check")
    assert result.exit_code == 0
    assert result.output.startswith("tarry.toml:2: warning: store.url: the host or the port is not well formed: say sqlite:FILE")


def test_reference_and_schema() -> None:
    """The pages come out as they are committed."""
    assert (render.reference(), render.json_schema()) == (run("reference").stdout, run("schema").stdout)


def test_own_checks_are_in_everything() -> None:
    """check names them; show, reference and schema have their keys where the file is named."""
    write(SOURCE, "own.py")
    write('plugins = ["own.py"]\n[checks.greeter]\nwords = ["x"]\n')
    assert "Own checks: greeter." == run("check").stdout.splitlines()[-1]
    assert '  words          ["x"]                            tarry.toml:3' in run("show").stdout.splitlines()
    assert ["x"] == json.loads(run("show", "--json").stdout)["values"]["checks.greeter.words"]["value"]
    assert "## [checks.greeter]" in run("reference", "tarry.toml").stdout
    assert "greeter" in json.loads(run("schema", "-c", "tarry.toml").stdout)["properties"]["checks"]["properties"]
    assert "greeter" not in run("reference").stdout + run("schema").stdout


def test_reference_of_a_wrong_file() -> None:
    """Its errors are told in place of the page."""
    write('plugins = ["own.py"]\n')
    failed = run("reference", "tarry.toml")
    assert (1, "") == (failed.exit_code, failed.stdout)
    assert failed.stderr.startswith("tarry.toml:1: error: plugins: own.py: there is no such file")


def test_reference_writes_the_pages_of_checks() -> None:
    """One a check and an index, into a folder that is made."""
    result = run("reference", "--checks", "a/b")
    made = pages.pages()
    assert (0, f"Wrote {len(made)} pages to a/b.\n") == (result.exit_code, result.stdout)
    assert made == {page.name: page.read_text() for page in Path("a/b").iterdir()}
    write("", "file")
    failed = run("reference", "--checks", "file")
    assert (1, "tarry config: file cannot be written: File exists\n") == (failed.exit_code, failed.stderr)


class _Terminal:
    """Makes standard output say that it is a terminal."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("tarry.cli.config._is_terminal", lambda: True)


def test_on_a_terminal_lines_are_wrapped_and_coloured(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal a problem is wrapped at its width and its severity is coloured."""
    _Terminal(monkeypatch)
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    write('[exempt]\nnetworks = ["192.168.1.7/24"]\n')
    result = CliRunner().invoke(command, ["check"], color=True)
    lines = result.stdout.splitlines()
    assert "\x1b[" in lines[0]
    assert 80 > max(len(click.unstyle(line)) for line in lines)
    assert lines[1].startswith("    ")


def test_no_color_is_respected(monkeypatch: pytest.MonkeyPatch) -> None:
    """With NO_COLOR set nothing is coloured, on a terminal either."""
    _Terminal(monkeypatch)
    monkeypatch.setenv("NO_COLOR", "1")
    write(WRONG)
    assert "\x1b" not in CliRunner().invoke(command, ["check"], color=True).stdout


def test_help_of_each_verb() -> None:
    """Each verb has a help text."""
    for verb in ("init", "check", "show", "reference", "schema"):
        assert run(verb, "--help").stdout.startswith(f"Usage: tarry config {verb}")
