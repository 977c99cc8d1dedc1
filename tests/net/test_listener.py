"""Accepting: in bursts, and through a want of descriptors."""

from __future__ import annotations

import errno
import socket
from typing import cast

import pytest

from tarry.core.client import Endpoint
from tarry.core.clock import ManualClock
from tarry.net.listener import BACKLOG, BURST, PAUSE, Listener, let_others_join, open_socket
from tests.shell import Loop


class Accepting:
    """A listener on a loop of its own, whom it accepted, and what stress it told of."""

    def __init__(self, sock: socket.socket) -> None:
        self.loop = Loop(ManualClock(100.0))
        self.clients: list[tuple[str, Endpoint]] = []
        self.stress: list[tuple[bool, str]] = []
        self.listener = Listener(
            self.loop.loop, sock, on_client=self.on_client, on_stress=lambda on, why: self.stress.append((on, why))
        )

    def on_client(self, sock: socket.socket, host: str, port: int, server: Endpoint) -> None:
        sock.close()
        self.clients.append((host, server))


class Backlog:
    """A listening socket of which each accept is told in advance: a fault, or a client."""

    def __init__(self, *script: int) -> None:
        self.script = list(script)
        self.accepts = 0
        self._real = socket.socket()

    def accept(self) -> tuple[socket.socket, tuple[str, int]]:
        self.accepts += 1
        fault = self.script.pop(0) if self.script else errno.EAGAIN
        if fault == errno.EAGAIN:
            raise BlockingIOError
        if fault:
            raise OSError(fault, "")
        return socket.socket(), ("::ffff:192.0.2.7", 40000)

    def getsockname(self) -> tuple[str, int]:
        return ("127.0.0.1", 2525)

    def fileno(self) -> int:
        return self._real.fileno()

    def close(self) -> None:
        self._real.close()


def scripted(*script: int) -> tuple[Accepting, Backlog]:
    backlog = Backlog(*script)
    return Accepting(cast(socket.socket, backlog)), backlog


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_clients_are_accepted(host: str) -> None:
    """With their addresses in the one form, and the server's."""
    sock = open_socket(host, 0)
    accepting = Accepting(sock)
    port = sock.getsockname()[1]
    assert Endpoint(host, port) == accepting.listener.endpoint
    with socket.create_connection((host, port)), socket.create_connection((host, port)):
        accepting.loop.settle()
    assert [(host, Endpoint(host, port))] * 2 == accepting.clients
    accepting.listener.close()
    assert ({}, -1) == (accepting.loop.readers, sock.fileno())


def test_ipv4_and_ipv6_can_stand_side_by_side() -> None:
    """[::] takes IPv6 only."""
    with open_socket("0.0.0.0", 0) as four, open_socket("::", four.getsockname()[1]) as six:
        assert four.getsockname()[1] == six.getsockname()[1]
        assert not six.getblocking()


def test_an_address_that_is_taken() -> None:
    """It is an OSError, and no socket is left open."""
    with open_socket("127.0.0.1", 0) as first, pytest.raises(OSError, match="in use") as caught:
        open_socket("127.0.0.1", first.getsockname()[1])
    assert errno.EADDRINUSE == caught.value.errno


def test_sockets_that_share_an_address() -> None:
    """Only where the first one lets others join."""
    with open_socket("127.0.0.1", 0) as first:
        port = first.getsockname()[1]
        with pytest.raises(OSError, match="in use"):
            open_socket("127.0.0.1", port, joins=True)
        let_others_join(first)
        open_socket("127.0.0.1", port, joins=True).close()


@pytest.mark.parametrize("takes_rest", [True, False])
def test_who_is_in_the_backlog_when_it_closes(takes_rest: bool) -> None:
    """They are accepted, so that they can be told something, or left to whoever has the socket too."""
    sock = open_socket("127.0.0.1", 0)
    others = sock.dup()
    accepting = Accepting(sock)
    clients = [socket.create_connection(sock.getsockname()) for _ in range(BURST + 2)]
    accepting.listener.close(takes_rest=takes_rest)
    assert (BURST + 2) * takes_rest == len(accepting.clients)
    assert ({}, -1) == (accepting.loop.readers, sock.fileno())
    for each in (*clients, others):
        each.close()


