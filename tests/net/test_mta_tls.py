"""TLS to the MTA, on real loopback sockets and on both loops."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

import pytest
import uvloop

from tarry.net.mta_tls import MtaTls, make_context, secure
from tarry.record import schema
from tests.e2e.servers.certificate import make, server_context
from tests.e2e.servers.need import need

LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
Mta = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for localhost and its key, in one file."""
    need("openssl")
    folder = tmp_path_factory.mktemp("certificate")
    certificate, key = make(folder)
    both = folder / "both"
    both.write_text(certificate.read_text() + key.read_text())
    return both


@pytest.fixture(params=LOOPS)
def runner(request: pytest.FixtureRequest) -> Iterator[asyncio.Runner]:
    with asyncio.Runner(loop_factory=LOOPS[request.param]) as runner:
        yield runner


class Side(asyncio.Protocol):
    """What tarry's end of the connection hears."""

    def __init__(self) -> None:
        self.heard = b""
        self.said = asyncio.Event()
        self.lost = asyncio.Event()

    def data_received(self, data: bytes) -> None:
        self.heard += data
        self.said.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.set()


def echoing(certificate: Path) -> Mta:
    """An MTA that takes TLS and says back one line of what it hears inside."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await writer.start_tls(server_context(certificate, certificate))
            writer.write(await reader.readline())
            await reader.read()
        except OSError:
            pass  # tarry did not like the certificate
        writer.close()

    return serve


def saying(data: bytes, *, closes: bool = False) -> Mta:
    """An MTA that speaks no TLS: it says *data*, and closes or waits."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(data)
        if not closes:
            await reader.read()
            await reader.read()
        writer.close()

    return serve


def handshake(runner: asyncio.Runner, mta: Mta, terms: MtaTls, *, give_up: bool = False) -> tuple[schema.Tls, bytes]:
    """Do a handshake with that MTA; return its record, and what came back for one line that was said inside.

    *give_up* aborts the connection as soon as the handshake has begun.
    """

    async def run() -> tuple[schema.Tls, bytes]:
        loop = asyncio.get_running_loop()
        tasks: list[asyncio.Task[None]] = []

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            tasks.append(cast("asyncio.Task[None]", asyncio.current_task()))
            await mta(reader, writer)

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        side = Side()
        made, _ = await loop.create_connection(lambda: side, *server.sockets[0].getsockname())
        transport = cast(asyncio.Transport, made)
        if give_up:
            loop.call_soon(loop.call_soon, transport.abort)
        inside, tls = await secure(terms, transport, side)
        if inside is not None:
            inside.write(b"EHLO inside\r\n")
            await side.said.wait()
            inside.close()
            await side.lost.wait()
        transport.abort()
        server.close()
        await server.wait_closed()
        await asyncio.gather(*tasks)
        for _ in range(5):
            await asyncio.sleep(0)  # until what is closing is closed
        return tls, side.heard

    async def run_in_time() -> tuple[schema.Tls, bytes]:
        return await asyncio.wait_for(run(), 5)

    return runner.run(run_in_time())


def terms(*, verify: bool, name: str = "localhost", limit: float = 2.0, minimum: str = "1.2") -> MtaTls:
    return MtaTls(make_context(verify=verify, minimum=minimum), name, limit)


