"""`tarry config try`: options, what is shown, JSON, exit status."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from ipaddress import ip_address
from pathlib import Path
from typing import Any, ClassVar

import click
import pytest
from click.testing import CliRunner, Result

from tarry.cli import config_try
from tarry.cli.config import command
from tarry.config.schema import PRESETS
from tarry.core.facts import Answer, Question, State
from tarry.rehearsal.visit import Early

LISTS = """
[hold]
wait = "6s"
[[hold.class]]
name = "dubious"
who = ["listed"]
wait = "30s"
[delay]
target = "100s..200s"
[[checks.dnslists.zones]]
zone = "bl.example"
weight = 3
"""


OWN_CHECK = '''
"""no_dots - a name without a dot."""

from tarry.core.border import Hello
from tarry.core.check import NoOptions, Settings
from tarry.core.result import PASSED, Action, Failed


class NoDots:
    name = "no_dots"
    complaint = "Your name has no dot"
    codes = {"none": "no dot"}
    settings = Settings(action=Action.TAG)
    options = NoOptions
    triggers = (Hello,)

    def look(self, seen, options):
        return PASSED if "." in seen.moment.name else Failed("none", seen.moment.name)


CHECKS = (NoDots(),)
'''


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")


def run(*args: str, obj: str | None = None) -> Result:
    """Run `tarry config try` without DNS."""
    return CliRunner().invoke(command, ["try", "--no-dns", *args], obj=obj, prog_name="tarry config")


def report(*args: str) -> dict[str, Any]:
    """Return what --json writes."""
    found: dict[str, Any] = json.loads(run("--json", *args).stdout)
    return found


def write(text: str, name: str = "tarry.toml") -> None:
    Path(name).write_text(text)


def test_a_clean_client_gets_through() -> None:
    """What it meets, line by line; a sentence; status 0."""
    result = run("192.0.2.7", "--seed", "1")
    assert 0 == result.exit_code
    lines = [line.rstrip() for line in result.stdout.splitlines()]
    assert "192.0.2.7 under no file, preset tarry; mail goes to the Maildir mail" == lines[0]
    assert "0.0 s  connects                          holds it for 3.4 s" == lines[4]
    assert "Greeted after 3.4 s, then handed to the MTA." == lines[-2]
    assert 'Drawn anew for each client: hold.wait = "3s..6s". For this draw again: --seed 1.' == lines[-1]


def test_an_early_talker_is_refused() -> None:
    """Status 1, and the key that has it so, with its line."""
    write('[checks.pregreet]\naction = "defer"\n')
    result = run("192.0.2.7", "--early", "EHLO x@0.3s")
    assert 1 == result.exit_code
    assert 'checks.pregreet.action = "defer"' in result.stdout
    assert "(tarry.toml:2)" in result.stdout
    assert "Spoke after 0.3 s, refused with 421 after 0.3 s for pregreet.spoke." in result.stdout


def test_facts_may_be_given() -> None:
    """A listing makes its class and its delay; what is not asked is told."""
    write(LISTS)
    found = report("192.0.2.7", "--answer", "bl.example=127.0.0.2@0.5s", "--answer", "other.example=127.0.0.2", "--seed", "3")
    assert found["conclusion"].startswith("Greeted after 30.0 s, delayed to 1")
    assert found["conclusion"].endswith(" s at RCPT for dnslists.listed (bl.example), then handed to the MTA.")
    (delay,) = (step for step in found["steps"] if step["tarry"].startswith("holds its reply"))
    assert ["checks.dnslists.action", "delay.target"] == [one["key"] for one in delay["why"]]
    assert ("tarry.toml:9", True) == (delay["why"][1]["place"], delay["why"][1]["drawn"])
    assert "--answer other.example: nobody asks about that here." in found["notes"]


def test_the_report_is_versioned_and_whole() -> None:
    """Every field is there."""
    found = report("2001:db8::7", "--seed", "1")
    names = {
        "v",
        "client",
        "file",
        "preset",
        "fingerprint",
        "seed",
        "steps",
        "ending",
        "through",
        "conclusion",
        "notes",
        "exit_status",
    }
    assert (names, 1, "2001:db8::7", None, 1, True) == (
        set(found),
        found["v"],
        found["client"],
        found["file"],
        found["seed"],
        found["through"],
    )
    assert {"at", "client", "tarry", "code", "by", "why"} == set(found["steps"][0])
    (why,) = found["steps"][0]["why"]
    assert {"words": None, "key": "hold.wait", "value": '"3s..6s"', "place": "default", "drawn": True} == why


def test_the_same_seed_draws_the_same() -> None:
    """Without one each try draws anew, and says by which number."""
    assert report("192.0.2.7", "--seed", "5") == report("192.0.2.7", "--seed", "5")
    drawn = report("192.0.2.7")
    assert drawn["steps"] == report("192.0.2.7", "--seed", str(drawn["seed"]))["steps"]


@pytest.mark.parametrize("preset", PRESETS)
def test_each_preset_can_be_tried(preset: str) -> None:
    """In place of the file's; a silent client is never refused before its greeting."""
    found = report("192.0.2.7", "--preset", preset)
    assert preset == found["preset"]
    assert 0.0 == found["steps"][0]["at"]


