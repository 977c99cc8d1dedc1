"""Answering, asking, giving up, ending: one reply to each command, whatever becomes of it."""

from __future__ import annotations

import math
import os
from dataclasses import replace
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tarry.checks.bad_rcpt import BadRcpt
from tarry.checks.bad_rcpt import Options as Refused
from tarry.checks.many_errors import ManyErrors, Options
from tarry.checks.pregreet import Pregreet
from tarry.core import replies
from tarry.core.border import Close, Emit
from tarry.core.client import Phase
from tarry.core.exchange import Exchange, Pause, Waiting
from tarry.core.login import Way
from tarry.core.policy import Delay, Limits, Policy, Span, Tarpit, Tarpits
from tarry.core.result import Action, Reason
from tarry.record import schema
from tests.playbook import armed, policy
from tests.storm import storm
from tests.talk import DATA, ENVELOPE, GREETED, HELLO, LOGIN, MAIL, MESSAGE, RCPT, Slow, Talk, found, setting, shown, slowly

GONE = "S: 421 4.3.2 Service not available, try again later [K3X9-0001]"
ASKED = "C: MAIL FROM:<a@b.example>\n* open the MTA"
STORMS = int(os.environ.get("TARRY_NIGHTLY") or 300)
"""Sessions: 300 in the suite, TARRY_NIGHTLY=100000 at night."""


@pytest.mark.parametrize(
    ("what", "why"),
    [
        ("! MTA left: cannot be reached: Connection refused", "cannot be reached: Connection refused"),
        ("! 30s", "no reply in time"),
        ("! opened\n! 30s", "no reply in time"),
        ("! opened\n! MTA left: it closed the connection", "it closed the connection"),
        ("! opened\nM< 421 busy", "its greeting is 421"),
        ("! opened\nM< 554 not you", "its greeting is 554"),
        ("! opened\nM< 250 what", "its greeting is 250"),
        ("! opened\nM< SSH-2.0-x", "a line that is no SMTP reply"),
        ("! opened\nM< 220 mta\nM> EHLO client.example\nM< 421 no", "its EHLO is 421"),
        ("! opened\nM< 220 mta\nM> EHLO client.example\n! MTA left: the connection broke", "the connection broke"),
    ],
)
def test_an_mta_that_cannot_be_used(what: str, why: str) -> None:
    """The client is told to come again: never a 5xx, and never silence."""
    talk = Talk().plays(HELLO, ASKED, what, f"{GONE}\n* abort the MTA\n* close")
    assert [schema.Handoff("proxy", "127.0.0.1:10025", False, why=why)] == talk.of(schema.Handoff)


@pytest.mark.parametrize(
    ("script", "asked"),
    [(MAIL.split("M< 250 2.1.0")[0], "MAIL"), (MAIL + RCPT.split("M<")[0], "RCPT"), (MAIL + RCPT + DATA.split("M<")[0], "DATA")],
)
@pytest.mark.parametrize("what", ["! MTA left: gone", "! 30s", "M< junk", "M+ 250-a\\r\\n550 b\\r\\n"])
def test_an_mta_that_fails_at_a_command(script: str, asked: str, what: str) -> None:
    """At whichever: the command gets its one reply, which is a 421, and the session is over."""
    talk = Talk().plays(HELLO, script, what, f"{GONE}\n* abort the MTA\n* close")
    assert [(421, asked, "tarry")] == [(event.code, event.to, event.by) for event in talk.of(schema.Reply)][-1:]
    assert [True, False] == [event.ok for event in talk.of(schema.Handoff)]


SECURING = """
! opened
M< 220 mta
M> EHLO door.example
--
M< 250-mta
M< 250 STARTTLS
M> STARTTLS
M< 220 go
* secure the MTA
"""


@pytest.mark.parametrize(
    ("what", "why", "tls"),
    [
        ("! 7s", "no TLS: no handshake in time", [False]),
        ("! not secured: a reason", "no TLS: a reason", [False]),
        ("! MTA left: it closed the connection", "it closed the connection", []),
        ("! secured\nM> EHLO client.example\n! 5s", "no reply in time", [True]),
    ],
)
def test_a_handshake_has_its_own_time(what: str, why: str, tls: list[bool]) -> None:
    """And the step after it the usual one; the MTA counts as handed over only when the client's EHLO was answered."""
    talk = Talk(Policy(limits=Limits(backend=5.0, handshake=7.0)), login=Way("door.example", tls=True))
    talk.plays(HELLO, ASKED, SECURING, what, f"{GONE}\n* abort the MTA\n* close")
    assert [schema.Handoff("proxy", "127.0.0.1:10025", False, why=why)] == talk.of(schema.Handoff)
    assert tls == [event.ok for event in talk.of(schema.Tls)]


