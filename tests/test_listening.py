"""Wiring: the sockets on which a process listens."""

from __future__ import annotations

import asyncio
import socket

import pytest

from tarry.core.client import Endpoint
from tarry.listening import Listening
from tarry.sockets import Open


class Room:
    """Takes clients, and remembers their ports and whether they begin with TLS."""

    def __init__(self) -> None:
        self.taken: list[tuple[int, bool]] = []

    def take(self, sock: socket.socket, host: str, port: int, server: Endpoint, *, has_tls: bool) -> None:
        self.taken.append((port, has_tls))
        sock.close()


def opened(name: str = "", *, has_tls: bool = False) -> Open:
    sock = socket.create_server(("127.0.0.1", 0))
    sock.setblocking(False)
    return Open(sock, has_tls, name)


def come(one: Open) -> int:
    """Have a client come; return its port."""
    with socket.create_connection(one.sock.getsockname()) as client:
        return int(client.getsockname()[1])


def test_its_own_clients_and_those_of_another_worker() -> None:
    """Only its own addresses are where it listens; a worker that is back has its socket for itself."""

    async def scenario() -> None:
        room, listening = Room(), Listening(lambda on, why: None)
        own, other = opened(has_tls=True), opened()
        kept = other.sock.dup()
        listening.begin([own], room.take)
        listening.begin([other], room.take, 2)
        ports = [come(own), come(other)]
        await asyncio.sleep(0.01)
        assert {(ports[0], True), (ports[1], False)} == set(room.taken)
        assert (Endpoint(*own.sock.getsockname()),) == listening.endpoints
        address = other.sock.getsockname()
        listening.leave(2)
        listening.leave(2)
        with kept, socket.create_connection(address):
            await asyncio.sleep(0.01)
            kept.accept()[0].close()
        listening.cease()
        assert () == listening.endpoints

    asyncio.run(scenario())


@pytest.mark.parametrize("worker", [0, 2])
def test_who_waits_when_it_ceases(worker: int) -> None:
    """Is taken, unless a supervisor keeps the socket; and what comes afterwards is closed."""

    async def scenario() -> None:
        room, listening = Room(), Listening(lambda on, why: None)
        ours, systemds, late = opened(), opened("smtp"), opened()
        listening.begin([ours, systemds], room.take, worker)
        port = come(ours)
        come(systemds)
        listening.cease(takes_rest=True)
        assert [(port, False)] == room.taken
        listening.begin([late], room.take, worker)
        assert [-1, -1, -1] == [one.sock.fileno() for one in (ours, systemds, late)]

    asyncio.run(scenario())
