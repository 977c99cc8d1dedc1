"""Held clients: real connections over loopback, on a clock that moves when told."""

from __future__ import annotations

import os
import select
import socket
import sys
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from tarry.checks.karma import Karma
from tarry.checks.pregreet import Pregreet
from tarry.core import replies
from tarry.core.border import Answered
from tarry.core.check import NoOptions, Seen, Settings
from tarry.core.client import Client, Endpoint, Phase
from tarry.core.clock import ManualClock
from tarry.core.facts import Answer, Question, State, domain_history_of, history_of, listing, names_of
from tarry.core.policy import HoldClass, Policy, Span
from tarry.core.result import PASSED, Action, Failed, Outcome
from tarry.net.linger import Linger
from tarry.net.waiting_room import ASK_LATER, Guest, Place, WaitingRoom
from tarry.record import schema
from tarry.record.journal import Journal
from tests.asking import Answers, Listed
from tests.playbook import armed, policy
from tests.shell import Loop, await_mask, pair, read_all, reset

SERVER = Endpoint("198.51.100.1", 25)
CLIENT = Client(Endpoint("192.0.2.7", 40000), SERVER)
PACKED = socket.inet_aton("192.0.2.7")
REJECT = policy(Pregreet(), weight=2.0)
TAG = policy(Pregreet(), action=Action.TAG, changes={"end_early": False})
REFUSAL = b"554 5.7.1 You spoke before the greeting [S7]\r\n"


class Room:
    """A waiting room, who was greeted, who has left, and what was recorded."""

    def __init__(self) -> None:
        self.clock = ManualClock(100.0)
        self.loop = Loop(self.clock)
        self.faults: list[dict[str, Any]] = []
        self.loop.call_exception_handler = self.faults.append  # type: ignore[attr-defined]
        self.lines: list[bytes] = []
        self.greeted: list[Guest] = []
        self.left: list[bytes] = []
        self.linger = Linger(self.loop.loop, self.clock)
        self.room = WaitingRoom(
            self.loop.loop,
            self.clock,
            linger=self.linger,
            open_journal=self.open_journal,
            greet=self.greeted.append,
            leave=self.left.append,
        )
        self.number = 6
        self.client: socket.socket

    def open_journal(self, number: int, accepted_at: float, policy: Policy) -> Journal:
        return Journal(f"S{number}", accepted_at=accepted_at, accepted_wall=1_700_000_000.0, write=self.lines.append)

    def enter(
        self,
        rules: Policy,
        wait: float = 5.0,
        client: Client = CLIENT,
        packed: bytes = PACKED,
        fd: int = 0,
        place: Place | None = None,
    ) -> socket.socket:
        """Hold a client; return its own end."""
        ours, theirs = pair()
        held = ours.detach()
        if fd and held != fd:
            os.dup2(held, fd)
            os.close(held)
            held = fd
        self.fd = held
        self.number += 1
        self.room.enter(held, self.number, packed, client, rules, self.clock.monotonic(), place or Place(0.5, wait))
        return theirs

    def events(self) -> list[schema.AnyEvent]:
        """Return what was recorded since the last call."""
        events = [schema.read_line(line).event for line in self.lines]
        self.lines.clear()
        return events

    def names(self) -> list[str]:
        return [type(event).__name__ for event in self.events()]

    def let_out(self) -> Guest:
        """Return the one client that was greeted, and close its socket."""
        (guest,) = self.greeted
        self.greeted.clear()
        guest.sock.close()
        return guest


@pytest.fixture
def room() -> Iterator[Room]:
    room = Room()
    yield room
    for guest in room.greeted:
        guest.sock.close()
    if room.loop.readers:
        room.room.close(replies.GOING_DOWN)
        room.linger.close()


def test_a_silent_client_is_greeted_when_its_time_has_come(room: Room) -> None:
    """Not before; the taker gets the socket and what is known."""
    room.enter(REJECT)
    room.loop.advance(4.99)
    room.loop.settle()
    assert (1, [], []) == (len(room.room), room.greeted, room.lines)
    room.loop.advance(0.02)
    assert (0, []) == (len(room.room), room.left)
    guest = room.let_out()
    assert (CLIENT, PACKED, 100.0, (), False, False) == (
        guest.client, guest.packed, guest.accepted_at, guest.reasons, guest.left, guest.is_exempt,
    )  # fmt: skip
    assert guest.policy is REJECT
    assert [schema.Outcome("pregreet", "passed")] == room.events()


