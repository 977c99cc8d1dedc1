"""Children, and signals as something to wait for."""

from __future__ import annotations

import os
import select
import signal
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tarry.workers.channel import Alive, Channel
from tarry.workers.fork import ASKING, EX_SOFTWARE, Signals, fork
from tests.side import descriptors


@pytest.fixture
def signals() -> Iterator[Signals]:
    with Signals(signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD) as one:
        yield one


def status_of(pid: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_signals_are_told_once_each_in_the_order_of_their_weight(signals: Signals) -> None:
    """However often they came."""
    assert [] == signals.came()
    for number in (signal.SIGHUP, signal.SIGHUP, signal.SIGTERM):
        os.kill(os.getpid(), number)
    assert [(signals.fileno(), select.POLLIN)] == _poll(signals)
    assert ["SIGTERM", "SIGHUP"] == signals.came()
    assert [] == signals.came()


def _poll(signals: Signals) -> list[tuple[int, int]]:
    poll = select.poll()
    poll.register(signals.fileno(), select.POLLIN)
    return poll.poll(1000)


def test_a_child_has_its_side_of_a_channel_and_ends_with_its_status(signals: Signals) -> None:
    """And nothing of the supervisor's signals: a terminal's Ctrl-C is not for it."""

    def body(channel: Channel) -> int:
        channel.send(Alive())
        for number in ASKING:
            os.kill(os.getpid(), number)
        return 7

    let_go: list[int] = []
    pid, channel = fork(signals, body, let_go=lambda: let_go.append(1))
    assert 7 == status_of(pid)
    assert ([Alive()], []) == (channel.reports(), let_go)
    assert channel.has_ended
    assert ["SIGCHLD"] == signals.came()
    channel.close()


def test_a_fault_of_a_child_stays_in_it(signals: Signals, capfd: pytest.CaptureFixture[str]) -> None:
    """It is told on standard error, and the code of the supervisor is not gone through a second time."""

    def body(channel: Channel) -> int:
        raise ZeroDivisionError("on purpose")

    pid, channel = fork(signals, body, let_go=lambda: None)
    assert EX_SOFTWARE == status_of(pid)
    assert "ZeroDivisionError: on purpose" in capfd.readouterr().err
    channel.close()


def test_a_child_whose_standard_error_is_gone_does_not_come_back(signals: Signals, monkeypatch: pytest.MonkeyPatch) -> None:
    """A closed terminal, a full disk, a reader that has ended: what cannot be written does not make it a second supervisor."""
    reading, writing = os.pipe()
    os.close(reading)
    here = os.getpid()

    def body(channel: Channel) -> int:
        raise ZeroDivisionError("on purpose")

    with open(writing, "w") as gone:  # noqa: PTH123  a descriptor
        gone.write("what the supervisor said last")
        monkeypatch.setattr(sys, "stderr", gone)
        try:
            pid, channel = fork(signals, body, let_go=lambda: None)
        except OSError:
            if os.getpid() != here:
                os._exit(1)
            raise
        assert EX_SOFTWARE == status_of(pid)
        channel.close()
        monkeypatch.undo()
        with suppress(BrokenPipeError):
            gone.close()


def test_no_process_can_be_had(signals: Signals, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is an OSError, and no descriptor stays open."""

    def refuse() -> int:
        raise BlockingIOError

    monkeypatch.setattr(os, "fork", refuse)
    before = descriptors()
    with pytest.raises(BlockingIOError):
        fork(signals, lambda channel: 0, let_go=lambda: None)
    assert before == descriptors()
    assert not signal.pthread_sigmask(signal.SIG_BLOCK, ())


@pytest.mark.parametrize("stream", [None, "full", "closed"])
def test_without_standard_output(signals: Signals, monkeypatch: pytest.MonkeyPatch, stream: str | None) -> None:
    """Closed before Python began, on a full device, closed since: a child begins and ends as it should, also by a fault."""
    made = None if stream is None else Path("/dev/full").open("w")  # noqa: SIM115
    if made is not None:
        made.write("x")
    if made is not None and stream == "closed":
        with suppress(OSError):
            made.close()
    monkeypatch.setattr(sys, "stdout", made)
    monkeypatch.setattr(sys, "stderr", made)
    for expected, body in ((7, lambda channel: 7), (EX_SOFTWARE, lambda channel: 1 // 0)):
        pid, channel = fork(signals, body, let_go=lambda: None)
        channel.close()
        assert expected == status_of(pid)
    if made is not None:
        with suppress(OSError):
            made.close()
