"""Promise 5, PROXY header: believed from listen.proxy_from alone, complete and in time or not at all, and announced onward."""

import struct
import time
from collections.abc import Iterator

import pytest

from tests.e2e.servers import proxyheader
from tests.e2e.servers.clients import RawClient
from tests.e2e.servers.door import Door, Doors
from tests.e2e.servers.sink import Sink

pytestmark = pytest.mark.e2e

PROXY_LIMIT = 0.5
CONFIG = f'[listen]\nproxy_from = ["127.0.0.1"]\nmax_per_client = 0\n[limits]\nproxy = "{PROXY_LIMIT * 1000:.0f}ms"\n'
HELD = CONFIG + '[hold]\nwait = "300ms"\n'
CLIENT, SERVER = ("203.0.113.9", 4321), ("192.0.2.1", 25)
CLIENT6, SERVER6 = ("2001:db8::9", 4321), ("2001:db8::1", 25)
TLVS = b"".join(struct.pack("!BH", kind, len(value)) + value for kind, value in ((0x01, b"smtp"), (0x05, b"id" * 20), (0xE0, b"")))

GOOD = {
    "v1": (proxyheader.v1(CLIENT, SERVER), CLIENT),
    "v1 IPv6": (proxyheader.v1(CLIENT6, SERVER6), CLIENT6),
    "v1 longest IPv6": (b"PROXY TCP6 %bfffe %bffff 65535 65535\r\n" % (b"ffff:" * 7, b"ffff:" * 7), ("ffff:" * 7 + "fffe", 65535)),
    "v1 mapped IPv4": (b"PROXY TCP6 ::ffff:203.0.113.9 ::ffff:192.0.2.1 4321 25\r\n", CLIENT),
    "v2": (proxyheader.v2(CLIENT, SERVER), CLIENT),
    "v2 IPv6": (proxyheader.v2(CLIENT6, SERVER6), CLIENT6),
    "v2 with TLVs": (proxyheader.v2(CLIENT, SERVER, TLVS), CLIENT),
    "v2 with 1.5 KiB of TLVs": (proxyheader.v2(CLIENT, SERVER, struct.pack("!BH", 0xE1, 1500) + b"x" * 1500), CLIENT),
}
NAMELESS = {
    "v1 UNKNOWN": b"PROXY UNKNOWN\r\n",
    "v1 UNKNOWN with text": b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n",
    "v2 LOCAL": proxyheader.v2(None, None),
    "v2 LOCAL with TLVs": proxyheader.v2(None, None, TLVS),
    "v2 of a Unix socket": proxyheader.SIGNATURE + struct.pack("!BBH", 0x21, 0x31, 216) + bytes(216),
}
BAD = {
    "none": b"EHLO client.example\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "lower case": b"proxy TCP4 203.0.113.9 192.0.2.1 4321 25\r\n",
    "v1 with two blanks": b"PROXY  TCP4 203.0.113.9 192.0.2.1 4321 25\r\n",
    "v1 of no family": b"PROXY UDP4 203.0.113.9 192.0.2.1 4321 25\r\n",
    "v1 with a name": b"PROXY TCP4 localhost 192.0.2.1 4321 25\r\n",
    "v1 that contradicts itself": b"PROXY TCP4 2001:db8::9 2001:db8::1 4321 25\r\n",
    "v1 with port 65536": b"PROXY TCP4 203.0.113.9 192.0.2.1 65536 25\r\n",
    "v1 with port -1": b"PROXY TCP4 203.0.113.9 192.0.2.1 -1 25\r\n",
    "v1 without ports": b"PROXY TCP4 203.0.113.9 192.0.2.1\r\n",
    "v1 ended by LF": b"PROXY TCP4 203.0.113.9 192.0.2.1 4321 25\n",
    "v1 with octal": b"PROXY TCP4 0313.0.113.9 192.0.2.1 4321 25\r\n",
    "v1 of 108 bytes": b"PROXY UNKNOWN " + b"x" * 92 + b"\r\n",
    "v1 without end": b"PROXY TCP4 " + b"1" * 200,
    "v2 of version 1": proxyheader.SIGNATURE + b"\x11\x11\x00\x0c" + bytes(12),
    "v2 of command 2": proxyheader.SIGNATURE + b"\x22\x11\x00\x0c" + bytes(12),
    "v2 too short": proxyheader.SIGNATURE + b"\x21\x11\x00\x04" + bytes(4),
    "v2 of 65,535 bytes": proxyheader.SIGNATURE + b"\x21\x11\xff\xff" + bytes(3000),
    "v2 with a TLV that overruns": proxyheader.v2(CLIENT, SERVER, b"\x01\x00\xffx"),
    "v2 with a broken signature": b"\r\n\r\n\x00\r\nQUIT\r" + bytes(16),
}
PARTS = {
    "nothing": b"",
    "half a word": b"PRO",
    "half a line": b"PROXY TCP4 203.0",
    "half a signature": proxyheader.SIGNATURE[:5],
    "half a v2": proxyheader.v2(CLIENT, SERVER)[:20],
}


@pytest.fixture
def door(doors: Doors) -> Iterator[Door]:
    with doors.use(CONFIG, announce="proxy-v2", sink=_proxied) as door:
        yield door


@pytest.fixture
def held(doors: Doors) -> Iterator[Door]:
    """A door that holds, so that what is sent at once is early for sure; it refuses at once."""
    with doors.use(HELD, announce="proxy-v2", sink=_proxied) as door:
        yield door


