"""Where questions about clients are answered."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tarry.core.facts import Answer, Question, State, addresses_of, listing, names_of
from tarry.dns.channel import PTR, SOA, A, Reply
from tarry.dns.desk import FAILURE_TTL, PARENTS, Desk, Settings
from tests.dns.asking import NONE, SERVFAIL, Room, found

ZONE = "l.example"
LISTED = listing("192.0.2.7", ZONE)
NAME = LISTED.name


def test_an_answer_comes_when_the_servers_have_replied() -> None:
    """Once, with the time that it took."""
    room = Room()
    room.desk.ask(LISTED, room.answers.append)
    assert ([], 1) == (room.answers, room.desk.open)
    room.clock.advance(0.25)
    room.servers.reply(NAME, A, found("127.0.0.2", ttl=120))
    assert [Answer(LISTED, State.FOUND, ("127.0.0.2",), ttl=120, ms=250)] == room.answers
    room.loop.advance(10)
    assert 1 == len(room.answers)


def test_an_answer_is_known_for_its_ttl() -> None:
    """No query is sent for it, it took no time, and it says how long it still holds."""
    room = Room()
    assert room.desk.known(LISTED) is None
    room.desk.ask(LISTED, room.answers.append)
    assert room.desk.known(LISTED) is None
    room.servers.reply(NAME, A, found("127.0.0.2", ttl=120))
    room.clock.advance(100)
    assert Answer(LISTED, State.FOUND, ("127.0.0.2",), ttl=20) == room.desk.known(LISTED)
    room.clock.advance(20)
    assert room.desk.known(LISTED) is None
    room.desk.ask(LISTED, room.answers.append)
    assert 2 == len(room.servers.asked)


@pytest.mark.parametrize(("ttl", "expected"), [(0, 60), (59, 60), (61, 61), (3600, 3600), (2**31, 3600)])
def test_how_long_an_answer_is_kept_has_bounds(ttl: float, expected: float) -> None:
    """min_ttl and max_ttl."""
    room = Room(min_ttl=60, max_ttl=3600)
    room.desk.ask(LISTED, room.answers.append)
    room.servers.reply(NAME, A, found("127.0.0.2", ttl=ttl))
    assert [expected] == [answer.ttl for answer in room.answers]


def test_a_failure_is_kept_for_a_moment() -> None:
    """So that the same question does not meet a dead server for each command; then it is asked again."""
    room = Room()
    room.desk.ask(LISTED, room.answers.append)
    room.servers.reply(NAME, A, SERVFAIL)
    assert [Answer(LISTED, State.UNKNOWN, why="SERVFAIL", ttl=FAILURE_TTL)] == room.answers
    assert room.desk.known(LISTED) is not None
    room.clock.advance(FAILURE_TTL)
    assert room.desk.known(LISTED) is None


def test_ask_never_answers_before_it_returns() -> None:
    """Neither what is known, nor what cannot be asked, nor what the channel answers at once."""
    room = Room()
    room.servers.at_once = {(NAME, A): NONE}
    for question in (LISTED, LISTED, addresses_of("a..b"), names_of("nobody")):
        room.desk.ask(question, room.answers.append)
        assert [] == room.answers
        room.loop.turn_once()
        assert [State.NOTHING] == room.states()
    assert [(NAME, A)] == room.servers.asked


def test_a_name_that_no_query_can_carry_is_nobodys() -> None:
    """NOTHING, without a query."""
    room = Room()
    for name in ("", "a..b", "x" * 64, "a b", "x." * 127 + "x", "\x00", "ü" * 80):
        room.desk.ask(addresses_of(name), room.answers.append)
        room.desk.ask(Question(LISTED.kind, name, ZONE), room.answers.append)
    room.loop.turn_once()
    assert [State.NOTHING] * 14 == room.states()
    assert ([], []) == (room.servers.asked, room.loop.faults)


def test_identical_questions_are_one_query() -> None:
    """All who ask get the answer; one who has left does not."""
    room = Room()
    heard: list[str] = []
    waiters = [room.desk.ask(LISTED, lambda answer, who=who: heard.append(who)) for who in "abc"]
    room.desk.forget(waiters[1])
    assert [(NAME, A)] == room.servers.asked
    room.servers.reply(NAME, A, NONE)
    room.desk.ask(LISTED, lambda answer: heard.append("d"))
    left = room.desk.ask(LISTED, lambda answer: heard.append("e"))
    room.desk.forget(left)
    room.loop.turn_once()
    assert ["a", "c", "d"] == heard


def test_an_answer_that_nobody_waits_for_is_kept() -> None:
    """The next who asks has it at once."""
    room = Room()
    room.desk.forget(room.desk.ask(LISTED, room.answers.append))
    room.servers.reply(NAME, A, NONE)
    assert [] == room.answers
    known = room.desk.known(LISTED)
    assert known is not None
    assert State.NOTHING is known.state


def test_a_question_ends_at_its_deadline() -> None:
    """Whatever the servers do: it is unknown then, and what comes later is not heard."""
    room = Room(timeout=3.0)
    room.desk.ask(LISTED, room.answers.append)
    room.loop.advance(2.0)
    room.desk.ask(names_of("192.0.2.7"), room.answers.append)
    room.loop.advance(0.999)
    assert [] == room.answers
    room.loop.advance(0.002)
    ((answer),) = room.answers
    assert (LISTED, State.UNKNOWN, "no answer in time") == (answer.question, answer.state, answer.why)
    assert 3000 <= answer.ms <= 3002
    room.servers.reply(NAME, A, found("127.0.0.2"))
    assert 1 == len(room.answers)
    known = room.desk.known(LISTED)
    assert known is None or State.UNKNOWN is known.state
    room.loop.advance(2.1)
    assert [LISTED, names_of("192.0.2.7")] == [answer.question for answer in room.answers]
    assert [] == room.loop.waiting


def test_a_question_of_several_queries_has_one_deadline() -> None:
    """The names that have come by then are told."""
    room = Room(timeout=3.0)
    room.desk.ask(names_of("192.0.2.7"), room.answers.append)
    room.loop.advance(2.9)
    room.servers.reply("7.2.0.192.in-addr.arpa", PTR, found("a.example"))
    room.loop.advance(0.15)
    ((answer),) = room.answers
    assert (State.UNKNOWN, ("a.example",)) == (answer.state, answer.values)


def test_asking_anew_at_the_deadline() -> None:
    """From within the call of one that ended; one timer serves all, and each question has all its time."""
    room = Room(timeout=3.0)

    def again(answer: Answer) -> None:
        room.answers.append(answer)
        if len(room.answers) < 5:
            room.desk.ask(listing(f"192.0.2.{len(room.answers)}", ZONE), again)

    room.desk.ask(LISTED, again)
    room.loop.advance(1.0)
    room.desk.ask(addresses_of("h.example"), room.answers.append)
    room.loop.advance(20.0)
    assert 5 == len(room.answers)
    assert all(3000 <= answer.ms <= 3005 for answer in room.answers), [answer.ms for answer in room.answers]
    assert [] == room.loop.waiting


def test_there_are_no_more_queries_than_are_allowed() -> None:
    """A question beyond them is unknown, and that is not kept; one that is under way is joined all the same."""
    room = Room(max_queries=3)
    questions = [listing(f"192.0.2.{number}", ZONE) for number in range(5)]
    for question in [*questions, questions[0]]:
        room.desk.ask(question, room.answers.append)
    room.loop.turn_once()
    assert [(3, "too many questions"), (4, "too many questions")] == [
        (questions.index(answer.question), answer.why) for answer in room.answers
    ]
    assert 3 == len(room.servers.asked)
    room.servers.reply(questions[0].name, A, NONE)
    assert 4 == len(room.answers)
    room.desk.ask(questions[3], room.answers.append)
    assert 4 == len(room.servers.asked)


def test_the_cache_has_a_bound() -> None:
    """What was not wanted for longest gives way."""
    room = Room(cache=3)
    questions = [listing(f"192.0.2.{number}", ZONE) for number in range(4)]
    room.servers.at_once = {(question.name, A): NONE for question in questions}
    for question in questions[:3]:
        room.desk.ask(question, room.answers.append)
    assert room.desk.known(questions[0]) is not None
    room.desk.ask(questions[3], room.answers.append)
    assert [True, False, True, True] == [room.desk.known(question) is not None for question in questions]


def test_a_desk_without_a_cache_works() -> None:
    """Size 0 is the smallest there is."""
    room = Room(cache=0)
    room.servers.at_once = {(NAME, A): NONE}
    room.desk.ask(LISTED, room.answers.append)
    room.loop.turn_once()
    assert [State.NOTHING] == room.states()


def test_a_zone_that_is_switched_off_is_not_asked() -> None:
    """Its questions are unknown, also those whose answer is kept; other zones go on, and so does it when it is on again."""
    room = Room()
    room.servers.at_once = {(NAME, A): found("127.0.0.2")}
    room.desk.ask(LISTED, room.answers.append)
    room.desk.switch_off(ZONE, "it lists 127.0.0.1")
    expected = Answer(LISTED, State.UNKNOWN, why="the zone is switched off: it lists 127.0.0.1")
    assert expected == room.desk.known(LISTED)
    room.desk.ask(LISTED, room.answers.append)
    room.desk.ask(listing("192.0.2.8", ZONE), room.answers.append)
    room.desk.ask(listing("192.0.2.8", "other.example"), room.answers.append)
    room.loop.turn_once()
    assert [State.FOUND, State.UNKNOWN, State.UNKNOWN] == room.states()
    assert [(NAME, A), ("8.2.0.192.other.example", A)] == room.servers.asked
    room.desk.switch_on(ZONE)
    room.desk.switch_on("never.off.example")
    known = room.desk.known(LISTED)
    assert known is not None
    assert State.FOUND is known.state


def test_a_test_of_a_zone_is_asked_anew() -> None:
    """It does not see the cache or the switch, does not join, and does not fill the cache."""
    room = Room()
    room.servers.at_once = {(NAME, A): NONE}
    room.desk.ask(LISTED, room.answers.append)
    room.loop.turn_once()
    room.servers.at_once = {}
    room.desk.switch_off(ZONE, "dead")
    room.answers.clear()
    room.desk.ask_anew(LISTED, room.answers.append)
    room.desk.ask_anew(LISTED, room.answers.append)
    assert 3 == len(room.servers.asked)
    for _ in range(2):
        room.servers.reply(NAME, A, found("127.0.0.2"))
    assert [State.FOUND, State.FOUND] == room.states()
    room.desk.switch_on(ZONE)
    known = room.desk.known(LISTED)
    assert known is not None
    assert State.NOTHING is known.state


@pytest.mark.parametrize(("ttl", "expected"), [(10, 60), (900, 900), (10**6, 3600)])
def test_what_is_not_listed_is_kept_as_the_zone_says(ttl: float, expected: float) -> None:
    """As its SOA says, within the bounds; other zones' answers and other kinds for the least time."""
    room = Room()
    room.desk.learn_negative_ttl(ZONE)
    room.servers.reply(ZONE, SOA, Reply(State.FOUND, ttl=ttl))
    other = listing("192.0.2.7", "other.example")
    room.servers.at_once = {(NAME, A): NONE, (other.name, A): NONE}
    room.desk.ask(LISTED, room.answers.append)
    room.desk.ask(other, room.answers.append)
    room.loop.turn_once()
    assert [expected, 60] == [answer.ttl for answer in room.answers]


