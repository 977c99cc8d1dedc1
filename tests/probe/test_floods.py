from collections.abc import Callable

import pytest

from tarry.probe.floods import BOUNCES, GUESSES, NOOPS, RECIPIENTS, RESETS
from tarry.probe.floods import bounce_flood as bounces
from tarry.probe.floods import dead_recipients as guesses
from tarry.probe.floods import noop_flood as noops
from tarry.probe.floods import rcpt_flood as recipients
from tarry.probe.floods import rset_flood as resets
from tarry.probe.steps import Habit, Hear, Kind, Options, Say
from tarry.probe.trace import GREETING, Seconds

OPTIONS = Options(sender="me@example.org", recipient="you@example.org", token="t1", reply_patience=Seconds(7.0))
ALL = (recipients, resets, noops, guesses, bounces)
every_flood = pytest.mark.parametrize("make", ALL, ids=lambda make: make.__name__)


def said(made: Habit) -> list[bytes]:
    return [step.data.removesuffix(b"\r\n") for step in made.steps if isinstance(step, Say)]


@every_flood
def test_each_waits_for_each_reply(make: Callable[[Options], Habit]) -> None:
    """After the greeting a command and a reply take turns to the end: a flood is no pile."""
    steps = make(OPTIONS).steps[:-1]

    assert Hear(GREETING) == steps[0]
    assert [isinstance(step, Hear) for step in steps] == [True] + [False, True] * (len(steps) // 2)


@every_flood
def test_none_waits_longer_for_a_reply_than_it_is_told(make: Callable[[Options], Habit]) -> None:
    """The greeting is waited for; what follows has a bound, and that it leaves then is its own choice."""
    made = make(OPTIONS)
    bounds = [step.within for step in made.steps if isinstance(step, Hear) and step.what != GREETING]

    assert all(bound is not None and bound <= 7.0 for bound in bounds)
    assert {7.0} == {step.within for step in made.steps if isinstance(step, Hear) and step.what.startswith(f"{made.repeats} ")}
    assert made.gives_up


@every_flood
def test_none_offers_a_message(make: Callable[[Options], Habit]) -> None:
    """They are safe to play: no DATA, and QUIT in the end, with mail allowed."""
    lines = said(make(OPTIONS))

    assert b"DATA" not in lines
    assert b"QUIT" == lines[-1]


@every_flood
def test_the_rounds_are_numbered(make: Callable[[Options], Habit]) -> None:
    """From 1 on without a gap, so that they can be counted."""
    made = make(OPTIONS)
    rounds = [step.what for step in made.steps if isinstance(step, Hear) and step.what.startswith(f"{made.repeats} ")]

    assert [f"{made.repeats} {number}" for number in range(1, len(rounds) + 1)] == rounds
    assert len(rounds) >= 5


def test_a_message_for_many_names_the_users_recipient_only() -> None:
    """Nobody else's address is ever named, and there are more recipients than were thrown away in 1997."""
    lines = said(recipients(OPTIONS))

    assert RECIPIENTS == lines.count(b"RCPT TO:<you@example.org>") == len([line for line in lines if line.startswith(b"RCPT")])
    assert RECIPIENTS > 19


def test_only_a_make_believe_server_gets_the_message() -> None:
    """Then what it is after is that the message is taken."""
    made = recipients(Options(flood_mail=True))

    assert b"DATA" in said(made)
    assert ("message", f"rcpt {RECIPIENTS}") == (made.goal, recipients(OPTIONS).goal)


def test_transactions_are_taken_back_one_after_the_other() -> None:
    """MAIL and RSET in turns."""
    lines = said(resets(OPTIONS))

    assert [b"MAIL FROM:<me@example.org>", b"RSET"] * RESETS == lines[1:-1]


def test_noops_say_nothing_else() -> None:
    """EHLO, many times NOOP, QUIT."""
    assert [b"NOOP"] * NOOPS == said(noops(OPTIONS))[1:-1]


def test_guesses_are_made_up_and_of_the_users_domain() -> None:
    """Each is another name, new for each run; a no is borne; the last one is real, and that one is what it is after."""
    made = guesses(OPTIONS)
    tried = [line for line in said(made) if line.startswith(b"RCPT")]

    assert [b"RCPT TO:<nobody-t1-1@example.org>", b"RCPT TO:<you@example.org>"] == [tried[0], tried[-1]]
    assert GUESSES + 1 == len(set(tried))
    assert {f"guess {number}" for number in range(1, GUESSES + 1)} == made.bears_refusals_of
    assert "rcpt" == made.goal


def test_a_recipient_without_a_domain_has_none_to_guess_in() -> None:
    """RFC 5321 §4.5.1 knows <postmaster> alone."""
    assert b"RCPT TO:<nobody-0-1>" in said(guesses(Options(recipient="postmaster")))


def test_a_bounce_has_the_null_sender_and_several_recipients() -> None:
    """Whatever sender the user chose."""
    lines = said(bounces(OPTIONS))

    assert [b"MAIL FROM:<>", *[b"RCPT TO:<you@example.org>"] * BOUNCES] == lines[1 : BOUNCES + 2]


def test_only_what_breaks_no_rule_is_odd() -> None:
    """Many recipients, RSETs and NOOPs are allowed; guessing and forged bounces are not the ways of honest clients."""
    assert [Kind.ODD, Kind.ODD, Kind.ODD, Kind.BOT, Kind.BOT] == [make(OPTIONS).kind for make in ALL]
