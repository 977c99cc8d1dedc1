"""The screen of docs/presets/tarry.md: two seconds for everybody, thirty for the dubious."""

from __future__ import annotations

import re

import pytest

from tarry.config.compile import policy
from tarry.config.load import load
from tarry.core.border import Answered, Wait
from tarry.core.facts import Answer, State, listing, names_of
from tarry.core.hold import Held, step
from tests.playbook import ACCEPTED_AT, ends
from tests.preset_pages import FOLDER
from tests.presets import hold, policy_of, talks_at

SCREEN = re.findall(r"^```toml\n(.*?)^```$", (FOLDER / "tarry.md").read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)[1]
POLICY = policy(load(None, text=SCREEN).checked())
ADDRESS = "192.0.2.7"


def after(*answers: Answer) -> tuple[str, float, bool]:
    """Return the class, the wait and whether the client is greeted, once all this is known."""
    held = Held("K3X9-0001", ADDRESS, ACCEPTED_AT, share=0.0)
    wait, is_greeted = POLICY.wait.low, False
    for answer in answers:
        held, effects = step(held, Answered(answer), ACCEPTED_AT + 0.2, POLICY)
        wait = next((effect.seconds for effect in effects if isinstance(effect, Wait)), wait)
        is_greeted |= bool(ends(effects))
    return held.wait_class, wait, is_greeted


def names(*found: str) -> Answer:
    return Answer(names_of(ADDRESS), State.FOUND if found else State.NOTHING, found, len(found))


def lists(zone: str, value: str) -> Answer:
    return Answer(listing(ADDRESS, zone), State.FOUND, (value,))


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        ((), ("", 2.0, False)),
        ((names("mail.b.example"),), ("", 2.0, False)),
        ((names(),), ("dubious", 25.0, False)),
        ((names("dialup-7.b.example"),), ("dubious", 25.0, False)),
        ((lists("zen.spamhaus.org", "127.0.0.4"),), ("dubious", 25.0, False)),
        ((lists("zen.spamhaus.org", "127.255.255.254"),), ("", 2.0, False)),
        ((lists("list.dnswl.org", "127.0.5.2"),), ("", 2.0, True)),
    ],
)
def test_one_screen_of_toml(answers: tuple[Answer, ...], expected: tuple[str, float, bool]) -> None:
    """Who is dubious waits longer as soon as that is known, an allow-listed client no longer; the rest keeps its two seconds."""
    assert expected == after(*answers)


def test_nobody_is_refused_nor_delayed_by_it() -> None:
    """A dubious client that waits is greeted, and waits for nothing more."""
    assert () == load(None, text=SCREEN).problems
    outcome = hold(POLICY, (0.2, Answered(names())))
    assert ("", ["ptr.none"]) == (outcome.reply, [one.name for one in outcome.reasons])
    assert (0.0, 0.0) == (POLICY.score.delay, POLICY.score.reject)


@pytest.mark.parametrize("seconds", [0.27, 1.0, 2.0, 2.9])
def test_the_defaults_refuse_early_talk(seconds: float) -> None:
    """When half, 97 % and 99.6 % of them have spoken, and to the end of the shortest hold."""
    assert hold(policy_of("tarry"), talks_at(seconds)).reply.startswith("554 5.7.1 You spoke before the greeting")


def test_the_defaults_ask_nobody() -> None:
    """No list, no name server."""
    assert () == policy_of("tarry").asking
