"""mail - what does an honest message cost on its way through?

Closed loop of polite senders, every one of which waits for every reply; one message a connection unless told otherwise.
The sink behind a relaying server is a process of its own, and not counted.

Generators  `smtp-source`, Postfix's own in C, disturbs least on few cores, but tells no times; so messages/s and CPU
            come from it, and the percentiles from a second, shorter pass with the epoll generator. `epoll` takes
            everything from the latter; it is the only one where there is no Postfix, or with several messages a connection.
CPU         of all the server's processes until at rest again; `own` of the front door's alone, without the MTA behind it.
p50, p99    from connect (or the message before) to the 250 after the dot, the last of a connection to the reply to QUIT.
"""

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass

from tests.e2e.servers import install
from tests.e2e.servers.load import smtp_source

from bench.drive import Generator, GeneratorFailure
from bench.generators import mail as generator
from bench.report import Figure
from bench.server import Cost, Server

PATIENCE = 30.0
BIG = 16384  # bytes; above it a third of the messages is sent


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What is asked for. `sizes` in bytes."""

    sizes: Sequence[int]
    messages: int
    concurrency: int
    per_connection: int
    generator: str
    seconds: float

    def count(self, size: int) -> int:
        """Return how many messages of *size* are sent."""
        return self.messages if size <= BIG else max(1, self.messages // 3)


def best_generator(per_connection: int) -> str:
    """Return the generator that disturbs least."""
    return "epoll" if install.missing("postfix") or per_connection > 1 else "smtp-source"


def figures(sizes: Sequence[int]) -> list[Figure]:
    """Return what is measured for each of *sizes*."""
    found = []
    for size in sizes:
        name = f"{size / 1024:g} KB"
        found += [
            Figure(key=f"rate_{size}", title=f"{name}: messages", unit="1/s"),
            Figure(key=f"cpu_ms_{size}", title=f"{name}: CPU a message", unit="ms", digits=3),
            Figure(key=f"own_ms_{size}", title=f"{name}: front door's own CPU", unit="ms", digits=3),
            Figure(key=f"p50_ms_{size}", title=f"{name}: p50", unit="ms", digits=1),
            Figure(key=f"p99_ms_{size}", title=f"{name}: p99", unit="ms", digits=1),
            Figure(key=f"failed_{size}", title=f"{name}: failed", unit="connections", compare=False),
        ]
    return found


def measure(server: Server, settings: Settings) -> tuple[dict[str, float | None], list[str]]:
    """Send mail of each size through one server; return all figures, and notes on failures."""
    found: dict[str, float | None] = {}
    notes: list[str] = []
    for size in settings.sizes:
        count = settings.count(size)
        # The first messages after a start pay for forks and lazy imports (postscreen once -50 %): not counted.
        _polite(server, settings, size, max(settings.concurrency, count // 20))
        cost = Cost(server)
        if settings.generator == "smtp-source":
            rate = _by_smtp_source(server, settings, size, count)
            cpu, own = cost.each_ms(count)
            outcome = _polite(server, settings, size, count // 3)
        else:
            outcome = _polite(server, settings, size, count)
            cpu, own = cost.each_ms(outcome.sent)
            rate = outcome.sent / outcome.seconds
        found |= {
            f"rate_{size}": rate,
            f"cpu_ms_{size}": cpu,
            f"own_ms_{size}": own,
            f"p50_ms_{size}": outcome.message_times.p50,
            f"p99_ms_{size}": outcome.message_times.p99,
            f"failed_{size}": outcome.failed,
        }
        if outcome.failed:
            notes.append(f"{outcome.failed} connections with {size} bytes failed; the first: {outcome.complaint}")
    return found, notes


def _polite(server: Server, settings: Settings, size: int, count: int) -> generator.Outcome:
    order = generator.Order(
        port=server.port,
        messages=count,
        size=size,
        open_at_once=settings.concurrency,
        per_connection=settings.per_connection,
        seconds=settings.seconds,
        patience=PATIENCE,
    )
    with Generator("mail", order, patience=settings.seconds + PATIENCE + 30) as load:
        load.go()
        return load.outcome(generator.Outcome)


def _by_smtp_source(server: Server, settings: Settings, size: int, count: int) -> float:
    """Return messages a second, by Postfix's generator. It gives up at the first failure."""
    arguments = ["-M", "client.example", "-f", "sender@client.example", "-t", "user@example.com"]
    arguments += ["-s", str(settings.concurrency), "-m", str(count), "-l", str(size)]
    try:
        took = smtp_source(server.port, *arguments, timeout=settings.seconds + PATIENCE)
    except subprocess.CalledProcessError as failed:
        complaint = failed.stderr.decode(errors="backslashreplace").strip().splitlines()
        raise GeneratorFailure(f"smtp-source: {complaint[-1] if complaint else failed.returncode}") from failed
    except subprocess.TimeoutExpired as slow:
        raise GeneratorFailure(f"smtp-source: {count} messages not done in {slow.timeout:.0f} s") from slow
    return count / took
