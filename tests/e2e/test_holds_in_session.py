"""Holds after the greeting: before 354, the residual delay at RCPT, the tarpits; each interruptible, each recorded."""

import time
from collections.abc import Iterator
from itertools import product

import pytest

from tests.e2e.servers.ahead import Ahead
from tests.e2e.servers.clients import RawClient
from tests.e2e.servers.faults import Fault
from tests.e2e.servers.sink import Sink
from tests.e2e.servers.tarry import Tarry

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

LATE = 3.0
DELAYED = '[checks.pregreet]\naction = "delay"\n[delay]\ntarget = "2s..2s"\n'


@pytest.fixture
def sink() -> Iterator[Sink]:
    with Sink() as running:
        yield running


def early(tarry: Tarry) -> RawClient:
    """Return a client that spoke before the greeting and has been greeted all the same."""
    client = RawClient(tarry.port)
    client.send(b"EHLO early\r\n")
    assert [220, 250] == [client.read_reply().code, client.read_reply().code]
    return client


def timed(client: RawClient, line: bytes) -> tuple[int, float]:
    """Say *line*; return the code and how long the reply took."""
    began = time.monotonic()
    reply = client.command(line)
    return reply.code, reply.at - began


# Before 354


def test_data_waits_before_354() -> None:
    """An honest client waits hold.data_wait for its 354, and delivers."""
    with Tarry('[hold]\ndata_wait = "0.7s"\nwait = "0.05s"') as tarry, RawClient(tarry.port) as client:
        client.greeted()
        client.envelope()
        code, took = timed(client, b"DATA")
        assert (354, True) == (code, 0.69 <= took <= 0.7 + LATE)
        assert client.command(b"Subject: x\r\n\r\nx\r\n.").code == 250
        (hold,) = tarry.wait_records(1, ev="hold")

    assert ("data_wait", 0.7, "due") == (hold["why"], hold["asked"], hold["ended"])


PREDATA = {"reject": 550, "defer": 450, "drop": 521, "tag": 354, "ignore": 354}
DATA_WAITS = ("0s", "0.7s")


@pytest.fixture(scope="module")
def spoken() -> Iterator[Ahead[tuple[str, str], None]]:
    with Ahead(lambda case: speak_before_354(*case), product(PREDATA, DATA_WAITS)) as ahead:
        yield ahead


@pytest.mark.parametrize("data_wait", DATA_WAITS)
@pytest.mark.parametrize("action", PREDATA)
def test_a_message_before_354_is_predata(action: str, data_wait: str, spoken: Ahead[tuple[str, str], None]) -> None:
    """Data with or shortly after DATA, before the 354, is found; refused it is never read as commands."""
    spoken.of((action, data_wait))


def speak_before_354(action: str, data_wait: str) -> None:
    config = f'[checks.predata]\naction = "{action}"\n[hold]\nwait = "0.05s"\ndata_wait = "{data_wait}"'
    code = PREDATA[action]
    with Sink() as sink, Tarry(config, backend=sink.port) as tarry, RawClient(tarry.port) as client:
        client.greeted()
        client.envelope()
        if data_wait == "0s":
            client.send(b"DATA\r\nSubject: x\r\n\r\nRSET\r\n.\r\n")
        else:
            client.send(b"DATA\r\n")
            time.sleep(0.2)
            client.send(b"Subject: x\r\n\r\nRSET\r\n.\r\n")
        assert code == client.read_reply().code
        if code == 354:
            assert client.read_reply().code == 250
        else:
            assert client.read_until_closed() == b""
        reasons = [f"{each['check']}.{each['code']}" for each in tarry.wait_records(1, ev="reason")]

        assert ["predata.spoke"] == reasons
        assert (1 if code == 354 else 0) == len(sink.messages)
        assert b"RSET" not in sink.lines


# Residual delay