def test_an_early_talker_is_refused_at_once(room: Room) -> None:
    """The refusal arrives, although its bytes were never read; the records are complete."""
    client = room.enter(REJECT)
    room.loop.advance(1.0)
    client.send(b"EHLO x\r\n")
    room.loop.settle()
    assert (0, [PACKED], []) == (len(room.room), room.left, room.greeted)
    assert REFUSAL == read_all(client)
    *events, close = room.events()
    assert [
        schema.Readable("hold", 8, "EHLO x\\r\\n"),
        schema.Reason("pregreet", "spoke", "hold", "EHLO x\\r\\n", 2.0, "reject"),
        schema.Verdict("hold", "reject", ("pregreet.spoke",)),
        schema.Reply(554, "5.7.1 You spoke before the greeting [S7]", "connect"),
    ] == events
    assert isinstance(close, schema.Close)
    assert ("192.0.2.7", ("pregreet.spoke",), "reject", 1.0) == (close.client, close.reasons, close.action, round(close.total, 3))


def test_bytes_of_the_last_millisecond_count(room: Room) -> None:
    """The socket is looked at once more before the greeting, also when epoll has not told yet."""
    client = room.enter(REJECT)
    client.send(b"EHLO x\r\n")
    room.loop.advance(5.01)  # the loop's readers had no turn
    assert ([], REFUSAL) == (room.greeted, read_all(client))


def test_peeked_bytes_stay_for_the_taker(room: Room) -> None:
    """A client that is let through has its first byte read by who takes it."""
    client = room.enter(TAG)
    client.send(b"EHLO x\r\n")
    room.loop.settle()
    room.loop.advance(5.01)
    (guest,) = room.greeted
    assert b"EHLO x\r\n" == guest.sock.recv(100)
    assert ["spoke"] == [reason.code for reason in room.let_out().reasons]


def test_early_bytes_wake_the_room_once(room: Room) -> None:
    """They stay in the socket, and a level-triggered epoll would tell of them for ever."""
    client = room.enter(TAG)
    client.send(b"EHLO x\r\n")
    room.loop.settle()
    client.send(b"MAIL FROM:<>\r\n")
    room.loop.settle()
    assert 1 == room.loop.wakeups
    assert ["Readable", "Reason"] == room.names()


def test_an_early_talker_that_closes_wakes_the_room_once_more(room: Room) -> None:
    """Its FIN lies behind bytes that stay, so a peek does not show it: it is told all the same, once."""
    client = room.enter(TAG)
    client.send(b"EHLO x\r\n")
    room.loop.settle()
    room.events()
    client.close()
    room.loop.settle()
    assert 2 == room.loop.wakeups
    assert [schema.Hangup("hold", "fin")] == room.events()
    room.loop.advance(5.01)
    (guest,) = room.greeted
    assert (False, b"EHLO x\r\n") == (guest.left, guest.sock.recv(100))  # it has said something, which is to be served


def test_bytes_and_fin_at_once(room: Room) -> None:
    """Both are recorded, and neither spins."""
    client = room.enter(TAG)
    client.send(b"EHLO x\r\n")
    client.close()
    room.loop.settle()
    assert ["Readable", "Reason", "Hangup"] == room.names()
    assert 2 == room.loop.wakeups


def test_a_client_that_half_closes_is_still_held(room: Room) -> None:
    """A FIN may be a half-close: it is recorded once, and the client is greeted in its time."""
    client = room.enter(REJECT)
    client.shutdown(socket.SHUT_WR)
    room.loop.settle()
    assert (1, 1, [schema.Hangup("hold", "fin")]) == (len(room.room), room.loop.wakeups, room.events())
    room.loop.advance(5.01)
    assert room.let_out().left
    assert [schema.Outcome("pregreet", "passed")] == room.events()


def test_a_fin_of_the_last_millisecond_is_recorded(room: Room) -> None:
    """As bytes are."""
    client = room.enter(REJECT)
    client.shutdown(socket.SHUT_WR)
    room.loop.advance(5.01)
    assert room.let_out().left
    assert ["Hangup", "Outcome"] == room.names()


@pytest.mark.parametrize("before", ["nothing", "bytes", "fin"])
def test_a_client_that_resets_is_gone(room: Room, before: str) -> None:
    """At once, whatever it did before: its descriptor is free, its place is given back."""
    client = room.enter(TAG)
    if before == "bytes":
        client.send(b"EHLO x\r\n")
    elif before == "fin":
        client.shutdown(socket.SHUT_WR)
    room.loop.settle()
    reset(client)
    room.loop.settle()
    assert (0, [PACKED], []) == (len(room.room), room.left, room.greeted)
    assert ["Close", schema.Hangup("hold", "fin" if before == "fin" else "reset")] == [
        "Close", *[event for event in room.events() if isinstance(event, schema.Hangup)],
    ]  # fmt: skip
    with pytest.raises(OSError, match="Bad file"):
        os.fstat(room.fd)
    room.loop.advance(10.0)
    assert [] == room.greeted


