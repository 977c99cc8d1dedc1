"""Promise 11: what one client makes tarry keep is bounded, whatever it sends and however little it reads."""

import contextlib
import statistics
import time
from collections.abc import Iterator

import pytest

from tests.e2e.servers import accounting
from tests.e2e.servers.clients import RawClient
from tests.e2e.servers.faults import Fault
from tests.e2e.servers.sink import Sink
from tests.e2e.servers.tarry import Tarry

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

MB = 1 << 20
STALLED = 0.7  # seconds without a byte taken: tarry has stopped reading
TARPIT = "[tarpit.rset]\nfree = 0\nstep = '30s'"
DRAIN = "[limits]\ndrain = '0.5s'\n"  # what hangs at the end need not be waited for


@pytest.fixture(scope="module")
def stalling() -> Iterator[Sink]:
    """An MTA that stops reading 1,000 bytes into a message or a chunk."""
    with Sink(*(Fault(at=where, what="stall", after_bytes=1000) for where in ("body", "chunk"))) as running:
        yield running


@pytest.fixture(scope="module")
def good() -> Iterator[Sink]:
    with Sink() as running:
        yield running


def test_unread_replies_stop_the_taking_of_commands() -> None:
    """A client that reads none of 12 MB of replies is not served beyond a few buffers; once it reads, none is missing."""
    with Sink(keywords=("SIZE 1000000", "LIMITS " + "X" * 1500)) as sink, Tarry(DRAIN, backend=sink.port, wait="0.05s") as tarry:
        with RawClient(tarry.port) as client:
            size = len(client.greeted().raw)
            base = accounting.resident_bytes(tarry.pids())
            asked = 12 * MB // size
            client.sock.settimeout(STALLED)
            client.send(b"EHLO x\r\n" * asked)
            time.sleep(2.0)
            grown = accounting.resident_bytes(tarry.pids()) - base
            served = len(tarry.records(ev="reply", to="EHLO")) - 1
            client.send(b"QUIT\r\n")
            client.read_until_closed(timeout=10)

        assert grown < 40 * MB
        assert served < asked
        assert asked + 1 == client.received.count(b"250-sink.example.org\r\n".replace(b"sink.example.org", name(client)))


def test_a_flood_of_commands_costs_no_memory_and_not_the_loop() -> None:
    """A client that pours NOOPs in and never reads costs little, and another one gets its greeting and replies meanwhile."""
    with Tarry(DRAIN, wait="0.05s") as tarry, RawClient(tarry.port) as client, RawClient(tarry.port) as other:
        client.greeted()
        other.greeted()
        base = accounting.resident_bytes(tarry.pids())
        client.sock.settimeout(0.05)
        waits = []
        for _ in range(40):
            with contextlib.suppress(TimeoutError):
                client.sock.send(b"NOOP\r\n" * 40_000)
            began = time.monotonic()
            assert other.command(b"NOOP").code == 250
            waits.append(time.monotonic() - began)

        assert accounting.resident_bytes(tarry.pids()) - base < 40 * MB
        assert statistics.median(waits) < 0.5


@pytest.mark.parametrize("octet", [b"A", b"\0", b"\r"], ids=["letter", "NUL", "CR"])
def test_an_endless_command_line_is_cut_off(octet: bytes) -> None:
    """A line beyond limits.line is answered 421 once, and nothing of what follows is kept or run."""
    with Tarry(wait="0.05s") as tarry:
        growth, client = endless(tarry, b"", octet)

        assert growth < 60 * MB
        assert client.replies[-1].code == 421