def test_the_residual_delay_makes_up_what_is_missing(sink: Sink) -> None:
    """At RCPT the client has waited 2 s in all since it connected; before that the MTA knows nothing of it; then no more."""
    with Tarry(DELAYED, backend=sink.port, wait="0.3s") as tarry:
        base = len(sink.wait_connections(1))
        with early(tarry) as client:
            assert (250, True) == ((answer := timed(client, b"MAIL FROM:<a@b.example>"))[0], answer[1] < LATE)
            client.send(b"RCPT TO:<c@d.example>\r\n")
            time.sleep(0.5)
            assert 0 == len(sink.connections) - base
            rcpt = client.read_reply()
            assert (250, True) == (rcpt.code, 1.99 <= rcpt.at - client.connected_at <= 2.0 + LATE)
            assert 1 == len(sink.connections) - base
            second = timed(client, b"RCPT TO:<e@d.example>")
            assert (250, True) == (second[0], second[1] < LATE)
            assert client.command(b"DATA").code == 354
            assert client.command(b"x\r\n.").code == 250
        (hold,) = tarry.wait_records(1, ev="hold")
        (close,) = tarry.wait_records(1, ev="close")

    assert ("residual", "due", "rcpt") == (hold["why"], hold["ended"], hold["phase"])
    assert abs(close["delayed"] - hold["held"]) < 0.001
    assert ("delay", 1) == (close["action"], close["messages"])
    assert [b"a@b.example"] == [message.sender for message in sink.messages]


@pytest.mark.parametrize("refusal", [b"550 5.1.8 no such sender\r\n", b"451 4.1.8 later\r\n"])
def test_the_mtas_refusal_of_mail_is_told_at_rcpt(refusal: bytes, sink: Sink) -> None:
    """A MAIL that tarry took by itself and the MTA refuses is refused, in the MTA's words, at the RCPT behind it."""
    sink.play(Fault(at="MAIL", reply=refusal))
    with Tarry(DELAYED.replace("2s..2s", "1s"), backend=sink.port, wait="0.2s") as tarry, early(tarry) as client:
        assert client.command(b"MAIL FROM:<a@b.example>").code == 250

        assert refusal == client.command(b"RCPT TO:<c@d.example>").raw
        assert client.command(b"DATA").code in (503, 554)


@pytest.mark.parametrize("way", ["fin", "reset"])
def test_a_client_that_leaves_during_a_hold_ends_it(way: str, sink: Sink) -> None:
    """The hold is over at once, with its time, and the MTA never heard of the client."""
    with Tarry(DELAYED.replace("2s..2s", "60s"), backend=sink.port, wait="0.2s") as tarry:
        base = len(sink.wait_connections(1))
        client = early(tarry)
        client.command(b"MAIL FROM:<a@b.example>")
        client.send(b"RCPT TO:<c@d.example>\r\n")
        time.sleep(0.5)
        client.close() if way == "fin" else client.reset()
        (hold,) = tarry.wait_records(1, ev="hold")
        (close,) = tarry.wait_records(1, ev="close")

    assert ("residual", "left") == (hold["why"], hold["ended"])
    assert 0.4 <= hold["held"] <= 0.5 + LATE
    assert ("client", "rcpt") == (close["ended"], close["phase"])
    assert 0 == len(sink.connections) - base


DELAY_AT = {"helo": 0, "mail": 0, "rcpt": 1, "data": 2}


@pytest.fixture(scope="module")
def delayed() -> Iterator[Ahead[str, None]]:
    with Ahead(be_delayed_at, DELAY_AT) as ahead:
        yield ahead


@pytest.mark.parametrize("at", DELAY_AT)
def test_the_delay_may_stand_elsewhere(at: str, delayed: Ahead[str, None]) -> None:
    """delay.at names the command whose reply is held; the first at or behind it is."""
    delayed.of(at)


