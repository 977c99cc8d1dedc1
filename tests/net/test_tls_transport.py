"""TLS over a transport: real handshakes over loopback, on asyncio's loop and on uvloop, with a blocking client in a thread."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
import time
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar, cast

import pytest
import uvloop
from hypothesis import given
from hypothesis import strategies as st

from tarry.core.starttls import Established
from tarry.net import linger
from tarry.net.tls import server_context
from tarry.net.tls_transport import TlsSide, TlsTransport
from tests import shell
from tests.certificates import client_context, context, pair, wrap
from tests.net.test_session import Wire
from tests.strategies import borders, cut

Run = Callable[[Coroutine[Any, Any, None]], None]
Result = TypeVar("Result")
RUNNERS = {"asyncio": asyncio.run, "uvloop": uvloop.run}


@pytest.fixture(params=RUNNERS)
def run(request: pytest.FixtureRequest) -> Run:
    """Run a scenario on each of the loops."""
    return cast(Run, RUNNERS[request.param])


class App(asyncio.Protocol):
    """What a session would be told; answers by *answer*, and drops what it answers None to."""

    def __init__(self, answer: Callable[[bytes], bytes | None] = lambda data: data) -> None:
        self.answer = answer
        self.events: list[str] = []
        self.heard = b""
        self.inside: TlsTransport | None = None
        self.lost = asyncio.Event()
        self.changed = asyncio.Event()

    def note(self, event: str) -> None:
        self.events.append(event)
        self.changed.set()

    def data_received(self, data: bytes) -> None:
        self.heard += data
        self.changed.set()
        answer = self.answer(data)
        if answer is not None and self.inside is not None:
            self.inside.write(answer)

    def eof_received(self) -> bool:
        self.note("eof")
        return True  # not heeded: inside TLS there is no half-close

    def connection_lost(self, exc: Exception | None) -> None:
        self.note("lost")
        self.lost.set()

    def pause_writing(self) -> None:
        self.note("full")

    def resume_writing(self) -> None:
        self.note("takes")

    async def until(self, true: Callable[[], bool]) -> None:
        async with asyncio.timeout(5):
            while not true():
                self.changed.clear()
                await self.changed.wait()


class Starting(asyncio.Protocol):
    """A session in the clear: 220 and TLS in the same turn, as soon as something comes."""

    def __init__(self, inside: TlsTransport) -> None:
        self._inside = inside

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        assert b"STARTTLS\r\n" == data
        self._transport.write(b"220 go\r\n")
        self._inside.begin(self._transport)


async def meet(app: App, terms: ssl.SSLContext | None = None, *, starttls: bool = False) -> tuple[TlsTransport, socket.socket]:
    """Return the inside of a connection, and its client's end."""
    ours, client = shell.pair()
    ours.setblocking(False)
    inside = app.inside = TlsTransport(
        terms or context(),
        app,
        on_established=lambda how: app.note(f"TLS {how.version} {how.sni}"),
        on_failed=lambda why: app.note(f"failed: {why}"),
    )
    first = Starting(inside) if starttls else TlsSide(inside)
    await asyncio.get_running_loop().connect_accepted_socket(lambda: first, ours)
    return inside, client


async def as_client(what: Callable[..., Result], *given: Any) -> Result:
    """Do what blocks in a thread."""
    async with asyncio.timeout(15):
        return await asyncio.to_thread(what, *given)


@pytest.mark.parametrize("starttls", [True, False])
def test_bytes_go_both_ways_inside(run: Run, starttls: bool) -> None:
    """From the first byte on or after a 220; the end is told by close_notify on both sides."""

    def client(sock: socket.socket) -> bytes:
        if starttls:
            sock.sendall(b"STARTTLS\r\n")
            assert b"220 go\r\n" == sock.recv(100)
        with wrap(sock) as tls:
            tls.sendall(b"hello")
            heard = tls.recv(100)
            tls.unwrap().close()
            return heard

    async def scenario() -> None:
        app = App()
        inside, sock = await meet(app, starttls=starttls)
        assert b"hello" == await as_client(client, sock)
        await app.lost.wait()
        assert ["TLS TLSv1.3 localhost", "eof", "lost"] == app.events
        assert inside.established is not None
        assert inside.established.cipher.startswith("TLS_")
        assert inside.is_closing()

    run(scenario())


