"""The MTA: how it is reached, asked, and learned from."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
import uvloop

from tarry.core.client import Client, Endpoint
from tarry.core.login import Way
from tarry.core.starttls import Established
from tarry.net import backend as module
from tarry.net.backend import Backend, TcpConnector, UnixConnector
from tarry.net.mta_tls import MtaTls, make_context
from tarry.smtp.extensions import Capabilities, read_capabilities
from tarry.smtp.proxy_header import SSL, UNIQUE_ID, Header, read_header, ssl_value, write_v1, write_v2
from tarry.smtp.reply import Reply, reply
from tests.e2e.servers.certificate import make, server_context
from tests.e2e.servers.need import need
from tests.shell import LeapingLoop

CLIENT = Client(Endpoint("192.0.2.7", 40000), Endpoint("198.51.100.1", 25))
EHLO = reply(250, "mta.example", "SIZE 1000", "STARTTLS")
TERMS = MtaTls(make_context(verify=False), "mta.example", 1.0)


class Nowhere:
    """A way to an MTA that is not there."""

    where = "nowhere:25"

    def __init__(self, fault: OSError | None = None) -> None:
        self._fault = fault

    async def connect(self, factory: Callable[[], asyncio.Protocol], client: Client | None) -> None:
        if self._fault is not None:
            raise self._fault
        await asyncio.Event().wait()


class Health:
    """What was told of the MTA's health."""

    def __init__(self) -> None:
        self.told: list[tuple[bool, str]] = []

    def __call__(self, good: bool, why: str) -> None:
        self.told.append((good, why))


def backend(connector: module.Connector | None = None, health: Health | None = None, **changed: object) -> Backend:
    known: dict[str, object] = {
        "mode": "proxy",
        "announce": "none",
        "own_name": "",
        "host_name": "host.example",
        "without": frozenset(),
        "timeout": 2.0,
        "on_health": health or Health(),
    }
    return Backend(connector or Nowhere(), **{**known, **changed})  # type: ignore[arg-type]


class Mta:
    """An MTA on loopback that says what it is told: a greeting, then one reply for each line it hears."""

    def __init__(self, *replies: bytes, header: int = 0) -> None:
        self._replies = list(replies)
        self._header = header
        self.heard = b""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            self.heard += await reader.readexactly(self._header)
            for one in self._replies:
                writer.write(one)
                line = await reader.readline()
                self.heard += line
                if not line:
                    break
        except ConnectionError:
            pass
        finally:
            writer.close()

    async def probe(self, health: Health | None = None, **changed: object) -> tuple[str, Backend]:
        """Let a backend probe this MTA; return what it said, and the backend."""
        server = await asyncio.start_server(self.serve, "127.0.0.1", 0)
        host, port = server.sockets[0].getsockname()
        one = backend(TcpConnector(host, port), health, **changed)
        why = await one.probe()
        server.close()
        await server.wait_closed()
        await asyncio.sleep(0.002)
        return why, one


GREETING, OFFER, BYE = b"220 mta.example ESMTP\r\n", EHLO.raw, b"221 bye\r\n"


def test_a_probe_is_a_session_of_its_own() -> None:
    """Greeting, EHLO, QUIT; what the MTA offers is known afterwards; that it answers is no news."""
    health, mta = Health(), Mta(GREETING, OFFER, BYE)
    why, one = asyncio.run(mta.probe(health))
    assert ("", "", b"EHLO host.example\r\nQUIT\r\n") == (why, one.trouble, mta.heard)
    assert Capabilities("mta.example", (("SIZE", b"SIZE 1000"), ("STARTTLS", b"STARTTLS"))) == one.capabilities
    assert [] == health.told


