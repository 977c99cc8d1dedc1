"""The wiring of what is counted together: census and leases."""

from __future__ import annotations

import asyncio
import os

import pytest

from tarry.config.schema import Config
from tarry.core.census import Scope
from tarry.core.clock import ManualClock
from tarry.counting import Counting
from tarry.net import census
from tarry.share import Share


def counting(url: str, share: Share | None = None) -> Counting:
    return Counting(ManualClock(), Config.from_toml(f'store.url = "{url}"'), share)


@pytest.mark.parametrize("url", ["none", "sqlite:tarry.db"])
def test_a_process_alone(url: str) -> None:
    """It counts for itself, and nobody tells it of others."""
    alone = counting(url)
    assert (1, None) == (alone.census.workers, alone.elsewhere)
    alone.start(lambda now: {})
    asyncio.run(alone.close())


def test_workers_share_a_census() -> None:
    """Each with its number; a share without one is counted alone."""
    fd = census.make(2)
    one, two = (counting("none", Share(worker, (), census=fd)).census for worker in (1, 2))
    one.enter(Scope.CLIENT, one.spots(Scope.CLIENT, b"\1\2\3\4"))
    assert 1 == two.others(Scope.CLIENT, two.spots(Scope.CLIENT, b"\1\2\3\4"))
    assert one.name == two.name
    assert 1 == counting("none", Share(1, ())).census.workers
    os.close(fd)


def test_hosts_share_a_store() -> None:
    """That cannot be reached: the start does not wait for it, nothing is known of others, and the end is quick."""

    async def scenario() -> None:
        fleet = counting("valkey://127.0.0.1:1/0")
        fleet.start(lambda now: {})
        assert fleet.elsewhere is not None
        async with asyncio.timeout(5):
            await asyncio.sleep(0.05)
            await fleet.close()

    asyncio.run(scenario())