@pytest.mark.parametrize("ok", [True, False])
def test_a_handshake_that_nobody_asked_for(ok: bool) -> None:
    """It ended after the conversation had given it up: there is nothing to say."""
    talk = Talk().plays(HELLO, MAIL, "! secured" if ok else "! not secured: late")
    assert [] == talk.of(schema.Tls)


def test_junk_behind_an_answer_breaks_the_next_command() -> None:
    """The answer stands, as it would had the junk come a moment later."""
    Talk().plays(
        HELLO,
        MAIL,
        f"""
        C: RSET
        M> RSET
        M< 250 ok
        M< junk
        S: 250 ok
        C: RSET
        M> RSET
        M< 250 ok
        {GONE}
        * abort the MTA
        * close
        """,
    )
    Talk().plays(HELLO, MAIL, f"M< junk\n{GONE}\n* abort the MTA\n* close")


def test_an_mta_that_goes_between_transactions_is_opened_again() -> None:
    """Nothing is lost with it."""
    Talk().plays(HELLO, MAIL, "C: RSET\nM> RSET\nM< 250 ok\nS: 250 ok\n! MTA left: idle", MAIL)


def test_an_mta_that_says_goodbye_between_commands() -> None:
    """The next command that it must judge fails with 421; the others are answered."""
    Talk().plays(HELLO, MAIL, "M< 421 idle too long\nC: NOOP\nS: 250 2.0.0 Ok", f"C: RSET\n{GONE}\n* abort the MTA\n* close")


def test_more_than_one_reply_to_a_command() -> None:
    """The second answers nothing: the next command fails."""
    Talk().plays(
        ENVELOPE,
        f"""
        C: RCPT TO:<e@f.example>
        M> RCPT TO:<e@f.example>
        M< 250 ok
        M< 250 again
        S: 250 ok
        C: RCPT TO:<g@h.example>
        {GONE}
        * abort the MTA
        * close
        """,
    )


def test_two_unasked_replies_are_too_many() -> None:
    """The MTA has lost its way."""
    Talk().plays(HELLO, MAIL, f"M< 250 a\nM< 250 b\n{GONE}\n* abort the MTA\n* close")


def test_a_421_of_the_mta_ends_the_session() -> None:
    """It is relayed as it came, and the MTA has closed."""
    Talk().plays(ENVELOPE, "C: RSET\nM> RSET\nM< 421 4.3.2 going down\nS: 421 4.3.2 going down\n* abort the MTA\n* close")


def test_the_mtas_replies_are_relayed_byte_for_byte() -> None:
    """Every line of them."""
    Talk().plays(HELLO, MAIL, "C: RSET\nM> RSET\nM< 250-one\nM< 250 two\nS: 250-one\nS: 250 two")


@pytest.mark.parametrize("knows_client", [True, False])
def test_the_mta_turns_a_client_away(knows_client: bool) -> None:
    """A 5xx greeting is a verdict on the client where the MTA is told of it; else it is on tarry, and no mail may bounce for it."""
    what = "S: 554 5.7.1 not you\n* TOLD\nC: NOOP\nS: 250 2.0.0 Ok" if knows_client else f"{GONE}\n* abort the MTA\n* close"
    script = f"{ASKED}\n! opened\nM< 554 5.7.1 not you\n" + ("* abort the MTA\n" if knows_client else "") + what
    Talk(knows_client=knows_client).plays(HELLO, script.replace("* TOLD\n", ""))


def test_the_mta_refuses_ehlo() -> None:
    """It is told as the answer to the command, and the next one tries again."""
    login = "! opened\nM< 220 mta\nM> EHLO client.example\n"
    Talk().plays(HELLO, ASKED, login, "M< 550 5.7.1 bad name\n* abort the MTA\nS: 550 5.7.1 bad name", MAIL)


# Errors.