@pytest.mark.parametrize(
    ("replies", "why"),
    [
        ((b"554 no\r\n",), "its greeting is 554"),
        ((b"421 busy\r\n",), "its greeting is 421"),
        ((b"junk\r\n",), "a line that is no SMTP reply"),
        ((), "it closed the connection"),
        ((GREETING,), "it closed the connection"),
        ((GREETING, b"550 who\r\n"), "it refused EHLO with 550"),
        ((GREETING, b"451 later\r\n"), "its EHLO is 451"),
        ((GREETING, OFFER), ""),
        ((GREETING, OFFER, b"500 what\r\n"), ""),
    ],
)
def test_what_a_probe_finds(replies: tuple[bytes, ...], why: str) -> None:
    """The EHLO reply is all that is wanted; a goodbye may be missing."""
    health = Health()
    found, one = asyncio.run(Mta(*replies).probe(health))
    assert (why, why, [(False, why)] * bool(why)) == (found, one.trouble, health.told)


OFFERS_XCLIENT = reply(250, "mta.example", "XCLIENT NAME ADDR", "SIZE 1000").raw


def test_a_probe_sees_whether_xclient_is_offered() -> None:
    """And says none: there is no client. What it was told with it is what the MTA offers."""
    mta = Mta(GREETING, OFFERS_XCLIENT, BYE)
    why, one = asyncio.run(mta.probe(announce="xclient"))
    assert ("", b"EHLO host.example\r\nQUIT\r\n") == (why, mta.heard)
    assert Capabilities("mta.example", (("SIZE", b"SIZE 1000"),)) == one.capabilities


def test_an_mta_that_does_not_trust_this_host() -> None:
    """It cannot be used, and the operator is told what to do."""
    health = Health()
    why, one = asyncio.run(Mta(GREETING, OFFER, BYE).probe(health, announce="xclient"))
    assert "it does not offer XCLIENT to this host: see smtpd_authorized_xclient_hosts" == why == one.trouble
    assert ([(False, why)], None) == (health.told, one.capabilities)


class TlsMta:
    """An MTA with STARTTLS, which offers more inside."""

    def __init__(self, certificate: Path) -> None:
        self._context = server_context(certificate, certificate)
        self.heard: list[bytes] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            for said in (GREETING, OFFER, b"220 go\r\n"):
                writer.write(said)
                self.heard.append(await reader.readline() if said != b"220 go\r\n" else b"")
            await writer.start_tls(self._context)
            for said in (b"250-mta.example\r\n250 CHUNKING\r\n", BYE):
                self.heard.append(await reader.readline())
                writer.write(said)
            await reader.read()
        except OSError:
            pass  # the probe has seen enough
        writer.close()


@pytest.mark.parametrize("verify", [False, True])
@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_a_probe_goes_through_tls(new_loop: Callable[[], asyncio.AbstractEventLoop], verify: bool, tmp_path: Path) -> None:
    """What the MTA offers inside is what counts; a certificate that proves nothing is trouble."""
    need("openssl")
    paths = make(tmp_path)
    both = tmp_path / "both"
    both.write_text(paths[0].read_text() + paths[1].read_text())
    mta = TlsMta(both)

    async def probe() -> tuple[str, Backend]:
        server = await asyncio.start_server(mta.serve, "127.0.0.1", 0)
        host, port = server.sockets[0].getsockname()
        one = backend(TcpConnector(host, port), tls=MtaTls(make_context(verify=verify), host, 1.0))
        why = await one.probe()
        server.close()
        await server.wait_closed()
        await asyncio.sleep(0.01)
        return why, one

    with asyncio.Runner(loop_factory=new_loop) as runner:
        why, one = runner.run(probe())
    if verify:
        assert why.startswith("no TLS: its certificate: self")
    else:
        assert [b"EHLO host.example\r\n", b"STARTTLS\r\n", b"", b"EHLO host.example\r\n", b"QUIT\r\n"] == mta.heard
        assert ("", Capabilities("mta.example", (("CHUNKING", b"CHUNKING"),))) == (why, one.capabilities)


@pytest.mark.parametrize(
    ("announce", "own_name", "tls", "way"),
    [
        ("none", "", None, None),
        ("proxy-v2", "mx.example", None, None),
        ("xclient", "", None, Way("host.example", xclient=True)),
        ("xclient", "mx.example", TERMS, Way("mx.example", xclient=True, tls=True)),
        ("proxy-v1", "", TERMS, Way("host.example", tls=True)),
    ],
)
def test_the_login_that_a_configuration_asks_for(announce: str, own_name: str, tls: MtaTls | None, way: Way | None) -> None:
    """None where nothing need be said before the client's EHLO."""
    assert way == backend(announce=announce, own_name=own_name, tls=tls).way
    assert None is backend(mode="pass", announce=announce, own_name=own_name).way


