"""hold - what does a client cost that is silent and waits?

Two passes on freshly started servers. `hangup`: all clients are held and leave just before the greeting; the hold
alone. `quit`: they wait, are greeted, say QUIT and are closed; the whole life, with whatever stands behind the hold.

Memory   growth of the server's Pss (and private pages) from idle to all clients held, for each client; mean of the
         passes. Kernel memory is not in it.
CPU      of all the server's processes, from before the first client until the server is at rest again.
Lateness first byte of the final 220 line - connect - configured wait; negative is early. From the `quit` pass.
held     growth of open descriptors over clients: below 100 % not all were accepted, and memory is understated.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from bench.drive import Generator
from bench.generators import hold as generator
from bench.generators.wire import Times
from bench.report import Figure
from bench.server import Server

Ending = Literal["hangup", "quit"]

# postscreen greets up to 0.65 s early (whole-second timers; measured with `hold`): leave before any server can greet.
LEAVE_BEFORE = 1.0
SETTLE = 0.3  # from the last connect until memory is read, so that the server can accept what is queued
PATIENCE = 10.0

FIGURES = [
    Figure(key="pss_kib", title="memory a client (Pss)", unit="KiB", digits=2),
    Figure(key="private_kib", title="memory a client (private)", unit="KiB", digits=2),
    Figure(key="hold_cpu_ms", title="CPU a client, hold only", unit="ms", digits=4),
    Figure(key="life_cpu_ms", title="CPU a client, whole life", unit="ms", digits=4),
    Figure(key="late_min_ms", title="greeting late, min", unit="ms", digits=1, compare=False),
    Figure(key="late_p50_ms", title="greeting late, p50", unit="ms", digits=1),
    Figure(key="late_p99_ms", title="greeting late, p99", unit="ms", digits=1),
    Figure(key="late_max_ms", title="greeting late, max", unit="ms", digits=1),
    Figure(key="not_greeted", title="not greeted", unit="clients", compare=False),
    Figure(key="held_percent", title="really held", unit="%", digits=1, compare=False),
    Figure(key="opened_in_s", title="all opened in", unit="s", digits=2, compare=False),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What is asked for. `wait` is what the server is (or was) configured to, in seconds."""

    clients: int
    rate: float
    wait: float
    endings: Sequence[Ending]

    def problem(self) -> str:
        """Return why this cannot be measured; empty when it can."""
        if self.clients / self.rate + SETTLE + 0.2 > self.wait - LEAVE_BEFORE:
            return (
                f"{self.clients} clients at {self.rate:g}/s take {self.clients / self.rate:.1f} s to open, and all must be held "
                f"{LEAVE_BEFORE:g} s before the first greeting: raise --rate or --wait, or lower --clients"
            )
        return ""


def measure(server: Server, settings: Settings, ending: Ending, first_address: int) -> dict[str, float | None]:
    """Run one pass against one server and return the figures that it gives."""
    order = generator.Order(
        port=server.port,
        clients=settings.clients,
        rate=settings.rate,
        wait=settings.wait,
        ending=ending,
        leave_before=LEAVE_BEFORE,
        patience=PATIENCE,
        first_address=first_address,
    )
    patience = settings.clients / settings.rate + settings.wait + PATIENCE + 30
    with Generator("hold", order, patience=patience) as load:
        server.settled_cpu()
        idle, idle_files, idle_cpu = server.memory(), server.open_files(), server.cpu()
        load.go()
        load.await_mark("held")
        time.sleep(SETTLE)
        held, held_files = server.memory(), server.open_files()
        outcome = load.outcome(generator.Outcome)
        cpu = server.settled_cpu() - idle_cpu
    done = settings.clients - outcome.failed
    figures: dict[str, float | None] = {
        "pss_kib": (held.pss - idle.pss) / settings.clients,
        "private_kib": (held.private - idle.private) / settings.clients,
        "held_percent": 100 * (held_files - idle_files) / settings.clients,
        "opened_in_s": outcome.opened_in,
    }
    if ending == "hangup":
        figures["hold_cpu_ms"] = 1000 * cpu / done if done else None
        figures["lost_in_hold"] = settings.clients - outcome.left
    else:
        figures["life_cpu_ms"] = 1000 * cpu / done if done else None
        figures["not_greeted"] = settings.clients - outcome.greeted
        figures |= _late(outcome.lateness)
    return figures


def merge(passes: Sequence[dict[str, float | None]]) -> dict[str, float | None]:
    """Return the figures of one run: the mean of what both passes measured, and what only one did."""
    merged: dict[str, float | None] = {}
    for key in dict.fromkeys(key for figures in passes for key in figures):
        values = [value for figures in passes if (value := figures.get(key)) is not None]
        merged[key] = sum(values) / len(values) if values else None
    return merged


def notes(figures: dict[str, float | None]) -> list[str]:
    """Return what a reader must know before believing the figures."""
    found = []
    held = figures.get("held_percent")
    if held is not None and held < 99:
        found.append(f"only {held:.1f} % of the clients were accepted when memory was read")
    if lost := figures.get("lost_in_hold"):
        found.append(f"{lost:.0f} clients did not last until the end of the hold")
    return found


def _late(times: Times) -> dict[str, float | None]:
    return {
        "late_min_ms": times.min,
        "late_p50_ms": times.p50,
        "late_p99_ms": times.p99,
        "late_max_ms": times.max,
    }
