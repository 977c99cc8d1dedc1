"""A new version that takes the sockets over. With tarry itself: tests/e2e/test_upgrade.py."""

from __future__ import annotations

import errno
import os
import select
import socket
import sys
from collections.abc import Iterator
from contextlib import closing

import pytest

from tarry.net import inherited
from tarry.sinks.turns import make_turns
from tarry.sockets import OWN, Open
from tarry.workers import takeover
from tarry.workers.takeover import SPARE, VARIABLE, Predecessor, Successor, begin, predecessor, spelled
from tests.side import descriptors

NEW = """
import os, sys
from tarry.net import inherited
from tarry.workers import takeover
took_over = takeover.predecessor(os.environ, os.getpid())
sockets = inherited.take(os.environ, os.getpid())
for name, sock in sockets:
    sock.setblocking(True)
    client, _ = sock.accept()
    client.sendall(f"{name} {took_over.incarnation} {took_over.turns is not None}".encode())
    os.fstat(took_over.turns)
took_over.tell_ready()
"""


@pytest.fixture
def sockets() -> Iterator[list[Open]]:
    opened = [Open(socket.create_server(("127.0.0.1", 0)), False, name) for name in ("", "from-systemd")]
    yield opened
    for one in opened:
        one.sock.close()


def said(successor: Successor) -> str:
    poll = select.poll()
    poll.register(successor.fd, select.POLLIN)
    assert poll.poll(20_000)
    return successor.has_said()


@pytest.mark.slow
def test_sockets_go_over_with_their_names_and_their_backlogs(sockets: list[Open]) -> None:
    """Clients that nobody has accepted yet are the new one's, which says when it serves."""
    clients = [socket.create_connection(one.sock.getsockname(), timeout=20) for one in sockets]
    turns = make_turns()
    successor = begin(sockets, os.environ, turns=turns, incarnation=5, command=[sys.executable, "-c", NEW])
    with closing(successor):
        heard = []
        for client in clients:
            with client:
                heard.append(client.recv(100).decode())
        assert [f"{OWN} {5 + SPARE} True", f"from-systemd {5 + SPARE} True"] == heard
        assert "ready" == said(successor)
        assert 0 == os.waitstatus_to_exitcode(os.waitpid(successor.pid, 0)[1])
    os.close(turns)
    assert VARIABLE not in os.environ


@pytest.mark.parametrize(("command", "why"), [(["/bin/sh", "-c", "exit 3"], "status is 3"), (["/nonexistent"], "status is 127")])
def test_one_that_does_not_come_up(sockets: list[Open], command: list[str], why: str) -> None:
    """How it ended is for the operator; the sockets are as they were."""
    with closing(begin(sockets, os.environ, command=command)) as successor:
        assert "ended" == said(successor)
        assert successor.why().endswith(why)
    assert sockets[0].sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)


def test_one_that_is_too_late(sockets: list[Open]) -> None:
    """It is ended, once and again, and leaves no zombie."""
    with closing(begin(sockets, os.environ, command=["/bin/sleep", "60"])) as successor:
        successor.end()
        with pytest.raises(ChildProcessError):
            os.waitpid(successor.pid, os.WNOHANG)
        assert "ended" == said(successor)
        assert "it was killed" == successor.why()
        successor.end()


def test_one_that_only_closes_its_pipe_is_ended(sockets: list[Open]) -> None:
    """Nobody waits for it: the loop of the running server would stand still."""
    with closing(begin(sockets, os.environ, command=["/bin/sh", "-c", "exec 5>&-; exec sleep 60"])) as successor:
        assert "ended" == said(successor)
        assert "it was killed" == successor.why()


def test_one_that_was_waited_for_is_not_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its number may be another process's by now."""
    killed: list[int] = []
    monkeypatch.setattr(os, "kill", lambda pid, number: killed.append(pid))
    Successor(7777, -1, status=3).end()
    assert [] == killed


def test_no_descriptor_can_be_had(sockets: list[Open], monkeypatch: pytest.MonkeyPatch) -> None:
    """It is an OSError, and those that could be had are closed."""
    left = [1, 0]

    def duplicate(fd: int, how: int, least: int) -> int:
        if not left.pop(0):
            raise OSError(errno.EMFILE, "too many open files")
        return os.dup(fd)

    monkeypatch.setattr(takeover.fcntl, "fcntl", duplicate)
    before = descriptors()
    with pytest.raises(OSError, match="too many open files"):
        begin(sockets, os.environ)
    assert before == descriptors()


def test_no_process_can_be_had(sockets: list[Open], monkeypatch: pytest.MonkeyPatch) -> None:
    """It is an OSError, and no descriptor stays open."""

    def refuse(*args: object, **more: object) -> int:
        raise BlockingIOError

    monkeypatch.setattr(os, "posix_spawn", refuse)
    before = descriptors()
    with pytest.raises(BlockingIOError):
        begin(sockets, os.environ)
    assert before == descriptors()


@pytest.mark.parametrize("pid", [0, 1])
def test_the_note_is_for_one_process_only(pid: int) -> None:
    """Whoever else finds it in the environment, as a command of the new process would, is nobody's successor."""
    hears, says = os.pipe()
    environ = {VARIABLE: f'{{"ready":{says},"incarnation":3}}', "LISTEN_PID": str(os.getpid())}
    found = predecessor(environ, os.getpid() + pid)
    assert {"LISTEN_PID": str(os.getpid())} == environ
    assert (Predecessor(says, None, 3) if not pid else None) == found
    if found is not None:
        found.tell_ready()
        assert b"ready" == os.read(hears, 100)
    else:
        os.close(says)
    os.close(hears)
    assert None is predecessor({}, os.getpid())


def test_an_old_one_that_has_died_is_no_trouble() -> None:
    """The new one serves all the same."""
    hears, says = os.pipe()
    os.close(hears)
    Predecessor(says).tell_ready()


def test_the_command_is_spelled_for_a_shell() -> None:
    """The interpreter that runs now, and the words that tarry was started with."""
    assert "tarry serve -c 'my file'" == spelled(["tarry", "serve", "-c", "my file"])
    assert spelled().startswith(sys.executable)
    assert takeover.PATIENCE > 10
    assert [] == inherited.take({}, 1)
