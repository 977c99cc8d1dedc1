"""Self tests of the private Haraka, as a receiving server and as a sender."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.servers import certificate, clients, proxyheader
from tests.e2e.servers.clients import RawClient
from tests.e2e.servers.faults import Fault
from tests.e2e.servers.haraka import Haraka
from tests.e2e.servers.need import need
from tests.e2e.servers.processes import is_listening
from tests.e2e.servers.sink import Sink

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

MESSAGE = b"Subject: haraka\r\nX-Name: caf\xc3\xa9\r\n\r\n.one\r\n..two\r\n.\t\r\ncaf\xe9\0\r\n" + b"x" * 998 + b"\r\n\r\n"


@pytest.fixture(scope="module")
def haraka() -> Iterator[Haraka]:
    need("haraka")
    with Haraka() as running:
        yield running


def test_haraka_delivers_what_a_client_sends(haraka: Haraka) -> None:
    """A message is in the mailbox of each recipient byte for byte, below one Received line."""
    before = len(haraka.messages("bob@example.org"))

    refused = clients.submit(haraka.port, MESSAGE, recipients=["alice@example.org", "bob@example.org"])

    assert refused == {}
    delivered = haraka.messages("bob@example.org")[before:]
    assert [MESSAGE] == [message[message.index(b"Subject:") :] for message in delivered]
    assert b"from client.example (unknown [127.0.0.1])" in delivered[0]


def test_haraka_refuses_an_unknown_user_in_its_own_words(haraka: Haraka) -> None:
    """The verdict on a recipient is Haraka's, so that tests can see it pass unchanged."""
    with RawClient(haraka.port) as client:
        client.greeted()
        client.command(b"MAIL FROM:<a@client.example>")
        reply = client.command(b"RCPT TO:<nobody@example.org>")

    assert reply.raw == b"550 I cannot deliver mail for <nobody@example.org>\r\n"


def test_haraka_offers_what_it_offers_as_shipped(haraka: Haraka) -> None:
    """EHLO lists its four extensions with their values."""
    with RawClient(haraka.port) as client:
        offered = client.greeted().lines[1:]

    assert (b"PIPELINING", b"8BITMIME", b"SMTPUTF8", b"SIZE 26214400") == offered


@pytest.mark.parametrize("client", ["203.0.113.9", "2001:db8::9"])
def test_haraka_believes_a_proxy_header_where_it_is_told_to(client: str) -> None:
    """With proxy_protocol it greets after the header, and the client in log and Received is the one that it names."""
    need("haraka")
    server = "2001:db8::1" if ":" in client else "192.0.2.1"
    with Haraka(proxy_protocol=True) as haraka, RawClient(haraka.port, source="127.9.8.7") as raw:
        raw.send(proxyheader.v1((client, 4321), (server, 25)))
        raw.greeted()
        assert [250, 250] == raw.envelope()
        raw.command(b"DATA")
        assert raw.command(b"Subject: x\r\n\r\n.").code == 250

        assert haraka.wait_log(rf"HAProxy proto=TCP[46] src_ip={client}:4321")
        assert f"from client.example (unknown [{client}])".encode() in haraka.messages()[0]


def test_haraka_believes_xclient_where_it_is_told_to() -> None:
    """With trust it lists XCLIENT, and greets anew for the client that it is told."""
    need("haraka")
    with Haraka(trust=["127.9.8.7"]) as haraka, RawClient(haraka.port, source="127.9.8.7") as client:
        assert b"XCLIENT NAME ADDR PROTO HELO LOGIN" in client.greeted().lines
        assert client.command(b"XCLIENT ADDR=203.0.113.9 NAME=mail.client.example").code == 220
        assert b"Hello mail.client.example [203.0.113.9]" in client.command(b"EHLO client.example").text


def test_haraka_starts_tls(tmp_path: Path) -> None:
    """With tls it offers STARTTLS and speaks SMTP behind it."""
    need("haraka", "openssl")
    paths = certificate.make(tmp_path)
    with Haraka(tls=paths) as haraka, RawClient(haraka.port) as client:
        assert b"STARTTLS" in client.greeted().lines
        assert client.command(b"STARTTLS").code == 220
        client.start_tls(paths[0])

        assert client.command(b"EHLO client.example").code == 250


def test_haraka_sends_to_its_relay() -> None:
    """The sending role brings a queued message there, byte for byte, from the address it was given, and empties its queue."""
    need("haraka")
    with Sink(keywords=("PIPELINING", "8BITMIME")) as sink, Haraka(relay_to=sink.port, source="127.9.8.7") as haraka:
        haraka.send("a@client.example", ["bob@example.com"], MESSAGE.replace(b"\r\n", b"\n"))
        (message,) = sink.wait_messages(1)

        assert haraka.queue_empty()
        assert (b"a@client.example", [b"bob@example.com"]) == (message.sender, message.recipients)
        head, body = MESSAGE.split(b"\r\n\r\n", 1)
        assert head in message.text
        assert message.text.endswith(b"\r\n\r\n" + body)
        assert sink.connections[0].peer[0] == "127.9.8.7"


def test_haraka_sends_with_tls_whatever_the_certificate(tmp_path: Path) -> None:
    """A relay that offers STARTTLS gets it, though its certificate is self-signed."""
    need("haraka", "openssl")
    with Sink(tls=certificate.make(tmp_path)) as sink, Haraka(relay_to=sink.port) as haraka:
        haraka.send("a@client.example", ["bob@example.com"], MESSAGE.replace(b"\r\n", b"\n"))

        assert sink.wait_messages(1)
        assert sink.connections[0].tls.startswith("TLSv1.")


def test_a_sending_haraka_tries_again_within_seconds() -> None:
    """A passing fault of the relay delays a message, and the retry is soon enough for a test to wait for it."""
    need("haraka")
    with Sink(Fault(at="MAIL", reply=b"451 4.3.0 later\r\n", times=1)) as sink, Haraka(relay_to=sink.port) as haraka:
        haraka.send("a@client.example", ["bob@example.com"], MESSAGE.replace(b"\r\n", b"\n"))

        assert len(sink.wait_messages(1, timeout=8)) == 1


def test_a_haraka_that_was_down_comes_back_on_its_port() -> None:
    """halt and resume are the MTA's maintenance window; after the with block nothing is left of it."""
    need("haraka")
    with Haraka() as haraka, Haraka() as beside:
        haraka.halt()
        with pytest.raises(ConnectionRefusedError):
            RawClient(haraka.port)
        haraka.resume()
        assert clients.submit(haraka.port) == {}
        assert len(haraka.wait_messages(1)) == 1
        assert beside.messages() == []

    assert not any(map(is_listening, [haraka.port, beside.port]))
    assert not haraka.folder.exists()
