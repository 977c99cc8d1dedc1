"""Who looks things up for a configuration."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator

import pytest

from tarry.config.compile import policy
from tarry.config.schema import Config
from tarry.core.clock import ManualClock
from tarry.core.facts import Answer, State, listing
from tarry.lookups import Lookups, Succession, settings
from tests.dns.asking import TurningLoop

ASKING = """
[checks.dnslists]
zones = [{ zone = "bl.example" }]
[dns]
servers = ["127.0.0.1:9"]
timeout = "2s"
max_queries = 7
cache = 8
min_ttl = "9s"
max_ttl = "10m"
self_test = "0s"
"""


def lookups(text: str) -> Lookups:
    config = Config.from_toml(text)
    loop = asyncio.new_event_loop()
    made = Lookups(loop, ManualClock(), config, policy(config), lambda *_: None)
    made.start()
    made.close()
    loop.close()
    return made


def test_without_questions_there_is_nobody_to_ask() -> None:
    """The defaults look nothing up, and neither does a list that has no effect."""
    assert lookups("").resolver is None
    assert lookups(ASKING.replace("zones", 'action = "ignore"\nzones')).resolver is None


def test_a_check_with_questions_has_a_resolver() -> None:
    """A list with zones is enough."""
    assert lookups(ASKING).resolver is not None


def test_every_setting_arrives() -> None:
    """Each key of [dns]."""
    assert (("127.0.0.1:9",), 2.0, 7, 8, 9.0, 600.0, 0.0) == tuple(
        getattr(settings(Config.from_toml(ASKING)), name)
        for name in ("servers", "timeout", "max_queries", "cache", "min_ttl", "max_ttl", "self_test")
    )


def test_lists_are_told_by_name() -> None:
    """With why one is not asked; a configuration that asks nobody has none."""
    made = lookups(ASKING)
    assert ({}, {"bl.example": ""}) == (lookups("").lists, made.lists)
    assert made._zones is not None
    made._zones._failed[made._zones._zones[0]] = "it lists 127.0.0.1"
    assert {"bl.example": "it lists 127.0.0.1"} == made.lists


def test_lists_without_a_test_are_tested() -> None:
    """Nobody waits for a test that there is none of; one that has only begun is waited for."""
    assert [True, True, False] == [lookups(text).is_tested for text in ("", ASKING, ASKING.replace('"0s"', '"1h"'))]


class Reloads:
    """The lookups of one configuration after the other, on a loop that turns when told."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.turning = TurningLoop(self.clock)
        self.asked = Succession(self.turning.loop)
        self.made: list[Lookups] = []
        self.answers: list[Answer] = []

    def reload(self, text: str) -> None:
        config = Config.from_toml(text)
        self.made.append(Lookups(self.turning.loop, self.clock, config, policy(config), lambda *_: None))
        self.asked.succeed(self.made[-1])

    def ask(self, address: str) -> None:
        self.asked.ask(listing(address, "bl.example"), self.answers.append)


@pytest.fixture
def silent() -> Iterator[str]:
    """A configuration whose name server says nothing."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        yield ASKING.replace("127.0.0.1:9", f"127.0.0.1:{server.getsockname()[1]}")


def test_what_was_asked_before_a_reload_is_answered(silent: str) -> None:
    """Also where two reloads follow each other: each question ends in its time, and then nothing of the former ones is left."""
    reloads = Reloads()
    reloads.reload(silent)
    reloads.ask("192.0.2.1")
    reloads.reload(silent)
    reloads.ask("192.0.2.2")
    reloads.reload(silent)
    reloads.ask("192.0.2.3")
    reloads.turning.advance(2.05)
    assert ["1.2.0.192", "2.2.0.192", "3.2.0.192"] == [one.question.name.removesuffix(".bl.example") for one in reloads.answers]
    reloads.turning.advance(0.1)
    assert [True, True, False] == [one.is_over for one in reloads.made]
    reloads.asked.close()
    assert ([], {}) == (reloads.turning.waiting, reloads.turning.readers)


def test_a_session_of_before_a_reload_asks_whom_the_next_one_asks(silent: str) -> None:
    """Where there is nobody any more it is told so, and does not wait out its time; after the end nobody is called."""
    reloads = Reloads()
    reloads.reload(silent)
    reloads.reload("")
    reloads.ask("192.0.2.1")
    assert [] == reloads.answers
    reloads.turning.turn_once()
    assert [(State.UNKNOWN, "there is nobody to ask any more")] == [(one.state, one.why) for one in reloads.answers]
    reloads.reload(silent)
    reloads.ask("192.0.2.2")
    reloads.asked.close()
    reloads.turning.advance(10)
    assert 1 == len(reloads.answers)
