"""The one that keeps the workers, with children that the tests play. With real ones: tests/e2e/test_workers.py, test_upgrade.py."""

from __future__ import annotations

import errno
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tarry.config.schema import Config
from tarry.net.notify import Notifier
from tarry.sockets import Open
from tarry.workers import supervisor, takeover
from tarry.workers.channel import (
    Abort,
    Adopt,
    Alive,
    AnyOrder,
    Channel,
    Drain,
    Failed,
    Ready,
    Release,
    Reload,
    Retire,
    Settle,
    make_pair,
)
from tarry.workers.fork import Signals
from tarry.workers.supervisor import Supervisor
from tarry.workers.takeover import Predecessor
from tarry.workers.worker import Duty, Log
from tests.doors import records

pytestmark = pytest.mark.usefixtures("own_folder")

HERE = (("127.0.0.1", 25),)


class Child:
    """A worker that does what the test wants."""

    def __init__(self, pid: int, channel: Channel) -> None:
        self.pid = pid
        self.channel = channel
        self.status: int | None = None

    def orders(self) -> list[AnyOrder]:
        return self.channel.orders()

    def ready(self, *notes: str) -> None:
        self.channel.send(Ready(HERE, notes))


class Stage:
    """A supervisor whose children are made up, and whose system calls tell the test what they were asked."""

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, text: str = "", *, workers: int = 2, predecessor: Predecessor | None = None
    ) -> None:
        self.children: list[Child] = []
        self.killed: list[tuple[int, int]] = []
        self.told: list[dict[str, Any]] = []
        self.said: list[str] = []
        self.ready: list[tuple[list[str], list[str]]] = []
        self.forks = True
        self.clock = 1000.0
        Path("tarry.toml").write_text("")
        monkeypatch.setattr(supervisor, "fork", self._fork)
        monkeypatch.setattr(os, "waitpid", self._waitpid)
        monkeypatch.setattr(os, "kill", lambda pid, number: self.killed.append((pid, number)))
        monkeypatch.setattr(time, "monotonic", lambda: self.clock)
        config = Config.from_toml(f'{text}\n[record]\npath = "log"\n')
        first = socket.create_server(("127.0.0.1", 0), reuse_port=True)
        others = [socket.create_server(first.getsockname(), reuse_port=True) for _ in range(workers - 1)]
        self.sockets = [Open(sock, False, str(number)) for number, sock in enumerate((first, *others), 1)]
        notifier = Notifier({"NOTIFY_SOCKET": "/nonexistent", "WATCHDOG_USEC": "20000000"}, os.getpid())
        monkeypatch.setattr(notifier, "tell", lambda **values: self.told.append(values))
        duty = Duty(config, Path("tarry.toml"), False, Log("log", "json"), alive_every=10.0)
        self.one = Supervisor(
            duty,
            self.sockets,
            workers,
            notifier=notifier,
            on_ready=lambda where, notes: self.ready.append((list(map(str, where)), list(notes))),
            say=self.said.append,
            predecessor=predecessor,
        )
        self.one._signals = Signals(signal.SIGTERM, signal.SIGCHLD).__enter__()

    def _fork(self, signals: Signals, body: Callable[[Channel], int], *, let_go: Callable[[], None]) -> tuple[int, Channel]:
        if not self.forks:
            raise BlockingIOError(errno.EAGAIN, "no more processes")
        ours, theirs = make_pair()
        self.children.append(Child(5000 + len(self.children), theirs))
        return self.children[-1].pid, ours

    def _waitpid(self, pid: int, options: int) -> tuple[int, int]:
        for child in self.children:
            if child.status is not None:
                status, child.status = child.status, None
                child.channel.close()
                return child.pid, status
        return 0, 0

    def turn(self, *signals: str) -> None:
        """Let the supervisor turn once, with these signals."""
        for name in signals:
            self.one._signalled(name)
        for process in list(self.one._processes.values()):
            self.one._hear(process)
        self.one._look_at_the_clock()
        self.one._begin_due()
        self.one._flush()

    def up(self) -> list[Child]:
        """Begin, and have all workers serve; return them."""
        self.turn()
        workers = list(self.children)
        for child in workers:
            child.ready("a note")
        self.turn()
        return workers

    def ends(self, child: Child, *, status: int = 0, by: int = 0) -> None:
        """A worker ends, by itself or by a signal."""
        child.status = status << 8 | by
        self.turn("SIGCHLD")

    def close(self) -> None:
        self.one._signals.__exit__(None, None, None)
        for process in self.one._processes.values():
            process.channel.close()
        for child in self.children:
            child.channel.close()
        for one in self.sockets:
            one.sock.close()
        os.close(self.one._census)


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    with_control = '[control]\nsocket = ""\n'
    made = Stage(monkeypatch, with_control)
    yield made
    made.close()


