"""A look at a socket that takes nothing out of it."""

from __future__ import annotations

import errno
import select
import socket
from typing import cast

import pytest

from tarry.core.border import PEEK_BYTES, HungUp, Readable
from tarry.net.peek import peek
from tests.shell import await_mask, pair, reset


def test_peeked_bytes_stay() -> None:
    """Whoever reads next gets the client's first byte."""
    ours, client = socket.socketpair()
    with ours, client:
        client.send(b"EHLO x\r\n")
        assert [Readable(b"EHLO x\r\n")] * 2 == [peek(ours), peek(ours)]
        assert b"EHLO x\r\n" == ours.recv(100)
        assert None is peek(ours)


def test_only_the_beginning_is_looked_at() -> None:
    """Up to a size."""
    ours, client = socket.socketpair()
    with ours, client:
        client.send(b"x" * 5000)
        assert Readable(b"x" * PEEK_BYTES) == peek(ours)
        assert Readable(b"xx") == peek(ours, 2)


def test_a_client_that_closed() -> None:
    """Its bytes come before its FIN; a RST is told apart."""
    ours, client = socket.socketpair()
    with ours:
        client.send(b"x")
        client.close()
        assert Readable(b"x") == peek(ours)
        ours.recv(1)
        assert HungUp(reset=False) == peek(ours)
    ours, client = pair()
    with ours:
        reset(client)
        await_mask(ours, select.POLLHUP)
        assert HungUp(reset=True) == peek(ours)


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (BlockingIOError(), None),
        (InterruptedError(), None),
        (ConnectionResetError(), HungUp(reset=True)),
        (OSError(errno.ETIMEDOUT, ""), HungUp(reset=True)),
        (OSError(errno.EHOSTUNREACH, ""), HungUp(reset=True)),
    ],
)
def test_errors_are_values(fault: OSError, expected: HungUp | None) -> None:
    """Nothing that a peer or its network does raises."""

    class Failing:
        def recv(self, size: int, flags: int) -> bytes:
            assert flags == socket.MSG_PEEK | socket.MSG_DONTWAIT
            raise fault

    assert expected == peek(cast(socket.socket, Failing()))
