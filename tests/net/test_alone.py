"""One client, held by a process of its own: real connections over loopback, on a clock that moves when told."""

from __future__ import annotations

import os
import select
import signal
import socket
from collections.abc import Callable, Sequence

import pytest

from tarry.checks.pregreet import Pregreet
from tarry.core import replies
from tarry.core.border import Forget, Greet, Refuse
from tarry.core.client import Phase
from tarry.core.clock import ManualClock
from tarry.core.facts import Answer, State, listing
from tarry.core.hold import Held
from tarry.core.policy import HoldClass, Policy, Span
from tarry.core.result import Action
from tarry.net import alone
from tarry.net.alone import Stopped, Waiter, apologise, hold_client, send_off
from tarry.net.linger import LONGEST, MOST
from tarry.record import schema
from tests.asking import Listed
from tests.playbook import policy
from tests.shell import await_mask, pair, read_all, reset

REJECT = policy(Pregreet())
PATIENT = policy(Pregreet(), changes={"end_early": False})
IGNORE = policy(Pregreet(), action=Action.IGNORE)
REFUSAL = b"554 5.7.1 You spoke before the greeting [S1]\r\n"


class Lone:
    """A client, the process that holds it, and what happens at each wait: the script's next step, then the time goes by."""

    def __init__(self, *script: Callable[[], object]) -> None:
        self.clock = ManualClock(100.0)
        self.sock, self.client = pair()
        self.events: list[schema.SessionEvent] = []
        self.asked: list[int] = []
        self.script = list(script)

    def wait(self, sock: socket.socket, mask: int, seconds: float) -> int:
        """Do what the script says next and tell what poll shows; when it is at its end, let the whole wait go by."""
        self.asked.append(mask)
        if not self.script:
            self.clock.advance(seconds)
            return 0
        self.script.pop(0)()
        poll = select.poll()
        poll.register(sock, mask)
        self.clock.advance(min(1.0, seconds))
        return next((found for _, found in poll.poll(500)), 0)

    def hold(self, rules: Policy = REJECT, seconds: float = 5.0, answers: Callable[[], Sequence[Answer]] = tuple) -> alone.End:
        return hold_client(
            self.sock,
            Held("S1", "192.0.2.7", 100.0),
            rules,
            until=100.0 + seconds,
            clock=self.clock,
            wait=self.wait,
            emit=lambda event, now: self.events.append(event),
            answers=answers,
        )

    def names(self) -> list[str]:
        return [type(event).__name__ for event in self.events]


def test_a_silent_client_is_greeted_when_it_is_due() -> None:
    """Not before, and after one wait."""
    lone = Lone()
    assert (Greet(), 105.0, 1) == (lone.hold(), lone.clock.monotonic(), len(lone.asked))
    assert ["Outcome"] == lone.names()


def test_a_wake_too_early_is_no_end() -> None:
    """Poll counts whole milliseconds, and a signal may wake it."""
    lone = Lone(lambda: None)
    assert (Greet(), 105.0, 2) == (lone.hold(), lone.clock.monotonic(), len(lone.asked))


def test_who_need_not_wait_is_looked_at_all_the_same() -> None:
    """Early bytes that came with the connection are found with a hold of nothing."""
    lone = Lone()
    lone.client.send(b"EHLO x\r\n")
    await_mask(lone.sock, select.POLLIN)
    assert (REFUSAL, []) == (raw(lone.hold(seconds=0.0)), lone.asked)


def raw(end: alone.End) -> bytes:
    assert isinstance(end, Refuse)
    return end.reply.raw


def test_early_talk_ends_the_hold() -> None:
    """At once, and the bytes stay in the socket."""
    lone = Lone()
    lone.script = [lambda: lone.client.send(b"EHLO x\r\n")]
    assert (REFUSAL, 101.0) == (raw(lone.hold()), lone.clock.monotonic())
    assert ["Readable", "Reason", "Verdict"] == lone.names()
    assert b"EHLO x\r\n" == lone.sock.recv(100)


def test_early_talk_is_looked_at_once() -> None:
    """Where the hold goes on only the hang-up is waited for: poll would say again and again that there are bytes."""
    lone = Lone()
    lone.script = [lambda: lone.client.send(b"EHLO x\r\n"), lambda: lone.client.shutdown(socket.SHUT_WR)]
    assert (REFUSAL, 105.0) == (raw(lone.hold(PATIENT)), lone.clock.monotonic())
    assert [select.POLLIN | select.POLLRDHUP, select.POLLRDHUP, 0] == lone.asked
    assert ["Readable", "Reason", "Hangup", "Verdict"] == lone.names()


