"""One client in line: what the shell makes of the core's orders, on a loop that turns when told."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Coroutine, Generator
from typing import Any, cast

import pytest

from tarry.core.border import OpenMta, Relay
from tarry.core.client import Client
from tarry.core.clock import ManualClock
from tarry.core.conversation import TURN, Conversation
from tarry.core.policy import Limits, Policy
from tarry.core.result import Action
from tarry.net import session as module
from tarry.net.backend import Backend
from tarry.net.limbo import ASK, TRIES
from tarry.net.mta_tls import MtaTls, make_context
from tarry.net.session import BREATHER, LINGER, Session
from tarry.net.sides import ClientSide, MtaSide
from tarry.net.tls_transport import TlsSide, TlsTransport
from tarry.record import schema
from tarry.record.journal import Journal
from tarry.record.summary import fold
from tarry.smtp.proxy_header import SSL, UNIQUE_ID, Header, read_header, ssl_value, write_v2
from tests.asking import Answers, Listed
from tests.certificates import client_context, context
from tests.playbook import policy
from tests.shell import Loop
from tests.talk import ACCEPTED_AT, EHLO, setting


class Wire(asyncio.Transport):
    """A transport that keeps what is done to it."""

    def __init__(self, *, can_half_close: bool = True) -> None:
        super().__init__()
        self.written = b""
        self.done: list[str] = []
        self.reads = True
        self.full = 0
        self.is_gone = False
        self.protocol: Any = None
        self._can_half_close = can_half_close

    def write(self, data: Any) -> None:
        self.written += bytes(data)

    def write_eof(self) -> None:
        if self.is_gone:
            raise OSError(107, "not connected")
        self.done.append("eof")

    def can_write_eof(self) -> bool:
        return self._can_half_close

    def close(self) -> None:
        self.done.append("close")

    def abort(self) -> None:
        if "abort" not in self.done:
            self.done.append("abort")

    def is_closing(self) -> bool:
        return "close" in self.done or "abort" in self.done

    def pause_reading(self) -> None:
        assert self.reads
        self.reads = False

    def resume_reading(self) -> None:
        assert not self.reads
        self.reads = True

    def get_write_buffer_size(self) -> int:
        return self.full

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self.protocol = protocol

    def said(self) -> bytes:
        """Return what was written since the last call."""
        written, self.written = self.written, b""
        return written


class Task:
    """A coroutine that has run as far as it could."""

    def __init__(self, coroutine: Coroutine[Any, Any, None]) -> None:
        self._coroutine = coroutine
        self.is_cancelled = False
        try:
            coroutine.send(None)
        except StopIteration:
            pass

    def go_on(self) -> None:
        """Run on, to the end."""
        with pytest.raises(StopIteration):
            self._coroutine.send(None)

    def cancel(self) -> None:
        self.is_cancelled = True
        try:
            self._coroutine.close()
        except ValueError:
            pass  # it runs, and ends itself


class TaskLoop(Loop):
    """A loop that also runs tasks, and hears of faults."""

    def __init__(self, clock: ManualClock) -> None:
        super().__init__(clock)
        self.faults: list[dict[str, Any]] = []

    def create_task(self, coroutine: Coroutine[Any, Any, None]) -> Task:
        return Task(coroutine)

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        self.faults.append(context)


class Connector:
    """A way to an MTA: there at once, later, or not at all."""

    where = "127.0.0.1:10025"

    def __init__(self, fault: OSError | None = None, *, waits: bool = False) -> None:
        self.fault = fault
        self.waits = waits
        self.sides: list[asyncio.Protocol] = []
        self.wires: list[Wire] = []

    async def connect(self, factory: Callable[[], asyncio.Protocol], client: Client | None) -> None:
        if self.fault is not None:
            raise self.fault
        self.sides.append(factory())
        if not self.waits:
            self.arrive()
        else:
            await _never()

    def arrive(self) -> None:
        """The connection that was asked for last stands."""
        self.wires.append(Wire())
        self.sides[-1].connection_made(self.wires[-1])


class _Never:
    def __await__(self) -> Generator[None, None, None]:
        yield None


async def _never() -> None:
    await _Never()


class Line:
    """A session between two wires."""

    def __init__(
        self,
        rules: Policy | None = None,
        connector: Connector | None = None,
        announce: str = "none",
        tls: ssl.SSLContext | None = None,
        to_mta: MtaTls | None = None,
        resolver: Answers | None = None,
    ) -> None:
        self.clock = ManualClock(ACCEPTED_AT)
        self.loop = TaskLoop(self.clock)
        self.connector = connector or Connector()
        self.lines: list[bytes] = []
        self.ended: list[Session] = []
        self.learned: list[bool] = []
        self.backend = Backend(
            self.connector,
            mode="proxy",
            announce=announce,
            own_name="mail.example",
            host_name="host.example",
            without=frozenset(),
            timeout=1.0,
            on_health=lambda good, why: self.learned.append(good),
            tls=to_mta,
        )
        known = setting(rules, login=self.backend.way, ends_tls=tls is not None, resolves=resolver is not None)
        self.conversation = Conversation(known)
        self.conversation.begin(ACCEPTED_AT)
        journal = Journal("K3X9", accepted_at=ACCEPTED_AT, accepted_wall=1.7e9, write=self.lines.append)
        journal.emit(schema.Connect("192.0.2.7", 40000, "198.51.100.1:25"), ACCEPTED_AT)
        self.session = Session(
            self.loop.loop,
            self.clock,
            conversation=self.conversation,
            setting=known,
            journal=journal,
            backend=self.backend,
            on_end=self.ended.append,
            tls=tls,
            resolver=resolver,
        )
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls: ssl.SSLObject | None = None
        self.side = ClientSide(self.session)
        self.client = Wire()
        self.side.connection_made(self.client)

    @property
    def mta(self) -> Wire:
        return self.connector.wires[-1]

    def says(self, data: bytes) -> bytes:
        """The client says something; return what it hears."""
        self.side.data_received(data)
        return self.client.said()

    def mta_says(self, data: bytes) -> bytes:
        """The MTA says something; return what the client hears."""
        self.connector.sides[-1].data_received(data)
        return self.client.said()

    def opened(self) -> None:
        """Come as far as an MTA that has accepted the sender."""
        self.says(b"EHLO x\r\nMAIL FROM:<a@b>\r\n")
        self.mta_says(b"220 mta\r\n")
        self.mta_says(EHLO.raw)
        assert b"250 ok\r\n" == self.mta_says(b"250 ok\r\n")
        self.mta.said()

    def pumping(self) -> None:
        """Come as far as TLS."""
        self.opened()
        self.says(b"STARTTLS\r\n")
        assert b"220 go\r\n" == self.mta_says(b"220 go\r\n")
        self.mta.said()

    def talk_tls(self, data: bytes) -> None:
        """The client says something inside TLS; the handshake is done first where it has not been."""
        if self._tls is None:
            self._tls = client_context().wrap_bio(self._incoming, self._outgoing, server_hostname="localhost")
            while True:
                try:
                    self._tls.do_handshake()
                    break
                except ssl.SSLWantReadError:
                    self.client.protocol.data_received(self._outgoing.read())
                    self._incoming.write(self.client.said())
        self._tls.write(data)
        self.client.protocol.data_received(self._outgoing.read())

    def inside(self) -> bytes:
        """Return what the client hears inside TLS."""
        assert self._tls is not None
        self._incoming.write(self.client.said())
        try:
            return self._tls.read(65536)
        except ssl.SSLWantReadError:
            return b""

    def events(self) -> list[schema.AnyEvent]:
        return [schema.read_line(line).event for line in self.lines]


def test_a_session_from_end_to_end() -> None:
    """Bytes go both ways, the MTA's EHLO is learned, and the closing record is the sum of the others."""
    line = Line()
    line.opened()
    line.says(b"RCPT TO:<c@d>\r\n")
    line.mta_says(b"250 ok\r\n")
    line.says(b"DATA\r\n")
    line.mta_says(b"354 go\r\n")
    line.says(b"text\r\n.\r\n")
    assert b"RCPT TO:<c@d>\r\nDATA\r\ntext\r\n.\r\n" == line.mta.said()
    assert b"250 queued\r\n" == line.mta_says(b"250 queued\r\n")
    assert b"221 2.0.0 Bye\r\n" == line.says(b"QUIT\r\n")
    assert (b"QUIT\r\n", ["close"], ["close"]) == (line.mta.said(), line.mta.done, line.client.done)
    line.side.connection_lost(None)
    line.side.connection_lost(None)
    assert [line.session] == line.ended
    assert [] == line.loop.waiting
    *records, close = [schema.read_line(one) for one in line.lines]
    assert fold(records) == close.event
    assert line.backend.capabilities is not None


