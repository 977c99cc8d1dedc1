"""Wiring: what a front door tells of itself, and where it can be asked."""

from __future__ import annotations

import asyncio
import http.client
import os
import socket
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from tarry.config.compile import fingerprint
from tarry.config.schema import Config
from tarry.control.client import ask_status
from tarry.control.states import State, Stress, unhealthy
from tarry.daemon import Server, serve
from tarry.record.schema import Close, read_line
from tarry.record.tally import tally
from tarry.share import Share
from tarry.sockets import open_sockets
from tarry.version import VERSION
from tests.doors import Client, config_of, in_transaction, loaded, records

pytestmark = pytest.mark.usefixtures("own_folder")

ALONE = '[store]\nurl = "none"\n'
HTTP = '[web]\nlisten = "127.0.0.1:0"\n'
LIST = '[checks.dnslists]\nzones = [{ zone = "l.test" }]\n[dns]\nservers = ["127.0.0.1:9"]\nself_test = "0s"\n'


def run(scenario: Coroutine[Any, Any, None]) -> None:
    async def within() -> None:
        async with asyncio.timeout(30):
            await scenario

    asyncio.run(within())


async def asked(path: str = "tarry.sock") -> State:
    """Return what the server tells over its socket."""
    return await asyncio.to_thread(ask_status, path)


def get(server: Server, path: str) -> tuple[int, str]:
    assert server.web_address is not None
    asking = http.client.HTTPConnection(*server.web_address, timeout=20)
    asking.request("GET", path)
    reply = asking.getresponse()
    body = reply.read().decode()
    asking.close()
    return reply.status, body


def closings() -> list[Close]:
    events = [read_line(line).event for line in Path("log").read_bytes().splitlines()]
    return [event for event in events if isinstance(event, Close)]


def test_a_server_tells_how_it_is() -> None:
    """Over its socket the same as to the program that it is part of."""

    async def scenario() -> None:
        async with serve(config_of(ALONE + LIST), observe=True) as server:
            client = await in_transaction(server)
            told = server.state()
            assert told == await asked()
            assert (os.getpid(), VERSION, 0, 50, 0, 1) == (
                told.pid,
                told.version,
                told.worker,
                told.max_clients,
                told.held,
                told.in_session,
            )
            assert (f"127.0.0.1:{server.addresses[0][1]}",) == told.listen
            assert (True, "mail", True, None) == (told.observes, told.mta.where, told.mta.ok, told.store)
            assert [("l.test", True)] == [(one.zone, one.ok) for one in told.lists]
            await client.leaves()
        assert not Path("tarry.sock").exists()

    run(scenario())


def test_what_it_counts_is_the_fold_of_its_log() -> None:
    """Session by session; a state that was told does not change any more."""

    async def scenario() -> None:
        async with serve(config_of(ALONE)) as server:
            before = server.state()
            for _ in range(2):
                client = await in_transaction(server)
                assert (await client.says("QUIT")).startswith("221 ")
                await client.leaves()
            await (await Client.of(server)).leaves()
            while server.state().tally.sessions < 3:
                await asyncio.sleep(0.01)
            counted = server.state().tally
        assert (tally(closings()), 0) == (counted, before.tally.sessions)

    run(scenario())


def test_the_memory_is_told() -> None:
    """Where there is one."""

    async def scenario() -> None:
        async with serve(config_of('[store]\nurl = "sqlite:m.db"\n')) as server:
            store = server.state().store
            assert store is not None
            assert ("m.db" in store.url, store.ok, store.why) == (True, True, "")

    run(scenario())


@pytest.mark.slow
def test_an_mta_that_is_away_and_a_draining_server() -> None:
    """Why clients should go elsewhere, over HTTP as well, until the end."""

    async def scenario() -> None:
        with socket.create_server(("127.0.0.1", 0)) as nobody:
            port = nobody.getsockname()[1]
        proxy = f'[handoff]\nmode = "proxy"\naddress = "127.0.0.1:{port}"\nannounce = "none"\n'
        server = serve(config_of(ALONE + HTTP + proxy, wait="60s"))
        await server.start()
        told = server.state()
        assert (f"127.0.0.1:{port}", False, True) == (told.mta.where, told.mta.ok, "111" in told.mta.why)
        status, body = await asyncio.to_thread(get, server, "/health")
        assert (503, f"the MTA at 127.0.0.1:{port} is away: {told.mta.why}\n") == (status, body)
        await server.stop()

    run(scenario())


