"""Wiring: a front door that is told by signals what to do, and tells systemd."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import Callable, Coroutine, Mapping
from contextlib import closing
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from tarry.config.load import Loaded, load
from tarry.daemon import Server, serve
from tarry.net.notify import Notifier
from tarry.signals import serve_until_signalled
from tarry.workers import takeover
from tarry.workers.takeover import Successor
from tests.doors import config_of, in_transaction, loaded, records

pytestmark = pytest.mark.usefixtures("own_folder")


def signalled(
    scenario: Callable[[Server], Coroutine[Any, Any, None]],
    reload: Callable[[], Loaded] | None = None,
    supervisor: Mapping[str, str] = MappingProxyType({}),
    **more: Any,
) -> None:
    """Serve until a scenario has sent its signals."""

    async def main() -> None:
        ready: asyncio.Queue[Server] = asyncio.Queue()
        notifier = Notifier(dict(supervisor), os.getpid())
        server = serve(config_of("[limits]\ndrain = '5s'"))
        serving = asyncio.create_task(
            serve_until_signalled(server, reload=reload, on_ready=ready.put_nowait, notifier=notifier, **more)
        )
        await scenario(await ready.get())
        async with asyncio.timeout(5):
            await serving

    asyncio.run(main())


def test_systemd_is_told() -> None:
    """That the server is ready, alive, reads its configuration anew, and stops."""
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as ear:
        ear.settimeout(5)
        ear.bind("notify")

        async def scenario(server: Server) -> None:
            os.kill(os.getpid(), signal.SIGHUP)
            while not records("config"):
                server._flush()
                await asyncio.sleep(0)
            os.kill(os.getpid(), signal.SIGTERM)

        supervisor = {"NOTIFY_SOCKET": str(Path("notify").absolute()), "WATCHDOG_USEC": "60000000"}
        signalled(scenario, reload=lambda: load(None, text=""), supervisor=supervisor)
        told = [ear.recv(1000).decode() for _ in range(5)]
    assert told[0].startswith("READY=1\nSTATUS=listens on 127.0.0.1:")
    assert "WATCHDOG=1" == told[1]
    assert told[2].startswith("RELOADING=1\nMONOTONIC_USEC=")
    assert ["READY=1", "STOPPING=1\nSTATUS=lets transactions finish"] == told[3:]


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_a_signal_drains(name: str) -> None:
    """Its name is the reason in the log."""

    async def scenario(server: Server) -> None:
        os.kill(os.getpid(), getattr(signal, name))

    signalled(scenario)
    assert [name] == [one["why"] for one in records("stop")]


def test_a_second_signal_ends_at_once() -> None:
    """Also a transaction; a reload in between is not heeded."""

    async def scenario(server: Server) -> None:
        client = await in_transaction(server)
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGTERM):
            os.kill(os.getpid(), number)
            await asyncio.sleep(0.005)
        await client.leaves()

    signalled(scenario, lambda: loaded(""))
    assert [] == records("config")


@pytest.mark.parametrize("reloads", [True, False])
def test_sighup_reloads(reloads: bool) -> None:
    """Where there is a file to read."""

    async def scenario(server: Server) -> None:
        os.kill(os.getpid(), signal.SIGHUP)
        await asyncio.sleep(0.005)
        os.kill(os.getpid(), signal.SIGTERM)

    signalled(scenario, (lambda: loaded("")) if reloads else None)
    assert int(reloads) == len(records("config"))


class New:
    """A new version that the test plays: what it says goes through a pipe."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.hears, self.says = os.pipe()
        self.ends = 0
        self.begun = 0
        self.said: list[str] = []
        monkeypatch.setattr(Successor, "end", self._end)

    def begin(self, server: Server) -> Successor:
        self.begun += 1
        return Successor(7777, os.dup(self.hears), 3)

    def _end(self) -> None:
        self.ends += 1

    def close(self) -> None:
        os.close(self.hears)
        if self.says >= 0:
            os.close(self.says)

    def fail(self) -> None:
        os.close(self.says)
        self.says = -1


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.002)


def test_sigusr2_gives_way_to_a_new_version(monkeypatch: pytest.MonkeyPatch) -> None:
    """When that serves; whoever is in goes on until the end, and a second signal while it comes up begins no other one."""
    new = New(monkeypatch)

    async def scenario(server: Server) -> None:
        client = await in_transaction(server)
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGUSR2)
            await asyncio.sleep(0.01)
        os.write(new.says, b"ready")
        await until(lambda: len(new.said) == 2)
        assert (await client.says("RSET")).startswith("250 ")
        assert (await client.says("QUIT")).startswith("221 ")
        await client.leaves()

    signalled(scenario, upgrade=new.begin, say=new.said.append)
    assert (1, 0, ["upgrade"]) == (new.begun, new.ends, [one["why"] for one in records("stop")])
    assert "upgrade: the new version serves (process 7777); this one ends when its clients have" == new.said[1]
    new.close()


def test_sigterm_ends_one_that_gives_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """As it ends any other: who is in a transaction may finish it, and a second signal ends that."""
    new = New(monkeypatch)

    async def scenario(server: Server) -> None:
        client = await in_transaction(server)
        os.kill(os.getpid(), signal.SIGUSR2)
        os.write(new.says, b"ready")
        await until(lambda: len(new.said) == 2)
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.sleep(0.01)
        os.kill(os.getpid(), signal.SIGTERM)
        await client.leaves()

    signalled(scenario, upgrade=new.begin, say=new.said.append)
    new.close()


@pytest.mark.parametrize("how", ["ends", "is late", "cannot be started", "is not wanted", "comes while it ends"])
def test_a_new_version_that_does_not_serve(monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    """This one goes on, and says why."""
    new = New(monkeypatch)
    monkeypatch.setattr(takeover, "PATIENCE", 0.01 if how == "is late" else 60.0)

    def refuse(server: Server) -> Successor:
        raise OSError("no shell")

    async def scenario(server: Server) -> None:
        if how == "comes while it ends":
            client = await in_transaction(server)
            os.kill(os.getpid(), signal.SIGTERM)
            await asyncio.sleep(0.01)
            os.kill(os.getpid(), signal.SIGUSR2)
            await asyncio.sleep(0.01)
            await client.leaves()
            return
        os.kill(os.getpid(), signal.SIGUSR2)
        if how == "ends":
            await until(lambda: new.begun)
            new.fail()
        if how == "is not wanted":
            await asyncio.sleep(0.01)
        else:
            await until(lambda: len(new.said) == 2)
        assert 1 == len(server.addresses)
        os.kill(os.getpid(), signal.SIGTERM)

    upgrade = {"cannot be started": refuse, "is not wanted": None}.get(how, new.begin)
    signalled(scenario, upgrade=upgrade, say=new.said.append)
    told = {
        "ends": ["did not start: its exit status is 3"],
        "is late": ["did not start: it did not say within 0.01 s that it serves"],
        "cannot be started": ["cannot be started: no shell; this one goes on"],
    }
    assert told.get(how, []) == [one.partition("the new version ")[2] for one in new.said[1:]]
    assert ["SIGTERM"] == [one["why"] for one in records("stop")]
    new.close()


def test_sigterm_while_a_new_version_comes_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both end."""
    new = New(monkeypatch)

    async def scenario(server: Server) -> None:
        os.kill(os.getpid(), signal.SIGUSR2)
        await until(lambda: new.begun)
        os.kill(os.getpid(), signal.SIGTERM)

    signalled(scenario, upgrade=new.begin, say=new.said.append)
    assert (1, True) == (new.ends, new.said[-1].endswith("since this one was told to end"))
    new.close()