def told(what: str) -> list[tuple[int, str]]:
    return [(one["number"], one["why"]) for one in records("worker") if one["what"] == what]


def adopts(child: Child) -> list[Adopt | Release]:
    """Return whose clients a worker is to take, and whose no longer. The sockets come with it."""
    orders = [order for order in child.orders() if isinstance(order, Adopt | Release)]
    told = [order.sockets for order in orders if isinstance(order, Adopt)]
    came = child.channel.take_sockets(99)
    assert len(came) == sum(map(len, told))
    for one in came:
        one.close()
    return orders


def test_all_workers_serve(stage: Stage) -> None:
    """Then the operator and systemd are told, once, with every note once."""
    stage.turn()
    first, second = stage.children
    first.ready("a note", "another")
    stage.turn()
    assert ([], []) == (stage.ready, [one for one in stage.told if "READY" in one])
    second.ready("a note")
    stage.turn()
    assert [(["127.0.0.1:25"], ["a note", "another"])] == stage.ready
    assert [{"READY": 1, "STATUS": "2 workers listen on 127.0.0.1:25"}] == [one for one in stage.told if "READY" in one]
    assert [(1, ""), (2, "")] == told("began")


def test_a_worker_that_dies_is_replaced_with_its_sockets(stage: Stage) -> None:
    """At once, if it has lived; another one takes its clients meanwhile."""
    first, second = stage.up()
    stage.clock += 60
    stage.ends(first, by=signal.SIGKILL)
    assert 3 == len(stage.children)
    assert [(1, "killed by SIGKILL; another one begins")] == told("ended")
    assert [(1, "")] == told("replaced")
    assert [Adopt(1, ((False, "1"),))] == adopts(second)
    assert 1 == len(stage.ready)


def test_one_that_dies_again_and_again_is_replaced_later_each_time(stage: Stage) -> None:
    """And why is told each time."""
    child = stage.up()[0]
    for pause in (0.1, 0.2, 0.4):
        stage.ends(child, status=70)
        assert told("ended")[-1] == (1, f"exit status 70; another one begins in {pause:g} s")
        count = len(stage.children)
        stage.clock += pause - 0.01
        stage.turn()
        assert count == len(stage.children)
        assert 0 < (stage.one._patience() or 0) < 100
        stage.clock += 0.02
        stage.turn()
        child = stage.children[-1]
        assert count + 1 == len(stage.children)


def _numbers(child: Child) -> list[int]:
    return [order.number for order in adopts(child)]


def test_the_clients_of_one_that_is_away_are_taken_by_another(stage: Stage) -> None:
    """Until it serves again; and by the next one, when that one goes too."""
    first, second = stage.up()
    stage.clock += 60
    stage.ends(first, by=9)
    assert [Adopt(1, ((False, "1"),))] == adopts(second)
    stage.ends(stage.children[2], status=1)  # it did not come up
    assert [] == adopts(second)
    stage.clock += 1.0
    stage.turn()
    stage.children[-1].ready()
    stage.turn()
    assert [Release(1)] == adopts(second)
    stage.ends(second, by=9)
    assert [Adopt(2, ((False, "2"),))] == adopts(stage.children[3])
    assert 5 == len(stage.children)


