"""passed - what does a client cost the front door that is held, and then given to Postfix's smtpd?

Silent clients, an address each, connect at a steady rate, wait, read the greeting of the smtpd, say QUIT and are closed. The
rate is to be so low that the smtpds keep up; then nobody waits for one, and the figure is the front door's alone.

own CPU   of the front door's processes: tarry, or the one process `postscreen`; by the scheduler's own count, to the
          nanosecond.
all CPU   with Postfix behind it: master, smtpd, anvil, dnsblog.
Lateness  as in `hold`; here it contains the way to smtpd and smtpd's own time.

A twentieth of the clients come before the count begins, so that smtpds are there and nothing is loaded for the first time.
"""

from dataclasses import dataclass

from bench.drive import Generator
from bench.generators import hold as generator
from bench.report import Figure
from bench.server import Cost, Server

PATIENCE = 10.0

FIGURES = [
    Figure(key="own_ms", title="own CPU a client", unit="ms", digits=4),
    Figure(key="cpu_ms", title="all CPU a client", unit="ms", digits=3),
    Figure(key="late_min_ms", title="greeting late, min", unit="ms", digits=1, compare=False),
    Figure(key="late_p50_ms", title="greeting late, p50", unit="ms", digits=1),
    Figure(key="late_p99_ms", title="greeting late, p99", unit="ms", digits=1),
    Figure(key="late_max_ms", title="greeting late, max", unit="ms", digits=1),
    Figure(key="not_greeted", title="not greeted", unit="clients", compare=False),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What is asked for. `wait` is what the server is (or was) configured to, in seconds."""

    clients: int
    rate: float
    wait: float

    @property
    def warm_up(self) -> int:
        """How many clients come before the count begins."""
        return max(20, self.clients // 20)


def measure(server: Server, settings: Settings, first_address: int) -> dict[str, float | None]:
    """Let all clients through one server and return all figures."""
    _go_through(server, settings, settings.warm_up, first_address)
    cost = Cost(server)
    outcome = _go_through(server, settings, settings.clients, first_address + settings.warm_up)
    used, own = cost.each_ms(outcome.greeted)
    late = outcome.lateness
    return {
        "own_ms": own,
        "cpu_ms": used,
        "late_min_ms": late.min,
        "late_p50_ms": late.p50,
        "late_p99_ms": late.p99,
        "late_max_ms": late.max,
        "not_greeted": settings.clients - outcome.greeted,
    }


def _go_through(server: Server, settings: Settings, clients: int, first_address: int) -> generator.Outcome:
    order = generator.Order(
        port=server.port,
        clients=clients,
        rate=settings.rate,
        wait=settings.wait,
        ending="quit",
        leave_before=0.0,
        patience=PATIENCE,
        first_address=first_address,
    )
    with Generator("hold", order, patience=clients / settings.rate + settings.wait + PATIENCE + 30) as load:
        load.go()
        load.await_mark("held")
        return load.outcome(generator.Outcome)
