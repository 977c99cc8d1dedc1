"""PROXY headers read and written, with aiosmtpd's reader as a second opinion."""

from __future__ import annotations

import asyncio
import struct
from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from aiosmtpd.proxy_protocol import ProxyData, get_proxy
from hypothesis import given, settings
from hypothesis import strategies as st

from tarry.smtp.proxy_header import (
    SIGNATURE,
    SSL,
    UNIQUE_ID,
    V1_CAP,
    V2_CAP,
    Header,
    HeaderFault,
    looks_like_header,
    read_header,
    ssl_value,
    write_v1,
    write_v2,
)

V4 = b"PROXY TCP4 192.0.2.7 198.51.100.1 40000 25\r\n"
V6 = b"PROXY TCP6 2001:db8::7 2001:db8::1 40000 25\r\n"
FROM, TO = ("192.0.2.7", 40000), ("198.51.100.1", 25)
FROM6, TO6 = ("2001:db8::7", 40000), ("2001:db8::1", 25)

_ports = st.integers(0, 65535)
_any = st.tuples(st.ip_addresses().map(str), _ports)
_tlvs = st.dictionaries(st.integers(0, 255), st.binary(max_size=40), max_size=5).map(lambda found: tuple(found.items()))


def v2(kind: int, family: int, body: bytes, length: int | None = None) -> bytes:
    return SIGNATURE + struct.pack("!BBH", kind, family, len(body) if length is None else length) + body


def normal(endpoint: tuple[str, int]) -> tuple[str, int]:
    address = ip_address(endpoint[0])
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return str(mapped or address), endpoint[1]


# Version 1.


@pytest.mark.parametrize(
    ("line", "header"),
    [
        (V4, Header(len(V4), FROM, TO)),
        (V6, Header(len(V6), FROM6, TO6)),
        (b"PROXY TCP4 0.0.0.0 255.255.255.255 0 65535\r\n", Header(44, ("0.0.0.0", 0), ("255.255.255.255", 65535))),
        (b"PROXY TCP6 2001:DB8::7 2001:db8:0::1 40000 25\r\n", Header(47, FROM6, TO6)),
        (b"PROXY TCP6 ::ffff:192.0.2.7 ::FFFF:c633:6401 40000 25\r\n", Header(55, FROM, TO)),
        (b"PROXY UNKNOWN\r\n", Header(15)),
        (b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n", Header(35)),
        (b"PROXY UNKNOWN \xff rubbish\r\n", Header(25)),
    ],
    ids=repr,
)
def test_version_1(line: bytes, header: Header) -> None:
    """A whole line gives its addresses in normal form; what follows it is not looked at."""
    assert header == read_header(line) == read_header(line + b"EHLO x\r\n")


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (b"PROXY TCP4 192.0.2.7 198.51.100.1 40000\r\n", "a malformed PROXY line"),
        (b"PROXY TCP4 192.0.2.7 198.51.100.1 40000 25\n", "a malformed PROXY line"),
        (b"PROXY TCP4  192.0.2.7 198.51.100.1 40000 25\r\n", "a malformed PROXY line"),
        (b"PROXY TCP4 192.0.2.7 198.51.100.1 40000 25 \r\n", "a malformed PROXY line"),
        (b"PROXY TCP4 192.0.2.7 198.51.100.1 040000 25\r\n", "a malformed PROXY line"),
        (b"PROXY TCP4 192.0.2.7 198.51.100.1 +4000 25\r\n", "a malformed PROXY line"),
        (b"PROXY TCP4 192.0.2.7 198.51.100.1 4_0 25\r\n", "a malformed PROXY line"),
        (b"PROXY TCP4 192.0.2.7 198.51.100.1 \xd9\xa1 25\r\n", "a malformed PROXY line"),
        (b"PROXY UDP4 192.0.2.7 198.51.100.1 40000 25\r\n", "a malformed PROXY line"),
        (b"PROXY tcp4 192.0.2.7 198.51.100.1 40000 25\r\n", "a malformed PROXY line"),
        (b"PROXY \r\n", "a malformed PROXY line"),
        (b"PROXY UNKNOWNX\r\n", "a malformed PROXY line"),
        (b"PROXY UNKNOWN a\rb\r\n", "a malformed PROXY line"),
        (b"PROXY UNKNOWN a\0b\r\n", "a malformed PROXY line"),
        (b"PROXY TCP4 192.0.2.256 198.51.100.1 40000 25\r\n", "a PROXY line with no IP address in it"),
        (b"PROXY TCP4 192.0.2.07 198.51.100.1 40000 25\r\n", "a PROXY line with no IP address in it"),
        (b"PROXY TCP6 2001:db8::7 1:2:3 40000 25\r\n", "a PROXY line with no IP address in it"),
        (b"PROXY TCP6 192.0.2.7 198.51.100.1 40000 25\r\n", "a PROXY line that contradicts itself"),
        (b"PROXY TCP4 192.0.2.7 2001:db8::1 40000 25\r\n", "a PROXY line that contradicts itself"),
        (b"PROXY TCP4 192.0.2.7 198.51.100.1 65536 25\r\n", "a PROXY line that contradicts itself"),
        (b"PROXY TCP4 192.0.2.7 198.51.100.1 25 99999\r\n", "a PROXY line that contradicts itself"),
        (b"EHLO x\r\n", "no PROXY header"),
        (b"proxy tcp4", "no PROXY header"),
        (b"PROXYX", "no PROXY header"),
        (b"\r\n\r\n\r\n", "no PROXY header"),
        (b"\x16\x03\x01", "no PROXY header"),
    ],
)
def test_what_is_no_version_1_header(line: bytes, why: str) -> None:
    """Nothing is guessed: what is not exactly a header is a fault."""
    assert HeaderFault(why) == read_header(line)


