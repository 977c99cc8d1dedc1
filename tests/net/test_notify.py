"""What systemd hears."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tarry.net.notify import Notifier


@pytest.fixture
def ear(tmp_path: Path) -> Iterator[tuple[str, socket.socket]]:
    """A supervisor's socket and its path."""
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as sock:
        sock.settimeout(5)
        path = str(tmp_path / "notify")
        sock.bind(path)
        yield path, sock


def test_values_are_lines_of_one_datagram(ear: tuple[str, socket.socket]) -> None:
    """And the variable is gone, so that no child finds it."""
    path, sock = ear
    environment = {"NOTIFY_SOCKET": path, "PATH": "/bin"}
    Notifier(environment, os.getpid()).tell(READY=1, STATUS="listens on 127.0.0.1:25")
    assert b"READY=1\nSTATUS=listens on 127.0.0.1:25" == sock.recv(200)
    assert {"PATH": "/bin"} == environment


def test_the_variables_are_kept_for_one_that_takes_its_place() -> None:
    """But for WATCHDOG_PID, which would not be true of it."""
    given = {"NOTIFY_SOCKET": "/run/notify", "WATCHDOG_USEC": "5000000"}
    assert given == Notifier({**given, "WATCHDOG_PID": str(os.getpid())}, os.getpid()).variables
    assert {} == Notifier({}, os.getpid()).variables


def test_an_abstract_socket_is_named_with_an_at() -> None:
    """As in sd_notify(3)."""
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as sock:
        sock.settimeout(5)
        name = f"tarry-test-{os.getpid()}"
        sock.bind("\0" + name)
        Notifier({"NOTIFY_SOCKET": f"@{name}"}, os.getpid()).tell(STOPPING=1)
        assert b"STOPPING=1" == sock.recv(200)


def test_a_reload_is_told_with_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """As sd_notify(3) wants it, in microseconds of the monotonic clock."""
    told: list[dict[str, object]] = []
    one = Notifier({}, os.getpid())
    monkeypatch.setattr(one, "tell", lambda **values: told.append(values))
    before = time.monotonic()
    one.tell_reloading()
    assert [["RELOADING", "MONOTONIC_USEC"]] == [list(each) for each in told]
    assert before - 1e-6 <= int(str(told[0]["MONOTONIC_USEC"])) / 1e6 <= time.monotonic()


@pytest.mark.parametrize("path", ["", "/nonexistent/notify", "@nobody-listens-here"])
def test_nobody_who_listens_is_no_trouble(path: str) -> None:
    """Whoever starts tarry by hand has no such socket."""
    Notifier({"NOTIFY_SOCKET": path}, os.getpid()).tell(READY=1)


@pytest.mark.parametrize(
    ("variables", "seconds"),
    [
        ({"WATCHDOG_USEC": "30000000"}, 15.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}, 15.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, 0.0),
        ({"WATCHDOG_USEC": "nonsense"}, 0.0),
        ({}, 0.0),
    ],
)
def test_the_watchdog_is_told_twice_in_its_time(variables: dict[str, str], seconds: float) -> None:
    """As sd_watchdog_enabled(3) recommends, and only where it is meant for this process."""
    environment = {"NOTIFY_SOCKET": "/run/notify", **variables}
    assert seconds == Notifier(environment, os.getpid()).watchdog
    assert {} == environment
