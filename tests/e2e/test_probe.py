"""The probe as a whole: every habit against small real servers, and the command line."""

import asyncio
import json
import socket
import subprocess
import sys
import time

import pytest
from click.testing import CliRunner, Result

from tarry.cli.probe import command
from tarry.probe.habits import NAMES, habits
from tarry.probe.play import play
from tarry.probe.steps import Options
from tarry.probe.target import Endpoint
from tarry.probe.trace import Ending, Seconds, Trace
from tarry.probe.verdict import Verdict, judge_all
from tests.e2e.probe_servers import HOLD, Mailbox, holding, mute, naive, one, serving

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


NEW = NAMES[NAMES.index("rcpt-flood") :]
"""The floods and false names, which a plain server has nothing against."""


async def all_of_them(endpoint: Endpoint, options: Options, timeout: float = 10) -> dict[str, Verdict]:
    chosen = habits(options)
    plays = (play(habit, [endpoint], clock=time.monotonic, timeout=Seconds(timeout)) for habit in chosen)
    traces = await asyncio.gather(*plays)
    return {finding.habit.name: finding.verdict for finding in judge_all(zip(chosen, traces, strict=True))}


async def command_line(*arguments: str) -> Result:
    return await asyncio.to_thread(CliRunner().invoke, command, arguments)


def test_a_naive_server_serves_nearly_everyone() -> None:
    """What a server without a front door looks like, and that every message that was called accepted is really there."""
    mailbox = Mailbox()

    async def run() -> dict[str, Verdict]:
        async with naive(mailbox) as endpoint:
            return await all_of_them(endpoint, Options())

    verdicts = asyncio.run(run())

    assert verdicts == {
        "patient": Verdict.DELIVERED,
        "slow-writer": Verdict.GREETED,
        "half-closer": Verdict.GREETED,
        "blind": Verdict.SERVED,
        "one-early-byte": Verdict.SERVED,
        "tls-first": Verdict.SERVED,
        "http-first": Verdict.SERVED,
        "impatient": Verdict.SERVED,
        "data-jumper": Verdict.SERVED,
        "piler": Verdict.SERVED,
        "bare-lf": Verdict.NO_ANSWER,  # it takes bare LF in commands but not as the end of a message
        "non-smtp": Verdict.TURNED_AWAY,  # after too many unknown commands
        **dict.fromkeys(NEW, Verdict.SERVED),
    }
    assert sorted(content.split(b"tarry probe: the ")[1].split()[0] for content in mailbox.stored) == [
        b"blind",
        b"data-jumper",
        b"patient",
    ]


def test_without_mail_nothing_is_stored() -> None:
    """--no-mail is a promise."""
    mailbox = Mailbox()

    async def run() -> dict[str, Verdict]:
        async with naive(mailbox) as endpoint:
            return await all_of_them(endpoint, Options(deliver=False))

    verdicts = asyncio.run(run())

    assert (verdicts["patient"], verdicts["blind"], mailbox.stored) == (Verdict.GREETED, Verdict.SERVED, [])


def test_a_holding_server_turns_early_talkers_away_and_serves_the_honest() -> None:
    """The front door's value in one table."""

    async def run() -> dict[str, Verdict]:
        async with serving(holding) as endpoint:
            return await all_of_them(endpoint, Options(patience=Seconds(0.2)))

    assert asyncio.run(run()) == {
        "patient": Verdict.DELIVERED,
        "slow-writer": Verdict.GREETED,
        "half-closer": Verdict.HELD,
        "blind": Verdict.TURNED_AWAY,
        "one-early-byte": Verdict.TURNED_AWAY,
        "tls-first": Verdict.TURNED_AWAY,
        "http-first": Verdict.TURNED_AWAY,
        "impatient": Verdict.GAVE_UP,
        "data-jumper": Verdict.SERVED,
        "piler": Verdict.SERVED,
        "bare-lf": Verdict.NO_ANSWER,
        "non-smtp": Verdict.TURNED_AWAY,
        **{name: Verdict.TURNED_AWAY if name == "noop-flood" else Verdict.SERVED for name in NEW},  # it knows no NOOP
    }