@pytest.mark.parametrize(
    ("args", "text", "status", "said"),
    [
        ((), "exempt.networks = ['192.0.2.0/24']", 0, "Exempt, greeted at once"),
        ((), "deny.networks = ['192.0.2.0/24']", 1, "Refused with 554 at once: it is on the deny list."),
        (("--count", "connection=51"), "", 1, "Refused with 421 at once: it has too many connections."),
        (("--count", "client=15001"), "", 1, "Refused with 421 at once: there are too many clients."),
        (("--count", "rcpt=7"), "tarpit.rcpt.step = '1s'", 0, "2 replies to RCPT held for 13.0 s by tarpit.rcpt"),
        (("--leaves", "1s"), "", 1, "Hung up after 1.0 s, before it was greeted."),
        (("--mta-refuses-rcpt", "1"), "", 0, "then refused by the MTA."),
        (("--observe", "--early", "x@0s"), "", 0, "then handed to the MTA."),
        ((), "[handoff]\nmode = 'pass'", 0, "Given to the MTA after"),
        ((), "[handoff]\nmode = 'exec'", 0, "Given to the MTA after"),
        ((), "[handoff]\nmode = 'exec'\nstdio = 'pipe'", 0, "then handed to the MTA."),
    ],
)
def test_the_status_says_whether_it_gets_through(args: tuple[str, ...], text: str, status: int, said: str) -> None:
    """0 when it comes to the MTA, 1 when not."""
    write(text)
    found = report("192.0.2.7", *args)
    assert status == found["exit_status"] == run("192.0.2.7", *args).exit_code
    assert said in found["conclusion"]


@pytest.mark.parametrize(
    ("lines", "status", "said", "key"),
    [
        ("192.0.2.0/24", 1, "Refused with 554 at once: it is on the deny list.", "deny.files"),
        ("192.0.2.0/24  until=2020-01-01", 0, "Greeted after", "hold.wait"),
        ("192.0.3.0/24", 0, "Greeted after", "hold.wait"),
    ],
)
def test_files_of_networks(lines: str, status: int, said: str, key: str) -> None:
    """Are at the door, as they are at the server's; a line that has ended is not."""
    write("deny.files = ['denied']\nexempt.files = ['exempt']")
    write(f"{lines}\n", "denied")
    write("198.51.100.7\n", "exempt")
    found = report("192.0.2.7")
    assert (status, True, key) == (found["exit_status"], found["conclusion"].startswith(said), found["steps"][0]["why"][0]["key"])
    exempt = report("198.51.100.7")
    assert ("Exempt, greeted at once, then handed to the MTA.", "exempt.files") == (
        exempt["conclusion"], exempt["steps"][0]["why"][0]["key"]
    )  # fmt: skip


@pytest.mark.parametrize(
    ("args", "text", "note"),
    [
        ((), "[handoff]\nmode = 'pass'", 'With handoff.mode = "pass" what tarry sees ends at the greeting'),
        ((), "listen.proxy_from = ['192.0.2.0/24']", "192.0.2.7 is in listen.proxy_from (tarry.toml:1): "),
        (("--early", "x@99s"), "", "It had no occasion to say all that --early has for it"),
        (("--answer", "names=a.example"), "", "--answer names: nobody asks about that here."),
    ],
)
def test_what_the_reader_should_know_is_noted(args: tuple[str, ...], text: str, note: str) -> None:
    """Below the sentence, one each."""
    write(text)
    assert [note] == [note for one in report("192.0.2.7", *args)["notes"] if one.startswith(note)]


