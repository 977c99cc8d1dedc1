"""tarry import: what goes where, and how it ends."""

from __future__ import annotations

import json
import sqlite3
import tomllib
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from tests import moving_page

from tarry.cli import cli, import_
from tarry.config.load import load

MAIN = (
    "myhostname = mx.example.org\npostscreen_greet_wait = 8s\npostscreen_cache_cleanup_interval = 1h\nmynetworks = 192.0.2.0/24\n"
)
MASTER = "smtp inet n - y - 1 postscreen\nsmtpd pass - - y - - smtpd\n"
MC = "FEATURE(`access_db')dnl\nFEATURE(`greet_pause', `5000')dnl\n"


def run(*args: str | Path, stdin: str | bytes = "") -> Result:
    return CliRunner().invoke(cli, ["import", *map(str, args)], input=stdin, prog_name="tarry")


@pytest.fixture
def etc(tmp_path: Path) -> Path:
    (tmp_path / "main.cf").write_text(MAIN)
    (tmp_path / "master.cf").write_text(MASTER)
    return tmp_path


def test_the_file_goes_to_standard_output(etc: Path) -> None:
    """It says what made it, each line its origin, and it loads; master.cf is read where it lies beside."""
    result = run("postfix", etc / "main.cf")
    lines = result.stdout.splitlines()
    assert (0, f"tarry import postfix {etc}/main.cf") == (result.exit_code, lines[0].partition(": ")[2])
    assert any(line.startswith('wait = "8s"') and line.endswith("# main.cf:2 postscreen_greet_wait") for line in lines)
    assert ["0.0.0.0:25", "[::]:25"] == tomllib.loads(result.stdout)["listen"]["smtp"]
    assert () == load(None, text=result.stdout).errors


def test_what_is_missing_goes_to_both(etc: Path) -> None:
    """At the end of the file as comments, and as a table on standard error."""
    result = run("postfix", etc / "main.cf")
    assert "# main.cf:3 postscreen_cache_cleanup_interval = 1h" in result.stdout.splitlines()
    assert "settings, 1 without a counterpart:" in result.stderr
    assert "main.cf:3 postscreen_cache_cleanup_interval = 1h" in result.stderr


def test_nothing_missing_is_said(tmp_path: Path) -> None:
    """In one line."""
    (tmp_path / "access").write_text("Connect:192.0.2.1 REJECT\n")
    assert "1 settings, and everything has its counterpart.\n" == run("sendmail", tmp_path / "access").stderr


def test_the_mapping_is_json(etc: Path) -> None:
    """With the file in it."""
    report = json.loads(run("postfix", etc / "main.cf", "--json").stdout)
    assert (1, "Postfix", [str(etc / "main.cf")]) == (report["v"], report["from"], report["files"])
    assert "hold.wait" in [one["key"] for one in report["settings"]]
    assert 'wait = "8s"' in report["toml"]


def test_postconf_comes_from_standard_input(etc: Path) -> None:
    """With a master.cf that is named."""
    result = run("postfix", "-", "--master", etc / "master.cf", stdin=MAIN)
    assert (0, True) == (result.exit_code, "# postconf -n:2 postscreen_greet_wait" in result.stdout)
    assert ["0.0.0.0:25", "[::]:25"] == tomllib.loads(result.stdout)["listen"]["smtp"]


def test_tables_are_looked_for_beside(etc: Path) -> None:
    """By $config_directory, or without a slash at the front."""
    (etc / "a.cidr").write_text("203.0.113.0/24 permit\n")
    for name in ("$config_directory/a.cidr", "a.cidr"):
        (etc / "main.cf").write_text(f"postscreen_access_list = cidr:{name}\n")
        assert ["203.0.113.0/24"] == tomllib.loads(run("postfix", etc / "main.cf").stdout)["exempt"]["networks"]


def test_qpsmtpd_reads_what_lies_beside(tmp_path: Path) -> None:
    """Comments in an old encoding do no harm."""
    (tmp_path / "plugins").write_bytes(b"# caf\xe9\nearlytalker wait 2\nhosts_allow\n")
    (tmp_path / "hosts_allow").write_text("192.0.2.1 DENY\n")
    read = tomllib.loads(run("qpsmtpd", tmp_path / "plugins").stdout)
    assert ("2s", ["192.0.2.1"]) == (read["hold"]["wait"], read["deny"]["networks"])


