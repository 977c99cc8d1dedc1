"""ptr: names of the client that lead back to it."""

from __future__ import annotations

import pytest

from tarry.checks.ptr import Ptr
from tarry.core.border import Answered, Arrived, Hello
from tarry.core.check import About, NoOptions, Seen, Settings
from tarry.core.client import Phase
from tarry.core.facts import Answer, Question, State, addresses_of, listing, names_of
from tarry.core.result import PASSED, Action, Failed, Outcome, Unknown
from tests.checks.looking import codes, looks, says_unknown_elsewhere

CLIENT = "192.0.2.7"
NAMES = names_of(CLIENT)

TABLE: list[tuple[Answer, Outcome]] = [
    (Answer(NAMES, State.FOUND, ("mail.example",), 1), PASSED),
    (Answer(NAMES, State.FOUND, ("mail.example", "www.example"), 1), PASSED),
    (Answer(NAMES, State.FOUND, ("mail.example", "www.example"), 0), Failed("unconfirmed", "mail.example, www.example")),
    (Answer(NAMES, State.FOUND, ("x" * 60 + ".example",) * 3, 0), Failed("unconfirmed", f"{'x' * 60}.example, {'x' * 30}")),
    (Answer(NAMES, State.NOTHING), Failed("none")),
    (Answer(NAMES, State.FOUND), Failed("none")),
    (Answer(NAMES, State.UNKNOWN, why="SERVFAIL"), Unknown("names: SERVFAIL")),
    (Answer(NAMES, State.UNKNOWN), Unknown("names: no answer")),
]


@pytest.mark.parametrize(("answer", "outcome"), TABLE, ids=repr)
def test_what_it_finds(answer: Answer, outcome: Outcome) -> None:
    """No name, or none that has the address, fails; a name server that is away is unknown."""
    assert (outcome,) == looks(Ptr(), Answered(answer), about=About(CLIENT))


@pytest.mark.parametrize("question", [names_of("192.0.2.8"), addresses_of(CLIENT), listing(CLIENT, "bl.example")], ids=repr)
def test_the_answers_to_others_are_not_looked_at(question: Question) -> None:
    """Nor those about anything but this client."""
    assert () == looks(Ptr(), Answered(Answer(question, State.NOTHING)), about=About(CLIENT))


def test_what_it_asks() -> None:
    """The names of the client, when it arrives; nothing about a client without an address."""
    assert (NAMES,) == Ptr().asks(Seen(Arrived(), Phase.CONNECT, 0.0, About(CLIENT)), NoOptions())
    assert () == Ptr().asks(Seen(Arrived(), Phase.CONNECT, 0.0, About()), NoOptions())
    assert () == Ptr().asks(Seen(Hello("EHLO", "x.example", 1), Phase.HELO, 0.0, About(CLIENT)), NoOptions())


def test_it_is_ignored_by_default() -> None:
    """So that nobody's names are looked up unasked."""
    assert Settings(action=Action.IGNORE) == Ptr.settings


def test_its_codes() -> None:
    """Each declared code can be had, and no other; elsewhere it says unknown."""
    assert set(Ptr.codes) == codes(TABLE)
    assert says_unknown_elsewhere(Ptr())