@pytest.mark.parametrize(
    ("announce", "header"),
    [("proxy-v1", write_v1(("127.0.0.1", 25), ("127.0.0.1", 25))), ("proxy-v2", write_v2(None, None)), ("none", b"")],
)
def test_a_probe_is_nobodys_client(announce: str, header: bytes) -> None:
    """Where the MTA expects a PROXY header it gets one that names no client."""
    mta = Mta(GREETING, OFFER, BYE, header=len(header))
    why, _ = asyncio.run(mta.probe(announce=announce))
    assert ("", header + b"EHLO host.example\r\nQUIT\r\n") == (why, mta.heard)


def test_an_mta_that_cannot_be_reached() -> None:
    """It is told once that it is away, and once that it is back."""
    health = Health()
    one = backend(Nowhere(ConnectionRefusedError(111, "Connection refused")), health)
    assert ["[Errno 111] Connection refused"] * 2 == [asyncio.run(one.probe()) for _ in range(2)]
    one.learn(EHLO)
    one.learn(EHLO)
    assert [(False, "[Errno 111] Connection refused"), (True, "")] == health.told


def test_whether_it_answers_is_what_was_last_seen() -> None:
    """Before it has been asked it does not, unless it did under the configuration before."""
    one, reloaded = backend(Nowhere(ConnectionRefusedError(111, "Connection refused"))), backend()
    seen = [one.is_answering]
    one.learn(EHLO)
    seen.append(one.is_answering)
    asyncio.run(one.probe())
    seen.append(one.is_answering)
    reloaded.capabilities = one.capabilities
    assert [False, True, False, True] == [*seen, reloaded.is_answering]


def test_an_mta_that_says_nothing() -> None:
    """A probe has its time."""
    assert "no answer in time" == asyncio.run(backend(timeout=0.01).probe())


@pytest.mark.parametrize("host", ["a" * 64 + ".example", "mail..example"])
def test_a_name_that_is_no_host(host: str) -> None:
    """Names that the resolver does not even take are an OSError as any other."""
    one = backend(TcpConnector(host, 25))
    assert asyncio.run(one.probe()).startswith(f"no host name: {host}")


