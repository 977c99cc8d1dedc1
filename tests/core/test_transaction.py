"""Parking: the transaction that another connection is given again after a hold, and what the client is told when that fails."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tarry.checks.pipelining import Pipelining
from tarry.checks.predata import PreDataCheck
from tarry.checks.pregreet import Pregreet
from tarry.core.client import Phase
from tarry.core.exchange import Pause
from tarry.core.policy import Delay, Limits, Policy, Span, Tarpit, Tarpits
from tarry.core.result import Action
from tarry.core.transaction import LONGEST, Transaction
from tarry.record import schema
from tarry.smtp.reply import reply
from tests.mta import talk_through
from tests.playbook import policy
from tests.talk import HELLO, LOGIN, MAIL, RCPT, Talk, found, setting

PIT = Policy(tarpits=Tarpits(rcpt=Tarpit(1, 30.0), rset=Tarpit(0, 30.0)), data_wait=Span(30.0, 30.0), park_after=20.0)
HELD = "C: RCPT TO:<e@f.example>"
PARKED = "M> QUIT\n* close the MTA"
AGAIN = f"""
{LOGIN}
M> MAIL FROM:<a@b.example>
M< 250 ok
M> RCPT TO:<c@d.example>
M< 250 ok
"""
SECOND = "M> RCPT TO:<e@f.example>\nM< 250 2.1.5 Ok\nS: 250 2.1.5 Ok"
LATER = "451 4.3.0 What was accepted before is not accepted any more, try again later [K3X9-0001]"
TAKEN_BACK = f"{PARKED}\nS: {LATER}"
GONE = "S: 421 4.3.2 Service not available, try again later [K3X9-0001]"
OK = "S: 250 2.0.0 Ok"
NO = reply(451, "4.3.0 no")


# What is kept.


def test_lines_are_given_again_as_they_came() -> None:
    """In their order, what was said twice twice; then the MTA is where it was."""
    transaction = Transaction()
    assert (False, True, 0) == (transaction.is_open, transaction.can_park, transaction.rcpts)
    transaction.begin(b"MAIL FROM:<a@b> SIZE=1")
    transaction.add(b"RCPT TO:<c@d>")
    transaction.add(b"RCPT TO:<c@d>")
    assert (True, False, 2) == (transaction.is_open, transaction.is_parked, transaction.rcpts)
    for _ in range(2):
        transaction.park()
        again = []
        while transaction.is_parked:
            again.append(transaction.next_line)
            transaction.accepted()
        assert [b"MAIL FROM:<a@b> SIZE=1", b"RCPT TO:<c@d>", b"RCPT TO:<c@d>"] == again


def test_nothing_is_owed_when_no_transaction_is_open() -> None:
    """The connection is given up all the same."""
    transaction = Transaction()
    transaction.park()
    assert not transaction.is_parked


def test_a_transaction_begins_with_nothing_of_the_one_before() -> None:
    """By a MAIL, or by being forgotten."""
    transaction = Transaction()
    transaction.begin(b"MAIL FROM:<>")
    transaction.add(b"RCPT TO:<c@d>")
    transaction.bind()
    transaction.begin(b"MAIL FROM:<>")
    assert (True, True, 0) == (transaction.is_open, transaction.can_park, transaction.rcpts)
    transaction.spoil(NO)
    assert (NO, False) == (transaction.refusal, transaction.is_open)
    transaction.forget()
    assert (None, False) == (transaction.refusal, transaction.is_open)


def test_what_cannot_be_given_again_is_not_parked() -> None:
    """Message data has gone out, or the MTA took a recipient for a transaction that tarry knows nothing of."""
    transaction = Transaction()
    transaction.add(b"RCPT TO:<c@d>")
    assert not transaction.can_park
    transaction.begin(b"MAIL FROM:<>")
    transaction.bind()
    transaction.add(b"RCPT TO:<c@d>")
    assert (False, 0) == (transaction.can_park, transaction.rcpts)


def test_what_is_kept_is_bounded() -> None:
    """A transaction of more octets keeps its connection, and nothing of it is kept."""
    transaction = Transaction()
    transaction.begin(b"MAIL FROM:<>".ljust(LONGEST // 2))
    transaction.add(b"RCPT TO:<>".ljust(LONGEST // 2))
    assert (True, 1) == (transaction.can_park, transaction.rcpts)
    transaction.add(b"x")
    assert (False, 0) == (transaction.can_park, transaction.rcpts)


# Parking.


def test_a_long_hold_gives_the_mta_up_and_gives_it_the_transaction_again() -> None:
    """At its beginning; after it a new connection hears MAIL and the accepted recipients, and then the one that was held."""
    talk = Talk(PIT).plays(HELLO, MAIL, RCPT, f"{HELD}\n{PARKED}\n! 59s", f"! 1s\n{AGAIN}{SECOND}")
    assert [schema.Parked("rcpt", 1)] == talk.of(schema.Parked)
    assert [True, True] == [event.ok for event in talk.of(schema.Handoff)]
    assert [schema.Hold("tarpit.rcpt", 60.0, 60.0, "due", "rcpt")] == talk.of(schema.Hold)


@pytest.mark.parametrize(("park_after", "parks"), [(59.9, 1), (60.0, 0)])
def test_a_hold_must_be_longer_than_park_after(park_after: float, parks: int) -> None:
    """Else the MTA is kept."""
    talk = Talk(replace(PIT, park_after=park_after)).plays(HELLO, MAIL, RCPT, f"{HELD}\n{PARKED if parks else ''}")
    assert parks == len(talk.of(schema.Parked))


def test_every_line_is_given_again_word_for_word() -> None:
    """With its parameters, one said twice twice, one that was refused not at all, and a second time just so."""
    mail = MAIL.replace("<a@b.example>", "<a@b.example> SIZE=100 BODY=8BITMIME")
    twice = "RCPT TO:<c@d.example> NOTIFY=NEVER"
    again = f"{LOGIN}\nM> MAIL FROM:<a@b.example> SIZE=100 BODY=8BITMIME\nM< 250 ok\nM> {twice}\nM< 250 ok"
    talk = Talk(PIT).plays(
        HELLO, mail, f"C: {twice}\nM> {twice}\nM< 250 ok\nS: 250 ok",
        f"C: RCPT TO:<nobody@d.example>\n{PARKED}\n! 60s\n{again}\nM> RCPT TO:<nobody@d.example>\nM< 550 no\nS: 550 no",
        f"C: {twice}\n{PARKED}\n! 90s\n{again}\nM> {twice}\nM< 251 ok\nS: 251 ok",
        f"{HELD}\n{PARKED}\n! 120s\n{again}\nM> {twice}\nM< 259 ok\n{SECOND}",
    )  # fmt: skip
    assert [1, 1, 2] == [event.rcpts for event in talk.of(schema.Parked)]


def test_data_waits_without_the_mta() -> None:
    """It has heard no DATA before the hold is over."""
    talk = Talk(PIT).plays(
        HELLO, MAIL, RCPT, f"C: DATA\n{PARKED}\n! 30s\n{AGAIN}M> DATA\nM< 354 go\nS: 354 go",
        "C: .\nM> .\nM< 250 kept\nS: 250 kept",
    )  # fmt: skip
    assert [schema.Parked("data", 1)] == talk.of(schema.Parked)


def test_a_client_that_talks_before_354_is_found_after_the_hold() -> None:
    """And the MTA is not opened for it, when it is refused for that."""
    Talk(replace(PIT, checks=policy(PreDataCheck()).checks)).plays(
        HELLO,
        MAIL,
        RCPT,
        f"C: DATA\n{PARKED}\nC: text\n! 30s\nS: 550 5.7.1 You sent data before it was asked for [K3X9-0001]\n* close",
    )


def test_a_chunk_waits_until_the_mta_has_the_transaction() -> None:
    """A residual delay at BDAT: the chunk is passed on behind the last of the lines, and none of it before."""
    rules = policy(Pregreet(), action=Action.DELAY, changes={"delay": Delay(Span(60.0, 60.0), Phase.DATA)})
    Talk(rules, reasons=(found("pregreet"),)).plays(
        HELLO,
        MAIL,
        RCPT,
        f"C: BDAT 4 LAST\n{PARKED}\nC+ te\n! 56s\n{AGAIN}M> BDAT 4 LAST\nM- te\nC+ xt\nM- xt\nM< 250 ok\nS: 250 ok",
    )


def test_a_reset_needs_no_mta() -> None:
    """There is nothing to give again, and the next transaction opens the MTA as the first did."""
    talk = Talk(PIT).plays(HELLO, MAIL, RCPT, f"C: RSET\n{PARKED}\n! 30s\n{OK}\nC: NOOP\n{OK}", MAIL, RCPT)
    assert [schema.Parked("rcpt", 1)] == talk.of(schema.Parked)


def test_what_needs_no_mta_opens_none() -> None:
    """After a hold whose own command tarry answers: NOOP, RSET and QUIT, and EHLO, which begins anew."""
    few = replace(PIT, limits=Limits(recipients=1))
    over = f"{HELD}\n{PARKED}\n! 60s\nS: 452 4.5.3 Too many recipients [K3X9-0001]\nC: NOOP\n{OK}"
    quit_now = "C: QUIT\nS: 221 2.0.0 Bye\n* close at once"
    Talk(few).plays(HELLO, MAIL, RCPT, over, quit_now)
    Talk(few).plays(HELLO, MAIL, RCPT, over, f"C: RSET\n! 30s\n{OK}", quit_now)
    hello = "\n".join(line for line in HELLO.splitlines() if "220" not in line)
    Talk(few).plays(HELLO, MAIL, RCPT, over, hello, "C: DATA\n! 30s\nS: 503 5.5.1 RCPT first", MAIL, RCPT)


@pytest.mark.parametrize(
    "script",
    [
        "C: AUTH PLAIN AGEAYg==\n{}M> AUTH PLAIN AGEAYg==\nM< 503 no\nS: 503 no",
        "C: STARTTLS\n{}M> STARTTLS\nM< 220 go\nS: 220 go\n* pump",
        "C: MAIL FROM:<>\n{}M> MAIL FROM:<>\nM< 503 nested\nS: 503 nested",
        "C: BDAT 2 LAST\n{}M> BDAT 2 LAST\nC+ hi\nM- hi\nM< 250 ok\nS: 250 ok",
        "C: DATA\n! 30s\n{}M> DATA\nM< 354 go\nS: 354 go",
    ],
)
def test_what_needs_the_mta_is_asked_behind_the_transaction(script: str) -> None:
    """Whichever command it is that comes first: the MTA judges it as it would have."""
    over = f"{HELD}\n{PARKED}\n! 60s\nS: 452 4.5.3 Too many recipients [K3X9-0001]"
    Talk(replace(PIT, limits=Limits(recipients=1))).plays(HELLO, MAIL, RCPT, over, script.format(AGAIN.lstrip()))


def test_two_holds_of_one_command_park_once() -> None:
    """A residual delay and then what data_wait is longer: the connection was given up with the first."""
    rules = policy(
        Pregreet(), action=Action.DELAY, changes={"delay": Delay(Span(60.0, 60.0), Phase.DATA), "data_wait": Span(90.0, 90.0)}
    )
    talk = Talk(rules, reasons=(found("pregreet"),))
    talk.plays(HELLO, MAIL, RCPT, f"C: DATA\n{PARKED}\n! 56s\n! 34s\n{AGAIN}M> DATA\nM< 354 go\nS: 354 go")
    assert ([1], ["residual", "data_wait"]) == (
        [each.rcpts for each in talk.of(schema.Parked)],
        [each.why for each in talk.of(schema.Hold)],
    )


def test_a_client_without_an_mta_is_not_parked() -> None:
    """There is nothing to give up."""
    assert [] == Talk(PIT).plays(HELLO, f"C: RSET\n! 30s\n{OK}").of(schema.Parked)


def test_who_has_logged_in_is_not_parked() -> None:
    """The login could not be given again. (Such a client has no holds either; this is the second bolt.)"""
    talk = Talk(PIT).plays(HELLO, f"C: AUTH PLAIN AGEAYg==\n{LOGIN}\nM> AUTH PLAIN AGEAYg==\nM< 235 ok\nS: 235 ok")
    talk.conversation._x.hold(Pause(60.0, "residual"), lambda now: None, talk.now)
    assert [] == talk.of(schema.Parked)
    talk.plays("! FIN\n* abort the MTA\n* close")


def test_a_message_under_way_is_not_parked() -> None:
    """What the MTA has of it by chunks could not be given again; after the message it may be."""
    held = f"{HELD}\n! 60s\n{SECOND}"
    talk = Talk(PIT).plays(HELLO, MAIL, RCPT, "C: BDAT 2\nM> BDAT 2\nC+ hi\nM- hi\nM< 250 ok\nS: 250 ok", held)
    assert [] == talk.of(schema.Parked)
    talk.plays("C: BDAT 0 LAST\nM> BDAT 0 LAST\nM< 250 ok\nS: 250 ok", f"C: RSET\n{PARKED}\n! 30s\n{OK}")


def test_more_than_is_kept_is_not_parked() -> None:
    """Such a transaction keeps its connection through the hold."""
    talk = Talk(replace(PIT, tarpits=Tarpits(rset=PIT.tarpits.rset, rcpt=Tarpit(200, 1.0)), limits=Limits(recipients=300))).plays(
        HELLO, MAIL
    )
    lines = f"RCPT TO:<{'x' * 1990}@d.example>"
    for _ in range(200):
        talk.plays(f"C: {lines}\nM> {lines}\nM< 250 ok\nS: 250 ok")
    talk.plays(f"{HELD}\n! 201s\n{SECOND}")
    assert [] == talk.of(schema.Parked)


# A client in a parked hold.


@pytest.mark.parametrize("how", ["FIN", "RST"])
def test_a_client_that_leaves_ends_the_hold(how: str) -> None:
    """The MTA has been let go already."""
    talk = Talk(PIT).plays(HELLO, MAIL, RCPT, f"{HELD}\n{PARKED}\n! 5s\n! {how}\n* close")
    assert [schema.Hold("tarpit.rcpt", 60.0, 5.0, "left", "rcpt")] == talk.of(schema.Hold)


def test_what_is_piled_up_behind_a_parked_hold_is_answered_in_order() -> None:
    """One reply for each, and those of the MTA to the replay are nobody's."""
    Talk(replace(PIT, data_wait=Span(0.0, 0.0))).plays(
        HELLO, MAIL, RCPT, f"{HELD}\nC: NOOP\nC: DATA\n{PARKED}\n! 60s\n{AGAIN}{SECOND}\n{OK}\nM> DATA\nM< 354 go\nS: 354 go"
    )


