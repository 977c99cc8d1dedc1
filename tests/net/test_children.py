"""Commands for one client each: small real programs, whose end is awaited and never slept for."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import resource
import signal
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from tarry.cli.serve import _keep_descriptors
from tarry.core.client import Client, Endpoint
from tarry.net.children import MOST_OWN, Children, CommandConnector, RunFor, clean
from tests.side import RUNNERS, Run, Side, descriptors, until

CLIENT = Client(Endpoint("2001:db8::7", 40000), Endpoint("2001:db8::1", 25))
SH = "/bin/sh"
BOTH = pytest.mark.parametrize("run", RUNNERS.values(), ids=RUNNERS)


class Ends:
    """What was told of the ends of commands."""

    def __init__(self) -> None:
        self.told: list[int] = []

    def __call__(self, status: int, seconds: float) -> None:
        assert 0 <= seconds < 60
        self.told.append(status)


def run_for(*command: str, max_children: int = 10) -> RunFor:
    return RunFor(command, max_children)


async def output(*command: str, children: Children | None = None) -> str:
    """Run a command for the client; return what it says until its end, when it is reaped."""
    children = Children() if children is None else children
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    ends, said = Ends(), b""
    with ours:
        with theirs:
            theirs.setblocking(False)
            children.start(run_for(*command), CLIENT, theirs.fileno(), ends)
        while piece := await asyncio.get_running_loop().sock_recv(ours, 65536):
            said += piece
    await until(lambda: ends.told)
    assert (0, [0]) == (len(children), ends.told)
    return said.decode()


def status_of(said: str) -> dict[str, list[str]]:
    """Return the lines of /proc/PID/status by their names."""
    return {name: rest.split() for name, _, rest in (line.partition(":") for line in said.splitlines())}


# What the command finds.

LOOK = """
import json, os
def is_open(fd):
    try: os.fstat(fd)
    except OSError: return False
    return True
there = [fd for fd in range(4096) if is_open(fd)]
same = os.fstat(0).st_ino == os.fstat(1).st_ino
print(json.dumps([there, same, os.get_blocking(0), os.fstat(2).st_ino]))
"""


@BOTH
def test_its_descriptors(run: Run) -> None:
    """The client as 0 and 1, blocking, and tarry's standard error; nothing of the event loop's."""
    _keep_descriptors()  # those of whoever started the tests

    async def scenario() -> None:
        with socket.create_server(("127.0.0.1", 0)):
            said = await output(sys.executable, "-I", "-S", "-c", LOOK)
        assert [[0, 1, 2], True, True, os.fstat(2).st_ino] == json.loads(said)

    run(scenario())


def test_its_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who the client is, where programs are, language and time zone; nothing else of tarry's."""
    for name in list(os.environ):
        monkeypatch.delenv(name)
    for name in ("LANG", "TZ", "PATH", "SECRET", "LD_PRELOAD", "TCPREMOTEHOST", "RELAYCLIENT", "LISTEN_FDS", "NOTIFY_SOCKET"):
        monkeypatch.setenv(name, "/x")
    said = asyncio_output("/usr/bin/env")
    assert {
        "PATH=/x",
        "LANG=/x",
        "TZ=/x",
        "TCPREMOTEIP=2001:db8::7",
        "TCPREMOTEPORT=40000",
        "TCPLOCALIP=2001:db8::1",
        "TCPLOCALPORT=25",
        "PROTO=TCP",
    } == set(said.splitlines())
    assert {"PATH": os.defpath} == clean({})


def asyncio_output(*command: str) -> str:
    """Run a command for the client in a loop of its own; return what it says."""
    said: list[str] = []

    async def scenario() -> None:
        said.append(await output(*command))

    asyncio.run(scenario())
    return said[0]


def test_its_words() -> None:
    """Who the client is stands in for names in braces."""
    assert "2001:db8::7 40000 2001:db8::1 25" == asyncio_output("/usr/bin/printf", "{client} {client_port} {server} {server_port}")


