"""door - a front door with a recording sink behind it, shared by the tests of one worker.

What     `Doors.use(config)` lends a `Door`: tarry in proxy mode, the sink as its MTA. The pair is started once for each
         configuration and lives as long as the worker; a test sees only the connections and records of its own time.
Promise  A door is lent in good order: no faults, strict dialect. When it comes back, tarry must still be the same
         process, and must have printed no traceback.
"""

import contextlib
import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tarry.net.backend import REFRESH
from tests.e2e.servers.clients import RawClient
from tests.e2e.servers.dialect import STRICT
from tests.e2e.servers.processes import wait_until
from tests.e2e.servers.recorded import Connection, Message
from tests.e2e.servers.sink import Sink
from tests.e2e.servers.tarry import Tarry

COMMON = """
[listen]
max_per_client = 0
[hold]
wait = "0s"
"""
"""Laid under every configuration: all clients come from one address, and nobody waits for a hold that is not the subject."""


class Door:
    """A running pair; `connections`, `messages` and `story` begin with the last `begin`."""

    def __init__(self, tarry: Tarry, sink: Sink) -> None:
        self.tarry = tarry
        self.sink = sink
        self._pid = tarry.pid
        self._since = time.monotonic()
        self._seen = self._read = 0

    def begin(self) -> None:
        """Put the sink in good order and forget what was."""
        self.sink.play()
        self.sink.dialect = STRICT
        self._seen = len(self.sink.connections)
        self._read = self.tarry.record_path.stat().st_size if self.tarry.record_path.exists() else 0

    def check(self) -> None:
        """Fail unless tarry lives and had no fault of its own."""
        assert (self.tarry.status, self.tarry.pid) == (None, self._pid), self.tarry.printed()
        assert "Traceback" not in self.tarry.printed()
        assert not [each for each in self.records() if "a fault of tarry itself" in each.get("why", "")]

    def client(self, *, source: str | None = None, timeout: float = 10.0) -> RawClient:
        return RawClient(self.tarry.port, source=source, timeout=timeout)

    def in_data(self, sender: str = "sender@client.example") -> RawClient:
        """Return a client that has just been told 354."""
        client = self.client()
        client.greeted()
        codes = [*client.envelope(sender), client.command(b"DATA").code]
        assert codes == [250, 250, 354], codes
        return client

    @property
    def connections(self) -> list[Connection]:
        return [each for each in self.sink.connections[self._seen :] if not self._is_refreshed_by(each)]

    @property
    def messages(self) -> list[Message]:
        """All messages that came to their end, whatever the reply."""
        return [message for connection in self.connections for message in list(connection.messages)]

    @property
    def lines(self) -> list[bytes]:
        """All command lines that reached the sink."""
        return [line for connection in self.connections for line in list(connection.lines)]

    @property
    def received(self) -> bytes:
        """All bytes that reached the sink."""
        return b"".join(bytes(connection.received) for connection in self.connections)

    def wait_closed(self, timeout: float = 10.0) -> None:
        """Return when every connection to the sink has ended. Fails when one does not."""
        assert self.sink.wait(lambda _: all(each.ended for each in self.connections), timeout), "a connection to the MTA stays open"

    def records(self, **wanted: object) -> list[dict[str, Any]]:
        """Return the records so far, of all sessions; only those whose fields equal *wanted*."""
        try:
            with self.tarry.record_path.open("rb") as file:
                file.seek(max(0, self._read - 1))
                text = file.read()
        except FileNotFoundError:
            return []
        if self._read:
            text = text.partition(b"\n")[2]  # `begin` may have looked while a line was being written
        parsed = [json.loads(line) for line in text[: text.rfind(b"\n") + 1].splitlines()]
        return [record for record in parsed if all(record.get(name) == value for name, value in wanted.items())]

    def _is_refreshed_by(self, connection: Connection) -> bool:
        """Say whether tarry, of whom no client wants anything, asks what the MTA can do once more, as it does every REFRESH."""
        is_late = connection.opened_at > self._since + REFRESH - 10
        return is_late and [line[:4] for line in connection.lines] == [b"EHLO", b"QUIT"]

    def story(self, port: int, timeout: float = 10.0) -> list[dict[str, Any]]:
        """Return all records of the session of the client that came from *port*, once it is closed."""
        found: list[dict[str, Any]] = []

        def is_closed() -> bool:
            ids = [each["id"] for each in self.records(ev="connect", port=port)]
            found[:] = self.records(id=ids[-1]) if ids else []
            return bool(found) and found[-1]["ev"] == "close"

        assert wait_until(is_closed, timeout), f"no closed session of port {port}: {found}"
        return found


@dataclass(frozen=True, slots=True)
class TlsSink:
    """How to make a sink that offers STARTTLS, and the certificate by which a client knows it."""

    make: Callable[[], Sink]
    certificate: Path


class Doors:
    """The doors of one worker; a context manager that ends them all."""

    def __init__(self) -> None:
        self._open: dict[object, Door] = {}
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None) -> None:
        self._open.clear()
        self._stack.close()

    @contextlib.contextmanager
    def use(
        self,
        config: str = "",
        *,
        announce: str = "none",
        address: str = "127.0.0.1",
        arguments: Sequence[str] = (),
        sink: Callable[[], Sink] = Sink,
    ) -> Iterator[Door]:
        """Lend the door of this configuration. *sink* makes its MTA, and with it tells doors of one configuration apart."""
        key = (config, announce, address, tuple(arguments), sink)
        if key not in self._open:
            behind = self._stack.enter_context(sink())
            tarry = Tarry(_merged(config), backend=behind.port, announce=announce, address=address, arguments=arguments)
            self._stack.enter_context(tarry)
            assert tarry.wait_records(1, ev="start"), tarry.printed()
            # It has asked what the MTA can do, and has been told: a machine that stands still may take it a second try.
            assert behind.wait(lambda _: any(_is_told(each) for each in behind.connections), 30.0), tarry.printed()
            self._open[key] = Door(tarry, behind)
        door = self._open[key]
        door.begin()
        yield door
        door.check()
        door.begin()


def _is_told(connection: Connection) -> bool:
    """Say whether tarry's question to the MTA has come to its end."""
    return bool(connection.ended and connection.lines and connection.lines[-1][:4].upper() == b"QUIT")


def _merged(config: str) -> str:
    """Return COMMON and *config*; a table that *config* has itself replaces that of COMMON."""
    tables = [part for part in COMMON.strip().split("[") if part]
    return config + "".join(f"[{table}" for table in tables if f"[{table.partition(']')[0]}]" not in config)
