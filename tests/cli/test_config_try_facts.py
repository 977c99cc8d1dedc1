"""Facts for `tarry config try`, by the daemon's own lookups."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from tarry.cli import config_try_facts
from tarry.cli.config_try_facts import Facts
from tarry.config.compile import policy
from tarry.config.schema import Config
from tarry.core.facts import Answer, Question, State, listing, names_of

LIST = """
[dns]
servers = ["127.0.0.1:9"]
timeout = "0.2s"
[[checks.dnslists.zones]]
zone = "bl.example"
"""
LISTED, NAMES = listing("192.0.2.7", "bl.example"), names_of("192.0.2.7")


class FakeLookups:
    """Answers later, in the other order, and tells that a list is off; ``glances`` is how often it is not tested yet."""

    glances = 3
    closed = 0

    def __init__(self, loop: asyncio.AbstractEventLoop, clock: Any, config: Config, policy: object, on_change: Any) -> None:
        assert clock.wall() > clock.monotonic() >= 0
        self._loop = loop
        self._on_change = on_change
        self._glances = self.glances

    @property
    def resolver(self) -> FakeLookups:
        return self

    @property
    def is_tested(self) -> bool:
        self._glances -= 1
        return self._glances < 0

    def start(self) -> None:
        self._on_change("other.example", False, "it is dead")
        self._on_change("bl.example", False, "it is dead")
        self._on_change("other.example", True, "")

    def ask(self, question: Question, on_answer: Callable[[Answer], None]) -> None:
        answer = Answer(question, State.FOUND, ("127.0.0.2",))
        self._loop.call_later(0.002 if question == LISTED else 0.0, on_answer, answer)

    def close(self) -> None:
        type(self).closed += 1


def facts(text: str = LIST) -> Facts:
    config = Config.from_toml(text)
    return Facts(config, policy(config))


def test_answers_come_in_the_order_of_the_questions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the order in which they came; one that is asked twice has one answer. It is closed in the end."""
    monkeypatch.setattr(config_try_facts, "Lookups", FakeLookups)
    before = FakeLookups.closed
    with facts() as found:
        assert [LISTED, NAMES, LISTED] == [one.question for one in found.look([LISTED, NAMES, LISTED])]
        assert [NAMES] == [one.question for one in found.look([NAMES])]
        assert {"bl.example": "it is dead"} == found.off
    assert before + 1 == FakeLookups.closed


def test_a_test_that_does_not_end_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """No longer than its questions may take."""
    monkeypatch.setattr(config_try_facts, "Lookups", FakeLookups)
    monkeypatch.setattr(FakeLookups, "glances", 10**9)
    monkeypatch.setattr(config_try_facts, "_GLANCE", 0.0001)
    with facts(LIST.replace("0.2s", "0.01s")) as found:
        assert State.FOUND is found.look([LISTED])[0].state


def test_without_a_name_server_nothing_is_known() -> None:
    """Each answer says why, and none is a listing."""
    with facts(LIST + '[[checks.dnslists.zones]]\nzone = "wl.example"\nweight = -1') as found:
        (answer,) = found.look([LISTED])
    assert State.UNKNOWN is answer.state
    assert answer.why


def test_where_no_check_asks_there_is_no_answer() -> None:
    """And no name server either."""
    with facts("") as found:
        assert [Answer(LISTED, State.UNKNOWN, why="no check asks")] == found.look([LISTED])


def test_nothing_is_begun_that_is_not_needed() -> None:
    """A context in which nobody asks closes at once."""
    with facts() as found:
        assert {} == found.off