def test_sendmail_takes_both_files(tmp_path: Path) -> None:
    """In any order, and one of them from standard input."""
    (tmp_path / "sendmail.mc").write_text(MC)
    result = run("sendmail", "-", tmp_path / "sendmail.mc", stdin="Connect:192.0.2.1 REJECT\n")
    read = tomllib.loads(result.stdout)
    assert ("5s", ["192.0.2.1"]) == (read["hold"]["wait"], read["deny"]["networks"])
    assert "# standard input:1 Connect:192.0.2.1: REJECT" in result.stdout


CACHE = "192.0.2.1\t4000000000;1600000000;0;1;1\n2001:db8::1\t1;4000000001\n"


def test_passes_are_written_to_a_file(tmp_path: Path) -> None:
    """With counts on standard error; nothing else is read then."""
    result = run("postfix", "--cache", "-", "--passes", tmp_path / "passes", stdin=CACHE)
    assert (0, "") == (result.exit_code, result.stdout)
    assert f"-: 2 clients; {tmp_path}/passes: 2 passes of 2 clients (pregreet 1, dnslists 1); 1 passes are over\n" == result.stderr
    assert [
        {"address": "192.0.2.1", "check": "pregreet", "until": 4000000000},
        {"address": "2001:db8::1", "check": "dnslists", "until": 4000000001},
    ] == [json.loads(line) for line in (tmp_path / "passes").read_text().splitlines()]


def test_passes_are_kept_in_the_memory(tmp_path: Path) -> None:
    """Those of tests that clients are held for; a wrong URL is wrong usage, and a memory that is away a failure."""
    url = f"sqlite:{tmp_path}/tarry.db"
    result = run("postfix", "--cache", "-", "--store", url, stdin=CACHE)
    assert (0, "") == (result.exit_code, result.stdout)
    with closing(sqlite3.connect(tmp_path / "tarry.db")) as db:
        assert {"192.0.2.1", "2001:db8::/64"} == {key for (key,) in db.execute("select key from clients")}
    assert 2 == run("postfix", "--cache", "-", "--store", "tarry.db", stdin=CACHE).exit_code
    away = run("postfix", "--cache", "-", "--store", f"sqlite:{tmp_path}/no/tarry.db", stdin=CACHE)
    assert (1, True) == (away.exit_code, "the passes cannot be kept: " in away.stderr)


def test_passes_and_the_file_in_one_go(etc: Path) -> None:
    """Where MAIN.CF is named."""
    (etc / "cache").write_text(CACHE)
    result = run("postfix", etc / "main.cf", "--cache", etc / "cache", "--passes", etc / "passes")
    assert (0, True, 2) == (result.exit_code, "[hold]" in result.stdout, len((etc / "passes").read_text().splitlines()))


def test_passes_to_standard_output(tmp_path: Path) -> None:
    """For a pipe."""
    assert 2 == len(run("postfix", "--cache", "-", "--passes", "-", stdin=CACHE).stdout.splitlines())


@pytest.mark.parametrize(
    "args",
    [
        ["postfix", "--cache", "x"],
        ["postfix", "--passes", "x"],
        ["postfix", "-", "--cache", "-", "--passes", "x"],
        ["postfix", "a", "b"],
        ["exim", "x"],
        ["qpsmtpd", "--cache", "x"],
    ],
)
def test_wrong_usage_is_2(args: list[str]) -> None:
    """And says what was meant."""
    result = run(*args)
    assert (2, True) == (result.exit_code, "Usage: tarry import" in result.stderr)


