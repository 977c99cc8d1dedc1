"""TLS that ends in tarry: real clients, and everything that goes wrong in a handshake or at the end of TLS."""

import contextlib
import os
import signal
import smtplib
import socket
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.servers import certificate, clients, proxyheader
from tests.e2e.servers.clients import RawClient
from tests.e2e.servers.door import Door, Doors, TlsSink
from tests.e2e.servers.need import need
from tests.e2e.servers.postfix import Postfix
from tests.e2e.servers.processes import wait_until
from tests.e2e.servers.sink import Sink
from tests.e2e.servers.tarry import Tarry

pytestmark = pytest.mark.e2e

Files = tuple[Path, Path]


@pytest.fixture
def door(doors: Doors, tls_sink: TlsSink, terminate: str) -> Iterator[Door]:
    with doors.use(terminate + '[limits]\nhandshake = "1s"\n', sink=tls_sink.make) as door:
        yield door


@pytest.fixture(scope="module")
def maildir(terminate: str) -> Iterator[Tarry]:
    with Tarry(terminate + "[listen]\nmax_per_client = 0\n", wait="50ms") as tarry:
        yield tarry


def inside(door: Door, trusted: Path) -> RawClient:
    """Return a client that has just begun TLS."""
    client = door.client()
    client.greeted()
    assert client.command(b"STARTTLS").code == 220
    client.start_tls(trusted)
    return client


# Clients that people use.


def smtplib_sends(port: int, trusted: Path) -> int:
    with smtplib.SMTP("localhost", port, local_hostname="client.example", timeout=30) as client:
        client.starttls(context=certificate.client_context(trusted))
        client.sendmail(clients.SENDER, [clients.RECIPIENT], clients.MESSAGE)
    return 0


