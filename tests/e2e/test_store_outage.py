"""A server that is killed, stopped, started anew, or out of memory, under a desk that is read from and written to all the time.

Each has a desk and a server of its own, and all happen side by side in one event loop: 200 changes and 100 reads a second each.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field

import pytest

from tarry.clocks import SystemClock
from tarry.store import desk, valkey_nodes
from tarry.store.desk import BATCH, Desk, State
from tarry.store.places import open_store
from tests.e2e.servers import valkey
from tests.store.keeping import FADING, KEEP, change

pytestmark = pytest.mark.e2e

TIMEOUT = 0.25
PATIENCE = 3.0
"""How much longer a read may take where the machine stands still for a moment."""
PACE = 0.02
CHANGES = 4  # a turn
READS = 2
BEFORE, MEANWHILE, AFTER = 0.6, 1.8, 0.6
KEYS = 50


@dataclass
class Outcome:
    """What was sent and asked, and what there was in the end."""

    sent: Counter[str] = field(default_factory=Counter)
    found: dict[str, int] = field(default_factory=dict)
    asked: int = 0
    took: list[float] = field(default_factory=list)
    whys: Counter[str] = field(default_factory=Counter)
    told: list[tuple[bool, str]] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    state: State | None = None
    since_healed: Counter[str] = field(default_factory=Counter)

    @property
    def lost(self) -> int:
        assert self.state is not None
        return self.state.lost


Act = Callable[[valkey.Valkey], Awaitable[None]]


async def killed(server: valkey.Valkey) -> None:
    server.kill()


async def started(server: valkey.Valkey) -> None:
    await asyncio.to_thread(server.start)


async def stopped(server: valkey.Valkey) -> None:
    server.stop()


async def gone_on(server: valkey.Valkey) -> None:
    server.go_on()


def memory(octets: int) -> Act:
    async def set_memory(server: valkey.Valkey) -> None:
        with contextlib.closing(server.client()) as client:
            await asyncio.to_thread(client.config_set, "maxmemory", octets)

    return set_memory


CASES: dict[str, tuple[tuple[str, ...], Act, Act]] = {
    "started empty": ((), killed, started),
    "started with its file": (("--appendonly", "yes"), killed, started),
    "stopped": ((), stopped, gone_on),
    "out of memory": ((), memory(1), memory(0)),
}


async def case(server: valkey.Valkey, begin: Act, end: Act) -> Outcome:
    """Read and write before, while and after the server is away, and wait until all is written."""
    outcome = Outcome()
    loop = asyncio.get_running_loop()
    store = open_store(server.url, fading=FADING, keep=KEEP, max_clients=1000, prefix="tarry:")

    def on_change(is_ok: bool, why: str) -> None:
        outcome.told.append((is_ok, why))

    made = Desk(loop, SystemClock(), store, fading=FADING, timeout=TIMEOUT, on_change=on_change, cache_for=0.05)
    await made.start()

    async def traffic(seconds: float, name: str, sent: Counter[str]) -> None:
        until, number = loop.time() + seconds, 0
        while loop.time() < until:
            for _ in range(CHANGES):
                key = f"{name}{number % KEYS}"
                made.add([change(key, time.time(), 0.01)])
                sent[key] += 1
                number += 1
            for _ in range(READS):
                outcome.asked += 1
                begun = loop.time()

                def take(entry: object, why: str, begun: float = begun) -> None:
                    outcome.took.append(loop.time() - begun)
                    outcome.whys[why] += 1

                made.read(f"{name}{number % KEYS}", take)
                number += 1
            await asyncio.sleep(PACE)

    await traffic(BEFORE, "10.0.0.", outcome.sent)
    await begin(server)
    await traffic(MEANWHILE, "10.0.0.", outcome.sent)
    await end(server)
    await traffic(AFTER, "10.0.0.", outcome.sent)
    give_up = loop.time() + 20.0
    while (made.state.waiting or not made.state.ok) and loop.time() < give_up:
        await asyncio.sleep(PACE)
    outcome.state = made.state
    await traffic(AFTER / 2, "10.0.1.", outcome.since_healed)
    await made.close()
    again = open_store(server.url, fading=FADING, keep=KEEP, max_clients=1000, prefix="tarry:")
    found = await again.read([*outcome.sent, *outcome.since_healed])
    outcome.found = {key: entry.sessions for key, entry in found.items()}
    await again.close()
    return outcome


@pytest.fixture(scope="module")
def outcomes() -> Iterator[dict[str, Outcome]]:
    """Every case, side by side."""
    if problem := valkey.missing():
        pytest.skip(problem)
    faults: list[str] = []

    async def all_cases(servers: list[valkey.Valkey]) -> list[Outcome]:
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: faults.append(str(context)))
        acts = [(begin, end) for _, begin, end in CASES.values()]
        return await asyncio.gather(*(case(server, begin, end) for server, (begin, end) in zip(servers, acts, strict=True)))

    with contextlib.ExitStack() as stack:
        # A machine that stands still for two seconds is to leave nothing in doubt.
        patched = stack.enter_context(pytest.MonkeyPatch.context())
        patched.setattr(valkey_nodes, "REPLY_WAIT", 3.0)
        patched.setattr(desk, "WRITE_TIMEOUT", 5.0)
        servers = [stack.enter_context(valkey.Valkey(settings=settings)) for settings, _, _ in CASES.values()]
        found = asyncio.run(all_cases(servers))
    for outcome in found:
        outcome.faults = faults
    yield dict(zip(CASES, found, strict=True))


@pytest.mark.parametrize("name", CASES)
def test_every_read_is_called_back_in_time(outcomes: dict[str, Outcome], name: str) -> None:
    """Once, and with a reason where it could not be told; nothing is raised anywhere."""
    outcome = outcomes[name]
    assert outcome.asked == len(outcome.took) > 100
    assert max(outcome.took) < TIMEOUT + PATIENCE
    assert outcome.whys[""] > 0
    assert [] == outcome.faults


@pytest.mark.parametrize("name", CASES)
def test_it_is_told_when_the_server_goes_and_comes_back(outcomes: dict[str, Outcome], name: str) -> None:
    """And all that waited has been written."""
    outcome = outcomes[name]
    assert [(False, True), (True, False)] == [(ok, bool(why)) for ok, why in (outcome.told[0], outcome.told[-1])]
    assert outcome.state is not None
    assert (True, 0) == (outcome.state.ok, outcome.state.waiting)


@pytest.mark.parametrize("name", CASES)
def test_nothing_counts_twice(outcomes: dict[str, Outcome], name: str) -> None:
    """No entry has more than was sent, and what is in doubt is one batch for each time that the server went."""
    outcome = outcomes[name]
    assert {} == {key: count for key, count in outcome.found.items() if count > (outcome.sent + outcome.since_healed)[key]}
    assert outcome.lost <= 2 * BATCH


@pytest.mark.parametrize("name", [name for name in CASES if name != "started empty"])
def test_what_is_not_there_was_counted_as_lost(outcomes: dict[str, Outcome], name: str) -> None:
    """Where the server kept what it had: of what was sent no more is missing than the desk says."""
    outcome = outcomes[name]
    missing = outcome.sent.total() - sum(outcome.found.get(key, 0) for key in outcome.sent)
    assert 0 <= missing <= outcome.lost


@pytest.mark.parametrize("name", CASES)
def test_afterwards_all_is_as_before(outcomes: dict[str, Outcome], name: str) -> None:
    """Each change that was sent since is there."""
    outcome = outcomes[name]
    assert outcome.since_healed == {key: outcome.found.get(key, 0) for key in outcome.since_healed}


def test_a_server_without_memory_loses_nothing(outcomes: dict[str, Outcome]) -> None:
    """It says no each time, so that nothing is in doubt."""
    outcome = outcomes["out of memory"]
    assert (0, outcome.sent) == (outcome.lost, {key: outcome.found.get(key, 0) for key in outcome.sent})
