"""Wiring: the descriptors a front door may have, and the sockets that it is handed."""

from __future__ import annotations

import resource
import socket
from typing import Any

import pytest

from tarry.config.places import Inherited
from tarry.config.schema import Config
from tarry.config.tables import Listen
from tarry.core.client import Endpoint
from tarry.sockets import KEPT_DESCRIPTORS, fit_descriptors, open_sockets
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
    ((found, _),) = open_sockets(Listen(smtp=(Inherited("b"),)), [("a", a), ("b", b)])
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
    assert opened == [(names.get(sock, ""), has_tls) for sock, has_tls in found]
    for sock in (*names, *(sock for sock, _ in found)):
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
