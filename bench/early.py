"""early - what does a blind sender cost, and does it get to read its refusal?

A closed loop of senders that write a whole session at once and then read. A front door should refuse each with exactly
one 4xx or 5xx reply, whole: a server that closes with unread input sends a reset, which can destroy its own reply.

refused/s     whole single refusals over the time of the flood; the generator takes a core of its own.
CPU           of all the server's processes, for each client that got through to it.
reply         from connect until the reply is whole.
"""

import contextlib
from dataclasses import dataclass

from bench.drive import Generator
from bench.generators import early as generator
from bench.generators.wire import times
from bench.report import Figure
from bench.server import Server

PATIENCE = 30.0

FIGURES = [
    Figure(key="refused_per_s", title="refused", unit="1/s"),
    Figure(key="cpu_ms", title="CPU a client", unit="ms", digits=4),
    Figure(key="reply_p50_ms", title="time to reply, p50", unit="ms", digits=2),
    Figure(key="reply_p99_ms", title="time to reply, p99", unit="ms", digits=2),
    Figure(key="reply_max_ms", title="time to reply, max", unit="ms", digits=2),
    Figure(key="clients", title="clients", unit="", compare=False),
    Figure(key="refused", title="refused by one whole reply", unit="clients", compare=False),
    Figure(key="lost", title="reply lost to a reset", unit="clients", compare=False),
    Figure(key="several", title="more than one reply", unit="clients", compare=False),
    Figure(key="answered", title="one reply, no refusal", unit="clients", compare=False),
    Figure(key="taken", title="message asked for (354)", unit="clients", compare=False),
    Figure(key="silent", title="closed without a reply", unit="clients", compare=False),
    Figure(key="unanswered", title=f"no reply in {PATIENCE:.0f} s", unit="clients", compare=False),
    Figure(key="kept", title="replied, not closed", unit="clients", compare=False),
    Figure(key="failed", title="not connected", unit="clients", compare=False),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What is asked for; no client is opened after `seconds`."""

    clients: int
    concurrency: int
    generators: int
    seconds: float


def measure(server: Server, settings: Settings, first_address: int) -> dict[str, float | None]:
    """Flood one server and return all figures."""
    with contextlib.ExitStack() as stack:
        loads = []
        for number in range(settings.generators):
            order = generator.Order(
                port=server.port,
                clients=settings.clients // settings.generators,
                open_at_once=max(1, settings.concurrency // settings.generators),
                seconds=settings.seconds,
                patience=PATIENCE,
                first_address=first_address + number * settings.clients,
            )
            loads.append(stack.enter_context(Generator("early", order, patience=settings.seconds + PATIENCE + 30)))
        idle_cpu = server.settled_cpu()
        for load in loads:
            load.go()
        outcomes = [load.outcome(generator.Outcome) for load in loads]
        cpu = server.settled_cpu() - idle_cpu
    counts = {
        key: sum(getattr(outcome, key) for outcome in outcomes)
        for key in ("refused", "answered", "several", "lost", "silent", "unanswered", "failed", "taken", "kept")
    }
    ended = sum(counts[key] for key in ("refused", "answered", "several", "lost", "silent", "unanswered"))
    seconds = max(outcome.ended for outcome in outcomes) - min(outcome.began for outcome in outcomes)
    reply = times([each for outcome in outcomes for each in outcome.reply_times])
    return {
        "refused_per_s": counts["refused"] / seconds,
        "cpu_ms": 1000 * cpu / ended if ended else None,
        "reply_p50_ms": reply.p50,
        "reply_p99_ms": reply.p99,
        "reply_max_ms": reply.max,
        "clients": ended + counts["failed"],
        **counts,
    }
