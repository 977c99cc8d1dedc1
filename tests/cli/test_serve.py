"""`tarry serve`: what the operator is told, and the exit status."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

import tarry.cli.serve as serve
from tarry.cli import cli
from tarry.config.schema import Config
from tarry.core.client import Endpoint
from tarry.daemon import Server
from tarry.net.notify import Notifier
from tarry.version import VERSION
from tarry.workers import privileges, takeover
from tarry.workers.privileges import Identity
from tarry.workers.takeover import Predecessor
from tarry.workers.worker import Duty, Log

WRONG = '[hold]\nwiat = "3s"\nwait = 6\n'


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")


def run(*args: str) -> Result:
    return CliRunner().invoke(cli, args, prog_name="tarry")


def write(text: str) -> str:
    Path("tarry.toml").write_text(text)
    return "tarry.toml"


class Ran:
    """What would have been served, and how that ends."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, fault: OSError | None = None) -> None:
        self.served: list[tuple[Config, Path | None, bool]] = []
        self._fault = fault

        def serving(config: Config, path: Path | None, observe: bool) -> None:
            self.served.append((config, path, observe))
            if self._fault is not None:
                raise self._fault

        monkeypatch.setattr(serve, "_start", serving)
        monkeypatch.setattr(serve, "_occupy_standard_descriptors", lambda: None)


def test_every_problem_is_told_and_nothing_is_started(monkeypatch: pytest.MonkeyPatch) -> None:
    """With file and line; exit status 1."""
    ran = Ran(monkeypatch)
    result = run("serve", "-c", write(WRONG))
    assert (1, []) == (result.exit_code, ran.served)
    told = result.stderr.splitlines()
    assert ["tarry: tarry.toml:2", "tarry: tarry.toml:3"] == [line[:19] for line in told[:2]]
    assert "tarry: 2 error(s): nothing was started" == told[-1]


def test_what_nobody_can_be_told_stops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A closed terminal or a full disk behind standard error is no reason to end."""
    with open("/dev/full", "w") as full:  # noqa: PTH123  it is no file
        monkeypatch.setattr(sys, "stderr", full)
        serve._say("worker 1 cannot be started")
        monkeypatch.undo()
        with suppress(OSError):
            full.close()


def test_a_warning_is_told_and_it_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is unwise works."""
    ran = Ran(monkeypatch)
    result = run("serve", "-c", write('[hold]\nwait = "31s"\n'))
    assert (0, 1) == (result.exit_code, len(ran.served))
    assert "hold.wait" in result.stderr


@pytest.mark.parametrize(
    "args", [["-c", "tarry.toml", "serve"], ["serve", "-c", "tarry.toml"], ["serve", "--config", "tarry.toml"]]
)
def test_the_file_may_stand_before_or_after_the_verb(monkeypatch: pytest.MonkeyPatch, args: list[str]) -> None:
    """It is the same file."""
    ran = Ran(monkeypatch)
    write("[listen]\nmax_clients = 7")
    assert 0 == run(*args).exit_code
    assert [(7, Path("tarry.toml"), False)] == [(config.listen.max_clients, path, observe) for config, path, observe in ran.served]


def test_without_a_file_the_defaults_serve(monkeypatch: pytest.MonkeyPatch) -> None:
    """And observing is a flag."""
    ran = Ran(monkeypatch)
    assert 0 == run("serve", "--observe").exit_code
    assert [(Config(), None, True)] == ran.served


def test_a_file_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit status 1, with what to do."""
    Ran(monkeypatch)
    result = run("serve", "-c", "gone.toml")
    assert (1, True) == (result.exit_code, "tarry config init" in result.stderr)


@pytest.mark.parametrize(
    ("fault", "status", "told"),
    [
        (OSError(errno.EADDRINUSE, "in use"), 75, "127.0.0.1:2525: address in use: something listens there already"),
        (PermissionError(errno.EACCES, "denied"), 1, "a port below 1024 needs root or CAP_NET_BIND_SERVICE"),
        (PermissionError(errno.EACCES, "denied", "/mail"), 1, "denied: '/mail'"),
        (OSError(errno.EADDRNOTAVAIL, "no"), 1, "this host has no such address"),
        (OSError(errno.ENOSPC, "full"), 1, "full"),
    ],
)
def test_a_start_that_fails(monkeypatch: pytest.MonkeyPatch, fault: OSError, status: int, told: str) -> None:
    """A taken address may be free later (75); the rest is the operator's to mend (1)."""
    Ran(monkeypatch, fault)
    result = run("serve")
    assert (status, True) == (result.exit_code, told in result.stderr)


