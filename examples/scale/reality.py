"""reality - do the formulas hold? The clients of the model against a tarry on this machine, for a minute.

    python examples/scale/reality.py --rate 50 --seconds 90

Starts a tarry with one worker, a hold of 3 to 6 s, residual delays of 10 to 20 s (so that a minute is long enough), and a sink
behind it, all on 127.0.0.1 and in a temporary folder; plays all kinds of clients; reads the log; prints what was predicted and
what was measured. What is present at once is read from the log, the first seconds left out, until all kinds are there.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from scale.crowd import MOST
from scale.day import DAY
from scale.fluid import Model, Site
from scale.load import SECOND_OCTETS, Load
from scale.parameters import Parameters, mixed
from scale.tables import grid, short

DELAY = (10.0, 20.0)
SETTLED = 25.0
_CONFIGURATION = """
[listen]
smtp = ["127.0.0.1:{port}"]
workers = 1
[handoff]
mode = "proxy"
address = "127.0.0.1:{sink}"
[hold]
wait = "3s..6s"
[delay]
target = "{low:g}s..{high:g}s"
[checks.helo]
action = "delay"
tests = ["unqualified"]
[store]
url = "{store}"
[record]
path = "{record}"
detail = "{detail}"
"""


@dataclass
class Session:
    """What the log says of one client. Times are in UTC seconds."""

    kind: str = ""
    octets: int = 0
    close_octets: int = 0
    came: float = 0.0
    greeted: float | None = None
    delayed: list[tuple[float, float]] = field(default_factory=list)
    gone: float = 0.0
    messages: int = 0


def sessions(record: Path) -> list[Session]:
    """Return all sessions of a log that have ended."""
    kinds = {octet: kind for kind, octet in SECOND_OCTETS.items()}
    found: dict[str, Session] = {}
    ended = []
    for line in record.read_text().splitlines(keepends=True):
        one = json.loads(line)
        if "id" not in one:
            continue
        session = found.setdefault(one["id"], Session(came=one["t"] - one["dt"]))
        session.octets += len(line)
        if one["ev"] == "greet":
            session.greeted = one["t"]
        elif one["ev"] == "hold" and one["why"] == "residual":
            session.delayed.append((one["t"] - one["held"], one["t"]))
        elif one["ev"] == "close":
            second = int(one["client"].split(".")[1])
            session.kind, session.gone, session.messages = kinds.get(second, "other"), one["t"], one["messages"]
            session.close_octets = len(line)
            ended.append(session)
    return ended


def at_once(spans: Sequence[tuple[float, float]], begin: float, end: float) -> tuple[float, float]:
    """Return how many spans there are at once between two times: on average, and at most but for one moment in a hundred.

    >>> at_once([(0, 10), (5, 15)], 0, 10)
    (1.5, 2.0)
    """
    mean = sum(max(0.0, min(end, out) - max(begin, into)) for into, out in spans) / (end - begin)
    moments = [begin + (number + 0.5) * (end - begin) / 400 for number in range(400)]
    counts = sorted(sum(1 for into, out in spans if into <= moment < out) for moment in moments)
    return mean, float(counts[int(0.99 * len(counts))])


@dataclass(frozen=True)
class Measured:
    """What was measured."""

    rows: list[tuple[str, float, float]]
    notes: list[str]
    ended: Counter[str]


def measure(rate: float, seconds: float, *, mix: str, detail: str, store: str, seed: int) -> Measured:
    """Play the clients and compare."""
    parameters = replace(
        mixed(Parameters(), mix),
        good_peak=1.0,
        bad_peak=1.0,
        burst=1.0,
        delay_low=DELAY[0],
        delay_high=DELAY[1],
        lists=0.0,
        names=0.0,
        message_kb=4.0,
        detail=float(detail == "all"),
    )
    if store == "none":
        parameters = replace(parameters, store_cpu=0.0, skip_above=MOST)
    model = Model(parameters, Site(day=rate * DAY, age=0.0))
    plan = model.hour(0, seconds)
    with tempfile.TemporaryDirectory(prefix="tarry-scale-") as name:
        folder = Path(name)
        with _running(folder, detail=detail, store=store) as (pid, port, sink):
            idle, before = _pss(pid), _cpu(pid)
            begun = time.time()
            load = Load(model, port, rate, seconds, seed)
            asyncio.run(load.run())
            sides = _time_wait(sink)
            cpu, full = _cpu(pid) - before, _pss(pid)
        record = folder / "record.jsonl"
        everyone, text = sessions(record), record.read_bytes()
    begin, end = begun + SETTLED, begun + seconds
    known = [one for one in everyone if one.kind != "other"]
    rows = [("connections a second", rate, sum(begin <= one.came < end for one in known) / (end - begin))]
    if detail == "all":
        held = at_once([(one.came, one.greeted or one.gone) for one in known], begin, end)
        delays = at_once([span for one in known for span in one.delayed], begin, end)
        greeted = at_once([(one.greeted, one.gone) for one in known if one.greeted is not None], begin, end)
        rows += [
            ("held at once, mean", plan.held, held[0]),
            ("held at once, 99 %", plan.held_p99, held[1]),
            ("delayed at once, mean", plan.delayed, delays[0]),
            ("in line at once, mean", plan.line, greeted[0] - delays[0]),
            ("delayed or in line, 99 %", plan.inside_p99, greeted[1]),
        ]
    each = {"early": "early_record", "impatient": "impatient_record", "patient": "patient_record", "good": "good_record"}
    for kind, name in (*each.items(), ("patient, came through", "passed_record")):
        through = kind.endswith("through")
        of_kind = [one for one in known if one.kind == kind.partition(",")[0] and (kind == "good" or bool(one.messages) == through)]
        if of_kind and detail == "all":
            rows.append(
                (f"log, bytes a session: {kind}", getattr(parameters, name), sum(one.octets for one in of_kind) / len(of_kind))
            )
    rows += [
        ("log, bytes a close line", parameters.close_record, sum(one.close_octets for one in known) / len(known)),
        ("log, KB a second", plan.records / 1e3, sum(one.octets for one in known) / seconds / 1e3),
        ("log, share left by zlib -6", parameters.zipped, len(zlib.compress(text, 6)) / len(text)),
        ("messages a second", plan.messages, sum(one.messages for one in known) / seconds),
        ("CPU, ms a connection", 1000 * plan.cores / plan.arrivals, 1000 * cpu / len(known)),
    ]
    notes = [
        f"tarry's memory (Pss): {idle / 1e6:.1f} MB when idle, {full / 1e6:.1f} MB after {len(known)} clients",
        f"TIME_WAIT after the run: {sides[0]} at the MTA's side, {sides[1]} at tarry's",
    ]
    return Measured(rows, notes, load.ended)


@contextmanager
def _running(folder: Path, *, detail: str, store: str) -> Iterator[tuple[int, int, int]]:
    """A sink and a tarry before it: the process id of tarry, its port, and the sink's. Both end with the context."""
    port, sink = _free_ports()
    text = _CONFIGURATION.format(
        port=port, sink=sink, low=DELAY[0], high=DELAY[1], record=folder / "record.jsonl", detail=detail, store=store
    )
    (folder / "tarry.toml").write_text(text)
    here = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[1])}
    commands = [
        ([sys.executable, "-m", "scale.load", str(sink)], here),
        ([sys.executable, "-m", "tarry", "serve", "-c", "tarry.toml"], dict(os.environ)),
    ]
    started: list[subprocess.Popen[bytes]] = []
    try:
        for (command, environment), listens in zip(commands, (sink, port), strict=True):
            with (folder / "output").open("ab") as output:
                started.append(subprocess.Popen(command, cwd=folder, env=environment, stdout=output, stderr=output))
            _await(listens, started[-1], folder / "output")
        yield started[-1].pid, port, sink
    finally:
        for program in reversed(started):
            program.terminate()
        for program in reversed(started):
            try:
                program.wait(10)
            except subprocess.TimeoutExpired:
                program.kill()
                program.wait()


