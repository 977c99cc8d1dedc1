"""A connection to the MTA of which the MTA's kernel knows nothing."""

from __future__ import annotations

import asyncio
import socket
from typing import cast

import pytest

from tarry.net import limbo
from tarry.net.limbo import ASK, TRIES
from tests.shell import pair


class Holder:
    """A transport, as far as its socket goes."""

    def __init__(self, sock: socket.socket | None) -> None:
        self._sock = sock

    def get_extra_info(self, name: str) -> socket.socket | None:
        assert name == "socket"
        return self._sock

    @property
    def transport(self) -> asyncio.BaseTransport:
        return cast(asyncio.BaseTransport, self)


def test_the_kernel_asks_until_the_mta_has_greeted() -> None:
    """After a second of silence, and then no more."""
    ours, _ = pair()
    holder = Holder(ours)
    limbo.watch(holder.transport)
    assert 1 == ours.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    assert ASK == ours.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE)
    limbo.unwatch(holder.transport)
    assert 0 == ours.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)


def test_a_unix_socket_has_no_limbo() -> None:
    """Nothing is asked of it, nor of a transport that has no socket."""
    ours, other = socket.socketpair()
    with ours, other:
        for holder in (Holder(ours), Holder(None)):
            limbo.watch(holder.transport)
            limbo.unwatch(holder.transport)
        assert 0 == ours.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)


@pytest.mark.parametrize(
    ("fault", "age", "tries", "lost"),
    [
        (ConnectionResetError(), ASK, 1, True),
        (ConnectionResetError(), ASK + 20, TRIES - 1, True),
        (ConnectionResetError(), ASK, TRIES, False),
        (ConnectionResetError(), ASK - 0.01, 1, False),
        (TimeoutError(), ASK, 1, False),
        (None, ASK, 1, False),
    ],
    ids=["it was asked", "late, and again", "often enough", "reset at once", "the network is away", "hung up"],
)
def test_what_is_opened_again(fault: Exception | None, age: float, tries: int, lost: bool) -> None:
    """Only what the other kernel disowns when it is asked, and not for ever."""
    assert lost == limbo.is_lost(fault, age, tries)
