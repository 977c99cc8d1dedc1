"""Promise 12: nothing leaks. Descriptors and connections to the MTA return to what they were, however clients leave."""

import contextlib
import itertools
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.e2e.servers import accounting
from tests.e2e.servers.clients import RawClient
from tests.e2e.servers.crowd import Crowd
from tests.e2e.servers.faults import Fault
from tests.e2e.servers.processes import wait_until
from tests.e2e.servers.sink import Sink
from tests.e2e.servers.tarry import Tarry

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

STAGES = ("held", "greeted", "EHLO", "MAIL", "RCPT", "DATA", "mid-message", "after the dot")
SESSION = (b"", b"EHLO x\r\n", b"MAIL FROM:<a@b.example>\r\n", b"RCPT TO:<c@d.example>\r\n", b"DATA\r\n", b"half a mess")
DOT = b"age\r\n.\r\n"
WITHIN = 8.0
LIMITS = "[limits]\ncommand = '2s'\ndata = '2s'\nbackend = '4s'\nmessage = '4s'\ndrain = '1s'\n[listen]\nmax_per_client = 0\n"


@pytest.fixture(scope="module")
def sink() -> Iterator[Sink]:
    """An MTA that takes its time with the answer to a message, so that a client can leave before it."""
    with Sink(Fault(at="dot", what="late", seconds=0.5)) as running:
        yield running


@pytest.fixture(scope="module", params=["proxy", "maildir"])
def tarry(request: pytest.FixtureRequest, sink: Sink) -> Iterator[Tarry]:
    with Tarry(LIMITS, backend=sink.port if request.param == "proxy" else None, wait="0.3s") as running:
        with RawClient(running.port) as client:  # what is opened once, by the first session, is no leak
            advance(client, "RCPT")
        assert running.wait_records(ev="close")
        sink.wait_closed()
        yield running


def leave(client: RawClient, way: str) -> None:
    match way:
        case "FIN":
            client.close()
        case "RST":
            client.reset()
        case "half-close":
            client.half_close()
            client.read_until_closed(timeout=10)
        case "silent":
            client.read_until_closed(timeout=10)


def advance(client: RawClient, stage: str) -> None:
    """Bring the session to *stage*."""
    steps = STAGES.index(stage)
    for line in SESSION[:steps]:
        if line:
            client.send(line)
        if line != SESSION[-1]:
            client.read_reply()
    if stage == "after the dot":
        client.send(SESSION[-1] + DOT)


def test_every_departure_at_every_stage_gives_everything_back(tarry: Tarry, sink: Sink) -> None:
    """By FIN, RST, half-close and silence, at eight stages: all descriptors and connections to the MTA are back in seconds."""
    base = accounting.descriptors(tarry.pids())
    closes = len(tarry.records(ev="close"))

    def depart(stage: str, way: str) -> None:
        client = RawClient(tarry.port)
        with contextlib.closing(client):
            advance(client, stage)
            leave(client, way)

    cases = list(itertools.product(STAGES, ("FIN", "RST", "half-close", "silent")))
    with ThreadPoolExecutor(16) as pool:
        for departed in [pool.submit(depart, *case) for case in cases]:
            departed.result(60)

    assert_nothing_is_left(tarry, sink, base)
    assert len(cases) == len(tarry.wait_records(closes + len(cases), ev="close")) - closes


def test_a_message_that_breaks_off_is_stored_by_nobody(tarry: Tarry, sink: Sink) -> None:
    """Whoever leaves in the middle of a message has sent none."""
    stored = len(tarry.messages()), sum(message.accepted for message in sink.messages)

    def break_off(way: str) -> None:
        with RawClient(tarry.port) as client:
            advance(client, "mid-message")
            leave(client, way)

    with ThreadPoolExecutor() as pool:
        list(pool.map(break_off, ("FIN", "RST", "half-close", "silent")))
    assert sink.wait_closed()

    assert stored == (len(tarry.messages()), sum(message.accepted for message in sink.messages))


@pytest.mark.parametrize("reset", [False, True], ids=["FIN", "RST"])
def test_four_times_150_connects_leave_nothing(tarry: Tarry, sink: Sink, reset: bool) -> None:
    """Clients that connect and go, some having talked, cost nothing once they are gone."""
    base = accounting.descriptors(tarry.pids())
    talk: Callable[[Crowd], None]
    for talk in (lambda crowd: None, lambda crowd: crowd.send(b"EHLO x\r\n"), lambda crowd: None, lambda crowd: crowd.send(b"\0")):
        with Crowd(tarry.port, 150) as crowd:
            talk(crowd)
            crowd.close(reset=reset)

    assert_nothing_is_left(tarry, sink, base)


def assert_nothing_is_left(tarry: Tarry, sink: Sink, base: int) -> None:
    wait_until(lambda: accounting.descriptors(tarry.pids()) <= base, WITHIN)
    assert base >= accounting.descriptors(tarry.pids())
    assert sink.wait_closed(WITHIN), sink.open
