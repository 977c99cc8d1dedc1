from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tarry.probe.habits import NAMES, habits
from tarry.probe.steps import Habit, Hear, Kind, Options
from tarry.probe.trace import Ending, Reply, Seconds, Trace
from tarry.probe.verdict import Finding, Mood, Verdict, exit_status, judge, judge_all, summarise

ALL = {habit.name: habit for habit in habits(Options())}
SERVED = (220, 250, 250, 250, 354, 250, 221)


def trace(name: str, *codes: int, ended: Ending = Ending.SERVER, quit: bool = True, at: float = 4.2, lines: int = 0) -> Trace:
    """A trace whose replies come one after another from *at* on and answer what the habit asks, in order."""
    dues = [step.what for step in ALL[name].steps if isinstance(step, Hear)]
    dues += [""] * len(codes)
    replies = tuple(Reply(code, "text", Seconds(at), due) for code, due in zip(codes, dues, strict=False))
    return Trace(habit=name, replies=replies, ended=ended, ended_after=Seconds(9.0), quit_sent=quit, sent_lines=lines)


def verdict(name: str, *codes: int, ended: Ending = Ending.SERVER, quit: bool = True) -> Verdict:
    return judge(ALL[name], trace(name, *codes, ended=ended, quit=quit)).verdict


@pytest.mark.parametrize(
    ("expected", "name", "codes", "ended"),
    [
        (Verdict.DELIVERED, "patient", SERVED, Ending.SERVER),
        (Verdict.DELIVERED, "patient", SERVED[:6], Ending.RESET),
        (Verdict.REFUSED, "patient", (554,), Ending.SERVER),
        (Verdict.REFUSED, "patient", (554, 221), Ending.SERVER),
        (Verdict.REFUSED, "patient", (220, 250, 250, 450, 221), Ending.SERVER),
        (Verdict.REFUSED, "patient", (220, 250, 250, 250, 354, 552), Ending.SERVER),
        (Verdict.REFUSED, "patient", (220, 250), Ending.SERVER),
        (Verdict.REFUSED, "patient", (220, 250), Ending.RESET),
        (Verdict.REFUSED, "patient", (0,), Ending.SERVER),
        (Verdict.NO_ANSWER, "patient", (220, 250), Ending.TIMEOUT),
        (Verdict.NO_ANSWER, "patient", (), Ending.TIMEOUT),
        (Verdict.NO_ANSWER, "patient", (), Ending.SERVER),
        (Verdict.NO_ANSWER, "patient", (), Ending.UNREACHABLE),
        (Verdict.GREETED, "slow-writer", (220, 250, 250, 250, 250, 221), Ending.SERVER),
        (Verdict.REFUSED, "slow-writer", (220, 521), Ending.SERVER),
    ],
)
def test_honest_clients(expected: Verdict, name: str, codes: tuple[int, ...], ended: Ending) -> None:
    """Served means the goal was reached; any no on the way, or a hang-up after the greeting, is a refusal."""
    assert expected == verdict(name, *codes, ended=ended)


@pytest.mark.parametrize(
    ("expected", "name", "codes", "ended"),
    [
        (Verdict.TURNED_AWAY, "blind", (521,), Ending.SERVER),
        (Verdict.TURNED_AWAY, "blind", (554, 503, 503, 503, 503, 500, 500, 500), Ending.SERVER),
        (Verdict.TURNED_AWAY, "blind", (), Ending.SERVER),
        (Verdict.TURNED_AWAY, "blind", (), Ending.RESET),
        (Verdict.TURNED_AWAY, "blind", (220, 250, 250, 550, 503, 500, 500), Ending.SERVER),
        (Verdict.TURNED_AWAY, "blind", (220, 250), Ending.RESET),
        (Verdict.SERVED, "blind", SERVED, Ending.SERVER),
        (Verdict.NO_ANSWER, "blind", (), Ending.TIMEOUT),
        (Verdict.NO_ANSWER, "blind", (0,), Ending.SERVER),
        (Verdict.NO_ANSWER, "blind", (220, 250), Ending.TIMEOUT),
        (Verdict.NO_ANSWER, "blind", (), Ending.UNREACHABLE),
        (Verdict.SERVED, "one-early-byte", (220, 250, 250, 250, 250, 221), Ending.SERVER),
        (Verdict.TURNED_AWAY, "one-early-byte", (220, 250, 554, 221), Ending.SERVER),
        (Verdict.GAVE_UP, "impatient", (), Ending.CLIENT),
        (Verdict.SERVED, "impatient", (220, 221), Ending.SERVER),
        (Verdict.SERVED, "data-jumper", SERVED, Ending.SERVER),
        (Verdict.TURNED_AWAY, "data-jumper", (220, 250, 250, 250, 503), Ending.SERVER),
        (Verdict.TURNED_AWAY, "piler", (220, 250, 250, 550), Ending.SERVER),
        (Verdict.SERVED, "bare-lf", SERVED, Ending.SERVER),
        (Verdict.NO_ANSWER, "bare-lf", (220,), Ending.CLIENT),
    ],
)
def test_bots_that_are_after_mail(expected: Verdict, name: str, codes: tuple[int, ...], ended: Ending) -> None:
    """Only an accepted goal is being served; a greeting alone is not."""
    assert expected == verdict(name, *codes, ended=ended)


