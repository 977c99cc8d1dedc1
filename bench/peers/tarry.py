"""tarry - our own server: one worker, in each of its ways to the MTA.

tarry                  mode proxy, to the sink.
tarry_pass             mode pass: clients are given to the smtpd of a private Postfix. In `mail` the sink is that smtpd's
                       before-queue filter, as it is behind postscreen.
tarry_proxy_v1, _v2    mode proxy to such an smtpd, which is told of the client by a PROXY header,
tarry_xclient          by XCLIENT,
tarry_announce_pass    or in the way of its pass service, with tarry in line.

The configuration is written here and passed with -c, so that nobody's own file has a say.
"""

import contextlib
import functools
import smtplib
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from tests.e2e.servers import install
from tests.e2e.servers.postfix import Postfix
from tests.e2e.servers.processes import NotStarted

from bench.machine import ROOT
from bench.peers.kind import Peer, Setup
from bench.peers.postfix import PROCESSES, RECIPIENTS
from bench.peers.programs import started
from bench.server import Running

PROGRAM = Path(sys.executable).parent / "tarry"

_CONFIG = """\
[listen]
smtp = ["127.0.0.1:{port}"]
workers = {workers}
max_clients = 15000
max_per_client = 0

[handoff]
{handoff}

[hold]
wait = "{wait:g}s"

[record]
path = "{record}"
detail = "all"

[store]
url = "none"

[control]
socket = ""
"""


def configuration(setup: Setup, handoff: dict[str, str], workers: int = 1) -> str:
    """Return the configuration file for one start."""
    lines = "\n".join(f'{key} = "{value}"' for key, value in handoff.items())
    return _CONFIG.format(port=setup.port, handoff=lines, wait=setup.wait, record=setup.folder / "record", workers=workers)


def _missing() -> str:
    """Ask the program itself: installed is not yet able to serve."""
    if not PROGRAM.exists():
        return f"{PROGRAM} is not there: run make build"
    return _complaint("serve", "--help")


def _complaint(*arguments: str | Path) -> str:
    """Return what the program says against its arguments; empty when it has no objection."""
    asked = subprocess.run([PROGRAM, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=30, check=False)
    said = (asked.stderr.strip() or asked.stdout.strip() or "nothing was printed").splitlines()[0]
    return f"`tarry {arguments[0]}` ended with status {asked.returncode}: {said}" if asked.returncode else ""


def _handoff_missing(announce: str) -> str:
    """Ask as well whether it can announce clients in this way."""
    if problem := _missing() or install.missing("postfix"):
        return problem
    with tempfile.TemporaryDirectory(prefix="tarry-bench-") as name:
        setup = Setup(measure="mail", wait=0, port=25, sink_port=25, folder=Path(name))
        file = setup.folder / "tarry.toml"
        address = "unix:/private/smtpd" if announce == "pass" else "127.0.0.1:10025"
        file.write_text(configuration(setup, {"mode": "proxy", "address": address, "announce": announce}))
        return _complaint("config", "check", file)


@contextlib.contextmanager
def _serving(setup: Setup, handoff: dict[str, str]) -> Iterator[Running]:
    file = setup.folder / "tarry.toml"
    file.write_text(configuration(setup, handoff))
    with started([str(PROGRAM), "serve", "-c", str(file)], setup) as running:
        yield running


def _alone(setup: Setup) -> contextlib.AbstractContextManager[Running]:
    return _serving(setup, {"mode": "proxy", "address": f"127.0.0.1:{setup.sink_port}"})


@contextlib.contextmanager
def _before_smtpd(announce: str, setup: Setup) -> Iterator[Running]:
    """Start an smtpd that believes what tarry says of its clients, the sink as its filter; and tarry."""
    trust = ("127.0.0.0/8",) if announce == "xclient" else ()
    with Postfix(
        recipients=RECIPIENTS,
        filter_to=setup.sink_port,
        proxy_protocol=announce.startswith("proxy-"),
        trust=trust,
        process_limit=PROCESSES,
    ) as mta:
        address = f"unix:{mta.pass_socket}" if announce == "pass" else f"127.0.0.1:{mta.port}"
        with _serving(setup, {"mode": "proxy", "address": address, "announce": announce}) as running:
            _see_announced(running.port, mta)
            yield replace(running, behind=(mta.pid,))


def _see_announced(port: int, mta: Postfix) -> None:
    """Raise NotStarted unless the smtpd learns who its client is: what is not said costs nothing, and would be measured so."""
    with smtplib.SMTP("127.0.0.1", port, timeout=20, source_address=("127.0.0.9", 0)) as client:
        client.ehlo("client.example")
        client.mail("sender@client.example")
        client.rcpt("nobody@elsewhere.example")  # refused, and so in the log with the client's address
    if not mta.wait_log(r"reject: RCPT from \S*\[127\.0\.0\.9\]", timeout=5):
        raise NotStarted("the smtpd was not told who its client is")


@contextlib.contextmanager
def _pass(setup: Setup) -> Iterator[Running]:
    filter_to = setup.sink_port if setup.measure == "mail" else None
    with (
        Postfix(recipients=RECIPIENTS, filter_to=filter_to, process_limit=PROCESSES) as mta,
        _serving(setup, {"mode": "pass", "socket": str(mta.pass_socket)}) as running,
    ):
        yield replace(running, behind=(mta.pid,))


def _announcing(name: str, announce: str, about: str) -> Peer:
    return Peer(
        name=name,
        about=f"tarry -> smtpd, told by {about} -> before-queue filter",
        measures=frozenset({"mail"}),
        missing=functools.partial(_handoff_missing, announce),
        start=functools.partial(_before_smtpd, announce),
    )


TARRY = Peer(
    name="tarry",
    about="tarry serve, one worker, hand-off to the sink",
    measures=frozenset({"hold", "early", "mail", "line"}),
    missing=_missing,
    start=_alone,
)
TARRY_PASS = Peer(
    name="tarry_pass",
    about="tarry, mode pass -> smtpd (mail: -> before-queue filter = sink)",
    measures=frozenset({"pass", "mail"}),
    missing=lambda: _missing() or install.missing("postfix"),
    start=_pass,
)
TARRY_PROXY_V1 = _announcing("tarry_proxy_v1", "proxy-v1", "PROXY v1")
TARRY_PROXY_V2 = _announcing("tarry_proxy_v2", "proxy-v2", "PROXY v2")
TARRY_XCLIENT = _announcing("tarry_xclient", "xclient", "XCLIENT")
TARRY_ANNOUNCE_PASS = _announcing("tarry_announce_pass", "pass", "its pass service")
