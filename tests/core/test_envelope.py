"""MAIL and RCPT: who judges them, and what becomes of a MAIL that the MTA has not seen."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tarry.checks.pregreet import Pregreet
from tarry.core.client import Phase
from tarry.core.policy import Delay, Limits, Policy, Span, Tarpit, Tarpits
from tarry.core.result import Action
from tarry.record import schema
from tests.playbook import policy
from tests.talk import HELLO, LOGIN, MAIL, RCPT, Talk, found

GONE = "S: 421 4.3.2 Service not available, try again later [K3X9-0001]\n* abort the MTA\n* close"
GONE_LONG_AGO = "S: 421 4.3.2 Service not available, try again later [K3X9-0001]\n* close"
DELAYED = policy(Pregreet(), action=Action.DELAY, changes={"delay": Delay(Span(10.0, 10.0))})
REFUSED = policy(Pregreet(), action=Action.DEFER, at=Phase.RCPT)


@pytest.mark.parametrize("answer", ["550 5.1.8 bad sender", "451 4.7.1 greylisted", "552 5.3.4 too big", "503 5.5.1 what"])
def test_the_mtas_refusals_are_its_own(answer: str) -> None:
    """Of a sender and of a recipient; the client may go on."""
    refused_mail = MAIL.replace("250 2.1.0 Sender ok", answer)
    refused_rcpt = RCPT.replace("250 2.1.5 Recipient ok", answer)
    Talk().plays(HELLO, refused_mail, refused_rcpt)
    Talk().plays(HELLO, MAIL, refused_rcpt, RCPT)


@pytest.mark.parametrize("answer", ["250 ok", "251 will forward", "252 cannot verify", "259 odd"])
def test_what_counts_as_accepted(answer: str) -> None:
    """25x, as RFC 5321 has it for RCPT."""
    Talk().plays(HELLO, MAIL, RCPT.replace("250 2.1.5 Recipient ok", answer))


@pytest.mark.parametrize("answer", ["220 what", "249 what", "260 what", "354 go", "334 x"])
def test_what_is_no_answer(answer: str) -> None:
    """A success of another class is a failure of the MTA."""
    Talk().plays(HELLO, MAIL.split("M< 250 2.1.0")[0], f"M< {answer}\n{GONE}")
    Talk().plays(HELLO, MAIL, RCPT.split("M<")[0], f"M< {answer}\n{GONE}")


def test_paths_are_recorded_unless_the_operator_forbids_it() -> None:
    """As they stand between the angle brackets."""
    for shown, paths in ((True, ["a@b.example", "c@d.example"]), (False, ["", ""])):
        talk = Talk(Policy(record_paths=shown)).plays(HELLO, MAIL, RCPT)
        assert paths == [event.arg for event in talk.of(schema.Command)][-2:]


def test_too_many_recipients() -> None:
    """Beyond the limit RCPT is answered 452 without the MTA, and the others stand."""
    Talk(Policy(limits=Limits(recipients=1))).plays(
        HELLO, MAIL, RCPT, "C: RCPT TO:<e@f.example>\nS: 452 4.5.3 Too many recipients [K3X9-0001]",
        "C: RSET\nM> RSET\nM< 250 ok\nS: 250 ok",
        "C: MAIL FROM:<>\nM> MAIL FROM:<>\nM< 250 ok\nS: 250 ok", RCPT,
    )  # fmt: skip


def test_a_mail_inside_a_transaction_changes_nothing() -> None:
    """Where the MTA refuses it, the transaction goes on, with its count of recipients and its chunks."""
    nested = "C: MAIL FROM:<>\nM> MAIL FROM:<>\nM< 503 nested\nS: 503 nested"
    Talk(Policy(limits=Limits(recipients=1))).plays(
        HELLO, MAIL, RCPT, nested, "C: RCPT TO:<e@f.example>\nS: 452 4.5.3 Too many recipients [K3X9-0001]"
    )
    Talk().plays(HELLO, MAIL, RCPT, nested, "C: BDAT 2 LAST\nM> BDAT 2 LAST\nC+ hi\nM- hi\nM< 250 ok\nS: 250 ok")
    Talk().plays(HELLO, MAIL, nested, f"! MTA left: gone\nC: DATA\n{GONE_LONG_AGO}")


def test_a_mail_inside_a_transaction_that_the_mta_takes() -> None:
    """Then it begins anew."""
    nested = "C: MAIL FROM:<>\nM> MAIL FROM:<>\nM< 250 ok\nS: 250 ok"
    Talk(Policy(limits=Limits(recipients=1))).plays(HELLO, MAIL, RCPT, nested, RCPT)


@pytest.mark.parametrize("line", ["RCPT TO:<c@d.example>", "DATA", "BDAT 4", "MAIL FROM:<>"])
def test_an_mta_that_goes_in_a_transaction_takes_it_along(line: str) -> None:
    """Nothing more of that transaction is accepted, and no 5xx is told for it."""
    Talk().plays(HELLO, MAIL, f"! MTA left: gone\nC: NOOP\nS: 250 2.0.0 Ok\nC: {line}\n{GONE_LONG_AGO}")


def test_a_transaction_that_was_lost_can_be_given_up() -> None:
    """RSET and EHLO forget it, and the next MAIL opens the MTA again."""
    Talk().plays(HELLO, MAIL, "! MTA left: gone\nC: RSET\nS: 250 2.0.0 Ok", MAIL)
    hello = "\n".join(line for line in HELLO.splitlines() if "220" not in line)
    Talk().plays(HELLO, MAIL, "! MTA left: gone", hello, MAIL)


# A MAIL that is owed.

OWED = "C: MAIL FROM:<a@b.example>\nS: 250 2.1.0 Ok"
HELD = "C: RCPT TO:<c@d.example>\n! 6s"


def test_a_mail_is_owed_until_the_recipient_is_held() -> None:
    """Where a hold at RCPT is certain, tarry answers MAIL, and the MTA hears it only after the hold."""
    Talk(DELAYED, reasons=(found("pregreet"),)).plays(
        HELLO, OWED, HELD, LOGIN, "M> MAIL FROM:<a@b.example>\nM< 250 ok\nM> RCPT TO:<c@d.example>\nM< 250 ok\nS: 250 ok", RCPT
    )


def test_the_refusal_of_an_owed_mail_is_told_at_rcpt() -> None:
    """It is the MTA's own, and the next RCPT asks again."""
    Talk(DELAYED, reasons=(found("pregreet"),)).plays(
        HELLO, OWED, HELD, LOGIN, "M> MAIL FROM:<a@b.example>\nM< 550 bad sender\nS: 550 bad sender",
        "C: RCPT TO:<e@f.example>\nM> MAIL FROM:<a@b.example>\nM< 250 ok\nM> RCPT TO:<e@f.example>\nM< 250 ok\nS: 250 ok",
    )  # fmt: skip