def test_the_clients_of_several_are_shared_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of three workers two go: the last has all, until the first of them is back and takes its part."""
    stage = Stage(monkeypatch, '[control]\nsocket = ""\n', workers=3)
    first, second, third = stage.up()
    stage.clock += 60
    stage.ends(first, by=9)
    assert ([1], []) == (_numbers(second), _numbers(third))
    stage.ends(second, by=9)
    assert [1, 2] == _numbers(third)
    for child in stage.children[3:]:
        child.ready()
    stage.turn()
    assert ([Release(1), Release(2)], []) == (adopts(third), adopts(stage.children[3]))
    stage.close()


def test_who_goes_with_all_the_others_leaves_nobody_anything(stage: Stage) -> None:
    """While it ends, and before all have served, nobody takes the clients of others."""
    first, second = stage.up()
    stage.turn("SIGTERM")
    stage.ends(first)
    assert [Drain("SIGTERM")] == second.orders()


def test_without_processes_it_tries_again(stage: Stage) -> None:
    """The operator is told."""
    first, _ = stage.up()
    stage.clock += 60
    stage.forks = False
    stage.ends(first, by=signal.SIGSEGV)
    assert ["worker 1 cannot be started: [Errno 11] no more processes"] == stage.said
    stage.forks = True
    stage.clock += 1
    stage.turn()
    assert 3 == len(stage.children)


@pytest.mark.parametrize("reports", [True, False])
def test_a_first_start_that_fails(stage: Stage, reports: bool) -> None:
    """All end, and it is raised as the worker had it; one that says nothing is told by its status."""
    stage.turn()
    first, second = stage.children
    if reports:
        first.channel.send(Failed(errno.EACCES, "denied", "/mail"))
        stage.turn()
    stage.ends(first, status=1)
    assert [Abort()] == second.orders()[-1:]
    stage.ends(second)
    assert not stage.one._processes
    assert ("/mail" if reports else None) == (stage.one._fault and stage.one._fault.filename)
    assert "worker 1 ended before it was ready: exit status 1" == str(stage.one._fault) or reports


def test_sigterm_drains_and_again_ends_at_once(stage: Stage) -> None:
    """Its own sockets are closed first, and who does not end in time is killed."""
    stage.one._notifier.watchdog = 0.0
    children = stage.up()
    stage.turn("SIGTERM")
    assert [-1, -1] == [one.sock.fileno() for one in stage.sockets]
    assert [[Drain("SIGTERM")]] * 2 == [child.orders() for child in children]
    assert {"STOPPING": 1, "STATUS": "lets transactions finish"} in stage.told
    stage.turn("SIGINT")
    assert [[Abort()]] * 2 == [child.orders() for child in children]
    stage.turn("SIGHUP", "SIGUSR2")
    assert [[]] * 2 == [child.orders() for child in children]
    stage.ends(children[0])
    assert [(1, "")] == told("ended")
    stage.clock += 1000
    stage.turn()
    assert [(children[1].pid, signal.SIGKILL)] == stage.killed
    stage.ends(children[1], by=signal.SIGKILL)
    assert (2, "killed by SIGKILL") == told("ended")[-1]
    assert 2 == len(stage.children)


def test_a_reload_goes_to_each_worker_as_text(stage: Stage) -> None:
    """Replacements have it too."""
    first, second = stage.up()
    Path("tarry.toml").write_text('[hold]\nwait = "7s"\n')
    stage.turn("SIGHUP")
    assert [[Reload('[hold]\nwait = "7s"\n')]] * 2 == [first.orders(), second.orders()]
    assert [True, True] == ["RELOADING" in stage.told[-2], {"READY": 1} == stage.told[-1]]
    assert 7.0 == stage.one._duty.config.hold.wait.low


def test_a_bad_reload_reaches_nobody(stage: Stage) -> None:
    """It is told, on standard error and in the record."""
    first, second = stage.up()
    Path("tarry.toml").write_text("[hold]\nwiat = 1\n")
    stage.turn("SIGHUP")
    assert ([], []) == (first.orders(), second.orders())
    assert "the configuration stays as it was" == stage.said[-1]
    assert [(False, True)] == [(one["ok"], "wiat" in one["why"]) for one in records("config")]


class New:
    """A new version, as far as `takeover` tells."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, fault: OSError | None = None) -> None:
        self.began: list[dict[str, Any]] = []
        self.ended = 0
        self.hears, self.says = os.pipe()
        self.successor = takeover.Successor(7777, self.hears, 3)
        self._fault = fault
        monkeypatch.setattr(takeover, "begin", self._begin)
        monkeypatch.setattr(takeover.Successor, "end", lambda successor: self._end())

    def _begin(self, sockets: list[Open], environ: dict[str, str], **more: Any) -> takeover.Successor:
        if self._fault is not None:
            raise self._fault
        self.began.append({"sockets": list(sockets), "socket": environ["NOTIFY_SOCKET"], **more})
        return self.successor

    def _end(self) -> None:
        self.ended += 1


