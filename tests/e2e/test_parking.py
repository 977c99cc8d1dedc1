"""Parking: a client on a long hold in mid-session keeps no MTA connection; its transaction comes back whole or not at all."""

import os
import signal
import statistics
import threading
import time
from collections.abc import Iterator

import pytest

from tests.e2e.servers.clients import RawClient, submit
from tests.e2e.servers.faults import Fault
from tests.e2e.servers.need import need
from tests.e2e.servers.postfix import Postfix
from tests.e2e.servers.processes import wait_until
from tests.e2e.servers.sink import Sink
from tests.e2e.servers.tarpitted import Tarpitted, mta_connections
from tests.e2e.servers.tarry import Tarry

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

PARKED = '[handoff]\npark_after = "0.2s"\n[hold]\nwait = "0.05s"\n'
TARPIT = PARKED + '[tarpit.rcpt]\nfree = 1\nstep = "0.4s"\n'
FIRST = [b"MAIL FROM:<a@b.example> SIZE=100", b"RCPT TO:<c@d.example> NOTIFY=NEVER", b"RCPT TO:<nobody@d.example>"]
SECOND = b"RCPT TO:<e@d.example>"
TAKEN_BACK = b"451 4.3.0 What was accepted before is not accepted any more, try again later ["


@pytest.fixture
def sink() -> Iterator[Sink]:
    with Sink() as running:
        yield running


def held(client: RawClient, line: bytes, sink: Sink) -> None:
    """Say *line*, and return when its hold has parked the client."""
    client.send(line + b"\r\n")
    assert sink.wait_closed()


def test_the_mta_is_let_go_and_given_the_transaction_again(sink: Sink) -> None:
    """It hears QUIT at the beginning of the hold, and the accepted lines, word for word, after it; the mail arrives once."""
    sink.play(Fault(at="RCPT", matching=b"nobody", reply=b"550 5.1.1 who\r\n"))
    with Tarry(TARPIT.replace("free = 1", "free = 2"), backend=sink.port) as tarry, RawClient(tarry.port) as client:
        base = len(sink.wait_connections(1))
        client.greeted()
        assert [250, 250, 550] == [client.command(line).code for line in FIRST]
        began = time.monotonic()
        held(client, SECOND, sink)
        assert time.monotonic() - began < 1.0
        assert (250, True) == (client.read_reply().code, time.monotonic() - began >= 1.19)
        assert client.command(b"DATA").code == 354
        assert client.command(b"Subject: x\r\n\r\nx\r\n.").code == 250
        client.command(b"QUIT")
        (parked,) = tarry.wait_records(1, ev="parked")
        (close,) = tarry.wait_records(1, ev="close")
        assert [True, True] == [each["ok"] for each in tarry.records(ev="handoff")]

    first, second = sink.connections[base:]
    assert [*FIRST, b"QUIT"] == first.lines[1:]
    assert [first.lines[0], *FIRST[:2], SECOND, b"DATA", b"QUIT"] == second.lines
    assert [[b"c@d.example", b"e@d.example"]] == [message.recipients for message in sink.messages]
    assert ("rcpt", 1, 1, 2) == (parked["phase"], parked["rcpts"], close["parked"], close["rcpts_accepted"])


def test_data_waits_without_the_mta(sink: Sink) -> None:
    """With hold.data_wait the MTA hears no DATA before the hold is over."""
    with Tarry(PARKED.replace('wait = "0.05s"', 'wait = "0.05s"\ndata_wait = "0.8s"'), backend=sink.port) as tarry:
        with RawClient(tarry.port) as client:
            client.greeted()
            client.envelope("a@b.example", "c@d.example")
            held(client, b"DATA", sink)
            assert b"DATA" not in sink.lines
            assert client.read_reply().code == 354
            assert client.command(b"x\r\n.").code == 250
        (parked,) = tarry.wait_records(1, ev="parked")
        tarry.wait_records(1, ev="close")

    assert ("data", 1) == (parked["phase"], len(sink.messages))