def test_the_client_is_announced_before_anything_is_said() -> None:
    """With the address that the conversation knows."""
    line = Line(announce="proxy-v2")
    line.says(b"MAIL FROM:<a@b>\r\n")
    told = ((UNIQUE_ID, b"K3X9-0001"),)
    assert write_v2(("192.0.2.7", 40000), ("198.51.100.1", 25), told) == line.mta.said()


def test_the_mta_hears_of_the_clients_tls() -> None:
    """Its version and cipher stand in the PROXY header."""
    line = Line(announce="proxy-v2", tls=context())
    upgrading(line)
    line.talk_tls(b"MAIL FROM:<a@b>\r\n")
    header = read_header(line.mta.said())
    assert isinstance(header, Header)
    assert (SSL, ssl_value("TLSv1.3", "TLS_AES_256_GCM_SHA384")) in header.tlvs


class Handshakes:
    """What stands in for net/mta_tls.secure: a handshake that ends when told."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked: list[tuple[MtaTls, asyncio.Transport, asyncio.Protocol]] = []
        self.result: tuple[asyncio.Transport | None, schema.Tls] | None = None
        monkeypatch.setattr(module, "secure", self.secure)

    async def secure(
        self, terms: MtaTls, transport: asyncio.Transport, protocol: asyncio.Protocol
    ) -> tuple[asyncio.Transport | None, schema.Tls]:
        self.asked.append((terms, transport, protocol))
        while self.result is None:
            await _never()
        return self.result


TERMS = MtaTls(make_context(verify=False), "mta.example", 1.0)
SECURED = schema.Tls("mta", True, "TLSv1.3", "X", ms=1.0)


def securing(monkeypatch: pytest.MonkeyPatch) -> tuple[Line, Handshakes, Task]:
    """Come as far as an MTA that has said 220 to STARTTLS."""
    handshakes = Handshakes(monkeypatch)
    line = Line(to_mta=TERMS)
    line.says(b"EHLO x\r\nMAIL FROM:<a@b>\r\n")
    for said in (b"220 mta\r\n", b"250-mta\r\n250 STARTTLS\r\n", b"220 go\r\n"):
        assert b"" == line.mta_says(said)
    assert b"EHLO mail.example\r\nSTARTTLS\r\n" == line.mta.said()
    assert [(TERMS, line.mta)] == [asked[:2] for asked in handshakes.asked]
    return line, handshakes, cast(Task, line.session._opening)


def test_tls_with_the_mta(monkeypatch: pytest.MonkeyPatch) -> None:
    """From the handshake on everything goes through the transport inside, and comes from there."""
    line, handshakes, task = securing(monkeypatch)
    inside = Wire()
    handshakes.result = (inside, SECURED)
    task.go_on()
    assert (b"", b"EHLO x\r\n") == (line.mta.said(), inside.said())
    side = handshakes.asked[0][2]
    side.data_received(EHLO.raw)
    side.data_received(b"250 ok\r\n")
    assert (b"250 ok\r\n", b"MAIL FROM:<a@b>\r\n") == (line.client.said(), inside.said())
    line.says(b"QUIT\r\n")
    assert (b"QUIT\r\n", ["close"]) == (inside.said(), inside.done)
    assert [SECURED] == [event for event in line.events() if isinstance(event, schema.Tls)]


@pytest.mark.parametrize("is_told", [True, False])
def test_a_handshake_that_fails(monkeypatch: pytest.MonkeyPatch, is_told: bool) -> None:
    """Why is told once, whether or not the loop tells the protocol of the loss as well."""
    line, handshakes, task = securing(monkeypatch)
    if is_told:
        handshakes.asked[0][2].connection_lost(ConnectionAbortedError())
    assert b"" == line.client.said()
    handshakes.result = (None, schema.Tls("mta", False, why="no good"))
    task.go_on()
    assert line.client.said().startswith(b"421 4.3.2 ")
    assert ["abort"] == line.mta.done
    assert ["no TLS: no good"] == [event.why for event in line.events() if isinstance(event, schema.Handoff)]


def test_a_client_that_leaves_during_the_handshake(monkeypatch: pytest.MonkeyPatch) -> None:
    """The handshake is given up with it."""
    line, _, task = securing(monkeypatch)
    line.side.connection_lost(ConnectionResetError())
    assert (["abort"], True, [line.session]) == (line.mta.done, task.is_cancelled, line.ended)


def test_an_mta_that_cannot_be_reached() -> None:
    """The client is told to come again, and the record says why."""
    line = Line(connector=Connector(ConnectionRefusedError(111, "Connection refused")))
    assert line.says(b"MAIL FROM:<a@b>\r\n").startswith(b"421 4.3.2 ")
    assert ["cannot be reached: Connection refused"] == [e.why for e in line.events() if isinstance(e, schema.Handoff)]


@pytest.mark.parametrize(("fault", "why"), [(None, "it closed the connection"), (ConnectionResetError(), "the connection broke")])
def test_an_mta_that_goes(fault: Exception | None, why: str) -> None:
    """While it is asked: the client hears of it at once."""
    line = Line()
    line.opened()
    line.says(b"RCPT TO:<c@d>\r\n")
    assert not line.connector.sides[-1].eof_received()
    line.connector.sides[-1].connection_lost(fault)
    assert line.client.said().startswith(b"421 4.3.2 ")
    assert [why] == [e.why for e in line.events() if isinstance(e, schema.Handoff) and not e.ok]


def test_a_connection_that_never_stood_is_opened_again() -> None:
    """The MTA's kernel disowned it when it was asked: the client hears nothing of that, until it has happened too often."""
    line = Line()
    line.says(b"MAIL FROM:<a@b>\r\n")
    for tries in range(1, TRIES):
        line.loop.advance(ASK)
        line.connector.sides[-1].connection_lost(ConnectionResetError())
        assert (tries + 1, b"") == (len(line.connector.sides), line.client.said())
    line.loop.advance(ASK)
    line.connector.sides[-1].connection_lost(ConnectionResetError())
    assert line.client.said().startswith(b"421 4.3.2 ")
    assert TRIES == len(line.connector.sides)