WHERE = [Endpoint("127.0.0.1", 2525), Endpoint("::1", 2525)]


@pytest.mark.parametrize("terminal", [True, False])
def test_what_is_said_at_the_start(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], terminal: bool) -> None:
    """Where it listens, how long clients wait, where mail goes, what else there is to know; a hint only on a terminal."""
    monkeypatch.setattr(os, "isatty", lambda fd: terminal)
    config = Config.from_toml('[hold]\nwait = "3s..6s"')
    serve._say_ready(WHERE, ["the MTA does not answer yet"], unwise="this process is root", config=config, observe=True)
    proxy = Config.from_toml('[handoff]\nmode = "proxy"\naddress = "127.0.0.1:10025"')
    serve._say_ready(WHERE, [], unwise="", config=proxy, observe=False)
    lines = capsys.readouterr().err.splitlines()
    hint = ["tarry: see it work: tarry probe 127.0.0.1:2525     (stop with Ctrl-C)"] * terminal
    assert [
        f"tarry: version {VERSION} listens on 127.0.0.1:2525, [::1]:2525; clients wait 3s..6s; mail goes to the Maildir mail",
        "tarry: observing only: everyone is let through, and the records say what would have happened",
        "tarry: this process is root",
        "tarry: the MTA does not answer yet",
        *hint,
    ] == lines[: 4 + terminal]
    assert lines[4 + terminal].endswith("mail goes to the MTA at 127.0.0.1:10025")


def test_nobody_who_hears_it_is_no_reason_to_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    """Standard error may be a pipe whose reader has gone."""

    def fail(text: str, err: bool) -> None:
        raise BrokenPipeError

    monkeypatch.setattr(serve.click, "echo", fail)
    serve._say("something")


