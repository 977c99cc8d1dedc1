"""A new version takes the place of the running one: nobody is refused, nobody is cut off; and one that fails changes nothing."""

import os
import signal
import socket
import time
from pathlib import Path

import pytest

from tests.e2e.servers.clients import RawClient
from tests.e2e.servers.processes import is_alive, wait_until
from tests.e2e.servers.steady_load import Load, lost
from tests.e2e.servers.tarry import Tarry

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

NO_LIMIT = "max_per_client = 0\n"


def lay(tarry: Tarry, **tables: dict[str, object]) -> None:
    """Write the configuration with *tables* laid over it."""
    tarry.write({**tarry.config, **{name: {**tarry.config.get(name, {}), **table} for name, table in tables.items()}})


def upgraded(tarry: Tarry, servers: int) -> list[int]:
    """Wait until so many processes more than before have said that they serve; return their ids."""
    before = len(tarry.records(ev="start"))
    tarry.send_signal(signal.SIGUSR2)
    return [each["pid"] for each in tarry.wait_records(before + servers, timeout=20, ev="start")[before:]]


@pytest.mark.parametrize(("before", "after"), [(2, 2), (3, 1), (1, 2)])
def test_an_upgrade_under_load(before: int, after: int) -> None:
    """With as many workers or not: no connection is refused, no message lost, no session cut; a held client is greeted by the old
    one when its time has come, and a transaction is finished there."""
    config = (
        f"[listen]\nworkers = {before}\n{NO_LIMIT}[limits]\ndrain = '20s'\n"
        "[[hold.class]]\nname = 'slow'\nnetworks = ['127.5.0.0/16']\nwait = '1500ms'\n"
    )
    with Tarry(config, wait="20ms") as tarry:
        tarry.wait_records(before, ev="start")
        old = tarry.pid
        with Load(tarry.port) as load, RawClient(tarry.port, source="127.5.0.1") as held, RawClient(tarry.port) as sending:
            sending.greeted()
            sending.envelope()
            load.wait(20)
            lay(tarry, listen={"workers": after}, smtp={"name": "new.example"})
            new = upgraded(tarry, after)
            assert wait_until(lambda: "the new version serves" in tarry.printed(), 10)
            load.wait(40)
            with RawClient(tarry.port) as client:
                assert client.read_reply().text.startswith(b"new.example")
            assert 354 == sending.command(b"DATA").code
            assert 250 == sending.command(b"Subject: x\r\n\r\nwhole\r\n.").code
            greeting = held.read_reply()
            assert (220, True) == (greeting.code, not greeting.text.startswith(b"new.example"))
            assert greeting.at - held.connected_at >= 1.49
            for client in (held, sending):
                client.command(b"QUIT")
        assert wait_until(lambda: tarry.status is not None, 15)
        assert (0, False) == (tarry.status, is_alive(old))
        assert ([], [], [], []) == (load.refused, load.unheard, load.cut + load.broken, load.sent_away)
        assert [] == lost(load, tarry.messages())
        assert ["upgrade"] * before == [each["why"] for each in tarry.records(ev="stop")]
        ids = [each["id"] for each in tarry.records(ev="connect")]
        assert len(ids) == len(set(ids))
        assert set(new) <= set(tarry.pids())


@pytest.mark.parametrize("workers", [1, 2])
def test_a_new_version_that_does_not_start(workers: int) -> None:
    """The old one says so, and serves on as if nothing had been; later an upgrade works."""
    with Tarry(f"[listen]\nworkers = {workers}\n{NO_LIMIT}", wait="20ms") as tarry, Load(tarry.port, senders=3) as load:
        good = tarry.file.read_text()
        tarry.file.write_text("[hold]\nwiat = 1\n")
        tarry.send_signal(signal.SIGUSR2)
        assert wait_until(lambda: "the new version did not start: its exit status is 1" in tarry.printed(), 15)
        load.wait(10)
        tarry.file.write_text(good)
        upgraded(tarry, workers)
        assert wait_until(lambda: tarry.status == 0, 15)
        load.wait(10)
        load.stop()
        assert ([], [], [], []) == (load.refused, load.unheard, load.cut + load.broken, load.sent_away)


def test_clients_that_do_not_end_meet_the_drain() -> None:
    """limits.drain after the new one serves, who is still idle in the old one hears 421, as after SIGTERM."""
    with Tarry("[listen]\nworkers = 2\n[limits]\ndrain = '1s'\n", wait="0s") as tarry, RawClient(tarry.port) as idle:
        tarry.wait_records(2, ev="start")
        idle.greeted()
        began = time.monotonic()
        upgraded(tarry, 2)
        assert 421 == idle.read_reply().code
        assert time.monotonic() - began >= 1.0
        assert wait_until(lambda: tarry.status == 0, 10)


def test_a_new_version_is_the_main_process_for_systemd(tmp_path: Path) -> None:
    """It says MAINPID= and READY=1 to the socket of the first one, and nobody says STOPPING=1."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ear:
        ear.bind(str(tmp_path / "notify"))
        ear.settimeout(15)
        environment = {"NOTIFY_SOCKET": str(tmp_path / "notify")}
        with Tarry("[listen]\nworkers = 2\n", wait="0s", environment=environment) as tarry:
            assert ear.recv(1000).startswith(b"READY=1\nSTATUS=2 workers listen on")
            upgraded(tarry, 2)
            first, *more = ear.recv(1000).decode().splitlines()
            pid = int(first.removeprefix("MAINPID="))
            assert (pid != tarry.pid, "READY=1") == (True, more[0])
            assert wait_until(lambda: tarry.status == 0, 10)
            os.kill(pid, signal.SIGTERM)
            assert ear.recv(1000).startswith(b"STOPPING=1")
            assert wait_until(lambda: not is_alive(pid), 10)