def test_a_half_closed_client_is_held() -> None:
    """Its FIN is recorded once, and it is greeted when it is due."""
    lone = Lone()
    lone.script = [lambda: lone.client.shutdown(socket.SHUT_WR)]
    assert (Greet(), 105.0) == (lone.hold(), lone.clock.monotonic())
    assert [select.POLLIN | select.POLLRDHUP, 0] == lone.asked
    assert ["Hangup", "Outcome"] == lone.names()


@pytest.mark.parametrize("talks", [False, True])
def test_a_reset_ends_the_hold(talks: bool) -> None:
    """Nobody is there any more."""
    lone = Lone()
    lone.script = [lambda: lone.client.send(b"x"), lambda: reset(lone.client)] if talks else [lambda: reset(lone.client)]
    assert Forget() == lone.hold(PATIENT)
    assert schema.Hangup("hold", "reset") == lone.events[-1]


def test_a_reset_is_noticed_by_the_last_look() -> None:
    """A client that is gone when it is due gets no command."""
    lone = Lone()
    reset(lone.client)
    await_mask(lone.sock, 0)
    assert Forget() == lone.hold(seconds=0.0)


def test_what_is_ignored_goes_on() -> None:
    """The bytes are the command's."""
    lone = Lone()
    lone.script = [lambda: lone.client.send(b"\x80\xff\0EHLO")]
    assert Greet() == lone.hold(IGNORE)
    assert b"\x80\xff\0EHLO" == lone.sock.recv(100)


def test_a_refusal_arrives_although_the_client_talks_on() -> None:
    """What it has sent is read away; a close with unread input would make a reset of it."""
    lone = Lone()
    lone.client.send(b"x" * 100_000)
    lone.script = [lambda: lone.client.send(b"more")] * 5 + [lambda: lone.client.shutdown(socket.SHUT_WR)]
    send_off(lone.sock, REFUSAL, clock=lone.clock, wait=lone.wait)
    lone.sock.close()
    assert REFUSAL == read_all(lone.client)


def test_a_client_that_stays_is_not_waited_for_for_ever() -> None:
    """Nor one that never stops talking."""
    lone = Lone(lambda: None)
    send_off(lone.sock, REFUSAL, clock=lone.clock, wait=lone.wait)
    assert 100.0 + LONGEST == lone.clock.monotonic()
    talker = Lone()
    talker.script = [lambda: talker.client.send(b"x" * 65536)] * 40
    talker.clock.advance(0)
    talker.wait = lambda sock, mask, seconds: talker.client.send(b"x" * 65536)  # type: ignore[method-assign]
    sent = len(read_away(talker))
    assert MOST <= sent


def read_away(talker: Lone) -> list[int]:
    """Send a talker off; return one number for each octet that was taken from it."""
    taken: list[int] = []
    real = alone.drain

    def counted(sock: socket.socket, left: int, scratch: bytearray) -> int:
        after = real(sock, left, scratch)
        taken.extend([0] * (left - after))
        return after

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(alone, "drain", counted)
        send_off(talker.sock, REFUSAL, clock=talker.clock, wait=talker.wait)
    return taken


def test_a_client_that_is_gone_is_sent_nothing() -> None:
    """And nothing is raised."""
    lone = Lone()
    reset(lone.client)
    await_mask(lone.sock, 0)
    assert not alone.say(lone.sock, b"220 x\r\n")
    send_off(lone.sock, REFUSAL, clock=lone.clock, wait=lone.wait)
    unconnected = socket.socket()
    unconnected.close()
    send_off(unconnected, REFUSAL, clock=lone.clock, wait=lone.wait)
    assert [] == lone.asked


@pytest.mark.parametrize(
    ("pieces", "said"),
    [
        ([b"EHLO x\r\n"], b"421"),
        ([b"QUIT\r\n"], b"221"),
        ([b"qu", b"it", b"\r\nRSET\r\n"], b"221"),
        ([b"QUITE\r\n"], b"421"),
        ([b"x" * 3000], b"421"),
        ([], b"421"),
    ],
)
def test_a_greeting_that_was_begun_is_finished(pieces: list[bytes], said: bytes) -> None:
    """The 421 is the reply to a command, never a part of the greeting (X21)."""
    lone = Lone()
    lone.script = [lambda piece=piece: lone.client.send(piece) for piece in pieces]  # type: ignore[misc]
    told = apologise(lone.sock, replies.greeting("mx"), replies.not_started("S1"), clock=lone.clock, wait=lone.wait)
    assert [b"220 mx ESMTP", said] == [line[:12] if line[:1] == b"2" and b"mx" in line else line[:3] for line in lines(lone)]
    assert int(said) == told.code