FEW = Policy(checks=(armed(ManyErrors(), options=Options(limit=2)),))


def test_an_error_too_many_is_answered_by_the_refusal() -> None:
    """The drop takes the place of the reply, so that the command gets one and not two."""
    error = "C: FOO\nS: 500 5.5.2 Command not recognised"
    talk = Talk(FEW).plays(GREETED, error, error, "C: FOO\nC: FOO\nS: 521 5.7.1 Too many errors [K3X9-0001]\n* close")
    assert [500, 500, 521] == [event.code for event in talk.of(schema.Reply)]


def test_errors_of_the_mta_count_too() -> None:
    """Whoever gave them; refused recipients are no errors."""
    refused = RCPT.replace("250 2.1.5 Recipient ok", "550 nobody")
    wrong = RCPT.replace("250 2.1.5 Recipient ok", "501 syntax")
    dropped = wrong.replace("S: 501 syntax", "S: 521 5.7.1 Too many errors [K3X9-0001]\n* abort the MTA\n* close")
    talk = Talk(FEW).plays(HELLO, MAIL, refused, refused, refused, wrong, wrong, dropped)
    assert ["mta", "mta", "tarry"] == [event.by for event in talk.of(schema.Reply)][-3:]


def test_what_is_piled_up_behind_a_refused_mail_errs_in_nothing() -> None:
    """A sender of a list may say all its recipients behind MAIL; where MAIL is put off, it is not refused for good."""
    later = MAIL.replace("250 2.1.0 Sender ok", "450 4.7.1 later")
    unasked = RCPT.replace("250 2.1.5 Recipient ok", "503 5.5.1 need MAIL")
    data = "C: DATA\nM> DATA\nM< 503 5.5.1 need RCPT\nS: 503 5.5.1 need RCPT"
    again = MAIL.replace(LOGIN, "")
    wrong = RCPT.replace("250 2.1.5 Recipient ok", "501 syntax")
    dropped = wrong.replace("S: 501 syntax", "S: 521 5.7.1 Too many errors [K3X9-0001]\n* abort the MTA\n* close")
    Talk(FEW).plays(HELLO, later, *[unasked] * 9, data, again, wrong, wrong, dropped)


def test_an_error_too_many_may_be_less_than_a_drop() -> None:
    """Then the error is answered as it is, and later commands that need the MTA are refused."""
    rules = Policy(checks=(armed(ManyErrors(), options=Options(limit=0), action=Action.DEFER),))
    Talk(rules).plays(
        HELLO,
        "C: HELO\nS: 501 5.5.4 Say EHLO or HELO with your name",
        "C: MAIL FROM:<>\nS: 450 4.7.1 Too many errors, try again later [K3X9-0001]",
    )


def test_failing_after_the_end_is_recorded_and_not_answered() -> None:
    """A session ends once."""
    exchange = Exchange(setting())
    exchange.end()
    exchange.end()
    exchange.fail(1010.0, "late")
    effects = exchange.outbox.take()
    assert ["Close", "Emit"] == [type(effect).__name__ for effect in effects]
    assert Waiting.END is exchange.waiting


def test_limits_are_those_of_the_policy() -> None:
    """The MTA's time is limits.backend."""
    Talk(Policy(limits=Limits(backend=2.0))).plays(HELLO, ASKED, f"! 1.9s\n! 0.2s\n{GONE}\n* abort the MTA\n* close")


def test_the_time_to_the_mta_is_recorded() -> None:
    """From asking to its EHLO reply, in milliseconds."""
    slow = LOGIN.replace("! opened", "! 0.5s\n! opened\n! 0.25s")
    talk = Talk().plays(HELLO, MAIL.replace(LOGIN, slow))
    assert [750.0] == [event.ms for event in talk.of(schema.Handoff)]


# Holds of a finished reply.

MISTAKES = Policy(tarpits=Tarpits(error=Tarpit(1, 5.0, 12.0)), park_after=20.0)
REFUSALS = Policy(tarpits=Tarpits(refused=Tarpit(1, 10.0, 1000.0)), park_after=25.0)
WHAT = "C: WHAT\nS: 500 5.5.2 Command not recognised"
HELD_WHAT = WHAT.replace("\nS", "\n! {}s\nS")
NOBODY = "C: RCPT TO:<x@d.example>\nM> RCPT TO:<x@d.example>\nM< 550 5.1.1 no\nS: 550 5.1.1 no"
HELD_NOBODY = NOBODY.replace("\nS", "\n! {}s\nS")