def test_a_server_that_stops_is_asked_to_the_end() -> None:
    """It says that it drains."""

    async def scenario() -> None:
        server = serve(config_of(ALONE))
        await server.start()
        client = await in_transaction(server)
        stopping = asyncio.create_task(server.stop())
        await asyncio.sleep(0)
        told = await asked()
        assert (True, ("it is draining: no new clients are taken",), ()) == (told.draining, unhealthy(told), told.listen)
        await client.says("QUIT")
        await client.leaves()
        await stopping

    run(scenario())


def test_stress_is_told_while_it_lasts() -> None:
    """And no longer."""

    async def scenario() -> None:
        async with serve(config_of(ALONE)) as server:
            server._on_stress("descriptors", True, "EMFILE")
            server._on_stress("load", True, "46 of 50 clients")
            assert (Stress("descriptors", "EMFILE"), Stress("load", "46 of 50 clients")) == server.state().stress
            server._on_stress("descriptors", False, "")
            assert (Stress("load", "46 of 50 clients"),) == server.state().stress

    run(scenario())


def test_a_reload_is_told() -> None:
    """The configuration, its lists and its MTA are those of now; sockets wait for a restart."""

    async def scenario() -> None:
        async with serve(config_of(ALONE)) as server:
            first = server.state()
            assert server.reload(loaded(ALONE + LIST + '[control]\nsocket = "other"\n'))
            second = await asked()
            assert (False, ["l.test"], True) == (first.config == second.config, [one.zone for one in second.lists], second.mta.ok)
        assert "control.socket" in Path("log").read_text()

    run(scenario())


def test_neither_socket_nor_http() -> None:
    """Where the configuration wants none."""

    async def scenario() -> None:
        async with serve(config_of(ALONE + '[control]\nsocket = ""\n')) as server:
            assert (None, []) == (server.web_address, server.notes)
        assert not list(Path().glob("*.sock"))

    run(scenario())


@pytest.mark.slow
def test_what_cannot_be_had_is_noted_and_mail_comes_in() -> None:
    """A second server in the same folder, with the HTTP address of the first one."""

    async def scenario() -> None:
        async with serve(config_of(ALONE + HTTP)) as first:
            assert first.web_address is not None
            taken = HTTP.replace(":0", f":{first.web_address[1]}")
            async with serve(config_of(ALONE + taken)) as second:
                control, web = second.notes
                assert f"belongs to another tarry (process {os.getpid()})" in control
                assert web.startswith(f"web.listen 127.0.0.1:{first.web_address[1]} cannot be had: Address already in use")
                await (await in_transaction(second)).leaves()
            assert first.state().listen == (await asked()).listen

    run(scenario())


@pytest.mark.slow
def test_who_retires_makes_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """The one that takes its place is asked from then on."""
    monkeypatch.setattr("tarry.control.doors.RETRY", 0.05)

    async def scenario() -> None:
        first, second = serve(config_of(ALONE + HTTP)), serve(config_of(ALONE))
        await first.start()
        client = await in_transaction(first)
        await second.start()
        retiring = asyncio.create_task(first.retire("upgrade"))
        while not Path("tarry.sock").exists() or (await _asked_or_none()) != second.state().listen:
            await asyncio.sleep(0.02)
        assert first.web_address is None
        await client.says("QUIT")
        await client.leaves()
        await retiring
        assert second.state().listen == (await asked()).listen
        await second.stop()

    run(scenario())


async def _asked_or_none() -> tuple[str, ...] | None:
    try:
        return (await asked()).listen
    except Exception:  # gone, or going
        return None


def test_a_worker_that_comes_later_opens_what_all_have_opened() -> None:
    """Whatever the configuration says by now: that needs a restart, and the record says so again at the next reload."""

    async def scenario() -> None:
        began, now = (config_of(f'[store]\nurl = "sqlite:{name}.db"\n') for name in ("began", "now"))
        share = Share(1, tuple(open_sockets(now.listen, [])), begun_with=began)
        async with Server(now, share=share) as server:
            told = server.state()
            assert told.store is not None
            assert ("began.db" in told.store.url, fingerprint(now)) == (True, told.config)
            assert server.reload(replace(loaded(""), config=now))
        assert ["store.url as before until a restart"] == [each["why"] for each in records("config")]
        assert not Path("now.db").exists()

    run(scenario())


def test_a_worker_has_a_socket_of_its_own_and_no_http() -> None:
    """The hub speaks for all."""

    async def scenario() -> None:
        config = Config.from_toml(f'{ALONE}{HTTP}\n[listen]\nsmtp = ["127.0.0.1:0"]\n[record]\npath = "log"\n')
        share = Share(2, tuple(open_sockets(config.listen, [])), control="tarry.sock.2")
        async with Server(config, share=share) as server:
            assert (2, None) == ((await asked("tarry.sock.2")).worker, server.web_address)
            assert not Path("tarry.sock").exists()

    run(scenario())
