"""Root opens the port and is given up for good."""

import os
import pwd
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.e2e.servers.clients import submit
from tests.e2e.servers.processes import free_port, wait_until
from tests.e2e.servers.tarry import COMMAND, Tarry

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")]

NOBODY = pwd.getpwnam("nobody")


def status(pid: int) -> dict[str, str]:
    """Return what the kernel says of a process."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


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
def test_every_process_becomes_the_user(workers: int, open_folder: Path) -> None:
    """With its groups and without a capability; it takes mail, reloads and upgrades as that user, on a port that is not its to open;
    and nobody else may read what it writes."""
    mine = open_folder / "mine"
    config = (
        f'[listen]\nuser = "nobody"\nworkers = {workers}\n[handoff]\nmaildir = "{mine}/mail"\n'
        f'[record]\npath = "{mine}/log"\n[store]\nurl = "sqlite:{mine}/tarry.db"\n[control]\nsocket = "{mine}/sock"\n'
    )
    with Tarry(config, wait="0s", port=low_port()) as tarry:
        tarry.wait_records(workers, ev="start")
        for round_ in ("first", "upgraded"):
            for pid in tarry.pids():
                found = status(pid)
                assert {str(NOBODY.pw_uid)} == set(found["Uid"].split())
                assert {str(NOBODY.pw_gid)} == set(found["Gid"].split())
                assert {str(each) for each in os.getgrouplist("nobody", NOBODY.pw_gid)} == set(found["Groups"].split())
                assert {0} == {int(found[name], 16) for name in ("CapPrm", "CapEff", "CapAmb")}
            submit(tarry.port)
            if round_ == "first":
                tarry.reload()
                assert all(each["ok"] for each in tarry.wait_records(workers, ev="config"))
                tarry.send_signal(signal.SIGUSR2)
                tarry.wait_records(2 * workers, ev="start")
                assert wait_until(lambda: tarry.status == 0, 15)
        assert 2 == len(list((mine / "mail" / "new").iterdir()))
        for path in mine.rglob("*"):
            assert (NOBODY.pw_uid, 0) == (path.stat().st_uid, path.stat().st_mode & 0o007), path


def low_port() -> int:
    """Return a port below 1024 that is free now."""
    for port in range(1023, 900, -1):
        with suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            return port
    pytest.skip("every port from 900 on is taken")


def test_who_is_not_root_is_told(tmp_path: Path) -> None:
    """What to do; exit status 1."""
    (tmp_path / "t.toml").write_text(f'[listen]\nsmtp = ["127.0.0.1:{free_port()}"]\nuser = "daemon"\n')
    done = subprocess.run(
        [COMMAND, "serve", "-c", tmp_path / "t.toml"],
        cwd="/",
        user="nobody",
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (1, True) == (done.returncode, "only root can become daemon, and this is nobody" in done.stderr), done.stderr


def test_who_stays_root_is_told() -> None:
    """With the key that mends it; it serves all the same."""
    with Tarry(wait="0s") as tarry:
        submit(tarry.port)
        assert 'this process is root and stays it: set listen.user = "tarry"' in tarry.printed()