# The embedded MTA keeps a message in memory until it is stored, up to its SIZE; a line too long for it, it does not.
@pytest.mark.parametrize(
    ("where", "end"), [("maildir", b""), ("good", b""), ("good", b"\r\n"), ("stalling", b""), ("stalling", b"\r\n")]
)
def test_an_endless_message_is_not_kept(where: str, end: bytes, request: pytest.FixtureRequest) -> None:
    """30 MB of message pass through or are stopped by the MTA's pace; tarry keeps a few buffers of it."""
    sink: Sink | None = None if where == "maildir" else request.getfixturevalue(where)
    with Tarry(DRAIN, backend=sink.port if sink else None, wait="0.05s") as tarry:
        growth, _ = endless(tarry, b"DATA", b"A" * 900 + end)

        assert growth < 60 * MB


def test_an_endless_chunk_is_not_kept(stalling: Sink) -> None:
    """The octets of a chunk wait at the client while the MTA does not take them."""
    with Tarry(DRAIN, backend=stalling.port, wait="0.05s") as tarry, RawClient(tarry.port) as client:
        client.greeted()
        client.envelope()
        base = accounting.resident_bytes(tarry.pids())
        client.send(b"BDAT 100000000 LAST\r\n")
        assert flood(client, b"A" * 65536, 30 * MB) < 30 * MB
        assert accounting.resident_bytes(tarry.pids()) - base < 40 * MB


def test_commands_piled_up_during_a_hold_are_not_kept() -> None:
    """During a hold no more than the backlog is read; the rest waits in the kernel, and the session is whole afterwards."""
    with Tarry(DRAIN + TARPIT, wait="0.05s") as tarry, RawClient(tarry.port) as client:
        client.greeted()
        base = accounting.resident_bytes(tarry.pids())
        client.send(b"RSET\r\n")
        flood(client, b"NOOP\r\n" * 1000, 20 * MB)

        assert accounting.resident_bytes(tarry.pids()) - base < 40 * MB
        assert client.read_for(0.1) == b""


@pytest.mark.parametrize("wait", ["0.05s", "60s"], ids=["in session", "before the greeting"])
def test_many_that_pile_up_stay_within_bounds(wait: str) -> None:
    """Thirty held clients, each with as much piled up as it gets rid of, cost no more than their backlogs."""
    config = DRAIN + TARPIT + "\n[hold]\nend_early = false"
    with contextlib.ExitStack() as stack:
        tarry = stack.enter_context(Tarry(config, wait=wait))
        clients = [stack.enter_context(RawClient(tarry.port)) for _ in range(30)]
        for client in clients:
            if wait == "0.05s":
                client.greeted()
                client.send(b"RSET\r\n")
        base = accounting.resident_bytes(tarry.pids())
        for client in clients:
            client.sock.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                for _ in range(20):
                    client.sock.send(b"NOOP\r\n" * 10_000)
        time.sleep(0.5)

        assert accounting.resident_bytes(tarry.pids()) - base < 40 * MB


def endless(tarry: Tarry, after: bytes, block: bytes) -> tuple[int, RawClient]:
    """Send 30 MB of *block* behind a DATA, or in place of a command; return by how much tarry's memory grew meanwhile."""
    with RawClient(tarry.port) as client:
        client.greeted()
        if after:
            client.envelope()
            assert client.command(after).code == 354
        base = accounting.resident_bytes(tarry.pids())
        with contextlib.suppress(ConnectionError):
            flood(client, block * (65536 // len(block)), 30 * MB)
        most = accounting.resident_bytes(tarry.pids()) - base
        if not after:
            with contextlib.suppress(ConnectionError, TimeoutError):
                client.read_reply(timeout=5.0)
        return most, client


def flood(client: RawClient, block: bytes, most: int) -> int:
    """Send *block* over and over, up to *most* bytes or until nothing is taken for a while; return how much was sent."""
    client.sock.settimeout(STALLED)
    sent = 0
    while sent < most:
        try:
            sent += client.sock.send(block[sent % len(block) :])
        except TimeoutError:
            break
    return sent


def name(client: RawClient) -> bytes:
    """Return what tarry called itself in its greeting."""
    return client.replies[0].lines[0].split()[0]
