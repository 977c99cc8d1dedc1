"""Limits of connections and times of stress: what clients of a real server are told, of one process, of several, of two hosts."""

import os
import re
import signal
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.e2e.servers import valkey
from tests.e2e.servers.clients import RawClient
from tests.e2e.servers.processes import wait_until
from tests.e2e.servers.tarry import Tarry

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

CONFIG = """
[listen]
max_per_client = 4
max_per_network = 6
rate_per_client = 8
rate_per_network = 12
workers = {workers}
[exempt]
networks = ["127.7.0.0/16"]
"""
TOO_MANY, TOO_OFTEN = "4.7.0 Too many connections from your", "4.7.0 Too many connections in a minute from your"


def replies(tarry: Tarry, sources: list[str], stack: ExitStack | None = None) -> list[str]:
    """Return what each client is told that comes, one after the other; those of a *stack* stay until it ends."""
    told = []
    for source in sources:
        with ExitStack() as own:
            client = (stack or own).enter_context(RawClient(tarry.port, source=source))
            told.append(client.read_reply().raw.decode())
    return told


def is_in(told: str) -> bool:
    return told.startswith("220")


@pytest.fixture(scope="module", params=[1, 2], ids=["alone", "two workers"])
def tarry(request: pytest.FixtureRequest) -> Iterator[Tarry]:
    with Tarry(CONFIG.format(workers=request.param), wait="0s") as running:
        yield running


def check(told: list[str], let_in: int, refusal: str) -> None:
    """The first ones came in, the others were told why not, each with its session's id."""
    assert [True] * let_in == [is_in(one) for one in told[:let_in]], told
    for one in told[let_in:]:
        assert re.search(rf"{re.escape(refusal)}, try again later \[[0-9A-F]+-[0-9A-F]+\]", one), told


def test_each_limit_has_its_own_words(tarry: Tarry) -> None:
    """Connections at once and in a minute, of a client and of its network; whichever worker takes them."""
    with ExitStack() as stack:
        check(replies(tarry, ["127.1.0.1"] * 6, stack), 4, f"{TOO_MANY} address")
        check(replies(tarry, ["127.1.0.2", "127.1.0.3", "127.1.0.4"], stack), 2, f"{TOO_MANY} network")
        assert is_in(replies(tarry, ["127.1.1.1"], stack)[0])
    tarry.wait_records(10, ev="close")
    gone = [f"127.2.0.{number}" for number in range(1, 5)]
    for source in gone:  # one at a time, so that none is too many at once
        before = len(tarry.records(ev="close"))
        check(replies(tarry, [source] * 3), 3, "")
        tarry.wait_records(before + 3, ev="close")
    check(replies(tarry, ["127.2.0.5"]), 0, f"{TOO_OFTEN} network")
    for _ in range(4):
        before = len(tarry.records(ev="close"))
        check(replies(tarry, ["127.3.0.1"] * 2), 2, "")
        tarry.wait_records(before + 2, ev="close")
    check(replies(tarry, ["127.3.0.1"] * 2), 0, f"{TOO_OFTEN} address")
    closed = Counter(one["greeted"] for one in tarry.wait_records(33, ev="close"))
    assert closed[False] == 6


def test_exempt_clients_have_none(tarry: Tarry) -> None:
    """Neither at once nor in a minute."""
    with ExitStack() as stack:
        assert [True] * 15 == [is_in(one) for one in replies(tarry, ["127.7.0.1"] * 15, stack)]


def test_a_worker_that_is_killed_takes_its_counts_with_it() -> None:
    """All connections of a client went to two workers that are killed: their successors let it in again, up to the same limit."""
    with Tarry("[listen]\nmax_per_client = 4\nworkers = 2\n", wait="60s") as tarry, ExitStack() as stack:
        for _ in range(4):
            stack.enter_context(RawClient(tarry.port))
        tarry.wait_records(4, ev="connect", wait=60.0)
        check(replies(tarry, ["127.0.0.1"]), 0, f"{TOO_MANY} address")
        pids = {one["pid"] for one in tarry.records(ev="start")}
        assert len(pids) == 2
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        assert len(tarry.wait_records(4, ev="start")) == 4
        for _ in range(4):
            stack.enter_context(RawClient(tarry.port))
        assert len(tarry.wait_records(8, ev="connect", wait=60.0)) == 8
        check(replies(tarry, ["127.0.0.1"]), 0, f"{TOO_MANY} address")


def test_stress_comes_and_goes() -> None:
    """At 18 of 20 clients new ones are held for less; those who are in wait as they were to, and at 14 it is over."""
    with Tarry('[listen]\nmax_clients = 20\n[stress]\nwait = "0s"', wait="60s") as tarry, ExitStack() as stack:
        held = [stack.enter_context(RawClient(tarry.port)) for _ in range(17)]
        tarry.wait_records(17, ev="connect")
        assert [] == tarry.records(ev="stress")
        assert stack.enter_context(RawClient(tarry.port)).read_reply().code == 220
        (begins,) = tarry.wait_records(1, ev="stress")
        assert ("load", True, "18 of 20 clients are in") == (begins["what"], begins["on"], begins["why"])
        for client in held[:4]:
            client.reset()
        assert wait_until(lambda: len(tarry.records(ev="stress")) == 2, 10)
        ends = tarry.records(ev="stress")[-1]
        assert ("load", False, "14 of 20 clients are in") == (ends["what"], ends["on"], ends["why"])
        stack.enter_context(RawClient(tarry.port))
        assert [60.0] * 17 + [0.0, 60.0] == [one["wait"] for one in tarry.wait_records(19, ev="connect")]
        assert [] == [one for one in tarry.records(ev="greet") if one["held"] > 30]


def test_two_hosts_count_together() -> None:
    """What one has told of, the other refuses; when its clients have gone, or it has died, they are let in again."""
    if problem := valkey.missing():
        pytest.skip(problem)
    with valkey.Valkey() as server, ExitStack() as stack:
        config = f'[listen]\nmax_per_client = 4\n[store]\nurl = "{server.url}"'
        one, two = (stack.enter_context(Tarry(config, wait="0s")) for _ in range(2))
        with ExitStack() as clients:
            assert [True] * 4 == [is_in(told) for told in replies(one, ["127.1.0.1"] * 4, clients)]
            with server.client() as asking:
                assert wait_until(lambda: bool(asking.keys("tarry:lease:*")), 10)
            assert wait_until(lambda: not is_in(replies(two, ["127.1.0.1"])[0]), 10)
            check(replies(two, ["127.1.0.1"]), 0, f"{TOO_MANY} address")
            assert is_in(replies(two, ["127.1.0.2"])[0])
        assert wait_until(lambda: is_in(replies(two, ["127.1.0.1"])[0]), 10)
