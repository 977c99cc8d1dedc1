"""history - sessions that are nothing but what is remembered of them: one read, and one change when it is over.

Opens `rate` sessions a second in the main task of a uvloop, an address each, and no other part of tarry runs. First the pacing
alone, then sessions of clients that nobody knows, then the same clients again after what this process has in its cache has run out.
A tenth as many come before, uncounted, so that all code is warm. Ends with an `Outcome`; its CPU is that of all threads of this
process.
"""

import asyncio
import time
from collections.abc import Callable

import msgspec
import uvloop

from bench.generators import wire
from bench.generators.pace import PACE, batches
from bench.quantiles import quantile
from tarry.clocks import SystemClock
from tarry.core.history import Change, Entry, Fading, Pass, Visit
from tarry.store.desk import Desk
from tarry.store.places import open_store

PATIENCE = 5.0
DRAIN = 0.5


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What to do."""

    url: str
    sessions: int
    rate: float


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """CPU a session in ms, beside the pacing; times of reads; reads without an answer, and changes that were not written."""

    new_ms: float
    again_ms: float
    pacing_ms: float
    p50_ms: float
    p99_ms: float
    unknown: int
    lost: int


class Crowd:
    """Sessions at a desk."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self.took: list[float] = []
        self.unknown = 0

    def session(self, key: str) -> None:
        """Ask about a client, and remember its session as soon as that is answered."""
        begun = time.monotonic()

        def on_entry(entry: Entry | None, why: str) -> None:
            self.took.append(time.monotonic() - begun)
            self.unknown += bool(why)
            now = time.time()
            passes = (Pass("pregreet", now + 86400),)
            self._desk.add((Change(key, now, 1.0, 1, 0, "", False, passes, (), Visit(now, "0123456789ab", "ignore", 1.0)),))

        self._desk.read(key, on_entry)


async def crowd(order: Order) -> Outcome:
    """Let the sessions come, three times."""
    store = open_store(order.url, fading=Fading(), keep=86400.0, max_clients=10_000_000, prefix="bench:")
    desk = Desk(
        asyncio.get_running_loop(),
        SystemClock(),
        store,
        fading=Fading(),
        timeout=0.25,
        on_change=lambda ok, why: None,
        cache_for=0.5,
    )
    await desk.start()
    warm, counted = Crowd(desk), Crowd(desk)
    await _come(warm.session, order.sessions // 10, order.rate, 200)
    pacing = await _come(lambda key: None, order.sessions, order.rate, 10)
    new = await _come(counted.session, order.sessions, order.rate, 10)
    again = await _come(counted.session, order.sessions, order.rate, 10)
    give_up = time.monotonic() + PATIENCE
    while len(counted.took) < 2 * order.sessions and time.monotonic() < give_up:
        await asyncio.sleep(PACE)
    counted.took.sort()
    state = desk.state
    await desk.close()
    return Outcome(
        new_ms=new - pacing,
        again_ms=again - pacing,
        pacing_ms=pacing,
        p50_ms=quantile(counted.took, 0.5) * 1000,
        p99_ms=quantile(counted.took, 0.99) * 1000,
        unknown=counted.unknown,
        lost=state.lost + state.waiting,
    )


async def _come(session: Callable[[str], None], sessions: int, rate: float, network: int) -> float:
    """Return the CPU a session in ms; the last changes are written in it."""
    before = time.process_time()
    async for numbers in batches(sessions, rate):
        for number in numbers:
            session(f"{network}.{number >> 16}.{number >> 8 & 255}.{number & 255}")
    await asyncio.sleep(DRAIN)
    return (time.process_time() - before) * 1000 / sessions


def main() -> None:
    """Carry out the order."""
    order = wire.read_order(Order)
    wire.ready()
    wire.finish(uvloop.run(crowd(order)))


if __name__ == "__main__":
    main()