@pytest.mark.parametrize(
    ("verb", "content", "told"),
    [
        ("postfix", b"a = 1\nb\n", ":2: there is no equals sign; a line of main.cf is name = value"),
        ("postfix", b"a\0b", ": the file is no text; name the text that the database was made of"),
        ("qpsmtpd", b"helo\n\x01\n", ":2: unsafe characters"),
        ("sendmail", b"FEATURE(a\n", ":1: a bracket is opened here and does not end"),
        ("sendmail", b"lonely\n", ':1: "lonely" has no value'),
    ],
)
def test_what_cannot_be_parsed_is_1(verb: str, content: bytes, told: str, tmp_path: Path) -> None:
    """With the whole name of the file, and the line."""
    path = tmp_path / "file"
    path.write_bytes(content)
    result = run(verb, path)
    assert (1, "") == (result.exit_code, result.stdout)
    assert result.stderr.startswith("tarry import: ") and told in result.stderr and str(path) in result.stderr


def test_a_problem_in_master_cf_names_it(etc: Path) -> None:
    """And not main.cf."""
    (etc / "master.cf").write_text("x\n")
    assert f"tarry import: {etc}/master.cf:1: a service has 8 fields" in run("postfix", etc / "main.cf").stderr


def test_a_problem_of_standard_input_says_so() -> None:
    """It has no name."""
    assert run("qpsmtpd", "-", stdin="\x01").stderr.startswith("tarry import: standard input:1: ")
    assert run("postfix", "-", stdin="x").stderr.startswith("tarry import: standard input:1: ")
    assert run("sendmail", "-", stdin="x").stderr.startswith("tarry import: standard input:1: ")


@pytest.mark.parametrize("verb", ["postfix", "qpsmtpd", "sendmail"])
def test_a_file_that_is_not_there_is_1(verb: str, tmp_path: Path) -> None:
    """In the system's words; a directory and a name with a NUL too."""
    assert f"tarry import: {tmp_path}/x cannot be read: No such file or directory\n" == run(verb, tmp_path / "x").stderr
    assert (1, 1) == (run(verb, tmp_path).exit_code, run(verb, "a\0b").exit_code)


def test_passes_that_cannot_be_read_or_written_are_1(tmp_path: Path) -> None:
    """Each with its reason."""
    assert "cannot be written" in run("postfix", "--cache", "-", "--passes", tmp_path / "no" / "x", stdin=CACHE).stderr
    broken = run("postfix", "--cache", "-", "--passes", tmp_path / "x", stdin="main.cf\n")
    assert (1, True) == (broken.exit_code, broken.stderr.startswith("tarry import: standard input:1: "))
    assert not (tmp_path / "x").exists()


def test_without_names_the_usual_places_are_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And of Sendmail's two whichever is there."""
    for name, text in {"main.cf": MAIN, "plugins": "earlytalker\n", "access": "Connect:192.0.2.1 OK\n"}.items():
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(import_, "MAIN_CF", str(tmp_path / "main.cf"))
    monkeypatch.setattr(import_, "PLUGINS", (str(tmp_path / "none"), str(tmp_path / "plugins")))
    monkeypatch.setattr(import_, "SENDMAIL", (str(tmp_path / "sendmail.mc"), str(tmp_path / "access")))
    assert [0, 0, 0] == [run(verb).exit_code for verb in ("postfix", "qpsmtpd", "sendmail")]


def test_too_large_a_file_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A database by mistake."""
    (tmp_path / "x").write_text("a = 1\n" * 10)
    monkeypatch.setattr(import_, "SIZE_LIMIT", 20)
    result = run("postfix", tmp_path / "x")
    assert (1, True) == (result.exit_code, "the file is larger than" in result.stderr)


def test_the_page_shows_what_the_command_writes() -> None:
    """If this fails: .venv/bin/python -m tests.moving_page"""
    page = moving_page.PAGE.read_text(encoding="utf-8")
    assert page == moving_page.with_made(page)
    assert ["main.cf", "plugins", "sendmail.mc"] == [Path(next(iter(files))).name for files, _ in moving_page.examples(page)]


def test_the_page_shows_how_passes_are_counted(tmp_path: Path) -> None:
    """The words that it shows are the command's."""
    cache = "192.0.2.7\t4000000000;4000000000;0\n192.0.2.8\t4000000000;1600000000\n"
    told = run("postfix", "--cache", "-", "--store", f"sqlite:{tmp_path}/tarry.db", stdin=cache).stderr
    assert told in moving_page.PAGE.read_text(encoding="utf-8")
