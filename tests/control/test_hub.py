"""One process speaks for all: it asks each worker, adds up, and forgets nothing that was counted."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tarry.config.schema import Config
from tarry.control import hub, protocol
from tarry.control.client import NotAnswered, ask_status
from tarry.control.hub import Hub, run_hub
from tarry.control.server import ControlServer
from tarry.control.states import State
from tests.control.asked import PATIENCE, run, serving, state


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


async def started(*servers: ControlServer) -> None:
    for one in servers:
        assert "" == await one.start()


def test_workers_are_asked_and_added_up() -> None:
    """Each over its own socket."""

    async def scenario() -> None:
        one = serving("s.1", state(1, held=3, sessions=10, since=100.0))
        two = serving("s.2", state(2, held=4, sessions=20, since=90.0))
        await started(one, two)
        whole = await Hub("s", 2).state()
        assert (os.getpid(), 0, 7, 30, 90.0) == (whole.pid, whole.worker, whole.held, whole.tally.sessions, whole.since)
        assert [(1, True, 10), (2, True, 20)] == [(worker.number, worker.ok, worker.sessions) for worker in whole.workers]
        one.close()
        two.close()

    run(scenario())


def test_a_worker_that_does_not_answer_keeps_nobody_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """The others are told, with why it is missing."""
    monkeypatch.setattr(hub, "PATIENCE", 0.2)

    async def scenario() -> None:
        async def never() -> State:
            await asyncio.Event().wait()
            raise AssertionError

        loop = asyncio.get_running_loop()
        servers = [serving("s.1", state(1, held=3)), ControlServer(loop, "s.2", never)]
        await started(*servers)
        noise = [
            await asyncio.start_unix_server(lambda _, writer: _say(writer, b"220 mx\r\n"), "s.4"),
            await asyncio.start_unix_server(lambda _, writer: _say(writer, b"{}\n"), "s.5"),
        ]
        Path("s.6").mkdir()
        whole = await Hub("s", 6).state()
        why = {worker.number: worker.why for worker in whole.workers}
        assert {
            1: "",
            2: "no answer within 0.2 s",
            3: "it is not running",
            4: "it answers what cannot be read",
            5: "it answers without a state",
            6: "it is not running",
        } == why
        assert 3 == whole.held
        for one in noise:
            one.close()
        for server in servers:
            server.close()

    run(scenario())


def _say(writer: asyncio.StreamWriter, data: bytes) -> None:
    writer.write(data)
    writer.close()


def test_what_was_counted_is_never_taken_back() -> None:
    """Neither when a worker is silent, nor when another process has taken its place and begun at nothing."""

    async def scenario() -> None:
        asked = Hub("s", 2)
        one = serving("s.1", state(1, pid=11, sessions=5))
        before = serving("s.2", state(2, pid=12, sessions=10), state(2, pid=12, sessions=12))
        await started(one, before)
        sums = [(await asked.state()).tally.sessions for _ in range(2)]
        before.close()
        silent = await asked.state()
        after = serving("s.2", state(2, pid=13, sessions=1), state(2, pid=13, sessions=2))
        await started(after)
        sums += [silent.tally.sessions, *[(await asked.state()).tally.sessions for _ in range(2)]]
        assert ([15, 17, 17, 18, 19], False) == (sums, silent.workers[1].ok)
        one.close()
        after.close()

    run(scenario())


def test_nobody_answers() -> None:
    """That is told as well."""

    async def scenario() -> None:
        whole = await Hub("s", 2).state()
        assert ([False, False], "no worker answers", 0) == ([one.ok for one in whole.workers], whole.mta.why, whole.held)

    run(scenario())


def test_workers_are_asked_once_however_many_want_to_know() -> None:
    """Who asks while they are being asked gets the same answer; who asks later a new one."""

    async def scenario() -> None:
        one = serving("s.1", *(state(1, held=number) for number in range(5)))
        await started(one)
        asked = Hub("s", 1)
        together = await asyncio.gather(*(asked.state() for _ in range(20)))
        assert ({0}, 1) == ({whole.held for whole in together}, (await asked.state()).held)
        one.close()

    run(scenario())


def test_an_answer_that_is_an_error_is_why() -> None:
    """A worker with a fault is told as one that does not answer."""

    async def scenario() -> None:
        async def boom() -> State:
            raise RuntimeError("boom")

        one = ControlServer(asyncio.get_running_loop(), "s.1", boom)
        await started(one)
        (worker,) = (await Hub("s", 1).state()).workers
        assert (False, "a fault of tarry's own: RuntimeError('boom')") == (worker.ok, worker.why)
        one.close()

    run(scenario())


@pytest.mark.slow
def test_the_process_lives_until_it_is_told_to_end() -> None:
    """It listens on control.socket, a SIGHUP changes nothing, and at SIGTERM the socket goes and the status is 0."""
    script = (
        "from tarry.config.schema import Config; from tarry.control.hub import run_hub; "
        "run_hub(Config.from_toml('[control]\\nsocket = \"s\"'), 's', 2)"
    )
    process = subprocess.Popen([sys.executable, "-c", script])
    try:
        run(_until(_answers))
        process.send_signal(signal.SIGHUP)
        whole = ask_status("s", PATIENCE)
        assert (process.pid, 2) == (whole.pid, len(whole.workers))
        process.terminate()
        assert 0 == process.wait(PATIENCE)
        assert not Path("s").exists()
    finally:
        process.kill()
        process.wait()


async def _until(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(0.02)


def _answers() -> bool:
    try:
        return bool(ask_status("s", PATIENCE).pid)
    except NotAnswered:  # its file is there a moment before it listens
        return False


def test_what_is_taken_is_told_and_the_process_lives_on(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hub without a socket still serves HTTP, when it gets the means to; it goes when it is told."""
    Path("s").write_text("not a socket")
    opened: list[object] = []

    def open_web(endpoint: object, loop: asyncio.AbstractEventLoop, answer: object) -> tuple[None, str]:
        opened.append(endpoint)
        loop.call_soon(os.kill, os.getpid(), signal.SIGTERM)
        return None, "web.listen cannot be had"

    config = Config.from_toml('[control]\nsocket = "s"\n[web]\nlisten = "127.0.0.1:8025"')
    run_hub(config, "s", 1, open_web=open_web)
    said = capsys.readouterr().err
    assert ["127.0.0.1:8025"] == [str(one) for one in opened]
    assert ("s cannot be had: File exists" in said, "tarry: web.listen cannot be had\n" in said) == (True, True)


def test_a_full_state_fits_into_what_is_read() -> None:
    """With the reasons and the lists of a large site."""
    many = state(1)
    many.tally.reasons.update({f"a_check_with_a_long_name_{number}.and_a_long_code": 2**40 for number in range(201)})
    assert 4 * len(protocol.write(protocol.Reply(state=many))) < hub._LONGEST
