"""Self tests of the private OpenSMTPD: each role by itself, without a front door."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.servers import certificate, clients, proxyheader
from tests.e2e.servers.clients import RawClient
from tests.e2e.servers.faults import Fault
from tests.e2e.servers.need import need, need_ipv6
from tests.e2e.servers.opensmtpd import OpenSmtpd
from tests.e2e.servers.processes import is_listening
from tests.e2e.servers.sink import Sink

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

# It adds a Date and a Message-ID where there is none.
MESSAGE = (
    b"Date: Sat, 21 Nov 2026 09:00:00 +0000\r\nMessage-ID: <1@client.example>\r\nSubject: bytes\r\n\r\n"
    b"one\r\n.two\r\n..\r\n\tcaf\xe9 \r\n\r\n"
)
DELIVERED = MESSAGE.replace(b"\r\n", b"\n")


@pytest.fixture(scope="module")
def opensmtpd() -> Iterator[OpenSmtpd]:
    need("opensmtpd")
    with OpenSmtpd() as running:
        yield running


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    need("openssl")
    return certificate.make(tmp_path_factory.mktemp("tls"))


# Receiving


def test_opensmtpd_delivers_byte_for_byte(opensmtpd: OpenSmtpd) -> None:
    """A message is in the mailbox with the lines it was sent with, below three headers of OpenSMTPD's own."""
    before = len(opensmtpd.messages())

    clients.submit(opensmtpd.port, MESSAGE, recipients=["bob@example.org"])

    got = opensmtpd.wait_messages(before + 1)[-1]
    assert b"\nReceived: from client.example (localhost [127.0.0.1])\n" in got
    assert got.endswith(b" +0000 (UTC)\n" + DELIVERED)
    assert got in opensmtpd.messages("bob@example.org")


def test_opensmtpd_refuses_an_unknown_user_in_its_own_words(opensmtpd: OpenSmtpd) -> None:
    """The verdict on a recipient is OpenSMTPD's, so that tests can see it pass unchanged; relaying gets the same."""
    with RawClient(opensmtpd.port) as client:
        client.greeted()
        client.command(b"MAIL FROM:<a@client.example>")

        assert client.command(b"RCPT TO:<nobody@example.org>").raw == b"550 Invalid recipient: <nobody@example.org>\r\n"
        assert client.command(b"RCPT TO:<x@elsewhere.example>").raw == b"550 Invalid recipient: <x@elsewhere.example>\r\n"


def test_opensmtpd_listens_on_ipv6() -> None:
    """The address may be ::1, and is the client's too."""
    need("opensmtpd")
    need_ipv6()
    with OpenSmtpd(address="::1") as opensmtpd:
        clients.submit(opensmtpd.port, host="::1")

        assert b"[::1]" in opensmtpd.wait_messages(1)[0]


def test_opensmtpd_asks_for_no_names(opensmtpd: OpenSmtpd) -> None:
    """A client that /etc/hosts does not know is greeted at once and has no name."""
    with RawClient(opensmtpd.port, source="127.0.0.9") as client:
        greeting = client.read_reply()

    assert greeting.at - client.connected_at < 2
    assert opensmtpd.wait_log(r"smtp connected address=127\.0\.0\.9 host=<unknown>")


@pytest.mark.parametrize("client", ["203.0.113.9", "2001:db8::9"])
def test_opensmtpd_believes_a_proxy_header_where_it_is_told_to(client: str) -> None:
    """With proxy_protocol the client in the log and in the reply to EHLO is the one that the header names."""
    need("opensmtpd")
    server = "2001:db8::1" if ":" in client else "192.0.2.1"
    with OpenSmtpd(proxy_protocol=True) as opensmtpd, RawClient(opensmtpd.port) as raw:
        raw.send(proxyheader.v2((client, 4321), (server, 25)))

        assert f"[{client}]".encode() in raw.greeted().lines[0]
        assert opensmtpd.wait_log(rf"smtp connected address=\[?{client}\]? ")


# Sending


def test_opensmtpd_sends_at_once(tls: tuple[Path, Path]) -> None:
    """The sending role brings a queued message to its relay, over TLS where that is offered, and leaves an empty queue."""
    need("opensmtpd")
    for offered in (None, tls):
        with Sink(tls=offered) as sink, OpenSmtpd(relay_to=sink.port) as sender:
            sender.send("a@client.example", ["bob@example.org", "carol@example.net"], DELIVERED)

            (message,) = sink.wait_messages(1)
            assert sorted(message.recipients) == [b"bob@example.org", b"carol@example.net"]
            assert message.text.endswith(MESSAGE)
            assert sender.queue_empty()
            assert (b"STARTTLS" in sink.lines) is bool(offered)


def test_a_sending_opensmtpd_tries_again_when_told() -> None:
    """A passing fault of the relay leaves a message in the queue, and retry brings it there."""
    need("opensmtpd")
    with Sink(Fault(at="MAIL", reply=b"451 4.3.0 later\r\n", times=1)) as sink, OpenSmtpd(relay_to=sink.port) as sender:
        sender.send("a@client.example", ["bob@example.org"], b"Subject: later\n\n")
        assert sender.wait_log('result="TempFail" stat="451 4.3.0 later"')
        assert len(sender.queued()) == 1
        sender.retry()

        assert len(sink.wait_messages(1)) == 1


# Coming and going


def test_an_opensmtpd_that_was_down_comes_back_on_its_port() -> None:
    """halt and resume are the MTA's maintenance window: same port, nothing listening in between."""
    need("opensmtpd")
    with OpenSmtpd() as opensmtpd:
        opensmtpd.halt()
        assert not is_listening(opensmtpd.port)
        opensmtpd.resume()

        assert clients.submit(opensmtpd.port) == {}


def test_opensmtpd_leaves_nothing_behind() -> None:
    """After the with block the ports are free, the folders gone and nothing is mounted; two run side by side until then."""
    need("opensmtpd")
    mounted = Path("/proc/self/mounts").read_text()
    with OpenSmtpd() as one, OpenSmtpd() as other:
        ports = one.port, other.port
        folders = [one.folder, other.folder]

        assert all(map(is_listening, ports))
        assert len(one.pids()) == len(other.pids()) > 1
        assert Path("/proc/self/mounts").read_text() == mounted

    assert not any(map(is_listening, ports))
    assert not any(folder.exists() for folder in folders)