def test_the_answer_to_an_owed_mail_must_be_one() -> None:
    """A 354 to it is a failure."""
    Talk(DELAYED, reasons=(found("pregreet"),)).plays(HELLO, OWED, HELD, LOGIN, f"M> MAIL FROM:<a@b.example>\nM< 354 go\n{GONE}")


@pytest.mark.parametrize("line", ["RCPT TO:<e@f.example>", "DATA"])
def test_a_transaction_that_tarry_does_not_know_may_be_lost_too(line: str) -> None:
    """An MTA that kept the sender of a message it refused, and took a recipient for it: the client is not refused for good."""
    chunk = "C: BDAT 2 LAST\nM> BDAT 2 LAST\nC+ hi\nM- hi\nM< 451 later\nS: 451 later"
    Talk().plays(HELLO, MAIL, RCPT, chunk, RCPT, f"! MTA left: gone\nC: {line}\n{GONE_LONG_AGO}")


def test_an_owed_mail_can_be_taken_back() -> None:
    """RSET needs no MTA for it, and DATA has no recipients."""
    Talk(DELAYED, reasons=(found("pregreet"),)).plays(
        HELLO, OWED, "C: RSET\nS: 250 2.0.0 Ok", "C: RCPT TO:<c@d.example>\n! 6s\nS: 503 5.5.1 MAIL first"
    )
    Talk(REFUSED, reasons=(found("pregreet"),)).plays(HELLO, OWED, "C: NOOP\nS: 250 2.0.0 Ok")


