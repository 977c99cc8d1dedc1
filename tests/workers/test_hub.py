"""The child that speaks for all workers. What it says: tests/control/test_hub.py."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable

import pytest

from tarry.config.schema import Config
from tarry.web.server import open_web
from tarry.workers import hub
from tarry.workers.channel import make_pair


def child(body: Callable[[], int]) -> int:
    pid = os.fork()
    if not pid:
        status = 99
        try:
            status = body()
        finally:
            os._exit(status)
    return pid


def test_it_asks_all_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the sockets beside control.socket, and serves HTTP too."""
    given: list[tuple[object, ...]] = []
    monkeypatch.setattr(hub, "run_hub", lambda config, path, workers, open_web: given.append((config, path, workers, open_web)))
    monkeypatch.setattr(hub, "_end_with", lambda channel: None)
    before = signal.getsignal(signal.SIGTERM)
    ours, theirs = make_pair()
    config = Config.from_toml('[control]\nsocket = "c.sock"\n')
    assert 0 == hub.speak(config, "c.sock.9", 3, theirs)
    assert [(config, "c.sock.9", 3, open_web)] == given
    signal.signal(signal.SIGTERM, before)
    ours.close()
    theirs.close()


def test_it_ends_with_its_supervisor(monkeypatch: pytest.MonkeyPatch) -> None:
    """However that ended; SIGTERM is what it takes."""
    ours, theirs = make_pair()
    monkeypatch.setattr(hub, "run_hub", lambda *args, **more: time.sleep(60))

    def body() -> int:
        ours.close()
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # as every child begins
        return hub.speak(Config(), "", 2, theirs)

    pid = child(body)
    theirs.close()
    ours.close()
    assert -signal.SIGTERM == os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