def test_a_client_that_leaves_while_the_mta_is_given_the_transaction_again() -> None:
    """By a reset all ends; by a FIN it is served to the end."""
    Talk(PIT).plays(
        HELLO, MAIL, RCPT, f"{HELD}\n{PARKED}\n! 60s\n{AGAIN.strip().removesuffix('M< 250 ok')}\n! RST\n* abort the MTA\n* close"
    )
    Talk(PIT).plays(
        HELLO,
        MAIL,
        RCPT,
        f"{HELD}\n{PARKED}\n! 60s\n{AGAIN.strip().removesuffix('M< 250 ok')}\n! FIN\nM< 250 ok\n{SECOND}\n* abort the MTA\n* close",
    )


def test_going_down_during_a_parked_hold() -> None:
    """As during any hold: a transaction goes on to its end, and who has none is sent away after the hold."""
    down = "S: 421 4.3.2 Service is going down, try again later"
    Talk(replace(PIT, data_wait=Span(0.0, 0.0))).plays(
        HELLO, MAIL, RCPT, f"{HELD}\n{PARKED}\n! drain\n! 60s\n{AGAIN}{SECOND}",
        f"C: DATA\nM> DATA\nM< 354 go\nS: 354 go\nC: .\nM> .\nM< 250 kept\nS: 250 kept\n{down}\n* abort the MTA\n* close",
    )  # fmt: skip
    Talk(PIT).plays(HELLO, MAIL, RCPT, f"C: RSET\n{PARKED}\n! drain\n! 30s\n{OK}\n{down}\n* close")