def test_a_client_that_will_be_refused_at_rcpt_opens_nothing() -> None:
    """Its MAIL is answered, each of its recipients refused."""
    refusal = "S: 450 4.7.1 You spoke before the greeting, try again later [K3X9-0001]"
    Talk(REFUSED, reasons=(found("pregreet"),)).plays(
        HELLO, OWED, f"C: RCPT TO:<c@d.example>\n{refusal}", f"C: RCPT TO:<e@f.example>\n{refusal}\nC: DATA\n{refusal}\n* close"
    )


def test_nobody_owes_a_mail_who_has_waited() -> None:
    """The delay is over: the second transaction goes straight to an MTA that was given up meanwhile."""
    script = "M> MAIL FROM:<a@b.example>\nM< 250 ok\nM> RCPT TO:<c@d.example>\nM< 250 ok\nS: 250 ok"
    Talk(DELAYED, reasons=(found("pregreet"),)).plays(
        HELLO, OWED, HELD, LOGIN, script, "C: RSET\nM> RSET\nM< 250 ok\nS: 250 ok\n! MTA left: idle", MAIL, RCPT
    )


# Our own words for an accepted recipient.


@pytest.mark.parametrize(
    ("mta", "told"),
    [
        ("250 2.1.5 Recipient ok", "250 2.1.5 Ok, spammer"),
        ("250 Recipient ok", "250 Ok, spammer"),
        ("250-2.1.5 one\nM< 250 2.1.5 two", "250 2.1.5 Ok, spammer"),
        ("250 2.1.5", "250 Ok, spammer"),
        ("251 2.1.5 will forward", "251 2.1.5 will forward"),
        ("550 5.1.1 no", "550 5.1.1 no"),
        ("450 4.1.1 later", "450 4.1.1 later"),
    ],
)
def test_recipients_beyond_a_number_are_accepted_in_our_words(mta: str, told: str) -> None:
    """With the MTA's own code; what it refuses, and what it says besides 250, it says itself."""
    rules = Policy(tarpits=Tarpits(rcpt=Tarpit(5, say="Ok, spammer", say_after=1)))
    talk = Talk(rules).plays(HELLO, MAIL, RCPT)
    talk.plays(f"C: RCPT TO:<c@d.example>\nM> RCPT TO:<c@d.example>\nM< {mta}\nS: {told}")
    assert "mta" == talk.of(schema.Reply)[-1].by


def test_our_words_begin_anew_with_each_message() -> None:
    """And with say_after = 0 each recipient hears them. Who is spared hears the MTA."""
    rules = Policy(tarpits=Tarpits(rcpt=Tarpit(5, say="Ok", say_after=1)))
    ours = RCPT.replace("S: 250 2.1.5 Recipient ok", "S: 250 2.1.5 Ok")
    again = "C: RSET\nM> RSET\nM< 250 ok\nS: 250 ok\nC: MAIL FROM:<>\nM> MAIL FROM:<>\nM< 250 ok\nS: 250 ok"
    Talk(rules).plays(HELLO, MAIL, RCPT, ours, ours, again, RCPT, ours)
    every = Policy(tarpits=Tarpits(rcpt=Tarpit(5, say="Ok")))
    Talk(every).plays(HELLO, MAIL, ours)
    Talk(every, is_exempt=True).plays(HELLO, MAIL, RCPT)
    Talk(replace(every, observe=True)).plays(HELLO, MAIL, RCPT)
