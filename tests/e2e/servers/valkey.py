"""valkey - a real Redis or Valkey server for the tests, and three of them as a cluster.

What     Debian's redis-server as `install` unpacked it, or the valkey-server of this machine where that is all there is. Each has a
         folder of its own; its configuration is the command line. `Valkey` can be killed, stopped and started again on the same
         port, with or without what it knew.
Promise  Everything stays on 127.0.0.1 or a Unix socket, and all of it ends with the context.
"""

import contextlib
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import redis

from tests.e2e.servers import install
from tests.e2e.servers.processes import NotStarted, Program, free_port, wait_until

_PATIENCE = 15.0
_SLOTS = 16384


def missing() -> str:
    """Return why there is no server to run, as a sentence; empty where there is one."""
    return "" if shutil.which("valkey-server") else install.missing("redis")


def program() -> Path:
    """Return the server's program: the unpacked one where both are there."""
    found = shutil.which("valkey-server")
    return Path(found) if found and install.missing("redis") else install.folder("redis") / "usr/bin/redis-server"


class Valkey:
    """A server. A context manager; it runs from its beginning on. *tls* are its certificate and key, the first its CA too."""

    def __init__(
        self, *, password: str = "", tls: tuple[Path, Path] | None = None, is_unix: bool = False, settings: Sequence[str] = ()
    ) -> None:
        self._made = tempfile.TemporaryDirectory(prefix="tarry-valkey-")
        self.folder = Path(self._made.name)
        self.port = 0 if is_unix else free_port()
        self.password = password
        self._tls = tls
        self._settings = settings
        self._socket = self.folder / "socket" if is_unix else None
        self._program: Program | None = None

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self._made.cleanup()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None) -> None:
        self.kill()
        self._made.cleanup()

    @property
    def url(self) -> str:
        """Its store.url."""
        login = f":{self.password}@" if self.password else ""
        if self._socket is not None:
            return f"valkey+unix://{login}{self._socket}"
        if self._tls is not None:
            return f"valkeys://{login}localhost:{self.port}/0?ca={self._tls[0]}"
        return f"valkey://{login}127.0.0.1:{self.port}/0"

    def client(self) -> Any:
        """Return redis-py's own client, for what a test does behind tarry's back. The caller closes it."""
        common: dict[str, Any] = {"password": self.password or None, "socket_timeout": _PATIENCE}
        if self._socket is not None:
            return redis.Redis(unix_socket_path=str(self._socket), **common)
        if self._tls is not None:
            return redis.Redis(host="localhost", port=self.port, ssl=True, ssl_ca_certs=str(self._tls[0]), **common)
        return redis.Redis(port=self.port, **common)

    def start(self) -> None:
        """Start it, also again, and return when it answers."""
        self._program = Program(self._command(), output=self.folder / "output", folder=self.folder)
        if not wait_until(self._is_up, _PATIENCE) or self._program.status is not None:
            raise NotStarted(f"{program().name}, status {self._program.status}:\n{self._program.printed()}")

    def kill(self) -> None:
        """End it as a crash would."""
        if self._program is not None:
            self._program.kill()
            self._program = None

    def stop(self) -> None:
        """Have it do nothing, and take connections all the same."""
        assert self._program is not None
        self._program.signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """End that."""
        assert self._program is not None
        self._program.signal(signal.SIGCONT)

    def _command(self) -> list[str | Path]:
        command: list[str | Path] = [program(), "--dir", self.folder, "--save", "", "--bind", "127.0.0.1"]
        if self._tls is not None:
            certificate, key = self._tls
            command += ["--port", "0", "--tls-port", str(self.port), "--tls-auth-clients", "no"]
            command += ["--tls-cert-file", certificate, "--tls-key-file", key, "--tls-ca-cert-file", certificate]
        else:
            command += ["--port", str(self.port)]
        if self._socket is not None:
            command += ["--unixsocket", self._socket]
        if self.password:
            command += ["--requirepass", self.password]
        return [*command, *self._settings]

    def _is_up(self) -> bool:
        assert self._program is not None
        if self._program.status is not None:
            return True
        client = self.client()
        try:
            return bool(client.ping())
        except redis.RedisError:
            return False
        finally:
            client.close()


@contextlib.contextmanager
def cluster() -> Iterator[list[Valkey]]:
    """Run three servers that are one cluster, each with a third of the keys."""
    with contextlib.ExitStack() as stack:
        nodes = []
        for _ in range(3):
            settings = ("--cluster-enabled", "yes", "--cluster-node-timeout", "2000", "--cluster-port", str(free_port()))
            nodes.append(stack.enter_context(Valkey(settings=settings)))
        clients = [stack.enter_context(contextlib.closing(node.client())) for node in nodes]
        for number, client in enumerate(clients):
            client.execute_command("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
            first, last = number * _SLOTS // 3, (number + 1) * _SLOTS // 3 - 1
            client.execute_command("CLUSTER", "ADDSLOTSRANGE", first, last)
        for node in nodes[1:]:
            bus = node._settings[-1]
            clients[0].execute_command("CLUSTER", "MEET", "127.0.0.1", node.port, bus)
        deadline = time.monotonic() + _PATIENCE
        while not all(_is_whole(client) for client in clients):
            if time.monotonic() > deadline:
                raise NotStarted("the cluster does not come together")
            time.sleep(0.02)
        yield nodes


def _is_whole(client: Any) -> bool:
    said = client.execute_command("CLUSTER", "INFO")
    known = said if isinstance(said, dict) else dict(line.split(":", 1) for line in said.decode().split())
    return (known["cluster_state"], known["cluster_known_nodes"]) == ("ok", "3")
