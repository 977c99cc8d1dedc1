"""listen.smtps: TLS from the first byte on, the hold inside it, and real clients."""

import contextlib
import signal
import smtplib
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e.servers import certificate, clients, proxyheader
from tests.e2e.servers.clients import RawClient
from tests.e2e.servers.need import need
from tests.e2e.servers.postfix import Postfix
from tests.e2e.servers.processes import free_port, wait_until
from tests.e2e.servers.tarry import Tarry

pytestmark = pytest.mark.e2e

Files = tuple[Path, Path]
WAIT = 0.4


@dataclass
class Both:
    """A tarry with both ports."""

    tarry: Tarry
    port: int
    trusted: Path

    def client(self) -> RawClient:
        """Return a client that has TLS, and has heard nothing yet."""
        client = RawClient(self.port)
        client.start_tls(self.trusted)
        return client


@contextlib.contextmanager
def serving(files: Files, more: str = "", listen: str = "", backend: int | None = None) -> Iterator[Both]:
    port = free_port()
    tls = f'[tls]\ncertificate = "{files[0]}"\nkey = "{files[1]}"\n'
    config = f'[listen]\nmax_per_client = 0\nsmtps = ["127.0.0.1:{port}"]\n{listen}\n{tls}'
    announce = "proxy-v2" if backend is not None else "none"
    with Tarry(config + more, wait=f"{WAIT}s", backend=backend, announce=announce) as tarry:
        yield Both(tarry, port, files[0])


@pytest.fixture(scope="module")
def both(tls_files: Files) -> Iterator[Both]:
    with serving(tls_files, '[limits]\nhandshake = "1s"\n') as running:
        yield running


def story(tarry: Tarry, port: int) -> list[dict[str, object]]:
    """Return the records of the session of the client from *port*, once it is closed."""
    (connect,) = tarry.wait_records(1, ev="connect", port=port)
    assert tarry.wait_records(1, ev="close", id=connect["id"])
    return tarry.records(id=connect["id"])


def smtplib_sends(port: int, trusted: Path) -> int:
    context = certificate.client_context(trusted)
    with smtplib.SMTP_SSL("localhost", port, local_hostname="client.example", timeout=30, context=context) as client:
        client.sendmail(clients.SENDER, [clients.RECIPIENT], clients.MESSAGE)
    return 0


def curl_sends(port: int, trusted: Path) -> int:
    route = ["--mail-from", clients.SENDER, "--mail-rcpt", clients.RECIPIENT, "--cacert", str(trusted), "--upload-file", "-"]
    command = ["curl", "-q", "-sS", "--max-time", "30", *route, f"smtps://localhost:{port}/client.example"]
    return subprocess.run(command, input=clients.MESSAGE, capture_output=True, timeout=40, check=False).returncode


PEOPLE: dict[str, Callable[[int, Path], int]] = {
    "swaks": lambda port, _: clients.swaks(port, "-tlsc").status,
    "curl": curl_sends,
    "msmtp": lambda port, _: clients.msmtp(port, "--tls=on", "--tls-starttls=off", "--tls-certcheck=off").status,
    "smtplib": smtplib_sends,
}


@pytest.mark.parametrize("name", PEOPLE)
def test_clients_that_people_use(name: str, both: Both, tls_files: Files) -> None:
    """Each is held, greeted inside TLS, and sends a message, which is stored."""
    if name != "smtplib":
        need(name)
    before = len(both.tarry.messages())
    began = time.monotonic()

    assert PEOPLE[name](both.port, tls_files[0]) == 0
    assert time.monotonic() - began >= WAIT
    assert len(both.tarry.messages()) == before + 1


def test_a_real_postfix_behind(tls_files: Files) -> None:
    """With a PROXY header in front of tarry as well: Postfix hears of the true client."""
    need("postfix")
    with (
        Postfix(proxy_protocol=True) as postfix,
        serving(tls_files, backend=postfix.port, listen='proxy_from = ["127.0.0.1/32"]') as both,
    ):
        with RawClient(both.port) as client:
            client.send(proxyheader.v2(("192.0.2.77", 4000), ("127.0.0.1", 465)))
            client.start_tls(tls_files[0])
            client.greeted()
            assert client.envelope() == [250, 250]
            client.command(b"DATA")
            assert client.command(clients.MESSAGE + b".").code == 250
            client.command(b"QUIT")
        (message,) = postfix.wait_messages(1)

    assert b"192.0.2.77" in message