@pytest.mark.parametrize(
    ("size", "header"),
    [(V1_CAP - 1, Header(V1_CAP - 1)), (V1_CAP, Header(V1_CAP)), (V1_CAP + 1, HeaderFault("a PROXY line beyond 107 bytes"))],
)
def test_version_1_has_a_cap(size: int, header: Header | HeaderFault) -> None:
    """107 octets with CRLF are the longest line; without its end the same number is a fault already."""
    line = b"PROXY UNKNOWN ".ljust(size - 2, b"x") + b"\r\n"
    assert header == read_header(line)
    assert isinstance(read_header(line[: V1_CAP - 1]), Header | None)
    assert HeaderFault("a PROXY line beyond 107 bytes") == read_header(b"PROXY ".ljust(V1_CAP, b"x"))


@given(source=_any, destination=_any)
def test_version_1_is_read_back(source: tuple[str, int], destination: tuple[str, int]) -> None:
    """parse(serialise(x)) == x, in normal form, for every pair of addresses, also of two families."""
    line = write_v1(source, destination)
    assert len(line) <= V1_CAP
    assert Header(len(line), normal(source), normal(destination)) == read_header(line)


# Version 2.


@pytest.mark.parametrize(
    ("data", "header"),
    [
        (write_v2(None, None), Header(16)),
        (write_v2(FROM, None), Header(16)),
        (write_v2(None, None, ((4, b"padding"),)), Header(26)),
        (v2(0x20, 0x11, b"\xff" * 12), Header(28)),
        (v2(0x20, 0x11, b"short"), Header(21)),
        (v2(0x21, 0x00, b""), Header(16)),
        (v2(0x21, 0x12, b"\xff" * 12), Header(28)),
        (v2(0x21, 0x31, b"/run/a".ljust(108, b"\0") + b"/run/b".ljust(108, b"\0")), Header(232)),
        (v2(0x21, 0xFF, b"what"), Header(20)),
        (write_v2(FROM, TO), Header(28, FROM, TO)),
        (write_v2(FROM6, TO6), Header(52, FROM6, TO6)),
        (write_v2(("::ffff:192.0.2.7", 40000), ("::ffff:198.51.100.1", 25)), Header(52, FROM, TO)),
        (write_v2(FROM, TO, ((1, b"smtp"), (0xEA, b""), (1, b"last"))), Header(45, FROM, TO, ((1, b"last"), (0xEA, b"")))),
        (v2(0x21, 0x11, b"\0" * 12), Header(28, ("0.0.0.0", 0), ("0.0.0.0", 0))),
    ],
)
def test_version_2(data: bytes, header: Header) -> None:
    """A whole header gives its addresses; LOCAL, UDP, AF_UNIX and AF_UNSPEC give none; what follows is not looked at."""
    assert header == read_header(data) == read_header(data + b"EHLO x\r\n")


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (v2(0x11, 0x11, b"\0" * 12), "a PROXY header of an unknown version or command"),
        (v2(0x31, 0x11, b"\0" * 12), "a PROXY header of an unknown version or command"),
        (v2(0x22, 0x11, b"\0" * 12), "a PROXY header of an unknown version or command"),
        (v2(0x21, 0x11, b"", V2_CAP - 15), "a PROXY header beyond 2048 bytes"),
        (v2(0x20, 0x00, b"", 65535), "a PROXY header beyond 2048 bytes"),
        (v2(0x21, 0x11, b"\0" * 11), "a PROXY header too short for its addresses"),
        (v2(0x21, 0x21, b"\0" * 35), "a PROXY header too short for its addresses"),
        (v2(0x21, 0x11, b""), "a PROXY header too short for its addresses"),
        (v2(0x21, 0x11, b"\0" * 12 + b"\x01"), "a PROXY header with a broken TLV"),
        (v2(0x21, 0x11, b"\0" * 12 + b"\x01\x00"), "a PROXY header with a broken TLV"),
        (v2(0x21, 0x11, b"\0" * 12 + b"\x01\x00\x05smtp"), "a PROXY header with a broken TLV"),
        (v2(0x21, 0x21, b"\0" * 36 + b"\x01\x00\x00\x02\xff\xff"), "a PROXY header with a broken TLV"),
    ],
)
def test_what_is_no_version_2_header(data: bytes, why: str) -> None:
    """Wrong versions, too much, too little and TLVs that run over the end are faults."""
    assert HeaderFault(why) == read_header(data)


