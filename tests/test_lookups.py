"""Who looks things up for a configuration."""

from __future__ import annotations

import asyncio

from tarry.config.compile import policy
from tarry.config.schema import Config
from tarry.core.clock import ManualClock
from tarry.lookups import Lookups, settings

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


def test_lists_without_a_test_are_tested() -> None:
    """Nobody waits for a test that there is none of; one that has only begun is waited for."""
    assert [True, True, False] == [lookups(text).is_tested for text in ("", ASKING, ASKING.replace('"0s"', '"1h"'))]