@contextmanager
def trusting(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """This machine's CAs are that certificate."""
    with monkeypatch.context() as changed:
        changed.setenv("SSL_CERT_FILE", str(certificate))
        yield


@pytest.mark.parametrize("name", ["", "localhost", "127.0.0.1", "other.example"])
def test_without_verification_any_certificate_will_do(runner: asyncio.Runner, certificate: Path, name: str) -> None:
    """It keeps listeners out. What is said afterwards is said inside."""
    tls, heard = handshake(runner, echoing(certificate), terms(verify=False, name=name))
    assert ("mta", True, "TLSv1.3", "", b"EHLO inside\r\n") == (tls.side, tls.ok, tls.version, tls.why, heard)
    assert tls.cipher.startswith("TLS_")
    assert tls.ms > 0


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1"])
def test_a_certificate_is_verified(runner: asyncio.Runner, certificate: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """For the name in the configuration, which may be an address."""
    with trusting(certificate, monkeypatch):
        tls, heard = handshake(runner, echoing(certificate), terms(verify=True, name=name))
    assert (True, b"EHLO inside\r\n") == (tls.ok, heard)


@pytest.mark.parametrize(
    ("trusted", "name", "why"),
    [
        (False, "localhost", "its certificate: self"),
        (True, "other.example", "its certificate: Hostname mismatch"),
        (True, "127.0.0.2", "its certificate: IP address mismatch"),
    ],
)
def test_a_certificate_that_does_not_prove_it(
    runner: asyncio.Runner, certificate: Path, trusted: bool, name: str, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a CA that nobody knows, or of another host."""
    with trusting(certificate if trusted else Path("/nonexistent"), monkeypatch):
        made = terms(verify=True, name=name)
    tls, heard = handshake(runner, echoing(certificate), made)
    assert (False, b"") == (tls.ok, heard)
    assert tls.why.startswith(why)


@pytest.mark.parametrize(
    ("mta", "why"),
    [
        (saying(b"250 injected\r\n"), "wrong version number"),
        (saying(b"", closes=True), ""),
        (saying(b""), "no handshake in time"),
    ],
    ids=["clear text", "closes", "silence"],
)
def test_a_handshake_that_fails(runner: asyncio.Runner, mta: Mta, why: str) -> None:
    """In time, and with a reason; nothing that was said in the clear is heard."""
    tls, heard = handshake(runner, mta, terms(verify=False, limit=0.1))
    assert (False, "mta", b"") == (tls.ok, tls.side, heard)
    assert tls.why
    assert tls.why.startswith(why)


def test_a_name_that_is_no_host_name(runner: asyncio.Runner, certificate: Path) -> None:
    """Is a failure as any other."""
    tls, _ = handshake(runner, saying(b""), terms(verify=True, name=".example"))
    assert (False, True) == (tls.ok, bool(tls.why))


@pytest.mark.parametrize(("minimum", "version"), [("1.2", ssl.TLSVersion.TLSv1_2), ("1.3", ssl.TLSVersion.TLSv1_3)])
def test_the_oldest_version(minimum: str, version: ssl.TLSVersion) -> None:
    """As the operator says."""
    assert version == make_context(verify=True, minimum=minimum).minimum_version


@pytest.mark.parametrize("verify", [True, False])
def test_what_is_verified(verify: bool) -> None:
    """Both the chain and the name, or neither."""
    made = make_context(verify=verify)
    assert (verify, ssl.CERT_REQUIRED if verify else ssl.CERT_NONE) == (made.check_hostname, made.verify_mode)


def test_a_connection_that_is_given_up_meanwhile(runner: asyncio.Runner) -> None:
    """The session has aborted it: that is a failure, and no exception."""
    tls, _ = handshake(runner, saying(b""), terms(verify=False), give_up=True)
    assert (False, "the connection was closed") == (tls.ok, tls.why)


def test_a_connection_that_was_closed_before(runner: asyncio.Runner) -> None:
    """There is nothing to wait for."""

    async def run() -> schema.Tls:
        loop = asyncio.get_running_loop()
        server = await asyncio.start_server(saying(b"", closes=True), "127.0.0.1", 0)
        made, side = await loop.create_connection(Side, *server.sockets[0].getsockname())
        made.abort()
        _, tls = await secure(terms(verify=False), cast(asyncio.Transport, made), side)
        await side.lost.wait()
        server.close()
        await server.wait_closed()
        return tls

    tls = runner.run(run())
    assert (False, "the connection was closed") == (tls.ok, tls.why)
