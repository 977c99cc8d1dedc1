"""programs - the peers that are small Python programs of the bench's own, and how any program is started.

aiosmtpd   what one writes in ten minutes: aiosmtpd that sleeps before it greets, then looks whether the client spoke.
relay      two uvloop protocols that copy bytes: the floor for anything in Python that stands between client and server.
epoll      bare descriptors on one epoll: the floor for holding and refusing in Python.
sink       no front door at all: the client talks to the sink.
"""

import contextlib
import sys
from collections.abc import Iterator, Sequence

from tests.e2e.servers.processes import Program, wait_listening

from bench.machine import ROOT
from bench.peers.kind import Peer, Setup
from bench.server import Running
from bench.sink import sink_command


@contextlib.contextmanager
def started(command: Sequence[str], setup: Setup) -> Iterator[Running]:
    """Run *command*, which is to listen on `setup.port`, as long as the context lasts. Raises NotStarted."""
    program = Program(command, output=setup.folder / "output", cwd=ROOT)
    try:
        wait_listening(program, setup.port, timeout=20)
        yield Running(program.pid, setup.port)
    finally:
        program.end()


def _module(name: str, setup: Setup, *arguments: str) -> contextlib.AbstractContextManager[Running]:
    return started([sys.executable, "-m", f"bench.peers.{name}", str(setup.port), *arguments], setup)


def _nothing_missing() -> str:
    return ""


def _aiosmtpd(setup: Setup) -> contextlib.AbstractContextManager[Running]:
    return _module("aiosmtpd_server", setup, str(setup.wait))


def _relay(setup: Setup) -> contextlib.AbstractContextManager[Running]:
    return _module("relay_server", setup, str(setup.sink_port))


def _epoll(setup: Setup) -> contextlib.AbstractContextManager[Running]:
    return _module("epoll_server", setup, str(setup.wait))


def _sink(setup: Setup) -> contextlib.AbstractContextManager[Running]:
    return started(sink_command(setup.port), setup)


AIOSMTPD = Peer(
    name="aiosmtpd",
    about="aiosmtpd that sleeps before the greeting",
    measures=frozenset({"hold", "early", "mail", "line"}),
    missing=_nothing_missing,
    start=_aiosmtpd,
)
RELAY = Peer(
    name="relay",
    about="blind uvloop relay to the sink: the floor for mail and line",
    measures=frozenset({"mail", "line"}),
    missing=_nothing_missing,
    start=_relay,
)
EPOLL = Peer(
    name="epoll",
    about="bare epoll in Python: the floor for hold and early",
    measures=frozenset({"hold", "early"}),
    missing=_nothing_missing,
    start=_epoll,
)
SINK = Peer(
    name="sink",
    about="the sink itself, no front door",
    measures=frozenset({"mail"}),
    missing=_nothing_missing,
    start=_sink,
)
