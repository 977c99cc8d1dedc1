"""A crowd of listed clients in residual delays, beside good mail: it takes nothing from that, and no connection to the MTA."""

import asyncio
import contextlib
import statistics
import threading
import time
from collections.abc import Iterator

import pytest

from tests.e2e.servers.clients import submit
from tests.e2e.servers.crowd import PER_ADDRESS
from tests.e2e.servers.nameservers import rbldnsd
from tests.e2e.servers.need import need
from tests.e2e.servers.postfix import Postfix
from tests.e2e.servers.processes import wait_until
from tests.e2e.servers.tarpitted import mta_connections, reply_code
from tests.e2e.servers.tarry import Tarry

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

CROWD = 150
PACE = 200.0
SOONEST, LATEST = 5.0, 7.0
"""A range, as it should be: of a crowd that is let go at one moment some do not fit into the backlog of Postfix's listener."""
LATE = 3.0
GOOD = 10
DELIVERING = 30
"""One in so many goes on to deliver."""
MESSAGE = b"From: <sender@client.example>\r\nSubject: from the crowd\r\n\r\nHello.\r\n.\r\n"


class Delayed:
    """A crowd that stops at its first RCPT, for the reply to which it waits; ``waited`` counts from the connect to that reply."""

    def __init__(self, port: int) -> None:
        self.waited: list[float] = []
        self.codes: list[int] = []
        self.delivered = 0
        self.problems: list[str] = []
        self._port = port
        self._held = 0
        self._thread = threading.Thread(target=lambda: asyncio.run(self._come()), name="crowd", daemon=True)

    @property
    def is_held(self) -> bool:
        return self._held == CROWD

    def start(self) -> None:
        self._thread.start()

    def wait(self) -> None:
        """Return when all have gone."""
        self._thread.join(60)

    async def _come(self) -> None:
        began = time.monotonic()
        async with asyncio.timeout(60), asyncio.TaskGroup() as crowd:
            for number in range(CROWD):
                await asyncio.sleep(max(0.0, began + number / PACE - time.monotonic()))
                crowd.create_task(self._client(number))

    async def _client(self, number: int) -> None:
        source = (f"127.20.{number // PER_ADDRESS // 250}.{number // PER_ADDRESS % 250 + 1}", 0)
        writer: asyncio.StreamWriter | None = None
        began = time.monotonic()
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", self._port, local_addr=source)
            codes = [await reply_code(reader)]
            for line in (b"EHLO crowd.example\r\n", b"MAIL FROM:<sender@client.example>\r\n"):
                writer.write(line)
                codes.append(await reply_code(reader))
            assert [220, 250, 250] == codes, codes
            self._held += 1
            writer.write(b"RCPT TO:<alice@example.org>\r\n")
            self.codes.append(await reply_code(reader))
            self._held -= 1
            self.waited.append(time.monotonic() - began)
            if number % DELIVERING == 0:
                writer.write(b"DATA\r\n")
                assert await reply_code(reader) == 354
                writer.write(MESSAGE)
                taken = await reply_code(reader) == 250
                self.delivered += taken
            writer.write(b"QUIT\r\n")
            await reply_code(reader)
        except (OSError, asyncio.IncompleteReadError, ValueError, AssertionError) as problem:
            self.problems.append(repr(problem))
        finally:
            if writer is not None:
                with contextlib.suppress(OSError):
                    writer.close()
                    await writer.wait_closed()


def good_mail(port: int) -> list[float]:
    """Deliver messages one after the other; return how long each took, from connecting to the answer to QUIT."""
    took = []
    for _ in range(GOOD):
        began = time.monotonic()
        assert {} == submit(port, source="127.0.0.9")
        took.append(time.monotonic() - began)
    return took


@contextlib.contextmanager
def counted(port: int) -> Iterator[list[int]]:
    """Count the connections to the MTA, twenty times a second."""
    counts = [mta_connections(port)]
    is_over = threading.Event()

    def count() -> None:
        while not is_over.wait(0.05):
            counts.append(mta_connections(port))

    thread = threading.Thread(target=count, daemon=True)
    thread.start()
    try:
        yield counts
    finally:
        is_over.set()
        thread.join()


def test_delayed_clients_take_nothing_from_good_mail() -> None:
    """In front of a Postfix of ten smtpd processes: while hundreds wait none is theirs, and mail is as quick as ever."""
    need("postfix", "rbldnsd")
    with (
        rbldnsd({"l.test": ("ip4set", ":127.0.0.2:listed\n127.20.0.0/16\n127.0.0.2\n")}) as lists,
        Postfix(process_limit=10) as postfix,
    ):
        config = f'[checks.dnslists]\nzones = [{{ zone = "l.test" }}]\n[delay]\ntarget = "{SOONEST}s..{LATEST}s"\n'
        with Tarry(f'{config}[dns]\nservers = ["127.0.0.1:{lists}"]\n', backend=postfix.port, wait="0.05s") as tarry:
            alone = good_mail(tarry.port)
            crowd = Delayed(tarry.port)
            crowd.start()
            assert wait_until(lambda: crowd.is_held, 10), crowd.problems
            with counted(postfix.port) as quiet:
                time.sleep(0.3)
            with counted(postfix.port) as busy:
                beside = good_mail(tarry.port)
            assert crowd.is_held
            crowd.wait()
            holds = tarry.wait_records(CROWD, ev="hold", why="residual")
            closes = tarry.wait_records(CROWD + 2 * GOOD, ev="close")
            arrived = len(postfix.wait_messages(2 * GOOD + crowd.delivered))

    print(f"\n{CROWD} clients waited {min(crowd.waited):.2f} to {max(crowd.waited):.2f} s; good mail took", end=" ")
    print(f"{_ms(alone)} alone and {_ms(beside)} beside them; connections to the MTA: {max(quiet)} and {max(busy)}")
    assert [] == crowd.problems
    assert (0, True) == (max(quiet), max(busy) <= 2)
    assert statistics.median(beside) < statistics.median(alone) + 0.1
    assert max(beside) < 3.0  # a machine may stand still for a second; the delay is longer
    assert (CROWD, {250}) == (len(crowd.codes), set(crowd.codes))
    assert SOONEST <= min(crowd.waited)
    assert max(crowd.waited) < LATEST + LATE
    assert (CROWD // DELIVERING, 2 * GOOD + crowd.delivered) == (crowd.delivered, arrived)
    assert ({"due"}, {"rcpt"}) == ({each["ended"] for each in holds}, {each["phase"] for each in holds})
    assert {0} == {each["parked"] for each in closes}, "the MTA is opened after the delay, not given up for it"


def _ms(seconds: list[float]) -> str:
    return f"{statistics.median(seconds) * 1000:.0f} ms (at most {max(seconds) * 1000:.0f})"
