"""residual - what do clients in residual delays cost, and does good mail feel them?

Good mail, a message a connection at a steady rate from an address that is on no list, is sent for a time; then a crowd comes
that is on a list and is held at RCPT, and good mail is sent again beside it. The crowd's delays are drawn from a range, so that
some of it goes on meanwhile, and is answered. The crowd waits HOLD seconds for its greeting; good mail does not, so that its
times are those of its way through.

good p50, p99  of a message from connect to the reply to QUIT; `alone` is before the crowd came, and the ratio is of these two.
Memory         growth of Pss, from before the crowd until all of it is in line, for each; kernel memory is not in it.
MTA            connections that tarry has to it: the most while the crowd waited and nothing else happened (0 is right), and the
               most while good mail was sent beside it (those of good mail, and of those whose time had come).
CPU            of tarry's process while good mail is sent: in both cases, less in the first, a client of the crowd and minute.
"""

import threading
import time
from dataclasses import dataclass

from tests.e2e.servers import install
from tests.e2e.servers.tarpitted import mta_connections

from bench import door
from bench.drive import Generator
from bench.generators import mail, residual
from bench.report import Figure
from bench.turns import Collected, Found, in_turns

FIGURES = [
    Figure(key="alone_p50_ms", title="good mail alone, p50", unit="ms", digits=1, compare=False),
    Figure(key="beside_p50_ms", title="good mail beside the crowd, p50", unit="ms", digits=1, compare=False),
    Figure(key="alone_p99_ms", title="good mail alone, p99", unit="ms", digits=1, compare=False),
    Figure(key="beside_p99_ms", title="good mail beside the crowd, p99", unit="ms", digits=1, compare=False),
    Figure(key="p99_ratio", title="p99 beside / alone", unit="x", digits=2, compare=False),
    Figure(key="good_failed", title="good mail that failed", unit="messages", compare=False),
    Figure(key="pss_kib", title="memory a delayed client (Pss)", unit="KiB", digits=1, compare=False),
    Figure(key="mta_waiting", title="MTA connections while they wait", unit="", compare=False),
    Figure(key="mta_busy", title="MTA connections beside good mail", unit="", compare=False),
    Figure(key="crowd_cpu_ms", title="CPU a delayed client and minute", unit="ms", digits=3, compare=False),
    Figure(key="in_line", title="delayed clients", unit="", compare=False),
    Figure(key="answered", title="answered meanwhile", unit="clients", compare=False),
    Figure(key="refused", title="refused", unit="clients", compare=False),
]
KIND = "tarry"
SIZE = 4096
HOLD = 0.3
QUIET = 1.0
SETTLE = 1.0
PATIENCE = 30.0

_ZONES = {"l.test": ("ip4set", ":127.0.0.2:listed\n127.0.0.2\n" + "".join(f"127.{second}.0.0/16\n" for second in range(1, 20)))}
_TABLES = """
[[hold.class]]
name = "good"
networks = ["127.0.0.1/32"]
wait = "0s"
[checks.dnslists]
zones = [{{ zone = "l.test" }}]
[delay]
target = "{low:g}s..{high:g}s"
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What is asked for; `low` and `high` are the range of the delays, `seconds` how long good mail is sent, each time."""

    clients: int
    rate: float
    low: float
    high: float
    good_rate: float
    seconds: float

    def problem(self) -> str:
        """Return why this cannot be measured; empty when it can."""
        if self.clients / self.rate + SETTLE + QUIET + 1 > self.low:
            return (
                f"{self.clients} clients at {self.rate:g}/s take {self.clients / self.rate:.1f} s to come, and all must be in line "
                f"{SETTLE + QUIET:g} s before the first is due: raise --rate or --low, or lower --clients"
            )
        return ""


def run(settings: Settings, runs: int) -> Collected:
    """Measure, *runs* times."""
    return in_turns((KIND,), runs, lambda kind, _: _measure(settings), lambda _: install.missing("rbldnsd"))


def _measure(settings: Settings) -> Found:
    tables = _TABLES.format(low=settings.low, high=settings.high)
    with door.running(tables, wait=HOLD, zones=_ZONES) as tarry:
        server, port = tarry.server, tarry.server.port
        _good_mail(port, settings, settings.seconds / 10)
        with _crowd(port, settings, 1, 0) as load:  # what is loaded once is nobody's
            load.go()
            load.await_mark("in line")
        cpu = server.settled_cpu()
        alone = _good_mail(port, settings, settings.seconds)
        cpu_alone = server.settled_cpu() - cpu
        with _crowd(port, settings, settings.clients, 1) as load:
            idle = server.memory()
            load.go()
            load.await_mark("in line")
            time.sleep(SETTLE)
            full = server.memory()
            with _Most(tarry.sink_port) as waiting:
                time.sleep(QUIET)
            cpu, began = server.cpu(), time.monotonic()
            with _Most(tarry.sink_port) as busy:
                beside = _good_mail(port, settings, settings.seconds)
            cpu_beside, took = server.cpu() - cpu, time.monotonic() - began
            load.go()
            outcome = load.outcome(residual.Outcome)
        meter = server.meter.name
    good, worse = alone.message_times.p99, beside.message_times.p99
    return (
        {
            "alone_p50_ms": alone.message_times.p50,
            "beside_p50_ms": beside.message_times.p50,
            "alone_p99_ms": good,
            "beside_p99_ms": worse,
            "p99_ratio": worse / good if good and worse else None,
            "good_failed": alone.failed + beside.failed,
            "pss_kib": (full.pss - idle.pss) / outcome.in_line if outcome.in_line else None,
            "mta_waiting": waiting.most,
            "mta_busy": busy.most,
            "crowd_cpu_ms": 60_000 * (cpu_beside - cpu_alone) / took / outcome.in_line if outcome.in_line else None,
            "in_line": outcome.in_line,
            "answered": outcome.answered,
            "refused": outcome.refused,
        },
        [],
        meter,
    )


def _good_mail(port: int, settings: Settings, seconds: float) -> mail.Outcome:
    order = mail.Order(
        port=port,
        messages=max(10, int(settings.good_rate * seconds)),
        size=SIZE,
        open_at_once=500,
        per_connection=1,
        seconds=seconds + PATIENCE,
        patience=PATIENCE,
        rate=settings.good_rate,
    )
    with Generator("mail", order, patience=seconds + 2 * PATIENCE + 30) as load:
        load.go()
        return load.outcome(mail.Outcome)


def _crowd(port: int, settings: Settings, clients: int, first_address: int) -> Generator:
    comes_in = clients / settings.rate
    order = residual.Order(port=port, clients=clients, rate=settings.rate, seconds=comes_in + PATIENCE, first_address=first_address)
    return Generator("residual", order, patience=comes_in + settings.seconds + 4 * PATIENCE + 60)


class _Most:
    """Counts the connections to the MTA while it is entered; ``most`` is the most that there were.

    At once and every five seconds: the kernel's table of 10,000 connections takes 50 ms to read, and good mail on two cores would
    feel that.
    """

    def __init__(self, port: int) -> None:
        self.most = 0
        self._port, self._stop = port, threading.Event()
        self._thread = threading.Thread(target=self._count, daemon=True)

    def __enter__(self) -> "_Most":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _count(self) -> None:
        is_over = False
        while not is_over:
            self.most = max(self.most, mta_connections(self._port))
            is_over = self._stop.wait(5.0)