def holds(talk: Talk) -> list[tuple[str, float, float, str]]:
    return [(event.why, event.asked, event.held, event.ended) for event in talk.of(schema.Hold)]


def test_mistakes_are_held_beyond_the_free_ones() -> None:
    """Each reply 500 to 504 and 555, whoever gives it, by its number in the session."""
    talk = Talk(MISTAKES).plays(HELLO, WHAT, HELD_WHAT.format(10), MAIL)
    talk.plays("C: RCPT TO:<>\nM> RCPT TO:<>\nM< 555 what\n! 12s\nS: 555 what", "C: NOOP\nS: 250 2.0.0 Ok")
    talk.plays("C: RCPT TO:<>\nM> RCPT TO:<>\nM< 550 no\nS: 550 no")
    assert [("tarpit.error", 10.0, 10.0, "due"), ("tarpit.error", 12.0, 12.0, "due")] == holds(talk)
    assert [500, 500, 250, 555, 250, 550] == [event.code for event in talk.of(schema.Reply)][1:]


def test_refused_recipients_are_held_beyond_the_free_ones() -> None:
    """Those that the MTA refused in the session, also over several messages; what it accepts is not."""
    talk = Talk(replace(REFUSALS, park_after=math.inf)).plays(HELLO, MAIL, NOBODY, HELD_NOBODY.format(20), RCPT)
    talk.plays("C: RSET\nM> RSET\nM< 250 ok\nS: 250 ok", MAIL.replace(LOGIN, ""), HELD_NOBODY.replace("550", "451").format(30))
    assert [("tarpit.refused", 20.0, 20.0, "due"), ("tarpit.refused", 30.0, 30.0, "due")] == holds(talk)


def test_the_longer_of_two_tarpits_for_one_command_counts() -> None:
    """One before it and one after it: together they take as long as the longer. So do two behind it."""
    both = Tarpits(rcpt=Tarpit(0, 4.0), refused=Tarpit(0, 7.0), error=Tarpit(0, 6.0))
    talk = Talk(Policy(tarpits=both)).plays(HELLO, MAIL)
    talk.plays(NOBODY.replace("M> RCPT", "! 4s\nM> RCPT").replace("\nS", "\n! 3s\nS"))
    talk.plays(NOBODY.replace("M> RCPT", "! 8s\nM> RCPT").replace("\nS", "\n! 6s\nS").replace("550", "555"))
    assert [4.0, 3.0, 8.0, 6.0] == [asked for _, asked, _, _ in holds(talk)]
    talk.plays(NOBODY.replace("M> RCPT", "! 12s\nM> RCPT").replace("\nS", "\n! 9s\nS"))
    short = Tarpits(rcpt=Tarpit(0, 4.0), refused=Tarpit(0, 4.0))
    talk = Talk(Policy(tarpits=short)).plays(HELLO, MAIL, NOBODY.replace("M> RCPT", "! 4s\nM> RCPT"))
    assert [("tarpit.rcpt", 4.0)] == [hold[:2] for hold in holds(talk)]


def test_a_long_hold_of_a_reply_parks() -> None:
    """The MTA has answered; it hears the transaction again before the next command."""
    talk = Talk(REFUSALS).plays(HELLO, MAIL, RCPT, NOBODY, HELD_NOBODY.format(20))
    talk.plays(HELD_NOBODY.format(30).replace("\n!", "\nM> QUIT\n* close the MTA\n!"))
    again = f"{LOGIN}\nM> MAIL FROM:<a@b.example>\nM< 250 ok\nM> RCPT TO:<c@d.example>\nM< 250 ok"
    talk.plays(RCPT.replace("M> RCPT", f"{again}\nM> RCPT"))
    assert [schema.Parked("rcpt", 1)] == talk.of(schema.Parked)


