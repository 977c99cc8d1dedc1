"""Root opens the port and is given up for good."""

import os
import pwd
import signal
import socket
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

import tarry
from tests.e2e.servers.clients import submit
from tests.e2e.servers.processes import free_port, wait_until
from tests.e2e.servers.tarry import Tarry

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")]

NOBODY = pwd.getpwnam("nobody")


def status(pid: int) -> dict[str, str]:
    """Return what the kernel says of a process."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


SITE = Path(sysconfig.get_path("purelib"))
SOURCE = Path(tarry.__file__).parents[1]
ENVIRONMENT = {**os.environ, "PYTHONPATH": f"{SOURCE}:{SITE}", "PYTHONDONTWRITEBYTECODE": "1"}


@pytest.fixture(scope="module")
def command() -> list[str]:
    """What runs tarry as any user: this interpreter may lie in a home of root's, but there is the system's."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    for python in (sys.executable, f"/usr/bin/{version}"):
        words = [python, "-m", "tarry"]
        with suppress(OSError):
            code = "import sqlite3, tarry.cli.serve"
            if not subprocess.run(
                [python, "-c", code],
                cwd="/",
                user="nobody",
                group="nogroup",
                extra_groups=[],
                env=ENVIRONMENT,
                timeout=30,
                check=False,
                stderr=subprocess.DEVNULL,
            ).returncode:
                return words
    pytest.skip("no Python of this version that another user may run")


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder of root's in which nobody has one of his own; pytest's are root's alone."""
    with TemporaryDirectory(prefix="tarry-user-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        (folder / "mine").mkdir(0o700)
        os.chown(folder / "mine", NOBODY.pw_uid, NOBODY.pw_gid)
        yield folder


@pytest.mark.parametrize("workers", [1, 2])
def test_every_process_becomes_the_user(workers: int, open_folder: Path, command: list[str]) -> None:
    """With its groups and without a capability; it takes mail, reloads and upgrades as that user, on a port that is not its to
    open; and nobody else may read what it writes."""
    mine = open_folder / "mine"
    config = (
        f'[listen]\nuser = "nobody"\nworkers = {workers}\n[handoff]\nmaildir = "{mine}/mail"\n'
        f'[record]\npath = "{mine}/log"\n[store]\nurl = "sqlite:{mine}/tarry.db"\n[control]\nsocket = "{mine}/sock"\n'
    )
    with Tarry(config, wait="0s", port=low_port(), command=command, environment=ENVIRONMENT) as door:
        door.wait_records(workers, ev="start")
        for round_ in ("first", "upgraded"):
            for pid in door.pids():
                found = status(pid)
                assert {str(NOBODY.pw_uid)} == set(found["Uid"].split())
                assert {str(NOBODY.pw_gid)} == set(found["Gid"].split())
                assert {str(each) for each in os.getgrouplist("nobody", NOBODY.pw_gid)} == set(found["Groups"].split())
                assert {0} == {int(found[name], 16) for name in ("CapPrm", "CapEff", "CapAmb")}
            submit(door.port)
            if round_ == "first":
                door.reload()
                assert all(each["ok"] for each in door.wait_records(workers, ev="config"))
                door.send_signal(signal.SIGUSR2)
                door.wait_records(2 * workers, ev="start")
                assert wait_until(lambda: door.status == 0, 15)
        assert 2 == len(list((mine / "mail" / "new").iterdir()))
        for path in mine.rglob("*"):
            assert (NOBODY.pw_uid, 0) == (path.stat().st_uid, path.stat().st_mode & 0o007), path


def low_port() -> int:
    """Return a port below 1024 that is free now."""
    first = 600 + os.getpid() % 200  # another test of this file may run beside this one
    for port in range(first, first + 200):
        with suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            return port
    pytest.skip("every port is taken")


def test_who_is_not_root_is_told(open_folder: Path, command: list[str]) -> None:
    """What to do; exit status 1."""
    (open_folder / "t.toml").write_text(f'[listen]\nsmtp = ["127.0.0.1:{free_port()}"]\nuser = "daemon"\n')
    words = [*command, "serve", "-c", str(open_folder / "t.toml")]
    done = subprocess.run(words, cwd="/", user="nobody", env=ENVIRONMENT, capture_output=True, text=True, timeout=30, check=False)
    assert (1, True) == (done.returncode, "only root can become daemon, and this is nobody" in done.stderr), done.stderr


def test_who_stays_root_is_told() -> None:
    """With the key that mends it; it serves all the same."""
    with Tarry(wait="0s") as door:
        submit(door.port)
        assert 'this process is root and stays it: set listen.user = "tarry"' in door.printed()