@pytest.mark.slow
def test_there_is_no_moment_between_the_220_and_the_handshake(run: Run) -> None:
    """However quick the client's first bytes are, the handshake gets them: all of many sessions come through."""

    def client(sock: socket.socket, pause: float) -> None:
        sock.sendall(b"STARTTLS\r\n")
        assert b"220 go\r\n" == sock.recv(100)
        time.sleep(pause)
        with wrap(sock) as tls:
            tls.sendall(b"x")
            assert b"x" == tls.recv(1)

    async def scenario() -> None:
        for number in range(40):
            app = App()
            _, sock = await meet(app, starttls=True)
            await as_client(client, sock, number % 4 * 0.0005)
            await app.lost.wait()

    run(scenario())


def test_a_client_hello_that_drips_in(run: Run) -> None:
    """One byte at a time is as good as all at once, but for the time it takes (core/starttls has the deadline)."""

    def client(sock: socket.socket) -> None:
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = client_context().wrap_bio(incoming, outgoing, server_hostname="localhost")
        sock.settimeout(5.0)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while True:
            try:
                tls.do_handshake()
            except ssl.SSLWantReadError:
                for byte in outgoing.read():
                    sock.sendall(bytes([byte]))
                incoming.write(sock.recv(65536))
            else:
                break
        for byte in outgoing.read():
            sock.sendall(bytes([byte]))

    async def scenario() -> None:
        app = App()
        _, sock = await meet(app)
        await as_client(client, sock)
        await app.until(lambda: "TLS TLSv1.3 localhost" in app.events)
        sock.close()
        await app.lost.wait()

    run(scenario())


def test_a_command_behind_the_end_of_the_handshake(run: Run) -> None:
    """The client's Finished and its first words may come in one segment: they are inside, and none is lost."""

    def client(sock: socket.socket) -> bytes:
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = client_context().wrap_bio(incoming, outgoing, server_hostname="localhost")
        sock.settimeout(5.0)
        while True:
            try:
                tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                sock.sendall(outgoing.read())
                incoming.write(sock.recv(65536))
        tls.write(b"EHLO x")
        sock.sendall(outgoing.read())
        while True:
            try:
                return tls.read(100)
            except ssl.SSLWantReadError:
                incoming.write(sock.recv(65536))

    async def scenario() -> None:
        app = App()
        _, sock = await meet(app)
        assert b"EHLO x" == await as_client(client, sock)
        sock.close()
        await app.lost.wait()

    run(scenario())


# Handshakes that fail.

ONLY_1_3 = "1.3"


@pytest.mark.parametrize(
    ("first", "why"),
    [
        (b"EHLO evil\r\nMAIL FROM:<a@b>\r\n", "wrong version number"),
        (b"GET / HTTP/1.0\r\n\r\n", "http request"),
        (b"\0" * 20, "wrong version number"),
        (b"\x16\x03\x01\x00\x05hello", "unexpected message"),
    ],
)
def test_what_is_no_client_hello(run: Run, first: bytes, why: str) -> None:
    """It is never read as anything else; the client hears an alert or nothing, and then the end."""

    def client(sock: socket.socket) -> bytes:
        sock.settimeout(5.0)
        sock.sendall(first)
        return shell.read_all(sock)

    async def scenario() -> None:
        app = App()
        inside, sock = await meet(app)
        reading = asyncio.create_task(as_client(client, sock))
        await app.until(lambda: bool(app.events))
        inside.write_eof()  # as the session does
        assert (await reading)[:1] in (b"", b"\x15")
        sock.close()
        await app.lost.wait()
        assert [f"failed: {why}", "lost"] == app.events
        assert b"" == app.heard

    run(scenario())


def old_client() -> ssl.SSLContext:
    return client_context(maximum_version=ssl.TLSVersion.TLSv1_2)


def odd_client() -> ssl.SSLContext:
    terms = old_client()
    terms.set_ciphers("AES128-SHA")
    return terms


def wary_client() -> ssl.SSLContext:
    return ssl.create_default_context()


@pytest.mark.parametrize(
    ("terms", "minimum", "why", "told"),
    [
        (old_client, ONLY_1_3, "unsupported protocol", "TLSV1_ALERT_PROTOCOL_VERSION"),
        (odd_client, "1.2", "no shared cipher", "SSLV3_ALERT_HANDSHAKE_FAILURE"),
        (wary_client, "1.2", "tlsv1 alert unknown ca", "CERTIFICATE_VERIFY_FAILED"),
    ],
)
def test_a_client_that_wants_something_else(
    run: Run, terms: Callable[[], ssl.SSLContext], minimum: str, why: str, told: str
) -> None:
    """It is told by an alert what is wrong."""

    def client(sock: socket.socket) -> str:
        with pytest.raises(ssl.SSLError) as fault:
            wrap(sock, terms())
        sock.close()
        return fault.value.reason or ""

    async def scenario() -> None:
        app = App()
        certificate, key = pair()
        inside, sock = await meet(app, server_context(str(certificate), str(key), minimum))
        assert told == await as_client(client, sock)
        await app.until(lambda: bool(app.events))
        inside.close()
        await app.lost.wait()
        assert [f"failed: {why}", "lost"] == app.events

    run(scenario())