def test_a_hold_of_half_an_hour() -> None:
    """No deadline of a command goes off in it, neither the client's nor the MTA's, and the client goes on as before (1997)."""
    long = Policy(tarpits=Tarpits(rset=Tarpit(0, 1800.0, 7200.0), error=Tarpit(0, 1800.0, 7200.0)))
    talk = Talk(long).plays(HELLO, "C: RSET\n! 1799.5s\n! 0.5s\nS: 250 2.0.0 Ok", HELD_WHAT.format(1800))
    talk.plays("! 299s\nC: NOOP\nS: 250 2.0.0 Ok")
    assert [1800.0, 1800.0] == [event.held for event in talk.of(schema.Hold)]


@pytest.mark.parametrize("how", ["FIN", "RST"])
def test_a_client_that_leaves_while_its_reply_is_held(how: str) -> None:
    """All ends at once, and the reply that it never got is not recorded."""
    talk = Talk(MISTAKES).plays(HELLO, WHAT, f"C: WHAT\n! 3s\n! {how}\n* close")
    assert [("tarpit.error", 10.0, 3.0, "left")] == holds(talk)
    assert [250, 500] == [event.code for event in talk.of(schema.Reply)]


def test_what_is_piled_up_behind_a_held_reply_waits() -> None:
    """And is then answered in its order, a QUIT as well; talking ends no hold."""
    told = "S: 500 5.5.2 Command not recognised\nS: 250 2.0.0 Ok\nS: 221 2.0.0 Bye\n* close at once"
    Talk(MISTAKES).plays(HELLO, WHAT, f"C: WHAT\nC: NOOP\n--\nC: QUIT\n! 10s\n{told}")


def test_the_end_waits_for_the_reply() -> None:
    """Where the command ends the session, the MTA is let go at once and the client with its reply."""
    talk = Talk(MISTAKES).plays(HELLO, WHAT, MAIL)
    talk.plays("C: BDAT what\n* abort the MTA\n! 10s\nS: 501 5.5.4 BDAT takes a size and, at the end, LAST\n* close")


def test_the_daemon_goes_down_while_a_reply_is_held() -> None:
    """As in any hold: it is told when it is due, and then who has no transaction is sent away."""
    down = "S: 421 4.3.2 Service is going down, try again later\n* close"
    Talk(MISTAKES).plays(HELLO, WHAT, f"C: WHAT\n! drain\n! 10s\nS: 500 5.5.2 Command not recognised\n{down}")


def test_the_mta_breaks_while_a_reply_is_held() -> None:
    """An MTA that leaves is missed when it is needed. One that speaks junk ends the session, and its 421 is the only reply."""
    stays = Talk(REFUSALS).plays(HELLO, MAIL, NOBODY, HELD_NOBODY.format(20).replace("! 20s", "! 5s\n! MTA left: gone\n! 15s"))
    stays.plays(f"C: RCPT TO:<c@d.example>\n{GONE}\n* close")
    talk = Talk(REFUSALS).plays(HELLO, MAIL, NOBODY, NOBODY.rpartition("\n")[0], "! 5s")
    talk.plays(f"M< junk\n{GONE}\n* abort the MTA\n* close")
    assert [("tarpit.refused", 20.0, 5.0, "cut")] == holds(talk)


def test_nobody_is_held_who_is_spared() -> None:
    """Exempt clients, and anybody while tarry only observes."""
    everything = Tarpits(*(Tarpit(0, 5.0) for _ in range(6)))
    for rules, changed in ((Policy(tarpits=everything), {"is_exempt": True}), (Policy(tarpits=everything, observe=True), {})):
        talk = Talk(rules, **changed).plays(HELLO, WHAT, "C: NOOP\nS: 250 2.0.0 Ok\nC: RSET\nS: 250 2.0.0 Ok", MAIL, NOBODY)
        assert [] == talk.of(schema.Hold)


def test_an_error_too_many_is_not_held() -> None:
    """The refusal that drops it goes out at once."""
    rules = policy(ManyErrors(), action=Action.DROP, options=Options(limit=1), changes={"tarpits": MISTAKES.tarpits})
    Talk(rules).plays(HELLO, WHAT, "C: WHAT\nS: 521 5.7.1 Too many errors [K3X9-0001]\n* close")


def test_a_recipient_too_many_that_drops_is_not_held() -> None:
    """Neither is this one, found where the MTA's answer is to be held."""
    changes = {"tarpits": Tarpits(refused=Tarpit(0, 10.0))}
    rules = policy(BadRcpt(), action=Action.DROP, options=Refused(limit=0), changes=changes)
    refusal = NOBODY.replace("S: 550 5.1.1 no", "S: 521 5.7.1 Too many unknown recipients [K3X9-0001]")
    Talk(rules).plays(HELLO, MAIL, refusal, "* abort the MTA\n* close")