@pytest.mark.parametrize(
    ("expected", "codes", "ended"),
    [
        (Verdict.SERVED, (220,), Ending.CLIENT),
        (Verdict.SERVED, (220, 500, 500), Ending.CLIENT),
        (Verdict.TURNED_AWAY, (220, 221), Ending.SERVER),
        (Verdict.TURNED_AWAY, (220,), Ending.RESET),
        (Verdict.TURNED_AWAY, (521,), Ending.SERVER),
        (Verdict.NO_ANSWER, (), Ending.TIMEOUT),
    ],
)
@pytest.mark.parametrize("name", ["tls-first", "http-first", "non-smtp"])
def test_bots_that_want_no_mail(expected: Verdict, codes: tuple[int, ...], ended: Ending, name: str) -> None:
    """They are served when greeted and not cut off; a server that hangs up on them has turned them away after all."""
    assert expected == verdict(name, *codes, ended=ended, quit=False)


FLOOD = (220, 250, 250)


@pytest.mark.parametrize(
    ("expected", "name", "codes", "ended"),
    [
        (Verdict.SERVED, "rcpt-flood", (*FLOOD, *[250] * 25), Ending.SERVER),
        (Verdict.TURNED_AWAY, "rcpt-flood", (*FLOOD, *[250] * 9, 452, 221), Ending.SERVER),
        (Verdict.TURNED_AWAY, "rcpt-flood", (*FLOOD, *[250] * 9), Ending.RESET),
        (Verdict.GAVE_UP, "rcpt-flood", (*FLOOD, *[250] * 5), Ending.CLIENT),
        (Verdict.HELD, "rcpt-flood", (*FLOOD, *[250] * 5), Ending.TIMEOUT),
        (Verdict.NO_ANSWER, "rcpt-flood", FLOOD, Ending.TIMEOUT),
        (Verdict.TURNED_AWAY, "rcpt-flood", (554,), Ending.SERVER),
        (Verdict.SERVED, "noop-flood", (220, 250, *[250] * 20), Ending.SERVER),
        (Verdict.TURNED_AWAY, "noop-flood", (220, 250, *[250] * 4, 421), Ending.SERVER),
        (Verdict.SERVED, "rset-flood", (220, 250, *[250] * 16), Ending.SERVER),
        (Verdict.GAVE_UP, "rset-flood", (220, 250, *[250] * 9), Ending.CLIENT),
        (Verdict.SERVED, "bounce-flood", (*FLOOD, *[250] * 5), Ending.SERVER),
        (Verdict.TURNED_AWAY, "bounce-flood", (*FLOOD, 250, 550), Ending.SERVER),
        (Verdict.SERVED, "dead-recipients", (*FLOOD, *[550] * 20, 250), Ending.SERVER),
        (Verdict.TURNED_AWAY, "dead-recipients", (*FLOOD, *[550] * 20, 550), Ending.SERVER),
        (Verdict.TURNED_AWAY, "dead-recipients", (*FLOOD, *[550] * 19, 421), Ending.SERVER),
        (Verdict.TURNED_AWAY, "dead-recipients", (*FLOOD, *[550] * 9), Ending.SERVER),
        (Verdict.TURNED_AWAY, "dead-recipients", (220, 250, 550), Ending.SERVER),
        (Verdict.GAVE_UP, "dead-recipients", (*FLOOD, *[550] * 9), Ending.CLIENT),
        (Verdict.SERVED, "forged-helo", (220, 250, 250, 250, 250, 221), Ending.SERVER),
        (Verdict.TURNED_AWAY, "own-helo", (220, 550, 221), Ending.SERVER),
        (Verdict.GAVE_UP, "bare-helo", (220, 250, 250), Ending.CLIENT),
    ],
)
def test_floods_and_false_names(expected: Verdict, name: str, codes: tuple[int, ...], ended: Ending) -> None:
    """Served is the last reply that the client was after; it gives up of its own will, or is still held when the time is over."""
    assert expected == verdict(name, *codes, ended=ended, quit=False)