def test_an_mta_that_resets_after_its_greeting_is_not_asked_again() -> None:
    """That connection stood: it is the MTA that does not want the client."""
    line = Line()
    line.says(b"MAIL FROM:<a@b>\r\n")
    line.loop.advance(ASK)
    line.mta_says(b"220 mta\r\n")
    line.connector.sides[-1].connection_lost(ConnectionResetError())
    assert line.client.said().startswith(b"421 4.3.2 ")
    assert 1 == len(line.connector.sides)


def test_a_connection_that_comes_too_late() -> None:
    """The conversation has given up waiting: nobody needs it."""
    line = Line(Policy(limits=Limits(backend=5.0)), connector=Connector(waits=True))
    line.says(b"MAIL FROM:<a@b>\r\n")
    line.loop.advance(5.0)
    assert line.client.said().startswith(b"421 4.3.2 ")
    line.connector.arrive()
    assert ["abort"] == line.mta.done
    side = line.connector.sides[-1]
    assert isinstance(side, MtaSide)
    side.data_received(b"220 mta\r\n")
    side.pause_writing()
    side.connection_lost(None)
    assert b"" == line.client.said()


def test_a_failure_that_comes_too_late(monkeypatch: pytest.MonkeyPatch) -> None:
    """As above."""
    line = Line()
    line.session._mta_serial = 7
    line.connector.fault = OSError("late")
    Task(line.session._connect(3))
    assert (b"", []) == (line.client.said(), line.client.done)