def test_the_rest_has_an_end() -> None:
    """However fast they come, and without descriptors for them."""

    class Endless(Backlog):
        def accept(self) -> tuple[socket.socket, tuple[str, int]]:
            self.accepts += 1
            return socket.socket(), ("192.0.2.7", 40000)

    with socket.create_server(("127.0.0.1", 0)) as real, socket.create_connection(real.getsockname()):
        endless = Endless()
        endless.fileno = real.fileno  # type: ignore[method-assign]
        Accepting(cast(socket.socket, endless)).listener.close(takes_rest=True)
        assert BACKLOG == endless.accepts
        refused = Backlog(*[errno.EMFILE] * 9)
        refused.fileno = real.fileno  # type: ignore[method-assign]
        accepting = Accepting(cast(socket.socket, refused))
        accepting.listener.close(takes_rest=True)
        accepting.loop.advance(1.0)
        assert (1, {}) == (refused.accepts, accepting.loop.readers)


def test_a_burst_is_bounded() -> None:
    """Accepting cannot starve those who are in: the rest waits for the next turn."""
    accepting, backlog = scripted(*[0] * (BURST + 5))
    (call, _) = accepting.loop.readers[backlog.fileno()]
    call()
    assert BURST == len(accepting.clients)
    call()
    assert BURST + 5 == len(accepting.clients)
    accepting.listener.close()


def test_nobody_is_asked_for_who_is_not_there() -> None:
    """An accept that finds nobody is dear."""

    class Counting(socket.socket):
        accepts = 0

        def accept(self) -> tuple[socket.socket, tuple[str, int]]:
            self.accepts += 1
            return super().accept()

    sock = Counting(socket.AF_INET, socket.SOCK_STREAM)
    sock.bind(("127.0.0.1", 0))
    sock.listen()
    accepting = Accepting(sock)
    with socket.create_connection(sock.getsockname()), socket.create_connection(sock.getsockname()):
        accepting.loop.readers[sock.fileno()][0]()
        assert (2, 2) == (sock.accepts, len(accepting.clients))
    accepting.listener.close()


def test_addresses_come_in_one_form() -> None:
    """An IPv4 client of an IPv6 socket is an IPv4 client."""
    accepting, backlog = scripted(0)
    accepting.loop.readers[backlog.fileno()][0]()
    assert [("192.0.2.7", Endpoint("127.0.0.1", 2525))] == accepting.clients
    accepting.listener.close()


@pytest.mark.parametrize("fault", [errno.ECONNABORTED, errno.EPROTO, errno.ENETDOWN, errno.EHOSTUNREACH])
def test_a_client_that_is_gone_before_it_is_accepted(fault: int) -> None:
    """The next one is accepted."""
    accepting, backlog = scripted(fault, 0)
    accepting.loop.readers[backlog.fileno()][0]()
    assert (1, []) == (len(accepting.clients), accepting.stress)
    accepting.listener.close()


@pytest.mark.parametrize("fault", [errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM])
def test_without_descriptors_it_pauses(fault: int) -> None:
    """It does not spin, and tells of the stress once; with descriptors it goes on and tells that."""
    accepting, backlog = scripted(0, fault, fault, 0)
    accepting.loop.readers[backlog.fileno()][0]()
    assert (1, {}, [(True, errno.errorcode[fault])]) == (len(accepting.clients), accepting.loop.readers, accepting.stress)
    accepting.loop.advance(PAUSE - 0.01)
    assert {} == accepting.loop.readers
    accepting.loop.advance(0.02)
    accepting.loop.readers[backlog.fileno()][0]()
    assert (1, {}, 1) == (len(accepting.clients), accepting.loop.readers, len(accepting.stress))
    accepting.loop.advance(PAUSE + 0.01)
    accepting.loop.readers[backlog.fileno()][0]()
    assert (2, [(True, errno.errorcode[fault]), (False, "")]) == (len(accepting.clients), accepting.stress)
    accepting.listener.close()


def test_closing_while_it_pauses() -> None:
    """It does not come back."""
    accepting, backlog = scripted(errno.EMFILE)
    accepting.loop.readers[backlog.fileno()][0]()
    accepting.listener.close()
    accepting.loop.advance(1.0)
    assert ({}, -1) == (accepting.loop.readers, backlog.fileno())
