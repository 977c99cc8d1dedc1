"""line - how much memory does a client take while the front door stands between it and the MTA?

Clients that were greeted say EHLO, MAIL and RCPT, and then nothing, so that the connection to the MTA stands as well. One goes
through the same and leaves before memory is read for the first time: what is loaded once is nobody's.

Memory  growth of Pss and of private pages of all the server's processes, for each client. Kernel memory is not in it, nor is
        the sink. Postfix has a process for each client, so at most 200 take part there.
"""

import time
from dataclasses import dataclass

from bench.drive import Generator
from bench.generators import line as generator
from bench.report import Figure
from bench.server import Server

PATIENCE = 30.0
SETTLE = 0.5  # from the last reply until memory is read

FIGURES = [
    Figure(key="pss_kib", title="memory a client (Pss)", unit="KiB", digits=1),
    Figure(key="private_kib", title="memory a client (private)", unit="KiB", digits=1),
    Figure(key="in_line", title="clients in line", unit="", compare=False),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What is asked for."""

    clients: int


def measure(server: Server, clients: int) -> dict[str, float | None]:
    """Put *clients* in line at one server and return all figures."""
    with _crowd(server, 1) as load:
        load.go()
        load.await_mark("in line")
    server.settled_cpu()
    with _crowd(server, clients) as load:
        idle = server.memory()
        load.go()
        load.await_mark("in line")
        time.sleep(SETTLE)
        full = server.memory()
        load.go()
        outcome = load.outcome(generator.Outcome)
    return {
        "pss_kib": (full.pss - idle.pss) / clients,
        "private_kib": (full.private - idle.private) / clients,
        "in_line": outcome.in_line,
    }


def notes(clients: int, settings: Settings) -> list[str]:
    """Return what a reader must know before believing the figures."""
    return [f"{clients} clients only, since each takes a process"] if clients < settings.clients else []


def _crowd(server: Server, clients: int) -> Generator:
    return Generator("line", generator.Order(port=server.port, clients=clients, seconds=PATIENCE), patience=2 * PATIENCE + 30)