def test_the_soa_of_a_list_within_a_zone_is_its_parents() -> None:
    """It is looked for a few names up, and not beyond a failure or the top."""
    room = Room()
    room.desk.learn_negative_ttl("sbl.l.example")
    room.servers.reply("sbl.l.example", SOA, NONE)
    room.servers.reply("l.example", SOA, Reply(State.FOUND, ttl=700))
    room.desk.learn_negative_ttl("b.example")
    room.servers.reply("b.example", SOA, SERVFAIL)
    room.desk.learn_negative_ttl("top")
    room.servers.reply("top", SOA, NONE)
    room.desk.learn_negative_ttl("a..b")
    room.servers.at_once = {(".".join("abcdefghij"[start:]), SOA): NONE for start in range(10)}
    room.desk.learn_negative_ttl("a.b.c.d.e.f.g.h.i.j")
    assert 5 + PARENTS == len(room.servers.asked)
    question = listing("192.0.2.7", "sbl.l.example")
    room.servers.at_once = {(question.name, A): NONE}
    room.desk.ask(question, room.answers.append)
    room.loop.turn_once()
    assert [700] == [answer.ttl for answer in room.answers]


def test_a_fault_with_one_answer_is_no_others() -> None:
    """It is told to the loop, and the others have their answer."""
    room = Room()
    room.desk.ask(LISTED, lambda answer: 1 / 0)  # type: ignore[arg-type,return-value]
    room.desk.ask(LISTED, room.answers.append)
    room.servers.reply(NAME, A, NONE)
    assert [State.NOTHING] == room.states()
    assert ["an answer ends in a fault of tarry itself"] == [each["message"] for each in room.loop.faults]