def test_version_2_has_a_cap() -> None:
    """A header of V2_CAP bytes is taken, and with the cap a fault is told before the rest has come."""
    longest = write_v2(FROM, TO, ((4, b"\0" * (V2_CAP - 31)),))
    assert V2_CAP == len(longest)
    assert isinstance(read_header(longest), Header)
    assert HeaderFault("a PROXY header beyond 2048 bytes") == read_header(write_v2(FROM, TO, ((4, b"\0" * (V2_CAP - 30)),))[:16])


@given(source=_any, destination=_any, tlvs=_tlvs)
def test_version_2_is_read_back(source: tuple[str, int], destination: tuple[str, int], tlvs: tuple[tuple[int, bytes], ...]) -> None:
    """parse(serialise(x)) == x, in normal form, with its TLVs."""
    data = write_v2(source, destination, tlvs)
    assert Header(len(data), normal(source), normal(destination), tlvs) == read_header(data)
    assert len(data) - sum(3 + len(value) for _, value in tlvs) <= 232


@pytest.mark.parametrize("write", [write_v1, write_v2])
@pytest.mark.parametrize("host", ["", "mail.example.org", "/run/socket", "1.2.3"])
def test_only_addresses_are_written(write: object, host: str) -> None:
    """A name or a path in place of an address is our own mistake."""
    assert callable(write)
    with pytest.raises(ValueError, match="does not appear to be an IPv4 or IPv6 address"):
        write((host, 1), TO)


# Laws of both.

_headers = st.one_of(
    st.builds(write_v1, _any, _any),
    st.builds(write_v2, _any, _any, _tlvs),
    st.builds(write_v2, st.none(), st.none(), _tlvs),
    st.sampled_from((b"PROXY UNKNOWN\r\n", b"PROXY UNKNOWN a b 1 2\r\n")),
)


@settings(max_examples=60)
@given(data=_headers)
def test_a_header_that_is_still_coming_is_no_fault(data: bytes) -> None:
    """Every prefix of a valid header asks for more, from the empty one on; nothing is decided early."""
    assert {None} == {read_header(data[:end]) for end in range(len(data))}
    header = read_header(data)
    assert isinstance(header, Header) and len(data) == header.size


@given(
    data=st.binary(max_size=80), beginning=st.sampled_from((b"", b"PROXY ", b"PROXY TCP4 ", SIGNATURE, SIGNATURE + b"\x21\x11\x00"))
)
def test_arbitrary_bytes_never_raise(data: bytes, beginning: bytes) -> None:
    """Any bytes in, a value out; a header never claims more than came, nor more than its cap."""
    match read_header(beginning + data):
        case Header(size=size):
            assert size <= min(len(beginning + data), V2_CAP)
        case HeaderFault(why=why):
            assert why
        case None:
            assert len(beginning + data) < V2_CAP


