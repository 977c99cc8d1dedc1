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
from tests.doors import config_of, in_transaction, loaded, records

pytestmark = pytest.mark.usefixtures("own_folder")


def signalled(
    scenario: Callable[[Server], Coroutine[Any, Any, None]],
    reload: Callable[[], Loaded] | None = None,
    supervisor: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """Serve until a scenario has sent its signals."""

    async def main() -> None:
        ready: asyncio.Queue[Server] = asyncio.Queue()
        notifier = Notifier(dict(supervisor), os.getpid())
        server = serve(config_of("[limits]\ndrain = '5s'"))
        serving = asyncio.create_task(serve_until_signalled(server, reload=reload, on_ready=ready.put_nowait, notifier=notifier))
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
