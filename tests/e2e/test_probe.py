"""The probe against small real servers: one that believes everything, one that holds, one that is mute, one that resets."""

import asyncio
import contextlib
import ipaddress
import json
import socket
import struct
import time
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from aiosmtpd.smtp import SMTP, Envelope, Session
from click.testing import CliRunner, Result

from tarry.cli.probe import command
from tarry.probe.habits import NAMES, habits
from tarry.probe.play import MAX_REPLIES, play
from tarry.probe.steps import Options
from tarry.probe.target import Address, Endpoint, Target, resolve
from tarry.probe.trace import Ending, Seconds, Trace
from tarry.probe.verdict import Verdict, judge_all

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
HOLD = 0.5
LOOPBACK = ipaddress.ip_address("127.0.0.1")


class Mailbox:
    """What the naive server stores."""

    def __init__(self) -> None:
        self.stored: list[bytes] = []

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        assert isinstance(envelope.content, bytes)
        self.stored.append(envelope.content)
        return "250 OK"


@contextlib.asynccontextmanager
async def naive(mailbox: Mailbox) -> AsyncIterator[Endpoint]:
    server = await asyncio.get_running_loop().create_server(lambda: SMTP(mailbox, hostname="naive.example"), "127.0.0.1", 0)
    async with server:
        yield Endpoint(LOOPBACK, server.sockets[0].getsockname()[1])


@contextlib.asynccontextmanager
async def serving(handler: Handler) -> AsyncIterator[Endpoint]:
    async def guarded(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
                await handler(reader, writer)
        finally:
            writer.close()

    server = await asyncio.start_server(guarded, "127.0.0.1", 0)
    async with server:
        yield Endpoint(LOOPBACK, server.sockets[0].getsockname()[1])


async def holding(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Hold for half a second; refuse who talks meanwhile, and let the refusal arrive; then be a plain strict server."""
    held_until = time.monotonic() + HOLD
    try:
        early = await asyncio.wait_for(reader.read(1), HOLD)
    except TimeoutError:
        early = b""
    if early:
        writer.write(b"521 5.5.1 hold.example you talked before the greeting\r\n")
        writer.write_eof()
        await asyncio.wait_for(reader.read(), 1)
        return
    await asyncio.sleep(held_until - time.monotonic())  # a half-closed client is still held
    writer.write(b"220 hold.example ESMTP\r\n")
    while verb := (await reader.readuntil(b"\r\n"))[:4].strip().upper():
        match verb:
            case b"DATA":
                writer.write(b"354 go on\r\n")
                await reader.readuntil(b"\r\n.\r\n")
                writer.write(b"250 2.0.0 stored\r\n")
            case b"EHLO" | b"HELO" | b"MAIL" | b"RCPT" | b"RSET":
                writer.write(b"250 2.0.0 ok\r\n")
            case b"QUIT":
                writer.write(b"221 2.0.0 bye\r\n")
                return
            case _:
                writer.write(b"521 5.5.2 this is no SMTP\r\n")
                return


async def mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Never say anything."""
    await reader.read()
    await asyncio.Event().wait()


async def resetting(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Refuse, and reset the connection before the client can have said all."""
    await reader.read(1)
    writer.write(b"554 go away\r\n")
    await asyncio.sleep(0.1)
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer for ever."""
    while True:
        writer.write(b"500 no\r\n" * 100)
        await writer.drain()


async def one(name: str, endpoint: Endpoint, timeout: float = 10, source: Address | None = None) -> Trace:
    habit = next(habit for habit in habits(Options()) if habit.name == name)
    return await play(habit, [endpoint], clock=time.monotonic, timeout=Seconds(timeout), source=source)


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


def test_the_command_shows_it_all_in_time() -> None:
    """Twelve clients against a hold take little longer than the slowest one, and the summary is in words."""

    async def run() -> tuple[Result, float]:
        async with serving(holding) as endpoint:
            began = time.monotonic()
            result = await command_line(f"127.0.0.1:{endpoint.port}", "--patience", "200ms")
            return result, time.monotonic() - began

    result, took = asyncio.run(run())

    assert result.exit_code == 0, result.output
    assert all(name in result.stdout for name in NAMES)
    assert "4 of 9 bot habits were turned away before the greeting; 1 after it; 1 gave up waiting" in result.stdout
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