def test_a_reset_of_the_last_millisecond(room: Room) -> None:
    """It is found by the look before the greeting."""
    client = room.enter(REJECT)
    probe = socket.socket(fileno=os.dup(room.fd))
    reset(client)
    await_mask(probe, select.POLLHUP)
    probe.close()
    room.loop.advance(5.01)
    assert (0, [PACKED], []) == (len(room.room), room.left, room.greeted)
    assert ["Hangup", "Close"] == room.names()


def test_a_reused_descriptor_does_not_get_the_old_ones_deadline(room: Room) -> None:
    """The kernel gives it out again at once; a deadline knows whose it is."""
    client = room.enter(TAG, wait=5.0)
    fd = room.fd
    reset(client)
    room.loop.settle()
    room.loop.advance(1.0)
    room.enter(TAG, wait=60.0, fd=fd)
    room.loop.advance(10.0)
    assert (1, []) == (len(room.room), room.greeted)
    room.loop.advance(60.0)
    assert 101.0 == round(room.let_out().accepted_at, 3)


def test_many_clients_one_reader_and_one_timer(room: Room) -> None:
    """A held client is a row of numbers; descriptors beyond the first rows make the table grow."""
    fds = [300 + number for number in range(5)]
    for number, fd in enumerate(fds):
        room.enter(TAG, wait=5.0 + number, fd=fd)
    assert (5, 2, 1) == (len(room.room), len(room.loop.readers), len(room.loop.waiting))
    room.loop.advance(20.0)
    assert fds == [guest.sock.fileno() for guest in room.greeted]


def test_who_the_client_is(room: Room) -> None:
    """IPv4, IPv6, or whom a PROXY header named; kept without an object for each."""
    six = Client(Endpoint("2001:db8::7", 40001), Endpoint("::1", 25))
    announced = replace(CLIENT, via=Endpoint("203.0.113.1", 5000))
    for client, packed in ((CLIENT, PACKED), (six, socket.inet_pton(socket.AF_INET6, "2001:db8::7")), (announced, PACKED)):
        room.enter(REJECT, client=client, packed=packed)
        room.loop.advance(5.01)
        guest = room.let_out()
        assert (client, packed) == (guest.client, guest.packed)


def test_an_announced_client_leaves_nothing_behind(room: Room) -> None:
    """Each PROXY header makes an address of its own that was connected to: the room lets go of it with the client."""
    server = Endpoint("198.51.100.2", 25)
    before = sys.getrefcount(server)
    with room.enter(REJECT, client=Client(CLIENT.endpoint, server, via=Endpoint("203.0.113.1", 5000))):
        room.loop.advance(5.01)
        room.let_out()
    assert before == sys.getrefcount(server)


def test_waiting_out_the_hold(room: Room) -> None:
    """Without end_early an early talker is refused when its time has come."""
    client = room.enter(policy(Pregreet(), changes={"end_early": False}))
    client.send(b"EHLO x\r\n")
    room.loop.settle()
    assert 1 == len(room.room)
    room.loop.advance(5.01)
    assert (0, [PACKED], REFUSAL) == (len(room.room), room.left, read_all(client))


