"""lookups - wiring: who looks things up for one configuration, and which DNS lists it keeps an eye on.

What      `Lookups` joins the desk that asks name servers and the self-tests of the lists that the checks ask. Where no check has a
          question there is no resolver, no channel and no test: a server without lists asks nobody anything.
          `Succession` is whom clients ask: a session keeps its configuration through a reload, and not the name servers of then.
Promises  A list that goes off, or on again, is told to ``on_change`` once. What was asked before a reload is answered all the same.
          After `close` nobody is called back: a session that still waits goes on when its time for answers is over.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable
from typing import TYPE_CHECKING

from tarry.checks.karma import Karma
from tarry.config.schema import Config
from tarry.core.check import About
from tarry.core.clock import Clock
from tarry.core.facts import Answer, Question, Resolver, State
from tarry.core.finding import first_questions, lists_of
from tarry.core.policy import Policy
from tarry.dns.desk import Desk, Settings
from tarry.dns.zones import Zone, Zones

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop, TimerHandle

_MOMENT = 0.1
"""Seconds beyond dns.timeout in which the last answers have come."""


class Lookups:
    """The lookups of one configuration. ``on_change``: a list's name, whether it is asked now, and why it is not."""

    def __init__(
        self,
        loop: AbstractEventLoop,
        clock: Clock,
        config: Config,
        policy: Policy,
        on_change: Callable[[str, bool, str], None],
    ) -> None:
        self._loop = loop
        self._timeout = config.dns.timeout
        self._ending: TimerHandle | None = None
        self.is_over = False
        self._desk: Desk | None = None
        self._zones: Zones | None = None
        self._names: tuple[str, ...] = ()
        if any(not isinstance(one.check, Karma) or one.check.by_domain for one in policy.asking):
            self._desk = Desk(loop, clock, settings(config))
            zones = [Zone(name, is_of_domains) for name, is_of_domains in lists_of(policy.asking)]
            self._names = tuple(zone.name for zone in zones)
            self._zones = Zones(loop, self._desk, zones, config.dns.self_test, on_change)

    @property
    def resolver(self) -> Resolver | None:
        """Who is to be asked; None where no check asks anything."""
        return self._desk

    @property
    def lists(self) -> dict[str, str]:
        """The DNS lists, and why each is not asked now; "" for one that is."""
        return dict.fromkeys(self._names, "") | (self._zones.off if self._zones is not None else {})

    @property
    def is_tested(self) -> bool:
        """True when each list has had its first test, whatever came of it."""
        return self._zones is None or self._zones.is_tested

    def start(self) -> None:
        """Begin to test the lists."""
        if self._zones is not None:
            self._zones.start()

    def retire(self) -> None:
        """Test no list any more, and end when the last of what was asked has had its time."""
        if self._zones is not None:
            self._zones.close()
        if self._ending is None:
            self._ending = self._loop.call_later(self._timeout + _MOMENT, self.close)

    def close(self) -> None:
        """End."""
        self.is_over = True
        if self._ending is not None:
            self._ending.cancel()
        if self._zones is not None:
            self._zones.close()
        if self._desk is not None:
            self._desk.close()


class Succession:
    """The lookups of one configuration after the other. A question goes to those of now, and is answered by them to the end."""

    def __init__(self, loop: AbstractEventLoop) -> None:
        self._loop = loop
        self._now: Lookups | None = None
        self._former: list[Lookups] = []

    def succeed(self, lookups: Lookups) -> None:
        """Ask these from now on, and test their lists."""
        self._former = [one for one in self._former if not one.is_over]
        if self._now is not None:
            self._now.retire()
            self._former.append(self._now)
        self._now = lookups
        lookups.start()

    def ask(self, question: Question, on_answer: Callable[[Answer], None]) -> object:
        """Have *on_answer* called with the answer, from the loop."""
        resolver = self._now.resolver if self._now is not None else None
        if resolver is not None:
            return resolver.ask(question, on_answer)
        return self._loop.call_soon(on_answer, Answer(question, State.UNKNOWN, why="there is nobody to ask any more"))

    def close(self) -> None:
        """End."""
        for each in (*self._former, *((self._now,) if self._now is not None else ())):
            each.close()


class OneClient:
    """What is looked up about the one client of a process that has no event loop running; for `tarry inetd`.

    ``fd`` is readable when there is something to do. The lists are not tested: that would take longer than the client is held.
    """

    SLICE = 0.1
    """Seconds after which `take` is to be called again whatever ``fd`` says: deadlines of questions are kept to that."""

    def __init__(self, clock: Clock, config: Config, policy: Policy, client: str) -> None:
        selector = selectors.DefaultSelector()
        self.fd: int = selector.fileno()
        self._loop = asyncio.SelectorEventLoop(selector)
        self._desk = Desk(self._loop, clock, settings(config))
        self._answers: list[Answer] = []
        for question in first_questions(policy.asking, About(client)):
            self._desk.ask(question, self._answers.append)

    def take(self) -> list[Answer]:
        """Do what there is to do, and return what has been answered since the last time."""
        self._loop.call_soon(self._loop.stop)
        self._loop.run_forever()
        answers = self._answers[:]
        self._answers.clear()
        return answers

    def close(self) -> None:
        """End."""
        self._desk.close()
        self.take()
        self._loop.close()


def settings(config: Config) -> Settings:
    """Return how a configuration wants questions asked."""
    dns = config.dns
    return Settings(
        servers=tuple(str(one) for one in dns.servers),
        timeout=dns.timeout,
        max_queries=dns.max_queries,
        cache=dns.cache,
        min_ttl=dns.min_ttl,
        max_ttl=dns.max_ttl,
        self_test=dns.self_test,
    )
