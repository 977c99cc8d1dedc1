"""A habit that is played by whoever holds the clock: here the test itself."""

import math

from tarry.probe.caller import PATIENCE, Caller
from tarry.probe.habits import habits
from tarry.probe.steps import Habit, Hear, Kind, Options, Say, Step
from tarry.probe.trace import Ending, Seconds

HELLO = b"EHLO tarry.invalid\r\n"


def named(name: str, options: Options | None = None) -> Habit:
    return next(habit for habit in habits(options or Options()) if habit.name == name)


def made_of(*steps: Step) -> Habit:
    return Habit(name="x", kind=Kind.BOT, did="", goal="greeting", steps=steps)


def says(caller: Caller, now: float) -> list[bytes]:
    """Return what a client says at that moment, which must be when it acts."""
    said = []
    while caller.acts_at <= now:
        what = caller.act(now)
        said += [] if what is None else [what]
    return said


def test_a_patient_client_speaks_when_it_has_heard() -> None:
    """It waits for the greeting and for each reply; the times are those that it was told."""
    caller = Caller(named("patient"))

    assert [] == says(caller, 0.0)
    assert PATIENCE == caller.acts_at
    caller.hear(b"220 mx.example\r\n", 4.5)
    assert (4.5, [HELLO]) == (caller.acts_at, says(caller, 4.5))
    caller.hear(b"250-mx.example\r\n", 5.0)
    assert [] == says(caller, 5.0)
    caller.hear(b"250 SIZE\r\n", 6.0)
    assert [b"MAIL FROM:<probe@tarry.invalid>\r\n"] == says(caller, 6.0)
    caller.closed(7.0)
    trace = caller.trace()
    assert [("greeting", 220, 4.5), ("ehlo", 250, 6.0)] == [(reply.to, reply.code, reply.after) for reply in trace.replies]
    assert (Ending.SERVER, 7.0, "patient", 2, False) == (
        trace.ended,
        trace.ended_after,
        trace.habit,
        trace.sent_lines,
        trace.quit_sent,
    )


def test_an_early_talker_speaks_at_once() -> None:
    """Before it has heard anything."""
    caller = Caller(named("blind"))
    (said,) = says(caller, 0.0)

    assert said.startswith(HELLO) and said.endswith(b"QUIT\r\n")


def test_a_client_without_patience_closes() -> None:
    """When its time is over, once; then it does nothing more, and hears nothing."""
    caller = Caller(named("impatient"))

    assert [] == says(caller, 0.0)
    assert 2.0 == caller.acts_at
    assert [b""] == says(caller, 2.0)
    assert math.inf == caller.acts_at
    caller.hear(b"220 mx.example\r\n", 3.0)
    caller.closed(4.0)
    assert (Ending.CLIENT, 2.0, ()) == ((trace := caller.trace()).ended, trace.ended_after, trace.replies)


def test_patience_without_a_bound_ends_as_the_standard_allows() -> None:
    """After five minutes the most honest client goes."""
    caller = Caller(named("patient"))

    assert [] == says(caller, 0.0)
    assert [b""] == says(caller, PATIENCE)


def test_a_slow_writer_takes_its_time() -> None:
    """Each octet is a moment of its own."""
    caller = Caller(made_of(Say(b"QUIT", pace=Seconds(4.0))))

    assert [(0.0, [b"Q"]), (1.0, [b"U"]), (2.0, [b"I"]), (3.0, [b"T"])] == [
        (at, says(caller, at)) for at in (caller.acts_at, 1.0, 2.0, 3.0)
    ]


def test_closing_its_half_is_not_the_end() -> None:
    """It is said once, and the client goes on to hear."""
    caller = Caller(named("half-closer"))

    assert [] == says(caller, 0.0)
    assert [b""] == says(caller, 0.2)
    caller.hear(b"220 mx.example\r\n", 4.0)
    assert [] == says(caller, 4.0)
    assert [] == says(caller, 5.0), "it has closed already"
    assert (Ending.CLIENT, 5.0) == ((trace := caller.trace()).ended, trace.ended_after)
    assert [220] == [reply.code for reply in trace.replies]


def test_a_refusal_with_the_end_is_the_answer_to_what_was_waited_for() -> None:
    """As in the player with a socket."""
    caller = Caller(named("blind"))
    says(caller, 0.0)
    caller.hear(b"554 no\r\n", 0.0)
    caller.closed(0.0)

    assert [("greeting", 554)] == [(reply.to, reply.code) for reply in caller.trace().replies]


def test_a_connection_that_ends_before_it_begins_leaves_nothing_undone() -> None:
    """No step is left in the air."""
    caller = Caller(made_of(Hear("greeting"), Say(b"x")))
    caller.closed(0.0)

    assert (Ending.SERVER, "", ()) == ((trace := caller.trace()).ended, trace.sent, trace.replies)
