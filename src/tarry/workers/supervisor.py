"""supervisor - the process that keeps the workers: it has their sockets, replaces those that die, and hands on what is asked.

What      One thread and poll(2): no event loop and no thread is there when a worker is forked, so that all it inherits is whole.
Promises  A worker that dies is replaced at once, and its replacement has the same sockets with all who wait in their backlogs.
          Until that one serves another worker takes its clients. One that dies soon after its start, again and again, is
          replaced later each time (plan.Backoff). A configuration with errors, or with a certificate that cannot be used,
          reaches no worker. A new version that does not come up changes nothing.
          It does not wait: a worker, a log or a systemd that stands still does not keep it from the others.
Records   `worker` records tell of every beginning and end, between those of the workers; it writes them itself.
"""

from __future__ import annotations

import gc
import os
import select
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

from tarry.config.compile import fingerprint
from tarry.core.client import Endpoint
from tarry.net import census
from tarry.net.notify import Notifier
from tarry.record import schema
from tarry.share import Share
from tarry.sockets import Open
from tarry.workers import takeover
from tarry.workers.channel import Abort, Channel, Drain, Failed, Ready, Reload, Retire, Settle
from tarry.workers.fork import ASKING, Signals, fork
from tarry.workers.hub import speak
from tarry.workers.keepers import Keepers
from tarry.workers.plan import Backoff, deal
from tarry.workers.rereading import reread
from tarry.workers.takeover import Predecessor, Successor
from tarry.workers.worker import Duty, work

GRACE = 12.0
"""Seconds that a worker has beyond limits.drain, before it is killed: it ends by itself after 10, with a log that takes nothing."""
NOT_STARTED_GRACE = 5.0
HUB_LATER = 0.5
"""Seconds that the hub waits for the socket and the port of its predecessor's, which knows now that they are to be given up."""

Say = Callable[[str], None]


@dataclass(slots=True)
class _Process:
    """A running worker, or with number 0 the hub."""

    pid: int
    number: int
    channel: Channel
    began_at: float
    heard_at: float
    why: str = ""
    is_ready: bool = False


@dataclass(slots=True)
class _Place:
    """What stays when a worker is replaced."""

    sockets: tuple[Open, ...]
    backoff: Backoff
    begins_at: float | None = 0.0
    has_served: bool = False


