"""The player without a network: a wire with a written script and a clock that only moves when somebody waits."""

import asyncio
from dataclasses import dataclass, field

import pytest

from tarry.probe.habits import habits
from tarry.probe.play import Said, perform
from tarry.probe.steps import GOODBYE, Habit, HalfClose, Hear, Kind, Listen, Options, Pause, Say, Step
from tarry.probe.trace import Reply, Seconds

CLOSE = 0  # in a script: the server closes


class Stuck(Exception):
    """The client waits without bound and nothing will come; a real one would meet the time-out."""


@dataclass
class ScriptedWire:
    """Plays (delay since the last event, code) one after another, as far as the client waits for it."""

    script: list[tuple[float, int]]
    replies: list[Reply] = field(default_factory=list)
    is_open: bool = True
    now: float = 0.0
    sent: list[tuple[float, bytes]] = field(default_factory=list)
    half_closed_at: float | None = None
    last_at: float = 0.0

    async def send(self, data: bytes) -> None:
        self.sent.append((self.now, data))

    async def half_close(self) -> None:
        self.half_closed_at = self.now

    async def wait(self, count: int, within: Seconds | None) -> None:
        until = None if within is None else self.now + within
        while self.is_open and len(self.replies) < count:
            due = max(self.now, self.last_at + self.script[0][0]) if self.script else None
            if due is None and until is None:
                raise Stuck
            if due is None or (until is not None and due > until):
                assert until is not None
                self.now = until
                return
            self.now = self.last_at = due
            _, code = self.script.pop(0)
            if code == CLOSE:
                self.is_open = False
            else:
                self.replies.append(Reply(code, "", Seconds(self.now)))


def run(habit: Habit | tuple[Step, ...], *script: tuple[float, int], polite: bool = True) -> tuple[ScriptedWire, Said]:
    if isinstance(habit, tuple):
        habit = Habit(name="x", kind=Kind.BOT, did="", goal="greeting", steps=habit, polite=polite)
    wire, said = ScriptedWire(list(script)), Said()
    asyncio.run(perform(habit, wire, said))
    return wire, said


def named(name: str) -> Habit:
    return next(habit for habit in habits(Options()) if habit.name == name)


def test_each_reply_is_known_by_what_it_answers() -> None:
    """The patient client's replies are named in the order in which it asked."""
    codes = (220, 250, 250, 250, 354, 250, 221, CLOSE)
    _, said = run(named("patient"), *((1.0, code) for code in codes))

    assert said.heard == ["greeting", "ehlo", "mail", "rcpt", "data", "message", "quit"]
    assert said.quit


def test_a_polite_client_says_nothing_until_it_hears_the_greeting() -> None:
    """The first byte leaves when the 220 is there, not before."""
    wire, _ = run(named("patient"), (4.2, 220), (0.0, CLOSE))

    assert wire.sent == [(4.2, b"EHLO tarry.invalid\r\n")]


def test_a_refused_polite_client_says_quit_and_nothing_else() -> None:
    """A 554 instead of the greeting ends the session as RFC 5321 §3.1 wants it."""
    wire, said = run(named("patient"), (1.0, 554), (0.1, 221), (0.1, CLOSE))

    assert [data for _, data in wire.sent] == [b"QUIT\r\n"]
    assert said.heard == ["greeting", "quit"]


def test_a_second_refusal_does_not_make_it_say_quit_again() -> None:
    """Even a refused QUIT is the last word."""
    wire, _ = run(named("patient"), (1.0, 554), (0.1, 503), (0.1, CLOSE))

    assert [data for _, data in wire.sent] == [b"QUIT\r\n"]


def test_the_blind_client_talks_on_into_the_refusal() -> None:
    """After a 521 it sends its message once more, as commands."""
    wire, said = run(named("blind"), (0.0, 521), (0.5, CLOSE))

    assert [data[:5] for _, data in wire.sent] == [b"EHLO ", b"From:"]
    assert said.heard == ["greeting"]


def test_the_blind_client_has_no_more_to_say_when_it_is_served() -> None:
    """Its session was complete in the first breath."""
    wire, _ = run(named("blind"), *((0.1, code) for code in (220, 250, 250, 250, 354, 250, 221)), (0.1, CLOSE))

    assert len(wire.sent) == 1


def test_a_reply_that_stays_away_ends_the_habit() -> None:
    """The impatient client leaves at its time and does not even QUIT."""
    wire, said = run(named("impatient"), (4.0, 220))

    assert (wire.now, wire.sent, said.heard) == (2.0, [], [])


def test_a_pace_spreads_one_line_over_time() -> None:
    """Each byte is a send of its own and the last wait ends at the whole length."""
    wire, said = run((Say(b"EHLO\r\n", pace=Seconds(3.0)),))

    assert [(round(at, 3), data) for at, data in wire.sent] == [
        (0.0, b"E"),
        (0.5, b"H"),
        (1.0, b"L"),
        (1.5, b"O"),
        (2.0, b"\r"),
        (2.5, b"\n"),
    ]
    assert (said.length, said.lines, said.beginning) == (6, 1, b"EHLO\r\n")


