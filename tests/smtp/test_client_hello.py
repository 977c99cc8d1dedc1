"""The name in a ClientHello, however it is cut and whatever it is."""

from __future__ import annotations

import ssl
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tarry.smtp.client_hello import MOST, server_name


def hello_of(name: str | None, version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> bytes:
    """Return what OpenSSL sends first."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.maximum_version = version
    out = ssl.MemoryBIO()
    with pytest.raises(ssl.SSLWantReadError):
        context.wrap_bio(ssl.MemoryBIO(), out, server_hostname=name).do_handshake()
    return out.read()


def in_records(message: bytes, size: int) -> bytes:
    """Return a handshake message in records of *size* octets."""
    pieces = [message[at : at + size] for at in range(0, len(message), size)]
    return b"".join(struct.pack("!BHH", 22, 0x0301, len(piece)) + piece for piece in pieces)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("name", ["mail.example.org", "a" * 60 + ".example", None])
def test_openssls_own(name: str | None, version: ssl.TLSVersion) -> None:
    """The name that was asked for, or none."""
    first = hello_of(name, version)
    assert (name or "").encode() == server_name(first)
    assert (name or "").encode() == server_name(first + b"\x17\x03\x03\x00\x01x")
    assert len(first) < MOST


@pytest.mark.parametrize("size", [1, 7, 100])
def test_many_records(size: int) -> None:
    """A message may be cut into records at any place."""
    assert b"mail.example.org" == server_name(in_records(hello_of("mail.example.org")[5:], size))


def test_what_is_cut_off_has_no_name_or_the_right_one() -> None:
    """A name is told when it is there, and never half of one."""
    first = hello_of("mail.example.org")
    assert {b"", b"mail.example.org"} == {server_name(first[:end]) for end in range(len(first) + 1)}


@pytest.mark.parametrize(
    "first", [b"", b"\x16", b"EHLO x\r\n", in_records(b"\x02\0\0\0", 9), b"\x16\x03\x01\xff\xff\x01\xff\xff\xff"]
)
def test_what_is_no_client_hello(first: bytes) -> None:
    """Nothing is made of it."""
    assert b"" == server_name(first)


@given(st.binary(max_size=300), st.booleans(), st.integers(0, 400))
def test_any_bytes(noise: bytes, wrapped: bool, at: int) -> None:
    """Also in the middle of a real one."""
    server_name(in_records(noise, 50) if wrapped else noise)
    first = hello_of("mail.example.org")
    server_name(first[:at] + noise + first[at + len(noise) :])