# A MAIL that is owed.


def test_a_first_recipient_that_will_be_held_long_opens_nothing_before() -> None:
    """tarry answers MAIL where the tarpit begins with the first recipient: else the MTA would be opened and given up at once."""
    held = f"C: RCPT TO:<c@d.example>\n! 30s\n{AGAIN}S: 250 ok"
    owed = "C: MAIL FROM:<a@b.example>\nS: 250 2.1.0 Ok"
    talk = Talk(replace(PIT, tarpits=Tarpits(rset=PIT.tarpits.rset, rcpt=Tarpit(0, 30.0)))).plays(HELLO, owed, held)
    assert [] == talk.of(schema.Parked)
    talk.plays(f"{HELD}\n{PARKED}\n! 60s\n{AGAIN}{SECOND}")
    Talk(replace(PIT, tarpits=Tarpits(rset=PIT.tarpits.rset, rcpt=Tarpit(0, 30.0))), is_exempt=True).plays(HELLO, MAIL, RCPT)


def test_an_owed_mail_that_was_refused_stays_owed() -> None:
    """Parked or not, its own verdict is told at each recipient."""
    refused = f"{LOGIN}\nM> MAIL FROM:<a@b.example>\nM< 550 bad sender\nS: 550 bad sender"
    Talk(replace(PIT, tarpits=Tarpits(rset=PIT.tarpits.rset, rcpt=Tarpit(0, 30.0)))).plays(
        HELLO, "C: MAIL FROM:<a@b.example>\nS: 250 2.1.0 Ok", f"{HELD}\n! 30s", refused, f"{HELD}\n{PARKED}\n! 60s", refused
    )