def test_the_client_is_announced_again() -> None:
    """Each connection begins with the PROXY header of the same client."""
    with Sink(proxy=True) as sink, Tarry(TARPIT, backend=sink.port, announce="proxy-v2") as tarry:
        base = len(sink.wait_connections(1))
        with RawClient(tarry.port) as client:
            client.greeted()
            assert [250, 250, 250] == client.envelope("a@b.example", "c@d.example", "e@d.example")
            source = client.address
        both = sink.connections[base:]

    assert [source, source] == [each.proxy.client for each in both if each.proxy is not None]


@pytest.mark.parametrize("at", ["MAIL", "RCPT"])
@pytest.mark.parametrize("answer", [b"550 5.1.1 gone\r\n", b"450 4.2.0 later\r\n"])
def test_what_the_mta_takes_back_is_told_and_nothing_is_delivered(at: str, answer: bytes, sink: Sink) -> None:
    """451 to the command at hand and to the rest of the transaction; the next one is as any other."""
    with Tarry(TARPIT, backend=sink.port) as tarry, RawClient(tarry.port) as client:
        client.greeted()
        assert [250, 250] == client.envelope("a@b.example", "c@d.example")
        held(client, SECOND, sink)
        sink.play(Fault(at=at, reply=answer, times=1))
        assert client.read_reply().raw.startswith(TAKEN_BACK)
        assert client.command(b"DATA").raw.startswith(TAKEN_BACK)
        assert [] == sink.messages
        assert client.command(b"RSET").code == 250
        assert [250, 250] == client.envelope("a@b.example", "c@d.example")
        assert client.command(b"DATA").code == 354
        assert client.command(b"x\r\n.").code == 250
        handoffs = tarry.wait_records(4, ev="handoff")

    assert ["", "", f"after the hold it refuses {at}: {answer.decode().strip()}", ""] == [each["why"] for each in handoffs]
    assert 1 == len(sink.messages)


def test_an_mta_that_has_gone_meanwhile(sink: Sink) -> None:
    """The client is told to come again."""
    with Tarry(TARPIT, backend=sink.port) as tarry, RawClient(tarry.port) as client:
        client.greeted()
        assert [250, 250] == client.envelope("a@b.example", "c@d.example")
        held(client, SECOND, sink)
        sink.refuse()
        assert client.read_reply().raw.startswith(b"421 4.3.2 ")
        assert client.read_until_closed() == b""


@pytest.mark.parametrize("how", ["fin", "reset", "drain"])
def test_a_parked_client_that_leaves_or_must(how: str, sink: Sink) -> None:
    """The hold ends at a hang-up and, when tarry goes down, with the time that is left for it; the MTA hears nothing more."""
    config = TARPIT.replace("0.4s", "30s") + '[limits]\ndrain = "1s"\n'
    with Tarry(config, backend=sink.port) as tarry:
        base = len(sink.wait_connections(1))
        client = RawClient(tarry.port)
        client.greeted()
        client.envelope("a@b.example", "c@d.example")
        held(client, SECOND, sink)
        if how == "drain":
            tarry.send_signal(signal.SIGTERM)
            assert wait_until(lambda: tarry.status is not None, 10)
        else:
            client.close() if how == "fin" else client.reset()
        (close,) = tarry.wait_records(1, ev="close")
        client.close()

    assert (1, 0) == (close["parked"], close["messages"])
    assert 1 == len(sink.connections) - base


# A crowd.


class Sampler:
    """Counts the connections to the MTA, twenty times a second, while it is entered."""

    def __init__(self, port: int) -> None:
        self.counts: list[int] = []
        self._port, self._stop = port, threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)

    def __enter__(self) -> "Sampler":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _sample(self) -> None:
        while not self._stop.wait(0.05):
            self.counts.append(mta_connections(self._port))


def good_mail(port: int, count: int, pause: float = 0.0) -> list[float]:
    """Deliver *count* messages one after the other; return how long each took, from connecting to the answer to QUIT."""
    took = []
    for _ in range(count):
        time.sleep(pause)
        began = time.monotonic()
        assert {} == submit(port, source="127.0.0.9")
        took.append(time.monotonic() - began)
    return took