def test_a_client_that_never_speaks_after_the_greeting() -> None:
    """It has its time, as any other, from the greeting on."""
    line = Line(Policy(limits=Limits(command=30.0)))
    line.loop.advance(29.0)
    assert b"" == line.client.said()
    line.loop.advance(1.5)
    assert b"421 4.4.2 Timeout, closing the connection\r\n" == line.client.said()


def test_the_timer_is_moved_only_when_it_must() -> None:
    """Each command moves the deadline; the timer goes off at the old one and is set anew."""
    line = Line(Policy(limits=Limits(command=30.0)))
    for _ in range(10):
        line.loop.advance(1.0)
        line.says(b"NOOP\r\n")
    assert 1 == len(line.loop.waiting)
    line.loop.advance(29.5)
    assert b"" == line.client.said()
    line.loop.advance(1.0)
    assert b"421 4.4.2 Timeout, closing the connection\r\n" == line.client.said()


# The end.


def test_the_last_reply_arrives() -> None:
    """Our side is closed behind it, and what the client still sends is read away, within bounds."""
    line = Line()
    line.session.drain()
    assert b"421 4.3.2 Service is going down, try again later\r\n" == line.client.said()
    line.session.drain()
    assert ["eof"] == line.client.done
    assert b"" == line.says(b"x" * 1000)
    line.loop.advance(LINGER + 0.1)
    assert ["eof", "abort"] == line.client.done