# Replies that go out an octet at a time.

PACED = Delay(Span(10.0, 10.0), reply_pace=1.0)
OK = "250 2.0.0 Ok"


def paced(slow: Slow | None = None, **changed: Any) -> Talk:
    """Return a client whose every RSET is held for 3 s."""
    rules = Policy(delay=PACED, tarpits=Tarpits(rset=Tarpit(0, 3.0, 3.0), **changed), park_after=20.0)
    return Talk(rules, slow=Slow() if slow is None else slow)


def test_a_reply_that_was_held_goes_out_slowly() -> None:
    """An octet a second, and recorded; what was not held goes at once, before and after it."""
    slow = Slow()
    talk = paced(slow).plays(HELLO, "C: NOOP\nS: 250 2.0.0 Ok", f"C: RSET\n! 3s\n{slowly(OK)}", "C: NOOP\nS: 250 2.0.0 Ok")
    assert [("tarpit.rset", 3.0, 3.0, "due"), ("reply_pace", 13.0, 13.0, "due")] == holds(talk)
    assert set() == slow.ids
    talk.plays("! 299s\n! 1s\nS: 421 4.4.2 Timeout, closing the connection\n* close")


def test_a_refusal_that_was_held_goes_out_slowly() -> None:
    """Also where the hold was of the finished reply; and a client that it sends away has it whole."""
    talk = paced(error=Tarpit(0, 2.0)).plays(HELLO, f"C: WHAT\n! 2s\n{slowly('500 5.5.2 Command not recognised')}")
    talk.plays(f"C: DATA\nC: Subject: x\n! 4s\n{slowly('503 5.5.1 RCPT first')}\n* close")
    assert ["tarpit.error", "reply_pace"] * 2 == [why for why, *_ in holds(talk)]


def test_a_long_slow_reply_parks() -> None:
    """As a hold of that length does: the MTA hears the transaction again before the next command."""
    talk = paced(rcpt=Tarpit(0, 1.0)).plays(HELLO, MAIL)
    first = RCPT.replace("M> RCPT", "! 1s\nM> RCPT")
    talk.plays(first.replace("S: 250 2.1.5 Recipient ok", f"M> QUIT\n* close the MTA\n{slowly('250 2.1.5 Recipient ok')}"))
    again = f"{LOGIN}\nM> MAIL FROM:<a@b.example>\nM< 250 ok\nM> RCPT TO:<c@d.example>\nM< 250 ok"
    talk.plays(DATA.replace("M> DATA", f"{again}\nM> DATA"), MESSAGE)
    assert [schema.Parked("rcpt", 1)] == talk.of(schema.Parked)


def test_a_long_slow_354_keeps_the_mta() -> None:
    """It waits for the message."""
    rules = policy(
        Pregreet(), action=Action.DELAY, changes={"delay": Delay(Span(10.0, 10.0), Phase.DATA, reply_pace=1.0), "park_after": 7.0}
    )
    talk = Talk(rules, reasons=(found("pregreet"),), slow=Slow()).plays(HELLO, MAIL, RCPT)
    talk.plays("C: DATA\n! 6s\nM> DATA\nM< 354 go on", slowly("354 go on"), MESSAGE)


def test_no_more_clients_than_the_limit() -> None:
    """Beyond it the reply goes out at once; nobody is counted twice."""
    slow = Slow()
    slow.ids |= {str(number) for number in range(100)}
    talk = paced(slow).plays(HELLO, f"C: RSET\n! 3s\nS: {OK}")
    slow.ids.pop()
    talk.plays(f"C: RSET\n! 3s\n{slowly(OK)}")
    assert 99 == len(slow.ids)
    Talk(Policy(delay=PACED, tarpits=Tarpits(rset=Tarpit(0, 3.0)))).plays(HELLO, f"C: RSET\n! 3s\nS: {OK}")


