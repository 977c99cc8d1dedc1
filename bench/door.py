"""door - tarry before the sink with tables of its own, for measures that no peer can take part in.

`running` starts an rbldnsd where zones are given, the sink, and tarry; the `Door` has the server to be measured, the ports of the
others, and the file of the records.
"""

import contextlib
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.e2e.servers.nameservers import rbldnsd

from bench.peers import programs
from bench.peers.kind import Setup
from bench.peers.tarry import PROGRAM, configuration
from bench.server import Server, free_ports, measured


@dataclass(frozen=True, slots=True)
class Door:
    """A tarry that runs."""

    server: Server
    sink_port: int
    record: Path


@contextlib.contextmanager
def running(tables: str, *, wait: float, zones: Mapping[str, tuple[str, str]], workers: int = 1) -> Iterator[Door]:
    """Start all, with *tables* added to the configuration, and [dns] where there are *zones*. Raises NotStarted."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tarry-bench-")))
        port, sink_port = free_ports(2)
        behind = folder / "sink"
        behind.mkdir()
        setup = Setup(measure="mail", wait=wait, port=port, sink_port=sink_port, folder=folder)
        stack.enter_context(programs.SINK.start(Setup(measure="mail", wait=0, port=sink_port, sink_port=sink_port, folder=behind)))
        text = configuration(setup, {"mode": "proxy", "address": f"127.0.0.1:{sink_port}"}, workers) + tables
        if zones:
            text += f'\n[dns]\nservers = ["127.0.0.1:{stack.enter_context(rbldnsd(zones))}"]\nmax_queries = 10000\n'
        file = folder / "tarry.toml"
        file.write_text(text)
        started = stack.enter_context(programs.started([str(PROGRAM), "serve", "-c", str(file)], setup))
        yield Door(stack.enter_context(measured(started)), sink_port, folder / "record")
