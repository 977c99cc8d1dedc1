"""One worker, in this process: its orders, and what it reports."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path

import pytest

from tarry.core.client import Endpoint
from tarry.share import Share
from tarry.sockets import open_sockets
from tarry.workers import worker
from tarry.workers.channel import Abort, Alive, AnyReport, Channel, Drain, Failed, Ready, Reload, Retire, Settle, make_pair
from tarry.workers.worker import ORPHANED, Duty, Log, work
from tests.doors import config_of, in_transaction, records

pytestmark = pytest.mark.usefixtures("own_folder")


def duty(text: str = "[limits]\ndrain = '5s'", alive_every: float = 0.0) -> Duty:
    config = config_of(f"{text}\n[store]\nurl = 'none'\n[control]\nsocket = ''\n")
    share = Share(worker=2, sockets=tuple(open_sockets(config.listen, [])), incarnation=0x1F)
    return Duty(config, Path("tarry.toml"), False, Log("log", "json"), share, alive_every)


async def heard(channel: Channel) -> AnyReport:
    """Return the next report."""
    async with asyncio.timeout(10):
        while not (reports := channel.reports()):
            await asyncio.sleep(0.002)
    return reports[0]


def kept(scenario: Callable[[Channel, Endpoint], Awaitable[None]], given: Duty | None = None) -> int:
    """Play the supervisor's part in *scenario*, with where the worker listens; return its exit status."""

    async def main() -> int:
        ours, theirs = make_pair()
        with closing(theirs):
            serving = asyncio.create_task(worker._Worker(given or duty(), theirs).serve())
            ready = await heard(ours)
            assert isinstance(ready, Ready)
            await scenario(ours, Endpoint(*ready.where[0]))
            async with asyncio.timeout(10):
                status = await serving
            ours.close()
            return status

    return asyncio.run(main())


class At:
    """Stands where `Client.of` and `in_transaction` want a server."""

    def __init__(self, where: Endpoint) -> None:
        self.addresses = [(where.host, where.port)]


def test_it_serves_with_its_number_until_it_is_told_to_drain() -> None:
    """Its sessions have ids of its own."""

    async def scenario(channel: Channel, where: Endpoint) -> None:
        client = await in_transaction(At(where))  # type: ignore[arg-type]
        channel.send(Drain("SIGTERM"))
        assert (await client.says("RSET")).startswith("250 ")
        assert (await client.hears()).startswith("421 ")
        await client.leaves()

    assert 0 == kept(scenario)
    assert ([2], ["SIGTERM"]) == ([one["worker"] for one in records("start")], [one["why"] for one in records("stop")])
    assert ["01F"] == [one["id"][8:11] for one in records("connect")]


def test_a_reload_that_fails_leaves_it_obedient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever fails: it goes on as it was, says so, and drains when it is told to."""

    async def scenario(channel: Channel, where: Endpoint) -> None:
        def fail(*args: object, **more: object) -> None:
            raise ZeroDivisionError("on purpose")

        monkeypatch.setattr("tarry.daemon.door_rules", fail)
        channel.send(Reload("[hold]\nwait = '0s'\n"))
        while not records("config"):
            await asyncio.sleep(0.01)
        channel.send(Drain("SIGTERM"))

    assert 0 == kept(scenario)
    assert [(False, True)] == [(one["ok"], "on purpose" in one["why"]) for one in records("config")]


def test_it_takes_a_new_configuration_from_the_text() -> None:
    """The file need not be there."""

    async def scenario(channel: Channel, where: Endpoint) -> None:
        channel.send(Reload("[hold]\nwait = '0s'\n"))
        while not records("config"):
            await asyncio.sleep(0.01)
        channel.send(Drain("SIGTERM"))

    assert 0 == kept(scenario)
    assert [True] == [one["ok"] for one in records("config")]


def test_it_retires() -> None:
    """Who is in ends by itself; its sockets stay open for whoever else has them."""

    async def scenario(channel: Channel, where: Endpoint) -> None:
        client = await in_transaction(At(where))  # type: ignore[arg-type]
        channel.send(Retire("upgrade"))
        await asyncio.sleep(0.01)
        assert (await client.says("RSET")).startswith("250 ")
        assert (await client.says("QUIT")).startswith("221 ")
        await client.leaves()

    assert 0 == kept(scenario)
    assert ["upgrade"] == [one["why"] for one in records("stop")]


@pytest.mark.parametrize("first", [None, Retire("upgrade"), Drain("SIGTERM")])
def test_it_ends_at_once(first: Retire | Drain | None) -> None:
    """Also where it is ending already; a transaction is aborted."""

    async def scenario(channel: Channel, where: Endpoint) -> None:
        client = await in_transaction(At(where))  # type: ignore[arg-type]
        if first is not None:
            channel.send(first)
        channel.send(Abort())
        with suppress(ConnectionError):
            assert (await client.hears())[:3] in ("", "421")
        await client.leaves()

    assert 0 == kept(scenario)


def test_without_its_supervisor_it_drains() -> None:
    """However that ended."""

    async def scenario(channel: Channel, where: Endpoint) -> None:
        channel.close()

    assert 0 == kept(scenario)
    assert [ORPHANED] == [one["why"] for one in records("stop")]


@pytest.mark.parametrize("settled", [False, True])
def test_a_version_that_did_not_come_up_leaves_the_backlog_to_the_old_one(settled: bool) -> None:
    """Who is in is served to the end, and nobody is told 421; once the old one has given way it is as ever."""
    given = duty()
    assert given.share is not None
    old = given.share.sockets[0].sock.dup()

    async def scenario(channel: Channel, where: Endpoint) -> None:
        client = await in_transaction(At(where))  # type: ignore[arg-type]
        if settled:
            channel.send(Settle())
        channel.close()
        if settled:
            assert (await client.says("RSET")).startswith("250 ")
            assert (await client.hears()).startswith("421 ")
        else:
            assert (await client.says("NOOP")).startswith("250 ")
            assert (await client.says("RSET")).startswith("250 ")
            assert (await client.says("NOOP")).startswith("250 ")
        await client.leaves()

    with old:
        assert 0 == kept(scenario, replace(given, share=replace(given.share, takes_over=True)))
    assert [ORPHANED] == [one["why"] for one in records("stop")]


def test_it_shows_that_it_lives() -> None:
    """As often as the supervisor wants to hear it."""

    async def scenario(channel: Channel, where: Endpoint) -> None:
        assert [Alive(), Alive()] == [await heard(channel), await heard(channel)]
        channel.send(Drain("SIGTERM"))

    assert 0 == kept(scenario, duty(alive_every=0.01))


def test_it_cannot_start() -> None:
    """The reason goes to the supervisor as it is."""

    async def main() -> tuple[int, AnyReport]:
        Path("file").write_text("")
        ours, theirs = make_pair()
        given = duty("[handoff]\nmaildir = 'file/mail'")
        assert given.share is not None
        with closing(ours), closing(theirs), given.share.sockets[0].sock:
            status = await worker._Worker(given, theirs).serve()
            return status, await heard(ours)

    status, report = asyncio.run(main())
    assert isinstance(report, Failed)
    assert (1, "Not a directory", "file/mail") == (status, report.text, report.file[:9])


def test_its_status_is_that_of_its_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """Which runs nothing but the worker."""
    monkeypatch.setattr(worker, "run", lambda main: main.close() or 5)
    ours, theirs = make_pair()
    given = duty()
    try:
        assert 5 == work(given, theirs)
    finally:
        for channel in (ours, theirs):
            channel.close()
        assert given.share is not None
        for one in given.share.sockets:
            one.sock.close()