def test_a_closed_desk_is_still() -> None:
    """Nobody is called, neither for what was under way nor for what was due nor for what comes; no timer is left."""
    room = Room()
    room.servers.at_once = {(listing("192.0.2.9", ZONE).name, A): NONE}
    room.desk.ask(LISTED, room.answers.append)
    room.desk.ask(listing("192.0.2.9", ZONE), room.answers.append)
    room.desk.close()
    room.desk.ask(LISTED, room.answers.append)
    room.desk.ask(listing("192.0.2.10", ZONE), room.answers.append)
    room.desk.ask_anew(LISTED, room.answers.append)
    room.loop.turn_once()
    room.loop.advance(10)
    assert ([], [], True) == (room.answers, room.loop.waiting, room.servers.is_closed)
    room.desk.close()


def test_a_desk_may_be_closed_by_one_who_is_answered() -> None:
    """Those behind are not called any more."""
    room = Room()
    room.desk.ask(LISTED, lambda answer: room.desk.close())
    room.desk.ask(LISTED, room.answers.append)
    room.servers.reply(NAME, A, NONE)
    room.loop.advance(10)
    assert [] == room.answers


def test_servers_that_are_none_are_told() -> None:
    """At once, when the desk is made."""
    room = Room()
    with pytest.raises(ValueError, match="not name servers: nonsense"):
        Desk(room.loop.loop, room.clock, Settings(servers=("nonsense",)))


