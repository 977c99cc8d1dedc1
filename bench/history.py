"""history - what does it cost to remember clients?

Sessions come at a steady rate; each reads what is remembered of its client and adds a change. Nothing else of tarry runs: this is
`store/desk` with a store, in a process of its own.

CPU     of that process, all its threads, a session: beside the pacing of the load, which is measured first. A server's own is not
        in it, but it shares the machine.
Target  0.05 ms with a file, 0.08 ms with a server.
"""

import contextlib
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.e2e.servers import valkey

from bench.drive import Generator
from bench.generators import history as generator
from bench.report import Figure
from bench.turns import Collected, Found, in_turns

STORES: Sequence[str] = ("sqlite", "valkey")
TARGETS = {"sqlite": 0.05, "valkey": 0.08}
FIGURES = [
    Figure(key="new_ms", title="CPU a session of a client nobody knows", unit="ms", digits=3),
    Figure(key="again_ms", title="CPU a session of a client that is known", unit="ms", digits=3),
    Figure(key="target_ms", title="target", unit="ms", digits=3, compare=False),
    Figure(key="pacing_ms", title="the load's own CPU, not in the above", unit="ms", digits=3, compare=False),
    Figure(key="p50_ms", title="time to the entry, p50", unit="ms", digits=1),
    Figure(key="p99_ms", title="time to the entry, p99", unit="ms", digits=1),
    Figure(key="unknown", title="reads without an answer", unit="", compare=False),
    Figure(key="lost", title="changes not written", unit="", compare=False),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What is asked for."""

    sessions: int
    rate: float


def run(settings: Settings, runs: int) -> Collected:
    """Measure each store, in turns."""
    return in_turns(
        STORES, runs, lambda store, _: _measure(store, settings), lambda store: valkey.missing() if store == "valkey" else ""
    )


def _measure(store: str, settings: Settings) -> Found:
    with _place(store) as url:
        order = generator.Order(url=url, sessions=settings.sessions, rate=settings.rate)
        with Generator("history", order, patience=5 * settings.sessions / settings.rate + 60) as sessions:
            sessions.go()
            found = sessions.outcome(generator.Outcome)
    return (
        {
            "new_ms": found.new_ms,
            "again_ms": found.again_ms,
            "target_ms": TARGETS[store],
            "pacing_ms": found.pacing_ms,
            "p50_ms": found.p50_ms,
            "p99_ms": found.p99_ms,
            "unknown": found.unknown,
            "lost": found.lost,
        },
        [],
        "process_time",
    )


@contextlib.contextmanager
def _place(store: str) -> Iterator[str]:
    if store == "valkey":
        with valkey.Valkey() as server:
            yield server.url
    else:
        with tempfile.TemporaryDirectory(prefix="tarry-bench-") as folder:
            yield f"sqlite:{Path(folder, 'tarry.db')}"
