"""The probe's connection: how it comes to be, how it ends, and what of it reaches the trace."""

import asyncio
import contextlib
import ipaddress
import socket
import struct
import time

import pytest

from tarry.probe.habits import habits
from tarry.probe.play import MAX_REPLIES, SocketWire, play
from tarry.probe.steps import Options
from tarry.probe.target import Endpoint, Target, resolve
from tarry.probe.trace import Ending, Seconds, Trace
from tests.e2e.probe_servers import LOOPBACK, Mailbox, endless, naive, one, resetting, serving

pytestmark = pytest.mark.e2e


def test_a_reset_is_told_from_a_close_and_the_reply_before_it_is_kept() -> None:
    """A refusal followed by a reset is a refusal."""

    async def run() -> Trace:
        async with serving(resetting) as endpoint:
            return await one("one-early-byte", endpoint)

    trace = asyncio.run(run())

    assert (trace.ended, trace.greeting and trace.greeting.code) == (Ending.RESET, 554)


def test_a_server_that_answers_for_ever_is_left() -> None:
    """A thousand replies are enough."""

    async def run() -> Trace:
        async with serving(endless) as endpoint:
            return await one("non-smtp", endpoint)

    trace = asyncio.run(run())

    assert (len(trace.replies), trace.ended) == (MAX_REPLIES, Ending.CLIENT)


def test_where_nothing_listens_the_trace_says_so() -> None:
    """A refused connection is told from other troubles."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    trace = asyncio.run(one("patient", Endpoint(LOOPBACK, port)))

    assert (trace.ended, trace.refused_connection, trace.problem) == (Ending.UNREACHABLE, True, "Connection refused")


def test_a_server_that_takes_no_connection_is_given_up() -> None:
    """With a full backlog the kernel drops the SYN; the time-out covers connecting too."""
    with socket.socket() as listener, contextlib.ExitStack() as waiting:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        address = listener.getsockname()
        for _ in range(3):
            filler = waiting.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(address)
        trace = asyncio.run(one("patient", Endpoint(LOOPBACK, address[1]), timeout=0.3))

    assert (trace.ended, trace.refused_connection, trace.problem) == (Ending.UNREACHABLE, False, "no answer within 0.3 s")


def test_a_reset_that_only_the_sender_notices_is_a_reset() -> None:
    """The kernel reports it once: when send got the error, the read would see a clean end. Further sends are no error."""

    async def run() -> Ending | None:
        with socket.create_server(("127.0.0.1", 0)) as listener, socket.create_connection(listener.getsockname()) as client:
            server, _ = listener.accept()
            server.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            server.close()
            client.setblocking(False)
            wire = SocketWire(client, time.monotonic, time.monotonic())
            await wire.send(b"EHLO x\r\n")
            await wire.send(b"QUIT\r\n")
            await wire.stop()
            return wire.ended

    assert asyncio.run(run()) is Ending.RESET


def test_sending_to_a_server_that_has_closed_leaves_its_last_words_readable() -> None:
    """EPIPE ends the sending only."""

    async def run() -> SocketWire:
        client, server = socket.socketpair()
        with client, server:
            server.sendall(b"421 closing\r\n")
            server.close()
            client.setblocking(False)
            wire = SocketWire(client, time.monotonic, time.monotonic())
            await wire.send(b"EHLO x\r\n")
            await wire.wait(2, Seconds(5))
            await wire.stop()
            return wire

    wire = asyncio.run(run())

    assert ([reply.code for reply in wire.replies], wire.ended) == ([421], Ending.SERVER)


def test_a_second_address_is_tried_when_the_first_refuses() -> None:
    """localhost is often ::1 first, with a server on 127.0.0.1 only."""

    async def run() -> Trace:
        async with naive(Mailbox()) as endpoint:
            endpoints = [Endpoint(ipaddress.ip_address("127.0.0.77"), endpoint.port), endpoint]
            return await play(habits(Options())[0], endpoints, clock=time.monotonic, timeout=Seconds(5))

    assert asyncio.run(run()).reply_to("message") is not None


def test_the_source_address_is_the_one_asked_for() -> None:
    """The server sees it, and an address of the wrong kind is never bound."""
    peers: list[str] = []

    async def note(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peers.append(writer.get_extra_info("peername")[0])

    async def run() -> Trace:
        async with serving(note) as endpoint:
            await one("patient", endpoint, source=ipaddress.ip_address("127.0.0.9"))
            six = Endpoint(ipaddress.ip_address("::1"), endpoint.port)
            return await one("patient", six, source=ipaddress.ip_address("127.0.0.9"))

    trace = asyncio.run(run())

    assert peers == ["127.0.0.9"]
    assert (trace.ended, trace.problem) == (Ending.UNREACHABLE, "no address of the same kind as the source address")


def test_a_numeric_target_resolves_to_itself() -> None:
    """No DNS is needed for it."""
    assert asyncio.run(resolve(Target("127.0.0.1", 2525))) == (Endpoint(LOOPBACK, 2525),)
