"""Promise 6: a passing fault of the MTA is never permanent for the sender: 4xx or a close, soon, and the record says why."""

import contextlib
import re
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from queue import SimpleQueue
from typing import Any

import pytest

from tests.e2e.faulty import BACKEND, CONFIG, Played, play
from tests.e2e.servers.door import Door, Doors
from tests.e2e.servers.faults import FAULTS, GREETING_FAULTS, Fault
from tests.e2e.servers.sink import Sink

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

VERDICT = re.compile(rb"5[0-9][0-9](?: [^\r\n]*)?\r\n\Z")
"""A fault that is a whole, well-formed refusal is the MTA's own word, and passes."""
LATE = 3.0
AT_A_TIME = 6


@pytest.fixture
def door(doors: Doors) -> Iterator[Door]:
    with doors.use(CONFIG) as door:
        yield door


@pytest.fixture(scope="module")
def met(doors: Doors) -> Iterator[dict[str, Future[tuple[Played, list[dict[str, Any]]]]]]:
    """Let a client meet each fault, at a few doors at the same time; how its session went, and the records of it."""
    free: SimpleQueue[Door] = SimpleQueue()

    def meet(fault: Fault) -> tuple[Played, list[dict[str, Any]]]:
        door = free.get()
        try:
            door.begin()
            played = play(door, fault)
            told = door.story(played.port)
            door.wait_closed(15)
            return played, told
        finally:
            free.put(door)

    with contextlib.ExitStack() as stack, ThreadPoolExecutor(AT_A_TIME) as pool:
        for _ in range(AT_A_TIME):
            free.put(stack.enter_context(doors.use(CONFIG, sink=partial(Sink))))
        futures = {name: pool.submit(meet, fault) for name, fault in FAULTS.items()}
        yield futures
        pool.shutdown()


@pytest.mark.parametrize("name", FAULTS)
def test_a_passing_fault_is_never_permanent(name: str, met: dict[str, Future[tuple[Played, list[dict[str, Any]]]]]) -> None:
    """No 250 for the message, no 5xx but the MTA's own, soon after limits.backend; then the next client is served."""
    fault = FAULTS[name]
    played, told = met[name].result(60)
    said = fault.reply if VERDICT.match(fault.reply) and fault.at != "greeting" else b""

    assert not played.accepted
    assert played.slowest < BACKEND + LATE
    assert [reply.raw for _, reply in played.replies if reply.code >= 500] == ([said] if said else [])
    assert played.closed or played.codes[-1] >= 400
    assert all(code != 354 for step, code in zip(["EHLO", "MAIL", "RCPT"], played.codes, strict=False))
    failed = [each for each in told if each["ev"] == "handoff" and not each["ok"] and each["why"]]
    refused = [each for each in told if each["ev"] == "reply" and each["by"] == "mta" and each["code"] >= 400]
    assert failed or refused


@pytest.mark.parametrize("name", ["greets 554", "greets 421"])
def test_a_greeting_that_refuses_tarry_itself_is_passing(door: Door, name: str) -> None:
    """Without an announcement the MTA's 554 is meant for tarry and not for the client, so no mail may bounce for it."""
    played = play(door, GREETING_FAULTS[name])

    assert (played.codes, played.last) == ([250, 421], "MAIL")


def test_a_greeting_that_refuses_an_announced_client_is_its_answer(doors: Doors) -> None:
    """Where the MTA knows the client, its 554 is its verdict and passes unchanged."""
    with doors.use(CONFIG, announce="proxy-v1", sink=_proxied) as door:
        played = play(door, GREETING_FAULTS["greets 554"])

    assert [reply.raw for _, reply in played.replies][1:] == [GREETING_FAULTS["greets 554"].reply]


def _proxied() -> Sink:
    return Sink(proxy=True)


@pytest.mark.parametrize("what", ["close", "reset", "silent"])
def test_a_fault_in_a_chunk_is_passing(door: Door, what: str) -> None:
    """BDAT in place of DATA: an MTA that goes in the middle of a chunk is a 4xx or a close."""
    door.sink.play(Fault(at="chunk", what=what, after_bytes=100))  # type: ignore[arg-type]
    with door.client() as client:
        client.greeted()
        client.envelope()
        client.send(b"BDAT 1000\r\n" + b"x" * 1000 + b"BDAT 0 LAST\r\n")
        reply = client.read_reply(BACKEND + LATE)
        rest = client.read_until_closed(3)

    assert (reply.code, rest) == (421, b"")


def test_an_mta_that_goes_between_transactions_is_replaced(door: Door) -> None:
    """A connection that the MTA closes while nothing is under way costs the client nothing."""
    with door.client() as client:
        client.greeted()
        client.envelope()
        client.command(b"DATA")
        assert client.command(b"x\r\n.").code == 250
        door.sink.play(Fault(at="RSET", what="close", reply=b"250 2.0.0 reset\r\n"))
        client.command(b"RSET")
        door.wait_closed()
        door.sink.play()
        codes = [*client.envelope(), client.command(b"DATA").code, client.command(b"y\r\n.").code]

    assert codes == [250, 250, 354, 250]
    assert [message.raw for message in door.messages] == [b"x\r\n", b"y\r\n"]


def test_an_mta_that_goes_in_a_transaction_takes_it_along(door: Door) -> None:
    """Recipients that the lost connection had accepted are not forgotten in silence: the client is told to come again."""
    door.sink.play(Fault(at="RCPT", what="close", reply=b"250 2.1.5 ok\r\n"))
    with door.client() as client:
        client.greeted()
        client.envelope()
        door.wait_closed()
        reply = client.command(b"DATA")

        assert (reply.code, client.read_until_closed()) == (421, b"")


def test_a_late_answer_answers_nobody_else(door: Door) -> None:
    """A reply that comes after the deadline belongs to a session that is over; the next session gets its own."""
    door.sink.play(Fault(at="RCPT", what="late", reply=b"550 5.1.1 late\r\n", seconds=BACKEND + 0.5, times=1))
    with door.client() as client:
        client.greeted()
        assert client.envelope() == [250, 421]
    with door.client() as client:
        client.greeted()
        assert client.envelope() == [250, 250]


@pytest.mark.parametrize("command", [b"DATA\r\n", b"BDAT 64000000\r\n"], ids=["DATA", "BDAT"])
def test_an_mta_that_stops_reading_is_given_up(door: Door, command: bytes) -> None:
    """It is not the client that dribbles: within limits.backend of the MTA's last sign of life the client is told to come again."""
    at = "chunk" if command.startswith(b"BDAT") else "body"
    door.sink.play(Fault(at=at, what="stall", after_bytes=1000))
    with door.client(timeout=8) as client:
        port = client.address[1]
        client.greeted()
        client.envelope()
        client.send(command)
        if at == "body":
            client.read_reply()
        began = time.monotonic()
        with contextlib.suppress(ConnectionError):  # tarry ends the session while this is still being sent
            client.send((b"x" * 78 + b"\r\n") * 200_000)
        reply = client.read_reply(BACKEND + 4)
        took = time.monotonic() - began

    assert (reply.code, took < BACKEND + LATE) == (421, True)
    assert [each["why"] for each in door.story(port) if each["ev"] == "handoff" and not each["ok"]] == ["it took no data in time"]
