"""What tarry relays besides mail: the extensions that it can pass on, AUTH without looking into it, the true client."""

import base64
from collections.abc import Iterator

import pytest

from tests.e2e.servers.clients import RawClient
from tests.e2e.servers.door import Door, Doors
from tests.e2e.servers.faults import Fault
from tests.e2e.servers.sink import KEYWORDS, Sink

pytestmark = pytest.mark.e2e

HIDDEN = {"XCLIENT NAME ADDR", "XFORWARD NAME", "PIPECONNECT"}
MANY = (
    *("SIZE", "8BITMIME", "BINARYMIME", "AUTH=LOGIN PLAIN", "MT-PRIORITY MIXER", "DELIVERBY 240", "LIMITS RCPTMAX=100", "smtputf8"),
    *(
        "X_PIPE_CONNECT",
        "XCLIENT",
        "xclient addr",
        "VERB",
        "ETRN",
        "EXPN",
        "HELP",
        "TURN",
        "ATRN",
        "XEXCH50",
        "X-EXPS GSSAPI",
        "BURL",
    ),
    *("CHECKPOINT", "VRFY", "ONEX", "8BITMIMEX", "SIZES 5", "XSTARTTLS", "-DSN", "DSN2"),
)
RELAYED = {
    "SIZE",
    "8BITMIME",
    "BINARYMIME",
    "AUTH=LOGIN PLAIN",
    "MT-PRIORITY MIXER",
    "DELIVERBY 240",
    "LIMITS RCPTMAX=100",
    "smtputf8",
}
AUTH_LIMIT = 12288


@pytest.fixture
def door(doors: Doors) -> Iterator[Door]:
    with doors.use() as door:
        yield door


def _many() -> Sink:
    return Sink(keywords=MANY)


def _proxied() -> Sink:
    return Sink(proxy=True)


def offered(client: RawClient) -> set[str]:
    return {line.decode() for line in client.command(b"EHLO client.example").lines[1:]}


# EHLO


def test_ehlo_offers_exactly_what_can_be_relayed(door: Door) -> None:
    """The MTA's own words for each extension on the allow-list, before the MTA is open and while it is."""
    with door.client() as client:
        client.read_reply()
        before = offered(client)
        client.envelope()
        during = offered(client)

    assert before == during == set(KEYWORDS) - HIDDEN


def test_ehlo_offers_nothing_that_it_does_not_know(doors: Doors) -> None:
    """Keywords that look like known ones, private ones and those that need more than a relay are left out."""
    with doors.use(sink=_many) as door, door.client() as client:
        client.read_reply()

        assert offered(client) == RELAYED


def test_helo_offers_nothing(door: Door) -> None:
    """RFC 5321 §4.1.1.1: the reply to HELO is one line."""
    with door.client() as client:
        assert len(client.greeted(b"HELO client.example").lines) == 1


@pytest.mark.parametrize(
    "line", [b"VRFY alice", b"EXPN staff", b"ETRN example.org", b"TURN", b"HELP", b"XFOO 1 2", b"BURL x", b"VERB"]
)
def test_a_command_that_is_not_relayed_is_answered_by_tarry(door: Door, line: bytes) -> None:
    """Also in the middle of a session the MTA never sees it."""
    with door.client() as client:
        client.greeted()
        client.envelope()
        client.command(line)
        client.command(b"QUIT")
    door.wait_closed()

    assert door.connections[0].verbs == ["EHLO", "MAIL", "RCPT", "QUIT"]


# AUTH


@pytest.mark.parametrize(
    "lines",
    [
        [b"AUTH PLAIN " + base64.b64encode(b"\0user\0secret")],
        [b"AUTH PLAIN", base64.b64encode(b"\0user\0secret")],
        [b"AUTH LOGIN", base64.b64encode(b"user"), base64.b64encode(b"secret")],
        [b"AUTH LOGIN " + base64.b64encode(b"user"), base64.b64encode(b"secret")],
        [b"auth plain " + base64.b64encode(b"\0user\0secret")],
    ],
    ids=["PLAIN at once", "PLAIN asked", "LOGIN", "LOGIN with name", "lower case"],
)
def test_a_login_is_relayed(door: Door, lines: list[bytes]) -> None:
    """Mechanism, challenges and answers pass both ways as they are, and mail goes on behind them."""
    with door.client() as client:
        client.greeted()
        codes = [client.command(line).code for line in lines]
        codes += client.envelope()
        client.command(b"QUIT")

    assert codes == [*[334] * (len(lines) - 1), 235, 250, 250]
    assert [connection.credentials for connection in door.connections] == [[(b"user", b"secret")]]
    assert all(line in door.lines for line in lines)


def test_no_password_is_in_the_record(door: Door) -> None:
    """Of AUTH the record holds the mechanism."""
    secret = base64.b64encode(b"\0user\0secret")
    with door.client() as client:
        port = client.address[1]
        client.greeted()
        client.command(b"AUTH PLAIN " + secret)
        client.command(b"AUTH PLAIN")
        client.command(secret)
    told = door.story(port)

    assert [each["arg"] for each in told if each["ev"] == "command" and each["verb"] == "AUTH"] == ["PLAIN", "PLAIN"]
    assert secret.decode() not in str(told)


