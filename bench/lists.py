"""lists - what do DNS lists cost in the whole daemon, and do their answers come before the greeting?

Silent clients, an address each, connect at a steady rate and are held; five lists on a local rbldnsd are asked about each, and
half of the clients are on all five (which only tags). They read the greeting, say QUIT and are closed. The same without lists
is measured before, in each run, on a server of its own.

CPU       of tarry's process, a client; `lists` less `hold` is what the five lists take, with the records of their answers.
in time   of all questions, those whose answer took no longer than the hold, as the record tells.
Lateness  as in `hold`.

A tenth of the clients come before the count begins, so that nothing is loaded for the first time. rbldnsd and the generator
share the machine: where it has two cores and all of them are busy, the daemon waits for its turn.
"""

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.e2e.servers import install

from bench import door
from bench.drive import Generator
from bench.generators import hold as generator
from bench.report import Figure
from bench.server import Cost
from bench.turns import Collected, Found, in_turns

FIGURES = [
    Figure(key="cpu_ms", title="CPU a client", unit="ms", digits=3),
    Figure(key="beside_ms", title="CPU a client beside the hold", unit="ms", digits=3, compare=False),
    Figure(key="in_time_percent", title="answers before the hold's end", unit="%", digits=2, compare=False),
    Figure(key="unknown", title="answers that are none", unit="", compare=False),
    Figure(key="late_p50_ms", title="greeting late, p50", unit="ms", digits=1),
    Figure(key="late_p99_ms", title="greeting late, p99", unit="ms", digits=1),
    Figure(key="late_max_ms", title="greeting late, max", unit="ms", digits=1),
    Figure(key="not_greeted", title="not greeted", unit="clients", compare=False),
    Figure(key="opened_in_s", title="all opened in", unit="s", digits=2, compare=False),
]
KINDS = ("hold", "lists")
ZONES = tuple(f"list{number}.test" for number in range(1, 6))
PATIENCE = 10.0
FLUSHED = 0.5  # seconds after which the last records are in the file

_ANSWER = re.compile(rb'"ev":"answer","source":"list\d\.test".*"ms":([0-9.e+-]+),"state":"([a-z]+)"')

# Every second client of the generator's, whose addresses count up from 127.1.0.1.
_ENTRIES = ":127.0.0.2:listed\n127.0.0.2\n" + "".join(f"127.1.{third}.0/24\n" for third in range(0, 256, 2))
_TABLES = '\n[checks.dnslists]\naction = "tag"\nzones = [{}]\n[score]\ndelay = 0\n'.format(
    ", ".join(f'{{ zone = "{zone}" }}' for zone in ZONES)
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What is asked for; `wait` in seconds."""

    clients: int
    rate: float
    wait: float

    @property
    def warm_up(self) -> int:
        """How many clients come before the count begins."""
        return max(20, self.clients // 10)


def run(settings: Settings, runs: int) -> Collected:
    """Measure the hold alone and with lists, in turns."""
    alone: float | None = None

    def once(kind: str, number: int) -> Found:
        nonlocal alone
        before, alone = alone, None
        found = _measure(kind, settings, before)
        if kind == "hold":
            alone = found[0]["cpu_ms"]
        return found

    return in_turns(KINDS, runs, once, lambda _: install.missing("rbldnsd"))


def _measure(kind: str, settings: Settings, alone: float | None) -> Found:
    has_lists = kind == "lists"
    zones = dict.fromkeys(ZONES, ("ip4set", _ENTRIES)) if has_lists else {}
    with door.running(_TABLES if has_lists else "", wait=settings.wait, zones=zones) as tarry:
        _come(tarry.server.port, settings, settings.warm_up, 0)
        tarry.server.settled_cpu()
        time.sleep(FLUSHED)
        read_from = tarry.record.stat().st_size
        cost = Cost(tarry.server)
        outcome = _come(tarry.server.port, settings, settings.clients, settings.warm_up)
        cpu, _ = cost.each_ms(outcome.greeted)
        time.sleep(FLUSHED)
        in_time, unknown = _answers(tarry.record, read_from, settings.wait)
        meter = tarry.server.meter.name
    return (
        {
            "cpu_ms": cpu,
            "beside_ms": cpu - alone if cpu is not None and alone is not None else None,
            "in_time_percent": 100 * in_time / (settings.clients * len(ZONES)) if has_lists else None,
            "unknown": unknown if has_lists else None,
            "late_p50_ms": outcome.lateness.p50,
            "late_p99_ms": outcome.lateness.p99,
            "late_max_ms": outcome.lateness.max,
            "not_greeted": settings.clients - outcome.greeted,
            "opened_in_s": outcome.opened_in,
        },
        [],
        meter,
    )


def _answers(record: Path, read_from: int, wait: float) -> tuple[int, int]:
    """Return how many answers the record has that came within *wait* seconds and say something, and how many that do not."""
    in_time = unknown = 0
    with record.open("rb") as lines:
        lines.seek(read_from)
        for line in lines:
            if (took := _ANSWER.search(line)) is not None:
                is_unknown = took[2] == b"unknown"
                unknown += is_unknown
                in_time += not is_unknown and float(took[1]) <= wait * 1000
    return in_time, unknown


def _come(port: int, settings: Settings, clients: int, first_address: int) -> generator.Outcome:
    order = generator.Order(
        port=port,
        clients=clients,
        rate=settings.rate,
        wait=settings.wait,
        ending="quit",
        leave_before=0.0,
        patience=PATIENCE,
        first_address=first_address,
    )
    with Generator("hold", order, patience=3 * clients / settings.rate + settings.wait + PATIENCE + 30) as load:
        load.go()
        load.await_mark("held")
        return load.outcome(generator.Outcome)


def shown(settings: Settings) -> Sequence[tuple[str, int | float]]:
    """Return the settings for the report."""
    return [("clients", settings.clients), ("rate", settings.rate), ("wait", settings.wait), ("lists", len(ZONES))]
