import io

import pytest
from rich.console import Console

from tarry.cli.probe_table import got, table
from tarry.probe.habits import habits
from tarry.probe.steps import Hear, Options
from tarry.probe.trace import GREETING as GREETED
from tarry.probe.trace import Ending, Reply, Seconds, Trace
from tarry.probe.verdict import Finding, Verdict, judge_all

HABITS = habits(Options())
NAMED = {habit.name: habit for habit in HABITS}
REFUSAL = Reply(521, "5.5.1 mx.example.org you talked before the greeting", Seconds(0.0), "greeting")
GREETING = Reply(220, "mx.example.org ESMTP", Seconds(4.2), "greeting")


def finding(name: str, *replies: Reply, ended: Ending = Ending.SERVER, problem: str = "") -> Finding:
    trace = Trace(habit=name, replies=replies, ended=ended, ended_after=Seconds(5.0), problem=problem)
    return judge_all([(NAMED[name], trace)])[0]


def drawn(width: int, *known: Finding) -> str:
    console = Console(file=io.StringIO(), width=width, color_system=None, legacy_windows=False)
    console.print(table(HABITS, {each.habit.name: each for each in known}, width=width, elapsed=1.5))
    file = console.file
    assert isinstance(file, io.StringIO)
    return file.getvalue()


@pytest.mark.parametrize("width", [50, 80, 130])
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    """Neither with long replies nor with control characters that were escaped."""
    long = Reply(554, "x" * 100, Seconds(0.1), "greeting")
    lines = drawn(width, finding("blind", long), finding("patient", GREETING), finding("piler", REFUSAL)).splitlines()

    assert max(map(len, lines)) <= width


def test_at_80_columns_names_deeds_times_and_verdicts_are_whole() -> None:
    """Only what the client got may be wrapped."""
    text = drawn(80, finding("one-early-byte", REFUSAL))

    assert "one-early-byte   one byte too early    521 you talked        0.0 s  turned away" in text
    assert "dead-recipients  guesses 20 addresses" in text
    assert "mails before the 354" in text


def test_a_client_without_a_finding_is_waiting() -> None:
    """Its row is there from the beginning and counts the seconds."""
    assert drawn(80).count("1.5 s  waiting") == len(HABITS)


def test_a_wide_terminal_shows_more() -> None:
    """The first reply's time, the number of replies and who closed."""
    text = drawn(130, finding("blind", REFUSAL, ended=Ending.RESET))

    assert "first reply" in text and "replies" in text and "server reset" in text
    assert "first reply" not in drawn(80)


def test_a_narrow_terminal_leaves_out_what_the_name_says() -> None:
    """Below 72 columns there is no room for what a client did."""
    assert "what it did" not in drawn(60) and "what it did" in drawn(72)


def test_markup_from_the_server_is_text() -> None:
    """A reply cannot colour the table or break it."""
    assert "[red]" in drawn(80, finding("patient", Reply(554, "[red]no[/", Seconds(0.1), "greeting")))


@pytest.mark.parametrize(
    ("expected", "seen"),
    [
        ("521 you talked before the greeting", finding("blind", REFUSAL)),
        ("521 mx.example.org", finding("blind", Reply(521, "mx.example.org", Seconds(0.0), "greeting"))),
        ("220 greeting", finding("tls-first", GREETING, ended=Ending.CLIENT)),
        ("220, then 500 what", finding("tls-first", GREETING, Reply(500, "what", Seconds(4.3)), ended=Ending.CLIENT)),
        ("220, then closed", finding("patient", GREETING)),
        ("220, then nothing", finding("bare-lf", GREETING, ended=Ending.CLIENT)),
        ("closed without a reply", finding("blind")),
        ("reset without a reply", finding("blind", ended=Ending.RESET)),
        ("nothing: it was held", finding("impatient", ended=Ending.CLIENT)),
        ("nothing", finding("patient", ended=Ending.TIMEOUT)),
        ("no connection: no route", finding("patient", ended=Ending.UNREACHABLE, problem="no route")),
        ("HTTP/1.1 400", finding("patient", Reply(0, "HTTP/1.1 400", Seconds(0.1), "greeting"))),
    ],
)
def test_what_a_client_got_in_a_few_words(expected: str, seen: Finding) -> None:
    """The deciding reply without its enhanced code and host name, or what took its place."""
    assert expected == got(seen)


def flood(name: str, *codes: tuple[int, float], ended: Ending = Ending.CLIENT, text: str = "Ok") -> Finding:
    """Return what became of a flood that was greeted at once and whose replies took so long each."""
    dues = [step.what for step in NAMED[name].steps if isinstance(step, Hear)]
    at, replies = 0.0, [Reply(220, "mx.example.org", Seconds(0.0), GREETED)]
    begun = next(number for number, due in enumerate(dues) if due.endswith(" 1"))
    replies += [Reply(250, "", Seconds(0.0), due) for due in dues[1:begun]]
    for (code, took), due in zip(codes, dues[begun:], strict=False):
        at += took
        replies.append(Reply(code, text, Seconds(at), due))
    trace = Trace(habit=name, replies=tuple(replies), ended=ended, ended_after=Seconds(at + 10.0))
    return judge_all([(NAMED[name], trace)])[0]


@pytest.mark.parametrize(
    ("expected", "seen"),
    [
        ("25 x 250, at once", flood("rcpt-flood", *[(250, 0.0)] * 25)),
        ("25 x 250, 1.5 s each", flood("rcpt-flood", *[(250, 1.5)] * 25)),
        ("25 x 250, up to 30 s each", flood("rcpt-flood", *[(250, 0.0)] * 24, (250, 30.0))),
        ("5 x 250, at once, then none for 10 s", flood("rcpt-flood", *[(250, 0.0)] * 5)),
        ("5 x 250, 2.0 s each, and so on", flood("rcpt-flood", *[(250, 2.0)] * 5, ended=Ending.TIMEOUT)),
        ("9 x 250, 1 x 452, at once: Too many", flood("rcpt-flood", *[(250, 0.0)] * 9, (452, 0.0), text="4.5.3 Too many")),
        ("9 x 250, at once, then closed", flood("rcpt-flood", *[(250, 0.0)] * 9, ended=Ending.SERVER)),
        ("9 x 250, at once, then reset", flood("rcpt-flood", *[(250, 0.0)] * 9, ended=Ending.RESET)),
        ("20 x 550, at once", flood("dead-recipients", *[(550, 0.0)] * 20, (250, 0.0))),
        ("20 x 550, at once, then 550 Ok", flood("dead-recipients", *[(550, 0.0)] * 20, (550, 0.0))),
        ("250 to MAIL, then none for 10 s", flood("rcpt-flood")),
    ],
)
def test_what_a_flood_got(expected: str, seen: Finding) -> None:
    """Codes, seconds for each reply, and what came after them; before there are any, what any client got."""
    assert expected == got(seen)


def test_every_verdict_can_be_drawn() -> None:
    """No word lacks a style or breaks the width of its column."""
    for verdict in Verdict:
        assert verdict in drawn(80, Finding(NAMED["patient"], finding("patient", GREETING).trace, verdict, GREETING))
