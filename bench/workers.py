"""workers - what do several workers bring, and what does a crowd cost them?

Mail      Polite senders (smtp-source, 50 connections, 4 KB a message) through tarry to smtp-sink, with one worker and with two.
          On few cores generator and sink would take from the second worker what they did not take from the first. So each
          worker is limited to a share of a core by the kernel (cgroup, CFS quota), and the rest is theirs: the ratio of the rates
          is then tarry's own. Where no group can be made the workers run free, and `limited` says 0.
CPU       of all of tarry's processes, a message. Where that is the same with two workers as with one, nothing is lost by sharing,
          whatever the machine: a rate that cores limit then grows with the number of cores.
Crowd     Silent clients with an address each, held by four workers at once, from several generators, each with descriptors of its
          own. Memory is the growth of Pss over all processes, which counts a shared page once; lateness as in `hold`; `least` is
          the share of the worker that has the fewest, 100 % being an equal part.
"""

import contextlib
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.e2e.servers import install
from tests.e2e.servers.load import smtp_source
from tests.e2e.servers.processes import NotStarted, wait_until

from bench import door
from bench.drive import Generator
from bench.generators import hold as generator
from bench.processes import open_files
from bench.report import Figure, Setting
from bench.server import Cost
from bench.turns import Collected, Found, in_turns

FIGURES = [
    Figure(key="rate", title="messages", unit="1/s"),
    Figure(key="cpu_ms", title="CPU a message or client", unit="ms", digits=4),
    Figure(key="limited", title="limited to a share", unit="", compare=False),
    Figure(key="pss_kib", title="memory a client (Pss)", unit="KiB", digits=2, compare=False),
    Figure(key="least_percent", title="least worker's part", unit="%", digits=1, compare=False),
    Figure(key="held_percent", title="really held", unit="%", digits=1, compare=False),
    Figure(key="late_p50_ms", title="greeting late, p50", unit="ms", digits=1, compare=False),
    Figure(key="late_p99_ms", title="greeting late, p99", unit="ms", digits=1, compare=False),
    Figure(key="late_max_ms", title="greeting late, max", unit="ms", digits=1, compare=False),
    Figure(key="not_greeted", title="not greeted", unit="clients", compare=False),
    Figure(key="opened_in_s", title="all opened in", unit="s", digits=2, compare=False),
]
CONCURRENCY = 50
SIZE = 4096
PERIOD_US = 10_000
PATIENCE = 20.0
SETTLE = 0.5
OF_ONE_GENERATOR = 15_000
"""Clients of one generator: its descriptors are limited as tarry's are."""

