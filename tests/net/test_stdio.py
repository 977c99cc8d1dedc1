"""The descriptors that inetd gives, on descriptors that stand in for 0 and 2."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import syslog
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tarry.net import stdio
from tarry.net.stdio import StandardError, find, occupy
from tests.shell import pair


class Streams(NamedTuple):
    """The client, and where descriptor 2 leads."""

    client: socket.socket
    fd: int
    error: int


@pytest.fixture
def streams(monkeypatch: pytest.MonkeyPatch) -> Iterator[Streams]:
    """Descriptor 0 is a client; descriptor 2 is whatever a test puts there."""
    ours, client = pair()
    error = os.dup(ours.fileno())
    monkeypatch.setattr(stdio, "_CLIENT", ours.fileno())
    monkeypatch.setattr(stdio, "_ERROR", error)
    monkeypatch.setattr(stdio, "occupy", lambda: None)
    yield Streams(client, ours.fileno(), error)
    os.close(error)


def test_nothing_is_said_to_the_client(streams: Streams, monkeypatch: pytest.MonkeyPatch) -> None:
    """An old inetd makes it descriptor 2 as well: words go to the mail log, and what Python prints goes nowhere."""
    logged: list[str] = []
    monkeypatch.setattr(syslog, "syslog", lambda priority, text: logged.append(text))
    stderr = StandardError()
    assert not stderr.is_usable
    stderr.write(b"x\n")
    os.write(streams.error, b"Traceback\n")
    stderr.tell("it does not work")
    streams.client.settimeout(0.05)
    with pytest.raises(TimeoutError):
        streams.client.recv(1)
    assert ["it does not work"] == logged


def test_the_command_finds_it_as_it_was(streams: Streams) -> None:
    """The socket, on the same number; and once only."""
    stderr = StandardError()
    stderr.restore()
    stderr.restore()
    assert os.fstat(streams.fd).st_ino == os.fstat(streams.error).st_ino
    stderr.set_aside()
    assert os.fstat(streams.fd).st_ino != os.fstat(streams.error).st_ino
    stderr.restore()


def test_another_standard_error_is_used(streams: Streams) -> None:
    """A line is one write; one that is too long for a pipe is cut, and one that nobody takes is dropped."""
    reading, writing = os.pipe()
    os.dup2(writing, streams.error)
    os.close(writing)
    stderr = StandardError()
    assert stderr.is_usable
    stderr.tell("caf\udce9 \u2014")
    assert b"caf\\udce9 \xe2\x80\x94\n" == os.read(reading, 100)
    stderr.write(b"x" * 5000)
    assert b"x" * 4095 + b"\n" == os.read(reading, 9000)
    os.set_blocking(streams.error, False)
    with pytest.raises(BlockingIOError):
        while True:
            os.write(streams.error, b"x" * 4096)
    os.set_blocking(streams.error, True)
    stderr.write(b"this would wait\n")
    os.close(reading)
    stderr.write(b"nobody reads this\n")


def test_last_words_are_for_a_client_only(streams: Streams, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file is not written to."""
    stdio.last_words(b"421\r\n")
    assert b"421\r\n" == streams.client.recv(10)
    reading, writing = os.pipe()
    monkeypatch.setattr(stdio, "_CLIENT", writing)
    stdio.last_words(b"421\r\n")
    os.close(writing)
    assert b"" == os.read(reading, 10)
    os.close(reading)
    stdio.last_words(b"421\r\n")


def test_closed_streams_are_occupied() -> None:
    """Else the next file would be taken for the client."""
    code = (
        "import os\nfrom tarry.net.stdio import occupy\n"
        "os.close(0); os.close(2); occupy()\n"
        "print([os.get_inheritable(fd) for fd in (0, 2)], len(os.listdir('/proc/self/fd')))"
    )
    assert "[True, True] 4\n" == subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    occupy()


def test_a_command_is_found(tmp_path: Path) -> None:
    """By its path, or in PATH as all wrappers do it; and if not, why."""
    good, bad = tmp_path / "good", tmp_path / "bad"
    good.write_text("#!/bin/sh\n")
    good.chmod(0o755)
    bad.write_text("")
    bad.chmod(0o644)
    path = {"PATH": f"{tmp_path / 'none'}:{tmp_path}"}
    assert (str(good), "") == find([str(good), "x"], {})
    assert (str(good), "") == find(["good"], path)
    assert ("", "ENOENT") == find(["nothing"], path)
    assert ("", "ENOENT") == find([str(good / "x")], path)
    assert ("", "EACCES") == find(["bad"], path)
    assert ("", "EACCES") == find([str(tmp_path)], path)
    assert ("", "ENAMETOOLONG") == find(["/" + "x" * 300], path)


BECOME = """
import os, signal, socket, sys
os.environ["LISTEN_FDS"] = "1"
from tarry.net import stdio
ours, client = socket.socketpair()
os.dup2(ours.fileno(), 0)
os.set_blocking(0, False)
os.set_inheritable(ours.fileno(), True)
stderr = stdio.StandardError()
client.set_inheritable(True)
out = os.dup(1)
def after(path, words, environ):
    os.write(2, repr([os.get_blocking(0), os.fstat(0).st_ino == os.fstat(1).st_ino, sorted(os.listdir("/proc/self/fd"))[:3],
        len(os.listdir("/proc/self/fd")), signal.getsignal(signal.SIGPIPE) is signal.SIG_DFL, sorted(environ)]).encode())
    raise OSError(8, "")
os.execve = after
why = stdio.become("/x", ["x"], {"LISTEN_FDS": "1", "A": "b"}, stderr)
print(why, signal.getsignal(signal.SIGPIPE) is signal.SIG_IGN, file=sys.stderr)
"""


def test_what_a_command_gets() -> None:
    """The client on 0 and 1, blocking, no other descriptor but 2, no LISTEN_FDS; SIGPIPE kills. On failure all is undone."""
    done = subprocess.run([sys.executable, "-c", BECOME], capture_output=True, text=True, check=True)
    assert "[True, True, ['0', '1', '2'], 4, True, ['A']]ENOEXEC True\n" == done.stderr


def test_a_command_is_become() -> None:
    """The process is the same."""
    code = (
        "import os, socket\nfrom tarry.net import stdio\nours, theirs = socket.socketpair()\nout = os.dup(1)\n"
        "os.dup2(ours.fileno(), 0)\nstderr = stdio.StandardError()\nos.write(2, b'%d\\n' % os.getpid())\n"
        "stdio.become('/bin/sh', ['sh', '-c', 'echo $$ $0 >&2'], {}, stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    pid, said = done.stderr.splitlines()
    assert f"{pid} sh" == said
