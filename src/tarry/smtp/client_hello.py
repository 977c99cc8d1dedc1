"""client_hello - the server name that a TLS client asks for, read from the first bytes that it sent.

What      One function from the bytes of a ClientHello, in its TLS records, to the name in it.
Promises  Any bytes in, a value out: b"" where there is no name, or no whole ClientHello. It decides nothing; OpenSSL reads the
          same bytes for itself.
Why       Python's own way (`SSLContext.sni_callback`) prints a traceback for each name that is not ASCII, and any client can
          send one.
Source    RFC 8446 §4.1.2 (ClientHello) and §5.1 (records), RFC 6066 §3 (server_name).
"""

from __future__ import annotations

MOST = 4096
"""Octets of a connection that are kept to look for the name in. With a post-quantum key share a ClientHello has some 1,800."""

_HANDSHAKE = 22
_CLIENT_HELLO = 1
_SERVER_NAME = 0
_BEFORE_SESSION_ID = 2 + 32  # version and random


class _Short(Exception):
    """The bytes end before what they announce. Never leaves this module."""


class _Reader:
    """Reads fields off the front of some bytes."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def take(self, count: int) -> bytes:
        if count > len(self._data):
            raise _Short
        taken, self._data = self._data[:count], self._data[count:]
        return taken

    def number(self, width: int) -> int:
        return int.from_bytes(self.take(width), "big")

    def vector(self, width: int) -> _Reader:
        """Take a field that begins with its length, a number of *width* octets."""
        return _Reader(self.take(self.number(width)))

    def __bool__(self) -> bool:
        return bool(self._data)


def server_name(first: bytes) -> bytes:
    """Return the name in the ClientHello that *first* begins with."""
    try:
        return _name_in(_Reader(_unwrapped(first)))
    except _Short:
        return b""


def _unwrapped(first: bytes) -> bytes:
    """Return what the handshake records at the beginning of *first* hold, also where the last one is cut off."""
    inside, at = b"", 0
    while at + 5 <= len(first) and first[at] == _HANDSHAKE:
        end = at + 5 + int.from_bytes(first[at + 3 : at + 5], "big")
        inside += first[at + 5 : end]
        at = end
    return inside


def _name_in(message: _Reader) -> bytes:
    if message.number(1) != _CLIENT_HELLO:
        return b""
    hello = message.vector(3)
    hello.take(_BEFORE_SESSION_ID)
    hello.vector(1)  # session id
    hello.vector(2)  # cipher suites
    hello.vector(1)  # compression methods
    extensions = hello.vector(2)
    while extensions:
        kind, body = extensions.number(2), extensions.vector(2)
        if kind == _SERVER_NAME:
            names = body.vector(2)
            names.take(1)  # its type: host_name is the only one there is
            return names.take(names.number(2))
    return b""
