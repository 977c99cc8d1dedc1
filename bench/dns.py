"""dns - what do the questions about a client cost, and are they answered in time?

Clients come at a steady rate, and about each of them five DNS lists are asked, which a local rbldnsd serves; no client is asked
about twice, so no answer comes from a cache. Nothing else of tarry runs: this is `dns/desk` alone, in a process of its own.

CPU     of the process that asks, a client. rbldnsd's own is not in it, but it shares the machine.
Peer    `pycares`, bare: one channel, no cache, no deadline, no bound. The difference is what the desk adds.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from tests.e2e.servers import install
from tests.e2e.servers.nameservers import rbldnsd

from bench.drive import Generator
from bench.generators import dns as generator
from bench.report import Figure
from bench.turns import Collected, Found, in_turns

FIGURES = [
    Figure(key="cpu_ms", title="CPU a client", unit="ms", digits=3),
    Figure(key="within_percent", title="clients with all answers within 1 s", unit="%", digits=1, compare=False),
    Figure(key="p50_ms", title="time to the last answer, p50", unit="ms", digits=1),
    Figure(key="p99_ms", title="time to the last answer, p99", unit="ms", digits=1),
    Figure(key="unknown", title="questions without an answer", unit="", compare=False),
]
ASKERS: Sequence[generator.By] = ("desk", "pycares")

# Half of the addresses are listed, the others are not.
_ENTRIES = ":127.0.0.2:listed\n10.0.0.0/17\n10.1.0.0/17\n127.0.0.2\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What is asked for."""

    clients: int
    rate: float
    max_queries: int


def run(settings: Settings, runs: int) -> Collected:
    """Have each asker ask, in turns."""
    return in_turns(ASKERS, runs, lambda by, _: _measure(by, settings), lambda _: install.missing("rbldnsd"))


def _measure(by: generator.By, settings: Settings) -> Found:
    with rbldnsd(dict.fromkeys(generator.ZONES, ("ip4set", _ENTRIES))) as port:
        order = generator.Order(by=by, port=port, clients=settings.clients, rate=settings.rate, max_queries=settings.max_queries)
        with Generator("dns", order, patience=2 * settings.clients / settings.rate + 60) as asking:
            asking.go()
            outcome = asking.outcome(generator.Outcome)
    return (
        {
            "cpu_ms": outcome.cpu_ms,
            "within_percent": outcome.within * 100,
            "p50_ms": outcome.p50_ms,
            "p99_ms": outcome.p99_ms,
            "unknown": outcome.unknown,
        },
        [],
        "process_time",
    )
