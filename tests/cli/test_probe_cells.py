"""What a client got, in a few words."""

import pytest

from tarry.cli.probe_cells import after, cell, length, place
from tarry.cli.probe_presets import Outcome, cases, outcomes
from tarry.core.admission import Admitted
from tarry.probe.trace import Ending, Reply, Seconds, Trace
from tarry.probe.verdict import judge
from tarry.record import schema
from tarry.rehearsal.play import Play
from tarry.rehearsal.scene import Happened

CASES = {case.habit.name: case for case in cases()}


def made(
    name: str,
    *replies: tuple[str, int, float],
    ended: Ending = Ending.SERVER,
    at: float = 9.0,
    events: tuple[schema.SessionEvent, ...] = (),
    messages: int = 1,
) -> Outcome:
    """Return what a client would have got that heard these replies."""
    heard = tuple(Reply(code, "text", Seconds(when), to) for to, code, when in replies)
    trace = Trace(habit=name, replies=heard, ended=ended, ended_after=Seconds(at))
    played = Play(Admitted.HELD, tuple(Happened(0.0, event) for event in events), 0.0, False, None, 1, messages)
    return Outcome("tarry", CASES[name], judge(CASES[name].habit, trace, Seconds(4.0)), played)


GREETED = ("greeting", 220, 4.5)
THROWN = (schema.Reply(250, "Ok", "message"),)
TAGGED = (schema.Verdict("rcpt", "tag", ("helo.localhost",)),)


def hold(asked: float, ended: str = "left") -> tuple[schema.SessionEvent, ...]:
    return (schema.Hold("tarpit.rcpt", asked, 60.0, ended, "rcpt"),)


@pytest.mark.parametrize(
    ("expected", "outcome"),
    [
        ("delivered after 4.5 s", made("patient", GREETED, ("message", 250, 4.5))),
        ("delivered at once", made("patient", ("greeting", 220, 0.0), ("message", 250, 0.0))),
        ("taken and thrown away after 30 min", made("rcpt-flood", GREETED, ("message", 250, 1800.0), events=THROWN, messages=0)),
        ("let through after 4.5 s", made("piler", GREETED, ("rcpt", 250, 4.5))),
        ("let through after 4.5 s, tagged", made("piler", GREETED, ("rcpt", 250, 4.5), events=TAGGED)),
        ("greeted after 4.5 s", made("impatient", GREETED, ended=Ending.CLIENT, events=TAGGED)),
        ("greeted after 4.5 s", made("half-closer", GREETED)),
        ("554 at once", made("blind", ("greeting", 554, 0.0))),
        ("554 after 1 s", made("patient", ("greeting", 554, 1.0))),
        ("550 to RCPT after 6 s", made("patient", ("greeting", 220, 6.0), ("rcpt", 550, 6.0))),
        ("452 to the 19th RCPT after 6 s", made("rcpt-flood", ("greeting", 220, 6.0), ("rcpt 19", 452, 6.0))),
        ("521 after 5 s", made("tls-first", GREETED, ("", 521, 5.0))),
        ("closed after 9 s", made("blind")),
        ("gives up ungreeted after 20 s", made("impatient", ended=Ending.CLIENT, at=20.0)),
        (
            "held 30 min at the 2nd RCPT, gives up",
            made("rcpt-flood", GREETED, *[("rcpt 1", 250, 5.0)] * 3, ended=Ending.CLIENT, events=hold(1800.0)),
        ),
        ("no reply to HELO, gives up", made("bare-helo", GREETED, ended=Ending.CLIENT)),
        ("no reply to HELO, gives up", made("bare-helo", GREETED, ended=Ending.CLIENT, events=hold(2.0, "due"))),
        ("no reply to EHLO", made("patient", GREETED, ended=Ending.TIMEOUT)),
        ("no reply to QUIT", made("bare-lf", *[GREETED] * 30, ended=Ending.TIMEOUT)),
    ],
)
def test_cells(expected: str, outcome: Outcome) -> None:
    """The code and where it came, or what was held and where the client went."""
    assert expected == cell(outcome)


@pytest.mark.parametrize(
    ("expected", "seconds"),
    [
        ("0.3 s", 0.3),
        ("1 s", 1.0),
        ("165 s", 165.0),
        ("30 min", 1800.0),
        ("12.5 min", 750.0),
        ("2 h", 7200.0),
        ("25.8 h", 93000.0),
    ],
)
def test_lengths_have_the_digits_that_matter(expected: str, seconds: float) -> None:
    """Seconds up to five minutes, then minutes, then hours."""
    assert expected == length(seconds)


def test_the_first_moments_are_at_once() -> None:
    """And all else is after something."""
    assert ["at once", "after 0.1 s"] == [after(0.04), after(0.1)]


@pytest.mark.parametrize(
    ("expected", "what"),
    [
        ("RCPT", "rcpt"),
        ("the 1st RSET", "rset 1"),
        ("the 2nd NOOP", "noop 2"),
        ("the 3rd RCPT", "guess 3"),
        ("the 4th RCPT", "rcpt 4"),
        ("the 11th RCPT", "rcpt 11"),
        ("the 21st RCPT", "rcpt 21"),
        ("the 1st line", "line 1"),
        ("the message", "message"),
    ],
)
def test_places_in_words(expected: str, what: str) -> None:
    """Numbers with their endings; a guess is a RCPT."""
    assert expected == place(what)


def test_what_is_played_has_a_cell() -> None:
    """No client of the table is without words."""
    (found,) = outcomes(list(CASES.values()), ["tarry"])

    assert all(0 < len(cell(one)) <= 45 for one in found)