@given(
    steps=st.lists(
        st.tuples(st.sampled_from(["ask", "forget", "reply", "turn", "advance"]), st.integers(0, 5), st.floats(0, 4)), max_size=60
    )
)
def test_each_who_asks_is_called_once(steps: list[tuple[str, int, float]]) -> None:
    """Or not at all if forgotten before; within the timeout, in whatever order things happen."""
    room = Room(max_queries=4, cache=2)
    questions = [listing(f"192.0.2.{number}", ZONE) for number in range(6)]
    calls: list[int] = []
    asked_at: list[float] = []
    took: list[float] = []
    waiters = []
    forgotten: set[int] = set()

    def call(who: int) -> None:
        assert who not in forgotten
        calls.append(who)
        took.append(room.clock.monotonic() - asked_at[who])

    for what, number, seconds in steps:
        match what:
            case "ask":
                who = len(waiters)
                asked_at.append(room.clock.monotonic())
                waiters.append(room.desk.ask(questions[number], lambda answer, who=who: call(who)))
            case "forget":
                if number < len(waiters) and number not in calls:
                    room.desk.forget(waiters[number])
                    forgotten.add(number)
            case "reply":
                if any(name == questions[number].name for name, _, _ in room.servers.waiting):
                    room.servers.reply(questions[number].name, A, [NONE, SERVFAIL, found("127.0.0.2")][number % 3])
            case "turn":
                room.loop.turn_once()
            case "advance":
                room.loop.turn_once()
                room.loop.advance(seconds)
    room.loop.turn_once()
    room.loop.advance(4)
    assert sorted(calls) == sorted(set(range(len(waiters))) - forgotten)
    assert all(seconds <= 3.01 for seconds in took), took