@pytest.mark.parametrize("sent", [b"", b"\x16\x03\x01"])
@pytest.mark.parametrize("how", ["fin", "reset"])
def test_a_client_that_leaves_in_the_handshake(run: Run, sent: bytes, how: str) -> None:
    """A FIN is told, and a reset; nothing stays behind."""

    async def scenario() -> None:
        app = App()
        inside, sock = await meet(app)
        sock.sendall(sent)
        if how == "fin":
            sock.close()
        else:
            shell.reset(sock)
        await app.lost.wait()
        assert (["eof"] if how == "fin" else []) + ["lost"] == app.events
        assert inside.is_closing()

    run(scenario())


# The end.


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_nothing_behind_close_notify_is_read(run: Run, version: ssl.TLSVersion) -> None:
    """Not clear text (CVE-2026-45185), and not another TLS record."""

    def client(sock: socket.socket) -> None:
        raw = sock.dup()
        tls = wrap(sock, client_context(maximum_version=version))
        tls.sendall(b"inside")
        assert b"inside" == tls.recv(100)
        try:
            tls.settimeout(0.0)
            tls.unwrap()
        except (ssl.SSLError, OSError):
            pass  # our close_notify is out, and the server's is not waited for
        raw.sendall(b"MAIL FROM:<injected@evil.example>\r\n")
        raw.close()
        tls.close()

    async def scenario() -> None:
        app = App()
        _, sock = await meet(app)
        await as_client(client, sock)
        sock.close()
        await app.lost.wait()
        assert b"inside" == app.heard
        assert "eof" in app.events

    run(scenario())


@pytest.mark.parametrize("what", [b"MAIL FROM:<injected@evil.example>\r\n", b"\x17\x03\x03\x00\x20" + b"x" * 32])
def test_what_is_no_record_breaks_the_connection(run: Run, what: bytes) -> None:
    """Clear text in the middle of TLS, and a record that nobody with the keys made."""

    def client(sock: socket.socket) -> None:
        raw = sock.dup()
        with wrap(sock) as tls:
            tls.sendall(b"inside")
            assert b"inside" == tls.recv(100)
            raw.sendall(what)
            with pytest.raises((ssl.SSLError, ConnectionError)):
                while tls.recv(100):
                    pass
                raise ConnectionError("an end with close_notify, which the server does not say to what it cannot read")
        raw.close()

    async def scenario() -> None:
        app = App()
        _, sock = await meet(app)
        await as_client(client, sock)
        await app.lost.wait()
        assert b"inside" == app.heard
        assert "eof" not in app.events

    run(scenario())


def test_a_bare_fin_is_the_end(run: Run) -> None:
    """It is no half-close: what would be answered is not."""

    def client(sock: socket.socket) -> None:
        tls = wrap(sock)
        tls.sendall(b"inside")
        assert b"inside" == tls.recv(100)
        tls.shutdown(socket.SHUT_WR)
        tls.close()

    async def scenario() -> None:
        app = App()
        inside, sock = await meet(app)
        await as_client(client, sock)
        await app.lost.wait()
        inside.write(b"too late")
        assert ["TLS TLSv1.3 localhost", "eof", "lost"] == app.events

    run(scenario())


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_the_last_word_arrives_with_unread_input(run: Run, version: ssl.TLSVersion) -> None:
    """The client has sent much that nobody reads, and hears the reply and close_notify all the same, and no reset."""

    def client(sock: socket.socket) -> bytes:
        tls = wrap(sock, client_context(maximum_version=version))
        tls.sendall(b"x" * 300_000)
        heard = b""
        while piece := tls.recv(100):  # raises where the end is no close_notify
            heard += piece
        tls.close()
        return heard

    async def scenario() -> None:
        def end(data: bytes) -> None:
            if inside.can_write_eof() and app.events[-1] != "ended":
                app.note("ended")
                inside.write(b"421 last word\r\n")
                inside.write_eof()
                inside.write_eof()

        app = App(end)
        inside, sock = await meet(app)
        assert b"421 last word\r\n" == await as_client(client, sock)
        await app.lost.wait()
        assert len(app.heard) < 300_000
        assert "eof" not in app.events

    run(scenario())


