"""A. Poling's changes of 1997-04-04: the arithmetic of his code, and the words that he had for spammers."""

from __future__ import annotations

import pytest

from tarry.core.delay import tarpit
from tarry.record import schema
from tests.presets import Outcome, hold, policy_of, talks_at
from tests.talk import HELLO, LOGIN, MAIL, Talk

MINUTE = 60.0
PRESET = policy_of("zmailer-1997")
IN_ONE_PIECE = policy_of("zmailer-1997", 'handoff.park_after = "90h"')
"""The MTA is not given up during a hold, as his was not; `test_the_mta_is_given_up_meanwhile` is without."""
AWAY = "250 2.1.5 Ok spammer... now go away"


def rcpt_wait(number: int) -> float:
    return tarpit(number, PRESET.tarpits.rcpt)


def minutes_for(recipients: int) -> float:
    """Return how long a message for so many recipients is held in all."""
    return sum(rcpt_wait(number) for number in range(1, recipients + 1)) / MINUTE


@pytest.mark.parametrize(
    ("number", "minutes"), [(1, 0), (5, 0), (6, 30), (7, 35), (19, 95), (20, 100), (100, 500), (288, 1440), (1000, 5000)]
)
def test_the_nth_recipient_waits_five_minutes_times_n(number: int, minutes: float) -> None:
    """From the sixth on, and the cap is never reached: limits.recipients allows a thousand."""
    assert minutes * MINUTE == rcpt_wait(number)
    assert (1000, True) == (PRESET.limits.recipients, rcpt_wait(1000) < PRESET.tarpits.rcpt.cap)


def test_prose_and_code() -> None:
    """7.5 hours are the price of 14 recipients, not of 20; 8 hours the wait of the hundredth. Its sum is 17 days 11 h 35 min."""
    assert 7.5 * 60 == minutes_for(14)
    assert 16 * 60 + 15 == minutes_for(20)
    assert 8 * 60 + 20 == rcpt_wait(100) / MINUTE
    assert (17 * 24 + 11) * 60 + 35 == minutes_for(100)


@pytest.mark.parametrize(("number", "minutes"), [(1, 0), (4, 0), (5, 25), (6, 30), (7, 35)])
def test_the_nth_rset_waits_five_minutes_times_n(number: int, minutes: float) -> None:
    """From the fifth on."""
    assert minutes * MINUTE == tarpit(number, PRESET.tarpits.rset)


def recipients(talk: Talk, first: int, last: int) -> Talk:
    """Name these recipients, each after the reply to the one before; what they get, and when, is compared."""
    for number in range(first, last + 1):
        line = f"RCPT TO:<r{number}@d.example>"
        said = "250 2.1.5 Recipient ok" if number < 5 else AWAY
        wait = f"--\n! {rcpt_wait(number) - 1}s\n--\n! 1s" if rcpt_wait(number) else ""
        talk.plays(f"C: {line}\n{wait}\nM> {line}\n--\nM< 250 2.1.5 Recipient ok\nS: {said}")
    return talk


def test_words_and_waits() -> None:
    """The fifth recipient is the first that hears other words, and the sixth the first that waits: half an hour, to the second."""
    talk = recipients(Talk(IN_ONE_PIECE).plays(HELLO + MAIL), 1, 8)
    assert [("tarpit.rcpt", 1800.0), ("tarpit.rcpt", 2100.0), ("tarpit.rcpt", 2400.0)] == [
        (one.why, one.held) for one in talk.of(schema.Hold)
    ]


def test_a_client_that_leaves_is_recorded_with_its_time() -> None:
    """In the middle of the half hour, which the MTA does not sit out: it was given up at the beginning."""
    talk = recipients(Talk(PRESET).plays(HELLO + MAIL), 1, 5)
    talk.plays("C: RCPT TO:<r6@d.example>\nM> QUIT\n* close the MTA\n--\n! 600s\n--\n! FIN\n* close")
    assert [("tarpit.rcpt", 1800.0, 600.0, "left")] == [(one.why, one.asked, one.held, one.ended) for one in talk.of(schema.Hold)]