def _proxied() -> Sink:
    return Sink(proxy=True)


def reach_the_mta(client: RawClient) -> None:
    client.greeted()
    assert client.command(b"MAIL FROM:<a@b.example>").code == 250
    client.command(b"QUIT")


@pytest.mark.parametrize("cut_every", [None, 1, 9], ids=["whole", "byte by byte", "by nines"])
@pytest.mark.parametrize(("header", "announced"), GOOD.values(), ids=GOOD)
def test_the_announced_client_is_the_client(door: Door, header: bytes, announced: tuple[str, int], cut_every: int | None) -> None:
    """The record and the onward header name the client that the proxy named, and the record the proxy too."""
    with door.client() as client:
        via = client.address[1]
        client.send(header, cut_every=cut_every)
        reach_the_mta(client)
    connect, *_, close = door.story(announced[1])
    (connection,) = door.connections

    assert connection.proxy is not None
    assert connection.proxy.client == announced
    assert (connect["client"], connect["via"], close["client"]) == (announced[0], f"127.0.0.1:{via}", announced[0])


@pytest.mark.parametrize("cut_every", [None, 1], ids=["whole", "byte by byte"])
@pytest.mark.parametrize("header", NAMELESS.values(), ids=NAMELESS)
def test_a_header_that_names_nobody_leaves_the_peer(door: Door, header: bytes, cut_every: int | None) -> None:
    """LOCAL, UNKNOWN and a family that is no TCP: the connection's own address holds, and is what the MTA is told."""
    with door.client() as client:
        address = client.address
        client.send(header, cut_every=cut_every)
        reach_the_mta(client)
    connect, *_ = door.story(address[1])
    (connection,) = door.connections

    assert connection.proxy is not None
    assert connection.proxy.client == address
    assert (connect["client"], connect["via"]) == (address[0], "")


@pytest.mark.parametrize("header", BAD.values(), ids=BAD)
def test_a_bad_header_is_closed_without_a_word(door: Door, header: bytes) -> None:
    """A receiver must not guess: no greeting, no reply, no MTA, and the record says what was wrong."""
    with door.client() as client:
        port = client.address[1]
        client.send(header)
        assert client.read_until_closed(PROXY_LIMIT + 2) == b""
    (failed,) = [each for each in door.story(port) if each["ev"] == "outcome"]

    assert (failed["check"], failed["result"]) == ("proxy_header", "failed")
    assert failed["why"]
    assert door.connections == []


@pytest.mark.parametrize("part", PARTS.values(), ids=PARTS)
def test_a_header_has_a_deadline(door: Door, part: bytes) -> None:
    """limits.proxy is for the whole header: what is not there by then is closed without a word."""
    with door.client() as client:
        client.send(part)
        said = client.read_until_closed(PROXY_LIMIT + 2)
        took = time.monotonic() - client.connected_at

    assert said == b""
    assert PROXY_LIMIT - 0.05 < took < PROXY_LIMIT + 1


def test_a_dribble_does_not_move_the_deadline(door: Door) -> None:
    """A byte now and then is no header in time."""
    with door.client() as client, pytest.raises((ConnectionError, BrokenPipeError)):
        for byte in proxyheader.v1(CLIENT, SERVER) * 3:
            client.send(bytes((byte,)))
            time.sleep(0.05)
            assert time.monotonic() - client.connected_at < PROXY_LIMIT + 1


@pytest.mark.parametrize("behind", [b"EHLO early\r\n", b"\r\n", b"\x16\x03\x01"], ids=["EHLO", "empty line", "TLS"])
@pytest.mark.parametrize("header", ["v1", "v2", "v2 with TLVs"])
def test_what_the_client_says_behind_the_header_is_early_talk(held: Door, header: str, behind: bytes) -> None:
    """The header is the proxy's; the first byte behind it is the client's, and came before the greeting."""
    with held.client() as client:
        client.send(GOOD[header][0] + behind)
        answer = client.read_until_closed()
    (reason,) = [each for each in held.story(CLIENT[1]) if each["ev"] == "reason"]

    assert answer.startswith(b"554 ")
    assert reason["check"] == "pregreet"
    assert held.connections == []


@pytest.mark.parametrize("header", [*(header for header, _ in GOOD.values()), *NAMELESS.values()], ids=[*GOOD, *NAMELESS])
def test_a_header_from_anyone_else_is_early_talk(held: Door, header: bytes) -> None:
    """From an address that is not in proxy_from it is not believed: one reply with code proxy, and the MTA is not opened."""
    with held.client(source="127.9.8.7") as client:
        port = client.address[1]
        client.send(header)
        answer = client.read_until_closed()
    records = held.story(port)
    (reason,) = [each for each in records if each["ev"] == "reason"]

    assert answer.startswith(b"554 ")
    assert answer.count(b"\r\n") == 1
    assert (reason["check"], reason["code"]) == ("pregreet", "proxy")
    assert (records[0]["client"], records[0]["via"]) == ("127.9.8.7", "")
    assert held.connections == []


def test_a_client_that_waits_needs_no_header(held: Door) -> None:
    """From outside proxy_from none is expected."""
    with held.client(source="127.9.8.7") as client:
        address = client.address
        reach_the_mta(client)
    (connection,) = held.connections

    assert connection.proxy is not None
    assert connection.proxy.client == address
