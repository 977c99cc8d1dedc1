import asyncio
import ipaddress
import json
import re
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from tarry.cli import probe
from tarry.cli.probe import command, duration
from tarry.probe.habits import NAMES, habits
from tarry.probe.steps import Habit, Hear, Options, Say
from tarry.probe.target import Endpoint, NotFound, Target
from tarry.probe.trace import Ending, Reply, Seconds, Trace
from tarry.probe.verdict import Verdict

HERE = Endpoint(ipaddress.ip_address("127.0.0.1"), 2525)
FAR = Endpoint(ipaddress.ip_address("8.8.8.8"), 25)
GOOD = (220, 250, 250, 250, 354, 250, 221)


class Server:
    """What the probe would meet: replies by habit, and a log of who came from where."""

    def __init__(self, endpoints: Sequence[Endpoint] = (HERE,)) -> None:
        self.endpoints = tuple(endpoints)
        self.codes: dict[str, tuple[int, ...]] = {}
        self.problem = ""
        self.refused_connection = False
        self.interrupted = False
        self.played: list[tuple[Habit, Any]] = []

    async def resolve(self, target: Target) -> tuple[Endpoint, ...]:
        if target.host == "nowhere":
            raise NotFound("nowhere has no address: unknown")
        return self.endpoints

    async def play(self, habit: Habit, endpoints: Sequence[Endpoint], **given: Any) -> Trace:
        self.played.append((habit, given))
        if self.interrupted:
            if len(self.played) == 1:
                signal.raise_signal(signal.SIGINT)  # as Ctrl-C does: once; asyncio.run turns it into a cancellation
            await asyncio.Event().wait()
        if self.problem:
            return Trace(
                habit=habit.name,
                ended=Ending.UNREACHABLE,
                ended_after=Seconds(0.0),
                problem=self.problem,
                refused_connection=self.refused_connection,
            )
        dues = [step.what for step in habit.steps if isinstance(step, Hear)]
        codes = self.codes.get(habit.name, GOOD if habit.kind == "honest" else (521,))
        replies = tuple(Reply(code, "words", Seconds(4.25), due) for code, due in zip(codes, dues, strict=False))
        return Trace(habit=habit.name, sent="EHLO", replies=replies, ended=Ending.SERVER, ended_after=Seconds(4.5))

    def sent(self) -> bytes:
        return b"".join(step.data for habit, _ in self.played for step in habit.steps if isinstance(step, Say))


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Server:
    made = Server()
    monkeypatch.setattr(probe, "play", made.play)
    monkeypatch.setattr(probe, "resolve", made.resolve)
    return made


def run(*arguments: str) -> Result:
    return CliRunner().invoke(command, arguments, prog_name="tarry probe")


def test_all_is_well_when_honest_clients_are_served(server: Server) -> None:
    """Status 0, a row for each habit, and a summary in words at the end."""
    result = run("127.0.0.1:2525")

    assert result.exit_code == 0
    assert tuple(word for line in result.stdout.splitlines() for word in line.split()[:1] if word in NAMES) == NAMES
    assert result.stdout.splitlines()[-1].endswith("The patient client was greeted after 4.2 s and its mail was accepted.")


def test_a_refused_honest_client_is_a_finding(server: Server) -> None:
    """Status 1, though everything else is as it should be."""
    server.codes["patient"] = (554,)

    assert run("127.0.0.1:2525").exit_code == 1


def test_a_served_bot_is_a_finding_only_when_strict(server: Server) -> None:
    """Findings about bots inform; --strict makes them count."""
    server.codes["blind"] = GOOD

    assert (run("127.0.0.1:2525").exit_code, run("127.0.0.1:2525", "--strict").exit_code) == (0, 1)


def test_nothing_listening_says_what_to_start(server: Server) -> None:
    """Status 75, no table, and the command that mends it."""
    server.problem, server.refused_connection = "Connection refused", True
    result = run()

    assert (result.exit_code, result.stdout) == (75, "")
    assert result.stderr == "tarry probe: nothing listens on 127.0.0.1:2525: start it with `make serve`\n"