def test_a_slow_line_stops_when_the_server_closes() -> None:
    """There is nobody to type for any more."""
    wire, _ = run((Say(b"EHLO\r\n", pace=Seconds(3.0)),), (1.2, CLOSE))

    assert b"".join(data for _, data in wire.sent) == b"EHL"


def test_listening_ends_after_a_quiet_moment() -> None:
    """Replies that keep coming are all taken; the first pause of that length ends it."""
    wire, _ = run((Listen(Seconds(1.0)), Say(b"x")), (0.9, 500), (0.9, 500), (1.1, 500))

    assert (len(wire.replies), [at for at, _ in wire.sent]) == (2, [2.8])


def test_a_pause_is_cut_short_by_the_server_closing_only() -> None:
    """Replies do not end a pause."""
    assert run((Pause(Seconds(2.0)),), (0.5, 220))[0].now == 2.0
    assert run((Pause(Seconds(2.0)),), (0.5, 220), (0.5, CLOSE))[0].now == 1.0


def test_the_half_closer_closes_its_half_while_it_is_held() -> None:
    """And it still hears the greeting."""
    wire, said = run(named("half-closer"), (4.0, 220), (0.0, CLOSE))

    assert (wire.half_closed_at, wire.sent, said.heard) == (0.2, [], ["greeting"])


def test_replies_that_came_with_the_end_are_still_answers() -> None:
    """A server that answers a whole pile and closes at once has answered each command of it."""
    steps = (Say(b"all"), Pause(Seconds(1.0)), Hear("greeting"), Hear("ehlo"), Hear("mail"))
    _, said = run(steps, (0.1, 220), (0.0, 250), (0.0, CLOSE))

    assert said.heard == ["greeting", "ehlo"]


def test_more_replies_than_questions_are_left_without_a_name() -> None:
    """What nobody asked for answers nothing."""
    wire, said = run((Hear("greeting"), *GOODBYE), (0.1, 521), (0.1, 421), (0.1, 421), (0.1, CLOSE))

    assert (len(wire.replies), said.heard) == (3, ["greeting", "quit"])


def test_a_client_without_bound_waits_for_ever() -> None:
    """An honest client is ended by the time-out of the player only."""
    with pytest.raises(Stuck):
        run(named("patient"))


def test_what_was_said_is_remembered_within_bounds() -> None:
    """The count is exact, the text is its beginning, and a QUIT at the end of a pile is one."""
    said = Said()
    said.add(b"x" * 80)
    said.add(b"y" * 80 + b"\nQUIT\r\n")

    assert (said.length, said.lines, said.beginning, said.quit) == (167, 2, b"x" * 80 + b"y" * 20, True)


def test_a_refusal_that_is_borne_changes_nothing() -> None:
    """The guesser takes each no as an answer, and says QUIT at the first that it does not bear."""
    codes = (220, 250, 250, *[550] * 20, 550, 221, CLOSE)
    wire, said = run(named("dead-recipients"), *((0.1, code) for code in codes))

    assert said.heard[-2:] == ["rcpt", "quit"]
    assert [data for _, data in wire.sent][-2:] == [b"RCPT TO:<postmaster@localhost>\r\n", b"QUIT\r\n"]


@pytest.mark.parametrize(
    ("greeting", "expected"),
    [("mx.example.org ESMTP", b"HELO mx.example.org\r\n"), ("", b"HELO localhost\r\n"), ("[red]\\x1b hi", b"HELO localhost\r\n")],
)
def test_the_servers_own_name_is_what_its_greeting_begins_with(greeting: str, expected: bytes) -> None:
    """Where that is a host name; nothing else of what a server says gets into a command."""
    wire = ScriptedWire([], replies=[Reply(220, greeting, Seconds(0.0))])
    steps = (Hear("greeting"), Say(b"HELO {server}\r\n", as_server=True), Say(b"{server}"))
    asyncio.run(perform(Habit(name="x", kind=Kind.BOT, did="", goal="greeting", steps=steps), wire, Said()))

    assert [expected, b"{server}"] == [data for _, data in wire.sent]


def test_without_a_greeting_the_servers_name_is_not_known() -> None:
    """A client that does not wait for it says localhost."""
    wire, _ = run((Say(b"HELO {server}\r\n", as_server=True),))

    assert [b"HELO localhost\r\n"] == [data for _, data in wire.sent]


def test_half_close_is_a_step_like_any_other() -> None:
    """It happens in its turn."""
    wire, _ = run((Hear("greeting"), HalfClose()), (3.0, 220))

    assert wire.half_closed_at == 3.0
