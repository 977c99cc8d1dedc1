"""PROXY headers: taken off, and nothing behind them."""

from __future__ import annotations

import select
import socket

import pytest

from tarry.core.clock import ManualClock
from tarry.net.proxied import HeaderDesk
from tarry.smtp.proxy_header import V2_CAP, Header, HeaderFault, write_v1, write_v2
from tests.shell import Loop, await_mask, pair, reset

SOURCE, TO = ("192.0.2.7", 40000), ("198.51.100.1", 25)
V1, V2, LOCAL = write_v1(SOURCE, TO), write_v2(SOURCE, TO), write_v2(None, None)


class Desk:
    """A desk on a loop of its own, and what it has said."""

    def __init__(self) -> None:
        self.loop = Loop(ManualClock(100.0))
        self.desk = HeaderDesk(self.loop.loop)
        self.said: list[Header | HeaderFault] = []
        self.ours, self.proxy = pair()

    def read(self) -> None:
        self.desk.read(self.ours, 5.0, self.done)

    def done(self, sock: socket.socket, header: Header | HeaderFault) -> None:
        assert sock is self.ours
        self.said.append(header)

    def left(self) -> bytes:
        """Return what is still in the socket."""
        self.ours.setblocking(False)
        try:
            return self.ours.recv(1000)
        except BlockingIOError:
            return b""


@pytest.fixture
def desk() -> Desk:
    return Desk()


@pytest.mark.parametrize("behind", [b"", b"EHLO x\r\n"])
@pytest.mark.parametrize(("header", "source", "to"), [(V1, SOURCE, TO), (V2, SOURCE, TO), (LOCAL, None, None)])
@pytest.mark.parametrize("cut", [0, 1, 5, 13, -1])
def test_exactly_the_header_is_taken(
    desk: Desk, header: bytes, source: tuple[str, int] | None, to: tuple[str, int] | None, cut: int, behind: bytes
) -> None:
    """However it is cut; what the client said behind it stays in the socket."""
    first, rest = header[:cut], header[cut:] + behind
    if first:
        desk.proxy.send(first)
        await_mask(desk.ours, select.POLLIN)
    desk.read()
    assert ([], 1) == (desk.said, len(desk.desk))
    desk.proxy.send(rest)
    desk.loop.settle()
    assert [Header(len(header), source, to)] == desk.said
    assert (behind, 0, {}, []) == (desk.left(), len(desk.desk), desk.loop.readers, desk.loop.waiting)


def test_a_header_that_lies_there_already(desk: Desk) -> None:
    """It is taken at once."""
    desk.proxy.send(V2 + b"x")
    await_mask(desk.ours, select.POLLIN)
    desk.read()
    assert [Header(len(V2), SOURCE, TO)] == desk.said
    assert (b"x", 0) == (desk.left(), len(desk.desk))


def test_byte_by_byte(desk: Desk) -> None:
    """A part of a header is taken out, or the socket would stay readable and the loop spin."""
    desk.read()
    for index in range(len(V1)):
        desk.proxy.send(V1[index : index + 1])
        desk.loop.settle()
    assert [Header(len(V1), SOURCE, TO)] == desk.said
    assert len(V1) == desk.loop.wakeups


@pytest.mark.parametrize(
    "data", [b"EHLO x\r\n", b"PROXY TCP4 192.0.2.7\r\n", b"PROXY " + b"x" * 200, V2[:14] + V2_CAP.to_bytes(2, "big")]
)
def test_what_is_no_header(desk: Desk, data: bytes) -> None:
    """It is a fault, and nothing is guessed."""
    desk.read()
    desk.proxy.send(data)
    desk.loop.settle()
    assert [HeaderFault] == [type(one) for one in desk.said]
    assert 0 == len(desk.desk)


@pytest.mark.parametrize("first", [b"", V1[:10]])
@pytest.mark.parametrize("how", ["fin", "reset"])
def test_the_proxy_hangs_up(desk: Desk, first: bytes, how: str) -> None:
    """Before the header was whole."""
    desk.read()
    if first:
        desk.proxy.send(first)
        desk.loop.settle()
    if how == "fin":
        desk.proxy.close()
    else:
        reset(desk.proxy)
    desk.loop.settle()
    assert [HeaderFault("the proxy hung up")] == desk.said


def test_a_header_has_its_time(desk: Desk) -> None:
    """In all, and not for each byte."""
    desk.read()
    desk.loop.advance(3.0)
    desk.proxy.send(V1[:10])
    desk.loop.settle()
    desk.loop.advance(1.99)
    assert [] == desk.said
    desk.loop.advance(0.02)
    assert [HeaderFault("no PROXY header in time")] == desk.said
    assert ({}, 0) == (desk.loop.readers, len(desk.desk))


def test_closing_the_desk(desk: Desk) -> None:
    """Who waits there is told as a fault, so that it is recorded as any other."""
    desk.read()
    desk.desk.close()
    assert ([HeaderFault("the daemon is going down")], {}, []) == (desk.said, desk.loop.readers, desk.loop.waiting)