def test_nothing_listening_elsewhere_is_not_for_make_serve(server: Server) -> None:
    """On another machine the advice would be wrong."""
    server.problem, server.refused_connection = "Connection refused", True
    server.endpoints = (Endpoint(ipaddress.ip_address("10.0.0.1"), 25),)

    assert run("mx:25").stderr == "tarry probe: nothing listens on mx:25\n"


def test_other_troubles_are_told_in_the_systems_words(server: Server) -> None:
    """Status 75 as well."""
    server.problem = "No route to host"
    result = run("10.0.0.1:25")

    assert (result.exit_code, result.stderr) == (75, "tarry probe: 10.0.0.1:25 cannot be reached: No route to host\n")


def test_a_name_without_an_address_is_try_later(server: Server) -> None:
    """DNS may know it later."""
    result = run("nowhere:25")

    assert (result.exit_code, result.stderr) == (75, "tarry probe: nowhere has no address: unknown\n")


def test_a_public_address_needs_the_users_word(server: Server) -> None:
    """Status 2 with the reason; with the option it is played."""
    server.endpoints = (HERE, FAR)
    result = run("mx:25")

    assert result.exit_code == 2 and server.played == []
    assert "8.8.8.8 is a public address" in result.stderr and "--yes-this-is-mine" in result.stderr
    assert run("mx:25", "--yes-this-is-mine").exit_code == 0


def test_json_is_one_object_with_stable_names(server: Server) -> None:
    """The contract: fields are only ever added."""
    server.codes["blind"] = ()
    result = run("127.0.0.1:2525", "--json", "--habit", "patient", "--habit", "blind")
    report = json.loads(result.stdout)

    assert (report["v"], report["target"]) == (1, "127.0.0.1:2525")
    patient, blind = report["habits"]
    assert patient == {
        "name": "patient",
        "kind": "honest",
        "did": "waits for each reply",
        "verdict": "delivered",
        "mood": "good",
        "decided_by": "250 words",
        "decided_after": 4.25,
        "was_greeted": True,
        "first_reply_after": 4.25,
        "reply_count": 7,
        "replies": patient["replies"],
        "rounds": [],
        "sent": "EHLO",
        "sent_bytes": 0,
        "sent_lines": 0,
        "ended": "server",
        "ended_after": 4.5,
        "problem": None,
    }
    assert patient["replies"][0] == {"code": 220, "text": "words", "after": 4.25, "to": "greeting"}
    assert (blind["decided_by"], blind["first_reply_after"], blind["verdict"]) == (None, None, "turned away")
    assert report["summary"] == {
        "text": report["summary"]["text"],
        "exit_status": 0,
        "verdicts": {"delivered": 1, "turned away": 1},
        "turned_away_before_greeting": 1,
        "patient_greeted_after": 4.25,
    }


def test_json_has_the_rounds_of_a_flood(server: Server) -> None:
    """The code of each, and the seconds that it took."""
    server.codes["rset-flood"] = (220, 250, 250, 250, 250, 451)
    report = json.loads(run("127.0.0.1:2525", "--json", "--habit", "rset-flood").stdout)

    assert [{"code": 250, "took": 0.0}, {"code": 451, "took": 0.0}] == report["habits"][0]["rounds"]


def test_json_of_an_unreachable_server_is_still_an_object(server: Server) -> None:
    """The message goes to stderr, the object says why for each habit."""
    server.problem = "No route to host"
    result = run("10.0.0.1:25", "--json", "--habit", "patient")

    assert result.exit_code == 75
    assert json.loads(result.stdout)["habits"][0]["problem"] == "No route to host"
    assert json.loads(result.stdout)["summary"]["patient_greeted_after"] is None


def test_chosen_habits_only(server: Server) -> None:
    """--habit may be repeated; the table's order does not change."""
    run("127.0.0.1:2525", "--habit", "piler", "--habit", "patient")

    assert [habit.name for habit, _ in server.played] == ["patient", "piler"]


