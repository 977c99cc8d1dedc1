"""The XCLIENT commands: the whole truth about a client, and nothing that the client adds."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tarry.smtp.xclient import LINE_LIMIT, VALUE_LIMIT, commands, xtext

POSTFIX = ("NAME", "ADDR", "PROTO", "HELO", "REVERSE_NAME", "PORT", "LOGIN", "DESTADDR", "DESTPORT")
SOURCE, DESTINATION = ("192.0.2.7", 40000), ("198.51.100.1", 25)


def told(
    *offered: str,
    source: tuple[str, int] = SOURCE,
    destination: tuple[str, int] = DESTINATION,
    helo: bytes = b"mx.example",
    is_esmtp: bool = True,
    name: bytes | None = None,
) -> tuple[bytes, ...]:
    """Return the commands for a client that is as usual but for what is said."""
    return commands(offered or POSTFIX, source, destination, helo=helo, is_esmtp=is_esmtp, name=name)


def read(line: bytes) -> dict[bytes, bytes]:
    """Read a command as smtpd does: words, cut at the first =, with xtext undone."""
    verb, *words = line.split(b" ")
    assert b"XCLIENT" == verb
    return {name: unquoted(value) for name, _, value in (word.partition(b"=") for word in words)}


def unquoted(value: bytes) -> bytes:
    """Undo xtext."""
    return re.sub(rb"\+([0-9A-F]{2})", lambda found: bytes([int(found[1], 16)]), value)


def test_all_that_postfix_takes() -> None:
    """But LOGIN: who the client claims to be is for the MTA to find out."""
    assert (
        b"XCLIENT ADDR=192.0.2.7 PORT=40000 NAME=[TEMPUNAVAIL] REVERSE_NAME=[TEMPUNAVAIL] PROTO=ESMTP HELO=mx.example "
        b"DESTADDR=198.51.100.1 DESTPORT=25",
    ) == told()


@pytest.mark.parametrize(
    ("offered", "line"),
    [
        (("NAME", "ADDR"), b"XCLIENT ADDR=192.0.2.7 NAME=[TEMPUNAVAIL]"),
        (("ADDR", "PORT", "DESTADDR", "DESTPORT"), b"XCLIENT ADDR=192.0.2.7 PORT=40000 DESTADDR=198.51.100.1 DESTPORT=25"),
        (("ADDR", "LOGIN", "X"), b"XCLIENT ADDR=192.0.2.7"),
    ],
)
def test_only_what_is_offered_is_said(offered: tuple[str, ...], line: bytes) -> None:
    """An attribute that the MTA does not know is an error to it."""
    assert (line,) == told(*offered)


@pytest.mark.parametrize(
    ("host", "shown"),
    [
        ("192.0.2.7", b"192.0.2.7"),
        ("::ffff:192.0.2.7", b"192.0.2.7"),
        ("2001:db8::7", b"IPV6:2001:db8::7"),
        ("::1", b"IPV6:::1"),
        ("fe80::1%eth0", b"IPV6:fe80::1"),
        ("/run/client.sock", b"[UNAVAILABLE]"),
        ("", b"[UNAVAILABLE]"),
    ],
)
def test_how_an_address_is_written(host: str, shown: bytes) -> None:
    """For the client and for the address that it connected to."""
    assert (b"XCLIENT ADDR=" + shown,) == told("ADDR", source=(host, 1))
    assert (b"XCLIENT DESTADDR=" + shown,) == told("DESTADDR", destination=(host, 25))


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_a_destination_that_is_not_known_is_left_out(host: str) -> None:
    """With its port."""
    assert (b"XCLIENT ADDR=192.0.2.7",) == told("ADDR", "DESTADDR", "DESTPORT", destination=(host, 25))


@pytest.mark.parametrize(
    ("helo", "shown"),
    [
        (b"mx.example", b"mx.example"),
        (b"", b"[UNAVAILABLE]"),
        (b"a ADDR=10.9.8.7", b"a+20ADDR+3D10.9.8.7"),
        (b"a+20b", b"a+2B20b"),
        (b"x\r\nXCLIENT ADDR=1", b"x+0D+0AXCLIENT+20ADDR+3D1"),
        (b"caf\xc3\xa9", b"caf+C3+A9"),
        (b"a" * 255, b"a" * 255),
        (b"a" * 256, b"[UNAVAILABLE]"),
        (b" " * 86, b"[UNAVAILABLE]"),
    ],
)
def test_what_a_client_calls_itself(helo: bytes, shown: bytes) -> None:
    """In xtext; a name that the MTA would refuse for its length is not told: the client's own EHLO follows anyway."""
    assert (b"XCLIENT HELO=" + shown,) == told("HELO", helo=helo)


@pytest.mark.parametrize(("is_esmtp", "proto"), [(True, b"ESMTP"), (False, b"SMTP")])
def test_the_protocol_is_the_clients(is_esmtp: bool, proto: bytes) -> None:
    """By its EHLO or HELO."""
    assert (b"XCLIENT PROTO=" + proto,) == told("PROTO", is_esmtp=is_esmtp)


def test_a_known_name_stands_for_both() -> None:
    """Postfix takes NAME for the reverse name as well."""
    assert (b"XCLIENT NAME=mx.example",) == told("NAME", "REVERSE_NAME", name=b"mx.example")


def test_what_does_not_fit_goes_before() -> None:
    """ADDR stays in the last command, with all that depends on it."""
    first, last = told(helo=b"h" * 255, name=b"n" * 255)
    assert {b"HELO": b"h" * 255, b"DESTADDR": b"198.51.100.1", b"DESTPORT": b"25"} == read(first)
    assert {b"ADDR": b"192.0.2.7", b"PORT": b"40000", b"NAME": b"n" * 255, b"PROTO": b"ESMTP"} == read(last)


@given(
    helo=st.binary(max_size=400),
    name=st.none() | st.binary(max_size=400),
    source=st.tuples(st.ip_addresses().map(str), st.integers(0, 65535)),
    offered=st.sets(st.sampled_from(POSTFIX)),
)
def test_no_client_can_say_more_than_its_name(helo: bytes, name: bytes | None, source: tuple[str, int], offered: set[str]) -> None:
    """Lines are short, each attribute is there once, and a value that is told is the client's own."""
    said: dict[bytes, bytes] = {}
    for line in told(*(offered | {"ADDR"}), source=source, helo=helo, name=name):
        assert len(line) + 2 <= LINE_LIMIT
        assert re.fullmatch(rb"XCLIENT( [A-Z_]+=[!-*,-<>-~+]+)+", line)
        assert all(len(word.partition(b"=")[2]) <= VALUE_LIMIT for word in line.split(b" "))
        more = read(line)
        assert not said.keys() & more.keys()
        said |= more
    assert {one.decode() for one in said} <= offered | {"ADDR"}
    assert b"LOGIN" not in said
    assert b"ADDR" in more
    for attribute, value in ((b"HELO", helo), (b"NAME", name)):
        assert said.get(attribute, b"[UNAVAILABLE]") in (value, b"[UNAVAILABLE]", b"[TEMPUNAVAIL]")


@given(st.binary())
def test_xtext_can_be_read_back(value: bytes) -> None:
    """And holds nothing that means something on a command line."""
    assert value == unquoted(xtext(value))
    assert not set(xtext(value)) & set(b" =\r\n\0\t")
