"""The socket on descriptor 0, and who is at its other end."""

from __future__ import annotations

import os
import select
import socket
import tempfile

import pytest

from tarry.core.client import Client, Endpoint
from tarry.net.peer import Unusable, take
from tests.shell import await_mask, pair, reset

TOLD = {"TCPREMOTEIP": "192.0.2.7", "TCPREMOTEPORT": "4711", "TCPLOCALIP": "198.51.100.1", "TCPLOCALPORT": "25"}
NAMED = Client(Endpoint("192.0.2.7", 4711), Endpoint("198.51.100.1", 25))


@pytest.mark.parametrize("environ", [{}, TOLD])
def test_the_kernel_knows_best(environ: dict[str, str]) -> None:
    """The environment may be inherited from anywhere."""
    ours, client = pair()
    sock, who = take(os.dup(ours.fileno()), environ)
    sock.close()
    assert Client(Endpoint(*client.getsockname()), Endpoint(*ours.getsockname())) == who


def test_a_mapped_address_is_shown_as_ipv4() -> None:
    """As everywhere: inetd may listen on ::."""
    with socket.socket(socket.AF_INET6) as listening:
        listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        listening.bind(("::ffff:127.0.0.1", 0))
        listening.listen(1)
        with socket.create_connection(("127.0.0.1", listening.getsockname()[1])) as client:
            sock, who = take(listening.accept()[0].detach(), {})
            sock.close()
            assert Client(Endpoint("127.0.0.1", client.getsockname()[1]), Endpoint("127.0.0.1", client.getpeername()[1])) == who


def test_a_socket_pair_is_told_of() -> None:
    """By the program that stands between tcpserver and tarry."""
    ours, theirs = socket.socketpair()
    with ours:
        sock, who = take(theirs.detach(), TOLD)
        sock.close()
    assert NAMED == who


@pytest.mark.parametrize(("environ", "expected"), [({}, None), (TOLD, NAMED)])
def test_a_client_that_has_gone_already(environ: dict[str, str], expected: Client | None) -> None:
    """Known where the environment names it, else unknown; in no case is it an error."""
    ours, client = pair()
    reset(client)
    await_mask(ours, 0)
    sock, who = take(os.dup(ours.fileno()), environ)
    sock.close()
    assert expected == who


def test_what_is_no_client_is_told_how_to_be_one() -> None:
    """A pipe, a file, a listening socket, a datagram socket, a socket pair that nobody explains."""
    reading, writing = os.pipe()
    with tempfile.TemporaryFile() as file:
        for fd, environ, said in (
            (reading, {}, "no client's socket; start it by inetd"),
            (reading, TOLD, "recordio"),
            (file.fileno(), {}, "no client's socket"),
        ):
            with pytest.raises(Unusable, match=said):
                take(fd, environ)
    os.close(reading)
    os.close(writing)


def test_sockets_of_another_kind() -> None:
    """Each has its own sentence."""
    listening = socket.create_server(("127.0.0.1", 0))
    one, other = socket.socketpair()
    datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    for sock, said in ((listening, "nowait"), (datagrams, "datagrams"), (one, "TCPREMOTEIP does not say")):
        with sock, pytest.raises(Unusable, match=said):
            take(sock.fileno(), {})
    other.close()


def test_nothing_is_read() -> None:
    """The command gets the first byte."""
    ours, client = pair()
    client.send(b"EHLO x\r\n")
    await_mask(ours, select.POLLIN)
    sock, _ = take(os.dup(ours.fileno()), {})
    sock.close()
    assert b"EHLO x\r\n" == ours.recv(100)