def openssl_sends(port: int, trusted: Path) -> int:
    """With openssl s_client, and a moment between the lines in place of reading the replies."""
    command = ["openssl", "s_client", "-quiet", "-starttls", "smtp", "-connect", f"localhost:{port}", "-CAfile", str(trusted)]
    with subprocess.Popen([*command, "-verify_return_error"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as running:
        assert running.stdin
        time.sleep(0.5)
        for line in (b"EHLO client.example", b"MAIL FROM:<a@b.example>", b"RCPT TO:<c@d.example>", b"DATA", b"hello\r\n.", b"QUIT"):
            running.stdin.write(line + b"\r\n")
            running.stdin.flush()
            time.sleep(0.1)
        try:
            return running.wait(5)
        finally:
            running.kill()


PEOPLE: dict[str, Callable[[int, Path], int]] = {
    "swaks": lambda port, _: clients.swaks(port, "-tls").status,
    "curl": lambda port, trusted: clients.curl(port, "--ssl-reqd", "--cacert", str(trusted)).status,
    "msmtp": lambda port, trusted: clients.msmtp(port, "--tls=on", "--tls-starttls=on", "--tls-certcheck=off").status,
    "smtplib": smtplib_sends,
    "openssl": openssl_sends,
}


@pytest.mark.parametrize("name", PEOPLE)
def test_clients_that_people_use(name: str, maildir: Tarry, tls_files: Files) -> None:
    """Each sends a message inside TLS, which is stored."""
    if name != "smtplib":
        need(name)
    before = len(maildir.messages())

    assert PEOPLE[name](maildir.port, tls_files[0]) == 0
    assert len(maildir.messages()) == before + 1


def test_a_real_postfix_behind(terminate: str, tls_files: Files, tmp_path: Path) -> None:
    """It takes the PROXY header with its TLVs; the client sees tarry's certificate and not Postfix's own."""
    need("postfix", "swaks")
    with Postfix(proxy_protocol=True, tls=certificate.make(tmp_path)) as postfix:
        with Tarry(terminate, backend=postfix.port, announce="proxy-v2", wait="50ms") as tarry:
            assert smtplib_sends(tarry.port, tls_files[0]) == 0
            assert clients.swaks(tarry.port, "-tls").status == 0
            closed = tarry.wait_records(2, ev="close")
        assert wait_until(lambda: len(postfix.messages()) == 2, 10)

    assert [True, True] == [each["tls"].startswith("TLSv1.3 ") for each in closed]
    assert [False, False] == [each["blind"] for each in closed]


def test_the_mta_is_told_of_the_clients_tls(doors: Doors, terminate: str, tls_files: Files) -> None:
    """In the PROXY header: session id, version and cipher; a new connection, with what is said inside and nothing of before."""
    with doors.use(terminate, announce="proxy-v2", sink=_proxied) as door:
        with door.client() as client:
            client.greeted(b"EHLO outside")
            client.envelope("outside@client.example")
            client.command(b"STARTTLS")
            client.start_tls(tls_files[0])
            assert client.command(b"RCPT TO:<alice@example.org>").code == 503
            client.command(b"EHLO inside")
            assert client.envelope("inside@client.example") == [250, 250]
            port = client.address[1]
            client.command(b"QUIT")
        before, after = door.connections
        story = door.story(port)

    for connection, said in ((before, b"outside"), (after, b"inside")):
        assert [line.split()[1] for line in connection.lines if line.startswith(b"EHLO")] == [said]
    tlvs = [proxyheader.read(bytes(each.received)).tlvs for each in (before, after)]
    assert [story[0]["id"].encode() in each for each in tlvs] == [True, True]
    assert [b"TLSv1.3" in each for each in tlvs] == [False, True]


def _proxied() -> Sink:
    return Sink(proxy=True)


# Handshakes.


def tls_record(door: Door, port: int) -> dict[str, object]:
    """Return the only tls record of a session, once it is closed."""
    (found,) = (each for each in door.story(port) if each["ev"] == "tls")
    return found


BAD = {
    "a command": (b"MAIL FROM:<injected@evil.example>\r\n", "wrong version number"),
    "an http request": (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "http request"),
    "zeros": (b"\0" * 50, "wrong version number"),
    "half a ClientHello": (b"\x16\x03\x01\x02\0\x01", "no handshake in time"),
    "nothing": (b"", "no handshake in time"),
}


@pytest.mark.parametrize(("first", "why"), BAD.values(), ids=BAD)
def test_what_is_no_handshake(door: Door, first: bytes, why: str) -> None:
    """The connection ends within limits.handshake, the record says why, and the MTA hears nothing of it."""
    with door.client() as client:
        client.greeted()
        assert client.command(b"STARTTLS").code == 220
        began = time.monotonic()
        client.send(first)
        client.read_until_closed()
        took = time.monotonic() - began
        port = client.address[1]
    record = tls_record(door, port)  # now: tarry lingers for a client that does not close

    assert (record["ok"], record["why"]) == (False, why)
    assert took < 3.0
    assert door.connections == []


def test_a_client_hello_that_dribbles_is_cut_off(door: Door) -> None:
    """The deadline is for the handshake and not for one read."""
    with door.client() as client:
        client.greeted()
        client.command(b"STARTTLS")
        began = time.monotonic()
        with contextlib.suppress(OSError):
            client.send(b"\x16\x03\x01\x02\0\x01" + bytes(16), cut_every=1, pause=0.1)
        client.read_until_closed()
        took = time.monotonic() - began
        port = client.address[1]
    record = tls_record(door, port)

    assert record["why"] == "no handshake in time"
    assert took < 4.0


def descriptors(tarry: Tarry) -> int:
    """Return how many descriptors it has open."""
    return sum(1 for _ in Path(f"/proc/{tarry.pid}/fd").iterdir())


def test_failed_handshakes_leave_nothing_behind(door: Door) -> None:
    """After sixty of them, in all ways, tarry has no more descriptors than before."""
    held = descriptors(door.tarry)
    for number in range(60):
        with door.client() as client:
            client.greeted()
            client.command(b"STARTTLS")
            client.send([b"EHLO x\r\n", b"\x16\x03\x01", b""][number % 3])
            if number % 2:
                client.reset()

    assert wait_until(lambda: descriptors(door.tarry) <= held, 10)
    assert door.connections == []


def test_a_client_with_other_wishes_is_told(door: Door) -> None:
    """A protocol alert, so that its log says what is wrong."""
    context = certificate.client_context()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("AES128-SHA")
    with door.client() as client:
        client.greeted()
        client.command(b"STARTTLS")
        with pytest.raises(ssl.SSLError) as told:
            context.wrap_socket(client.sock, server_hostname="localhost")

    assert told.value.reason == "SSLV3_ALERT_HANDSHAKE_FAILURE"


# The end of TLS.


def half_sent(door: Door, trusted: Path) -> RawClient:
    """Return a client in the middle of a message inside TLS."""
    client = inside(door, trusted)
    client.command(b"EHLO inside")
    assert client.envelope() == [250, 250]
    assert client.command(b"DATA").code == 354
    client.send(b"Subject: half\r\n\r\nhalf\r\n")
    return client


@pytest.mark.parametrize("end", ["close_notify", "fin", "reset", "clear text", "close_notify and clear text"])
def test_the_end_of_tls_in_a_message_is_no_end_of_the_message(door: Door, tls_files: Files, end: str) -> None:
    """It is not delivered, the MTA's transaction is aborted, and no clear text behind it is read (CVE-2026-45185)."""
    with half_sent(door, tls_files[0]) as client:
        wire = socket.socket(fileno=os.dup(client.sock.fileno()))
        port = client.address[1]
        if "close_notify" in end:
            client.sock.settimeout(0.0)
            with contextlib.suppress(ssl.SSLError, OSError):
                assert isinstance(client.sock, ssl.SSLSocket)
                client.sock.unwrap()
        with contextlib.suppress(OSError):
            if "clear text" in end:
                wire.sendall(b"\r\n.\r\nMAIL FROM:<injected@evil.example>\r\n")
            if end == "fin":
                wire.shutdown(socket.SHUT_WR)
            if end == "reset":
                client.reset()
        wire.close()
    door.wait_closed()
    story = door.story(port)

    assert door.messages == []
    assert not any(b"injected" in line for line in door.lines)
    assert story[-1]["messages"] == 0


def test_the_last_reply_arrives_inside_tls(door: Door, tls_files: Files) -> None:
    """With a megabyte that tarry never reads: the 421 and close_notify come, and no reset destroys them."""
    with door.client(timeout=20) as client:
        client.greeted()
        client.command(b"STARTTLS")
        context = certificate.client_context(tls_files[0])
        context.options &= ~ssl.OP_IGNORE_UNEXPECTED_EOF
        client.sock = context.wrap_socket(client.sock, server_hostname="localhost", suppress_ragged_eofs=False)
        client.send(b"x" * 900_000)

        assert client.read_reply().code == 421
        assert client.sock.recv(100) == b""  # close_notify: anything else would raise


# Certificates and signals.


def shown_by(port: int) -> bytes:
    """Return the certificate that a client is shown behind STARTTLS."""
    with RawClient(port) as client:
        client.greeted()
        client.command(b"STARTTLS")
        client.start_tls()
        assert isinstance(client.sock, ssl.SSLSocket)
        return client.sock.getpeercert(binary_form=True) or b""


def test_sighup_changes_the_certificate_under_load(tmp_path: Path) -> None:
    """Sessions that run keep theirs and lose nothing; a file that cannot be used changes nothing."""
    first, key = certificate.make(tmp_path)
    config = f'[tls]\nmode = "terminate"\ncertificate = "{first}"\nkey = "{key}"\n[listen]\nmax_per_client = 0\n'
    with Sink() as sink, Tarry(config, backend=sink.port, wait="0s") as tarry, contextlib.ExitStack() as stack:
        before = shown_by(tarry.port)
        running = []
        for _ in range(10):
            client = stack.enter_context(RawClient(tarry.port))
            client.greeted()
            client.command(b"STARTTLS")
            client.start_tls(first)
            client.command(b"EHLO inside")
            assert [*client.envelope(), client.command(b"DATA").code] == [250, 250, 354]
            running.append(client)
        greeted = stack.enter_context(RawClient(tarry.port))
        greeted.greeted()
        certificate.make(tmp_path)
        tarry.reload()
        assert tarry.wait_records(1, ev="config")[-1]["ok"]
        after = shown_by(tarry.port)
        key.write_text("nothing")
        tarry.reload()
        refused = tarry.wait_records(2, ev="config")[-1]
        assert shown_by(tarry.port) == after != before
        assert [client.command(b"Subject: x\r\n\r\nx\r\n.").code for client in running] == [250] * 10
        greeted.command(b"STARTTLS")
        greeted.start_tls()
        assert isinstance(greeted.sock, ssl.SSLSocket)
        assert greeted.sock.getpeercert(binary_form=True) == before
    assert not refused["ok"]
    assert f"tls.key: {key}" in refused["why"]


def test_a_bad_certificate_at_the_start(tmp_path: Path) -> None:
    """One sentence with the key of the configuration and the file, and exit status 1."""
    need("openssl")
    _, key = certificate.make(tmp_path)
    file = tmp_path / "tarry.toml"
    file.write_text(f'[listen]\nsmtp = ["127.0.0.1:0"]\n[tls]\nmode = "terminate"\ncertificate = "none.pem"\nkey = "{key}"\n')
    command = [str(Path(os.sys.executable).with_name("tarry")), "serve", "-c", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, cwd=tmp_path, check=False)

    assert done.returncode == 1
    assert "tarry: tls.certificate: none.pem: No such file or directory\n" in done.stderr
    assert "Traceback" not in done.stderr


def test_sigterm_says_goodbye_inside_tls(terminate: str, tls_files: Files) -> None:
    """The idle get 421 and close_notify; a message under way is finished."""
    with Sink() as sink, Tarry(terminate + "[listen]\nmax_per_client = 0\n", backend=sink.port, wait="0s") as tarry:
        door = Door(tarry, sink)
        with inside(door, tls_files[0]) as idle, half_sent(door, tls_files[0]) as sending:
            tarry.send_signal(signal.SIGTERM)
            assert idle.read_reply().code == 421
            assert idle.sock.recv(100) == b""
            assert sending.command(b"the rest\r\n.").code == 250
        assert wait_until(lambda: tarry.status is not None, 10)
        assert tarry.status == 0
