"""The HTTP server: its two pages, and what it bears."""

from __future__ import annotations

import asyncio
import errno
import http.client
import socket
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress

import pytest
from msgspec.structs import replace

from tarry.control.states import Mta, State
from tarry.core.client import Endpoint
from tarry.record.schema import Close
from tarry.record.tally import tally
from tarry.web import server
from tarry.web.server import Web, open_web
from tests.web.read import samples

WELL = State(1, "0.1", 1700000000.5, "abc", held=3, mta=Mta("mx:25"), tally=tally([Close(reasons=("pregreet.spoke",))]))
AWAY = replace(WELL, draining=True, mta=Mta("mx:25", False, "refused"))
PATIENCE = 20.0


class Serving:
    """An event loop in a thread of its own, and a server that asks it."""

    def __init__(self, host: str = "127.0.0.1") -> None:
        self.state = WELL
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever)
        self.thread.start()
        self.web, self.trouble = open_web(Endpoint(host, 0), self.loop, self._tell)

    async def _tell(self) -> State:
        return self.state

    def close(self) -> None:
        if self.web is not None:
            asyncio.run_coroutine_threadsafe(self.web.close(), self.loop).result(PATIENCE)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(PATIENCE)
        self.loop.run_until_complete(self.loop.shutdown_default_executor())
        self.loop.close()

    def connect(self) -> socket.socket:
        assert self.web is not None
        return socket.create_connection(self.web.address, PATIENCE)


@contextmanager
def serving(host: str = "127.0.0.1") -> Iterator[Serving]:
    made = Serving(host)
    try:
        yield made
    finally:
        made.close()


@pytest.fixture(scope="module")
def shared() -> Iterator[Serving]:
    with serving() as made:
        yield made


@pytest.fixture
def well(shared: Serving) -> Serving:
    shared.state = WELL
    return shared


class Answer:
    """What came back."""

    def __init__(self, web: Web | None, path: str, method: str = "GET", **headers: str) -> None:
        assert web is not None
        asking = http.client.HTTPConnection(*web.address, timeout=PATIENCE)
        with closing(asking):
            asking.request(method, path, headers={name.replace("_", "-"): value for name, value in headers.items()})
            reply = asking.getresponse()
            self.status, self.headers, self.body = reply.status, reply.headers, reply.read().decode("utf-8", "replace")


# Pages.


def test_health_is_ok(well: Serving) -> None:
    """In a word."""
    answer = Answer(well.web, "/health")
    assert (200, "ok\n", "no-store") == (answer.status, answer.body, answer.headers["Cache-Control"])


def test_health_is_not(well: Serving) -> None:
    """A line for each trouble, and a status that balancers act on."""
    well.state = AWAY
    answer = Answer(well.web, "/health")
    assert (503, "it is draining: no new clients are taken\nthe MTA at mx:25 is away: refused\n") == (answer.status, answer.body)


def test_metrics(well: Serving) -> None:
    """In the text format."""
    answer = Answer(well.web, "/metrics")
    assert (200, True) == (answer.status, answer.headers["Content-Type"].startswith("text/plain"))
    found = samples(answer.body)
    assert (3, 1) == (found["tarry_held_clients"], found['tarry_reasons_total{reason="pregreet.spoke"}'])


def test_metrics_in_openmetrics_where_it_is_asked_for(well: Serving) -> None:
    """As Prometheus asks."""
    answer = Answer(well.web, "/metrics", Accept="application/openmetrics-text; version=1.0.0")
    assert (True, True) == (
        answer.headers["Content-Type"].startswith("application/openmetrics-text"),
        answer.body.endswith("# EOF\n"),
    )


def test_some_metrics_by_name(well: Serving) -> None:
    """As federation and curl ask."""
    found = samples(Answer(well.web, "/metrics?name[]=tarry_held_clients").body)
    assert {"tarry_held_clients": 3} == found


@pytest.mark.parametrize("path", ["/health", "/metrics"])
def test_head_is_the_same_without_a_body(well: Serving, path: str) -> None:
    """Some balancers ask so."""
    whole, head = Answer(well.web, path), Answer(well.web, path, "HEAD")
    assert (200, "", whole.headers["Content-Length"]) == (head.status, head.body, head.headers["Content-Length"])


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "/health", 405),
        ("DELETE", "/metrics", 405),
        ("OPTIONS", "/metrics", 405),
        ("GET", "/", 404),
        ("GET", "/favicon.ico", 404),
        ("GET", "/metrics/", 404),
        ("GET", "/../health", 404),
        ("POST", "/nothing", 404),
    ],
)
def test_there_is_nothing_else(well: Serving, method: str, path: str, status: int) -> None:
    """No other method, no other path."""
    assert status == Answer(well.web, path, method).status


# What it bears.