# An MTA that refuses a second EHLO or a RSET stands where it stood.


def test_a_refused_ehlo_changes_nothing() -> None:
    """The transaction stands, as RFC 5321 §4.1.4 has it, and the name that the MTA took is the one it is told again."""
    Talk(PIT).plays(
        HELLO, MAIL, RCPT, "C: EHLO b_d\nM> EHLO b_d\nM< 501 no\nS: 501 no", f"{HELD}\n{PARKED}\n! 60s\n{AGAIN}{SECOND}"
    )


def test_a_refused_reset_changes_nothing() -> None:
    """The MTA still has the transaction, so it is given it again."""
    Talk(replace(PIT, tarpits=Tarpits(rcpt=PIT.tarpits.rcpt, rset=Tarpit(9)))).plays(
        HELLO, MAIL, RCPT, "C: RSET\nM> RSET\nM< 451 no\nS: 451 no", f"{HELD}\n{PARKED}\n! 60s\n{AGAIN}{SECOND}"
    )


# An MTA that changes its mind.

UNTIL = {
    "greeting": "* open the MTA\n! opened",
    "EHLO": "* open the MTA\n! opened\nM< 220 mta\nM> EHLO client.example",
    "MAIL": f"{LOGIN}\nM> MAIL FROM:<a@b.example>",
    "RCPT": AGAIN.strip().removesuffix("M< 250 ok"),
    "second RCPT": f"{AGAIN}M> RCPT TO:<e@f.example>",
}
BREAKS = ["M< 421 bye", "M< 354 go", "M< 251-what\nM< 250 what", "M< junk", "! MTA left: gone", "! 30s"]
AT_HAND = {
    "RCPT": "C: RCPT TO:<g@h.example>\n%s! 90s",
    "DATA": "C: DATA\n%s! 30s",
    "BDAT": "C: BDAT 2 LAST\n%sC+ hi\n! 56s",
}