@pytest.mark.parametrize(
    ("expected", "greeted_at", "shortest"),
    [
        (Verdict.HELD, 4.0, 4.2),
        (Verdict.HELD, 2.2, 4.2),
        (Verdict.HOLD_SKIPPED, 0.3, 4.2),
        (Verdict.HOLD_SKIPPED, 0.2, 0.5),
        (Verdict.GREETED, 0.0, 0.0),
        (Verdict.GREETED, 0.2, 0.39),
        (Verdict.GREETED, 0.2, None),
    ],
)
def test_a_half_closer_is_measured_against_the_others(expected: Verdict, greeted_at: float, shortest: float | None) -> None:
    """Less than half of the shortest honest wait is a skipped hold; without a hold nothing can be told."""
    seen = trace("half-closer", 220, at=greeted_at)

    assert expected == judge(ALL["half-closer"], seen, None if shortest is None else Seconds(shortest)).verdict


@pytest.mark.parametrize(
    ("expected", "codes", "ended"),
    [
        (Verdict.TURNED_AWAY, (), Ending.SERVER),
        (Verdict.TURNED_AWAY, (550,), Ending.SERVER),
        (Verdict.NO_ANSWER, (), Ending.TIMEOUT),
    ],
)
def test_a_half_closer_may_be_turned_away(expected: Verdict, codes: tuple[int, ...], ended: Ending) -> None:
    """Closing in silence is an answer to a client that said it has nothing to say."""
    assert expected == verdict("half-closer", *codes, ended=ended, quit=False)


def test_the_shortest_wait_is_taken_from_clients_that_waited() -> None:
    """An early talker that was let in at once does not make the hold look short; one that was refused has no wait."""
    played = [
        (ALL["blind"], trace("blind", *SERVED, at=0.0)),
        (ALL["piler"], trace("piler", 521, at=0.0)),
        (ALL["patient"], trace("patient", *SERVED, at=4.0)),
        (ALL["half-closer"], trace("half-closer", 220, at=0.3)),
    ]

    assert [finding.verdict for finding in judge_all(played)][-1] is Verdict.HOLD_SKIPPED


def test_a_finding_keeps_the_reply_that_decided_it() -> None:
    """The first no on the way to the goal, with its time; without one, the time of the end."""
    refused = judge(ALL["patient"], trace("patient", 220, 250, 450, 221))
    silent = judge(ALL["patient"], trace("patient", ended=Ending.TIMEOUT))

    assert refused.deciding is not None and (refused.deciding.code, refused.deciding.to) == (450, "mail")
    assert (refused.decided_after, silent.decided_after) == (4.2, 9.0)


def test_a_bot_cut_off_after_its_greeting_shows_the_last_words() -> None:
    """Postfix says 221 to an HTTP request and closes: that reply decided, not the 220."""
    finding = judge(ALL["http-first"], trace("http-first", 220, 221, quit=False))

    assert finding.deciding is not None and finding.deciding.code == 221


# Statuses and moods


@pytest.mark.parametrize(
    ("expected", "name", "codes", "ended"),
    [
        (Mood.GOOD, "patient", SERVED, Ending.SERVER),
        (Mood.BAD, "patient", (554,), Ending.SERVER),
        (Mood.BAD, "patient", (), Ending.TIMEOUT),
        (Mood.GOOD, "blind", (521,), Ending.SERVER),
        (Mood.GOOD, "impatient", (), Ending.CLIENT),
        (Mood.NEUTRAL, "blind", (), Ending.TIMEOUT),
        (Mood.BAD, "blind", SERVED, Ending.SERVER),
        (Mood.NEUTRAL, "half-closer", (220,), Ending.SERVER),
        (Mood.NEUTRAL, "rcpt-flood", (*FLOOD, *[250] * 25), Ending.SERVER),
        (Mood.GOOD, "rcpt-flood", (*FLOOD, 250), Ending.TIMEOUT),
        (Mood.BAD, "bounce-flood", (*FLOOD, *[250] * 5), Ending.SERVER),
    ],
)
def test_moods(expected: Mood, name: str, codes: tuple[int, ...], ended: Ending) -> None:
    """Silence is bad for an honest client and neither here nor there for a bot."""
    assert expected == judge(ALL[name], trace(name, *codes, ended=ended)).mood


