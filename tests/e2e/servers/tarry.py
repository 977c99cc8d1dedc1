"""tarry - the front door itself, started the way an operator starts it.

What     `Tarry(text, ...)` is a context manager that writes a configuration file, runs `tarry serve -c FILE` in a folder of
         its own, and returns when its port listens. The tables in *text* are laid over a small default: a free loopback
         port, one worker, a hold of 1 s, the record in a file, no memory and no control socket, mail to a maildir or, with
         *backend*, to the MTA on that port.
Promise  Whether it listens is read from the kernel: no probe connection shows up in the record. At its end the record is
         audited (see audit), unless the test failed or killed it.
Not      It knows nothing of the record's fields; `records` gives them as parsed JSON.
"""

import contextlib
import json
import signal
import sys
import tempfile
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.e2e.servers import audit
from tests.e2e.servers.processes import NotStarted, Program, free_port, own_environment, wait_listening, wait_until

COMMAND = Path(sys.executable).with_name("tarry")
ATTEMPTS = 3  # another process may take the port between our choice and tarry's bind


class Tarry:
    """A running front door; see the module text.

    *config* is TOML. *backend* sets hand-off to that loopback port, in proxy mode with *announce*. *arguments* follow
    `serve -c FILE`. *environment* is added to ours. *port* is fixed on request, as for a restart on the same port.
    *descriptors* is the limit of open files that it starts with. *command* is what runs instead of the tarry of this environment.
    """

    def __init__(
        self,
        config: str = "",
        *,
        backend: int | None = None,
        announce: str = "none",
        wait: str = "1s",
        address: str = "127.0.0.1",
        port: int = 0,
        arguments: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
        descriptors: int | None = None,
        command: Sequence[str | Path] | None = None,
        startup: float = 15.0,
    ) -> None:
        self.port = port
        self.config: dict[str, Any] = {}
        self._given = tomllib.loads(config)
        self._backend = backend
        self._announce = announce
        self._wait = wait
        self._address = address
        self._fixed = bool(port)
        self._arguments = tuple(arguments)
        self._environment = dict(environment or {})
        # The shell sets the limit and becomes tarry, so its process id is tarry's.
        self._before = ("/bin/sh", "-c", f'ulimit -n {descriptors}; exec "$@"', "sh") if descriptors else ()
        self._command = tuple(command or (COMMAND,))
        self._startup = startup
        self._killed = False
        self._program: Program | None = None
        self._cleanup = contextlib.ExitStack()

    def __enter__(self) -> Self:
        if not COMMAND.exists():
            raise NotStarted("tarry is not installed in this environment: run make build")
        # Open to others, should tarry change user.
        self.folder = Path(self._cleanup.enter_context(tempfile.TemporaryDirectory(prefix="tarry-serve-")))
        self.folder.chmod(0o755)
        try:
            for attempt in range(ATTEMPTS):
                try:
                    self.start()
                    break
                except NotStarted as failed:
                    if self._fixed or "in use" not in str(failed) or attempt + 1 == ATTEMPTS:
                        raise
        except BaseException:
            self._cleanup.close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None) -> None:
        wrong: list[str] = []
        if self._program is not None:
            self._program.end()
            is_json = self.config["record"].get("style", "json") == "json"
            if problem is None and not self._killed and is_json and self.record_path.is_file():
                wrong = audit.problems(self.record_path.read_bytes())
        self._cleanup.close()
        assert not wrong, "the record is wrong: " + "\n".join(wrong[:20])

    @property
    def file(self) -> Path:
        """The configuration file; a test may rewrite it and send SIGHUP."""
        return self.folder / "tarry.toml"

    @property
    def maildir(self) -> Path:
        return self.folder / "mail"

    @property
    def record_path(self) -> Path:
        return Path(self.folder, self.config["record"]["path"])

    @property
    def pid(self) -> int:
        return self._running.pid

    def pids(self) -> list[int]:
        """Return all its processes, workers included."""
        return self._running.pids()

    @property
    def status(self) -> int | None:
        """The exit status, negative for a signal; None while it runs."""
        return self._running.status

    def start(self) -> None:
        """Start it; also again, on the same port and folder, after `stop` or `kill`."""
        self.port = self.port if self._fixed or self._program is not None else free_port(self._address)
        self.config = _laid_over(self._defaults(), self._given)
        self.write(self.config)
        program = Program(
            [*self._before, *self._command, "serve", "-c", self.file, *self._arguments],
            output=self.folder / "output",
            folder=self.folder,
            environment=own_environment(**self._environment),
            cwd=self.folder,
        )
        try:
            wait_listening(program, self.port, self._startup, self._address)
        except BaseException:
            program.end()
            raise
        self._program = program

    def write(self, config: Mapping[str, Any]) -> None:
        """Write *config* to the file; `reload` makes tarry read it."""
        self.file.write_text(toml(config))

    def send_signal(self, number: signal.Signals) -> None:
        """Send *number* to it."""
        self._running.signal(number)

    def reload(self) -> None:
        """Send SIGHUP."""
        self.send_signal(signal.SIGHUP)

    def stop(self, timeout: float = 30.0) -> int:
        """Send SIGTERM and return the exit status, negative for a signal. Killed when *timeout* seconds are not enough."""
        return self._running.end(timeout)

    def kill(self) -> int:
        """Send SIGKILL to all its processes."""
        self._killed = True
        return self._running.kill()

    def records(self, **wanted: object) -> list[dict[str, Any]]:
        """Return the record so far, oldest first; only those whose fields equal *wanted*, as in records(ev="close")."""
        try:
            text = self.record_path.read_text()
        except FileNotFoundError:
            return []
        complete = text[: text.rfind("\n") + 1]  # its last line may be half written
        parsed = [json.loads(line) for line in complete.splitlines()]
        return [record for record in parsed if all(record.get(name) == value for name, value in wanted.items())]

    def wait_records(self, count: int = 1, timeout: float = 10.0, **wanted: object) -> list[dict[str, Any]]:
        """Return the matching records once there are *count*, or what there is after *timeout* seconds."""
        wait_until(lambda: len(self.records(**wanted)) >= count, timeout)
        return self.records(**wanted)

    def messages(self) -> list[bytes]:
        """Return what was delivered to the maildir, oldest first."""
        found = sorted(self.maildir.glob("new/*"), key=lambda path: path.stat().st_mtime_ns)
        return [path.read_bytes() for path in found]

    def printed(self) -> str:
        """Return what it wrote to stdout and stderr."""
        return self._running.printed()

    @property
    def _running(self) -> Program:
        assert self._program is not None, "not started"
        return self._program

    def _defaults(self) -> dict[str, Any]:
        host = f"[{self._address}]" if ":" in self._address else self._address
        config: dict[str, Any] = {
            "listen": {"smtp": [f"{host}:{self.port}"], "workers": 1},
            "handoff": {"mode": "maildir", "maildir": str(self.maildir)},
            "hold": {"wait": self._wait},
            "record": {"path": str(self.folder / "record.jsonl")},
            "store": {"url": "none"},
            "control": {"socket": ""},
        }
        if self._backend is not None:
            config["handoff"] = {"mode": "proxy", "address": f"127.0.0.1:{self._backend}", "announce": self._announce}
        return config


def toml(table: Mapping[str, Any]) -> str:
    """Return *table* as TOML: plain values first, then a section for each table."""
    plain = {name: value for name, value in table.items() if not isinstance(value, Mapping)}
    lines = [f"{_key(name)} = {_value(value)}" for name, value in plain.items()]
    for name, value in table.items():
        if isinstance(value, Mapping):
            lines += [f"[{_key(name)}]", *(f"{_key(inner)} = {_value(each)}" for inner, each in value.items())]
    return "\n".join(lines) + "\n"


def _laid_over(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(under)
    for name, value in over.items():
        below = merged.get(name)
        merged[name] = _laid_over(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return merged


def _key(name: str) -> str:
    return name if name.replace("_", "").replace("-", "").isalnum() and name.isascii() else json.dumps(name)


def _value(value: object) -> str:
    match value:
        case Mapping():
            return "{ " + ", ".join(f"{_key(name)} = {_value(each)}" for name, each in value.items()) + " }"
        case list() | tuple():
            return "[" + ", ".join(_value(each) for each in value) + "]"
        case bool():
            return "true" if value else "false"
        case str():
            return json.dumps(value, ensure_ascii=False)  # a TOML basic string has JSON's escapes
        case _:
            return repr(value)