def test_a_client_that_talks_on_after_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only so much of it is read away."""
    monkeypatch.setattr(module, "_LINGER_OCTETS", 100)
    line = Line()
    line.session.drain()
    line.says(b"x" * 100)
    assert ["eof"] == line.client.done
    line.says(b"x")
    assert ["eof", "abort"] == line.client.done


def test_a_client_that_closes_after_the_end() -> None:
    """Then the connection is over: the transport closes."""
    line = Line()
    line.session.drain()
    assert not line.side.eof_received()


def test_a_client_that_closed_its_side_is_not_lingered_for() -> None:
    """Nothing can come from it; what it asked before is answered first."""
    line = Line()
    line.opened()
    line.says(b"RSET\r\n")
    assert line.side.eof_received()
    assert b"250 flushed\r\n" == line.mta_says(b"250 flushed\r\n")
    assert ["close"] == line.client.done
    line = Line()
    assert not line.side.eof_received()


def test_a_client_that_does_not_take_its_last_replies() -> None:
    """It is not waited for longer than any other."""
    line = Line()
    line.client.full = 10
    line.says(b"QUIT\r\n")
    assert ["close"] == line.client.done
    line.loop.advance(LINGER + 0.1)
    assert ["close", "abort"] == line.client.done


def test_an_mta_that_does_not_take_its_quit() -> None:
    """It is not waited for longer than a client."""
    line = Line()
    line.opened()
    mta = line.mta
    mta.full = 10
    line.mta_says(b"250 ok\r\n")
    line.says(b"QUIT\r\n")
    assert ["close"] == mta.done
    line.loop.advance(LINGER + 0.1)
    assert ["close", "abort"] == mta.done


def test_a_client_that_resets() -> None:
    """The MTA's connection is aborted, and the hang-up is recorded."""
    line = Line()
    line.opened()
    line.side.connection_lost(ConnectionResetError())
    assert (["abort"], [line.session]) == (line.mta.done, line.ended)
    assert [schema.Hangup("mail", "reset")] == [e for e in line.events() if isinstance(e, schema.Hangup)]


def test_a_client_that_resets_while_the_mta_is_being_opened() -> None:
    """Nobody waits for the connection any more."""
    line = Line(connector=Connector(waits=True))
    line.says(b"MAIL FROM:<a@b>\r\n")
    opening = cast(Any, line.session._opening)
    line.side.connection_lost(None)
    assert opening.is_cancelled


