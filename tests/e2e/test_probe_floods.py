"""Floods and false names against real servers: a front door with tarpits, Postfix, aiosmtpd and the recording sink; and whether
what is told of presets without a server is so."""

import asyncio
import statistics
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from tarry.cli.probe import OF_PRESETS
from tarry.cli.probe_presets import cases, outcomes
from tarry.cli.probe_table import got
from tarry.config.load import load
from tarry.config.values import write_span
from tarry.probe.floods import GUESSES, RECIPIENTS
from tarry.probe.habits import NAMES, habits
from tarry.probe.play import play
from tarry.probe.steps import Options
from tarry.probe.target import Endpoint
from tarry.probe.trace import Seconds
from tarry.probe.verdict import Finding, Verdict, judge_all
from tests.e2e.probe_servers import LOOPBACK, Mailbox, naive
from tests.e2e.servers.need import need
from tests.e2e.servers.postfix import Postfix
from tests.e2e.servers.sink import Sink
from tests.e2e.servers.tarry import Tarry

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

FLOODS = NAMES[NAMES.index("rcpt-flood") :]
LATE = 3.0


@pytest.fixture(scope="module")
def postfix() -> Iterator[Postfix]:
    need("postfix")
    with Postfix(recipients=["alice@example.org"]) as running:
        yield running


async def _probe(endpoint: Endpoint, names: tuple[str, ...], reply_patience: float) -> dict[str, Finding]:
    options = Options(
        sender="me@example.net",
        recipient="alice@example.org",
        reply_patience=Seconds(reply_patience),
        token="t1",
    )
    chosen = [habit for habit in habits(options) if habit.name in names]
    plays = (play(habit, [endpoint], clock=time.monotonic, timeout=Seconds(60.0)) for habit in chosen)
    traces = await asyncio.gather(*plays)
    return {finding.habit.name: finding for finding in judge_all(zip(chosen, traces, strict=True))}


def probe(port: int, *names: str, reply_patience: float = 10.0) -> dict[str, Finding]:
    """Play habits, all at once."""
    return asyncio.run(_probe(Endpoint(LOOPBACK, port), names, reply_patience))


def codes(finding: Finding) -> list[int]:
    return [reply.code for reply, _ in finding.trace.rounds(finding.habit.repeats)]


# What they say, as a server hears it


@pytest.mark.parametrize(
    ("name", "verbs"),
    [
        ("rcpt-flood", ["EHLO", "MAIL", *["RCPT"] * RECIPIENTS, "RSET", "QUIT"]),
        ("rset-flood", ["EHLO", *["MAIL", "RSET"] * 8, "QUIT"]),
        ("noop-flood", ["EHLO", *["NOOP"] * 20, "QUIT"]),
        ("dead-recipients", ["EHLO", "MAIL", *["RCPT"] * (GUESSES + 1), "RSET", "QUIT"]),
        ("bounce-flood", ["EHLO", "MAIL", *["RCPT"] * 5, "RSET", "QUIT"]),
        ("forged-helo", ["HELO", "MAIL", "RCPT", "RSET", "QUIT"]),
        ("bare-helo", ["HELO", "MAIL", "RCPT", "RSET", "QUIT"]),
    ],
)
def test_a_server_hears_what_the_habit_says(name: str, verbs: list[str]) -> None:
    """Command by command, to the end; and never a message."""
    with Sink() as sink:
        finding = probe(sink.port, name)[name]
        (connection,) = sink.connections
        assert [] == sink.messages

    assert (verbs, "quit", Verdict.SERVED) == (connection.verbs, connection.ended, finding.verdict)


def test_the_servers_own_name_comes_from_its_greeting() -> None:
    """The client gives the name by which this very server calls itself."""

    async def run() -> dict[str, Finding]:
        async with naive(Mailbox()) as endpoint:
            return await _probe(endpoint, ("own-helo",), 10.0)

    assert asyncio.run(run())["own-helo"].trace.sent.startswith("HELO naive.example\\r\\n")


# A front door


def test_a_tarpit_outlasts_the_floods() -> None:
    """The sixth recipient, the fifth RSET and the fifth NOOP wait longer than these clients bear; all before is answered."""
    free = {"rcpt": 5, "rset": 4, "noop": 4}
    tables = "".join(f'[tarpit.{name}]\nfree = {count}\nstep = "1s"\n' for name, count in free.items())
    with Tarry(tables, wait="0.2s") as tarry:
        found = probe(tarry.port, "rcpt-flood", "rset-flood", "noop-flood", reply_patience=1.5)
        holds = {record["why"]: record for record in tarry.wait_records(3, ev="hold")}

    assert {Verdict.GAVE_UP} == {finding.verdict for finding in found.values()}
    assert {"rcpt-flood": [250] * 5, "rset-flood": [250] * 4, "noop-flood": [250] * 4} == {
        name: codes(finding) for name, finding in found.items()
    }
    told = got(found["rcpt-flood"])  # "at once" in between, on a machine that does not stand still
    assert (True, True) == (told.startswith("5 x 250, "), told.endswith(", then none for 1.5 s")), told
    assert {("left", 6.0), ("left", 5.0)} == {(hold["ended"], hold["asked"]) for hold in holds.values()}