def test_counting_begins_anew_with_each_message() -> None:
    """rcpt_count is a transaction's; that is why the RSETs had to be counted too."""
    talk = recipients(Talk(IN_ONE_PIECE).plays(HELLO + MAIL), 1, 5)
    talk.plays("C: RSET\nM> RSET\n--\nM< 250 Ok\nS: 250 Ok")
    talk.plays("C: MAIL FROM:<a@b.example>\nM> MAIL FROM:<a@b.example>\n--\nM< 250 Ok\nS: 250 Ok")
    recipients(talk, 1, 5)
    assert [] == talk.of(schema.Hold)


def test_the_fifth_rset_of_a_connection_waits_25_minutes() -> None:
    """One message after the other, each for one recipient."""
    talk = Talk(PRESET).plays(HELLO)
    for _ in range(4):
        talk.plays("C: RSET\nS: 250 2.0.0 Ok")
    talk.plays("C: RSET\n--\n! 1499s\n--\n! 1s\nS: 250 2.0.0 Ok")
    talk.plays("C: RSET\n--\n! 1800s\nS: 250 2.0.0 Ok")
    assert [("tarpit.rset", 1500.0), ("tarpit.rset", 1800.0)] == [(one.why, one.held) for one in talk.of(schema.Hold)]


def test_nobody_waits_for_the_greeting_nor_is_looked_at() -> None:
    """Who talks early is greeted."""
    assert ("", 0.0) == hold(PRESET, talks_at(0.0))[1::-1]
    assert Outcome(0.0, "", ()) == hold(PRESET)


def taken(talk: Talk) -> Talk:
    """Go as far as the message's last line but one; the MTA takes it as any other."""
    talk.plays("C: DATA\nM> DATA\n--\nM< 354 Go ahead\nS: 354 Go ahead")
    return talk.plays("C: Subject: x\nC:\nC: text\nM> Subject: x\nM>\nM- text")


def test_a_message_for_18_is_delivered() -> None:
    """However long it took."""
    talk = taken(recipients(Talk(IN_ONE_PIECE).plays(HELLO + MAIL), 1, 18))
    talk.plays("C: .\nM>\nM> .\n--\nM< 250 2.0.0 Queued\nS: 250 2.0.0 Queued")


@pytest.mark.parametrize("count", [19, 20])
def test_a_message_for_19_is_thrown_away(count: int) -> None:
    """It is taken, and answered 250 with his words; the MTA never gets its end. One record says what became of it, and why."""
    talk = taken(recipients(Talk(IN_ONE_PIECE).plays(HELLO + MAIL), 1, count))
    talk.plays("C: .\nM>\n* abort the MTA\nS: 250 2.6.0 I thought I told you to go away...")
    assert ["19 recipients"] == [one.detail for one in talk.of(schema.Reason) if one.check == "many_rcpt"]
    assert [("rcpt", "discard")] == [(one.phase, one.action) for one in talk.of(schema.Verdict)]
    last = talk.of(schema.Reply)[-1]
    assert (250, "tarry", "message") == (last.code, last.by, last.to)


def test_what_comes_behind_it_is_judged_by_itself() -> None:
    """rcpt_count is a transaction's: the next message, for one, is delivered."""
    talk = taken(recipients(Talk(IN_ONE_PIECE).plays(HELLO + MAIL), 1, 19))
    talk.plays("C: .\nM>\n* abort the MTA\nS: 250 2.6.0 I thought I told you to go away...")
    talk.plays(f"C: MAIL FROM:<a@b.example>\n{LOGIN}M> MAIL FROM:<a@b.example>\n--\nM< 250 Ok\nS: 250 Ok")
    taken(recipients(talk, 1, 1)).plays("C: .\nM>\nM> .\n--\nM< 250 2.0.0 Queued\nS: 250 2.0.0 Queued")