def test_its_signals_and_its_session() -> None:
    """None is blocked and none ignored, whatever tarry or who started it has done; no terminal's signal reaches it."""
    ignored = (signal.SIGUSR1, signal.SIGHUP, signal.SIGRTMIN + 5, signal.SIGPIPE)
    before = {number: signal.signal(number, signal.SIG_IGN) for number in ignored}
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR2})
    try:
        status = status_of(asyncio_output("/bin/cat", "/proc/self/status"))
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGUSR2})
        for number, handler in before.items():
            signal.signal(number, handler)
    of_the_c_library = 3 << 31  # 32 and 33, which nobody may set
    assert (0, 0) == tuple(int(status[name][0], 16) & ~of_the_c_library for name in ("SigBlk", "SigIgn"))
    assert status["NSsid"] == status["NSpgid"] == status["Pid"]


def test_its_limit_of_descriptors() -> None:
    """That with which tarry was started: a program that closes all it may have would take long with a million."""

    async def scenario() -> None:
        before, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (250, hard))
        try:
            children = Children()
            resource.setrlimit(resource.RLIMIT_NOFILE, (500, hard))
            said = await output("/bin/sh", "-c", "ulimit -n", children=children)
            assert (500, hard) == resource.getrlimit(resource.RLIMIT_NOFILE)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (before, hard))
        assert "250\n" == said

    asyncio.run(scenario())


# Its end.


@BOTH
@pytest.mark.parametrize(
    ("script", "status"),
    [("exit 0", 0), ("exit 3", 3), ("kill -TERM $$", -15), ("kill -KILL $$", -9), ("kill -SEGV $$", -11)],
)
def test_its_end_is_told_once(script: str, status: int, run: Run) -> None:
    """With its status, negative for a signal; and no zombie is left."""

    async def scenario() -> None:
        children, ends = Children(), Ends()
        ours, theirs = socket.socketpair()
        with ours, theirs:
            children.start(run_for(SH, "-c", f"echo $$; {script}"), CLIENT, theirs.fileno(), ends)
            ours.settimeout(5)
            pid = int(ours.recv(100))
            assert os.getpid() != os.getpgid(pid)
            await until(lambda: ends.told)
            await asyncio.sleep(0)
        assert (0, [status]) == (len(children), ends.told)
        assert not Path(f"/proc/{pid}").exists()

    run(scenario())


@BOTH
def test_no_more_than_max_children(run: Run) -> None:
    """Above it nothing is started, until one has ended; what tarry asks for itself takes no client's place."""

    async def scenario() -> None:
        children, ends = Children(), Ends()
        one = run_for("/bin/cat", max_children=1)
        ours, theirs = socket.socketpair()
        with ours, theirs:
            children.start(one, None, theirs.fileno())
            assert 0 == len(children)
            children.start(one, CLIENT, theirs.fileno(), ends)
            with pytest.raises(BlockingIOError, match="1 commands run already"):
                children.start(one, CLIENT, theirs.fileno(), ends)
            assert 1 == len(children)
            children.start(one, None, theirs.fileno())
        await until(lambda: ends.told and not children._running)
        ours, theirs = socket.socketpair()
        with ours, theirs:
            children.start(one, CLIENT, theirs.fileno(), ends)
        await until(lambda: ends.told == [0, 0])

    run(scenario())


def no_program(path: Path) -> None:
    path.write_text("echo hello\n")
    path.chmod(0o755)


def no_interpreter(path: Path) -> None:
    path.write_text("#!/no/such/shell\n")
    path.chmod(0o755)


@pytest.mark.parametrize(
    ("make", "number"),
    [
        (lambda path: None, errno.ENOENT),
        (Path.touch, errno.EACCES),
        (Path.mkdir, errno.EACCES),
        (no_program, errno.ENOEXEC),
        (no_interpreter, errno.ENOENT),
        (lambda path: path.symlink_to(path), errno.ELOOP),
    ],
    ids=["missing", "not executable", "a folder", "no program", "no interpreter", "a loop"],
)
def test_what_cannot_be_run(tmp_path: Path, make: Callable[[Path], object], number: int) -> None:
    """The kernel's own words; nothing runs, nothing is left, and the client's socket does not block."""
    path = tmp_path / "mta"
    make(path)

    async def scenario() -> None:
        children = Children()
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        with ours, theirs:
            before = descriptors()
            with pytest.raises(OSError, match=os.strerror(number)) as caught:
                children.start(run_for(str(path)), CLIENT, ours.fileno(), Ends())
            assert (number, 0, before, False) == (
                caught.value.errno,
                len(children),
                descriptors(),
                os.get_blocking(ours.fileno()),
            )

    asyncio.run(scenario())


