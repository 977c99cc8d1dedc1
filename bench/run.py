"""run - take each peer in turn, a freshly started server for each pass.

An interrupt ends the server under test.
"""

import contextlib
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.e2e.servers.processes import Program, wait_listening

from bench import early, hold, line, mail, passed
from bench.peers import PEERS
from bench.peers.kind import Measure, Peer, Setup
from bench.server import Server, attached, free_ports, measured
from bench.sink import sink_command
from bench.turns import BREAKDOWNS, Collected, Found, ServerEnded, in_turns


@dataclass(frozen=True, slots=True)
class Attached:
    """A server that runs already, to be measured instead of peers."""

    pid: int
    port: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Common:
    """What all measures have in common: whom to measure, and how often."""

    peers: Sequence[str]
    attached: Attached | None
    runs: int


def run_hold(common: Common, settings: hold.Settings) -> Collected:
    """Measure every peer's hold."""

    def once(where: "_Where", run: int) -> Found:
        passes, meter = [], ""
        for number, ending in enumerate(settings.endings):
            first_address = (run * len(settings.endings) + number) * settings.clients
            with where.server("hold", settings.wait) as server:
                passes.append(hold.measure(server, settings, ending, first_address))
                meter = server.meter.name
        figures = hold.merge(passes)
        return figures, hold.notes(figures), meter

    return _collect(common, once)


def run_early(common: Common, settings: early.Settings, wait: float) -> Collected:
    """Flood every peer."""

    def once(where: "_Where", run: int) -> Found:
        with where.server("early", wait) as server:
            figures = early.measure(server, settings, run * settings.clients * settings.generators)
            return figures, [], server.meter.name

    return _collect(common, once)


def run_pass(common: Common, settings: passed.Settings) -> Collected:
    """Have every peer hold clients and give them to its MTA."""

    def once(where: "_Where", run: int) -> Found:
        with where.server("pass", settings.wait) as server:
            figures = passed.measure(server, settings, run * (settings.clients + settings.warm_up))
            return figures, [], server.meter.name

    return _collect(common, once)


def run_line(common: Common, settings: line.Settings) -> Collected:
    """Put clients in line at every peer."""

    def once(where: "_Where", run: int) -> Found:
        clients = min(settings.clients, where.at_once or settings.clients)
        with where.server("line", 0.0) as server:
            figures = line.measure(server, clients)
            return figures, line.notes(clients, settings), server.meter.name

    return _collect(common, once)


def run_mail(common: Common, settings: mail.Settings) -> Collected:
    """Send mail through every peer."""

    def once(where: "_Where", run: int) -> Found:
        with where.server("mail", 0.0) as server:
            figures, notes = mail.measure(server, settings)
            return figures, notes, server.meter.name

    return _collect(common, once)


class _Where:
    """Where the server of each pass comes from: a peer that is started, or one that runs already."""

    def __init__(self, peer: Peer | None, running: Attached | None) -> None:
        self._peer = peer
        self._running = running
        self.at_once = None if peer is None else peer.at_once

    @contextlib.contextmanager
    def server(self, measure: Measure, wait: float) -> Iterator[Server]:
        """Yield a server to measure, ended afterwards if it was started here."""
        if self._peer is None:
            assert self._running is not None
            yield attached(self._running.pid, self._running.port)
            return
        with contextlib.ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tarry-bench-")))
            port, sink_port = free_ports(2)
            stack.enter_context(_sink(sink_port, folder))
            setup = Setup(measure=measure, wait=wait, port=port, sink_port=sink_port, folder=folder)
            running = stack.enter_context(self._peer.start(setup))
            try:
                server = stack.enter_context(measured(running))
                yield server
                if not server.alive():
                    raise ServerEnded("the server ended while it was measured")
            except BREAKDOWNS as problem:
                problem.add_note(_tail(folder / "output"))
                raise


def _collect(common: Common, once: Callable[[_Where, int], Found]) -> Collected:
    """Call *once* for each peer and run."""
    if (running := common.attached) is not None:
        places = {f"pid {running.pid}": _Where(None, running)}
    else:
        places = {name: _Where(PEERS[name], None) for name in common.peers}
    return in_turns(
        list(places),
        common.runs,
        lambda name, run: once(places[name], run),
        lambda name: PEERS[name].missing() if name in PEERS else "",
    )


def _tail(output: Path) -> str:
    """Return the last line that a server printed; Postfix logs elsewhere."""
    lines = output.read_text(errors="backslashreplace").strip().splitlines() if output.exists() else []
    return lines[-1] if lines else ""


@contextlib.contextmanager
def _sink(port: int, folder: Path) -> Iterator[None]:
    """Run the sink behind the peers that relay."""
    program = Program(sink_command(port), output=folder / "sink-output")
    try:
        wait_listening(program, port, timeout=10)
        yield
    finally:
        program.end()
