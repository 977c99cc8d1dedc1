"""Sockets that a supervisor hands over, in a child that has them at the descriptors of the protocol."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

import pytest

from tarry.net.inherited import take, unusable

CHILD = """
import os
from tarry.net.inherited import take
os.environ["LISTEN_PID"] = str(os.getpid())
for name, sock in take(os.environ, os.getpid()):
    print(name, sock.getsockname()[1], os.get_inheritable(sock.fileno()), sock.getblocking())
print(sorted(name for name in os.environ if name.startswith("LISTEN_")))
"""


def handed(names: str, count: int) -> list[str]:
    """Return what a child that got *count* listening sockets at 3, 4, ... found; ports are shown as their place."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = {str(sock.getsockname()[1]): str(place) for place, sock in enumerate(sockets)}
    # The shell puts each where the protocol wants it.
    moves = " ".join(f"{3 + place}<&{sock.fileno() + 100}" for place, sock in enumerate(sockets))
    for sock in sockets:
        os.dup2(sock.fileno(), sock.fileno() + 100)
    environment = {**os.environ, "LISTEN_FDS": str(count), "LISTEN_FDNAMES": names}
    try:
        done = subprocess.run(
            ["/bin/bash", "-c", f'exec "$@" {moves}', "bash", sys.executable, "-c", CHILD],
            env=environment, close_fds=False, capture_output=True, text=True, timeout=20, check=True,
        )  # fmt: skip
    finally:
        for sock in sockets:
            os.close(sock.fileno() + 100)
            sock.close()
    return [" ".join(ports.get(word, word) for word in line.split()) for line in done.stdout.splitlines()]


def test_named_sockets_come_with_their_names() -> None:
    """In order, non-blocking, closed on exec; and the environment says nothing of them any more."""
    assert ["smtp 0 False False", "smtps 1 False False", "[]"] == handed("smtp:smtps", 2)


def test_a_socket_without_a_name_is_unknown() -> None:
    """As sd_listen_fds_with_names(3) calls it."""
    assert ["unknown 0 False False", "[]"] == handed("", 1)


def test_sockets_for_another_process_are_left_alone() -> None:
    """LISTEN_PID names whom they are for; the variables go all the same."""
    environment = {"LISTEN_FDS": "1", "LISTEN_PID": "1", "LISTEN_FDNAMES": "a"}
    assert [] == take(environment, os.getpid())
    assert {} == environment


@pytest.mark.parametrize(
    ("family", "kind", "listens", "why"),
    [
        (socket.AF_INET, socket.SOCK_STREAM, True, ""),
        (socket.AF_INET6, socket.SOCK_STREAM, True, ""),
        (socket.AF_INET, socket.SOCK_STREAM, False, "it is a client, and does not listen; "),
        (socket.AF_INET, socket.SOCK_DGRAM, False, "it is no socket for TCP; "),
        (socket.AF_UNIX, socket.SOCK_STREAM, True, "it is no socket for TCP; "),
    ],
)
def test_what_clients_can_be_accepted_on(family: int, kind: int, listens: bool, why: str) -> None:
    """TCP that listens; all else is a socket unit that was written for something else."""
    with socket.socket(family, kind) as sock:
        if listens and family == socket.AF_UNIX:
            sock.bind("\0" + os.urandom(8).hex())
        if listens:
            sock.listen()
        sock.setblocking(False)
        assert why == unusable(sock)[: len(why)]
        assert bool(why) == bool(unusable(sock))


def test_nothing_handed_over_is_nothing() -> None:
    """A start by hand."""
    assert [] == take({}, os.getpid())


def test_variables_that_are_no_numbers_are_an_error() -> None:
    """A supervisor that writes nonsense is not guessed at."""
    with pytest.raises(ValueError, match="x"):
        take({"LISTEN_FDS": "x", "LISTEN_PID": str(os.getpid())}, os.getpid())
