"""STARTTLS: nothing that was said in the clear counts inside, whether TLS runs through to the MTA or ends in tarry.

What is only true where it ends in tarry is in test_tls_terminate.py.
"""

import ssl
import time
from collections.abc import Iterator

import pytest

from tests.e2e.servers.clients import RawClient
from tests.e2e.servers.door import Door, Doors, TlsSink
from tests.e2e.servers.faults import Fault

pytestmark = pytest.mark.e2e

INJECTED = {
    "a command": b"NOOP\r\n",
    "EHLO": b"EHLO evil\r\n",
    "an envelope": b"EHLO evil\r\nMAIL FROM:<injected@evil.example>\r\nRCPT TO:<victim@example.org>\r\n",
    "half a command": b"MAIL FROM:<inj",
    "a line end": b"\r\n",
    "one byte": b"\0",
    "another STARTTLS": b"STARTTLS\r\n",
}


@pytest.fixture
def door(doors: Doors, tls_sink: TlsSink) -> Iterator[Door]:
    with doors.use(sink=tls_sink.make) as door:
        yield door


@pytest.fixture(params=["relay", "terminate"])
def either(request: pytest.FixtureRequest, doors: Doors, tls_sink: TlsSink, terminate: str) -> Iterator[Door]:
    """A door that passes STARTTLS on, and one that does it."""
    with doors.use(terminate if request.param == "terminate" else "", sink=tls_sink.make) as door:
        yield door


def test_tls_reaches_the_mta(door: Door, tls_sink: TlsSink) -> None:
    """The client sees the MTA's own certificate, mail passes inside, and the session before it is forgotten."""
    with door.client() as client:
        port = client.address[1]
        assert b"STARTTLS" in client.greeted().lines
        assert client.command(b"STARTTLS").code == 220
        client.start_tls(tls_sink.certificate)
        assert client.command(b"MAIL FROM:<a@b.example>").code == 503  # no EHLO inside TLS yet
        assert b"STARTTLS" not in client.command(b"EHLO inside").text
        client.envelope()
        client.command(b"DATA")
        assert client.command(b"secret\r\n.").code == 250
        assert client.command(b"QUIT").code == 221
    (connection,) = door.connections
    story = door.story(port)

    assert connection.tls.startswith("TLSv1")
    assert [message.raw for message in door.messages] == [b"secret\r\n"]
    assert any(each["ev"] == "handoff" and each["blind"] for each in story)
    assert story[-1]["blind"] is True


def test_much_passes_both_ways_inside_tls(door: Door, tls_sink: TlsSink) -> None:
    """5 MB in one message: the pump keeps order and loses nothing."""
    body = b"0123456789abcde" * 4 + b"\r\n"
    with door.client(timeout=30) as client:
        client.greeted()
        client.command(b"STARTTLS")
        client.start_tls(tls_sink.certificate)
        client.command(b"EHLO inside")
        client.envelope()
        client.command(b"DATA")
        client.send(body * 80_000 + b".\r\n")
        assert client.read_reply().code == 250
    same = [message.raw for message in door.messages] == [body * 80_000]

    assert same


@pytest.mark.parametrize("injected", INJECTED.values(), ids=INJECTED)
def test_what_is_piled_in_behind_starttls_ends_the_session(either: Door, injected: bytes) -> None:
    """One segment with STARTTLS and more: one 5xx, the end, no TLS, and the MTA never sees what was piled in."""
    with either.client() as client:
        client.greeted()
        client.send(b"STARTTLS\r\n" + injected)
        reply = client.read_reply()
        rest = client.read_until_closed()
    either.wait_closed()

    assert (reply.code, rest) == (503, b"")
    assert [connection.tls for connection in either.connections if connection.tls] == []
    assert not {"MAIL", "NOOP", "RCPT"} & {each for connection in either.connections for each in connection.verbs}


@pytest.mark.parametrize("injected", INJECTED.values(), ids=INJECTED)
def test_what_comes_before_the_220_ends_the_session(door: Door, injected: bytes) -> None:
    """A second segment while the MTA thinks about STARTTLS is clear text behind STARTTLS all the same."""
    door.sink.play(Fault(at="STARTTLS", what="late", seconds=0.15))
    with door.client() as client:
        client.greeted()
        client.send(b"STARTTLS\r\n")
        time.sleep(0.05)
        client.send(injected)
        said = client.read_until_closed()
    door.wait_closed()

    assert said.startswith(b"503 ")
    assert said.count(b"\r\n") == 1
    assert [connection.tls for connection in door.connections if connection.tls] == []
    assert [connection.left_before_tls for connection in door.connections] == [b""]