@pytest.mark.parametrize("sent", [b"EHLO x\r\n", b"\x16\x03\x01\x02\x00\x01\r\n", b"GET " + b"/" * 70_000, b"\r\n", b""])
def test_what_is_no_http_ends(well: Serving, sent: bytes) -> None:
    """Nothing hangs, and the next one is served."""
    with well.connect() as sock, suppress(ConnectionError):
        sock.sendall(sent)
        sock.shutdown(socket.SHUT_WR)
        while sock.recv(65536):
            pass
    assert 200 == Answer(well.web, "/health").status


@pytest.mark.slow
def test_slow_and_many_clients(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those beyond the bound are closed; who dribbles is ended however often it writes; then there is room again."""
    monkeypatch.setattr(server, "PATIENCE", 3600.0)
    with serving() as made:
        slow = [made.connect() for _ in range(server.MOST_CLIENTS)]
        for sock in slow:
            sock.sendall(b"GET /health HTTP/1.0\r\nX-")
        with made.connect() as one_more:
            assert b"" == one_more.recv(100)
        assert made.web is not None
        _let_time_go_by(made.web)
        for sock in slow:
            with suppress(ConnectionError):
                while sock.recv(65536):
                    pass
            sock.close()
        assert 200 == _until_served(made)


def _let_time_go_by(web: Web) -> None:
    """Have it be an hour later for those who are there now."""
    with web._server._lock:
        web._server._ends_at.update(dict.fromkeys(web._server._ends_at, 0.0))


def _until_served(made: Serving) -> int:
    while True:
        with suppress(ConnectionError, http.client.HTTPException):
            return Answer(made.web, "/health").status


@pytest.mark.slow
def test_a_loop_that_stands_still_is_unhealthy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for it longer than a moment; it is asked again when it goes on."""
    monkeypatch.setattr(server, "PATIENCE_FOR_STATE", 0.05)
    with serving() as made:
        going_on = threading.Event()
        made.loop.call_soon_threadsafe(going_on.wait)
        answer = Answer(made.web, "/health")
        assert (503, "the server does not answer\n") == (answer.status, answer.body)
        going_on.set()
        monkeypatch.setattr(server, "PATIENCE_FOR_STATE", PATIENCE)
        assert 200 == Answer(made.web, "/health").status


@pytest.mark.slow
def test_a_loop_that_has_ended_is_unhealthy() -> None:
    """The thread survives its loop by a moment at the most, and says so."""
    with serving() as made:
        other = asyncio.new_event_loop()
        other.close()
        assert made.web is not None
        web, _ = open_web(Endpoint("127.0.0.1", 0), other, made._tell)
        answer = Answer(web, "/metrics")
        assert 503 == answer.status
        assert web is not None
        asyncio.run(_closed(web))


async def _closed(web: Web) -> None:
    web._loop = asyncio.get_running_loop()
    await web.close()


@pytest.mark.slow
def test_nothing_listens_after_the_end() -> None:
    """And who was connected is let go."""
    made = Serving()
    with made.connect() as sock:
        sock.sendall(b"GET /health HT")
        assert made.web is not None
        address = made.web.address
        made.close()
        with suppress(ConnectionError):
            assert b"" == sock.recv(100)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(address, PATIENCE)


# Where.


def test_ipv6() -> None:
    """As well."""
    with serving("::1") as made:
        assert 200 == Answer(made.web, "/health").status


@pytest.mark.parametrize("host", ["127.0.0.1", "no-such-name.invalid"])
def test_an_address_that_cannot_be_had_is_told(host: str) -> None:
    """In a sentence, and nothing is raised."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        loop = asyncio.new_event_loop()
        endpoint = Endpoint(host, taken.getsockname()[1])
        found, why = open_web(endpoint, loop, _never)
        loop.close()
    assert found is None
    assert why.startswith(f"web.listen {endpoint} cannot be had: ")
    assert why.endswith("; /metrics and /health are not served")
    assert host != "127.0.0.1" or "Address already in use" in why


async def _never() -> State:
    raise AssertionError


@pytest.mark.slow
def test_what_it_tells_is_told_in_the_loop(well: Serving) -> None:
    """The state is made where it lives: no other thread touches it."""
    told_by: list[int] = []

    async def telling() -> State:
        told_by.append(threading.get_ident())
        return WELL

    web, _ = open_web(Endpoint("127.0.0.1", 0), well.loop, telling)
    assert web is not None
    assert 200 == Answer(web, "/health").status
    asyncio.run_coroutine_threadsafe(web.close(), well.loop).result(PATIENCE)
    assert [well.thread.ident] == told_by


def test_without_descriptors_it_does_not_spin(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who waits there is taken later; the processor is for the clients."""
    slept: list[float] = []

    def accept(listening: socket.socket) -> None:
        raise OSError(errno.EMFILE, "too many open files")

    with serving() as one:
        assert one.web is not None
        monkeypatch.setattr(one.web._server._is_ending, "wait", slept.append)
        monkeypatch.setattr(server.WSGIServer, "get_request", accept)
        with pytest.raises(OSError, match="too many open files"):
            one.web._server.get_request()
        assert [0.25] == slept
        monkeypatch.undo()
