"""Wiring: the descriptors a front door may have, and the sockets that it is handed."""

from __future__ import annotations

import resource
import socket
from contextlib import suppress
from typing import Any

import pytest

from tarry.config.places import Inherited
from tarry.config.schema import Config
from tarry.config.tables import Listen
from tarry.core.client import Endpoint
from tarry.net.listener import listen
from tarry.sockets import KEPT_DESCRIPTORS, OWN, Open, fit_descriptors, open_sockets
from tests.side import descriptors

# Descriptors.


@pytest.mark.parametrize(
    ("limits", "asked", "fits"),
    [
        ((1024, 1024), 100, 100),
        ((1024, 1024), 750, 750),
        ((1024, 1024), 751, 750),
        ((64, 1024), 1000, 750),
        ((KEPT_DESCRIPTORS, KEPT_DESCRIPTORS), 10, 1),
        ((resource.RLIM_INFINITY, resource.RLIM_INFINITY), 1_000_000, 1_000_000),
    ],
)
def test_clients_are_fitted_to_the_descriptors(
    monkeypatch: pytest.MonkeyPatch, limits: tuple[int, int], asked: int, fits: int
) -> None:
    """Three quarters of what the hard limit allows; fewer than asked is told, with what to do."""
    raised: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "getrlimit", lambda which: limits)
    monkeypatch.setattr(resource, "setrlimit", lambda which, new: raised.append(new))
    found, note = fit_descriptors(asked)
    assert (fits, fits < asked) == (found, bool(note))
    assert [(limits[1], limits[1])] * (limits[0] != limits[1]) == raised
    assert not note or f"at most {fits} clients" in note


def test_a_limit_that_may_not_be_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    """The soft limit it is."""

    def refuse(which: int, new: tuple[int, int]) -> None:
        raise PermissionError

    monkeypatch.setattr(resource, "getrlimit", lambda which: (424, 4096))
    monkeypatch.setattr(resource, "setrlimit", refuse)
    assert (300, "may have 424 descriptors") == (fit_descriptors(9999)[0], fit_descriptors(9999)[1][13:37])


# Sockets of a supervisor.


A, B, C = "abc"
NO_TLS, TLS = False, True


def test_a_socket_that_nobody_asks_for_is_closed() -> None:
    """Clients that the supervisor's unit lets in would wait in it for ever otherwise."""
    a, b = (socket.create_server(("127.0.0.1", 0)) for _ in range(2))
    ((found, *_),) = open_sockets(Listen(smtp=(Inherited("b"),)), [("a", a), ("b", b)])
    assert (b, -1) == (found, a.fileno())
    b.close()


@pytest.mark.parametrize(
    ("kind", "why"), [("client", "it is a client, and does not listen; write Accept=no"), ("unix", "it is no socket for TCP")]
)
def test_what_was_handed_over_cannot_be_used(kind: str, why: str) -> None:
    """One of Accept=yes would keep the loop busy for ever; and no socket is left open."""
    before = descriptors()
    sock = socket.socket(socket.AF_UNIX if kind == "unix" else socket.AF_INET)
    with pytest.raises(OSError, match=f"systemd: what was handed over cannot be used: {why}"):
        open_sockets(Listen(smtp=(Inherited(),)), [("unknown", sock)])
    assert before == descriptors()


@pytest.mark.parametrize(
    ("smtp", "smtps", "opened"),
    [
        ([Inherited()], [], [(A, NO_TLS), (B, NO_TLS), (C, NO_TLS)]),
        ([Inherited("b")], [Inherited()], [(B, NO_TLS), (A, TLS), (C, TLS)]),
        ([Inherited("c"), Inherited("a")], [Inherited("b")], [(C, NO_TLS), (A, NO_TLS), (B, TLS)]),
        ([Endpoint("127.0.0.1", 0)], [Inherited("a")], [("", NO_TLS), (A, TLS)]),
    ],
)
def test_sockets_of_a_supervisor(smtp: list[Any], smtps: list[Any], opened: list[tuple[str, bool]]) -> None:
    """By name; ``systemd`` has those that no other key names."""
    handed = [(name, socket.create_server(("127.0.0.1", 0))) for name in "abc"]
    names = {sock: name for name, sock in handed}
    found = open_sockets(Listen(smtp=tuple(smtp), smtps=tuple(smtps)), handed)
    assert opened == [(names.get(sock, ""), has_tls) for sock, has_tls, _ in found]
    for sock in (*names, *(one.sock for one in found)):
        sock.close()


@pytest.mark.parametrize(("wanted", "handed"), [("systemd", []), ("systemd:a", ["b"])])
def test_sockets_that_nobody_handed_over(wanted: str, handed: list[str]) -> None:
    """A sentence for the operator, and no socket is left open."""
    sockets = [(name, socket.create_server(("127.0.0.1", 0))) for name in handed]
    listen = Config.from_toml(f'[listen]\nsmtp = ["127.0.0.1:0", "{wanted}"]').listen
    before = descriptors()
    with pytest.raises(OSError, match=f"{wanted}: no such socket was handed over; start tarry by its socket unit"):
        open_sockets(listen, sockets)
    assert before - len(handed) == descriptors()