def test_a_child_that_cannot_be_watched_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """No descriptor for its end: it is killed and reaped before the client is told to come again."""

    def refuse(pid: int) -> int:
        spawned.append(pid)
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    spawned: list[int] = []
    monkeypatch.setattr(os, "pidfd_open", refuse)

    async def scenario() -> None:
        children = Children()
        ours, theirs = socket.socketpair()
        with ours, theirs, pytest.raises(OSError, match="Too many open files"):
            children.start(run_for("/bin/cat"), CLIENT, theirs.fileno(), Ends())
        assert 0 == len(children)

    asyncio.run(scenario())
    assert [False] == [Path(f"/proc/{pid}").exists() for pid in spawned]


def test_without_a_descriptor_for_its_end_nothing_runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A command that runs for a moment could greet the client that is told to come again."""
    asyncio.run(starve(tmp_path / "ran"))
    assert not (tmp_path / "ran").exists()


async def starve(ran: Path) -> None:
    ours, theirs = socket.socketpair()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    children = Children()
    with ours, theirs:
        theirs.setblocking(False)
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(ours.fileno(), theirs.fileno()) + 1, hard))
        fillers = []
        try:
            with suppress(OSError):
                while True:
                    fillers.append(os.dup(theirs.fileno()))
            with pytest.raises(OSError, match="Too many open files"):
                children.start(run_for(SH, "-c", f"touch {ran}"), CLIENT, theirs.fileno(), Ends())
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            for fd in fillers:
                os.close(fd)
        assert (0, False) == (len(children), theirs.getblocking())


def test_commands_for_ourselves_are_few() -> None:
    """One that hangs is asked again and again: it has no more than MOST_OWN for company, and takes no client's place."""

    async def scenario() -> None:
        children = Children()
        pairs = [socket.socketpair() for _ in range(MOST_OWN + 2)]
        for _, theirs in pairs[:MOST_OWN]:
            children.start(run_for("/bin/cat", max_children=1), None, theirs.fileno())
        with pytest.raises(BlockingIOError, match=f"{MOST_OWN} commands run already that have not answered"):
            children.start(run_for("/bin/cat", max_children=1), None, pairs[-1][1].fileno())
        children.start(run_for("/bin/cat", max_children=1), CLIENT, pairs[-2][1].fileno())
        with pytest.raises(BlockingIOError, match="1 commands run already"):
            children.start(run_for("/bin/cat", max_children=1), CLIENT, pairs[-1][1].fileno())
        for end in (end for ends in pairs for end in ends):
            end.close()
        await until(lambda: not children._running)
        assert 0 == len(children)

    asyncio.run(scenario())


@pytest.mark.parametrize("when", ["before it is watched", "later"])
def test_an_embedding_program_that_reaps_first(monkeypatch: pytest.MonkeyPatch, when: str) -> None:
    """The end is told all the same, once, and its place is free; the status is not known."""
    real = os.pidfd_open

    def reaped(pid: int) -> int:
        pidfd = real(pid)
        os.waitpid(pid, 0)
        if when == "later":
            return pidfd
        os.close(pidfd)
        return real(pid)

    monkeypatch.setattr(os, "pidfd_open", reaped)

    async def scenario() -> None:
        children, ends = Children(), Ends()
        before = descriptors()
        ours, theirs = socket.socketpair()
        with ours, theirs:
            children.start(run_for(SH, "-c", "exit 3"), CLIENT, theirs.fileno(), ends)
        await until(lambda: ends.told)
        assert (0, [0], before) == (len(children), ends.told, descriptors())
        ours, theirs = socket.socketpair()
        with ours, theirs:
            children.start(run_for(SH, "-c", "exit 3"), None, theirs.fileno())
        await until(lambda: not children._running)

    asyncio.run(scenario())