@pytest.mark.parametrize("said", [b"535 5.7.8 bad credentials\r\n", b"454 4.7.0 later\r\n", b"535-5.7.8 no\r\n535 5.7.8 never\r\n"])
def test_a_refused_login_passes_unchanged(door: Door, said: bytes) -> None:
    """The MTA's verdict on a password is its own."""
    door.sink.play(Fault(at="AUTH", reply=said))
    with door.client() as client:
        client.greeted()

        assert client.command(b"AUTH PLAIN " + base64.b64encode(b"\0user\0wrong")).raw == said
        assert client.envelope() == [250, 250]


def test_a_login_can_be_given_up(door: Door) -> None:
    """A lone * in answer to a challenge reaches the MTA, and the session goes on."""
    with door.client() as client:
        client.greeted()

        assert [client.command(line).code for line in (b"AUTH LOGIN", b"*", b"NOOP")] == [334, 501, 250]


@pytest.mark.parametrize("cut_every", [None, 1000])
@pytest.mark.parametrize("size", [2048, 8192, AUTH_LIMIT - 3])
def test_a_long_answer_passes(door: Door, size: int, cut_every: int | None) -> None:
    """RFC 4954 §4: up to 12,288 octets with the line end."""
    answer = (b"QUJD" * AUTH_LIMIT)[:size]
    with door.client() as client:
        client.greeted()
        client.command(b"AUTH PLAIN")
        client.send(answer + b"\r\n", cut_every=cut_every)
        client.read_reply()
        client.command(b"QUIT")

    assert answer in door.lines


@pytest.mark.parametrize("size", [AUTH_LIMIT - 2, AUTH_LIMIT, 65536, 1 << 20])
def test_an_answer_beyond_the_limit_ends_the_session(door: Door, size: int) -> None:
    """One 421, nothing of the line reaches the MTA, and its tail is no command."""
    with door.client() as client:
        client.greeted()
        client.command(b"AUTH PLAIN")
        client.send(b"A" * size + b"XCLIENT ADDR=1\r\nNOOP\r\n")
        reply = client.read_reply()

        assert (reply.code, client.read_until_closed()) == (421, b"")
    door.wait_closed()
    assert b"AAAA" not in door.received


@pytest.mark.parametrize("command", [b"AUTH PLAIN AGEAYg==", b"AUTH LOGIN"])
def test_auth_that_is_not_offered_is_not_relayed(doors: Doors, command: bytes) -> None:
    """An MTA without AUTH never sees the command."""
    with doors.use(sink=_plain) as door, door.client() as client:
        client.greeted()

        assert client.command(command).code in (502, 503)
        assert door.connections == []


def _plain() -> Sink:
    return Sink(keywords=("PIPELINING",))


# The true client


@pytest.mark.parametrize("source", ["127.9.8.7", "127.0.0.1"])
@pytest.mark.parametrize(("announce", "version"), [("proxy-v1", 1), ("proxy-v2", 2)])
def test_the_mta_learns_the_true_client_first(doors: Doors, announce: str, version: int, source: str) -> None:
    """The very first bytes that the MTA gets are one PROXY header with the client's address and port, and tarry's own."""
    with doors.use(announce=announce, sink=_proxied) as door:
        with door.client(source=source) as client:
            client.greeted()
            assert client.envelope() == [250, 250]
            address = client.address
        (connection,) = door.connections

    assert connection.proxy is not None
    assert connection.proxy.version == version
    assert (connection.proxy.client, connection.proxy.server) == (address, ("127.0.0.1", door.tarry.port))
    assert bytes(connection.received).startswith(connection.proxy.raw + b"EHLO client.example\r\n")


@pytest.mark.parametrize(("announce", "version"), [("proxy-v1", 1), ("proxy-v2", 2)])
def test_the_mta_learns_an_ipv6_client(doors: Doors, announce: str, version: int) -> None:
    """The same from ::1."""
    with doors.use(announce=announce, address="::1", sink=_proxied) as door:
        with RawClient(door.tarry.port, "::1") as client:
            client.greeted()
            client.command(b"MAIL FROM:<a@b.example>")
            address = client.address
        (connection,) = door.connections

    assert connection.proxy is not None
    assert connection.proxy.version == version
    assert (connection.proxy.client, connection.proxy.server) == (address, ("::1", door.tarry.port))


def test_a_door_on_all_addresses_tells_the_one_that_was_called(doors: Doors) -> None:
    """Where tarry listens on 0.0.0.0 the header names the address that the client connected to."""
    with doors.use(announce="proxy-v2", address="0.0.0.0", sink=_proxied) as door:
        with RawClient(door.tarry.port, "127.0.0.5", source="127.9.8.7") as client:
            client.greeted()
            client.command(b"MAIL FROM:<a@b.example>")
            address = client.address
        (connection,) = door.connections

    assert connection.proxy is not None
    assert (connection.proxy.client, connection.proxy.server) == (address, ("127.0.0.5", door.tarry.port))


def test_without_announce_the_mta_gets_no_header(door: Door) -> None:
    """announce = "none": the first byte is the E of EHLO."""
    with door.client() as client:
        client.greeted()
        client.command(b"MAIL FROM:<a@b.example>")

    assert door.received.startswith(b"EHLO client.example\r\n")