def test_aborting() -> None:
    """Both sides at once; a session whose client has no transport yet ends by itself."""
    line = Line()
    line.opened()
    line.session.abort()
    assert (["abort"], ["abort"]) == (line.client.done, line.mta.done)
    line = Line()
    line.session._client = None
    line.session.abort()
    assert [line.session] == line.ended


def test_a_client_whose_transport_comes_after_the_end() -> None:
    """It is told what it was to be told, and closed as any other."""
    line = Line()
    line.session._client = None
    line.session.drain()
    late = Wire()
    line.session.client_made(late)
    assert (["eof"], b"421 4.3.2 Service is going down, try again later\r\n") == (late.done, late.said())


def test_a_transport_that_cannot_half_close() -> None:
    """It is given its time all the same."""
    line = Line()
    line.session._client = line.client = Wire(can_half_close=False)
    line.session.drain()
    assert [] == line.client.done
    line.loop.advance(LINGER + 0.1)
    assert ["abort"] == line.client.done


def test_a_client_whose_reset_is_not_told_yet() -> None:
    """Its connection cannot be half-closed any more, and that raises nowhere."""
    line = Line()
    line.client.is_gone = True
    line.session.drain()
    assert ["abort"] == line.client.done
    line = Line()
    line.pumping()
    line.mta.is_gone = True
    assert line.side.eof_received()
    assert ["abort"] == line.mta.done


# A fault of our own.


def test_a_fault_ends_this_session_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """The client hears 421, the MTA drops what was under way, the record says what it was, and a traceback is left."""
    line = Line()
    line.opened()

    def broken(data: bytes, now: float) -> list[object]:
        raise ValueError("a bug")

    monkeypatch.setattr(line.conversation, "client_sent", broken)
    assert b"421 4.3.0 Internal fault, try again later\r\n" == line.says(b"NOOP\r\n")
    assert (["abort"], ["eof"]) == (line.mta.done, line.client.done)
    assert ["a fault of tarry itself: ValueError: a bug"] == [
        e.why for e in line.events() if isinstance(e, schema.Handoff) and not e.ok
    ]
    assert ["a bug"] == [str(fault["exception"]) for fault in line.loop.faults]
    assert b"" == line.says(b"NOOP\r\n")


# Flow control.


def test_the_client_is_read_only_while_its_words_can_go_somewhere() -> None:
    """Not while the MTA is full, not while it does not take its own replies, not while it has piled up too much."""
    line = Line()
    line.opened()
    reading = []
    for step in (
        line.connector.sides[-1].pause_writing,
        line.side.pause_writing,
        line.connector.sides[-1].resume_writing,
        line.side.resume_writing,
    ):
        step()
        reading.append(line.client.reads)
    assert [False, False, False, True] == reading
    line.says(b"RSET\r\n" + b"NOOP\r\n" * 20_000)
    assert not line.client.reads
    line.says(b"")


def test_reading_goes_on_after_the_end() -> None:
    """What a paused client has sent must be drained as well."""
    line = Line()
    line.side.pause_writing()
    assert not line.client.reads
    line.session.drain()
    assert (True, ["eof"]) == (line.client.reads, line.client.done)
    line.side.resume_writing()


def test_an_mta_that_goes_is_full_no_more() -> None:
    """Its successor begins with an empty buffer."""
    line = Line()
    line.opened()
    line.connector.sides[-1].pause_writing()
    line.says(b"")
    line.connector.sides[-1].connection_lost(None)
    assert line.client.reads