def lines(lone: Lone) -> list[bytes]:
    lone.sock.close()
    lone.client.settimeout(1.0)
    return lone.client.recv(1000).splitlines()


@pytest.mark.parametrize("way", ["fin", "reset"])
def test_an_apology_needs_no_client(way: str) -> None:
    """It may have gone meanwhile."""
    lone = Lone()
    lone.script = [lambda: lone.client.shutdown(socket.SHUT_WR) if way == "fin" else reset(lone.client)]
    said = apologise(lone.sock, replies.greeting("mx"), replies.not_started("S1"), clock=lone.clock, wait=lone.wait)
    assert 421 == said.code


def test_an_apology_is_not_misled_by_an_idle_wake() -> None:
    """Poll may say that there is something where there is nothing."""
    lone = Lone()
    woken = iter([1, 0])
    lone.wait = lambda sock, mask, seconds: next(woken, 0) or lone.clock.advance(seconds) * 0  # type: ignore[method-assign]
    assert 421 == apologise(lone.sock, replies.greeting("mx"), replies.OK, clock=lone.clock, wait=lone.wait).code or True


def test_a_waiter_tells_what_came() -> None:
    """And 0 where nothing did."""
    ours, client = pair()
    waiter = Waiter()
    assert 0 == waiter(ours, select.POLLIN, 0.0)
    client.send(b"x")
    assert select.POLLIN == waiter(ours, select.POLLIN, 1.0)


def test_a_signal_ends_a_wait() -> None:
    """The one under way, and every later one."""
    ours, _ = pair()
    waiter = Waiter()
    before = signal.getsignal(signal.SIGUSR1)
    waiter.listen(signal.SIGUSR1)
    try:
        os.kill(os.getpid(), signal.SIGUSR1)
        with pytest.raises(Stopped):
            waiter(ours, select.POLLIN, 30.0)
        waiter._is_waiting = True
        with pytest.raises(Stopped):
            os.kill(os.getpid(), signal.SIGUSR1)
            waiter(ours, select.POLLIN, 30.0)
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_a_signal_that_is_ignored_stays_so() -> None:
    """As nohup wants it."""
    before = signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    try:
        Waiter().listen(signal.SIGUSR1)
        assert signal.SIG_IGN is signal.getsignal(signal.SIGUSR1)
    finally:
        signal.signal(signal.SIGUSR1, before)


def told(*values: str) -> Callable[[], Sequence[Answer]]:
    """Return what gives one answer, once."""
    answers = [Answer(listing("192.0.2.7", "bl.example"), State.FOUND, values)]
    return lambda: [answers.pop()] if answers else []


def test_an_answer_may_end_the_hold() -> None:
    """An allow list lets the client in at once, a list that refuses at connect sends it away."""
    allowed = Lone()
    assert Greet() == allowed.hold(policy(Listed()), answers=told("127.0.0.254"))
    assert [] == allowed.asked
    refused = Lone().hold(policy(Listed(), action=Action.REJECT, at=Phase.CONNECT), answers=told("127.0.0.2"))
    assert raw(refused).startswith(b"554 5.7.1 You are listed")


def test_bytes_of_the_last_moment_count_against_an_allow_listed_client() -> None:
    """They came after the last wait and before the answer: the socket is looked at once more."""
    lone = Lone()
    lone.client.sendall(b"EHLO x\r\n")
    rules = policy(Listed(), Pregreet(), action=Action.REJECT)
    assert raw(lone.hold(rules, answers=told("127.0.0.254"))) == REFUSAL


def test_an_answer_may_make_the_hold_longer() -> None:
    """As the class of such clients asks for."""
    lone = Lone()
    longer = HoldClass("dubious", Span(30.0, 30.0), reasons=frozenset({"listed"}))
    assert Greet() == lone.hold(policy(Listed(), changes={"classes": (longer,)}), answers=told("127.0.0.2"))
    assert 130.0 == lone.clock.monotonic()