# Sockets for several workers, and those of an earlier tarry.


HERE = Listen(smtp=(Endpoint("127.0.0.1", 0),))


def close_all(opened: list[Open]) -> None:
    for one in opened:
        one.sock.close()


def test_each_worker_has_a_socket_and_a_second_tarry_is_refused() -> None:
    """The kernel shares clients out; by mistake nobody joins."""
    opened = open_sockets(HERE, [], 3)
    where = {one.sock.getsockname() for one in opened}
    assert (3, 1) == (len(opened), len(where))
    ((host, port),) = where
    with pytest.raises(OSError, match="in use"):
        open_sockets(Listen(smtp=(Endpoint(host, port),)), [], 3)
    for _ in range(40):
        socket.create_connection((host, port)).close()
    waiting = 0
    for one in opened:
        while True:
            try:
                one.sock.accept()[0].close()
            except BlockingIOError:
                break
            waiting += 1
    assert 40 == waiting
    close_all(opened)


@pytest.mark.parametrize(("before", "after", "expected"), [(1, 1, 1), (2, 2, 2), (1, 3, 3), (3, 1, 3)])
def test_sockets_of_an_earlier_tarry_are_known_by_their_address(before: int, after: int, expected: int) -> None:
    """More are opened where workers have none; none is closed, for there may be clients in its backlog."""
    old = open_sockets(Listen(smtp=(Endpoint("127.0.0.1", 0), Endpoint("127.0.0.1", 0))), [], before)
    ports = sorted({one.sock.getsockname()[1] for one in old})
    new = open_sockets(Listen(smtp=(Endpoint("127.0.0.1", ports[1]),)), [(OWN, one.sock) for one in old], after)
    assert {ports[1]} == {one.sock.getsockname()[1] for one in new}
    assert expected == len(new)
    assert {ports[1]} == {one.sock.getsockname()[1] for one in old if one.sock.fileno() >= 0}
    assert {""} == {one.name for one in new}
    close_all(new)


def test_without_the_right_to_open_more_workers_share(monkeypatch: pytest.MonkeyPatch) -> None:
    """A port below 1024, after the user was changed."""
    old = open_sockets(HERE, [])

    def refuse(*args: object, **more: object) -> socket.socket:
        raise PermissionError

    monkeypatch.setattr("tarry.sockets.open_socket", refuse)
    new = open_sockets(HERE, [(OWN, one.sock) for one in old], 4)
    assert [one.sock for one in old] == [one.sock for one in new]
    close_all(new)
    with pytest.raises(PermissionError):
        open_sockets(HERE, [], 4)


def test_a_new_version_takes_nobody_before_it_serves() -> None:
    """Who comes while it begins with more workers is the old one's, also where it never comes up: nobody is refused."""
    (old,) = open_sockets(HERE, [], 1)
    new = open_sockets(HERE, [(OWN, old.sock.dup())], 4)
    assert 4 == len(new)
    clients = [socket.create_connection(old.sock.getsockname()) for _ in range(20)]
    close_all(new)
    for _ in clients:
        old.sock.accept()[0].close()  # which would not wait
    for one in (*clients, old.sock):
        one.close()


def test_a_new_version_takes_its_share_when_it_serves() -> None:
    """Its own sockets join then."""
    (old,) = open_sockets(HERE, [], 1)
    new = open_sockets(HERE, [(OWN, old.sock)], 2)
    for one in new:
        listen(one.sock)
    clients = [socket.create_connection(old.sock.getsockname()) for _ in range(64)]
    with suppress(BlockingIOError):
        for _ in clients:
            new[1].sock.accept()[0].close()
            clients.pop().close()
    assert len(clients) < 64
    for client in clients:
        client.close()
    close_all(new)


def test_a_second_socket_that_cannot_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    """At a first start it is an error, and no socket is left open."""
    real = socket.socket.bind
    before, calls = descriptors(), []

    def bind(sock: socket.socket, address: object) -> None:
        calls.append(address)
        if len(calls) > 1:
            raise OSError("no more")
        real(sock, address)  # type: ignore[arg-type]

    monkeypatch.setattr("tarry.net.listener.socket.socket", type("Sock", (socket.socket,), {"bind": bind}))
    with pytest.raises(OSError, match="no more"):
        open_sockets(HERE, [], 2)
    assert before == descriptors()


def test_a_name_that_systemd_gave_stays_with_its_socket() -> None:
    """So that a new version finds it under that name; an own socket is nobody's for "systemd"."""
    given, own = (socket.create_server(("127.0.0.1", 0)) for _ in range(2))
    (found,) = open_sockets(Listen(smtp=(Inherited(),)), [("smtp", given), (OWN, own)])
    assert Open(given, False, "smtp") == found
    assert -1 == own.fileno()
    given.close()
