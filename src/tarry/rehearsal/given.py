"""given - facts that are told by hand in place of being looked up.

What      `read_fact` reads ``SOURCE=VALUE[,VALUE...][@TIME]``; `Given` answers questions with them. A source is a DNS list,
          ``names`` (of the address) or ``addresses`` (of a host name).
Values    Nothing, or ``nothing``: there is none. ``unknown``: no answer can be had. TIME is when the answer comes, at once where it
          is not given; one that comes after ``dns.timeout`` is none.
Rules     Names are confirmed unless ``addresses`` are given without the client's.
Not here  Looking anything up: cli/config_try_facts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from ipaddress import ip_address
from typing import TypeAlias

import msgspec

from tarry.core.client import normal
from tarry.core.facts import Answer, Kind, Question, State

Look: TypeAlias = Callable[[Sequence[Question]], Sequence[Answer]]
"""Answers questions, in their order; ``ms`` says how long each took."""


class Fact(msgspec.Struct, frozen=True):
    """What a source says, and after how many seconds."""

    source: str
    state: State
    values: tuple[str, ...] = ()
    after: float = 0.0


def read_fact(text: str, read_time: Callable[[str], float]) -> Fact:
    """Read one fact. Raises ValueError, in words, where it is none."""
    source, equals, value = text.partition("=")
    source = source.strip().lower().removesuffix(".")
    if not (equals and source):
        raise ValueError(f"{text!r} is no fact: write SOURCE=VALUE, such as zen.spamhaus.org=127.0.0.4 or names=mail.example.org")
    value, at, time = value.partition("@")
    after = read_time(time) if at else 0.0
    value = value.strip()
    if value.lower() in ("", "nothing"):
        return Fact(source, State.NOTHING, after=after)
    if value.lower() == "unknown":
        return Fact(source, State.UNKNOWN, after=after)
    values = tuple(one.strip().lower().removesuffix(".") for one in value.split(","))
    return Fact(source, State.FOUND, values if source == Kind.NAMES.value else tuple(map(_address, values)), after)


class Given:
    """The facts of one rehearsal, with *further* for what none of them is about. Several of one source add up."""

    def __init__(self, facts: Sequence[Fact], client: str, timeout: float, further: Look) -> None:
        self._facts: dict[str, Fact] = {}
        for fact in facts:
            before = self._facts.get(fact.source)
            if before is not None:
                fact = Fact(fact.source, fact.state, (*before.values, *fact.values), max(before.after, fact.after))
            self._facts[fact.source] = fact
        self._client = client
        self._timeout = timeout
        self._further = further
        self._asked: set[str] = set()

    @property
    def unasked(self) -> tuple[str, ...]:
        """The sources that nobody has asked."""
        return tuple(source for source in self._facts if source not in self._asked)

    def look(self, questions: Sequence[Question]) -> Sequence[Answer]:
        """Answer what is given, and have the rest looked up."""
        missing = [question for question in questions if question.source.lower() not in self._facts]
        found = dict(zip(missing, self._further(missing), strict=True)) if missing else {}
        return [found[question] if question in found else self._answer(question) for question in questions]

    def _answer(self, question: Question) -> Answer:
        source = question.source.lower()
        self._asked.add(source)
        fact = self._facts[source]
        if fact.after > self._timeout:
            return Answer(question, State.UNKNOWN, why="no answer in time", ms=self._timeout * 1000)
        ms = fact.after * 1000
        if fact.state is State.UNKNOWN:
            return Answer(question, State.UNKNOWN, why="said to be unknown", ms=ms)
        return Answer(question, fact.state, fact.values, self._confirmed(fact), ms=ms)

    def _confirmed(self, fact: Fact) -> int:
        if fact.source != Kind.NAMES.value:
            return 0
        addresses = self._facts.get(Kind.ADDRESSES.value)
        return len(fact.values) if addresses is None or self._client in addresses.values else 0


def unknown(questions: Sequence[Question]) -> Sequence[Answer]:
    """Answer that nothing is known: for whoever wants nothing looked up."""
    return [Answer(question, State.UNKNOWN, why="not looked up") for question in questions]


def _address(text: str) -> str:
    try:
        return normal(str(ip_address(text)))
    except ValueError:
        raise ValueError(f"{text!r} is no IP address, and a list answers with one, such as 127.0.0.2") from None