def test_a_client_that_never_ends_is_cut_off(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is thrown away after the last word has a bound."""
    monkeypatch.setattr(linger, "MOST", 100_000)

    def client(sock: socket.socket) -> None:
        tls = wrap(sock)
        with pytest.raises(OSError):  # the reset
            while True:
                tls.sendall(b"x" * 65536)
        tls.close()

    async def scenario() -> None:
        app = App()
        inside, sock = await meet(app)
        app.answer = lambda data: inside.write_eof()
        await as_client(client, sock)
        await app.lost.wait()

    run(scenario())


# Much.


@pytest.mark.slow
def test_much_goes_both_ways_and_stops_when_it_must(run: Run) -> None:
    """4 MB each way, with a client that does not read for a while, and a session that does not either."""
    size = 4_000_000
    is_full = threading.Event()

    def client(sock: socket.socket) -> int:
        tls = wrap(sock)
        tls.sendall(b"y" * size)
        assert is_full.wait(5)
        heard = 0
        while piece := tls.recv(65536):
            heard += len(piece)
        tls.close()
        return heard

    async def scenario() -> None:
        app = App(lambda data: None)
        inside, sock = await meet(app)
        client_side = asyncio.create_task(as_client(client, sock))
        await app.until(lambda: len(app.heard) > 0)
        inside.pause_reading()
        heard = len(app.heard)
        await asyncio.sleep(0.02)
        assert heard == len(app.heard)
        inside.resume_reading()
        await app.until(lambda: len(app.heard) == size)
        written = 0
        while "full" not in app.events:
            inside.write(b"z" * 100_000)
            written += 100_000
            await asyncio.sleep(0)
        assert inside.get_write_buffer_size() > 0
        is_full.set()
        await app.until(lambda: "takes" in app.events)
        inside.write_eof()
        assert written == await client_side
        await app.lost.wait()

    run(scenario())


# On a wire that keeps what is done to it.


def alone(wire: Wire | None = None) -> tuple[TlsTransport, list[str]]:
    told: list[str] = []
    inside = TlsTransport(context(), asyncio.Protocol(), on_established=lambda how: told.append(how.version), on_failed=told.append)
    if wire is not None:
        TlsSide(inside).connection_made(wire)
    return inside, told


def test_before_there_is_a_connection_nothing_raises() -> None:
    """A client may be given up before its transport is made; the transport is then let go of at once."""
    inside, _ = alone()
    inside.pause_reading()
    inside.resume_reading()
    inside.write(b"x")
    assert (True, 0) == (inside.is_closing(), inside.get_write_buffer_size())
    inside.write_eof()
    inside.close()
    inside.abort()
    wire = Wire()
    TlsSide(inside).connection_made(wire)
    assert ["abort"] == wire.done


def test_the_protocol_can_be_changed() -> None:
    """The session takes a client over from the room in which it was held."""
    inside, _ = alone(Wire())
    app = App.__new__(App)
    inside.set_protocol(app)
    assert app is inside.get_protocol()


def test_words_before_the_handshake_are_not_said() -> None:
    """In the clear they would be a lie about TLS; an alert is all that may come."""
    wire = Wire()
    inside, told = alone(wire)
    inside.write(b"421 going down\r\n")
    TlsSide(inside).data_received(b"EHLO x\r\n")
    assert (["wrong version number"], b"") == (told, wire.written)  # OpenSSL has no alert for what is no TLS at all
    inside.write(b"421 going down\r\n")
    assert b"421" not in wire.written


def test_a_protocol_that_was_broken_says_no_more() -> None:
    """Where OpenSSL refuses to write, the connection is given up."""
    wire = Wire()
    inside, _ = alone(wire)

    class Refusing:
        def write(self, data: bytes) -> int:
            raise ssl.SSLError("protocol is shutdown")

    inside._tls = cast(ssl.SSLObject, Refusing())
    inside._stage = type(inside._stage)("open")
    inside.write(b"x")
    assert ["abort"] == wire.done
    assert Established("TLSv1.3", "x") == Established("TLSv1.3", "x", "")


@given(noise=st.binary(max_size=200), cut_at=st.integers(0, 600), at=borders)
def test_whatever_a_client_sends_nothing_raises(noise: bytes, cut_at: int, at: list[int]) -> None:
    """In place of a ClientHello, in the middle of one, and in any pieces: at most one verdict comes of it."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    with pytest.raises(ssl.SSLWantReadError):
        client_context().wrap_bio(incoming, outgoing, server_hostname="localhost").do_handshake()
    hello = outgoing.read()
    for stream in (noise, hello[:cut_at] + noise + hello[cut_at + len(noise) :]):
        inside, told = alone(Wire())
        for piece in cut(stream, at):
            TlsSide(inside).data_received(piece)
        TlsSide(inside).eof_received()
        assert len(told) <= 1
