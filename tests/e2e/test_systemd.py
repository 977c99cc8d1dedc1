"""Under systemd: sockets that it hands over, and units that it would accept."""

import json
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.e2e.servers.clients import RawClient
from tests.e2e.servers.processes import Program, free_port, own_environment, wait_listening, wait_until
from tests.e2e.servers.tarry import COMMAND

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

UNITS = Path(__file__).parents[2] / "packaging" / "systemd"


def need(program: str) -> None:
    if not shutil.which(program):
        pytest.skip(f"{program} is not installed: it comes with systemd")


@contextmanager
def activated(folder: Path, config: str, *listen: str, names: str = "") -> Iterator[Program]:
    """Run tarry as a socket unit does: systemd's own tool listens, and starts it when the first client comes."""
    need("systemd-socket-activate")
    (folder / "tarry.toml").write_text(f'{config}\n[hold]\nwait = "100ms"\n[record]\npath = "log"\n')
    arguments = [f"--listen={each}" for each in listen]
    arguments += [f"--fdname={names}"] if names else []
    program = Program(
        ["systemd-socket-activate", *arguments, COMMAND, "serve", "-c", "tarry.toml"],
        output=folder / "output",
        cwd=folder,
        environment=own_environment(),
    )
    try:
        wait_listening(program, int(listen[0].rpartition(":")[2]), 10)
        yield program
    finally:
        program.end()


def started(folder: Path) -> list[str]:
    """Return where tarry said that it listens."""
    wait_until(lambda: (folder / "log").exists() and b'"start"' in (folder / "log").read_bytes(), 10)
    lines = [json.loads(line) for line in (folder / "log").read_text().splitlines()]
    return next(line["listen"] for line in lines if line["ev"] == "start")


def test_sockets_are_taken_over(tmp_path: Path) -> None:
    """The client that woke tarry up is greeted as well, on each of the sockets."""
    first, second = free_port(), free_port()
    with activated(tmp_path, '[listen]\nsmtp = ["systemd"]', f"127.0.0.1:{first}", f"127.0.0.1:{second}") as program:
        for port in (first, second):
            with RawClient(port) as client:
                assert 220 == client.read_reply().code
        assert [f"127.0.0.1:{first}", f"127.0.0.1:{second}"] == started(tmp_path)
        program.signal(signal.SIGTERM)
        assert wait_until(lambda: program.status == 0, 10)


def test_each_socket_goes_to_the_key_that_names_it(tmp_path: Path) -> None:
    """FileDescriptorName= tells them apart; a socket that nobody names goes to plain "systemd"."""
    first, second = free_port(), free_port()
    config = '[listen]\nsmtp = ["systemd:a", "systemd"]'
    with activated(tmp_path, config, f"127.0.0.1:{first}", f"127.0.0.1:{second}", names="b:a"):
        with RawClient(second) as client:
            assert 220 == client.read_reply().code
        assert [f"127.0.0.1:{second}", f"127.0.0.1:{first}"] == started(tmp_path)


def test_a_socket_that_was_not_handed_over_is_told(tmp_path: Path) -> None:
    """A start by hand with listen.smtp = ["systemd"] says what is missing, and exits with 1."""
    (tmp_path / "tarry.toml").write_text('[listen]\nsmtp = ["systemd"]\n')
    done = subprocess.run(
        [COMMAND, "serve", "-c", "tarry.toml"], cwd=tmp_path, capture_output=True, text=True, timeout=20, check=False
    )
    assert (1, True) == (done.returncode, "systemd: no such socket was handed over" in done.stderr)


@pytest.mark.parametrize(
    ("socket", "service", "exposure"),
    [("tarry.socket", "tarry.service", 20), ("tarry-inetd.socket", "tarry-inetd@.service", 40)],
)
def test_the_units_are_well_formed_and_hardened(tmp_path: Path, socket: str, service: str, exposure: int) -> None:
    """systemd reads them without a complaint of its own, and gives the daemon an exposure below 2.0; a mail server that begins as
    root, changes users and writes mailboxes has 3.5."""
    need("systemd-analyze")
    text = (UNITS / service).read_text().replace("/usr/bin/tarry", str(COMMAND))
    (tmp_path / service).write_text(text)
    (tmp_path / socket).write_text((UNITS / socket).read_text())
    units = [tmp_path / service, tmp_path / socket]
    checked = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *units], capture_output=True, text=True, timeout=30, check=False
    )
    assert "" == "\n".join(line for line in checked.stderr.splitlines() if "tarry" in line)
    rated = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", f"--threshold={exposure}", "--no-pager", units[0]],
        capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    assert 0 == rated.returncode, rated.stdout[-300:]
