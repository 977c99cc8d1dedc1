"""server - the HTTP server of /metrics and /health.

What      `open_web` serves, in a thread: ``/metrics`` in Prometheus' text format or OpenMetrics, as the client asks; ``/health``
          with 200 and "ok" where clients may come, and with 503 and a line for each trouble where they had better not.
Promises  It is on an address of its own and never an SMTP client. The state is made by the event loop and handed over whole;
          nothing of the server is touched from the thread, and a loop that stands still for `PATIENCE_FOR_STATE` seconds is a 503.
          Only GET and HEAD; no other path. At most `MOST_CLIENTS` connections, each for `PATIENCE` seconds all in all, however
          slowly it talks.
Not here  TLS and passwords: whoever reaches the address can read it (config/problems warns where that is not this host only).
How       The standard library's WSGI server around prometheus_client's application.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import CancelledError
from contextlib import suppress
from socketserver import TCPServer, ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer
from wsgiref.types import StartResponse, WSGIEnvironment

from prometheus_client import CollectorRegistry, make_wsgi_app

from tarry.control.server import Answer
from tarry.control.states import State, unhealthy
from tarry.core.client import Endpoint
from tarry.web.metrics import Fixed

MOST_CLIENTS = 16
PATIENCE = 10.0
"""Seconds that a connection may last."""
PATIENCE_FOR_STATE = 2.0
"""Seconds; above the one second that the hub gives its workers."""
_LOOK = 0.25
"""Seconds between looks at who has been there too long, and at whether it is to end."""


class Web:
    """A running HTTP server."""

    def __init__(self, endpoint: Endpoint, loop: asyncio.AbstractEventLoop, answer: Answer) -> None:
        self._server = _Server(endpoint, _Application(loop, answer), loop.time)
        self._loop = loop
        self._thread = threading.Thread(target=self._server.serve_forever, args=(_LOOK,), name="tarry-web", daemon=True)
        self._thread.start()

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens, as (host, port)."""
        host, port = self._server.server_address[:2]
        return str(host), int(port)

    async def close(self) -> None:
        """End; connections that are open are closed."""
        await self._loop.run_in_executor(None, self._server.shutdown)
        self._server.server_close()
        self._server.end_all()


def open_web(endpoint: Endpoint, loop: asyncio.AbstractEventLoop, answer: Answer) -> tuple[Web | None, str]:
    """Return the server, or None and, in a sentence, why it cannot be had. Never raises OSError."""
    try:
        return Web(endpoint, loop, answer), ""
    except OSError as fault:
        why = os.strerror(fault.errno) if fault.errno and fault.errno > 0 else str(fault)
        return None, f"web.listen {endpoint} cannot be had: {why}; /metrics and /health are not served"


class _Application:
    """The WSGI application."""

    def __init__(self, loop: asyncio.AbstractEventLoop, answer: Answer) -> None:
        self._loop = loop
        self._answer = answer

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        pages = {"/metrics": self._metrics, "/health": self._health}
        page = pages.get(environ["PATH_INFO"])
        if page is None:
            status, headers, body = _text("404 Not Found", "there are /metrics and /health")
        elif environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
            status, headers, body = _text("405 Method Not Allowed", "GET and HEAD only")
            headers.append(("Allow", "GET, HEAD"))
        elif (state := self._ask()) is None:
            status, headers, body = _text("503 Service Unavailable", "the server does not answer")
        else:
            status, headers, body = page(state, environ)
        start_response(status, [*headers, ("Content-Length", str(len(body))), ("Cache-Control", "no-store")])
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [body]

    def _ask(self) -> State | None:
        asking = self._answer()
        try:
            asked = asyncio.run_coroutine_threadsafe(asking, self._loop)
        except RuntimeError:  # the loop has ended
            asking.close()
            return None
        try:
            return asked.result(PATIENCE_FOR_STATE)
        except (TimeoutError, CancelledError):
            asked.cancel()
            return None

    def _health(self, state: State, _: WSGIEnvironment) -> tuple[str, list[tuple[str, str]], bytes]:
        found = unhealthy(state)
        return _text("503 Service Unavailable", *found) if found else _text("200 OK", "ok")

    def _metrics(self, state: State, environ: WSGIEnvironment) -> tuple[str, list[tuple[str, str]], bytes]:
        registry = CollectorRegistry(auto_describe=True)  # so that ?name[]= finds names
        registry.register(Fixed(state))
        started: list[tuple[str, list[tuple[str, str]]]] = []

        def start_response(status: str, headers: list[tuple[str, str]], *_: Any) -> None:
            started.append((status, headers))

        pieces = make_wsgi_app(registry)({**environ, "REQUEST_METHOD": "GET"}, start_response)
        status, headers = started[0]
        return status, headers, b"".join(pieces)


def _text(status: str, *lines: str) -> tuple[str, list[tuple[str, str]], bytes]:
    body = "".join(f"{line}\n" for line in lines).encode("utf-8", "replace")
    return status, [("Content-Type", "text/plain; charset=utf-8")], body


class _Server(ThreadingMixIn, WSGIServer):
    """The standard library's, with bounds: on how many connections there are, and on how long each may last."""

    daemon_threads = True
    request_queue_size = MOST_CLIENTS

    def __init__(self, endpoint: Endpoint, application: _Application, monotonic: Callable[[], float]) -> None:
        self.address_family = socket.AF_INET6 if ":" in endpoint.host else socket.AF_INET
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._ends_at: dict[socket.socket, float] = {}
        self._is_ending = threading.Event()
        super().__init__((endpoint.host, endpoint.port), _Handler)
        self.set_app(application)

    def server_bind(self) -> None:
        # HTTPServer's own asks the name server for the host's name, and waits for it.
        TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])
        self.setup_environ()

    def get_request(self) -> tuple[socket.socket, Any]:
        try:
            return super().get_request()
        except OSError as fault:
            if fault.errno in (errno.EMFILE, errno.ENFILE):  # it is asked again at once, and would take the core from the clients
                self._is_ending.wait(_LOOK)
            raise

    def verify_request(self, request: Any, client_address: Any) -> bool:
        with self._lock:
            if len(self._ends_at) >= MOST_CLIENTS:
                return False
            self._ends_at[request] = self._monotonic() + PATIENCE
            return True

    def shutdown_request(self, request: Any) -> None:
        with self._lock:
            self._ends_at.pop(request, None)
        super().shutdown_request(request)

    def service_actions(self) -> None:
        now = self._monotonic()
        with self._lock:
            for request, ends_at in self._ends_at.items():
                if now >= ends_at:
                    _end(request)

    def shutdown(self) -> None:
        self._is_ending.set()
        super().shutdown()

    def end_all(self) -> None:
        with self._lock:
            for request in self._ends_at:
                _end(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away, or was ended, is nothing to tell anybody."""


class _Handler(WSGIRequestHandler):
    timeout = PATIENCE

    def log_message(self, format: str, *args: Any) -> None:
        """Tell nobody: who asks how the server is, is no client of it."""


def _end(request: socket.socket) -> None:
    """Have whoever reads or writes there find the end; its own thread closes it."""
    with suppress(OSError):  # ENOTCONN: the other side has gone
        request.shutdown(socket.SHUT_RDWR)