def _await(port: int, program: subprocess.Popen[bytes], output: Path) -> None:
    until = time.monotonic() + 30
    while time.monotonic() < until and program.poll() is None:
        with socket.socket() as client:
            if client.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise SystemExit(f"not started:\n{output.read_text()}")


def _free_ports() -> tuple[int, int]:
    with socket.socket() as one, socket.socket() as two:
        for each in (one, two):
            each.bind(("127.0.0.1", 0))
        return one.getsockname()[1], two.getsockname()[1]


def _cpu(pid: int) -> float:
    """CPU seconds of a process so far (proc(5), stat: utime and stime)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _pss(pid: int) -> int:
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return next(int(line.split()[1]) * 1024 for line in text.splitlines() if line.startswith("Pss:"))


def _time_wait(port: int) -> tuple[int, int]:
    """Return how many connections are in TIME_WAIT at the side that has this port, and how many at the other side."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    waiting = [(int(row[1][9:], 16), int(row[2][9:], 16)) for row in rows if row[3] == "06"]
    return sum(mine == port for mine, _ in waiting), sum(theirs == port for _, theirs in waiting)


def main(arguments: Sequence[str] | None = None) -> int:
    """Return the exit status."""
    parser = argparse.ArgumentParser(prog="reality.py", description="Compare the model with a tarry on this machine.")
    parser.add_argument("--rate", type=float, default=50, help="connections a second (50)")
    parser.add_argument("--seconds", type=float, default=90, help=f"more than {SETTLED:g} (90)")
    parser.add_argument("--mix", default="even", help="who comes (even)")
    parser.add_argument("--detail", choices=("all", "close"), default="all", help="record.detail (all)")
    parser.add_argument("--store", default="none", help="store.url (none)")
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args(arguments)
    if asked.seconds <= SETTLED:
        parser.error(f"--seconds must be above {SETTLED:g}")
    found = measure(asked.rate, asked.seconds, mix=asked.mix, detail=asked.detail, store=asked.store, seed=asked.seed)
    table = [(name, short(plan), short(seen), f"{seen / plan - 1:+.0%}" if plan else "") for name, plan, seen in found.rows]
    print(grid(("", "predicted", "measured", ""), table))
    print("", *found.notes, "ended: " + ", ".join(f"{name} {count}" for name, count in sorted(found.ended.items())), sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