def test_an_event_without_news(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    """A wake-up with nothing to see arms the descriptor again, and the next bytes are seen."""
    client = room.enter(REJECT)
    client.send(b"EHLO x\r\n")
    with monkeypatch.context() as patched:
        patched.setattr("tarry.net.waiting_room.peek", lambda sock: None)
        assert 1 == room.loop.turn(0.1)
    assert (1, []) == (len(room.room), room.lines)
    room.loop.settle()
    assert REFUSAL == read_all(client)


def test_a_fault_of_tarry_ends_one_client(room: Room) -> None:
    """It is told to come again and its place is free; the next who has its descriptor begins with nothing of its own."""
    faulty = policy(Pregreet(), reply="999 no reply")
    with room.enter(faulty) as client:
        fd = room.fd
        client.sendall(b"EHLO x\r\n")
        room.loop.settle()
        assert replies.FAULT.raw == read_all(client)
    assert (["ValueError"], [PACKED], 0) == ([type(one["exception"]).__name__ for one in room.faults], room.left, len(room.room))
    assert ["Reply", "Close"] == room.names()
    room.loop.settle()
    with room.enter(REJECT, fd=fd):
        room.loop.advance(5.01)
        assert room.let_out().reasons == ()


def test_going_down(room: Room) -> None:
    """Everyone who is held gets the reply, leaves, and has a closing record; nothing stays in the loop but who lingers."""
    silent, talker = room.enter(TAG), room.enter(TAG)
    talker.send(b"EHLO x\r\n")
    room.loop.settle()
    room.room.close(replies.GOING_DOWN)
    assert [b"421 4.3.2 Service is going down, try again later\r\n"] * 2 == [read_all(silent), read_all(talker)]
    assert (0, [PACKED] * 2) == (len(room.room), room.left)
    told = [event for event in room.events() if isinstance(event, schema.Reply | schema.Close)]
    assert [schema.Reply(421, "4.3.2 Service is going down, try again later", "connect"), "close"] * 2 == [
        event if isinstance(event, schema.Reply) else "close" for event in told
    ]
    room.linger.close()
    assert ({}, []) == (room.loop.readers, room.loop.waiting)


# What is looked up about a client.


SHORT = Span(2.0, 2.0)
LONG = HoldClass("dubious", Span(20.0, 30.0), reasons=frozenset({"listed"}))


def asking(**changes: Any) -> Policy:
    return policy(Pregreet(), Listed(), changes={"wait": SHORT, **changes})


def hold(room: Room, rules: Policy, wait: float = 2.0) -> Answers:
    answers = Answers()
    room.client = room.enter(rules, place=Place(0.25, wait, resolver=answers))
    return answers


def test_the_list_is_asked_while_the_client_waits(room: Room) -> None:
    """What it says is recorded with the rest; the greeting is no later for it."""
    answers = hold(room, asking())
    assert [listing("192.0.2.7", "bl.example")] == [question for question, _ in answers.asked]
    answers.answer()
    assert [] == room.lines
    room.loop.advance(2.01)
    guest = room.let_out()
    assert 1 == len(guest.answers)
    assert [schema.Answer, schema.Outcome, schema.Outcome] == [type(event) for event in room.events()]


def test_that_nothing_is_remembered_takes_no_room(room: Room) -> None:
    """It is kept as a bit, and told when the client leaves; the next client on its descriptor begins without."""
    rules = policy(Pregreet(), Karma(), changes={"wait": SHORT})
    for domain in ("", "example.org"):
        answers = hold(room, rules)
        room.loop.advance(ASK_LATER + 0.01)
        for (question, on_answer), whose in zip(answers.asked, ("", domain), strict=True):
            on_answer(Answer(question, State.NOTHING, domain=whose))
        assert bool(domain) is bool(room.room._answers)
        room.loop.advance(2.0)
        found = room.let_out().answers
        assert [history_of("192.0.2.7"), domain_history_of("192.0.2.7")] == [answer.question for answer in found]
        assert ["", domain] == [answer.domain for answer in found]
    hold(room, rules)
    room.loop.advance(2.01)
    assert () == room.let_out().answers


def test_the_domain_is_asked_for_only_of_those_who_are_still_in(room: Room) -> None:
    """Who has spoken at once and is gone costs no name server a question, nor the next one on its descriptor; a short hold cannot
    wait for that."""
    rules = policy(Pregreet(), Karma(), changes={"wait": SHORT})
    answers = hold(room, rules)
    room.client.send(b"EHLO client.example\r\n")
    room.loop.settle()
    assert "Close" in room.names()
    room.loop.advance(ASK_LATER - 0.1)
    assert [history_of("192.0.2.7")] == [question for question, _ in answers.asked]
    quick = hold(room, policy(Pregreet(), Karma(), changes={"wait": ASK_LATER}), ASK_LATER)
    assert [history_of("192.0.2.7"), domain_history_of("192.0.2.7")] == [question for question, _ in quick.asked]
    room.loop.advance(0.2)
    assert 1 == len(answers.asked)


def test_what_has_not_come_when_the_hold_is_over_is_unknown(room: Room) -> None:
    """The client is greeted on time, and a late answer is nobody's."""
    answers = hold(room, asking())
    room.loop.advance(2.01)
    assert () == room.let_out().answers
    assert schema.Outcome("listed", "unknown", "no answer from bl.example within the hold") in room.events()
    answers.answer("127.0.0.2")
    assert [] == room.lines


def test_an_allow_listed_client_is_greeted_as_soon_as_that_is_known(room: Room) -> None:
    """Without waiting for the rest of its hold."""
    answers = hold(room, asking())
    room.loop.advance(0.1)
    answers.answer("127.0.0.254")
    (reason,) = room.let_out().reasons
    assert -2.0 == reason.weight


class Named(Listed):
    """Asks for the client's names, and speaks for whoever has one."""

    name = "named"
    settings = Settings(action=Action.TAG, weight=-1.0)

    def asks(self, seen: Seen, options: NoOptions) -> tuple[Question, ...]:
        return (names_of(seen.about.client),)

    def look(self, seen: Seen, options: NoOptions) -> Outcome:
        assert isinstance(seen.moment, Answered)
        return Failed("yes") if seen.moment.answer.values else PASSED


def test_a_check_of_names_may_let_a_client_in_too(room: Room) -> None:
    """Not only a list: where a check speaks for clients by its weight, its answer is looked at when it comes."""
    answers = hold(room, policy(Pregreet(), Named(), changes={"wait": SHORT}))
    room.loop.advance(0.1)
    answers.answer("mx.example")
    (reason,) = room.let_out().reasons
    assert ("named", -1.0) == (reason.check, reason.weight)


def test_an_allow_list_does_not_help_who_has_talked(room: Room) -> None:
    """It waits as it would have waited, and is judged for its talk."""
    rules = replace(asking(end_early=False), checks=(armed(Pregreet(), action=Action.REJECT), armed(Listed())))
    answers = hold(room, rules)
    room.client.send(b"EHLO x\r\n")
    room.loop.settle()
    answers.answer("127.0.0.254")
    assert (1, []) == (len(room.room), room.greeted)
    room.loop.advance(2.01)
    assert b"554 5.7.1 You spoke" in read_all(room.client)


def test_a_listed_client_waits_as_its_class_does(room: Room) -> None:
    """At the same share of the range that it drew; the record tells the new wait."""
    answers = hold(room, asking(classes=(LONG,)))
    room.loop.advance(1.0)
    answers.answer("127.0.0.2")
    assert schema.Wait("dubious", 22.5) in room.events()
    room.loop.advance(21.4)
    assert [] == room.greeted
    room.loop.advance(0.2)
    room.let_out()


def test_a_class_may_shorten_the_wait(room: Room) -> None:
    """Whose time has passed already is greeted at once."""
    answers = hold(room, asking(classes=(replace_wait(LONG, Span(0.5, 0.5)),)))
    room.loop.advance(1.0)
    answers.answer("127.0.0.2")
    room.loop.advance(0.01)
    room.let_out()


def test_a_listed_client_may_be_refused_at_once(room: Room) -> None:
    """Where the list asks for a refusal at connect, nothing more is waited for."""
    rules = policy(Listed(), action=Action.REJECT, at=Phase.CONNECT, changes={"wait": SHORT})
    answers = hold(room, rules)
    answers.answer("127.0.0.2")
    assert b"554 5.7.1 You are listed (bl.example) [S7]\r\n" == read_all(room.client)


def test_an_answer_for_a_client_that_has_left_is_nobodys(room: Room) -> None:
    """Its descriptor may be another's by now."""
    answers = hold(room, asking())
    reset(room.client)
    room.loop.settle()
    assert 0 == len(room.room)
    room.lines.clear()
    again = hold(room, asking())
    answers.answer("127.0.0.254")
    assert (1, []) == (len(room.room), room.greeted)
    again.answer("127.0.0.254")
    room.let_out()


def replace_wait(wait_class: HoldClass, wait: Span) -> HoldClass:
    return msgspec.structs.replace(wait_class, wait=wait)


def test_bytes_of_the_last_moment_count_against_an_allow_listed_client(room: Room) -> None:
    """What it said before its greeting is looked at first, and its hang-up is still told apart from its talk."""
    answers = hold(room, asking(end_early=False))
    room.client.send(b"EHLO x\r\n")
    room.loop.advance(0.1)
    answers.answer("127.0.0.254")
    assert (1, []) == (len(room.room), room.greeted)
    room.loop.settle()
    assert "Hangup" not in room.names()


def test_reloads_take_no_memory(room: Room) -> None:
    """A policy and an address go with the last client that has them; another one's clients keep theirs."""
    room.enter(REJECT)
    for number in range(20):
        rules, server = replace(TAG, park_after=float(number)), Endpoint("198.51.100.1", 1000 + number)
        client = room.enter(rules, client=Client(CLIENT.endpoint, server))
        reset(client)
        room.loop.settle()
        assert 1 == len(room.room)
    assert max(len(room.room._policies), len(room.room._servers)) <= 2
    room.loop.advance(5.01)
    assert room.let_out().policy is REJECT