def changed(at_hand: str, where: str, how: str) -> Talk:
    """Play a client with two accepted recipients, whose command at hand was held and parked, up to *where*; and then *how*."""
    delayed = policy(Pregreet(), action=Action.DELAY, changes={"delay": Delay(Span(60.0, 60.0), Phase.DATA)})
    rules = replace(PIT, tarpits=Tarpits(rset=PIT.tarpits.rset, rcpt=Tarpit(2, 30.0))) if at_hand != "BDAT" else delayed
    talk = Talk(rules, reasons=(found("pregreet"),) if at_hand == "BDAT" else (), knows_client=True)
    return talk.plays(HELLO, MAIL, RCPT, f"{HELD}\n{SECOND}", AT_HAND[at_hand] % f"{PARKED}\n", where, how)


@pytest.mark.parametrize("at_hand", AT_HAND)
@pytest.mark.parametrize("answer", ["550 5.1.1 who", "450 4.2.0 later", "503 what"])
@pytest.mark.parametrize("where", ["MAIL", "RCPT", "second RCPT"])
def test_an_mta_that_takes_back_what_it_accepted(where: str, answer: str, at_hand: str) -> None:
    """The client gets 451 to the command at hand and to all that follows, until it begins anew; nothing of it reaches DATA."""
    talk = changed(at_hand, UNTIL[where], f"M< {answer}\n{TAKEN_BACK}")
    what = where.split()[-1]
    assert f"after the hold it refuses {what}: {answer}" == talk.of(schema.Handoff)[-1].why
    wait = "" if at_hand == "BDAT" else "! 300s\n"
    talk.plays(f"C: RCPT TO:<g@h.example>\n{wait}S: {LATER}\nC: BDAT 2 LAST\nC+ hi\nS: {LATER}\nC: NOOP\n{OK}")
    talk.plays(f"C: DATA\n{'' if at_hand == 'BDAT' else '! 30s' + chr(10)}S: {LATER}\nC: AUTH PLAIN AGEAYg==\nS: {LATER}")
    talk.plays(MAIL, RCPT)


