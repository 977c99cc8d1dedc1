"""Asking a server: what is told where it does not answer."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tarry.control.client import NotAnswered, ask_status
from tarry.control.protocol import Reply, write
from tests.control.asked import state

Play = Callable[[socket.socket], None]


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@contextmanager
def playing(play: Play) -> Iterator[None]:
    """Serve one connection on the socket s as *play* says."""
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("s")
        listening.listen()

        def serve() -> None:
            sock, _ = listening.accept()
            with sock:
                sock.recv(1000)
                play(sock)

        thread = threading.Thread(target=serve)
        thread.start()
        yield
        thread.join(10)


def in_pieces(sock: socket.socket) -> None:
    line = write(Reply(1, "0.1", state(held=4)))
    for at in range(0, len(line), 100):
        sock.sendall(line[at : at + 100])


def test_an_answer_may_come_in_pieces() -> None:
    """It is read to its end."""
    with playing(in_pieces):
        assert state(held=4) == ask_status("s")


@pytest.mark.parametrize(
    ("play", "why"),
    [
        (lambda sock: None, "closed without an answer: it is going down, or too many ask at once"),
        (lambda sock: sock.sendall(b"220 mx ESMTP\r\n"), "is no tarry, or of another version"),
        (lambda sock: sock.sendall(write(Reply(error="boom"))), "answers: boom"),
        (lambda sock: sock.sendall(write(Reply(1))), "answers: nothing"),
        (lambda sock: sock.recv(1000), "does not answer within 0.2 s"),
    ],
    ids=["closed", "another", "error", "nothing", "silent"],
)
def test_something_answers_and_it_is_no_state(play: Play, why: str) -> None:
    """The server is there, as far as can be told."""
    with playing(play), pytest.raises(NotAnswered) as told:
        ask_status("s", timeout=0.2)
    assert (True, True) == (why in str(told.value), told.value.is_running)
    assert str(Path("s").absolute()) in str(told.value)


def dead(path: str) -> None:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(path)


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("gone", "there is no socket {}: is the server running, and is this its control.socket? Name its file with -c"),
        ("dead", "nobody listens on {}: the server that made it has ended"),
        ("file", "nobody listens on {}: the server that made it has ended"),
        ("x" * 200, "{} cannot be the path of a socket: "),
        ("file/s", "{} cannot be asked: Not a directory"),
    ],
)
def test_nobody_is_there(path: str, why: str) -> None:
    """What was tried is told in full, since a relative path depends on where one stands."""
    dead("dead")
    Path("file").touch()
    with pytest.raises(NotAnswered) as told:
        ask_status(path)
    assert str(told.value).startswith(why.format(Path(path).absolute()))
    assert not told.value.is_running


def test_a_socket_of_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who may ask is told. (Refused by hand: root may ask everybody.)"""

    def refuse(sock: socket.socket, path: str) -> None:
        raise PermissionError(13, "Permission denied")

    class Refusing(socket.socket):
        connect = refuse

    monkeypatch.setattr("tarry.control.client.socket.socket", Refusing)
    with pytest.raises(NotAnswered, match="is not for you: it is for its owner and group") as told:
        ask_status("s")
    assert told.value.is_running
