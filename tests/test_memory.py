"""The memory of one process: who is asked what, and what is taken to the store."""

from __future__ import annotations

from asyncio import AbstractEventLoop
from collections.abc import Callable, Sequence
from typing import cast

import pytest
from msgspec.structs import replace

from tarry.config.compile import karma_rules
from tarry.config.schema import Config
from tarry.core.clock import ManualClock
from tarry.core.facts import Answer, Question, State, domain_history_of, history_of, listing, names_of
from tarry.core.history import Change, Entry, Known, Pass
from tarry.core.karma import changes
from tarry.memory import Memory, Questions, domain_of, open_memory
from tarry.record.schema import Close
from tarry.store.desk import Desk
from tests.asking import Answers

CLIENT = "192.0.2.7"
EARLY = Close(CLIENT, 40000, "198.51.100.1:25", "hold", early=0.2, action="reject", reasons=("pregreet.spoke",))


class ADesk:
    """A desk that answers when told, and keeps what it is given."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, Callable[[Entry | None, str], None]]] = []
        self.given: list[Change] = []

    def read(self, key: str, on_entry: Callable[[Entry | None, str], None]) -> None:
        self.asked.append((key, on_entry))

    def add(self, changes: Sequence[Change]) -> None:
        self.given += changes


class ALoop:
    """Only ever asked to call soon."""

    def call_soon(self, call: Callable[..., None], *arguments: object) -> None:
        call(*arguments)


class House:
    """A memory, its desk, the name servers, and what has been answered."""

    def __init__(self, text: str = "") -> None:
        self.clock = ManualClock()
        self.desk, self.names = ADesk(), Answers()
        config = Config.from_toml(text)
        self.memory = Memory(cast(AbstractEventLoop, ALoop()), self.clock, config, cast(Desk, self.desk), self.names)
        self.answers: list[Answer] = []

    def ask(self, question: Question) -> None:
        Questions(self.names, self.memory).ask(question, self.answers.append)


def test_a_client_that_is_known() -> None:
    """With its karma as it is now, and the passes that still hold."""
    house = House()
    house.ask(history_of(CLIENT))
    ((key, on_entry),) = house.desk.asked
    now = house.clock.wall()
    on_entry(Entry(CLIENT, 8.0, now - 14 * 86400, now, 9, 7, passes=(Pass("dnslists", now - 1), Pass("pregreet", now + 1))), "")
    assert CLIENT == key
    assert [Answer(history_of(CLIENT), State.FOUND, known=Known(4.0, 9, 7, ("pregreet",)))] == house.answers


@pytest.mark.parametrize(
    ("entry", "why", "state"),
    [(None, "", State.NOTHING), (None, "away", State.UNKNOWN), (Entry(CLIENT), "away", State.FOUND)],
)
def test_what_is_not_known_and_what_cannot_be_told(entry: Entry | None, why: str, state: State) -> None:
    """A store that is away is no opinion, unless this process remembers the client by itself."""
    house = House()
    house.ask(history_of(CLIENT))
    house.desk.asked[0][1](entry, why)
    assert [(state, why)] == [(answer.state, answer.why) for answer in house.answers]


def test_an_ipv6_client_is_known_by_its_64() -> None:
    """As it is counted."""
    house = House()
    house.ask(history_of("2001:db8:1:2:3::4"))
    assert ["2001:db8:1:2::/64"] == [key for key, _ in house.desk.asked]


def test_nobody_is_known_by_a_unix_socket() -> None:
    """Nothing is asked, and nothing remembered."""
    house = House()
    house.ask(history_of("unix"))
    house.memory.remember(replace(EARLY, client="unix"), "id", 1.0)
    assert [State.UNKNOWN] == [answer.state for answer in house.answers]
    assert ([], []) == (house.desk.asked, house.desk.given)


def test_the_domain_of_a_client() -> None:
    """First its names, then what is remembered of the domain."""
    house = House()
    house.ask(domain_history_of(CLIENT))
    ((question, on_answer),) = house.names.asked
    assert names_of(CLIENT) == question
    on_answer(Answer(question, State.FOUND, ("out7.mail.example.org",), 1))
    ((key, on_entry),) = house.desk.asked
    assert "example.org" == key
    on_entry(Entry("example.org", 7.0, house.clock.wall()), "")
    expected = Answer(domain_history_of(CLIENT), State.FOUND, known=Known(7.0), domain="example.org")
    assert [expected] == house.answers


@pytest.mark.parametrize(
    ("named", "state"),
    [
        (Answer(names_of(CLIENT), State.NOTHING), State.NOTHING),
        (Answer(names_of(CLIENT), State.FOUND, ("forged.example.org",), 0), State.NOTHING),
        (Answer(names_of(CLIENT), State.FOUND, ("192-0-2-7.isp.example",), 1), State.NOTHING),
        (Answer(names_of(CLIENT), State.FOUND, ("static.7.2.0.192.clients.hoster.example",), 1), State.NOTHING),
        (Answer(names_of(CLIENT), State.UNKNOWN, why="SERVFAIL"), State.UNKNOWN),
    ],
    ids=repr,
)
def test_a_client_without_a_domain(named: Answer, state: State) -> None:
    """A name that does not lead back to it is no proof, and one that is a customer's is not the provider's."""
    house = House()
    house.ask(domain_history_of(CLIENT))
    house.names.asked[0][1](named)
    assert [] == house.desk.asked
    assert [state] == [answer.state for answer in house.answers]


def test_the_domain_is_that_of_the_first_name_that_will_do() -> None:
    """In the order of the name server; the unconfirmed ones come last, and do not count."""
    names = ("dsl-7.isp.example", "mail.example.co.uk", "forged.example.org")
    assert "example.co.uk" == domain_of(Answer(names_of(CLIENT), State.FOUND, names, 2), CLIENT)
    assert "" == domain_of(Answer(names_of(CLIENT), State.FOUND, names, 1), CLIENT)


def test_other_questions_go_to_the_name_servers() -> None:
    """And come back from there."""
    house = House()
    house.ask(listing(CLIENT, "bl.example"))
    house.names.answer("127.0.0.2")
    assert [("127.0.0.2",)] == [answer.values for answer in house.answers]


def test_what_a_session_did_goes_to_the_store() -> None:
    """By the rules that hold now: a reload changes them."""
    house = House()
    house.memory.remember(EARLY, "id", 5.0)
    assert list(changes(EARLY, "id", 5.0, karma_rules(Config()), {})) == house.desk.given
    house.memory.change(Config.from_toml('[karma]\nrules = [{ on = "pregreet", points = -9 }]'))
    house.memory.remember(EARLY, "id", 6.0)
    assert [-3.0, -9.0] == [change.points for change in house.desk.given]


def test_no_memory_is_wanted() -> None:
    """Then there is none."""
    config = Config.from_toml('[store]\nurl = "none"')
    assert open_memory(cast(AbstractEventLoop, ALoop()), ManualClock(), config, Answers(), lambda *_: None) is None