_V1 = Path("/sys/fs/cgroup/cpu")
_V2 = Path("/sys/fs/cgroup")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What is asked for. ``share`` of a core for each worker; ``wait`` in seconds."""

    counts: Sequence[int]
    messages: int
    share: float
    clients: int
    crowd_workers: int
    rate: float
    wait: float

    def problem(self) -> str:
        """Return why this cannot be measured; empty when it can."""
        if self.clients / self.rate + SETTLE + 0.5 > self.wait:
            return f"{self.clients} clients at {self.rate:g}/s are not all open before the first greeting: raise --rate or --wait"
        return ""

    def crowds(self) -> list[int]:
        """Return how many clients each generator has."""
        parts = max(1, -(-self.clients // OF_ONE_GENERATOR))
        return [self.clients // parts + (number < self.clients % parts) for number in range(parts)]


def shown(settings: Settings) -> dict[str, Setting]:
    """Return the settings, for the report."""
    return {
        "messages": settings.messages,
        "concurrency": CONCURRENCY,
        "share": settings.share,
        "clients": settings.clients,
        "rate": settings.rate,
        "wait": settings.wait,
        "cores": os.cpu_count() or 0,
    }


def run(settings: Settings, runs: int) -> Collected:
    """Measure mail with each number of workers in turn, and then the crowd."""
    workers = {f"mail, {count} worker{'s' * (count > 1)}": count for count in settings.counts}
    crowd = [f"crowd, {settings.crowd_workers} workers"] if settings.clients else []
    return in_turns(
        [*workers, *crowd],
        runs,
        lambda kind, _: _mail(settings, workers[kind]) if kind in workers else _crowd(settings),
        lambda kind: install.missing("postfix") if kind in workers else "",
    )


def _mail(settings: Settings, workers: int) -> Found:
    with door.running("", wait=0.0, zones={}, workers=workers) as tarry:
        pids = _workers(tarry, workers)
        with limited(pids, settings.share) as is_limited:
            _send(tarry.server.port, max(CONCURRENCY, settings.messages // 10))
            cost = Cost(tarry.server)
            took = _send(tarry.server.port, settings.messages)
            _, own = cost.each_ms(settings.messages)
    return {"rate": settings.messages / took, "cpu_ms": own, "limited": float(is_limited)}, [], "schedstat"


def _send(port: int, messages: int) -> float:
    arguments = ["-M", "client.example", "-f", "sender@client.example", "-t", "user@example.com"]
    return smtp_source(port, *arguments, "-s", str(CONCURRENCY), "-m", str(messages), "-l", str(SIZE))


def _workers(tarry: door.Door, workers: int) -> list[int]:
    """Return the processes that serve: the root itself, or its children."""
    if not wait_until(lambda: tarry.record.exists() and tarry.record.read_bytes().count(b'"ev":"start"') == workers, 20):
        raise NotStarted(f"{workers} workers did not come up")
    pids = [pid for pid in tarry.server.meter.pids() if pid != tarry.server.root]
    return pids if workers > 1 else [tarry.server.root]


@contextlib.contextmanager
def limited(pids: Sequence[int], share: float) -> Iterator[bool]:
    """Let each of these processes have no more than *share* of a core; False where the machine does not allow that."""
    groups: list[Path] = []
    home = _home()
    try:
        for pid in pids:
            group = home / f"tarry-bench-{os.getpid()}-{pid}"
            group.mkdir()
            groups.append(group)
            quota = int(PERIOD_US * share)
            if _is_v1():
                (group / "cpu.cfs_period_us").write_text(str(PERIOD_US))
                (group / "cpu.cfs_quota_us").write_text(str(quota))
            else:
                (group / "cpu.max").write_text(f"{quota} {PERIOD_US}")
            (group / "cgroup.procs").write_text(str(pid))
    except OSError:  # not root, no controller for CPU here, or a group that may have no children
        _leave(groups, home)
        yield False
        return
    try:
        yield True
    finally:
        _leave(groups, home)


def _leave(groups: Sequence[Path], home: Path) -> None:
    for group in groups:
        with contextlib.suppress(OSError):
            for pid in (group / "cgroup.procs").read_text().split():
                (home / "cgroup.procs").write_text(pid)
            group.rmdir()


def _is_v1() -> bool:
    return (_V1 / "cpu.cfs_quota_us").exists() or (_V1 / "cpu.shares").exists()


def _home() -> Path:
    """Return the group of this process, in the tree that limits CPU."""
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if ("cpu" in controllers.split(",")) if _is_v1() else not controllers:
            return Path(f"{_V1 if _is_v1() else _V2}{path}")
    return _V2


def _crowd(settings: Settings) -> Found:
    with door.running("", wait=settings.wait, zones={}, workers=settings.crowd_workers) as tarry:
        server, pids = tarry.server, _workers(tarry, settings.crowd_workers)
        with contextlib.ExitStack() as stack:
            loads, first = [], 0
            for clients in settings.crowds():
                order = generator.Order(
                    port=server.port,
                    clients=clients,
                    rate=settings.rate * clients / settings.clients,
                    wait=settings.wait,
                    ending="quit",
                    leave_before=0.0,
                    patience=PATIENCE,
                    first_address=first,
                )
                first += clients
                patience = settings.clients / settings.rate + settings.wait + PATIENCE + 60
                loads.append(stack.enter_context(Generator("hold", order, patience=patience)))
            server.settled_cpu()
            idle, idle_files, cpu = server.memory(), [open_files([pid]) for pid in pids], server.cpu()
            for load in loads:
                load.go()
            for load in loads:
                load.await_mark("held")
            time.sleep(SETTLE)
            held = server.memory()
            each = [open_files([pid]) - before for pid, before in zip(pids, idle_files, strict=True)]
            outcomes = [load.outcome(generator.Outcome) for load in loads]
            used = server.settled_cpu() - cpu
    greeted = sum(one.greeted for one in outcomes)
    late = [one.lateness for one in outcomes]
    return (
        {
            "cpu_ms": 1000 * used / greeted if greeted else None,
            "pss_kib": (held.pss - idle.pss) / settings.clients,
            "least_percent": 100 * min(each) * len(each) / settings.clients,
            "held_percent": 100 * sum(each) / settings.clients,
            "late_p50_ms": _worst(one.p50 for one in late),
            "late_p99_ms": _worst(one.p99 for one in late),
            "late_max_ms": _worst(one.max for one in late),
            "not_greeted": settings.clients - greeted,
            "opened_in_s": max(one.opened_in for one in outcomes),
        },
        [],
        server.meter.name,
    )


def _worst(values: Iterator[float | None]) -> float | None:
    """Return the greatest: of several generators the one to which it looked worst."""
    return max((value for value in values if value is not None), default=None)