def test_times_are_those_of_the_wire() -> None:
    """The hold is measured from the connection to the greeting, and the slow writer's two seconds come on top."""

    async def run() -> tuple[Trace, Trace]:
        async with serving(holding) as endpoint:
            return await asyncio.gather(one("patient", endpoint), one("slow-writer", endpoint))

    patient, slow = asyncio.run(run())

    assert patient.greeting is not None and HOLD <= patient.greeting.after < HOLD + 2
    ehlo = slow.reply_to("ehlo")
    assert ehlo is not None and slow.greeting is not None and 1.8 <= ehlo.after - slow.greeting.after < 5
    assert (patient.ended, patient.sent[:10], patient.quit_sent) == (Ending.SERVER, "EHLO tarry", True)
    assert patient.sent_lines == 15 and patient.sent_bytes > 400


def test_a_server_that_never_answers_ends_with_the_time_out() -> None:
    """No habit outlives it, whatever it waits for."""

    async def run() -> dict[str, Verdict]:
        async with serving(mute) as endpoint:
            async with asyncio.timeout(2):
                return await all_of_them(endpoint, Options(patience=Seconds(0.2)), timeout=0.5)

    verdicts = asyncio.run(run())

    assert verdicts.pop("impatient") is Verdict.GAVE_UP
    assert set(verdicts.values()) == {Verdict.NO_ANSWER}


@pytest.mark.parametrize("option", ["--json", "--no-mail"])
def test_a_reader_that_has_enough_does_not_change_the_status(option: str) -> None:
    """`tarry probe | head -0`: no traceback, and the status is still the verdict."""
    program = "import sys; from tarry.cli.probe import command; sys.stdin.read(); command()"

    async def run() -> tuple[int, bytes]:
        async with serving(holding) as endpoint:
            arguments = (f"127.0.0.1:{endpoint.port}", "--habit", "patient", option)
            child = subprocess.Popen(
                [sys.executable, "-c", program, *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
            assert child.stdout is not None
            child.stdout.close()
            child.stdout = None
            _, errors = await asyncio.to_thread(child.communicate, b"")
            return child.returncode, errors

    assert asyncio.run(run()) == (0, b"")


def test_the_command_shows_it_all_in_time() -> None:
    """All clients against a hold take little longer than the slowest one, and the summary is in words."""

    async def run() -> tuple[Result, float]:
        async with serving(holding) as endpoint:
            began = time.monotonic()
            result = await command_line(f"127.0.0.1:{endpoint.port}", "--patience", "200ms")
            return result, time.monotonic() - began

    result, took = asyncio.run(run())

    assert result.exit_code == 0, result.output
    assert all(name in result.stdout for name in NAMES)
    assert "4 of 15 bot habits were turned away before the greeting; 1 after it; 1 gave up waiting" in result.stdout
    assert "its mail was accepted" in result.stdout
    assert took < 10


def test_the_command_finds_an_honest_client_without_a_greeting() -> None:
    """Status 1 and a machine-readable reason."""

    async def run() -> Result:
        async with serving(mute) as endpoint:
            return await command_line(f"127.0.0.1:{endpoint.port}", "--timeout", "300ms", "--json", "--habit", "patient")

    result = asyncio.run(run())

    assert result.exit_code == 1
    assert json.loads(result.stdout)["habits"][0]["ended"] == "timeout"


def test_the_command_against_nothing_says_what_to_start() -> None:
    """Status 75."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    result = asyncio.run(command_line(f"127.0.0.1:{port}"))

    assert (result.exit_code, result.stderr) == (
        75,
        f"tarry probe: nothing listens on 127.0.0.1:{port}: start it with `make serve`\n",
    )
