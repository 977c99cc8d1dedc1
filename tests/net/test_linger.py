"""A last word that arrives."""

from __future__ import annotations

import os
import select
import socket
from collections.abc import Iterator

import pytest

from tarry.core.clock import ManualClock
from tarry.net.linger import LONGEST, MOST, Linger
from tests.shell import Loop, await_mask, pair, read_all, reset

REPLY = b"521 5.7.1 no\r\n"


class Sending:
    """A linger on a loop of its own."""

    def __init__(self) -> None:
        self.loop = Loop(ManualClock(100.0))
        self.linger = Linger(self.loop.loop, self.loop.clock)


@pytest.fixture
def sending() -> Iterator[Sending]:
    sending = Sending()
    yield sending
    if sending.loop.readers:
        sending.linger.close()


def test_the_reply_arrives_although_the_client_talks_on(sending: Sending) -> None:
    """What came before it and what comes after it is read away, so that no reset destroys it."""
    ours, client = pair()
    client.send(b"x" * 10_000)
    sending.linger.send_off(ours, REPLY)
    for _ in range(20):
        client.send(b"MAIL FROM:<>\r\n")
        sending.loop.settle()
    assert REPLY == read_all(client)
    assert 1 == len(sending.linger)
    client.close()
    sending.loop.settle()
    assert (0, -1) == (len(sending.linger), ours.fileno())


def test_who_lingers_is_let_go_when_descriptors_are_short(sending: Sending) -> None:
    """At once, with the reply that it has been sent; its deadline means nobody afterwards."""
    ours, client = pair()
    sending.linger.send_off(ours, REPLY)
    sending.linger.release()
    assert (0, -1) == (len(sending.linger), ours.fileno())
    assert REPLY == read_all(client)
    sending.loop.advance(2 * LONGEST)
    assert 0 == len(sending.linger)


def test_a_client_that_has_closed_is_not_waited_for(sending: Sending) -> None:
    """Its reply is sent, and the socket is closed at once."""
    ours, client = pair()
    client.shutdown(socket.SHUT_WR)
    ours.settimeout(1.0)
    assert b"" == ours.recv(1, socket.MSG_PEEK)
    sending.linger.send_off(ours, REPLY)
    assert (0, -1) == (len(sending.linger), ours.fileno())
    assert REPLY == read_all(client)


def test_silence_has_its_time(sending: Sending) -> None:
    """A client that neither talks nor closes is let go after LONGEST seconds."""
    ours, client = pair()
    sending.linger.send_off(ours, REPLY)
    sending.loop.advance(LONGEST - 0.01)
    assert 1 == len(sending.linger)
    sending.loop.advance(0.02)
    assert (0, -1) == (len(sending.linger), ours.fileno())
    assert REPLY == read_all(client)


def test_talk_has_its_bounds(sending: Sending) -> None:
    """After MOST octets the client is closed on."""
    ours, client = pair()
    sending.linger.send_off(ours, REPLY)
    client.setblocking(False)
    sent = 0
    while len(sending.linger) and sent < 8 * MOST:
        try:
            sent += client.send(b"x" * 65536)
        except (BlockingIOError, ConnectionError):
            pass
        sending.loop.turn()
    assert (0, True) == (len(sending.linger), sent >= MOST)


def test_a_flood_that_lies_there_already_is_bounded_too(sending: Sending, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not read to its end before the client is closed on."""
    monkeypatch.setattr("tarry.net.linger.MOST", 1000)
    for octets, left in ((999, 1), (1000, 0)):
        ours, client = pair()
        client.send(b"x" * octets)
        ours.settimeout(1.0)
        ours.recv(1, socket.MSG_PEEK)
        sending.linger.send_off(ours, REPLY)
        assert left == len(sending.linger)
        client.close()
        sending.loop.settle()


def test_a_reused_descriptor_does_not_get_the_old_ones_deadline(sending: Sending) -> None:
    """The deadline carries a serial number."""
    ours, client = pair()
    fd = ours.fileno()
    sending.linger.send_off(ours, REPLY)
    client.close()
    sending.loop.settle()
    sending.loop.advance(LONGEST - 1.0)
    again, other = pair()
    again = _at(again, fd)
    sending.linger.send_off(again, REPLY)
    sending.loop.advance(2.0)
    assert 1 == len(sending.linger)
    sending.loop.advance(LONGEST)
    assert 0 == len(sending.linger)
    other.close()


def _at(sock: socket.socket, fd: int) -> socket.socket:
    """Return the same socket under another descriptor."""
    if sock.fileno() != fd:
        os.dup2(sock.fileno(), fd)
        sock.close()
        sock = socket.socket(fileno=fd)
    return sock


def test_a_client_that_is_gone(sending: Sending) -> None:
    """Before the reply or after it: the socket is closed, and nothing raises."""
    ours, client = pair()
    reset(client)
    await_mask(ours, select.POLLHUP)
    sending.linger.send_off(ours, REPLY)
    assert (0, -1) == (len(sending.linger), ours.fileno())
    ours, client = pair()
    sending.linger.send_off(ours, REPLY)
    reset(client)
    sending.loop.settle()
    assert (0, -1) == (len(sending.linger), ours.fileno())


def test_nothing_to_say(sending: Sending) -> None:
    """The client sees our side closed."""
    ours, client = pair()
    sending.linger.send_off(ours, b"")
    assert b"" == read_all(client)


def test_closing_lets_go_of_all(sending: Sending) -> None:
    """At once; no reader and no timer stays."""
    ends = [pair() for _ in range(3)]
    for ours, _ in ends:
        sending.linger.send_off(ours, REPLY)
    sending.linger.close()
    assert ({}, [], [-1] * 3) == (sending.loop.readers, sending.loop.waiting, [ours.fileno() for ours, _ in ends])
    assert [REPLY] * 3 == [read_all(client) for _, client in ends]