def test_piled_up_commands_take_turns() -> None:
    """After each turn the loop goes on with others; a client that does not take its replies has no turn."""
    line = Line()
    assert TURN == line.says(b"NOOP\r\n" * (3 * TURN)).count(b"250")
    reading = [line.client.reads]
    line.loop.advance(BREATHER)
    assert TURN == line.client.said().count(b"250")
    line.side.pause_writing()
    line.loop.advance(BREATHER)
    assert TURN == line.client.said().count(b"250")
    line.loop.advance(1.0)
    line.side.resume_writing()
    line.loop.advance(BREATHER)
    assert [False, True] == [*reading, line.client.reads]
    line = Line()
    line.says(b"NOOP\r\n" * (3 * TURN))
    line.side.connection_lost(None)
    line.loop.advance(1.0)
    assert [line.session] == line.ended
    line = Line()
    line.says(b"NOOP\r\n" * (3 * TURN))
    line.session.drain()
    line.client.said()
    line.loop.advance(BREATHER)


# Pumping.


def test_after_starttls_bytes_are_pumped() -> None:
    """Both ways, unread; no deadline of ours holds any more."""
    line = Line()
    line.pumping()
    assert [] == line.loop.waiting
    line.says(b"\x16\x03\x01")
    assert (b"\x16\x03\x01", b"\x16\x03\x03") == (line.mta.said(), line.mta_says(b"\x16\x03\x03"))
    line.session.drain()
    assert ([], []) == (line.client.done, line.mta.done)


def test_closing_goes_through_the_pump() -> None:
    """The client's FIN is the MTA's, and the MTA's end is the client's."""
    line = Line()
    line.pumping()
    assert line.side.eof_received()
    assert ["eof"] == line.mta.done
    assert b"bye" == line.mta_says(b"bye")
    line.connector.sides[-1].connection_lost(None)
    assert ["close"] == line.client.done
    line.side.connection_lost(None)
    assert [line.session] == line.ended


def test_a_pumped_client_that_is_lost_takes_the_mta_along() -> None:
    """And nothing that comes then is written to nobody."""
    line = Line()
    line.pumping()
    line.side.connection_lost(ConnectionResetError())
    assert (["abort"], [line.session]) == (line.mta.done, line.ended)
    assert b"" == line.mta_says(b"late")


def test_a_pumped_mta_that_is_lost() -> None:
    """What the client still says goes nowhere; it is closed."""
    line = Line()
    line.pumping()
    line.connector.sides[-1].connection_lost(None)
    assert ["eof"] == line.client.done
    assert b"" == line.says(b"x")
    assert not line.side.eof_received()


def test_the_pump_has_its_flow_control() -> None:
    """A side that is full stops the other."""
    line = Line()
    line.pumping()
    line.side.pause_writing()
    assert (True, False) == (line.client.reads, line.mta.reads)
    line.side.resume_writing()
    line.connector.sides[-1].pause_writing()
    assert (False, True) == (line.client.reads, line.mta.reads)
    line.connector.sides[-1].resume_writing()
    assert line.client.reads
    line.mta.abort()
    line.side.pause_writing()
    assert line.mta.reads


def test_an_order_to_nobody_is_no_fault() -> None:
    """Effects for a side that is gone are dropped."""
    line = Line()
    line.session._client = None
    line.says(b"NOOP\r\n")
    line.session._carry_out([Relay(b"x"), OpenMta()], line.clock.monotonic())
    assert (b"", b"") == (line.client.said(), line.mta.said())
    line.session._pumping = True
    line.mta_says(b"x")
    line.session._mta = None
    line.says(b"x")
    assert line.side.eof_received()


# STARTTLS that ends here.


def upgrading(line: Line) -> TlsTransport:
    """Come as far as the handshake; return the inside."""
    assert b"220 2.0.0 Ready to start TLS\r\n" == line.says(b"STARTTLS\r\n")
    inside = line.session._client
    assert isinstance(inside, TlsTransport)
    assert isinstance(line.client.protocol, TlsSide)
    return inside


def test_starttls_puts_tls_in_between() -> None:
    """In the same turn as the 220, so that nothing that comes is clear text to anyone; the session goes on inside."""
    line = Line(tls=context())
    upgrading(line)
    line.talk_tls(b"EHLO x\r\n")
    assert line.inside().startswith(b"250-mail.example\r\n")
    assert b"STARTTLS" not in line.inside()
    (tls,) = (event for event in line.events() if isinstance(event, schema.Tls))
    assert (True, "TLSv1.3", "localhost") == (tls.ok, tls.version, tls.sni)


