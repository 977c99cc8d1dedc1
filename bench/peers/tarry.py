"""tarry - our own server: one worker, handing off to the sink as an SMTP proxy.

The configuration is written here and passed with -c, so that nobody's own file has a say.
"""

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from bench.machine import ROOT
from bench.peers.kind import Peer, Setup
from bench.peers.programs import started
from bench.server import Running

_PROGRAM = Path(sys.executable).parent / "tarry"

_CONFIG = """\
[listen]
smtp = ["127.0.0.1:{port}"]
workers = 1
max_clients = 15000
max_per_client = 0

[handoff]
mode = "proxy"
address = "127.0.0.1:{sink_port}"

[hold]
wait = "{wait:g}s"

[record]
path = "{record}"
"""


def configuration(setup: Setup) -> str:
    """Return the configuration file for one start."""
    return _CONFIG.format(port=setup.port, sink_port=setup.sink_port, wait=setup.wait, record=setup.folder / "record")


def _missing() -> str:
    """Ask the program itself: installed is not yet able to serve."""
    if not _PROGRAM.exists():
        return f"{_PROGRAM} is not there: run make build"
    asked = subprocess.run([_PROGRAM, "serve", "--help"], cwd=ROOT, capture_output=True, text=True, timeout=30, check=False)
    said = (asked.stderr.strip() or "nothing on stderr").splitlines()[-1]
    return f"`tarry serve --help` ended with status {asked.returncode}: {said}" if asked.returncode else ""


@contextlib.contextmanager
def _start(setup: Setup) -> Iterator[Running]:
    file = setup.folder / "tarry.toml"
    file.write_text(configuration(setup))
    with started([str(_PROGRAM), "serve", "-c", str(file)], setup) as running:
        yield running


TARRY = Peer(
    name="tarry",
    about="tarry serve, one worker, hand-off to the sink",
    measures=frozenset({"hold", "early", "mail"}),
    missing=_missing,
    start=_start,
)