@given(data=st.binary(max_size=30), beginning=st.sampled_from((b"", b"PROXY ", SIGNATURE)), more=st.binary(max_size=30))
def test_a_fault_stays_a_fault(data: bytes, beginning: bytes, more: bytes) -> None:
    """What has been decided is not changed by what comes after it."""
    first = read_header(beginning + data)
    assert first is None or first == read_header(beginning + data + more)


@pytest.mark.parametrize(
    ("first", "looks"),
    [
        (V4, True),
        (b"PROXY ", True),
        (write_v2(FROM, TO), True),
        (SIGNATURE, True),
        (b"PROXY", False),
        (b"EHLO PROXY \r\n", False),
        (b"", False),
    ],
)
def test_what_looks_like_a_header(first: bytes, looks: bool) -> None:
    """The first bytes are enough to tell an early talker's header from SMTP."""
    assert looks == looks_like_header(first)


# A second opinion.


def as_aiosmtpd_reads(data: bytes) -> ProxyData:
    async def read() -> ProxyData:
        reader = asyncio.StreamReader()
        reader.feed_data(data)
        reader.feed_eof()
        return await get_proxy(reader)

    return asyncio.run(read())


@settings(max_examples=60)
@given(source=_any, destination=_any, tlvs=_tlvs, version=st.sampled_from((1, 2)))
def test_aiosmtpd_reads_what_tarry_writes(
    source: tuple[str, int], destination: tuple[str, int], tlvs: tuple[tuple[int, bytes], ...], version: int
) -> None:
    """An independent reader finds the same addresses and ports in tarry's headers."""
    seen = as_aiosmtpd_reads(write_v1(source, destination) if version == 1 else write_v2(source, destination, tlvs))
    assert ("", version) == (seen.error, seen.version)
    assert [normal(source), normal(destination)] == [
        normal((str(seen.src_addr), seen.src_port or 0)),
        normal((str(seen.dst_addr), seen.dst_port or 0)),
    ]


@pytest.mark.parametrize(
    "data",
    [
        V4, V6, b"PROXY UNKNOWN\r\n", b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n",
        b"PROXY TCP4 192.0.2.256 198.51.100.1 40000 25\r\n", b"PROXY TCP6 192.0.2.7 198.51.100.1 40000 25\r\n",
        b"PROXY TCP4 192.0.2.7 198.51.100.1 65536 25\r\n", b"PROXY TCP4  192.0.2.7 198.51.100.1 40000 25\r\n",
        b"PROXY TCP4 192.0.2.7 198.51.100.1 40000 25 x\r\n", b"PROXY TCP4 192.0.2.7 198.51.100.1 40000 25\n", b"EHLO x\r\n",
        b"PROXY UNKNOWN ".ljust(106, b"x") + b"\r\n",
        v2(0x11, 0x11, b"\0" * 12), v2(0x22, 0x11, b"\0" * 12), v2(0x21, 0x11, b"\0" * 11),
        v2(0x20, 0x00, b""), v2(0x21, 0x00, b""), write_v2(FROM, TO), write_v2(FROM6, TO6, ((1, b"smtp"),)),
    ],
    ids=repr,
)  # fmt: skip
def test_aiosmtpd_takes_and_refuses_the_same(data: bytes) -> None:
    """The two readers agree on what a header is, and on the client's address."""
    seen, header = as_aiosmtpd_reads(data), read_header(data)
    assert isinstance(header, Header) == bool(seen)
    if isinstance(header, Header) and header.source:
        assert header.source == (str(seen.src_addr), seen.src_port)
        assert isinstance(seen.src_addr, IPv4Address | IPv6Address)


def test_the_value_that_tells_of_tls() -> None:
    """Section 2.2.6: flags, a certificate that was not verified, and the version and cipher as TLVs of their own."""
    value = b"\x01\0\0\0\x01\x21\0\x07TLSv1.3\x23\0\x16TLS_AES_256_GCM_SHA384"
    assert value == ssl_value("TLSv1.3", "TLS_AES_256_GCM_SHA384")
    assert "TLSv1.3" == as_aiosmtpd_reads(write_v2(FROM, TO, ((SSL, value), (UNIQUE_ID, b"x")))).tlv["SSL_VERSION"].decode()