def findings(**codes: tuple[int, ...]) -> tuple[Finding, ...]:
    return judge_all((ALL[name.replace("_", "-")], trace(name.replace("_", "-"), *seen)) for name, seen in codes.items())


def test_the_status_is_about_honest_clients_unless_strict() -> None:
    """A served bot fails with --strict only, a refused honest client always."""
    fine, leaky = findings(patient=SERVED, blind=(521,)), findings(patient=SERVED, blind=SERVED)

    assert [exit_status(fine), exit_status(fine, strict=True)] == [0, 0]
    assert [exit_status(leaky), exit_status(leaky, strict=True)] == [0, 1]
    assert exit_status(findings(patient=(554,), blind=(521,))) == 1


def test_an_unreachable_server_is_try_later_and_half_of_one_is_a_finding() -> None:
    """75 only when no client at all was connected."""
    gone = judge(ALL["patient"], trace("patient", ended=Ending.UNREACHABLE))
    there = judge(ALL["blind"], trace("blind", 521))

    assert exit_status([gone]) == 75
    assert exit_status([gone, there]) == 1


# The summary


def test_the_summary_says_what_a_good_front_door_did() -> None:
    """In plain words: how many were turned away and when, and what became of the patient client."""
    seen = [trace("patient", *SERVED), trace("blind", 521, lines=24), trace("tls-first", 521), trace("piler", 220, 554)]
    seen.append(trace("impatient", ended=Ending.CLIENT, quit=False))
    text = summarise(judge_all((ALL[each.habit], each) for each in seen))

    assert text == (
        "2 of 4 bot habits were turned away before the greeting; 1 after it; 1 gave up waiting. "
        "The blind client talked on for 24 lines and got 1 reply. "
        "The patient client was greeted after 4.2 s and its mail was accepted."
    )


def test_the_summary_names_the_bots_that_were_let_through() -> None:
    """Names, so that the user knows which row to look at."""
    text = summarise(findings(blind=SERVED, piler=SERVED[:4]))

    assert text == "0 of 2 bot habits were turned away before the greeting; 2 were let through (blind, piler)."


def test_the_summary_counts_in_the_singular_too() -> None:
    """One habit was, two habits were."""
    assert summarise(findings(tls_first=(521,))) == "1 of 1 bot habit was turned away before the greeting."
    assert summarise([judge(ALL["tls-first"], trace("tls-first", ended=Ending.TIMEOUT))]) == (
        "0 of 1 bot habit was turned away before the greeting; 1 got no answer."
    )


@pytest.mark.parametrize(
    ("expected", "name", "codes", "ended"),
    [
        ("The patient client got no greeting.", "patient", (), Ending.TIMEOUT),
        ("The patient client was refused instead of greeted: 554 text.", "patient", (554,), Ending.SERVER),
        ("The patient client was greeted after 4.2 s but then refused: 450 text.", "patient", (220, 250, 450), Ending.SERVER),
        ("The patient client was greeted after 4.2 s but then cut off.", "patient", (220, 250), Ending.RESET),
        ("The patient client was greeted after 4.2 s but then got no answer.", "patient", (220,), Ending.TIMEOUT),
        ("", "slow-writer", (220, 250, 250, 250), Ending.SERVER),
        (
            "The slow-writer client was greeted after 4.2 s but then refused: 521 text.",
            "slow-writer",
            (220, 521),
            Ending.SERVER,
        ),
    ],
)
def test_the_summary_on_honest_clients(expected: str, name: str, codes: tuple[int, ...], ended: Ending) -> None:
    """The patient client is always spoken of, another one when something went wrong."""
    assert expected == summarise([judge(ALL[name], trace(name, *codes, ended=ended))])


