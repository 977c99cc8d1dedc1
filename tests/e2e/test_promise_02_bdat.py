"""Promise 2, BDAT: a chunk is as long as its size says, and a size that two servers could read in two ways ends the session."""

from collections.abc import Iterator

import pytest

from tests.e2e.servers.clients import RawClient
from tests.e2e.servers.door import Door, Doors
from tests.e2e.servers.sink import Sink

pytestmark = pytest.mark.e2e

REJECT = '[smtp]\nbare_newline = "reject"\n'
GOOD = "good@client.example"
EVIL = (
    b"\r\n.\r\nRSET\r\nMAIL FROM:<smuggled@evil.example>\r\nRCPT TO:<victim@example.org>\r\nBDAT 4 LAST\r\nevil"
    b"\n.\n\r.\r\0.QUIT\r\n"
)
SIZES = (0, 1, 2, 3, 4, 5, 9, 10, 63, 64, 65, 100, 127, 128, 255, 256, 257, 998, 1000, 1023, 1024, 4096, 8191, 8192, 65535, 65536)
LARGE = (65537, 300_001)

MALFORMED = {
    "underscore": b"1_0",
    "plus": b"+10",
    "minus": b"-10",
    "hexadecimal": b"0x10",
    "octal": b"010",
    "two blanks before": b" 10",
    "Arabic digits": "\u0661\u0660".encode(),
    "full-width digits": "\uff11\uff10".encode(),
    "superscript digit": "1\u00b2".encode(),
    "beyond 2**64": b"99999999999999999999",
    "2**64 + 10": b"18446744073709551626",
    "LASTX": b"10 LASTX",
    "two blanks before LAST": b"10  LAST",
    "tab before LAST": b"10\tLAST",
    "LAST first": b"LAST 10",
    "no size": b"",
    "only LAST": b"LAST",
    "two sizes": b"10 20",
    "LAST twice": b"10 LAST LAST",
    "fraction": b"10.0",
    "exponent": b"1e1",
    "comma": b"10,",
    "quotes": b'"10"',
    "letter behind": b"10L",
    "form feed": b"10\x0cLAST",
    "no-break space": b"10\xa0LAST",
    "vertical tab behind": b"10\x0b",
    "double zero": b"00",
}


@pytest.fixture(params=["", REJECT], ids=["normalize", "reject"])
def door(doors: Doors, request: pytest.FixtureRequest) -> Iterator[Door]:
    with doors.use(request.param) as door:
        yield door


@pytest.fixture
def normalizing(doors: Doors) -> Iterator[Door]:
    with doors.use() as door:
        yield door


def in_transaction(door: Door) -> RawClient:
    client = door.client()
    client.greeted()
    assert client.envelope(GOOD) == [250, 250]
    return client


def octets(size: int) -> bytes:
    return (EVIL * (size // len(EVIL) + 1))[:size]


@pytest.mark.parametrize("size", [*SIZES, *LARGE])
def test_a_chunk_is_as_long_as_its_size_says(door: Door, size: int) -> None:
    """Octets that look like commands, ends of data or line ends are the message; the command behind the last octet is a command."""
    with in_transaction(door) as client:
        client.send(b"BDAT %d\r\n%b" % (size, octets(size)) + b"BDAT 6 LAST\r\n\r\n.\r\n\0" + b"NOOP\r\nQUIT\r\n")
        codes = [client.read_reply().code for _ in range(4)]

        assert codes == [250, 250, 250, 221]
    (message,) = door.messages
    assert (message.raw, message.via, message.sender) == (octets(size) + b"\r\n.\r\n\0", "BDAT", GOOD.encode())


@pytest.mark.parametrize("every", [1, 3, 7])
def test_packets_do_not_change_a_chunk(normalizing: Door, every: int) -> None:
    """Cut anywhere, in the command and in the octets, the message is the same."""
    body = octets(200)
    with in_transaction(normalizing) as client:
        client.send(b"BDAT 150\r\n" + body[:150] + b"BDAT 50 LAST\r\n" + body[150:] + b"QUIT\r\n", cut_every=every)

        assert [client.read_reply().code for _ in range(3)] == [250, 250, 221]
    assert [message.raw for message in normalizing.messages] == [body]


@pytest.mark.parametrize("argument", MALFORMED.values(), ids=MALFORMED)
def test_a_malformed_size_ends_the_session(door: Door, argument: bytes) -> None:
    """How much follows is unknown: one 501, the end, and nothing behind it is a command or a message."""
    with in_transaction(door) as client:
        client.send(b"BDAT " + argument + b"\r\n0123456789" + EVIL)

        assert client.read_reply().code == 501
        assert client.read_until_closed() == b""
    door.wait_closed()
    assert door.messages == []
    assert [connection.verbs for connection in door.connections] == [["EHLO", "MAIL", "RCPT"]]


@pytest.mark.parametrize("before", [b"", b"MAIL FROM:<a@client.example>\r\n"], ids=["no MAIL", "no RCPT"])
def test_the_octets_of_a_refused_chunk_are_consumed(door: Door, before: bytes) -> None:
    """A chunk out of order gets its one 5xx, and its octets are never run."""
    with door.client() as client:
        client.greeted()
        if before:
            client.command(before.removesuffix(b"\r\n"))
        client.send(b"BDAT %d LAST\r\n" % len(EVIL) + EVIL + b"NOOP\r\nQUIT\r\n")

        assert [client.read_reply().code for _ in range(3)] == [503, 250, 221]
        assert client.read_until_closed() == b""
    assert door.messages == []
    assert not {b"RSET", b"RCPT TO:<victim@example.org>"} & set(door.lines)


@pytest.mark.parametrize("how", ["close", "reset", "half_close"])
@pytest.mark.parametrize("came", [0, 1, 50, 99])
def test_a_chunk_that_breaks_off_is_dropped(normalizing: Door, came: int, how: str) -> None:
    """Where the client goes within a chunk, the MTA gets no padding and no message."""
    with in_transaction(normalizing) as client:
        client.send(b"BDAT 100 LAST\r\n" + octets(100)[:came])
        getattr(client, how)()
        if how == "half_close":
            assert client.read_until_closed() == b""
    normalizing.wait_closed()

    assert normalizing.messages == []


def test_without_chunking_at_the_mta_there_is_no_bdat(doors: Doors) -> None:
    """It is not offered, and where a client sends it nevertheless its octets do not run as commands at the MTA."""
    with doors.use(sink=_no_chunking) as door, door.client() as client:
        assert b"CHUNKING" not in client.greeted().text
        client.envelope(GOOD)
        client.send(b"BDAT %d LAST\r\n" % len(EVIL) + EVIL)

        assert client.read_reply().code in (421, 500, 502, 503)
        client.read_until_closed()
        door.wait_closed()
        assert (door.messages, b"RSET" in door.lines) == ([], False)


def _no_chunking() -> Sink:
    return Sink(keywords=("PIPELINING", "8BITMIME"))