@pytest.mark.parametrize(
    "args",
    [
        (),
        ("mail.example.org",),
        ("192.0.2.7/24",),
        ("192.0.2.7", "--answer", "bl.example"),
        ("192.0.2.7", "--answer", "bl.example=yes"),
        ("192.0.2.7", "--answer", "bl.example=127.0.0.2@soon"),
        ("192.0.2.7", "--early", "x"),
        ("192.0.2.7", "--early", "x@soon"),
        ("192.0.2.7", "--early", "\\xzz@1s"),
        ("192.0.2.7", "--leaves", "35"),
        ("192.0.2.7", "--count", "rcpt"),
        ("192.0.2.7", "--count", "spam=3"),
        ("192.0.2.7", "--count", "rcpt=10001"),
        ("192.0.2.7", "--helo", ""),
        ("192.0.2.7", "--helo", "a b"),
        ("192.0.2.7", "--rcpt", "a>\r\nDATA"),
        ("192.0.2.7", "--mail", "x" * 401),
        ("192.0.2.7", "--preset", "nothing"),
    ],
)
def test_what_is_wrong_with_the_command_line_is_told(args: tuple[str, ...]) -> None:
    """Status 2, with a word about what is meant."""
    result = run(*args)
    assert (2, True) == (result.exit_code, "Usage:" in result.stderr)


def test_a_configuration_with_errors_is_not_tried() -> None:
    """Each is told with its line."""
    write("hold.wiat = '3s'")
    result = run("192.0.2.7")
    assert (2, "") == (result.exit_code, result.stdout)
    assert "tarry.toml:1: error: hold.wiat" in result.stderr


def test_the_file_may_be_named_in_three_places() -> None:
    """After try, after config, and before config."""
    write("hold.wait = '0s'", "a.toml")
    assert [True] * 3 == [
        "under a.toml," in result.stdout
        for result in (
            run("192.0.2.7", "-c", "a.toml"),
            run("192.0.2.7", obj="a.toml"),
            CliRunner().invoke(command, ["-c", "a.toml", "try", "--no-dns", "192.0.2.7"]),
        )
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("EHLO x@0.3s", Early(0.3, b"EHLO x\r\n")),
        ("MAIL FROM:<a@b>@350ms", Early(0.35, b"MAIL FROM:<a@b>\r\n")),
        (r"\x16\x03@0s", Early(0.0, b"\x16\x03")),
        (r"QUIT\r\n@1m", Early(60.0, b"QUIT\r\n")),
    ],
)
def test_early_talk_is_read(text: str, expected: Early) -> None:
    """A line, or bytes where there is a backslash."""
    assert expected == config_try.early(text)


@pytest.mark.parametrize(
    ("text", "expected"), [("192.0.2.7", "192.0.2.7"), ("[2001:DB8::7]", "2001:db8::7"), ("::ffff:192.0.2.7", "192.0.2.7")]
)
def test_addresses_are_in_normal_form(text: str, expected: str) -> None:
    """As clients are known to tarry."""
    assert ip_address(expected) == config_try.address(text)


def test_counts_are_read() -> None:
    """Floods and places."""
    assert [("rcpt", 20), ("client", 15001)] == [config_try.flood(text) for text in ("rcpt=20", "client=15001")]
    with pytest.raises(click.BadParameter, match="rcpt, mail, rset, noop, error, connection, client"):
        config_try.flood("x=1")


def test_what_is_not_given_is_looked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the daemon's own lookups; a list that is off is noted."""

    class Answers:
        off: ClassVar = {"bl.example": "it lists 127.0.0.1, which no list may"}

        def __init__(self, *_: object) -> None:
            pass

        def __enter__(self) -> Answers:
            return self

        def __exit__(self, *_: object) -> None:
            pass

        def look(self, questions: list[Question]) -> list[Answer]:
            return [Answer(one, State.FOUND, ("127.0.0.2",), ms=20.0) for one in questions]

    monkeypatch.setattr(config_try, "Facts", Answers)
    write(LISTS)
    result = CliRunner().invoke(command, ["try", "192.0.2.7"])
    assert "asks bl.example: 127.0.0.2" in result.stdout
    assert "bl.example fails its test, and its answers do not count: it lists 127.0.0.1, which no list may." in result.stdout


