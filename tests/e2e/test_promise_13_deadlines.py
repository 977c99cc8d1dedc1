"""Promise 13: deadlines are for a whole command and a whole message, however slowly it drips in; 300 s unless told otherwise."""

import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack

import pytest

from tarry import Config
from tests.e2e.servers.clients import RawClient
from tests.e2e.servers.sink import Sink
from tests.e2e.servers.tarry import Tarry

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

COMMAND, DATA = 2.0, 3.0
SLACK = 5.0
EVERY = 0.3

# What is said in full before, and the byte that is then said over and over; "" for silence.
CASES = {
    "silent after the greeting": ([], b"", COMMAND),
    "silent after EHLO": ([b"EHLO x"], b"", COMMAND),
    "silent after MAIL": ([b"EHLO x", b"MAIL FROM:<a@b.example>"], b"", COMMAND),
    "silent after RCPT": ([b"EHLO x", b"MAIL FROM:<a@b.example>", b"RCPT TO:<c@d.example>"], b"", COMMAND),
    "dribbles a command": ([], b"x", COMMAND),
    "dribbles a command after EHLO": ([b"EHLO x"], b"N", COMMAND),
    "silent in DATA": ([b"EHLO x", b"MAIL FROM:<a@b.example>", b"RCPT TO:<c@d.example>", b"DATA"], b"", DATA),
    "dribbles in DATA": ([b"EHLO x", b"MAIL FROM:<a@b.example>", b"RCPT TO:<c@d.example>", b"DATA"], b"y", DATA),
    "dribbles line ends in DATA": ([b"EHLO x", b"MAIL FROM:<a@b.example>", b"RCPT TO:<c@d.example>", b"DATA"], b"\r\n", DATA),
    "silent in BDAT": ([b"EHLO x", b"MAIL FROM:<a@b.example>", b"RCPT TO:<c@d.example>"], b"BDAT 9999\r\n", DATA),
    "dribbles in BDAT": ([b"EHLO x", b"MAIL FROM:<a@b.example>", b"RCPT TO:<c@d.example>"], b"BDAT 9999\r\nz", DATA),
    "silent in AUTH": ([b"EHLO x", b"AUTH LOGIN"], b"", COMMAND),
    "dribbles in AUTH": ([b"EHLO x", b"AUTH LOGIN"], b"Z", COMMAND),
}


@pytest.fixture(scope="module")
def cut() -> Iterator[dict[str, Future[tuple[float, int]]]]:
    """Play all cases at the same time; each gives the seconds from its last whole command to the end, and the last reply."""
    config = f'[limits]\ncommand = "{COMMAND:g}s"\ndata = "{DATA:g}s"'
    with Sink() as sink, Tarry(config, backend=sink.port, wait="0.05s") as tarry, ThreadPoolExecutor(len(CASES)) as pool:
        yield {name: pool.submit(play, tarry.port, said, drip) for name, (said, drip, _) in CASES.items()}


def play(port: int, said: list[bytes], drip: bytes) -> tuple[float, int]:
    with RawClient(port) as client:
        client.read_reply()
        for line in said:
            client.command(line)
        began = client.replies[-1].at
        head, end, tail = drip.partition(b"BDAT 9999\r\n")
        client.send(end)
        drip = head + tail
        while time.monotonic() < began + 3 * DATA + SLACK:
            if drip:
                client.send(drip)
            try:
                reply = client.read_reply(timeout=EVERY)
            except TimeoutError:
                continue
            return reply.at - began, reply.code if client.read_until_closed() == b"" else 0
    return float("inf"), 0


@pytest.mark.parametrize("case", CASES)
def test_a_slow_client_is_cut_off_in_time(case: str, cut: dict[str, Future[tuple[float, int]]]) -> None:
    """A command, or a message, that is not whole at its deadline ends in one 421, not before and not much later."""
    seconds, code = cut[case].result(60)
    limit = CASES[case][2]

    assert code == 421
    assert limit - 0.05 <= seconds <= limit + SLACK


def test_a_brisk_message_may_take_longer_than_its_limit() -> None:
    """The limit is for senders that dribble: one that sends a few KB a second is not cut off however long its message."""
    with ExitStack() as stack:
        sink = stack.enter_context(Sink())
        tarry = stack.enter_context(Tarry('[limits]\ndata = "1s"', backend=sink.port, wait="0.05s"))
        client = stack.enter_context(RawClient(tarry.port))
        client.greeted()
        client.envelope()
        client.command(b"DATA")
        for _ in range(10):
            client.send(b"A" * 510 + b"\r\n" + b"B" * 510 + b"\r\n")
            time.sleep(0.25)

        assert client.command(b".").code == 250


def test_the_default_is_the_least_that_the_rfc_allows() -> None:
    """RFC 5321 §4.5.3.2.7 asks a server to wait five minutes for a command."""
    limits = Config().limits

    assert limits.command == 300.0
    assert limits.data >= 180.0