def test_options_reach_the_clients(server: Server) -> None:
    """Envelope, patience, time-out and the promise not to deliver."""
    run(
        "127.0.0.1:2525",
        "--from",
        "",
        "--to",
        "you@example.org",
        "--no-mail",
        "--patience",
        "500ms",
        "--timeout",
        "1m",
        "--reply-patience",
        "3s",
    )

    assert b"MAIL FROM:<>\r\nRCPT TO:<you@example.org>" in server.sent()
    assert b"DATA\r\n" not in server.sent()
    assert "leaves after 0.5 s" in [habit.did for habit, _ in server.played]
    assert {3.0} == {
        step.within for habit, _ in server.played for step in habit.steps if isinstance(step, Hear) and step.what == "rcpt 1"
    }
    assert {given["timeout"] for _, given in server.played} == {60.0}


def test_nothing_left_to_play_is_a_usage_error(server: Server) -> None:
    """A habit that is all about a message cannot be played without one."""
    result = run("127.0.0.1:2525", "--no-mail", "--habit", "data-jumper")

    assert result.exit_code == 2 and "data-jumper" in result.stderr


def test_a_source_with_a_network_gives_each_client_its_own(server: Server) -> None:
    """So a server that remembers addresses judges each habit by itself."""
    run("127.0.0.1:2525", "--source", "127.0.0.11/8", "--habit", "patient", "--habit", "blind")

    assert [str(given["source"]) for _, given in server.played] == ["127.0.0.11", "127.0.0.12"]


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (("localhost",), "HOST:PORT"),
        (("127.0.0.1:2525", "--source", "here"), "127.0.0.11/8"),
        (("127.0.0.1:2525", "--source", "::1"), "IPv6"),
        (("127.0.0.1:2525", "--patience", "0"), "350ms"),
        (("127.0.0.1:2525", "--timeout", "soon"), "350ms"),
        (("127.0.0.1:2525", "--to", ""), "ASCII"),
        (("127.0.0.1:2525", "--to", "a>\r\nRCPT TO:<b"), "ASCII"),
        (("127.0.0.1:2525", "--from", "é@example.org"), "ASCII"),
        (("127.0.0.1:2525", "--habit", "polite"), "patient"),
    ],
)
def test_usage_errors_say_what_to_write(server: Server, arguments: tuple[str, ...], hint: str) -> None:
    """Status 2, nothing is played, and the mend is in the message."""
    result = run(*arguments)

    assert (result.exit_code, server.played) == (2, [])
    assert hint in result.stderr


def test_an_interrupt_shows_what_is_known(server: Server) -> None:
    """Ctrl-C ends with 130 and the table so far."""
    server.interrupted = True
    result = run("127.0.0.1:2525")

    assert result.exit_code == 130
    assert "waiting" in result.stdout and result.stderr == "interrupted\n"


@pytest.mark.parametrize(("text", "expected"), [("2", 2.0), ("2.5s", 2.5), (".5", 0.5), ("350ms", 0.35), ("1m", 60.0)])
def test_durations_are_written_as_in_the_configuration(text: str, expected: float) -> None:
    """A bare number is seconds."""
    assert duration(text) == expected


def test_help_names_every_habit() -> None:
    """The list is made from the habits, so it cannot go stale."""
    text = "".join(run("--help").output.split())

    assert all(name in text for name in NAMES)


def test_the_page_has_every_habit_verdict_and_promise() -> None:
    """docs/probe.md tells of each, and of those that bring a message or break no rule it tells so."""
    page = (Path(__file__).parents[2] / "docs" / "probe.md").read_text("utf-8")
    rows = dict(re.findall(r"^\| `([a-z-]+)` \| .* \| ([a-z ]+) \|$", page, re.MULTILINE))
    kinds = {habit.name: {"odd": "breaks no rule"}.get(habit.kind, habit.kind) for habit in habits(Options())}

    assert kinds == rows
    words = re.findall(r"^\| ([a-z, ]+) \| [a-z, -]+ \| ", page[page.index("| verdict |") :], re.MULTILINE)
    assert {verdict.value for verdict in Verdict} == {word for cell in words for word in cell.split(", ")} - {"verdict"}
    mailing = [
        habit.name for habit in habits(Options()) if any(b"DATA" in step.data for step in habit.steps if isinstance(step, Say))
    ]
    assert ["patient", "blind", "data-jumper", "bare-lf"] == mailing
    assert f"({', '.join(mailing[:-1])} and {mailing[-1]})" in " ".join(page.split())