GOOD = 12
SLOW = pytest.mark.skipif(not os.environ.get("TARRY_SLOW"), reason="TARRY_SLOW=1 takes the two minutes and a half that they need")


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("clients", "pace", "step"),
    [
        pytest.param(120, 80.0, 3.0, id="120 clients, 6 s"),
        pytest.param(500, 75.0, 10.0, id="500 clients, 20 s", marks=SLOW),
        pytest.param(2000, 80.0, 30.0, id="2000 clients, 60 s", marks=SLOW),
    ],
)
def test_a_crowd_in_the_tarpit_takes_nothing_from_good_mail(clients: int, pace: float, step: float) -> None:
    """In front of a Postfix of ten smtpd processes: held they have none of them, and afterwards each goes on and is answered."""
    need("postfix")
    config = f'[tarpit.rcpt]\nfree = 1\nstep = "{step}s"\n[handoff]\npark_after = "0.5s"\n[record]\ndetail = "all"'
    with Postfix(process_limit=10) as postfix, Tarry(config, backend=postfix.port, wait="0.05s") as tarry:
        alone = good_mail(tarry.port, 5)
        with Tarpitted(tarry.port, clients, pace=pace) as crowd:
            with Sampler(postfix.port) as ramp:
                assert wait_until(lambda: crowd.is_held, clients / pace + 10), crowd.problems
            time.sleep(0.2)
            with Sampler(postfix.port) as quiet:
                time.sleep(0.5)
            with Sampler(postfix.port) as busy:
                beside = good_mail(tarry.port, GOOD, pause=step / 120)
            assert crowd.is_held
            with Sampler(postfix.port) as after:
                crowd.wait()
        expected = 5 + GOOD + crowd.delivered
        arrived = len(postfix.wait_messages(expected + crowd.delivered))  # to two recipients each
        parked = tarry.wait_records(clients, ev="parked", timeout=30.0)
        closed = tarry.wait_records(clients + 5 + GOOD, ev="close", timeout=30.0)

    print(
        f"\n{clients} clients held for {2 * step:.0f} s; connections to the MTA: {max(ramp.counts)} at most while they came,",
        end=" ",
    )
    print(f"{max(quiet.counts)} while all were held, {max(busy.counts)} with good mail, {max(after.counts)} while they went on")
    print(f"good mail took {_ms(alone)} alone and {_ms(beside)} beside them")
    print(f"the crowd waited {min(crowd.waited):.1f} to {max(crowd.waited):.1f} s; {crowd.told.count(250)} were told 250")
    assert [] == crowd.problems
    assert 0 == max(quiet.counts)
    assert max(busy.counts) <= 2
    assert statistics.median(beside) < 1.0
    assert max(beside) < 3.0  # a machine may stand still for a second; a hold is longer
    assert (clients, {250}) == (len(crowd.told), set(crowd.told))
    assert 2 * step - 0.01 <= min(crowd.waited)
    assert (crowd.delivering, expected + crowd.delivered) == (crowd.delivered, arrived)
    assert ({("rcpt", 1)}, clients) == ({(each["phase"], each["rcpts"]) for each in parked}, len(parked))
    assert [0] * (5 + GOOD) + [1] * clients == sorted(each["parked"] for each in closed)


def _ms(seconds: list[float]) -> str:
    return f"{sorted(seconds)[len(seconds) // 2] * 1000:.0f} ms (at most {max(seconds) * 1000:.0f})"


def test_without_parking_ten_clients_are_enough() -> None:
    """With park_after above the hold ten held clients take the ten processes of that Postfix, and good mail waits for them."""
    need("postfix")
    config = '[tarpit.rcpt]\nfree = 1\nstep = "1500ms"\n[handoff]\npark_after = "1m"'
    with (
        Postfix(process_limit=10) as postfix,
        Tarry(config, backend=postfix.port, wait="0.05s") as tarry,
        Tarpitted(tarry.port, 10, pace=20.0) as crowd,
    ):
        assert wait_until(lambda: crowd.is_held, 10)
        assert 10 == mta_connections(postfix.port)
        (took,) = good_mail(tarry.port, 1)

    assert took > 1.0
