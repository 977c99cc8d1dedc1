"""Self tests of the senders: each one, by itself, against our own sink."""

from pathlib import Path

import pytest

from tests.e2e.servers import certificate, senders
from tests.e2e.servers.faults import Fault
from tests.e2e.servers.need import need
from tests.e2e.servers.sink import Sink

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

CLIENT = "127.9.8.7"
MESSAGE = b"From: <a@client.example>\r\nSubject: sent\r\nX-Name: caf\xc3\xa9\r\n\r\n.one\r\n..two\r\ncaf\xe9\r\n\r\nend\r\n"


@pytest.mark.parametrize("name", senders.SENDERS)
@pytest.mark.parametrize("starttls", [False, True], ids=["plain", "starttls"])
def test_a_sender_delivers(name: str, starttls: bool, tmp_path: Path) -> None:
    """The message arrives byte for byte, from the address it was told to use, over TLS when it was told so and only then."""
    need("openssl", *senders.needs(name, starttls=starttls))
    with Sink(tls=certificate.make(tmp_path)) as sink:
        ran = senders.send(name, sink.port, sender="a@client.example", message=MESSAGE, starttls=starttls, source=CLIENT)

        assert (0, 1) == (ran.status, len(sink.messages)), ran.output
        (message,), (connection,) = sink.messages, sink.connections
        assert (b"a@client.example", [b"alice@example.org"]) == (message.sender, message.recipients)
        assert MESSAGE == message.text
        assert connection.peer[0] == CLIENT
        assert bool(connection.tls) == starttls
        assert b"client.example" in connection.lines[0]


@pytest.mark.parametrize("name", senders.SENDERS)
def test_a_sender_tells_of_a_refusal(name: str) -> None:
    """A refused recipient makes its status other than 0, and the words of the server are in its output."""
    need(*senders.needs(name))
    with Sink(Fault(at="RCPT", reply=b"550 5.1.1 no such user here\r\n")) as sink:
        ran = senders.send(name, sink.port)

        assert sink.messages == []
    assert ran.status != 0
    assert "5.1.1 no such user here" in ran.output


@pytest.mark.parametrize("name", senders.SENDERS)
def test_a_sender_insists_on_tls(name: str) -> None:
    """Where STARTTLS is not offered, one that was told to use it sends nothing."""
    need(*senders.needs(name, starttls=True))
    with Sink() as sink:
        ran = senders.send(name, sink.port, starttls=True)

        assert ran.status != 0
        assert sink.messages == []