@pytest.mark.parametrize("where", ["greeting", "EHLO"])
def test_an_mta_that_does_not_want_the_client_any_more(where: str) -> None:
    """Its 5xx is not about the command at hand, and is not told in its place."""
    talk = changed("RCPT", UNTIL[where], f"M< 554 5.7.1 not you\n* abort the MTA\nS: {LATER}")
    assert "after the hold it refuses the client: 554 5.7.1 not you" == talk.of(schema.Handoff)[-1].why
    talk.plays(f"C: RSET\n! 30s\n{OK}", MAIL, RCPT)


@pytest.mark.parametrize("at_hand", AT_HAND)
@pytest.mark.parametrize("how", BREAKS)
@pytest.mark.parametrize("where", UNTIL)
def test_an_mta_that_breaks_off_or_talks_nonsense(where: str, how: str, at_hand: str) -> None:
    """At any line of it: the client is told to come again, and the session ends."""
    changed(at_hand, UNTIL[where], f"{how}\n{GONE}\n* abort the MTA\n* close")


def test_an_mta_that_is_slow_with_each_line() -> None:
    """All that it is given again has the time of one command: the client has long stopped to wait for more."""
    rules = replace(PIT, limits=Limits(command=100.0))
    begun = f"{HELD}\n{PARKED}\n! 60s\n* open the MTA\n! opened\nM< 220 mta\nM> EHLO client.example\n! 29s"
    lines = "M< 250 mta\nM> MAIL FROM:<a@b.example>\n! 29s\nM< 250 ok\nM> RCPT TO:<c@d.example>\n! 29s\nM< 250 ok"
    again = "M> RCPT TO:<c@d.example>\n! 12s"
    talk = Talk(replace(rules, tarpits=Tarpits(rcpt=Tarpit(2, 20.0)))).plays(HELLO, MAIL, RCPT, RCPT)
    talk.plays(begun, lines, again, f"! 1s\n{GONE}\n* abort the MTA\n* close")
    assert "no reply in time" == talk.of(schema.Handoff)[-1].why


def test_an_mta_that_cannot_be_reached_after_the_hold() -> None:
    """As at any other time."""
    changed("RCPT", "* open the MTA", f"! MTA left: cannot be reached\n{GONE}\n* abort the MTA\n* close")


def test_data_that_was_sent_along_with_a_data_that_fails_is_not_read() -> None:
    """Its lines would be taken for commands."""
    changed("DATA", UNTIL["MAIL"], f"C: text\nM< 550 no\n{TAKEN_BACK}\n* close")


def test_going_down_ends_a_transaction_that_was_taken_back() -> None:
    """It comes to nothing, so nobody waits for it."""
    talk = changed("RCPT", UNTIL["MAIL"], f"M< 550 no\n{TAKEN_BACK}")
    talk.plays("! drain\nS: 421 4.3.2 Service is going down, try again later\n* close")


# The law. No MAIL is owed in it: tarry's answer to that is not the MTA's, parked or not.