def test_a_handshake_that_fails_ends_the_session() -> None:
    """Recorded; both sides are closed, ours by a FIN, and what still comes is thrown away."""
    line = Line(tls=context())
    upgrading(line)
    line.client.protocol.data_received(b"MAIL FROM:<injected@b.example>\r\n")
    assert ["wrong version number"] == [event.why for event in line.events() if isinstance(event, schema.Tls)]
    assert ["eof"] == line.client.done
    line.client.protocol.data_received(b"QUIT\r\n")
    line.loop.advance(LINGER + 1)
    assert ["eof", "abort"] == line.client.done
    line.client.protocol.connection_lost(None)
    assert [line.session] == line.ended


def test_a_handshake_that_does_not_come() -> None:
    """The session's own timer has its deadline."""
    line = Line(Policy(limits=Limits(handshake=5.0)), tls=context())
    upgrading(line)
    line.client.protocol.data_received(b"\x16")
    line.loop.advance(5.1)
    assert ["no handshake in time"] == [event.why for event in line.events() if isinstance(event, schema.Tls)]


def test_the_end_of_tls_in_a_message_aborts_it() -> None:
    """A bare FIN: nothing more is sent to the MTA, and both sides are closed."""
    line = Line(tls=context())
    upgrading(line)
    line.talk_tls(b"EHLO x\r\nMAIL FROM:<a@b>\r\n")
    line.mta_says(b"220 mta\r\n")
    line.mta_says(EHLO.raw)
    line.mta_says(b"250 ok\r\n")
    line.talk_tls(b"DATA\r\n")
    line.mta_says(b"354 go\r\n")
    line.talk_tls(b"half a mess")
    line.mta.said()
    assert not line.client.protocol.eof_received()
    assert (b"", ["abort"]) == (line.mta.said(), line.mta.done)
    assert "close" in line.client.done


def test_a_client_that_is_gone_needs_no_tls() -> None:
    """The order comes to nothing."""
    line = Line(tls=context())
    line.session._client = None
    line.session._start_tls()
    assert line.session._client is None


# What is looked up.

ASKED = b"EHLO x\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\n"


def test_a_recipient_waits_for_what_is_looked_up() -> None:
    """The answer lets it go on at once; it is recorded."""
    answers = Answers()
    line = Line(policy(Listed(), action=Action.REJECT), resolver=answers)
    line.says(ASKED[:8])
    assert 1 == len(answers.asked)
    line.opened()
    assert b"" == line.says(b"RCPT TO:<c@d>\r\n")
    answers.answer("127.0.0.2")
    assert line.client.said().startswith(b"550 5.7.1 You are listed (bl.example) [")
    assert [("answers", "answered")] == [(one.why, one.ended) for one in line.events() if isinstance(one, schema.Hold)]


def test_an_answer_that_does_not_come_keeps_nobody_from_going_on() -> None:
    """The time for it over, what is not known is Unknown; what comes later still is, and changes nothing that was said."""
    answers = Answers()
    line = Line(policy(Listed(), action=Action.REJECT), resolver=answers)
    line.opened()
    assert b"" == line.says(b"RCPT TO:<c@d>\r\n")
    line.loop.advance(3.1)
    assert b"RCPT TO:<c@d>\r\n" == line.mta.said()
    assert schema.Outcome("listed", "unknown", "bl.example: no answer in time") in line.events()
    answers.answer("127.0.0.2")
    assert b"550 5.7.1" == line.mta_says(b"250 ok\r\n")[:9]


def test_an_answer_for_a_session_that_has_ended_is_nobodys() -> None:
    """Nothing is written, and nothing raised."""
    answers = Answers()
    line = Line(policy(Listed(), action=Action.REJECT), resolver=answers)
    line.says(b"EHLO x\r\nQUIT\r\n")
    answers.answer("127.0.0.2")
    assert (b"", []) == (line.client.said(), line.loop.faults)