@pytest.mark.parametrize("injected", [b"EHLO evil\r\n", b"MAIL FROM:<a@b.example>\r\n"], ids=["EHLO", "MAIL"])
def test_clear_text_in_place_of_the_handshake_is_no_command(either: Door, injected: bytes) -> None:
    """After the 220 only a handshake means anything: whoever does it refuses the rest."""
    with either.client() as client:
        client.greeted()
        assert client.command(b"STARTTLS").code == 220
        client.send(injected)
        client.read_until_closed()
    either.wait_closed()

    assert [connection.verbs for connection in either.connections] in ([["EHLO", "STARTTLS"]], [])


@pytest.mark.parametrize("behind", [b"250 injected\r\n", b"250-inj", b"\x16\x03\x01", b"220 again\r\n"], ids=repr)
def test_what_the_mta_says_behind_its_220_ends_the_session(door: Door, behind: bytes) -> None:
    """Response injection: a reply in the clear would be taken for one from inside TLS, so it does not reach the client."""
    door.sink.play(Fault(at="STARTTLS", reply=b"220 go\r\n" + behind))
    with door.client() as client:
        client.greeted()
        reply = client.command(b"STARTTLS")
        rest = client.read_until_closed()

    assert (reply.code, rest) == (421, b"")


def test_a_late_reply_in_the_clear_breaks_the_handshake(door: Door, tls_sink: TlsSink) -> None:
    """What the MTA injects later is no TLS record, and the client's own TLS refuses it; where both come at once tarry does."""
    door.sink.play(Fault(at="STARTTLS", what="drip", seconds=0.01, reply=b"220 go\r\n250 injected\r\n"))
    with door.client() as client:
        client.greeted()
        code = client.command(b"STARTTLS").code
        assert code in (220, 421)  # on a busy machine the drops arrive together
        with pytest.raises((ssl.SSLError, ConnectionError)):
            client.start_tls(tls_sink.certificate)


@pytest.mark.parametrize("said", [b"454 4.7.0 not now\r\n", b"502 5.5.1 no\r\n"])
def test_a_refused_starttls_leaves_the_session_in_the_clear(door: Door, said: bytes) -> None:
    """The MTA's own refusal passes, and the session goes on under tarry's eyes."""
    door.sink.play(Fault(at="STARTTLS", reply=said))
    with door.client() as client:
        client.greeted()

        assert client.command(b"STARTTLS").raw == said
        assert client.envelope() == [250, 250]


def test_starttls_takes_no_argument(either: Door) -> None:
    """RFC 3207 §4: 501, and the MTA is not asked."""
    with either.client() as client:
        client.greeted()

        assert client.command(b"STARTTLS now").code == 501
        assert either.connections == []


@pytest.mark.parametrize("config", ['[tls]\nmode = "off"\n', ""], ids=["switched off", "not offered by the MTA"])
def test_starttls_that_is_not_offered_is_not_relayed(doors: Doors, tls_sink: TlsSink, config: str) -> None:
    """Neither in EHLO nor as a command."""
    with doors.use(config, sink=tls_sink.make) if config else doors.use() as door, door.client() as client:
        assert b"STARTTLS" not in client.greeted().text
        assert client.command(b"STARTTLS").code == 502
        assert door.connections == []


@pytest.mark.parametrize("end", ["close_notify", "FIN"])
@pytest.mark.parametrize("command", [b"DATA\r\n", b"BDAT 100 LAST\r\n"], ids=["DATA", "BDAT"])
def test_the_end_of_tls_is_the_end(door: Door, tls_sink: TlsSink, command: bytes, end: str) -> None:
    """TLS that ends inside a message, and clear text behind it: nothing is stored and nothing more is a command."""
    with RawClient(door.tarry.port) as client:
        client.greeted()
        client.command(b"STARTTLS")
        client.start_tls(tls_sink.certificate)
        client.command(b"EHLO inside")
        client.envelope()
        client.send(command + b"half a mess")
        time.sleep(0.05)
        secure = client.sock
        assert isinstance(secure, ssl.SSLSocket)
        if end == "close_notify":
            secure.settimeout(0.2)
            try:
                client.sock = secure.unwrap()
                client.send(b"age\r\n.\r\nNOOP\r\n")
            except (TimeoutError, OSError):
                pass
        else:
            client.half_close()
        client.close()
    door.wait_closed()

    assert door.messages == []