COMMANDS = (
    b"MAIL FROM:<nosender@b>\r\n", b"MAIL FROM:<a@b> SIZE=10\r\n", b"MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\n", b"RCPT TO:<c@d>\r\n",
    b"RCPT TO:<e@d>\r\n", b"RCPT TO:<nobody@d>\r\n", b"RCPT TO:<later@d>\r\n", b"DATA\r\n",
    b"RCPT TO:<c@d>\r\nRCPT TO:<c@d> NOTIFY=NEVER\r\nDATA\r\n", b"RSET\r\n", b"NOOP\r\n", b"NONSENSE\r\n", b"EHLO x\r\n",
    b"HELO x\r\n", b"BDAT 4\r\ntext", b"BDAT 4 LAST\r\ntext", b"BDAT 0 LAST\r\n", b"AUTH PLAIN AGEAYg==\r\n", b"QUIT\r\n",
)  # fmt: skip
DELAYS = policy(Pipelining(), action=Action.DELAY).checks
RULES = (
    Policy(tarpits=Tarpits(rcpt=Tarpit(1, 1.0, 5.0), rset=Tarpit(0, 1.0, 5.0)), limits=Limits(recipients=3)),
    Policy(tarpits=Tarpits(rcpt=Tarpit(1, 1.0, 5.0)), data_wait=Span(2.0, 2.0)),
    Policy(checks=DELAYS, delay=Delay(Span(9.0, 9.0), Phase.DATA), tarpits=Tarpits(rset=Tarpit(0, 1.0, 5.0))),
    Policy(checks=DELAYS, delay=Delay(Span(9.0, 9.0), Phase.MAIL), data_wait=Span(1.0, 1.0)),
)


@pytest.mark.slow
@settings(max_examples=300)
@given(
    number=st.integers(0, len(RULES) - 1),
    groups=st.lists(st.sampled_from(COMMANDS), max_size=14),
    hello=st.sampled_from((b"EHLO x\r\n", b"HELO x\r\n")),
)
@example(0, [b"MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\n", b"RCPT TO:<c@d>\r\n", b"RSET\r\n", b"DATA\r\n"], b"EHLO x\r\n")
def test_parking_changes_nothing_that_anyone_is_told(number: int, groups: list[bytes], hello: bytes) -> None:
    """In front of an MTA that keeps its word the client gets the same replies, and the same messages are accepted."""
    always, never = (
        talk_through(setting(replace(RULES[number], park_after=after), reasons=(found("pipelining"),)), [hello, *groups])
        for after in (0.0, math.inf)
    )
    assert always[:2] == never[:2]


def test_the_law_is_about_something() -> None:
    """There are scripts in it that park often and deliver."""
    script = [b"EHLO x\r\n", *[b"MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\n", b"RCPT TO:<e@d>\r\nRCPT TO:<nobody@d>\r\nDATA\r\n"] * 2]
    codes, accepted, opened = talk_through(setting(replace(RULES[1], park_after=0.0)), script)
    assert [220, 250, *[250, 250, 250, 550, 354, 250] * 2] == codes
    assert [2, 2] == [len(message.rcpts) for message in accepted]
    assert 7 == opened


SINGLE = tuple(command for command in COMMANDS if command.count(b"\n") == 1 and not command.startswith(b"QUIT"))
moods = st.dictionaries(
    st.tuples(st.integers(1, 4), st.integers(1, 6)), st.sampled_from((b"450 later\r\n", b"550 no\r\n", b"421 bye\r\n")), max_size=4
)


def acknowledged(groups: list[bytes], codes: list[int]) -> list[list[bytes]]:
    """Return, for each message that the client was told 250 for, the recipients that it was told 25x for."""
    left, found, rcpts = iter(codes), [], list[bytes]()
    for group, code in zip(groups, left, strict=False):
        match group[:4]:
            case b"MAIL" if code == 250:
                rcpts = []
            case b"RCPT" if code == 250:
                rcpts.append(group.strip())
            case b"DATA" if code == 354 and next(left, 0) == 250:
                found.append(rcpts)
            case b"BDAT" if code == 250 and b"LAST" in group:
                found.append(rcpts)
            case _:
                pass
    return found


@pytest.mark.slow
@settings(max_examples=300)
@given(park_after=st.sampled_from((0.0, math.inf)), groups=st.lists(st.sampled_from(SINGLE), max_size=14), moods=moods)
@example(0.0, [b"MAIL FROM:<a@b>\r\n", b"RCPT TO:<c@d>\r\n", b"RCPT TO:<e@d>\r\n", b"DATA\r\n"], {(2, 4): b"550 no\r\n"})
def test_a_message_goes_to_those_whom_the_client_was_told(
    park_after: float, groups: list[bytes], moods: dict[tuple[int, int], bytes]
) -> None:
    """Or to nobody: whatever the MTA takes back at whichever line, no message has other recipients than were acknowledged."""
    groups = [b"EHLO x\r\n", *groups]
    codes, accepted, _ = talk_through(setting(replace(RULES[1], park_after=park_after)), groups, moods)
    assert acknowledged(groups, codes[1:]) == [list(message.rcpts) for message in accepted]
