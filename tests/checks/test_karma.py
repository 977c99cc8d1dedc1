"""karma: what is remembered of a client, and what comes of it."""

from __future__ import annotations

import pytest

from tarry.checks.karma import Karma, Thresholds
from tarry.core.border import Answered, Arrived, Hello
from tarry.core.check import About, NoOptions, Seen
from tarry.core.client import Phase
from tarry.core.facts import Answer, Question, State, domain_history_of, history_of, names_of
from tarry.core.history import Known
from tarry.core.result import Failed, Outcome
from tests.checks.looking import codes, looks, says_unknown_elsewhere

CLIENT = "192.0.2.7"
OWN, DOMAIN = history_of(CLIENT), domain_history_of(CLIENT)
NEW, AWAY = Answer(OWN, State.NOTHING), Answer(OWN, State.UNKNOWN, why="the store is away")
STRANGE = Answer(DOMAIN, State.NOTHING, domain="example.org")


def own(karma: float) -> Answer:
    return Answer(OWN, State.FOUND, known=Known(karma, 9))


def domain(karma: float) -> Answer:
    return Answer(DOMAIN, State.FOUND, known=Known(karma, 90), domain="example.org")


GOOD = Failed("good", "karma 5.5 of 9 sessions", weight=-1.0)
BY_DOMAIN = Failed("good", "karma 7.0 of example.org", "example.org", -1.0)
TABLE: list[tuple[tuple[Answer, ...], Outcome | None]] = [
    ((own(5.5),), GOOD),
    ((own(5.0),), None),
    ((own(-5.0),), None),
    ((own(-5.1),), Failed("bad", "karma -5.1 of 9 sessions")),
    ((own(-15.5),), Failed("worst", "karma -15.5 of 9 sessions")),
    ((NEW,), None),
    ((AWAY,), None),
    ((NEW, domain(7.0)), BY_DOMAIN),
    ((own(0.0), domain(7.0)), BY_DOMAIN),
    ((NEW, domain(5.0)), None),
    ((NEW, domain(-20.0)), None),
    ((NEW, STRANGE), None),
    ((own(-0.1), domain(7.0)), None),
    ((AWAY, domain(7.0)), None),
    ((own(-5.1), domain(7.0)), Failed("bad", "karma -5.1 of 9 sessions")),
]


@pytest.mark.parametrize(("answers", "outcome"), TABLE, ids=repr)
@pytest.mark.parametrize("turned", [False, True])
def test_what_it_finds(answers: tuple[Answer, ...], outcome: Outcome | None, turned: bool) -> None:
    """In whatever order the answers come: a good domain speaks for a new address, and not for a bad one."""
    about = About(CLIENT)
    found: tuple[Outcome, ...] = ()
    for answer in reversed(answers) if turned else answers:
        about.facts[answer.question] = answer
        found = looks(Karma(), Answered(answer), about=about)
    assert (() if outcome is None else (outcome,)) == found


def test_a_domain_alone_says_nothing() -> None:
    """The address may be known for the worst."""
    about = About(CLIENT, facts={DOMAIN: domain(7.0)})
    assert () == looks(Karma(), Answered(domain(7.0)), about=about)


def test_the_thresholds_are_the_operators() -> None:
    """As in [karma]."""
    check = Karma(Thresholds(skip_above=1.0, bad_below=-1.0, worst_below=-2.0))
    found = [looks(check, Answered(own(karma)), about=About(CLIENT, facts={OWN: own(karma)})) for karma in (1.5, -1.5, -2.5)]
    assert ["good", "bad", "worst"] == [one.code for (one,) in found if isinstance(one, Failed)]


def test_what_it_asks() -> None:
    """The history of the address, and of its domain where that counts; nothing about a client without an address."""
    arrived = Seen(Arrived(), Phase.CONNECT, 0.0, About(CLIENT))
    assert (OWN, DOMAIN) == Karma().asks(arrived, NoOptions())
    assert (OWN,) == Karma(Thresholds(by_domain=False)).asks(arrived, NoOptions())
    assert () == Karma().asks(Seen(Arrived(), Phase.CONNECT, 0.0, About()), NoOptions())
    assert () == Karma().asks(Seen(Hello("EHLO", "x.example", 1), Phase.HELO, 0.0, About(CLIENT)), NoOptions())


@pytest.mark.parametrize("question", [names_of(CLIENT), history_of("192.0.2.8")], ids=repr)
def test_the_answers_to_others_are_not_looked_at(question: Question) -> None:
    """Nor those about anybody else."""
    assert () == looks(Karma(), Answered(Answer(question, State.FOUND)), about=About(CLIENT, facts={OWN: own(9.0)}))


def test_its_codes() -> None:
    """Each declared code can be had, and no other; elsewhere it says unknown; no command waits for it."""
    assert set(Karma.codes) == codes([(answers, found) for answers, found in TABLE if found is not None])
    assert says_unknown_elsewhere(Karma())
    assert Karma.is_awaited is False