def test_learning_reads_what_is_new(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every session brings the same EHLO reply: it is read once, and again when it changes."""
    read: list[Reply] = []

    def reading(ehlo: Reply, *, without: frozenset[str]) -> Capabilities:
        read.append(ehlo)
        return read_capabilities(ehlo, without=without)

    monkeypatch.setattr("tarry.net.backend.read_capabilities", reading)
    one = backend(without=frozenset({"STARTTLS"}))
    one.learn(EHLO)
    one.learn(EHLO)
    first = one.capabilities
    one.learn(reply(250, "other.example"))
    assert (2, Capabilities("mta.example", (("SIZE", b"SIZE 1000"),))) == (len(read), first)
    assert Capabilities("other.example") == one.capabilities


def test_the_name_in_the_greeting() -> None:
    """The operator's, else the MTA's, else the host's."""
    one = backend()
    names = [one.name]
    one.learn(EHLO)
    assert ["host.example", "mta.example", "mx.example"] == [*names, one.name, backend(own_name="mx.example").name]


@pytest.mark.parametrize(
    ("announce", "header"),
    [
        ("none", b""),
        ("xclient", b""),
        ("proxy-v1", write_v1(("192.0.2.7", 40000), ("198.51.100.1", 25))),
        ("proxy-v2", write_v2(("192.0.2.7", 40000), ("198.51.100.1", 25))),
    ],
)
def test_the_client_is_announced(announce: str, header: bytes) -> None:
    """And only then does the MTA know whom it refuses."""
    one = backend(announce=announce)
    assert (header, announce != "none") == (one.announcement(CLIENT), one.knows_client)


@pytest.mark.parametrize(
    ("connector", "where"),
    [
        (TcpConnector("127.0.0.1", 25), "127.0.0.1:25"),
        (TcpConnector("::1", 25), "[::1]:25"),
        (UnixConnector("/run/mta"), "unix:/run/mta"),
    ],
)
def test_where_the_mta_is(connector: module.Connector, where: str) -> None:
    """As it stands in the records."""
    assert where == connector.where


def test_an_mta_behind_a_unix_socket(tmp_path: Path) -> None:
    """It is asked in the same way."""

    async def probe() -> str:
        server = await asyncio.start_unix_server(Mta(GREETING, OFFER, BYE).serve, tmp_path / "mta")
        why = await backend(UnixConnector(str(tmp_path / "mta"))).probe()
        server.close()
        await server.wait_closed()
        await asyncio.sleep(0.002)
        return why

    assert "" == asyncio.run(probe())


def test_waiting_for_the_first_answer() -> None:
    """Until the probe is over, or for so long."""

    async def wait(one: Backend, probes: bool) -> str:
        if probes:
            await one.probe()
        await one.wait_for_answer(0.01)
        return one.trouble

    assert "no answer in time" == asyncio.run(wait(backend(), False))
    assert "[Errno 111] refused" == asyncio.run(wait(backend(Nowhere(ConnectionRefusedError(111, "refused"))), True))


def test_a_probe_does_not_change_what_a_session_was_told() -> None:
    """tarry itself may be offered what its clients are not; after the MTA was away it may be another."""
    one = backend()
    one.learn(EHLO, by_probe=True)
    one.learn(reply(250, "mta.example", "SIZE 1"))
    one.learn(reply(250, "mta.example", "AUTH PLAIN"), by_probe=True)
    assert one.capabilities is not None
    assert ("SIZE",) == tuple(keyword for keyword, _ in one.capabilities.keywords)
    one.connector = Nowhere(ConnectionRefusedError(111, "refused"))
    asyncio.run(one.probe())
    one.learn(reply(250, "mta.example", "AUTH PLAIN"), by_probe=True)
    assert ("AUTH",) == tuple(keyword for keyword, _ in one.capabilities.keywords)


class Stop(Exception):
    """The test has seen enough."""


@pytest.mark.parametrize(
    ("answers", "doubts", "asked_at"),
    [
        (["away", "away", ""], [], [0, 5, 10]),
        (["", "", ""], [], [0, 300, 600]),
        (["", "", ""], [100], [0, 100, 400]),
        (["", "", ""], [2], [0, 5, 305]),
        (["away", "", ""], [2], [0, 5, 305]),
    ],
)
def test_it_keeps_asking(answers: list[str], doubts: list[float], asked_at: list[float]) -> None:
    """Soon while there is no answer or a session met none, at most every five seconds, and now and then while all is well."""
    asked: list[int] = []

    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        one = backend()
        start = loop.time()

        async def probe() -> str:
            asked.append(round(loop.time() - start))
            if len(asked) == len(answers):
                raise Stop
            return answers[len(asked) - 1]

        one.probe = probe  # type: ignore[method-assign]
        for at in doubts:
            loop.call_later(at, one.doubt)
        await one.keep_asking()

    with pytest.raises(Stop), asyncio.Runner(loop_factory=LeapingLoop) as runner:
        runner.run(scenario())
    assert asked_at == asked


def test_what_a_version_2_header_tells() -> None:
    """The session's id, and the client's TLS where it ends here; Exim reads 232 octets and no more."""
    one = backend(announce="proxy-v2")
    tls = Established("TLSv1.3", "ECDHE-ECDSA-CHACHA20-POLY1305")
    far = Client(Endpoint("2001:db8::1", 40000), Endpoint("2001:db8::2", 465))
    longest = one.announcement(far, id="6B015D17-0001", tls=tls)
    header = read_header(longest)
    assert isinstance(header, Header)
    assert ((UNIQUE_ID, b"6B015D17-0001"), (SSL, ssl_value(tls.version, tls.cipher))) == header.tlvs
    assert len(longest) <= 121
    for announce in ("none", "proxy-v1"):
        plain = backend(announce=announce)
        assert plain.announcement(far) == plain.announcement(far, id="x", tls=tls)