def test_an_upgrade(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """The new one has all sockets; when it serves the workers retire, and SIGTERM drains them then."""
    new = New(monkeypatch)
    stage.turn()
    stage.turn("SIGUSR2")
    assert [] == new.began
    children = stage.up()
    assert [{"sockets": stage.sockets, "socket": "/nonexistent", "turns": None, "incarnation": 2}] == new.began
    stage.turn("SIGUSR2")
    assert 1 == len(new.began)
    os.write(new.says, b"ready")
    stage.one._hear_successor(new.successor)
    assert [[Retire("upgrade")]] * 2 == [child.orders() for child in children]
    assert "upgrade: the new version serves (process 7777); this one ends when its clients have" == stage.said[-1]
    assert [] == [one for one in stage.told if "STOPPING" in one]
    stage.turn("SIGTERM")
    assert [[Drain("SIGTERM")]] * 2 == [child.orders() for child in children]
    os.close(new.says)


def test_a_new_version_that_ends(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """This one goes on, and may try again."""
    new = New(monkeypatch)
    children = stage.up()
    stage.turn("SIGUSR2")
    os.close(new.says)
    stage.one._hear_successor(new.successor)
    assert "upgrade: the new version did not start: its exit status is 3" == stage.said[-1]
    assert [[], []] == [child.orders() for child in children]
    assert 0 == stage.one._stage


@pytest.mark.parametrize("what", ["late", "stopped"])
def test_a_new_version_that_says_nothing(stage: Stage, monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    """It is ended when its time is up, or when this one ends."""
    new = New(monkeypatch)
    stage.up()
    stage.turn("SIGUSR2")
    if what == "late":
        stage.clock += takeover.PATIENCE + 1
        stage.turn()
        assert "it did not say within 60 s that it serves" in stage.said[-1]
    else:
        stage.turn("SIGTERM")
    assert (1, None) == (new.ended, stage.one._successor)
    os.close(new.says)


def test_a_new_version_that_cannot_be_started(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """The operator is told why."""
    New(monkeypatch, OSError("no shell"))
    stage.up()
    stage.turn("SIGUSR2")
    assert "upgrade: the new version cannot be started: no shell; this one goes on" == stage.said[-1]


def test_the_successor_of_another_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """It tells systemd that it is the main process now, and its predecessor that it serves; its numbers go on from there. The hub
    lets that one give its socket up."""
    hears, says = os.pipe()
    stage = Stage(monkeypatch, '[control]\nsocket = "c.sock"\n', predecessor=Predecessor(says, None, 300))
    stage.up()
    assert b"ready" == os.read(hears, 100)
    assert os.getpid() == next(one for one in stage.told if "MAINPID" in one)["MAINPID"]
    assert 302 == stage.one._incarnation
    assert [[Settle()]] * 2 == [child.orders() for child in stage.children]
    assert b"" == os.read(hears, 100)
    stage.clock += supervisor.HUB_LATER
    stage.turn()
    assert 3 == len(stage.children)
    os.close(hears)
    stage.close()


def test_a_successor_that_fails_lets_its_clients_finish(monkeypatch: pytest.MonkeyPatch) -> None:
    """One worker of it cannot start; another one has clients already. The old version hears of it when this one ends."""
    hears, says = os.pipe()
    stage = Stage(monkeypatch, '[control]\nsocket = ""\n', predecessor=Predecessor(says, None, 300))
    stage.turn()
    first, second = stage.children
    first.ready()
    stage.ends(second, status=1)
    assert [Retire("the new version did not come up")] == first.orders()
    stage.clock += 31
    stage.turn()
    assert [] == stage.killed
    stage.clock += supervisor.GRACE
    stage.turn()
    assert [(first.pid, signal.SIGKILL)] == stage.killed
    os.close(hears)
    os.close(says)
    stage.close()


def test_a_worker_that_stands_still_is_killed(stage: Stage) -> None:
    """The watchdog of systemd is fed all the same: it would restart all of tarry."""
    first, second = stage.up()
    stage.clock += 15
    second.channel.send(Alive())
    stage.turn()
    stage.clock += 10
    stage.turn()
    assert [(first.pid, signal.SIGKILL)] == stage.killed
    stage.ends(first, by=signal.SIGKILL)
    assert (1, True) == (told("ended")[-1][0], told("ended")[-1][1].startswith("its event loop stood still"))
    assert 2 <= len([one for one in stage.told if "WATCHDOG" in one])


def test_without_a_watchdog_one_that_stands_still_is_killed_too(stage: Stage) -> None:
    """It would have its share of the clients and greet none of them; nobody else looks, in a container."""
    stage.one._notifier.watchdog = 0.0
    first, second = stage.up()
    for _ in range(3):
        stage.clock += 10
        second.channel.send(Alive())
        stage.turn()
    assert ([(first.pid, signal.SIGKILL)], []) == (stage.killed, [one for one in stage.told if "WATCHDOG" in one])
    assert 0 < (stage.one._patience() or 0) <= 10_001


def test_who_slept_with_all_the_others_is_not_killed(stage: Stage) -> None:
    """A cgroup that was frozen, Ctrl-Z and fg: what the workers say comes a moment later, and nobody is cut off."""
    stage.up()
    stage.turn()
    stage.clock += 600
    stage.turn()
    assert [] == stage.killed


def test_a_replacement_that_does_not_come_up_is_killed(stage: Stage) -> None:
    """Its clients wait in the backlog for one that does."""
    first, second = stage.up()
    stage.turn()
    stage.clock += 6
    stage.ends(first, by=signal.SIGSEGV)
    for _ in range(4):
        stage.clock += 7
        second.channel.send(Alive())
        stage.turn()
    assert (stage.children[2].pid, signal.SIGKILL) in stage.killed
    stage.ends(stage.children[2], by=signal.SIGKILL)
    assert told("ended")[-1][1].startswith("it did not come up")


def test_workers_are_asked_by_names_that_no_other_tarry_has(monkeypatch: pytest.MonkeyPatch) -> None:
    """A new version that fails does not take the sockets of the running one with it; a reload does not move them; and what a
    worker leaves behind that was killed is removed."""
    shares: list[str] = []
    asked: list[str] = []
    stage = Stage(monkeypatch, '[control]\nsocket = "c.sock"\n')
    played = stage._fork

    def fork(signals: Signals, body: Callable[[Channel], int], *, let_go: Callable[[], None]) -> tuple[int, Channel]:
        body(None)  # type: ignore[arg-type]
        return played(signals, body, let_go=let_go)

    monkeypatch.setattr(supervisor, "fork", fork)
    monkeypatch.setattr(supervisor, "work", lambda duty, channel: shares.append(duty.share.control) or 0)
    monkeypatch.setattr(supervisor, "speak", lambda config, path, workers, channel: asked.append(path) or 0)
    first, _ = stage.up()
    assert ([f"c.sock.{os.getpid()}.1", f"c.sock.{os.getpid()}.2"], [f"c.sock.{os.getpid()}"]) == (shares, asked)
    Path(shares[0]).touch()
    Path("tarry.toml").write_text('[control]\nsocket = "d.sock"\n')
    stage.turn("SIGHUP")
    stage.clock += 60
    stage.ends(first, by=signal.SIGKILL)
    assert (3, shares[0], False) == (len(shares), shares[2], Path(shares[0]).exists())
    stage.close()


def test_the_hub_comes_when_workers_serve(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is replaced as they are, and is the first to go: its sockets are the new version's."""
    stage = Stage(monkeypatch, '[control]\nsocket = "c.sock"\n')
    stage.up()
    hub = stage.children[2]
    stage.turn("SIGHUP")
    assert [] == hub.orders()
    stage.ends(hub, status=1)
    assert "the hub of control.socket and web.listen ended: exit status 1; another one begins in 0.1 s" == stage.said[-1]
    stage.clock += 0.2
    stage.turn()
    assert 4 == len(stage.children)
    stage.turn("SIGTERM")
    assert [(stage.children[3].pid, signal.SIGTERM)] == stage.killed
    stage.close()


@pytest.mark.parametrize(
    ("addresses", "workers", "expected"),
    [(["a", "a", "b", "b"], 2, ["ab", "ab"]), (["a", "b"], 2, ["ab", "ab"]), (["a", "a", "a"], 2, ["aa", "a"])],
)
def test_each_worker_has_a_socket_of_every_address(addresses: list[str], workers: int, expected: list[str]) -> None:
    """Its own where there are enough."""

    class Sock:
        family = socket.AF_INET

        def __init__(self, name: str) -> None:
            self.name = name

        def getsockname(self) -> str:
            return self.name

    sockets: list[Any] = [Open(Sock(name), False) for name in addresses]  # type: ignore[arg-type]
    assert expected == ["".join(one.sock.name for one in each) for each in supervisor._dealt(sockets, workers)]