def test_the_summary_when_nothing_may_be_delivered() -> None:
    """With --no-mail the patient client's goal is its recipient."""
    patient = next(habit for habit in habits(Options(deliver=False)) if habit.name == "patient")

    assert summarise([judge(patient, trace("patient", 220, 250, 250, 250))]) == (
        "The patient client was greeted after 4.2 s and its recipient was accepted."
    )


def test_the_summary_tells_of_a_skipped_hold() -> None:
    """It is a hole in the door, whatever the other rows say."""
    skipped = judge(ALL["half-closer"], trace("half-closer", 220, at=0.3), Seconds(4.2))

    assert summarise([skipped]) == "The half-closer was greeted after only 0.3 s: it can skip the hold."


def test_the_summary_tells_what_floods_met() -> None:
    """Those that break no rule have a sentence of their own, for what was done to them; a bot that is still held counts as one."""
    seen = [trace("rcpt-flood", *FLOOD, 250, ended=Ending.CLIENT), trace("rset-flood", 220, 250, 250, 421, quit=False)]
    seen += [trace("noop-flood", 220, 250, 250, ended=Ending.TIMEOUT), trace("rset-flood", 554)]
    seen += [trace("dead-recipients", *FLOOD, 550, ended=Ending.TIMEOUT)]

    assert summarise(judge_all((ALL[each.habit], each) for each in seen)) == (
        "0 of 1 bot habit was turned away before the greeting; 1 was held to the end. "
        "Of the floods that break no rule: rcpt-flood gave up waiting, rset-flood was refused, noop-flood was held to the end."
    )


# Laws


CODES = st.sampled_from([0, 220, 221, 250, 354, 421, 450, 500, 521, 554])
ENDINGS = st.sampled_from(Ending)
WORDS = {
    Kind.HONEST: {Verdict.DELIVERED, Verdict.GREETED, Verdict.REFUSED, Verdict.NO_ANSWER},
    Kind.BOT: {Verdict.TURNED_AWAY, Verdict.GAVE_UP, Verdict.HELD, Verdict.SERVED, Verdict.NO_ANSWER},
    Kind.ODD: set(Verdict) - {Verdict.DELIVERED, Verdict.REFUSED},
}


@st.composite
def seen(draw: st.DrawFn) -> tuple[Habit, Trace]:
    name = draw(st.sampled_from(NAMES))
    codes = draw(st.lists(CODES, max_size=9) | st.lists(st.just(250), max_size=40) | st.lists(CODES, max_size=40))
    return ALL[name], trace(name, *codes, ended=draw(ENDINGS), quit=draw(st.booleans()), at=draw(st.floats(0, 60)))


@given(played=seen(), shortest=st.none() | st.floats(0, 60).map(Seconds))
def test_each_kind_has_its_own_words(played: tuple[Habit, Trace], shortest: Seconds | None) -> None:
    """Whatever was seen, the verdict is one of the words for that kind of client."""
    assert judge(*played, shortest).verdict in WORDS[played[0].kind]


@given(played=seen())
def test_nobody_is_served_without_a_greeting(played: tuple[Habit, Trace]) -> None:
    """A client whose first reply is no 2xx or 3xx was not delivered, greeted or served."""
    habit, first = played[0], played[1]
    unwelcome = replace(first, replies=tuple(reply for reply in first.replies if reply.to != "greeting"))

    assert judge(habit, unwelcome).verdict not in {Verdict.DELIVERED, Verdict.GREETED, Verdict.SERVED}
    assert not judge(habit, unwelcome).was_greeted


@given(played=seen(), kept=st.integers(0, 40))
def test_hearing_less_never_makes_a_client_served(played: tuple[Habit, Trace], kept: int) -> None:
    """Take replies from the end: a client that wanted mail and was not served is not served then either."""
    habit, whole = played
    good = {Verdict.DELIVERED, Verdict.SERVED}
    less = replace(whole, replies=whole.replies[:kept])

    if habit.goal != "greeting" and judge(habit, less).verdict in good:
        assert judge(habit, whole).verdict in good


@given(played=st.lists(seen(), min_size=1, max_size=12), strict=st.booleans())
def test_summary_and_status_take_whatever_comes(played: list[tuple[Habit, Trace]], strict: bool) -> None:
    """They never raise, and strict never makes the status better."""
    known = judge_all(played)

    assert isinstance(summarise(known), str)
    assert exit_status(known, strict=strict) in {0, 1, 75}
    assert exit_status(known) <= exit_status(known, strict=True)
