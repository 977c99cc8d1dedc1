"""Self tests of the private aiosmtpd."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.servers import certificate, clients, proxyheader
from tests.e2e.servers.aiosmtpd_server import Aiosmtpd
from tests.e2e.servers.clients import RawClient
from tests.e2e.servers.need import need
from tests.e2e.servers.processes import is_listening

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

MESSAGE = b"Subject:  aiosmtpd\r\nX-Name: caf\xc3\xa9\r\n\r\n.one\r\n..two\r\ncaf\xe9\0\r\n" + b"x" * 998 + b"\r\n"


@pytest.fixture(scope="module")
def aiosmtpd() -> Iterator[Aiosmtpd]:
    with Aiosmtpd() as running:
        yield running


def test_aiosmtpd_delivers_what_a_client_sends(aiosmtpd: Aiosmtpd) -> None:
    """A message is in the mailbox of each recipient byte for byte, below one Received line."""
    refused = clients.submit(aiosmtpd.port, MESSAGE, recipients=["alice@example.org", "bob@example.org"])

    assert refused == {}
    received = b"Received: from client.example ([127.0.0.1]) by aiosmtpd.example.org\r\n"
    assert [received + MESSAGE] * 2 == aiosmtpd.messages()


def test_aiosmtpd_refuses_an_unknown_user_in_its_own_words(aiosmtpd: Aiosmtpd) -> None:
    """The verdict on a recipient is the server's, so that tests can see it pass unchanged."""
    with RawClient(aiosmtpd.port) as client:
        client.greeted()
        client.command(b"MAIL FROM:<a@client.example>")
        reply = client.command(b"RCPT TO:<nobody@example.org>")

    assert reply.raw == b"550 5.1.1 <nobody@example.org>: no such user\r\n"


@pytest.mark.parametrize("client", ["203.0.113.9", "2001:db8::9"])
@pytest.mark.parametrize("header", [proxyheader.v1, proxyheader.v2])
def test_aiosmtpd_believes_a_proxy_header_where_it_is_told_to(client: str, header: Callable[..., bytes]) -> None:
    """With proxy_protocol it greets after the header, and the client in log and Received is the one that it names."""
    server = "2001:db8::1" if ":" in client else "192.0.2.1"
    with Aiosmtpd(proxy_protocol=True) as aiosmtpd, RawClient(aiosmtpd.port) as raw:
        raw.send(header((client, 4321), (server, 25)))
        raw.greeted()
        assert [250, 250] == raw.envelope()
        raw.command(b"DATA")
        assert raw.command(b"Subject: x\r\n\r\n.").code == 250

        assert aiosmtpd.wait_log(rf"for \[{client}\]:4321")
        assert f"([{client}])".encode() in aiosmtpd.messages()[0]


def test_aiosmtpd_starts_tls(tmp_path: Path) -> None:
    """With tls it offers STARTTLS and speaks SMTP behind it."""
    need("openssl")
    paths = certificate.make(tmp_path)
    with Aiosmtpd(tls=paths) as aiosmtpd, RawClient(aiosmtpd.port) as client:
        assert b"STARTTLS" in client.greeted().lines
        assert client.command(b"STARTTLS").code == 220
        client.start_tls(paths[0])

        assert client.command(b"EHLO client.example").code == 250


def test_an_aiosmtpd_that_was_down_comes_back_on_its_port() -> None:
    """halt and resume are the MTA's maintenance window; after the with block nothing is left of it."""
    with Aiosmtpd() as aiosmtpd, Aiosmtpd() as beside:
        aiosmtpd.halt()
        with pytest.raises(ConnectionRefusedError):
            RawClient(aiosmtpd.port)
        aiosmtpd.resume()
        assert clients.submit(aiosmtpd.port) == {}
        assert len(aiosmtpd.wait_messages(1)) == 1
        assert beside.messages() == []

    assert not any(map(is_listening, [aiosmtpd.port, beside.port]))
    assert not aiosmtpd.folder.exists()
