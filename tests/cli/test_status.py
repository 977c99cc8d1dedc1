"""`tarry status`: whom it asks, what it says where nobody answers, JSON, exit status."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from msgspec.structs import replace

from tarry.cli import cli
from tarry.config.compile import fingerprint
from tarry.config.load import load
from tarry.config.schema import Config
from tarry.control.server import ControlServer
from tarry.control.states import Mta, State

WELL = State(77, "0.1", 1_700_000_000.0, fingerprint(Config()), listen=("127.0.0.1:2525",), mta=Mta("mx:25"))


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")


@contextmanager
def running(state: State, path: str = "tarry.sock") -> Iterator[None]:
    """Have a server that is in this state."""
    loop = asyncio.new_event_loop()

    async def tell() -> State:
        return state

    server = ControlServer(loop, path, tell)
    assert "" == loop.run_until_complete(server.start())
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield
    finally:
        loop.call_soon_threadsafe(server.close)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def run(*args: str) -> Result:
    return CliRunner().invoke(cli, ["status", *args], prog_name="tarry")


def test_all_is_well() -> None:
    """Without a file the socket is that of the defaults; nothing is compared."""
    with running(WELL):
        told = run()
    assert (0, "") == (told.exit_code, told.stderr)
    assert told.stdout.startswith("tarry 0.1, process 77, up ")
    assert f"configuration  {WELL.config}\n" in told.stdout


def test_something_is_wrong() -> None:
    """That is an exit status of 1."""
    with running(replace(WELL, mta=Mta("mx:25", False, "refused"))):
        told = run()
    assert (1, True) == (told.exit_code, "mx:25  is away: refused" in told.stdout)


def test_nothing_is_running() -> None:
    """75, and what was tried."""
    told = run()
    assert (75, "") == (told.exit_code, told.stdout)
    assert told.stderr.startswith(f"tarry: there is no socket {Path('tarry.sock').absolute()}: is the server running")


def test_something_else_answers() -> None:
    """It is not that nothing runs: 1."""

    def serve() -> None:
        sock, _ = listening.accept()
        sock.recv(100)
        sock.close()

    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("tarry.sock")
        listening.listen()
        thread = threading.Thread(target=serve)
        thread.start()
        told = run()
        thread.join()
    assert (1, True) == (told.exit_code, "closed without an answer" in told.stderr)


@pytest.mark.parametrize("arguments", [("-c", "my.toml"), ("--socket", "my.sock"), ("-c", "none.toml", "--socket", "my.sock")])
def test_whom_it_asks(arguments: tuple[str, ...]) -> None:
    """The socket of the file, or the one that is named."""
    Path("my.toml").write_text('[control]\nsocket = "my.sock"\n')
    with running(WELL, "my.sock"):
        assert 0 == run(*arguments).exit_code


def test_a_file_that_lies_there_is_read() -> None:
    """As by the other verbs; what it says now is compared with what the server runs with."""
    Path("tarry.toml").write_text('[hold]\nwait = "9s"\n')
    with running(WELL):
        other = run()
    with running(replace(WELL, config=fingerprint(load(Path("tarry.toml")).config))):
        same = run("-c", "tarry.toml")
    assert "tarry.toml says something else now" in other.stdout
    assert ", as tarry.toml says" in same.stdout
    assert (0, 0) == (other.exit_code, same.exit_code)


def test_a_file_with_mistakes() -> None:
    """Its socket is asked, and that it has mistakes is told; a file that cannot be read names no socket."""
    Path("bad.toml").write_text('[control]\nsocket = "my.sock"\n[hold]\nwiat = 3\n')
    with running(WELL, "my.sock"), running(WELL):
        told = run("-c", "bad.toml")
        gone = run("-c", "gone.toml")
    assert (0, True) == (told.exit_code, "bad.toml has 1 error(s) now" in told.stdout)
    assert (1, True, True) == (
        gone.exit_code,
        "there is no such file" in gone.stderr,
        "name its socket with --socket" in gone.stderr,
    )


def test_no_control_socket() -> None:
    """Then there is nobody to ask, and what to do about it is told."""
    Path("tarry.toml").write_text('[control]\nsocket = ""\n')
    told = run()
    assert (75, True) == (told.exit_code, "control.socket is empty" in told.stderr)


def test_json() -> None:
    """The whole state, what is wrong, and the file."""
    Path("tarry.toml").write_text('[hold]\nwait = "9s"\n')
    with running(replace(WELL, mta=Mta("mx:25", False, "refused"))):
        told = run("--json")
    report = json.loads(told.stdout)
    assert (1, 1, 77, 0) == (told.exit_code, report["v"], report["pid"], report["tally"]["greeted"])
    assert ["the MTA at mx:25 is away: refused"] == report["troubles"]
    assert ("tarry.toml", True) == (report["file"]["name"], report["file"]["changed"])


# On a terminal, and again and again.


def on_terminal(*args: str, until: str, environment: dict[str, str]) -> str:
    """Run it on a terminal until it has shown a text; return all that it has shown. With --watch it is stopped by Ctrl-C."""
    ours, its = pty.openpty()
    command = [sys.executable, "-m", "tarry", "status", *args]
    process = subprocess.Popen(
        command, stdin=its, stdout=its, stderr=its, start_new_session=True, env={**os.environ, **environment}
    )
    os.close(its)
    seen = b""
    try:
        while until.encode() not in seen:
            seen += os.read(ours, 65536)
        if "--watch" in args:
            process.send_signal(signal.SIGINT)
        while True:
            try:
                seen += os.read(ours, 65536)
            except OSError:  # EIO: the last one has closed it
                break
        assert 0 == process.wait(60)
    finally:
        process.kill()
        process.wait()
        os.close(ours)
    return seen.decode()


@pytest.mark.slow
def test_colours_are_for_terminals_that_want_them() -> None:
    """NO_COLOR is heard, and the words are the same."""
    plain = {"TERM": "xterm", "NO_COLOR": "1", "COLUMNS": "80"}
    with running(WELL):
        coloured = on_terminal(until="recipients", environment={"TERM": "xterm", "NO_COLOR": "", "COLUMNS": "80"})
        not_coloured = on_terminal(until="recipients", environment=plain)
    assert ("\x1b[32manswers" in coloured, "\x1b[32m" in not_coloured, "answers" in not_coloured) == (True, False, True)


@pytest.mark.slow
def test_watching_goes_on_when_the_server_comes_back() -> None:
    """It says that nobody is there, and shows the page when somebody is."""
    with running(WELL, "other.sock"):
        shown = on_terminal("--watch", "0.2", until="there is no socket", environment={"TERM": "xterm", "COLUMNS": "80"})
        assert "process 77" not in shown
        again = on_terminal(
            "--watch", "0.2", "--socket", "other.sock", until="process 77", environment={"TERM": "xterm", "COLUMNS": "80"}
        )
    assert "mx:25" in again


@pytest.mark.slow
def test_watching_in_a_pipe_writes_one_object_a_line() -> None:
    """For programs, until nobody reads any more."""
    with running(WELL):
        process = subprocess.Popen(
            [sys.executable, "-m", "tarry", "status", "--watch", "0.2", "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        assert process.stdout is not None
        read = [json.loads(process.stdout.readline())["pid"] for _ in range(3)]
        process.stdout.close()
        assert process.stderr is not None
        said, status = process.stderr.read(), process.wait(20)
        process.stderr.close()
    assert ([77, 77, 77], b"", 0) == (read, said, status)