def be_delayed_at(at: str) -> None:
    delay = DELAYED.replace("2s..2s", "1.2s") + f'at = "{at}"'
    with Sink() as sink, Tarry(delay, backend=sink.port, wait="0.1s") as tarry:
        client = RawClient(tarry.port)
        client.send(b"EHLO early\r\n")
        client.read_reply()
        client.read_reply()
        took = [timed(client, line)[1] for line in (b"MAIL FROM:<a@b.example>", b"RCPT TO:<c@d.example>", b"DATA")]
        client.close()
        (hold,) = tarry.wait_records(1, ev="hold")

    if at == "helo":
        assert "helo" == hold["phase"]
        assert max(took) < LATE
    else:
        assert at == hold["phase"]
        assert took[DELAY_AT[at]] >= 0.9


# Tarpits


def test_the_tarpit_holds_each_rcpt_beyond_the_free_ones(sink: Sink) -> None:
    """With free = 2 and step = 0.3 s the third waits 0.9 s, the fourth 1.2 s, and the cap caps."""
    config = '[tarpit.rcpt]\nfree = 2\nstep = "0.3s"\ncap = "1.2s"'
    with Tarry(config, backend=sink.port, wait="0.05s") as tarry, RawClient(tarry.port) as client:
        client.greeted()
        client.command(b"MAIL FROM:<a@b.example>")
        took = [timed(client, f"RCPT TO:<c{number}@d.example>".encode()) for number in range(1, 6)]
        holds = tarry.wait_records(3, ev="hold")

    assert [250] * 5 == [code for code, _ in took]
    assert all(seconds < LATE for _, seconds in took[:2])
    for (_, seconds), least in zip(took[2:], (0.9, 1.2, 1.2), strict=True):
        assert least - 0.01 <= seconds <= least + LATE
    assert [("tarpit.rcpt", 0.9), ("tarpit.rcpt", 1.2), ("tarpit.rcpt", 1.2)] == [(each["why"], each["asked"]) for each in holds]


def test_a_transaction_that_is_reset_begins_the_count_anew(sink: Sink) -> None:
    """The free RCPTs are of a transaction; the RSETs of a session have a tarpit of their own."""
    config = '[tarpit.rcpt]\nfree = 2\nstep = "0.4s"\n[tarpit.rset]\nfree = 2\nstep = "0.2s"'
    with Tarry(config, backend=sink.port, wait="0.05s") as tarry, RawClient(tarry.port) as client:
        client.greeted()
        rsets = []
        for _ in range(4):
            assert [250, 250, 250] == client.envelope("a@b.example", "c@d.example", "e@d.example")
            rsets.append(timed(client, b"RSET")[1])
        holds = tarry.wait_records(2, ev="hold")

    assert [("tarpit.rset", 0.6), ("tarpit.rset", 0.8)] == [(each["why"], each["asked"]) for each in holds]
    assert rsets[2] >= 0.59
    assert rsets[3] >= 0.79


def test_a_client_in_a_tarpit_may_leave(sink: Sink) -> None:
    """Its hang-up ends the hold at once, and the MTA's session with it."""
    config = '[tarpit.rcpt]\nfree = 1\nstep = "60s"'
    with Tarry(config, backend=sink.port, wait="0.05s") as tarry:
        client = RawClient(tarry.port)
        client.greeted()
        assert [250, 250] == client.envelope()
        client.send(b"RCPT TO:<c@d.example>\r\n")
        time.sleep(0.3)
        client.close()
        (hold,) = tarry.wait_records(1, ev="hold")
        assert sink.wait_closed()

    assert ("tarpit.rcpt", "left") == (hold["why"], hold["ended"])


def test_what_is_piled_up_behind_a_hold_is_answered_in_order(sink: Sink) -> None:
    """A pipelined group waits as a whole and gets its replies one for one."""
    config = '[tarpit.rcpt]\nfree = 1\nstep = "0.2s"'
    with Tarry(config, backend=sink.port, wait="0.05s") as tarry, RawClient(tarry.port) as client:
        client.greeted()
        client.send(b"MAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\nRCPT TO:<e@d.example>\r\nDATA\r\n")
        codes = [client.read_reply().code for _ in range(4)]
        (close_reasons,) = [tarry.records(ev="reason")]

    assert [250, 250, 250, 354] == codes
    assert [] == close_reasons