def test_a_patient_flood_is_slowed_and_served() -> None:
    """Each reply beyond the free ones takes the time of the tarpit, and the table tells it."""
    with Tarry('[tarpit.noop]\nfree = 15\nstart = "0.3s"\n', wait="0.2s") as tarry:
        finding = probe(tarry.port, "noop-flood", reply_patience=5.0)["noop-flood"]

    took = [seconds for _, seconds in finding.trace.rounds("noop")]
    assert (Verdict.SERVED, [250] * 20) == (finding.verdict, codes(finding))
    assert [True] * 5 == [0.29 <= seconds <= 0.3 + LATE for seconds in took[15:]]
    assert statistics.median(took[:15]) < 0.29
    assert got(finding).startswith("20 x 250, up to 0.")


def test_checks_that_refuse_turn_floods_and_false_names_away() -> None:
    """Each check refuses what its habit does, at the command where it is known; the patient client is served all the same."""
    config = """
[checks.many_rcpt]
action = "reject"
limit = 10
[checks.null_sender_many_rcpt]
action = "reject"
limit = 2
[checks.many_noop]
action = "drop"
limit = 7
[checks.helo]
action = "reject"
tests = ["unqualified"]
"""
    with Tarry(config, wait="0.2s") as tarry:
        found = probe(tarry.port, "patient", "rcpt-flood", "bounce-flood", "noop-flood", "bare-helo", "forged-helo")

    refused = {name: finding for name, finding in found.items() if finding.verdict is Verdict.TURNED_AWAY}
    assert {"rcpt-flood", "bounce-flood", "noop-flood", "bare-helo"} == set(refused)
    assert (Verdict.DELIVERED, Verdict.SERVED) == (found["patient"].verdict, found["forged-helo"].verdict)
    assert [*[250] * 10, 550] == codes(found["rcpt-flood"])
    assert [250, 250, 550] == codes(found["bounce-flood"])
    assert got(found["rcpt-flood"]).startswith("10 x 250, 1 x 550, at once: ")
    assert 521 == refused["noop-flood"].trace.replies[-1].code
    deciding = refused["bare-helo"].deciding
    assert deciding is not None and ("helo", 550) == (deciding.to, deciding.code)


def test_who_guesses_recipients_is_kept_from_the_real_one(postfix: Postfix) -> None:
    """The MTA refuses the guesses; after the third tarry refuses the client, and so its last recipient, who exists."""
    config = '[checks.bad_rcpt]\naction = "reject"\nlimit = 3\n'
    with Tarry(config, backend=postfix.port, wait="0.2s") as tarry:
        found = probe(tarry.port, "dead-recipients", "rcpt-flood")

    assert (Verdict.TURNED_AWAY, [550] * 20) == (found["dead-recipients"].verdict, codes(found["dead-recipients"]))
    deciding = found["dead-recipients"].deciding
    assert deciding is not None and ("rcpt", 550) == (deciding.to, deciding.code)
    assert Verdict.SERVED is found["rcpt-flood"].verdict


# A plain MTA


def test_postfix_alone_bears_all_but_the_guesser(postfix: Postfix) -> None:
    """It ends the session of the guesser at its hard limit of errors; the others have what they want, and nothing is delivered."""
    before = len(postfix.messages())
    found = probe(postfix.port, *FLOODS)

    assert {name: Verdict.SERVED for name in FLOODS if name != "dead-recipients"} == {
        name: finding.verdict for name, finding in found.items() if name != "dead-recipients"
    }
    guesser = found["dead-recipients"]
    assert Verdict.TURNED_AWAY is guesser.verdict
    assert [550] * GUESSES == codes(guesser)
    assert guesser.deciding is not None and 421 == guesser.deciding.code
    assert postfix.queue_empty()
    assert before == len(postfix.messages())


# The table of presets


PRESETS = ["carraway-2003", "qpsmtpd-earlytalker", "zmailer-1997", "postscreen"]
KNOWN = (*OF_PRESETS, "dead-recipients", "own-helo", "local-helo")  # by DNS, by the MTA, and by being on the same host
CHOSEN = [case for case in cases(impatient=Seconds(0.5), reply_patience=Seconds(4.0)) if case.habit.name not in KNOWN]


@pytest.fixture(scope="module")
def met() -> Iterator[dict[str, Future[tuple[Finding, ...]]]]:
    """What the clients find at a server of each preset, at all of them at the same time."""

    async def run(endpoint: Endpoint) -> tuple[Finding, ...]:
        plays = (play(case.habit, [endpoint], clock=time.monotonic, timeout=Seconds(60.0)) for case in CHOSEN)
        return judge_all(zip((case.habit for case in CHOSEN), await asyncio.gather(*plays), strict=True))

    def meet(preset: str) -> tuple[Finding, ...]:
        wait = write_span(load(None, flags={"preset": preset}).config.hold.wait)
        with Tarry(f'preset = "{preset}"', wait=wait) as tarry:
            return asyncio.run(run(Endpoint(LOOPBACK, tarry.port)))

    with ThreadPoolExecutor(len(PRESETS)) as pool:
        yield {preset: pool.submit(meet, preset) for preset in PRESETS}


@pytest.mark.parametrize("preset", PRESETS)
def test_what_the_table_of_presets_says_is_what_a_running_server_does(
    preset: str, met: dict[str, Future[tuple[Finding, ...]]]
) -> None:
    """The same clients, with less patience, meet the preset in memory and on a port: verdicts and deciding codes are the same."""
    (played,) = outcomes(CHOSEN, [preset])
    real = met[preset].result(90)

    def told(findings: Iterable[Finding]) -> dict[str, tuple[str, int]]:
        return {one.habit.name: (one.verdict, one.deciding.code if one.deciding else 0) for one in findings}

    assert told(one.finding for one in played) == told(real)
    assert len(real) > 15
