"""dns - clients that are nothing but their questions: five DNS lists each.

Opens `rate` clients a second, an address each, in the main task of a uvloop; each asks five lists at once, and is answered when
the last has said something. `by` is who asks: `desk` (tarry's), or `pycares`, bare: the floor, which has neither a cache nor a
deadline, and does not join, bound or test anything. A tenth of the clients come before the others, uncounted, so that all code is
warm. Ends with an `Outcome`; its CPU is this process's, the pacing included.
"""

import asyncio
import itertools
import time
from collections.abc import Callable, Iterator
from typing import Literal

import msgspec
import pycares
import uvloop

from bench.generators import wire
from bench.generators.pace import PACE, batches
from bench.quantiles import quantile
from tarry.clocks import SystemClock
from tarry.core.facts import Answer, State, listing
from tarry.dns.desk import Desk, Settings

ZONES = tuple(f"list{number}.test" for number in range(1, 6))
PATIENCE = 5.0

By = Literal["desk", "pycares"]
Ask = Callable[[str, str, Callable[[bool], None]], None]
"""Ask about (address, zone), and call with whether there was an answer."""


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What to do."""

    by: By
    port: int
    clients: int
    rate: float
    max_queries: int


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What happened: the share of clients that had all answers `within` a second, and how many answers were none."""

    cpu_ms: float
    within: float
    p50_ms: float
    p99_ms: float
    unknown: int


def by_desk(order: Order) -> Ask:
    """Return tarry's own way."""
    settings = Settings(servers=(f"127.0.0.1:{order.port}",), max_queries=order.max_queries)
    desk = Desk(asyncio.get_running_loop(), SystemClock(), settings)

    def ask(address: str, zone: str, on_answer: Callable[[bool], None]) -> None:
        def answered(answer: Answer) -> None:
            on_answer(answer.state is not State.UNKNOWN)

        desk.ask(listing(address, zone), answered)

    return ask


def by_pycares(order: Order) -> Ask:
    """Return the shortest way, one channel for all."""
    loop = asyncio.get_running_loop()
    nothing = {pycares.errno.ARES_ENOTFOUND, pycares.errno.ARES_ENODATA}

    def on_socket(fd: int, readable: bool, writable: bool) -> None:
        if readable:
            loop.add_reader(fd, channel.process_read_fd, fd)
        else:
            loop.remove_reader(fd)

    flags = pycares.ARES_FLAG_NOSEARCH | pycares.ARES_FLAG_STAYOPEN
    channel = pycares.Channel(
        flags=flags, servers=[f"127.0.0.1:{order.port}"], socket_receive_buffer_size=1 << 20, sock_state_cb=on_socket
    )

    def ask(address: str, zone: str, on_answer: Callable[[bool], None]) -> None:
        name = ".".join(reversed(address.split("."))) + "." + zone
        channel.query(name, pycares.QUERY_TYPE_A, callback=lambda result, error: on_answer(error is None or error in nothing))

    return ask


class Client:
    """One that waits for its answers."""

    __slots__ = ("left", "on_end", "since", "unknown")

    def __init__(self, on_end: Callable[["Client"], None]) -> None:
        self.since = time.monotonic()
        self.left = len(ZONES)
        self.unknown = 0
        self.on_end = on_end

    def on_answer(self, is_known: bool) -> None:
        self.unknown += not is_known
        self.left -= 1
        if not self.left:
            self.on_end(self)


async def crowd(order: Order) -> Outcome:
    """Let the clients come, and see when they are answered."""
    ask = by_desk(order) if order.by == "desk" else by_pycares(order)
    addresses = (f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}" for number in itertools.count())
    await _come(ask, order.clients // 10, order.rate, addresses)
    before = time.process_time()
    took, unknown = await _come(ask, order.clients, order.rate, addresses)
    cpu = time.process_time() - before
    took.sort()
    return Outcome(
        cpu_ms=cpu * 1000 / order.clients,
        within=sum(seconds <= 1.0 for seconds in took) / order.clients,
        p50_ms=quantile(took, 0.5) * 1000,
        p99_ms=quantile(took, 0.99) * 1000,
        unknown=unknown,
    )


async def _come(ask: Ask, clients: int, rate: float, addresses: Iterator[str]) -> tuple[list[float], int]:
    took: list[float] = []
    unknown = 0

    def on_end(client: Client) -> None:
        nonlocal unknown
        took.append(time.monotonic() - client.since)
        unknown += client.unknown

    async for numbers in batches(clients, rate):
        for _ in numbers:
            client, address = Client(on_end), next(addresses)
            for zone in ZONES:
                ask(address, zone, client.on_answer)
    give_up = time.monotonic() + PATIENCE
    while len(took) < clients and time.monotonic() < give_up:
        await asyncio.sleep(PACE)
    return took, unknown


def main() -> None:
    """Carry out the order."""
    order = wire.read_order(Order)
    wire.ready()
    wire.finish(uvloop.run(crowd(order)))


if __name__ == "__main__":
    main()