def test_a_client_that_talks_meanwhile() -> None:
    """It changes nothing (as with spamd): what it says is taken when it has been told."""
    begun, rest = slowly(OK).split("\n! 1.0s\n", 1)
    paced().plays(HELLO, f"C: RSET\n! 3s\n{begun}\nC: NOOP\nC: QUIT\n! 1s\n{rest}\nS: {OK}\nS: 221 2.0.0 Bye\n* close at once")


@pytest.mark.parametrize("how", ["FIN", "RST"])
def test_a_client_that_leaves_meanwhile(how: str) -> None:
    """Nothing more is said, and when it left is recorded; its place is free."""
    slow = Slow()
    talk = paced(slow).plays(HELLO, f"C: RSET\n! 3s\nS+ 2\n! 1.5s\nS+ 5\n! {how}\n* close")
    assert [("tarpit.rset", 3.0, 3.0, "due"), ("reply_pace", 13.0, 1.5, "left")] == holds(talk)
    assert (set(), math.inf) == (slow.ids, talk.conversation.wake_at)


def test_the_daemon_goes_down_meanwhile() -> None:
    """The rest goes out at once, and from then on nothing goes slowly."""
    down = "S: 421 4.3.2 Service is going down, try again later\n* close"
    slow = Slow()
    talk = paced(slow).plays(HELLO, f"C: RSET\n! 3s\nS+ 2\n! drain\nS: 50 2.0.0 Ok\n{down}")
    assert [("reply_pace", 13.0, 0.0, "cut")] == holds(talk)[1:]
    assert set() == slow.ids
    Talk(talk.conversation._policy, slow=slow).plays(HELLO, f"C: RSET\n! drain\n! 3s\nS: {OK}\n{down}")


def test_the_mta_breaks_meanwhile() -> None:
    """What it had said is said to its end, and then the 421."""
    talk = paced().plays(HELLO, MAIL, "C: RSET\n! 3s\nM> RSET\nM< 250 done\nS+ 2\n! 1s\nS+ 5")
    talk.plays(f"M< junk\nS: 0 done\n{GONE}\n* abort the MTA\n* close")


def test_a_hold_and_its_reply_take_no_longer_than_a_client_waits() -> None:
    """After 295 s the rest goes at once; a hold of that length leaves no time for it."""
    rules = Policy(
        delay=Delay(reply_pace=100.0), tarpits=Tarpits(rset=Tarpit(0, 3.0, 3.0), noop=Tarpit(0, 295.0)), park_after=math.inf
    )
    talk = Talk(rules, slow=Slow())
    talk.plays(HELLO, f"C: RSET\n! 3s\nS+ 2\n! 100s\nS+ 5\n! 100s\nS+ 0\n! 91.9s\n! 0.1s\nS:  2.0.0 Ok\nC: NOOP\n! 295s\nS: {OK}")
    assert [3.0, 292.0, 295.0] == [event.held for event in talk.of(schema.Hold)]


def test_a_slow_354_gives_the_client_its_time() -> None:
    """The deadline of the message counts from its end; an MTA that leaves meanwhile is a 421."""
    rules = policy(
        Pregreet(),
        action=Action.DELAY,
        changes={"delay": Delay(Span(10.0, 10.0), Phase.DATA, reply_pace=1.0), "limits": Limits(data=5.0)},
    )
    asked = "C: DATA\n! 6s\nM> DATA\nM< 354 go"
    talk = Talk(rules, reasons=(found("pregreet"),), slow=Slow()).plays(HELLO, MAIL, RCPT, asked, slowly("354 go"), "! 4.9s")
    talk.plays("C: text\nC: .\nM> text\nM> .\nM< 250 kept\nS: 250 kept")
    talk = Talk(rules, reasons=(found("pregreet"),), slow=Slow()).plays(HELLO, MAIL, RCPT, asked, "S+ 3\n! 1s\nS+ 5")
    talk.plays(f"! MTA left: gone\nS: 4 go\n{GONE}\n* abort the MTA\n* close")


def test_what_is_never_said_slowly() -> None:
    """The answer to a message, and the 220 before TLS."""
    rules = policy(Pregreet(), action=Action.DELAY, changes={"delay": Delay(Span(10.0, 10.0), Phase.DATA, reply_pace=1.0)})
    chunk = "C+ BDAT 2 LAST\\r\\nhi\n! 6s\nM> BDAT 2 LAST\nM- hi\nM< 250 kept\nS: 250 kept"
    Talk(rules, reasons=(found("pregreet"),), slow=Slow()).plays(HELLO, MAIL, RCPT, chunk)
    rules = policy(Pregreet(), action=Action.DELAY, changes={"delay": PACED})
    start = f"C: STARTTLS\n! 6s\n{LOGIN}\nM> STARTTLS\nM< 220 go\nS: 220 go\n* pump"
    Talk(rules, reasons=(found("pregreet"),), slow=Slow()).plays(HELLO, start)


