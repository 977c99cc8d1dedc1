"""daemon - wiring: configuration, sockets, sinks and signals become a running front door.

What      `serve` starts a front door in a running event loop.
Promises  Nothing is decided here. The descriptor limit is raised to its hard limit, the number of clients is fitted to
          it, and both are told. SIGTERM drains: no new clients, 421 to those who are held or idle, transactions finish
          within limits.drain; a second one ends at once. Who retires because another has taken its place lets its clients
          end by themselves for that long, the held ones too, and drains what is left then. SIGHUP reads the configuration
          again and keeps the old one when the new one has errors.
          It is asked how it is over control.socket and web.listen; where these cannot be had that is told, and mail comes in.
Not here  Sockets (sockets), the MTA (handoffs), signals (signals), several processes (workers).
"""

from __future__ import annotations

import asyncio
import os
import random
import ssl
from collections.abc import Generator, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from tarry.clocks import SystemClock
from tarry.config.compile import door_rules, fingerprint, policy, relief
from tarry.config.lists import read_lists
from tarry.config.load import Loaded
from tarry.config.restart import waiting
from tarry.config.schema import Config
from tarry.control import states
from tarry.control.doors import Doors, Web
from tarry.control.server import Answer
from tarry.core.admission import Networks
from tarry.core.client import Endpoint
from tarry.core.facts import Resolver
from tarry.counting import Counting
from tarry.handoffs import given_away_to, make_backend, tls_of
from tarry.listening import Listening
from tarry.lookups import Lookups, Succession
from tarry.marks import Marks
from tarry.memory import Memory, Questions, open_memory
from tarry.net import inherited
from tarry.net.children import Children
from tarry.net.front import Front, Terms
from tarry.net.ids import SessionIds
from tarry.net.listener import listen
from tarry.record import schema
from tarry.record.tally import Tally
from tarry.share import Share
from tarry.sinks import Sink, open_sink
from tarry.sockets import Open, fit_descriptors, open_sockets
from tarry.version import VERSION

FLUSH_EVERY = 0.1
"""Seconds between writes of the event log: one write for all records of that time."""
LOOK_EVERY = 0.1
"""Seconds between two looks at who is still in, while it retires."""
FIRST_PROBE = 2.0
"""Seconds that the start waits for the MTA's first answer; it goes on asking afterwards."""