def test_the_hold_is_kept_inside_tls(both: Both) -> None:
    """Silence after the handshake, then the greeting; STARTTLS is neither offered nor taken."""
    with both.client() as client:
        began = client.connected_at
        assert client.read_reply().at - began >= WAIT
        assert b"STARTTLS" not in client.command(b"EHLO x").text
        assert client.command(b"STARTTLS").code == 503
        assert client.command(b"QUIT").code == 221
        port = client.address[1]
    records = story(both.tarry, port)

    assert [each["ev"] for each in records][:4] == ["connect", "tls", "outcome", "greet"]
    assert str(records[-1]["tls"]).startswith("TLSv1.3 ")


@pytest.mark.parametrize("pause", [0.0, 0.1])
def test_an_early_talker_inside_tls_is_refused(both: Both, pause: float) -> None:
    """One reply that arrives, and close_notify; the mail server never hears of it."""
    with both.client() as client:
        time.sleep(pause)
        client.send(b"EHLO early\r\nMAIL FROM:<a@b.example>\r\n")
        reply = client.read_reply()
        assert client.sock.recv(100) == b""
        port = client.address[1]
    records = story(both.tarry, port)

    assert reply.code == 554
    assert records[-1]["reasons"] == ["pregreet.spoke"]
    assert not any(each["ev"] == "handoff" for each in records)


def test_early_talk_that_is_let_in_loses_nothing(tls_files: Files) -> None:
    """With checks.pregreet.action = "tag" what was said early is what the session hears first."""
    with serving(tls_files, '[checks.pregreet]\naction = "tag"\n') as both, both.client() as client:
        client.send(b"EHLO early\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\n")

        assert [client.read_reply().code for _ in range(4)] == [220, 250, 250, 250]


BAD = {
    "clear text": (b"EHLO x\r\n", "wrong version number"),
    "an http request": (b"GET / HTTP/1.0\r\n\r\n", "http request"),
    "half a ClientHello": (b"\x16\x03\x01\x02\0\x01", "no handshake in time"),
    "nothing": (b"", "no handshake in time"),
}


@pytest.mark.parametrize(("first", "why"), BAD.values(), ids=BAD)
def test_what_is_no_handshake(both: Both, first: bytes, why: str) -> None:
    """Not a word in the clear, the end within limits.handshake, and a record that says why."""
    with RawClient(both.port) as client:
        client.send(first)
        said = client.read_until_closed()
        port = client.address[1]
    (record,) = (each for each in story(both.tarry, port) if each["ev"] == "tls")

    assert said[:1] in (b"", b"\x15")
    assert (record["ok"], record["why"]) == (False, why)


def descriptors(tarry: Tarry) -> int:
    """Return how many descriptors it has open."""
    return sum(1 for _ in Path(f"/proc/{tarry.pid}/fd").iterdir())


def test_nothing_stays_behind(both: Both) -> None:
    """Clients that come and go in the handshake and in the hold leave no descriptor."""
    held = descriptors(both.tarry)
    for number in range(60):
        client = RawClient(both.port)
        if number % 2:
            client.start_tls(both.trusted)
        if number % 3:
            client.reset()
        client.close()

    assert wait_until(lambda: descriptors(both.tarry) <= held, 15)


def test_sigterm_and_sighup(tls_files: Files, tmp_path: Path) -> None:
    """A reload gives later clients the new certificate; going down says 421 inside to who is held."""
    own = certificate.make(tmp_path)
    with serving(own) as both:
        with both.client() as client:
            client.read_reply()
            before = der(client)
        with both.client() as old:
            certificate.make(tmp_path)
            both.tarry.reload()
            assert both.tarry.wait_records(1, ev="config")[-1]["ok"]
            with both.client() as new:
                assert der(new) != before == der(old)
                both.tarry.send_signal(signal.SIGTERM)
                assert [421, 421] == [old.read_reply().code, new.read_reply().code]
                assert new.sock.recv(100) == b""
        assert wait_until(lambda: both.tarry.status is not None, 10)
        assert both.tarry.status == 0


def der(client: RawClient) -> bytes:
    assert isinstance(client.sock, ssl.SSLSocket)
    return client.sock.getpeercert(binary_form=True) or b""
