"""situations - clients and houses that rehearsals are made of."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from ipaddress import ip_address
from typing import Any

from tarry.config.compile import door_rules, policy
from tarry.config.load import Loaded, load
from tarry.core.facts import Answer, Question
from tarry.record import schema
from tarry.rehearsal.given import Given, read_fact, unknown
from tarry.rehearsal.keys import Keys
from tarry.rehearsal.play import House, Play, play
from tarry.rehearsal.steps import Step, steps_of
from tarry.rehearsal.visit import Early, Visit

ADDRESS = "192.0.2.7"
SPOKE = (Early(0.3, b"EHLO x\r\n"),)
LISTS = """
[hold]
wait = "6s"
[[hold.class]]
name = "dubious"
who = ["listed"]
wait = "30s"
[delay]
target = "100s"
[[checks.dnslists.zones]]
zone = "bl.example"
weight = 3
[[checks.dnslists.zones]]
zone = "wl.example"
weight = -2
"""


def visit(address: str = ADDRESS, **changed: Any) -> Visit:
    """Return a patient client with one message, but for what is *changed*."""
    return Visit(ip_address(address), **changed)


def loaded(text: str = "", preset: str = "") -> Loaded:
    """Return a configuration without errors."""
    found = load(None, text=text, flags={"preset": preset} if preset else {})
    assert () == found.errors
    return found


def house(config: Loaded, **changed: Any) -> House:
    """Return what a client meets under a configuration."""
    observe = changed.pop("observe", False)
    return House(policy(config.config, observe=observe), door_rules(config.config), **changed)


def seconds(text: str) -> float:
    return float(text.removesuffix("s"))


def given(*facts: str, client: str = ADDRESS, timeout: float = 3.0) -> Given:
    """Return facts told by hand; all others are unknown."""
    return Given([read_fact(one, seconds) for one in facts], client, timeout, unknown)


def half() -> float:
    """Draw the middle of each range."""
    return 0.5


def happens(
    client: Visit | None = None, text: str = "", *facts: str, preset: str = "", random: Callable[[], float] = half, **changed: Any
) -> Play:
    """Return a play under the configuration *text*."""
    found = client or visit()
    return play(found, house(loaded(text, preset), **changed), given(*facts, client=str(found.address)).look, random)


def steps(client: Visit | None = None, text: str = "", *facts: str, preset: str = "", **changed: Any) -> tuple[Step, ...]:
    """Return the lines of a play under the configuration *text*."""
    found, config = client or visit(), loaded(text, preset)
    place = house(config, **changed)
    played = play(found, place, given(*facts, client=str(found.address)).look, half)
    return steps_of(found, place, played, Keys(config, place.policy))


def replies(played: Play) -> list[tuple[str, int, float]]:
    """Return what was replied to, with which code and when (to a tenth of a second)."""
    return [(one.event.to, one.event.code, round(one.at, 1)) for one in played.happened if isinstance(one.event, schema.Reply)]


def nobody(questions: Sequence[Question]) -> Sequence[Answer]:
    """Answer nothing, for whoever must not ask."""
    raise AssertionError(f"asked {questions}")