def test_no_key_of_a_zone_is_shown() -> None:
    """What it prints is sent to forums: a list goes by its public name, whatever it answers."""
    write('[checks.dnslists]\nzones = [{ zone = "secret.dq.example", name = "dq.example" }, { zone = "bl.example" }]\n')
    for answer in ("127.0.0.2", "nothing", "unknown", "127.255.255.254"):
        result = CliRunner().invoke(command, ["try", "192.0.2.7", "--no-dns", "--answer", f"secret.dq.example={answer}"])
        assert "dq.example" in result.stdout
        assert "bl.example" in result.stdout
        assert "secret" not in result.stdout


def test_a_wrong_name_server_is_told() -> None:
    """With its line and without a trace."""
    write('dns.servers = ["ns.example:53"]\n' + LISTS)
    result = CliRunner().invoke(command, ["try", "192.0.2.7"])
    assert (2, "") == (result.exit_code, result.stdout)
    assert "tarry.toml:1: error: dns.servers: " in result.stderr


def test_who_does_not_want_to_wait_for_dns_interrupts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Which is no refusal."""

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(config_try, "play", interrupted)
    result = run("192.0.2.7")
    assert (130, "", "interrupted\n") == (result.exit_code, result.stdout, result.stderr)


def test_a_check_of_ones_own_takes_part() -> None:
    """With its own key behind it."""
    write(OWN_CHECK, "own.py")
    write('plugins = ["own.py"]\n[checks.no_dots]\naction = "reject"\nat = "helo"\n')
    found = report("192.0.2.7", "--helo", "nodots")
    assert (1, True) == (found["exit_status"], "refused with 550 at EHLO" in found["conclusion"])
    assert ["checks.no_dots.action"] == [one["key"] for step in found["steps"] if step["code"] == 550 for one in step["why"]]
    assert "tarry.toml:3" in str(found["steps"])


def test_the_help_names_it_among_the_others() -> None:
    """And has a page of its own."""
    assert "try        Tell what would happen to a client, step by step." in CliRunner().invoke(command, ["--help"]).stdout
    text = CliRunner().invoke(command, ["try", "--help"]).stdout
    assert "Exit status: 0 it gets through to the MTA" in text


def test_it_is_imported_only_where_it_is_wanted() -> None:
    """The other verbs do without rich."""
    code = "import sys, tarry.cli.config; print('rich' in sys.modules, 'tarry.rehearsal.play' in sys.modules)"
    assert "False False" == subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.strip()


@pytest.mark.slow
@pytest.mark.parametrize(("environment", "has_colour"), [({}, True), ({"NO_COLOR": "1"}, False)])
def test_a_terminal_is_coloured_and_filled(environment: dict[str, str], has_colour: bool) -> None:
    """At 80 columns nothing is wider; NO_COLOR is honoured."""
    text = _on_a_terminal(["--early", "EHLO x@0.3s"], {**environment, "COLUMNS": "80", "TERM": "xterm-256color"})
    assert has_colour == ("\x1b[1;31m" in text or "\x1b[31m" in text)
    assert "refused with 554" in text.replace("\r\n", " ")


def _on_a_terminal(args: list[str], environment: dict[str, str]) -> str:
    ours, theirs = pty.openpty()
    words = [sys.executable, "-m", "tarry", "config", "try", "192.0.2.7", "--no-dns", *args]
    inherited = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
    with subprocess.Popen(words, stdout=theirs, stderr=theirs, env={**inherited, **environment}) as process:
        os.close(theirs)
        pieces = []
        while True:
            try:
                piece = os.read(ours, 65536)
            except OSError:  # EIO: the other end is closed
                break
            if not piece:
                break
            pieces.append(piece)
        process.wait(10)
    os.close(ours)
    return b"".join(pieces).decode()


@pytest.mark.slow
def test_a_reader_that_has_had_enough_is_no_failure() -> None:
    """As in `| head -1`: the status is the client's."""
    words = f"{sys.executable} -m tarry config try 192.0.2.7 --no-dns --count rset=9000 --json"
    shell = f"set -o pipefail; {words} | head -1"
    ran = subprocess.run(["bash", "-c", shell], capture_output=True, text=True, check=False)
    assert (0, "{", "") == (ran.returncode, ran.stdout.strip(), ran.stderr)
