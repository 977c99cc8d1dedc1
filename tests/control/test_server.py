"""The control socket: who gets it, who answers, and what it bears."""

from __future__ import annotations

import asyncio
import os
import socket
import stat
from pathlib import Path

import pytest

from tarry.control import protocol, server
from tarry.control.protocol import Reply, Request, read_reply, write
from tarry.control.states import State
from tests.control.asked import ask, run, serving, state

STATUS = write(Request("status"))


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # relative paths: that of the folder may be too long for a socket


def left_behind(path: str) -> None:
    """Make the socket of a process that died."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(path)
        sock.listen()


@pytest.mark.parametrize("links", [True, False])
def test_the_mode_of_another_file_is_not_touched(monkeypatch: pytest.MonkeyPatch, links: bool) -> None:
    """Where others may write in the folder, one of them may put something else there the moment after."""
    Path("secret").touch(0o600)

    class Sock(socket.socket):
        def bind(self, path: str) -> None:  # type: ignore[override]
            super().bind(path)
            Path(path).unlink()
            if links:
                Path(path).symlink_to("secret")
            else:
                Path("secret").rename(path)

    monkeypatch.setattr(server.socket, "socket", Sock)

    async def scenario() -> None:
        control = serving("s", state())
        assert "control socket" in (why := await control.start()) and "cannot be had" in why
        assert not control.is_listening

    run(scenario())
    assert 0o600 == stat.S_IMODE(Path("s").stat().st_mode)


def test_it_answers_and_goes() -> None:
    """A state, a ping, a word about what is neither; at the end the socket is gone."""

    async def scenario() -> None:
        control = serving("s", state(held=3))
        assert "" == await control.start()
        assert control.is_listening
        assert Reply(os.getpid(), "0.1", state(held=3)) == read_reply(await ask("s", STATUS))
        assert Reply(os.getpid(), "0.1") == read_reply(await ask("s", write(Request("ping"))))
        assert "ask " in read_reply(await ask("s", b"GET / HTTP/1.0\r\n\r\n")).error
        control.close()
        control.close()
        assert (False, False) == (control.is_listening, Path("s").exists())

    run(scenario())


def test_it_is_for_owner_and_group_whatever_the_umask() -> None:
    """Neither more nor less."""

    async def scenario() -> None:
        for mask in (0o000, 0o077):
            control = serving("s", state())
            before = os.umask(mask)
            try:
                assert "" == await control.start()
            finally:
                os.umask(before)
            assert 0o660 == stat.S_IMODE(Path("s").stat().st_mode)
            control.close()

    run(scenario())


def test_the_socket_of_a_dead_process_is_taken_over() -> None:
    """Nobody has to remove it by hand."""

    async def scenario() -> None:
        left_behind("s")
        control = serving("s", state())
        assert "" == await control.start()
        assert read_reply(await ask("s", STATUS)).state == state()
        control.close()

    run(scenario())


def test_one_that_answers_is_left_alone() -> None:
    """Whose it is is told, and the first goes on answering, also when the second has ended."""

    async def scenario() -> None:
        first, second = serving("s", state(held=1)), serving("s", state(held=2))
        assert "" == await first.start()
        trouble = await second.start()
        expected = (
            f"control socket {Path('s').absolute()} belongs to another tarry (process {os.getpid()}); until that ends this one"
        )
        assert trouble.startswith(expected)
        assert not second.is_listening
        second.close()
        assert read_reply(await ask("s", STATUS)).state == state(held=1)
        first.close()
        assert "" == await second.start()
        second.close()

    run(scenario())


def test_a_worker_takes_the_place_of_the_one_that_it_follows() -> None:
    """Which ends later, and leaves the socket to it."""

    async def scenario() -> None:
        former, now = serving("s", state(held=1)), serving("s", state(held=2), replaces=True)
        assert ["", ""] == [await former.start(), await now.start()]
        former.close()
        assert read_reply(await ask("s", STATUS)).state == state(held=2)
        now.close()
        assert not Path("s").exists()

    run(scenario())


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("file", "File exists"),
        ("gone/s", "No such file or directory"),
        ("x" * 200, "AF_UNIX path too long"),
        ("folder", "File exists"),
    ],
)
def test_what_cannot_be_had_is_told(path: str, why: str) -> None:
    """In a sentence, and no file of somebody's is harmed."""

    async def scenario() -> None:
        control = serving(path, state())
        assert (
            f"control socket {Path(path).absolute()} cannot be had: {why}; this tarry cannot be asked how it is"
            == await control.start()
        )
        control.close()

    Path("file").write_text("precious")
    Path("folder").mkdir()
    run(scenario())
    assert "precious" == Path("file").read_text()


def test_a_folder_that_was_left_does_not_matter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The socket is removed from where it was made."""
    (tmp_path / "other").mkdir()

    async def scenario() -> None:
        control = serving("s", state())
        assert "" == await control.start()
        monkeypatch.chdir(tmp_path / "other")
        control.close()

    run(scenario())
    assert not (tmp_path / "s").exists()


# What it bears.


@pytest.mark.parametrize("line", [b"x" * 100_000, b"x" * 100_000 + b"\n", b"\0\n", b"\n", STATUS * 1000])
def test_lines_of_any_kind_and_length_are_answered_once(line: bytes) -> None:
    """With one line, and the end; the server is as before."""

    async def scenario() -> None:
        control = serving("s", state())
        await control.start()
        answer = await ask("s", line)
        assert answer.count(b"\n") in (0, 1)  # none where the client was still writing when the connection ended
        assert read_reply(await ask("s", STATUS)).state == state()
        control.close()

    run(scenario())


def test_more_clients_than_there_is_room_for() -> None:
    """Are turned away; when one has left there is room."""

    async def scenario() -> None:
        control = serving("s", state())
        await control.start()
        silent = [await asyncio.open_unix_connection("s") for _ in range(server.MOST_CLIENTS)]
        assert b"" == await ask("s", STATUS)
        for _, writer in silent:
            writer.close()
        while not (answer := await ask("s", STATUS)):
            await asyncio.sleep(0)
        assert read_reply(answer).state == state()
        control.close()

    run(scenario())


def test_who_says_nothing_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a while."""
    monkeypatch.setattr(server, "PATIENCE", 0.05)

    async def scenario() -> None:
        control = serving("s", state())
        await control.start()
        assert b"" == await ask("s", b"half a line")
        control.close()

    run(scenario())


def test_a_fault_in_telling_ends_one_question_only() -> None:
    """It is told as what it is."""

    async def scenario() -> None:
        faults = [RuntimeError("boom")]

        async def answer() -> State:
            if faults:
                raise faults.pop()
            return state()

        control = server.ControlServer(asyncio.get_running_loop(), "s", answer)
        await control.start()
        assert "a fault of tarry's own: RuntimeError('boom')" == read_reply(await ask("s", STATUS)).error
        assert read_reply(await ask("s", STATUS)).state == state()
        control.close()

    run(scenario())


def test_who_waits_for_an_answer_at_the_end_is_let_go() -> None:
    """The end waits for nobody."""

    async def scenario() -> None:
        asked = asyncio.Event()

        async def never() -> State:
            asked.set()
            await asyncio.Event().wait()
            raise AssertionError

        control = server.ControlServer(asyncio.get_running_loop(), "s", never)
        await control.start()
        asking = asyncio.create_task(ask("s", STATUS))
        await asked.wait()
        control.close()
        assert b"" == await asking

    run(scenario())


def test_longest_is_longer_than_any_request() -> None:
    """Or nobody could ask."""
    assert len(STATUS) < protocol.LONGEST