class Server:
    """A running front door. Use ``async with serve(config) as server`` or ``await serve(config)``.

    Files of networks have their names from *folder* on. *share* is what it has of the work where it is one of several workers.
    *sockets* are those that it listens on where they are open already. *incarnation* is above 0 for one that takes another's
    place, in whose log it goes on: see net/ids.
    """

    def __init__(
        self,
        config: Config,
        *,
        observe: bool = False,
        sink: Sink | None = None,
        share: Share | None = None,
        sockets: Sequence[Open] | None = None,
        folder: Path | None = None,
        incarnation: int = 0,
    ) -> None:
        self._config = config
        self._begun_with = (share.begun_with if share is not None else None) or config
        self._folder = folder or Path()
        self._observe = observe
        self._share = share
        self._sockets = share.sockets if share is not None else sockets
        self._incarnation = share.incarnation if share is not None else incarnation
        self._clock = SystemClock()
        self._sink = sink or open_sink(config.record.path, wall=self._clock.wall, style=config.record.style)
        self._listening = Listening(partial(self._on_stress, "descriptors"))
        self._children = Children()
        self._flush_timer: asyncio.TimerHandle | None = None
        self._asking: asyncio.Task[None] | None = None
        self._lookups: Lookups
        self._asked: Succession
        self._tls: ssl.SSLContext | None = None
        self._stopped = asyncio.Event()
        self._is_stopping = False
        self.sockets: tuple[Open, ...] = ()
        """On which it listens, or has listened; for who hands them over."""
        self._since = 0.0
        self._fingerprint = ""
        self._tally = Tally()
        self._stresses: dict[str, str] = {}
        self._memory: Memory | None = None
        self._marks: Marks
        self._doors: Doors | None = None
        self.notes: list[str] = []
        """What the operator should be told at start, in plain sentences."""

    @property
    def addresses(self) -> list[tuple[str, int]]:
        """Where it listens, as (host, port)."""
        return [(one.host, one.port) for one in self._listening.endpoints]

    @property
    def web_address(self) -> tuple[str, int] | None:
        """Where /metrics and /health are, as (host, port); None where they are nowhere."""
        return self._doors.web_address if self._doors is not None else None

    def state(self) -> states.State:
        """Tell how it is: what `tarry status` shows, and /metrics and /health are made of. A copy: it does not change."""
        backend = self._backend
        is_well = backend.is_answering
        return states.State(
            pid=os.getpid(),
            version=VERSION,
            since=self._since,
            config=self._fingerprint,
            worker=self._share.worker if self._share is not None else 0,
            listen=tuple(map(str, self._listening.endpoints)),
            max_clients=self._front.max_clients,
            held=self._front.held,
            in_session=self._front.in_session,
            draining=self._is_stopping,
            observes=self._observe,
            stress=tuple(states.Stress(what, why) for what, why in self._stresses.items()),
            mta=states.Mta(backend.connector.where, is_well, "" if is_well else backend.trouble),
            store=self._memory.state if self._memory is not None else None,
            lists=tuple(states.List(zone, not why, why) for zone, why in self._lookups.lists.items()),
            tally=Tally() + self._tally,
        )

    async def start(self) -> None:
        """Listen and serve. Raises OSError where an address, the Maildir or the certificate cannot be had."""
        loop = asyncio.get_running_loop()
        config = self._config
        max_clients, note = fit_descriptors(config.listen.max_clients)
        if note:
            self.notes.append(note)
        self._asked = Succession(loop)
        try:
            self._memory = open_memory(loop, self._clock, self._begun_with, self._asked, self._on_store)
        except ValueError as fault:
            self.notes.append(f"nothing is remembered: store.url: {fault}")
        if self._memory is not None:
            self._memory.change(config)
        terms, self._lookups = self._terms(config)
        self._tls = terms.tls
        self._sink.on_first = self._arm_flush
        trouble = self._sink.prepare()
        if trouble:
            self.notes.append(
                f"the records cannot be written to {config.record.path}: {trouble}; they are lost until that is mended"
            )
        self._sink.start()
        draw = random.Random().random
        ids = SessionIds(self._clock.wall(), self._incarnation)
        self._counting = Counting(self._clock, self._begun_with, self._share)
        self._front = Front(
            loop,
            self._clock,
            terms=terms,
            random=draw,
            write=self._sink.put,
            children=self._children,
            ids=ids,
            census=self._counting.census,
            elsewhere=self._counting.elsewhere,
            on_load=partial(self._on_stress, "load"),
            on_close=self._on_close,
        )
        lists = read_lists(config.exempt.files, config.deny.files, self._folder)
        self._marks = Marks(loop, self._clock, lists, self._front.mark, self._on_lists)
        self._marks.start()
        self._counting.start(self._front.heavy)
        self._asking = loop.create_task(terms.backend.keep_asking())
        self._asked.succeed(self._lookups)
        sockets: list[Open] = []
        try:
            if self._sockets is None:
                self._sockets = open_sockets(config.listen, inherited.take(os.environ, os.getpid()))
            sockets += self._sockets
            self._backend = terms.backend
            if self._memory is not None:
                await self._memory.start(self._marks.said)
            await terms.backend.wait_for_answer(FIRST_PROBE)
            for one in sockets:
                listen(one.sock)
        except BaseException:  # an address that cannot be had; cancelled
            for one in sockets:
                one.sock.close()
            self._front.drain(lambda: None)
            self._front.close()
            await self._let_go()
            raise
        if terms.backend.capabilities is None:
            where = terms.backend.connector.where
            self.notes.append(f"the MTA at {where} does not answer yet ({terms.backend.trouble}); until it does clients get 421")
        self.sockets = tuple(sockets)
        self._listening.begin(sockets, self._front.take)
        where_all = tuple(map(str, self._listening.endpoints))
        self._fingerprint = terms.fingerprint
        self._since = self._clock.wall()
        await self._open_doors()
        worker = self._share.worker if self._share else 0
        self._record(schema.Start(VERSION, where_all, os.getpid(), terms.fingerprint, max_clients, worker))

    async def stop(self, why: str = "stop") -> None:
        """Drain and end, within ``limits.drain`` seconds; at once where it is cancelled. Who calls it again waits for the first."""
        if self._is_stopping:
            await self._stopped.wait()
            return
        self._is_stopping = True
        loop = asyncio.get_running_loop()
        self._listening.cease(takes_rest=True)
        empty = asyncio.Event()
        sessions = self._front.held + self._front.in_session
        self._front.drain(empty.set)
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._config.limits.drain):
                    await empty.wait()
            if not empty.is_set():
                self.abort()
                async with asyncio.timeout(5):
                    await empty.wait()
            # One turn of the loop for the transports that are closing, and for the lingerers that have had their last word.
            await asyncio.sleep(0)
        finally:
            self.abort()
            self._front.close()
            self._children.close()
            self._record(schema.Stop(why, sessions))
            if self._doors is not None:
                await self._doors.close()
            await self._let_go()
            loop.call_soon(self._stopped.set)

    async def retire(self, why: str) -> None:
        """Another serves in its place: take no more clients, let those who are in end by themselves, and `stop`.

        Its sockets are closed as they are: whoever has them too finds in their backlog those who were not accepted. Who is still
        in after ``limits.drain`` meets `stop` as it always is; and it may be called at any time, to end it earlier.
        """
        self._listening.cease()
        if self._doors is not None:
            await self._doors.close()
        with suppress(TimeoutError):
            async with asyncio.timeout(self._config.limits.drain):
                while not self._is_stopping and self._front.all_in:
                    await asyncio.sleep(LOOK_EVERY)
        await self.stop(why)

    def adopt(self, worker: int, sockets: Sequence[Open]) -> None:
        """Take the clients of another worker too, which is away, until `release`."""
        self._listening.begin(sockets, self._front.take, worker)

    def release(self, worker: int) -> None:
        """That worker serves again: who is in its backlog is its own."""
        self._listening.leave(worker)

    def abort(self) -> None:
        """End every session at once."""
        self._front.abort()

    def reload(self, loaded: Loaded) -> bool:
        """Take a new configuration for the clients that come from now on; False, and the old one stays, where it has errors.

        Sockets and the log stay as they are: which of ``listen.smtp``, ``record.path`` and their like wait for a restart is told in
        the record.
        """
        new = fingerprint(loaded.config)
        if loaded.errors:
            self._record(schema.Config(new, ok=False, why="; ".join(str(problem) for problem in loaded.errors)[:1000]))
            return False
        try:
            terms, lookups = self._terms(loaded.config)
        except OSError as fault:  # the Maildir that it names cannot be made, or the certificate not be used
            self._record(schema.Config(new, ok=False, why=str(fault)))
            return False
        except Exception as fault:  # a fault of tarry's own, or of a check's: who is in, and who comes, is served as before
            self._record(schema.Config(new, ok=False, why=f"it cannot be taken: {fault!r}"[:1000]))
            return False
        self._tls, self._lookups = terms.tls, lookups
        self._asked.succeed(lookups)
        self._marks.change(loaded.lists)
        if self._memory is not None:
            self._memory.change(loaded.config)
        unchanged = waiting(self._begun_with, loaded.config)
        self._config = loaded.config
        if self._asking is not None:
            self._asking.cancel()
        self._asking = asyncio.get_running_loop().create_task(terms.backend.keep_asking())
        terms.backend.capabilities = self._backend.capabilities
        self._backend = terms.backend
        self._fingerprint = terms.fingerprint
        self._front.change(terms)
        self._sink.reopen()
        self._record(schema.Config(new, why=f"{' and '.join(unchanged)} as before until a restart" if unchanged else ""))
        return True

    async def wait(self) -> None:
        """Return when the server has stopped."""
        await self._stopped.wait()

    async def __aenter__(self) -> Server:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    def __await__(self) -> Generator[Any, None, None]:
        return self._serve().__await__()

    async def _serve(self) -> None:
        await self.start()
        try:
            await self.wait()
        except asyncio.CancelledError:
            await self.stop("cancelled")
            raise

    def _terms(self, config: Config) -> tuple[Terms, Lookups]:
        """Return what clients are to meet, and who looks up what is asked about them. Nothing is changed by it."""
        backend = make_backend(config, on_health=self._on_health, children=self._children)
        tls = tls_of(config) or self._tls  # a reload may give listen.smtps up, but from a restart on: they keep the last one
        rules = policy(config, observe=self._observe, remembers=self._memory is not None)
        lookups = Lookups(asyncio.get_running_loop(), self._clock, config, rules, self._on_list)
        resolver: Resolver | None = self._asked if lookups.resolver is not None else None
        terms = Terms(
            policy=rules,
            rules=replace(door_rules(config), max_clients=fit_descriptors(config.listen.max_clients)[0]),
            proxy_from=Networks.of(config.listen.proxy_from),
            backend=backend,
            fingerprint=fingerprint(config),
            header_limit=config.limits.proxy,
            give=given_away_to(config),
            tls=tls,
            ends_tls=config.tls.mode == "terminate",
            resolver=Questions(self._asked, self._memory) if self._memory is not None else resolver,
            relief=relief(config),
        )
        return terms, lookups

    async def _open_doors(self) -> None:
        share, web = self._share, self._config.web.listen
        if share is not None:
            self._doors = Doors(self._tell, path=share.control, version=VERSION, replaces=True)
        else:
            path = self._config.control.socket
            self._doors = Doors(self._tell, path=path, version=VERSION, endpoint=web, open_web=_open_web)
        self.notes += await self._doors.open()

    async def _tell(self) -> states.State:
        return self.state()

    def _on_close(self, close: schema.Close, id: str, at: float) -> None:
        self._tally.add(close)
        if self._memory is not None:
            self._memory.remember(close, id, at)

    def _on_store(self, good: bool, why: str) -> None:
        self._record(schema.Stress("store", not good, why))

    def _on_lists(self, why: str) -> None:
        self._record(schema.Config(self._fingerprint, ok=False, why=why[:1000]))

    def _on_list(self, zone: str, good: bool, why: str) -> None:
        self._record(schema.Stress(f"list {zone}", not good, why))

    def _on_health(self, good: bool, why: str) -> None:
        self._record(schema.Stress("mta", not good, why))

    def _on_stress(self, what: str, on: bool, why: str) -> None:
        self._stresses.pop(what, None)
        if on:
            self._stresses[what] = why
        self._record(schema.Stress(what, on, why))
        if on and what == "descriptors":
            self._front.relieve()

    def _record(self, event: schema.ProcessEvent) -> None:
        self._sink.put(schema.write_process_line(event, t=self._clock.wall()))

    def _arm_flush(self) -> None:
        if self._flush_timer is None:
            self._flush_timer = asyncio.get_running_loop().call_later(FLUSH_EVERY, self._flush)

    def _flush(self) -> None:
        self._flush_timer = None
        self._sink.flush()

    async def _let_go(self) -> None:
        await self._counting.close()
        self._marks.close()
        self._asked.close()
        if self._asking is not None:
            self._asking.cancel()
        if self._memory is not None:
            await self._memory.close()
        if self._flush_timer is not None:
            self._flush_timer.cancel()
            self._flush_timer = None
        await asyncio.get_running_loop().run_in_executor(None, self._sink.close, 5.0)


def _open_web(endpoint: Endpoint, loop: asyncio.AbstractEventLoop, answer: Answer) -> tuple[Web | None, str]:
    from tarry.web.server import open_web  # prometheus_client takes 50 ms, and most want none

    return open_web(endpoint, loop, answer)


def serve(config: Config | None = None, *, observe: bool = False, folder: Path | None = None) -> Server:
    """Return a front door for this configuration (None for the defaults), to be awaited or entered.

    ``await serve(config)`` serves until it is cancelled; ``async with serve(config) as server`` serves for the length of
    the block and drains at its end. *folder* is where exempt.files and deny.files are named from. Raises OSError where an
    address cannot be had.
    """
    return Server(config or Config(), observe=observe, folder=folder)