class Started:
    """What `_start` does, and in which order, with everything that it calls made up."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, identity: Identity | None = None) -> None:
        self.did: list[Any] = []
        monkeypatch.setattr(serve, "open_sockets", lambda listen, handed, workers: self.did.append(("sockets", workers)) or [])
        monkeypatch.setattr(privileges, "wanted", lambda user: identity)
        monkeypatch.setattr(privileges, "become", lambda who: self.did.append(("become", who)))
        monkeypatch.setattr(serve, "Supervisor", self._supervisor)

        async def serving(duty: Duty, *rest: object) -> None:
            self.did.append(("alone", duty))

        monkeypatch.setattr(serve, "_serve", serving)

    def _supervisor(self, duty: Duty, sockets: object, workers: int, **more: object) -> Any:
        self.did.append(("supervisor", workers))
        self.duty = duty
        return self

    def run(self) -> int:
        return 0


@pytest.mark.parametrize("workers", [1, 3])
def test_sockets_are_opened_before_root_is_given_up(monkeypatch: pytest.MonkeyPatch, workers: int) -> None:
    """One process serves alone; several have a supervisor."""
    who = Identity("nobody", 7, 8, ())
    started = Started(monkeypatch, identity=who)
    serve._start(Config.from_toml(f"[listen]\nworkers = {workers}"), Path("t.toml"), True)
    assert [("sockets", workers), ("become", who)] == started.did[:2]
    assert ("alone" if workers == 1 else "supervisor") == started.did[2][0]
    duty = started.did[2][1] if workers == 1 else started.duty
    assert (Path("t.toml"), True, "-") == (duty.path, duty.observe, duty.log.path)
    os.close(duty.log.turns)


@pytest.mark.parametrize(("path", "handed", "expected"), [("-", 9, 9), ("-", None, True), ("log", 9, None), ("log", None, None)])
def test_standard_output_is_shared_by_turns(path: str, handed: int | None, expected: int | bool | None) -> None:
    """Those of an earlier tarry, which may still write; a file has a lock of its own."""
    took_over = Predecessor(0, handed) if handed else None
    turns = serve._log_of(Config.from_toml(f'[record]\npath = "{path}"'), took_over).turns
    if expected is True:
        assert turns is not None
        os.close(turns)
    else:
        assert expected == turns


@pytest.mark.parametrize("has_file", [True, False])
def test_what_is_served(monkeypatch: pytest.MonkeyPatch, has_file: bool) -> None:
    """A server of this configuration; SIGHUP reads the file again, where there is one, and SIGUSR2 hands the sockets over."""
    given: list[Any] = []

    async def until(server: Server, **more: Any) -> None:
        given.append((server, more))
        more["on_ready"](server)

    monkeypatch.setattr(serve, "serve_until_signalled", until)
    monkeypatch.setattr(serve, "_say_ready", lambda *args, **more: given.append((args, more)))
    monkeypatch.setattr(takeover, "begin", lambda sockets, environ, **more: given.append((sockets, environ["NOTIFY_SOCKET"], more)))
    path = Path(write("[listen]\nmax_clients = 9")) if has_file else None
    hears, says = os.pipe()
    notifier = Notifier({"NOTIFY_SOCKET": "/nonexistent"}, os.getpid())
    duty = Duty(Config(), path, True, Log("log", "json", turns=4))
    asyncio.run(serve._serve(duty, [], notifier, Predecessor(says, 4, 7), "unwise"))
    (server, more), (_, ready) = given
    assert (Config(), True, "unwise") == (ready["config"], ready["observe"], ready["unwise"])
    assert b"ready" == os.read(hears, 100)
    os.close(hears)
    assert has_file == (more["reload"] is not None)
    if has_file:
        assert 9 == more["reload"]().config.listen.max_clients
    more["upgrade"](server)
    assert ((), "/nonexistent", {"turns": 4, "incarnation": 8}) == given[-1]


def test_closed_standard_descriptors_are_occupied() -> None:
    """Or the next socket would be standard output; also those of the commands that are run."""
    code = (
        "import os\nfrom tarry.cli.serve import _occupy_standard_descriptors as occupy\n"
        "report = os.dup(1)\n[os.close(fd) for fd in (0, 1, 2)]\noccupy()\nfd = os.open('/dev/null', 0)\n"
        "kept = all(os.get_inheritable(each) for each in (0, 1, 2))\n"
        "os.write(report, b'%d %d %d' % (fd > 2, os.fstat(1).st_rdev == os.stat('/dev/null').st_rdev, kept))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=20, check=False)
    assert b"1 1 1" == done.stdout
    before = os.open(os.devnull, os.O_RDONLY)
    os.close(before)
    serve._occupy_standard_descriptors()
    after = os.open(os.devnull, os.O_RDONLY)
    os.close(after)
    assert before == after


def test_inherited_descriptors_are_not_passed_on() -> None:
    """A command for a client gets none of what tarry was started with, such as a lock or a supervisor's pipe."""
    reading, writing = os.pipe()
    for fd in (reading, writing):
        os.set_inheritable(fd, True)
    serve._keep_descriptors()
    assert [False, False] == [os.get_inheritable(fd) for fd in (reading, writing)]
    os.close(reading)
    os.close(writing)


@pytest.mark.slow
def test_serving_for_real() -> None:
    """It says that it is ready, greets, ends with 0 at SIGTERM; and where its port is taken, with 75."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        write(f'[listen]\nsmtp = ["127.0.0.1:{port}"]\nmax_clients = 50\nworkers = 1\n[hold]\nwait = "0s"\n[record]\npath = "log"')
        command = [sys.executable, "-m", "tarry", "serve", "-c", "tarry.toml"]
        done = subprocess.run(command, capture_output=True, timeout=30, check=False)
        assert (75, True) == (done.returncode, b"address in use" in done.stderr)
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL) as process:
        assert process.stderr is not None
        assert f"listens on 127.0.0.1:{port}".encode() in process.stderr.readline()
        with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
            assert client.recv(100).startswith(b"220 ")
        process.send_signal(signal.SIGTERM)
        assert 0 == process.wait(timeout=20)


def test_help() -> None:
    """What it does with no file, and every option."""
    text = " ".join(run("serve", "--help").stdout.split())
    for words in ("127.0.0.1:2525", "3 to 6 seconds", "./mail", "--observe", "-c, --config FILE"):
        assert words in text
