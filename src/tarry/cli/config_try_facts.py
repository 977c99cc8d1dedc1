"""config_try_facts - facts for `tarry config try`, looked up as the daemon looks them up.

What      `Facts` asks the questions of a rehearsal of the name servers that the configuration names, on an event loop of its own
          that runs only meanwhile. DNS lists are tested first, as the daemon does at its start, so that a dead one is not believed.
Promises  Each question has its answer within ``dns.timeout``. Where the name servers cannot be used every answer is Unknown.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from tarry.clocks import SystemClock
from tarry.config.schema import Config
from tarry.core.facts import Answer, Question, State
from tarry.core.policy import Policy
from tarry.lookups import Lookups

_GLANCE = 0.01
_TESTS = 2
"""How many questions a list's test takes at most, one after the other: about an IPv4 and then an IPv6 address."""


class Facts:
    """A context in which questions are answered. ``off``: the DNS lists that failed their test, and why."""

    def __init__(self, config: Config, policy: Policy) -> None:
        self._config = config
        self._policy = policy
        self._runner = asyncio.Runner()
        self._lookups: Lookups | None = None
        self.off: dict[str, str] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None) -> None:
        if self._lookups is not None:
            self._runner.run(self._close(self._lookups))
        self._runner.close()

    def look(self, questions: Sequence[Question]) -> Sequence[Answer]:
        """Return the answers, in the order of the questions, once all are there."""
        return self._runner.run(self._look(questions))

    async def _look(self, questions: Sequence[Question]) -> Sequence[Answer]:
        if self._lookups is None:
            self._lookups = Lookups(asyncio.get_running_loop(), SystemClock(), self._config, self._policy, self._on_list)
            self._lookups.start()
            for _ in range(int(_TESTS * self._config.dns.timeout / _GLANCE) + 1):
                if self._lookups.is_tested:
                    break
                await asyncio.sleep(_GLANCE)
        resolver = self._lookups.resolver
        if resolver is None:
            return [Answer(question, State.UNKNOWN, why="no check asks") for question in questions]
        answers: dict[Question, Answer] = {}
        done = asyncio.Event()

        def on_answer(answer: Answer) -> None:
            answers[answer.question] = answer
            if len(answers) == len(set(questions)):
                done.set()

        for question in set(questions):
            resolver.ask(question, on_answer)
        await done.wait()
        return [answers[question] for question in questions]

    async def _close(self, lookups: Lookups) -> None:
        lookups.close()

    def _on_list(self, zone: str, good: bool, why: str) -> None:
        if good:
            self.off.pop(zone, None)
        else:
            self.off[zone] = why