class Supervisor:
    """Keeps the workers of one front door. *duty* is what each begins with, but for its share; *say* is for the operator."""

    def __init__(
        self,
        duty: Duty,
        sockets: Sequence[Open],
        workers: int,
        *,
        notifier: Notifier,
        on_ready: Callable[[Sequence[Endpoint], Sequence[str]], None],
        say: Say,
        predecessor: Predecessor | None = None,
    ) -> None:
        self._duty = duty
        self._begun_with = duty.config
        self._sockets = list(sockets)
        self._workers = workers
        self._notifier = notifier
        self._on_ready = on_ready
        self._say = say
        self._predecessor = predecessor
        self._incarnation = predecessor.incarnation if predecessor is not None else 0
        self._census = census.make(workers)
        self._places = {number: _Place(mine, Backoff()) for number, mine in enumerate(_dealt(sockets, workers), 1)}
        self._keepers = Keepers({number: place.sockets for number, place in self._places.items()})
        control = duty.config.control.socket
        # With its own number in it: an old and a new version, and two that were told of one control.socket, have workers at once.
        self._control = f"{control}.{os.getpid()}" if control else ""
        self._has_hub = bool(control or duty.config.web.listen)
        if self._has_hub:
            self._places[0] = _Place((), Backoff())
        self._processes: dict[int, _Process] = {}
        self._successor: Successor | None = None
        self._successor_until = 0.0
        self._stage = 0
        self._is_up = False
        self._wants_upgrade = False
        self._fault: OSError | None = None
        self._kill_at: float | None = None
        self._feed_at = 0.0
        self._notes: dict[str, None] = {}
        self._sink = duty.log.open(waits=False)

    def run(self) -> int:
        """Serve until the workers have ended; return the exit status. Raises OSError where the first start fails."""
        with Signals(*ASKING, signal.SIGCHLD) as self._signals:
            gc.collect()
            gc.freeze()  # what is there stays, and its pages are shared for as long as nobody counts references in them
            while self._stage == 0 or self._processes:
                self._begin_due()
                self._flush()
                self._wait()
                self._look_at_the_clock()
        self._flush()
        self._sink.close(0.0)
        if self._fault is not None:
            raise self._fault
        return 0

    # What happens.

    def _wait(self) -> None:
        poll = select.poll()
        poll.register(self._signals.fileno(), select.POLLIN)
        by_fd: dict[int, _Process] = {}
        for process in self._processes.values():
            if not process.channel.has_ended:
                by_fd[process.channel.fileno()] = process
                poll.register(process.channel.fileno(), select.POLLIN | (select.POLLOUT if process.channel.is_behind else 0))
        if self._successor is not None:
            poll.register(self._successor.fd, select.POLLIN)
        ready = {fd for fd, _ in poll.poll(self._patience())}
        for name in self._signals.came():
            self._signalled(name)
        for fd in ready & by_fd.keys():
            by_fd[fd].channel.flush()
            self._hear(by_fd[fd])
        if self._successor is not None and self._successor.fd in ready:
            self._hear_successor(self._successor)

    def _signalled(self, name: str) -> None:
        match name:
            case "SIGCHLD":
                self._reap()
            case "SIGHUP":
                self._reload()
            case "SIGUSR2":
                self._upgrade()
            case _:
                self._drain(name)

    def _hear(self, process: _Process) -> None:
        for report in process.channel.reports():
            process.heard_at = time.monotonic()
            match report:
                case Ready(where=where, notes=notes):
                    process.is_ready = True
                    self._places[process.number].has_served = True
                    self._notes.update(dict.fromkeys(notes))
                    self._tell_if_up([Endpoint(*one) for one in where])
                    self._arrange_keepers()
                case Failed():
                    process.why = str(report.fault())
                    if not self._is_up:
                        self._give_up(report.fault())
                case _:
                    pass  # a sign of life

    def _tell_if_up(self, where: Sequence[Endpoint]) -> None:
        if self._is_up or self._stage or not all(place.has_served for number, place in self._places.items() if number):
            return
        self._is_up = True
        self._on_ready(where, list(self._notes))
        status = f"{self._workers} workers listen on {', '.join(map(str, where))}"
        if self._predecessor is None:
            self._notifier.tell(READY=1, STATUS=status)
        else:
            self._notifier.tell(MAINPID=os.getpid(), READY=1, STATUS=status)
            self._predecessor.tell_ready()
            self._predecessor = None
            for process in self._workers_now():
                process.channel.send(Settle())
            if self._has_hub:
                self._places[0].begins_at = time.monotonic() + HUB_LATER
        if self._wants_upgrade:
            self._upgrade()

    def _reap(self) -> None:
        while True:
            try:
                pid, wait_status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if not pid:
                return
            status = os.waitstatus_to_exitcode(wait_status)
            if self._successor is not None and pid == self._successor.pid:
                self._successor.status = status  # its pipe has ended as well, and that is waited for
            process = self._processes.pop(pid, None)
            if process is not None:
                self._hear(process)
                process.channel.close()
                self._ended(process, status)

    def _ended(self, process: _Process, status: int) -> None:
        number, place = process.number, self._places[process.number]
        if number:
            census.clear(self._census, number)
            with suppress(OSError):  # its own name went with it, unless it was killed
                Path(self._control_of(number)).unlink()
        how = process.why or (f"killed by {signal.Signals(-status).name}" if status < 0 else f"exit status {status}")
        pause = 0.0
        if not self._stage:
            now = time.monotonic()
            pause = place.backoff.after(now - process.began_at)
            place.begins_at = now + pause
            how += f"; another one begins in {pause:g} s" if pause else "; another one begins"
            if not number:
                self._say(f"the hub of control.socket and web.listen ended: {how}")
            elif not self._is_up:
                self._give_up(OSError(f"worker {number} ended before it was ready: {how.partition(';')[0]}"))
        if number:
            self._arrange_keepers()
            self._record(schema.Worker(number, "ended", process.pid, status, "" if self._stage and not status else how))

    def _arrange_keepers(self) -> None:
        if self._is_up and not self._stage:
            self._keepers.arrange({process.number: process.channel for process in self._workers_now() if process.is_ready})

    # What is done.

    def _begin_due(self) -> None:
        for number, place in self._places.items():
            if place.begins_at is None or self._stage or time.monotonic() < place.begins_at:
                continue
            if not number and not self._is_up:
                continue  # the hub asks workers that serve
            place.begins_at = None
            try:
                self._begin(number, place)
            except OSError as fault:  # EAGAIN, ENOMEM: no more processes for now
                place.begins_at = time.monotonic() + place.backoff.after(0.0)
                self._say(f"worker {number} cannot be started: {fault}")

    def _begin(self, number: int, place: _Place) -> None:
        self._flush()  # or the child would have the records too, and write them again
        if number:
            self._incarnation += 1
            share = Share(
                worker=number,
                sockets=place.sockets,
                incarnation=self._incarnation,
                census=self._census,
                takes_over=self._predecessor is not None,
                control=self._control_of(number),
                begun_with=self._begun_with,
            )
            duty = replace(self._duty, share=share)
            pid, channel = fork(self._signals, lambda theirs: work(duty, theirs), let_go=lambda: self._let_go(place.sockets))
        else:
            config = self._begun_with
            path = self._control
            pid, channel = fork(self._signals, lambda theirs: speak(config, path, self._workers, theirs), let_go=self._let_go)
        now = time.monotonic()
        self._processes[pid] = _Process(pid, number, channel, now, now)
        if number:
            self._record(schema.Worker(number, "replaced" if place.has_served else "began", pid))

    def _control_of(self, number: int) -> str:
        return f"{self._control}.{number}" if self._control else ""

    def _let_go(self, but: Sequence[Open] = ()) -> None:
        """In a child: close what belongs to the others, and to this process only."""
        for process in self._processes.values():
            process.channel.close()
        for one in self._sockets:
            if one not in but:
                one.sock.close()
        if self._successor is not None:
            self._successor.close()
        if self._predecessor is not None:
            os.close(self._predecessor.ready)  # its end says that this supervisor has ended
        self._sink.close(0.0)

    def _reload(self) -> None:
        if self._stage or self._duty.path is None:
            return
        self._notifier.tell_reloading()
        found = reread(self._duty.path)
        for problem in found.problems:
            self._say(problem)
        if found.why:
            self._say("the configuration stays as it was")
            self._record(schema.Config(fingerprint(found.config), ok=False, why=found.why))
        else:
            self._duty = replace(self._duty, config=found.config)
            self._sink.reopen()
            for process in self._workers_now():
                process.channel.send(Reload(found.text))
        self._notifier.tell(READY=1)

    def _drain(self, name: str) -> None:
        """SIGTERM, SIGINT: end as fast as transactions can be finished; at once when it comes again."""
        self._end_successor()
        if self._stage < 2:
            self._notifier.tell(STOPPING=1, STATUS="lets transactions finish")
            self._leave(2, self._duty.config.limits.drain)
            for process in self._workers_now():
                process.channel.send(Drain(name))
        else:
            self._abort()

    def _abort(self) -> None:
        self._leave(3, 0.0)
        for process in self._workers_now():
            process.channel.send(Abort())

    def _leave(self, stage: int, drain: float, grace: float = GRACE) -> None:
        """Take part no more: a socket closes when the last one that has it closes it, so this process is first."""
        self._stage = stage
        self._kill_at = time.monotonic() + drain + grace
        for one in self._sockets:
            one.sock.close()
        for process in self._processes.values():
            if not process.number:
                os.kill(process.pid, signal.SIGTERM)

    def _give_up(self, fault: OSError) -> None:
        self._fault = self._fault or fault
        if self._predecessor is None:
            self._abort()
            self._kill_at = time.monotonic() + NOT_STARTED_GRACE
            return
        # The old version goes on, with the same sockets: who is in here is served, and who waits is its own.
        self._leave(2, self._duty.config.limits.drain)
        for process in self._workers_now():
            process.channel.send(Retire("the new version did not come up"))

    def _upgrade(self) -> None:
        if self._stage or self._successor is not None:
            return
        self._wants_upgrade = not self._is_up
        if self._wants_upgrade:
            return  # when all workers serve
        self._say(f"upgrade: starts {takeover.spelled()}")
        try:
            environ = {**os.environ, **self._notifier.variables}
            turns, began = self._duty.log.turns, self._incarnation
            self._successor = takeover.begin(self._sockets, environ, turns=turns, incarnation=began)
        except OSError as fault:
            self._say(f"upgrade: the new version cannot be started: {fault}; this one goes on")
            return
        self._successor_until = time.monotonic() + takeover.PATIENCE

    def _hear_successor(self, successor: Successor) -> None:
        said = successor.has_said()
        self._successor = None
        successor.close()
        if said == "ready":
            self._say(f"upgrade: the new version serves (process {successor.pid}); this one ends when its clients have")
            self._leave(1, 2 * self._duty.config.limits.drain)
            for process in self._workers_now():
                process.channel.send(Retire("upgrade"))
        else:
            self._say(f"upgrade: the new version did not start: {successor.why()}")

    def _end_successor(self) -> None:
        if self._successor is not None:
            self._successor.end()
            self._successor.close()
            self._successor = None

    # Time.

    def _patience(self) -> float | None:
        """Return the milliseconds until something is due, None for never."""
        now = time.monotonic()
        due = [place.begins_at for number, place in self._places.items() if place.begins_at and (number or self._is_up)]
        if self._stage:
            due = []
        if self._kill_at is not None:
            due.append(self._kill_at)
        if self._successor is not None:
            due.append(self._successor_until)
        if self._duty.alive_every:
            due.append(self._feed_at)
        return max(0.0, min(due) - now) * 1000 + 1 if due else None

    def _look_at_the_clock(self) -> None:
        now = time.monotonic()
        if self._kill_at is not None and now >= self._kill_at:
            self._kill_at = None
            for process in self._processes.values():
                os.kill(process.pid, signal.SIGKILL)
        if self._successor is not None and now >= self._successor_until:
            self._end_successor()
            self._say(f"upgrade: the new version did not start: it did not say within {takeover.PATIENCE:g} s that it serves")
        if self._duty.alive_every and now >= self._feed_at:
            self._look_who_lives(now, has_slept=now - self._feed_at > self._duty.alive_every)
            self._feed_at = now + self._duty.alive_every

    def _look_who_lives(self, now: float, *, has_slept: bool) -> None:
        """Kill who stands still. *has_slept*: all did, this process too (a frozen cgroup, Ctrl-Z), and they begin to count anew."""
        if self._notifier.watchdog:
            self._notifier.tell(WATCHDOG=1)
        for process in self._workers_now():
            if has_slept:
                process.heard_at = now
            # The watchdog of systemd, handed on: it would restart all of tarry for one loop that stands still.
            elif (process.is_ready or self._is_up) and now - process.heard_at > 2 * self._duty.alive_every:
                process.why = "its event loop stood still" if process.is_ready else "it did not come up"
                os.kill(process.pid, signal.SIGKILL)

    def _workers_now(self) -> list[_Process]:
        return [process for process in self._processes.values() if process.number]

    def _record(self, event: schema.ProcessEvent) -> None:
        self._sink.put(schema.write_process_line(event, t=time.time()))

    def _flush(self) -> None:
        self._sink.flush()
        while self._sink.drain_once():
            pass


def _dealt(sockets: Sequence[Open], workers: int) -> list[tuple[Open, ...]]:
    """Return each worker's sockets: of every address one or more."""
    addresses: dict[object, list[Open]] = {}
    for one in sockets:
        addresses.setdefault((one.sock.family, one.sock.getsockname()), []).append(one)
    dealt = [deal(same, workers) for same in addresses.values()]
    return [tuple(chain.from_iterable(each[number] for each in dealt)) for number in range(workers)]