@BOTH
def test_having_done_with_them(run: Run) -> None:
    """They go on by themselves; the loop watches nothing any more, nobody is told, and none is left as a zombie."""

    async def scenario() -> None:
        children, ends = Children(), Ends()
        ours, theirs = socket.socketpair()
        before = descriptors()
        with ours:
            with theirs:
                children.start(run_for(SH, "-c", "echo $$; exec cat"), CLIENT, theirs.fileno(), ends)
            ours.settimeout(5)
            pid = int(ours.recv(100))
            children.close()
            assert 0 == len(children)
            ours.send(b"still there\n")
            assert b"still there\n" == ours.recv(100)
        await until(lambda: not Path(f"/proc/{pid}").exists())
        await until(lambda: before - 2 == descriptors())
        assert [] == ends.told

    run(scenario())


# In line: a command on a pipe.


@BOTH
@pytest.mark.parametrize(("client", "address"), [(CLIENT, "2001:db8::7"), (None, "127.0.0.1")], ids=["a client", "ourselves"])
def test_a_command_on_a_pipe(run: Run, client: Client | None, address: str) -> None:
    """It carries a conversation both ways, ends when our end closes, and leaves nothing."""
    children = Children()
    connector = CommandConnector(run_for(SH, "-c", 'echo "220 $TCPREMOTEIP $1"; exec cat', "sh", "{client}"), children)
    assert SH == connector.where

    async def converse() -> None:
        side = Side()
        await connector.connect(lambda: side, client)
        assert f"220 {address} {address}\n".encode() == await side.hears()
        side.transport.write(b"EHLO x\r\n")
        assert b"EHLO x\r\n" == await side.hears()
        assert (client is not None) == len(children)
        side.transport.close()
        await until(lambda: not children._running)

    async def scenario() -> None:
        await converse()  # uvloop opens a descriptor of its own for the first connection
        before = descriptors()
        await converse()
        await until(lambda: descriptors() == before)

    run(scenario())


@BOTH
def test_a_command_that_ends(run: Run) -> None:
    """Its end is the end of the connection."""

    async def scenario() -> None:
        children, side = Children(), Side()
        await CommandConnector(run_for(SH, "-c", "echo 421; exit 1"), children).connect(lambda: side, CLIENT)
        assert [b"421\n", b""] == [await side.hears(), await side.hears()]
        await until(lambda: not len(children))

    run(scenario())


@BOTH
@pytest.mark.parametrize("turns", range(4))
def test_a_connection_that_is_cancelled(run: Run, turns: int) -> None:
    """In whatever turn of the loop: each descriptor is closed once, and the command hears of it."""

    async def scenario() -> None:
        children, side = Children(), Side()
        connector = CommandConnector(run_for("/bin/cat"), children)
        await connector.connect(lambda: side, CLIENT)  # uvloop opens one for itself
        side.transport.close()
        await until(lambda: not children._running)
        before = descriptors()
        connecting = asyncio.create_task(connector.connect(lambda: side, CLIENT))
        for _ in range(turns):
            await asyncio.sleep(0)
        is_late = connecting.done()
        connecting.cancel()
        await asyncio.wait([connecting])
        assert connecting.cancelled() is not is_late
        if is_late:
            side.transport.close()
        await until(lambda: not children._running)
        assert before == descriptors()

    run(scenario())


def test_a_command_that_is_not_there() -> None:
    """An OSError, and neither end of the pipe is left."""

    async def scenario() -> None:
        before = descriptors()
        with pytest.raises(FileNotFoundError):
            await CommandConnector(run_for("/no/such/mta"), Children()).connect(Side, CLIENT)
        with pytest.raises(BlockingIOError):
            await CommandConnector(run_for(SH, max_children=0), Children()).connect(Side, CLIENT)
        assert before == descriptors()

    asyncio.run(scenario())
