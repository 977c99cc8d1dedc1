"""memory - wiring: what is remembered of clients is asked for while they are held, and what they did is remembered at their end.

What      `open_memory` makes the memory that store.url names. `Memory` answers the questions history and domain_history, and takes
          each closing line to the store. `Questions` is whom a client's questions go to: the memory for these two, the name
          servers for all others.
Promises  Nothing here waits, and nothing raises: the desk of the store (store/desk) answers within store.timeout whatever becomes
          of the store, and takes changes without blocking. An answer that could not be had is Unknown, and no opinion.
How       The domain of a client is the organisational domain of a name that leads back to its address and does not look like a
          customer's (checks/dynamic_name), whether of a line or of a rented server: who may send as a customer of a provider is
          not the provider.
"""

from __future__ import annotations

from asyncio import AbstractEventLoop
from collections.abc import Callable

from tarry.checks.dynamic_name import looks_rented
from tarry.config.compile import fading, karma_rules, remembered
from tarry.config.schema import Config
from tarry.control import states
from tarry.core.clock import Clock
from tarry.core.facts import Answer, Kind, Question, Resolver, State, names_of
from tarry.core.history import Entry, key_of, known
from tarry.core.karma import changes
from tarry.dns.domains import organizational_domain
from tarry.record.schema import Close
from tarry.store import Mark
from tarry.store.desk import Desk
from tarry.store.places import NONE, store_of


class Memory:
    """The memory of one process. *names* looks names up."""

    def __init__(self, loop: AbstractEventLoop, clock: Clock, config: Config, desk: Desk, names: Resolver) -> None:
        self._loop = loop
        self._clock = clock
        self._desk = desk
        self._names = names
        self._fading = fading(config)
        self.change(config)

    @property
    def state(self) -> states.Store:
        """How the store is."""
        one = self._desk.state
        return states.Store(one.url, one.ok, one.why, one.cached, one.waiting, one.lost)

    async def start(self, on_marks: Callable[[tuple[Mark, ...]], None]) -> None:
        """Open the store. *on_marks* is told what the operator said of clients by hand, now and whenever it changes."""
        self._desk.on_marks = on_marks
        await self._desk.start()

    async def close(self) -> None:
        """Write what is left, and end."""
        await self._desk.close()

    def change(self, config: Config) -> None:
        """Go by the rules of another configuration. How karma fades stays: the store has it from the start."""
        self._rules, self._remembered = karma_rules(config), remembered(config)

    def ask(self, question: Question, on_answer: Callable[[Answer], None]) -> None:
        """Answer a question about the history of a client, later."""
        try:
            key = key_of(question.name)
        except ValueError:  # a Unix socket: nobody is known by it
            self._loop.call_soon(on_answer, Answer(question, State.UNKNOWN, why="the client has no address"))
            return
        if question.kind is Kind.HISTORY:
            self._read(key, question, on_answer)
        else:
            self._names.ask(names_of(question.name), lambda named: self._of_domain(named, question, on_answer))

    def remember(self, close: Close, id: str, at: float) -> None:
        """A session has ended."""
        try:
            found = changes(close, id, at, self._rules, self._remembered)
        except ValueError:  # a Unix socket
            return
        if found:
            self._desk.add(found)

    def _of_domain(self, named: Answer, question: Question, on_answer: Callable[[Answer], None]) -> None:
        domain = domain_of(named, question.name)
        if domain:
            self._read(domain, question, on_answer, domain)
        elif named.state is State.UNKNOWN:
            on_answer(Answer(question, State.UNKNOWN, why=f"names: {named.why}", ms=named.ms))
        else:
            on_answer(Answer(question, State.NOTHING, ms=named.ms))

    def _read(self, key: str, question: Question, on_answer: Callable[[Answer], None], domain: str = "") -> None:
        asked_at = self._clock.monotonic()

        def told(entry: Entry | None, why: str) -> None:
            ms = (self._clock.monotonic() - asked_at) * 1000
            if entry is not None:
                told_of = known(entry, self._clock.wall(), self._fading)
                on_answer(Answer(question, State.FOUND, why=why, ms=ms, known=told_of, domain=domain))
            else:
                on_answer(Answer(question, State.UNKNOWN if why else State.NOTHING, why=why, ms=ms, domain=domain))

        self._desk.read(key, told)


class Questions:
    """Whom a client's questions go to."""

    def __init__(self, names: Resolver, memory: Memory) -> None:
        self._names = names
        self._memory = memory

    def ask(self, question: Question, on_answer: Callable[[Answer], None]) -> object:
        """Have *on_answer* called once, later."""
        whom: Resolver = self._memory if question.kind in (Kind.HISTORY, Kind.DOMAIN_HISTORY) else self._names
        return whom.ask(question, on_answer)


def domain_of(named: Answer, client: str) -> str:
    """Return the organisational domain that answers for a client, by the names of its address; "" where none does."""
    for name in named.values[: named.confirmed]:
        if not looks_rented(name, client):
            return organizational_domain(name)
    return ""


def open_memory(
    loop: AbstractEventLoop, clock: Clock, config: Config, names: Resolver, on_change: Callable[[bool, str], None]
) -> Memory | None:
    """Return the memory of a configuration, None where it wants none. *on_change* is told when the store goes and comes back.

    Raises ValueError, with a sentence, where there is no such store.
    """
    if config.store.url == NONE:
        return None
    desk = Desk(loop, clock, store_of(config), fading=fading(config), timeout=config.store.timeout, on_change=on_change)
    if config.karma.by_domain:
        # In another thread: to load the public suffix list takes 33 ms.
        loop.run_in_executor(None, organizational_domain, "mail.example.org")
    return Memory(loop, clock, config, desk, names)