# One by one, without a conversation.


def exchange(rules: Policy | None = None, *reasons: Reason) -> Exchange:
    one = Exchange(setting(rules, reasons=reasons))
    one.asked = "MAIL"
    return one


def outcome(one: Exchange) -> list[str]:
    """Return what was ordered, in short."""
    return [line for effect in one.outbox.take() for line in shown(effect)]


def test_a_hold_keeps_what_it_holds_back() -> None:
    """It is recorded with what was asked and what was held, and what comes then is the caller's to do."""
    one = exchange()
    then: list[float] = []
    one.hold(Pause(5.0, "residual", ("a.b",), "c@d", "e@f"), then.append, 1010.0)
    assert (Waiting.HOLD, 1015.0) == (one.waiting, one.wake_at)
    one.release(1012.0, "left")(1012.0)
    assert [1012.0] == then
    assert [Emit(schema.Hold("residual", 5.0, 2.0, "left", "greeted", ("a.b",), "c@d", "e@f"))] == one.outbox.take()


def test_replies_give_way_to_refusals() -> None:
    """tarry's own and the MTA's, where a verdict refuses at this phase; else they go as they are."""
    refused = policy(Pregreet(), action=Action.REJECT, at=Phase.HELO)
    told = "550 5.7.1 You spoke before the greeting [K3X9-0001]"
    for rules, expected in ((refused, told), (None, "250 2.0.0 Ok")):
        for way in (Exchange.relay_reply, Exchange.answer_unless_refused):
            one = exchange(rules, found("pregreet"))
            one.phase = Phase.HELO
            way(one, replies.OK, 1010.0)
            assert [f"S: {expected}"] == outcome(one)
            assert 1310.0 == one.wake_at


def test_a_refusal_may_end_the_session() -> None:
    """Because it drops, or because the command demands it."""
    for action, end, code in ((Action.DROP, False, "521"), (Action.REJECT, True, "550"), (Action.REJECT, False, "550")):
        one = exchange(policy(Pregreet(), action=action, at=Phase.HELO), found("pregreet"))
        one.refuse(one.screen.verdict(Phase.HELO), 1010.0, end=end)
        ends = action is Action.DROP or end
        assert [f"S: {code} 5.7.1 You spoke before the greeting [K3X9-0001]", "* close"][: 1 + ends] == outcome(one)


def test_answering_and_ending() -> None:
    """With tarry's reply to what is named."""
    one = exchange()
    one.end_with(replies.TOO_SLOW, 1010.0, to="message", size=5)
    effects = one.outbox.take()
    assert Emit(schema.Reply(421, "4.4.2 Timeout, closing the connection", "message", "tarry", 5)) == effects[0]
    assert Close(linger=True) == effects[-1]


def test_a_login_needs_its_own_connection() -> None:
    """Once it is closed nothing more is asked."""
    one = exchange()
    one.ask("AUTH", b"AUTH PLAIN", 1010.0)
    one.is_authenticated = True
    one.mta.lost()
    one.outbox.take()
    one.ask("MAIL", b"MAIL FROM:<>", 1011.0)
    assert [GONE, "* close"] == outcome(one)


def test_stopping_leaves_the_connections_alone() -> None:
    """They are pumped from here on."""
    one = exchange()
    one.stop()
    assert ([], Waiting.END, math.inf) == (outcome(one), one.waiting, one.wake_at)


# The law.


@pytest.mark.slow
@settings(max_examples=STORMS)
@given(st.integers(0, 2**64))
def test_in_any_storm_each_command_has_its_own_answer(seed: int) -> None:
    """And a message that was acknowledged is with the MTA, for those whom it was acknowledged for (see tests/storm)."""
    storm(Random(seed))


def test_messages_get_through_a_storm() -> None:
    """The law is about something."""
    assert 10 < sum(storm(Random(seed)) for seed in range(100))
