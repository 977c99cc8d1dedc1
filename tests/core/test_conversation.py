"""The order of a session, as transcripts, and the laws that no transcript may break."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tarry.checks.bare_newline import BareNewline
from tarry.checks.many_errors import ManyErrors, Options
from tarry.checks.non_smtp import NonSmtp
from tarry.checks.pipelining import Pipelining
from tarry.checks.predata import PreDataCheck
from tarry.checks.pregreet import Pregreet
from tarry.core.border import Close, CloseMta, OpenMta, Pump, Relay, Send, SessionEffect, StartTls
from tarry.core.client import Phase
from tarry.core.conversation import BACKLOG, TURN, Conversation
from tarry.core.policy import Delay, Limits, Policy, Span, Tarpit, Tarpits
from tarry.core.result import Action
from tarry.core.starttls import Established
from tarry.record import schema
from tarry.smtp.extensions import Capabilities
from tests.playbook import armed, policy
from tests.strategies import borders, cut, soup
from tests.talk import (
    BEGUN_AT,
    DATA,
    ENVELOPE,
    GREETED,
    HELLO,
    LOGIN,
    MAIL,
    OFFERED,
    RCPT,
    SENDING,
    Talk,
    found,
    setting,
)

MESSAGE = """
C: Subject: x
C:
C: text
C: .
M> Subject: x
M>
M> text
M> .
M< 250 2.0.0 Queued
S: 250 2.0.0 Queued
"""
QUIT = """
C: QUIT
M> QUIT
* close the MTA
S: 221 2.0.0 Bye
* close at once
"""


def test_a_plain_session() -> None:
    """The MTA is opened by MAIL and greeted with the client's own EHLO; every reply but tarry's own is the MTA's."""
    talk = Talk().plays(SENDING, MESSAGE, QUIT)

    assert [("EHLO", 21, "client.example"), ("MAIL", 25, "a@b.example"), ("RCPT", 23, "c@d.example"), ("DATA", 6, "")] == [
        (event.verb, event.size, event.arg) for event in talk.of(schema.Command)
    ][:4]
    assert [schema.Handoff("proxy", "127.0.0.1:10025", True, 0.0)] == talk.of(schema.Handoff)
    assert [OFFERED] == talk.learned
    assert math.inf == talk.conversation.wake_at


def test_two_messages_share_the_mta() -> None:
    """The second transaction asks the MTA that is there."""
    second = """
        C: MAIL FROM:<a@b.example>
        M> MAIL FROM:<a@b.example>
        M< 250 ok
        S: 250 ok
    """
    Talk().plays(SENDING, MESSAGE, second, RCPT, DATA, MESSAGE, QUIT)


def test_the_greeting_tells_how_long_the_client_waited() -> None:
    """It is recorded with the time since accept."""
    assert [schema.Greet(4.0)] == Talk().plays(GREETED).events


def test_nothing_is_known_of_the_mta() -> None:
    """Before its first answer clients are told to come again."""
    Talk(capabilities=None).plays(
        """
        S: 421 4.3.2 Service not available, try again later [K3X9-0001]
        * close
        """
    )


AWAY = "all its smtpds are busy"
UNAVAILABLE = """
S: 421 4.3.2 Service not available, try again later [K3X9-0001]
* close
"""


def test_the_mta_could_not_take_it() -> None:
    """The client is told to come again, and the record says why."""
    talk = Talk(away=AWAY).plays(UNAVAILABLE)

    assert [schema.Handoff("proxy", "127.0.0.1:10025", False, why=AWAY)] == talk.of(schema.Handoff)
    assert ([], math.inf) == (talk.of(schema.Greet), talk.conversation.wake_at)


@pytest.mark.parametrize(
    ("setting", "why"),
    [
        ({"away": AWAY}, AWAY),
        ({"capabilities": None}, "the MTA has not been reached yet"),
        ({"away": AWAY, "reasons": (found("a"),)}, AWAY),
    ],
)
@pytest.mark.parametrize("line", ["EHLO client.example", "HELO x", "MAIL FROM:<a@b.example>", "RSET", "what?", ""])
def test_a_greeting_that_has_begun_is_finished_before_the_421(setting: dict[str, Any], why: str, line: str) -> None:
    """Behind a first line of the greeting a 421 could not be read; the first command gets it, whatever it is."""
    talk = Talk(Policy(teaser="wait"), **setting).plays(GREETED)
    assert [schema.Handoff("proxy", "127.0.0.1:10025", False, why=why), schema.Greet(4.0)] == talk.events
    talk.plays(f"C: {line}", "C: NOOP", UNAVAILABLE)
    assert (1, 1) == (len(talk.of(schema.Handoff)), len(talk.of(schema.Reply)))


def test_who_quits_before_it_is_told() -> None:
    """It gets its 221; without an answer of the client's, its time is over or its leaving is all there is."""
    teased = Policy(teaser="wait")
    Talk(teased, away=AWAY).plays(GREETED, "C: QUIT", "S: 221 2.0.0 Bye", "* close at once")
    Talk(teased, away=AWAY).plays(GREETED, "! FIN", "* close")
    Talk(teased, away=AWAY).plays(GREETED, "! RST", "* close")
    Talk(teased, away=AWAY).plays(GREETED, "! 300s", "S: 421 4.4.2 Timeout, closing the connection", "* close")
    Talk(teased, away=AWAY).plays(GREETED, "! drain", "S: 421 4.3.2 Service is going down, try again later", "* close")


def test_an_exempt_client_has_seen_no_first_line() -> None:
    """So it is told at once."""
    Talk(Policy(teaser="wait"), away=AWAY, is_exempt=True).plays(UNAVAILABLE)


@pytest.mark.parametrize(
    ("line", "answer"),
    [
        ("NOOP", "250 2.0.0 Ok"),
        ("noop anything", "250 2.0.0 Ok"),
        ("RSET", "250 2.0.0 Ok"),
        ("VRFY <a@b.example>", "252 2.0.0 Cannot verify, but will take a message for delivery"),
        ("HELP", "214 2.0.0 See RFC 5321"),
        ("EXPN list", "502 5.5.1 Command not offered"),
        ("ETRN example.org", "502 5.5.1 Command not offered"),
        ("SEND FROM:<a@b.example>", "502 5.5.1 Command not offered"),
        ("XCLIENT ADDR=127.0.0.1", "500 5.5.2 Command not recognised"),
        ("XFORWARD NAME=x", "500 5.5.2 Command not recognised"),
        ("", "500 5.5.2 Command not recognised"),
        ("EHLO", "501 5.5.4 Say EHLO or HELO with your name"),
        ("HELO", "501 5.5.4 Say EHLO or HELO with your name"),
        ("RCPT TO:<c@d.example>", "503 5.5.1 MAIL first"),
        ("DATA", "503 5.5.1 RCPT first"),
        ("STARTTLS now", "501 5.5.4 STARTTLS takes no argument"),
    ],
)
def test_what_tarry_answers_by_itself(line: str, answer: str) -> None:
    """None of these opens the MTA, and what tarry does not know to relay is never passed on."""
    Talk().plays(HELLO, f"C: {line}\nS: {answer}")


@pytest.mark.parametrize("verb", ["AUTH PLAIN", "STARTTLS"])
def test_what_the_mta_does_not_offer(verb: str) -> None:
    """AUTH and STARTTLS are put to an MTA that offers them, and to no other."""
    Talk(capabilities=Capabilities("mta.example")).plays(
        f"""
        S: 220 mail.example ESMTP
        C: EHLO client.example
        S: 250 mail.example
        C: {verb}
        S: 502 5.5.1 Command not offered
        """
    )


def test_helo_is_replayed_as_helo() -> None:
    """A HELO client's MTA hears HELO, and is offered nothing."""
    talk = Talk().plays(
        GREETED,
        """
        C: HELO client.example
        S: 250 mail.example
        C: MAIL FROM:<a@b.example>
        * open the MTA
        ! opened
        M< 220 mta.example
        M> HELO client.example
        M< 250 mta.example
        M> MAIL FROM:<a@b.example>
        M< 250 ok
        S: 250 ok
        """,
    )
    assert [] == talk.learned


def test_mail_without_helo() -> None:
    """The MTA judges it, without a HELO of tarry's own."""
    Talk().plays(
        GREETED,
        """
        C: MAIL FROM:<a@b.example>
        * open the MTA
        ! opened
        M< 220 mta.example
        M> MAIL FROM:<a@b.example>
        M< 503 5.5.1 HELO first
        S: 503 5.5.1 HELO first
        """,
    )


def test_a_second_ehlo_goes_to_the_mta() -> None:
    """It ends the transaction there; the answer offers what the MTA offers now, less what tarry does not relay."""
    Talk().plays(
        HELLO,
        MAIL,
        """
        C: EHLO other.example
        M> EHLO other.example
        M< 250-mta.example
        M< 250-XCLIENT NAME
        M< 250 SIZE 1000
        S: 250-mail.example
        S: 250 SIZE 1000
        C: DATA
        M> DATA
        M< 503 no transaction
        S: 503 no transaction
        """,
    )


def test_ehlo_after_helo_brings_chunking() -> None:
    """What the MTA offers is what it said last."""
    Talk().plays(
        GREETED,
        """
        C: HELO client.example
        S: 250 mail.example
        C: MAIL FROM:<a@b.example>
        * open the MTA
        ! opened
        M< 220 mta.example
        M> HELO client.example
        M< 250 mta.example
        M> MAIL FROM:<a@b.example>
        M< 250 ok
        S: 250 ok
        C: EHLO client.example
        M> EHLO client.example
        M< 250-mta.example
        M< 250 CHUNKING
        S: 250-mail.example
        S: 250 CHUNKING
        C: MAIL FROM:<a@b.example>
        M> MAIL FROM:<a@b.example>
        M< 250 ok
        S: 250 ok
        C: BDAT 2 LAST
        M> BDAT 2 LAST
        C+ hi
        M- hi
        M< 250 ok
        S: 250 ok
        """,
    )


def test_helo_changes_nothing_of_what_is_offered() -> None:
    """The answer to it holds no keywords, and a later EHLO, with no MTA to ask, is answered as the first was."""
    helo = "C: HELO x\nM> HELO x\nM< 250 mta.example\nS: 250 mail.example\n! MTA left: idle"
    Talk().plays(HELLO, MAIL, helo, HELLO.removeprefix(GREETED), MAIL)


def test_the_mta_refuses_a_second_ehlo() -> None:
    """Its refusal is its own."""
    Talk().plays(HELLO, MAIL, "C: EHLO other\nM> EHLO other\nM< 501 bad name\nS: 501 bad name")


def test_ehlo_before_the_mta_is_open_is_answered_again() -> None:
    """The last name is the one that is replayed."""
    login = LOGIN.replace("client.example", "other.example")
    hello = HELLO.removeprefix(GREETED).replace("client.example", "other.example")
    Talk().plays(HELLO, hello, f"C: MAIL FROM:<a@b.example>\n{login}\nM> MAIL FROM:<a@b.example>\nM< 250 ok\nS: 250 ok")


def test_rset_goes_to_the_mta_that_is_there() -> None:
    """The transaction is over, and the next one begins with MAIL."""
    Talk().plays(HELLO, MAIL, "C: RSET\nM> RSET\nM< 250 flushed\nS: 250 flushed", ENVELOPE_AGAIN)


ENVELOPE_AGAIN = """
C: MAIL FROM:<e@f.example>
M> MAIL FROM:<e@f.example>
M< 250 ok
S: 250 ok
"""


def test_quit_before_the_mta_is_open() -> None:
    """Nothing is opened to say goodbye."""
    Talk().plays(GREETED, "C: QUIT\nS: 221 2.0.0 Bye\n* close at once")


def test_quit_with_something_behind_it() -> None:
    """What lies behind QUIT is read away, since a reset would destroy the goodbye."""
    Talk().plays(GREETED, "C: QUIT\nC: NOOP\nS: 221 2.0.0 Bye\n* close")


def test_nothing_happens_after_the_end() -> None:
    """Whatever comes then, nothing is ordered any more."""
    talk = Talk().plays(HELLO, "C: QUIT\nS: 221 2.0.0 Bye\n* close at once")
    talk.plays("C: NOOP\n! FIN\n! RST\nM< 250 late\n! MTA left: gone\n! drain\n! 5000s")
    assert [] == [*talk.conversation.due(math.inf), *talk.of(schema.Hangup)]


def test_a_group_of_commands_is_answered_in_order() -> None:
    """One command is put to the MTA at a time, whatever the client piles up."""
    Talk().plays(
        HELLO,
        f"""
        C: MAIL FROM:<a@b.example>
        C: RCPT TO:<c@d.example>
        C: RCPT TO:<e@f.example>
        C: DATA
        {LOGIN}
        M> MAIL FROM:<a@b.example>
        M< 250 sender
        S: 250 sender
        M> RCPT TO:<c@d.example>
        M< 550 nobody
        S: 550 nobody
        M> RCPT TO:<e@f.example>
        M< 250 recipient
        S: 250 recipient
        M> DATA
        M< 354 go
        S: 354 go
        """,
        MESSAGE,
    )


@pytest.mark.parametrize(
    ("grouping", "group", "code"),
    [
        (True, "C: RSET\nC: NOOP\nS: 250 2.0.0 Ok\nS: 250 2.0.0 Ok", ""),
        (True, "C: NOOP\nC: RSET\nS: 250 2.0.0 Ok\nS: 250 2.0.0 Ok", "group"),
        (False, "C: RSET\nC: NOOP\nS: 250 2.0.0 Ok\nS: 250 2.0.0 Ok", "early"),
    ],
)
def test_piled_commands_are_looked_at(grouping: bool, group: str, code: str) -> None:
    """Bytes behind a command are a moment for checks, with or without the leave of RFC 2920."""
    talk = Talk(policy(Pipelining())).plays(HELLO if grouping else GREETED, group)
    assert [code] * bool(code) == [event.code for event in talk.of(schema.Reason)]


def test_bytes_that_come_while_the_mta_thinks_are_looked_at_too() -> None:
    """The MTA's time to answer is a moment to talk in as any other."""
    talk = Talk(policy(Pipelining())).plays(
        GREETED,
        """
        C: MAIL FROM:<a@b.example>
        * open the MTA
        C: RCPT TO:<c@d.example>
        ! opened
        M< 220 mta
        M> MAIL FROM:<a@b.example>
        M< 250 ok
        S: 250 ok
        M> RCPT TO:<c@d.example>
        """,
    )
    assert ["early"] == [event.code for event in talk.of(schema.Reason)]


# Policy.


def test_a_refused_client_never_opens_the_mta() -> None:
    """A reason that refuses is told at each command that would need the MTA; the rest is answered."""
    Talk(policy(Pregreet(), action=Action.REJECT, at=Phase.MAIL), reasons=(found("pregreet"),)).plays(
        HELLO,
        """
        C: MAIL FROM:<a@b.example>
        S: 550 5.7.1 You spoke before the greeting [K3X9-0001]
        C: RCPT TO:<c@d.example>
        S: 550 5.7.1 You spoke before the greeting [K3X9-0001]
        C: NOOP
        S: 250 2.0.0 Ok
        C: RSET
        S: 250 2.0.0 Ok
        C: AUTH PLAIN x
        S: 550 5.7.1 You spoke before the greeting [K3X9-0001]
        C: DATA
        S: 550 5.7.1 You spoke before the greeting [K3X9-0001]
        * close
        """,
    )


def test_a_dropped_client_is_dropped_at_any_command() -> None:
    """Also at one that needs no MTA."""
    Talk(policy(NonSmtp())).plays(GREETED, "C: GET / HTTP/1.1\nS: 521 5.7.1 This is an SMTP server [K3X9-0001]\n* close")
    Talk(policy(Pregreet(), action=Action.DROP, at=Phase.HELO), reasons=(found("pregreet"),)).plays(
        GREETED, "C: EHLO x\nS: 521 5.7.1 You spoke before the greeting [K3X9-0001]\n* close"
    )


def test_an_unknown_command_is_answered_by_the_refusal_it_earns() -> None:
    """One command, one reply; a refusal that does not drop leaves the session open."""
    Talk(policy(NonSmtp(), action=Action.REJECT)).plays(
        HELLO, "C: Subject: x\nS: 550 5.7.1 This is an SMTP server [K3X9-0001]\nC: NOOP\nS: 250 2.0.0 Ok"
    )


@pytest.mark.parametrize("how", ["observe", "exempt"])
def test_nobody_is_refused_who_is_let_through(how: str) -> None:
    """Observing records the verdict and does nothing; an exempt client is not even looked at."""
    rules = policy(Pregreet(), NonSmtp(), action=Action.REJECT, at=Phase.MAIL, changes={"observe": how == "observe"})
    talk = Talk(rules, reasons=(found("pregreet"),), is_exempt=how == "exempt").plays(
        HELLO, MAIL, "C: Subject: x\nS: 500 5.5.2 Command not recognised"
    )
    observed = [("mail", "reject", ("pregreet.spoke",), True), ("mail", "reject", ("pregreet.spoke", "non_smtp.header"), True)]
    assert (observed if how == "observe" else []) == [
        (event.phase, event.action, event.reasons, event.observed) for event in talk.of(schema.Verdict)
    ]


# Holds.

DELAYED: dict[str, Any] = {"changes": {"delay": Delay(Span(60.0, 290.0), Phase.RCPT)}, "action": Action.DELAY}


@pytest.mark.parametrize("how", ["FIN", "RST"])
def test_a_client_that_leaves_in_a_hold(how: str) -> None:
    """The hold and the session end at once, and both are recorded."""
    talk = Talk(policy(Pregreet(), **DELAYED), reasons=(found("pregreet"),)).plays(
        HELLO, "C: MAIL FROM:<a@b.example>\nS: 250 2.1.0 Ok\nC: RCPT TO:<c@d.example>\n! 5s", f"! {how}\n* close"
    )
    hold = schema.Hold("residual", 56.0, 5.0, "left", "rcpt", ("pregreet.spoke",), "a@b.example", "c@d.example")
    assert [schema.Hangup("rcpt", "fin" if how == "FIN" else "reset"), hold] == talk.events[-2:]


def test_data_wait_holds_the_354() -> None:
    """The DATA is put to the MTA only after it."""
    Talk(Policy(data_wait=Span(2.0, 9.0))).plays(ENVELOPE, "C: DATA\n! 2s\nM> DATA\nM< 354 go\nS: 354 go", MESSAGE)


def test_the_mta_may_leave_during_a_hold() -> None:
    """A hold ends in its own time, and then the command fails with 421."""
    Talk(Policy(data_wait=Span(2.0, 2.0))).plays(
        ENVELOPE,
        """
        C: DATA
        ! MTA left: it closed the connection
        ! 2s
        S: 421 4.3.2 Service not available, try again later [K3X9-0001]
        * close
        """,
    )


# Time.

SLOW = "S: 421 4.4.2 Timeout, closing the connection"


def test_a_client_that_says_nothing() -> None:
    """A command has its limit, counted from the last reply and not from the last byte."""
    rules = Policy(limits=Limits(command=30.0))
    Talk(rules).plays(GREETED, f"! 29.9s\n! 0.2s\n{SLOW}\n* close")
    Talk(rules).plays(GREETED, f"! 20s\nC+ NO\n! 9s\nC+ OP\n! 1s\n{SLOW}\n* close")
    Talk(rules).plays(GREETED, f"! 20s\nC: NOOP\nS: 250 2.0.0 Ok\n! 20s\nC: NOOP\nS: 250 2.0.0 Ok\n! 30s\n{SLOW}\n* close")


def test_due_before_its_time_does_nothing() -> None:
    """A timer that goes off early is no deadline."""
    talk = Talk().plays(GREETED)
    assert [] == talk.conversation.due(BEGUN_AT + 1)


def test_the_mta_has_its_time_at_each_step() -> None:
    """To be connected, to greet, to answer EHLO, to answer a command: each counts from its own beginning."""
    rules = Policy(limits=Limits(backend=10.0))
    Talk(rules).plays(
        HELLO,
        """
        C: MAIL FROM:<a@b.example>
        * open the MTA
        ! 9s
        ! opened
        ! 9s
        M< 220 mta
        M> EHLO client.example
        ! 9s
        M< 250 mta
        M> MAIL FROM:<a@b.example>
        ! 9s
        M< 250 ok
        S: 250 ok
        """,
    )


# Leaving and going down.


def test_a_client_that_half_closes_is_served_to_the_end() -> None:
    """What it sent before its FIN is answered; then the session is over."""
    Talk().plays(HELLO, f"C: MAIL FROM:<a@b.example>\n{LOGIN}\nM> MAIL FROM:<a@b.example>\n! FIN\nC: NOOP")
    talk = Talk().plays(
        HELLO,
        f"""
        C: MAIL FROM:<a@b.example>
        C: NOOP
        {LOGIN}
        M> MAIL FROM:<a@b.example>
        ! FIN
        M< 250 ok
        S: 250 ok
        S: 250 2.0.0 Ok
        * abort the MTA
        * close
        """,
    )
    assert [schema.Hangup("mail", "fin")] == talk.of(schema.Hangup)


def test_a_client_that_closes_when_nothing_is_due() -> None:
    """The session ends, and a message that is not whole is never ended with a dot."""
    Talk().plays(GREETED, "! FIN\n* close")
    Talk().plays(SENDING, "C: text\nM- text", "! FIN\n* abort the MTA\n* close")


def test_a_reset_ends_everything_at_once() -> None:
    """Also when the MTA has been asked; the hang-up is recorded once."""
    talk = Talk().plays(HELLO, "C: MAIL FROM:<a@b.example>\n* open the MTA\n! RST\n* abort the MTA\n* close\n! RST")
    assert [schema.Hangup("mail", "reset")] == talk.of(schema.Hangup)


DOWN = "S: 421 4.3.2 Service is going down, try again later"


def test_the_daemon_goes_down() -> None:
    """An idle client is told so at once, one in a transaction after its message, one that was asked for after the answer."""
    Talk().plays(HELLO, f"! drain\n{DOWN}\n* close")
    Talk().plays(SENDING, "! drain", MESSAGE, f"{DOWN}\n* abort the MTA\n* close")
    Talk().plays(ENVELOPE, "! drain", DATA, MESSAGE, f"{DOWN}\n* abort the MTA\n* close")
    Talk().plays(HELLO, f"C: MAIL FROM:<a@b.example>\n* open the MTA\n! drain\n! MTA left: gone\n{GONE}\n* abort the MTA\n* close")
    Talk().plays(GREETED, "C: BDAT 4\n! drain", f"C+ text\nS: 503 5.5.1 MAIL first\n{DOWN}\n* close")


GONE = "S: 421 4.3.2 Service not available, try again later [K3X9-0001]"


# AUTH.

LOGGED_IN = f"""
C: AUTH LOGIN
{LOGIN}
M> AUTH LOGIN
M< 334 VXNlcm5hbWU6
S: 334 VXNlcm5hbWU6
C: dXNlcg==
M> dXNlcg==
M< 334 UGFzc3dvcmQ6
S: 334 UGFzc3dvcmQ6
C: c2VjcmV0
M> c2VjcmV0
M< 235 2.7.0 Welcome
S: 235 2.7.0 Welcome
"""


def test_auth_is_relayed_line_by_line() -> None:
    """The MTA is opened for it; no line of it is a command, and no password is recorded."""
    talk = Talk().plays(HELLO, LOGGED_IN, "C: NOOP\nS: 250 2.0.0 Ok", ENVELOPE_AGAIN)
    assert ["EHLO", "AUTH", "NOOP", "MAIL"] == [event.verb for event in talk.of(schema.Command)]
    assert "LOGIN" == talk.of(schema.Command)[1].arg


def test_a_refused_login_leaves_the_session_as_it_was() -> None:
    """The refusal is the MTA's, and the client is screened as before."""
    Talk(policy(NonSmtp())).plays(
        HELLO,
        f"C: AUTH PLAIN AGEAYg==\n{LOGIN}\nM> AUTH PLAIN AGEAYg==\nM< 535 5.7.8 No\nS: 535 5.7.8 No",
        "C: GET /\nS: 521 5.7.1 This is an SMTP server [K3X9-0001]\n* abort the MTA\n* close",
    )


def test_who_has_logged_in_is_no_more_screened() -> None:
    """Users are not held and not refused."""
    rules = policy(Pregreet(), NonSmtp(), action=Action.REJECT, at=Phase.RCPT, changes={"tarpits": Tarpits(rset=Tarpit(0, 9.0))})
    Talk(rules, reasons=(found("pregreet"),)).plays(
        HELLO,
        LOGGED_IN,
        ENVELOPE_AGAIN,
        RCPT,
        "C: Subject: x\nS: 500 5.5.2 Command not recognised\nC: RSET\nM> RSET\nM< 250 ok\nS: 250 ok",
    )


def test_a_login_is_gone_with_its_connection() -> None:
    """A new connection would not know the client and refuse it for good, so it is told to come again."""
    Talk().plays(
        HELLO,
        LOGGED_IN,
        f"! MTA left: gone\nC: NOOP\nS: 250 2.0.0 Ok\nC: MAIL FROM:<a@b.example>\n{GONE}\n* close",
    )


@pytest.mark.parametrize("line", ["AGEAYg==", "*", "XCLIENT ADDR=127.0.0.1"])
def test_a_line_of_a_login_goes_to_no_other_connection(line: str) -> None:
    """That would take it for a command: a password for the MTA's log, or one that tarry alone may say."""
    started = f"C: AUTH LOGIN\n{LOGIN}\nM> AUTH LOGIN\nM< 334 x\nS: 334 x"
    Talk().plays(HELLO, started, f"M< 421 too slow\n! MTA left: it closed the connection\nC: {line}\n{GONE}\n* close")


BROKEN = "S: 500 5.5.2 A line may hold no bare CR, bare LF or NUL"


@pytest.mark.parametrize("line", ["a\\n", "a\\rb\\r\\n", "\\0\\r\\n"])
def test_a_broken_line_inside_auth_ends_the_session(line: str) -> None:
    """The two ends may differ on where the next line begins."""
    Talk().plays(HELLO, f"C: AUTH LOGIN\n{LOGIN}\nM> AUTH LOGIN\nM< 334 x\nS: 334 x\nC+ {line}\n{BROKEN}\n* abort the MTA\n* close")


def test_a_broken_line_after_auth_is_one_as_any_other() -> None:
    """The exchange is over with the MTA's last word."""
    Talk().plays(HELLO, LOGGED_IN, f"C+ NOOP\\rx\\r\\n\n{BROKEN}\nC: NOOP\nS: 250 2.0.0 Ok")


# Lines.


def test_broken_lines() -> None:
    """A bare CR or a NUL spoils one line, a bare LF that is not mended the session."""
    Talk().plays(HELLO, f"C+ NOOP\\rMAIL FROM:<>\\r\\n\n{BROKEN}\nC+ NO\\0OP\\r\\n\n{BROKEN}\nC: NOOP\nS: 250 2.0.0 Ok")
    Talk(Policy(normalize=False)).plays(HELLO, f"C+ NOOP\\nNOOP\\r\\n\n{BROKEN}\n* close")


def test_a_bare_newline_is_mended_and_looked_at() -> None:
    """The line is a command all the same, and the check is asked about each."""
    talk = Talk(policy(BareNewline())).plays(HELLO, "C+ NOOP\\n\nS: 250 2.0.0 Ok", f"C+ NOOP\\rx\\r\\n\n{BROKEN}")
    assert [("command", "LF: NOOP")] == [(event.code, event.detail) for event in talk.of(schema.Reason)]


def test_a_broken_line_may_be_refused() -> None:
    """By the check's own reply, in the place of tarry's."""
    Talk(policy(BareNewline(), action=Action.DROP)).plays(
        HELLO, "C+ NO\\rOP\\r\\n\nS: 521 5.7.1 Lines must end in CR LF [K3X9-0001]\n* close"
    )


def test_a_line_without_end() -> None:
    """The rest of it must not be taken for a command, so nothing more is read."""
    rules = Policy(limits=Limits(line=512))
    Talk(rules).plays(HELLO, f"C: NOOP {'x' * 504}\nS: 250 2.0.0 Ok")
    Talk(rules).plays(HELLO, f"C+ {'x' * 512}\nS: 421 4.5.2 Line too long\n* close\nC: NOOP")


def test_a_client_that_piles_up_is_not_read() -> None:
    """Memory is bounded while a reply is due."""
    talk = Talk().plays(HELLO, "C: MAIL FROM:<a@b.example>\n* open the MTA")
    assert talk.conversation.wants_data
    talk.conversation.client_sent(b"x" * BACKLOG, talk.now)
    assert not talk.conversation.wants_data


def test_a_client_that_piles_up_commands_takes_turns() -> None:
    """So many at a time, and then the others have their turn; the answers are the same."""
    talk = Talk().plays(HELLO).conversation
    first = talk.client_sent(b"NOOP\r\n" * (TURN + 1) + b"QUIT\r\n", BEGUN_AT)
    more = [talk.has_more]
    second = talk.go_on(BEGUN_AT)
    assert [True, False] == [*more, talk.has_more]
    replies = [sum(effect.data.count(b"\r\n") for effect in effects if isinstance(effect, Send)) for effects in (first, second)]
    assert [TURN, 2] == replies


@pytest.mark.parametrize(
    "script",
    [
        f"C: STARTTLS\n{LOGIN}\nM> STARTTLS\nM< 354 what",
        f"C: AUTH PLAIN\n{LOGIN}\nM> AUTH PLAIN\nM< 250 what",
        f"{MAIL}\nC: RSET\nM> RSET\nM< 354 what",
        f"{MAIL}\nC: EHLO x\nM> EHLO x\nM< 220 what",
        f"{MAIL}\nC: HELO x\nM> HELO x\nM< 354 what",
    ],
)
def test_an_answer_of_the_wrong_class_is_no_answer(script: str) -> None:
    """Whatever it was asked, a 2xx or 3xx that does not answer it is never passed on as a success."""
    Talk().plays(HELLO, script, f"{GONE}\n* abort the MTA\n* close")


def test_the_mta_may_turn_the_client_away() -> None:
    """At its greeting or EHLO: that is its answer to the command, and what is piled up is taken next."""
    Talk(knows_client=True).plays(
        HELLO,
        """
        C: MAIL FROM:<a@b.example>
        C: NOOP
        * open the MTA
        ! opened
        M< 554 5.7.1 not you
        * abort the MTA
        S: 554 5.7.1 not you
        S: 250 2.0.0 Ok
        """,
    )


def test_an_mta_that_does_not_answer() -> None:
    """Or that breaks off: the client is told to come again."""
    for what in ("! 30s", "! MTA left: gone", "M< junk"):
        Talk().plays(HELLO, MAIL, f"C: RSET\nM> RSET\n{what}\n{GONE}\n* abort the MTA\n* close")


def test_a_broken_message_ends_the_session() -> None:
    """Nothing of it is read any more."""
    own = "S: 550 5.6.0 A message may hold no bare CR, bare LF or NUL [K3X9-0001]\n* abort the MTA\n* close"
    Talk(Policy(normalize=False)).plays(SENDING, f"C+ a\\0b\\r\\n\n{own}\nC: NOOP")


# Laws.

ALL_CHECKS = tuple(
    armed(check, **changed)
    for check, changed in (
        (PreDataCheck(), {}),
        (Pipelining(), {"action": Action.DELAY}),
        (BareNewline(), {"action": Action.DEFER, "at": Phase.RCPT}),
        (NonSmtp(), {"action": Action.REJECT}),
        (ManyErrors(), {"options": Options(limit=3)}),
    )
)
POLICIES = (
    Policy(),
    Policy(checks=ALL_CHECKS, delay=Delay(Span(9.0, 9.0)), tarpits=Tarpits(rcpt=Tarpit(0, 1.0)), data_wait=Span(1.0, 1.0)),
    Policy(checks=ALL_CHECKS, tarpits=Tarpits(rcpt=Tarpit(0, 1.0), rset=Tarpit(0, 1.0)), data_wait=Span(1.0, 1.0), park_after=0.0),
    Policy(checks=ALL_CHECKS, normalize=False, insert_headers=True, limits=Limits(recipients=1, line=512)),
    Policy(checks=ALL_CHECKS, observe=True),
)

client_bytes = soup(
    b"EHLO x\r\n", b"HELO x\r\n", b"MAIL FROM:<a@b>\r\n", b"RCPT TO:<c@d>\r\n", b"DATA\r\n", b"text\r\n", b".\r\n", b"RSET\r\n",
    b"BDAT 4\r\n", b"BDAT 4 LAST\r\n", b"BDAT 0 LAST\r\n", b"BDAT x\r\n", b"AUTH PLAIN\r\n", b"AGEAYg==\r\n", b"STARTTLS\r\n",
    b"QUIT\r\n", b"NOOP\r\n", b"GET /\r\n", b"a", b"\r", b"\n", b"\0", b"." * 3, b"y" * 600, most=6,
)  # fmt: skip
mta_bytes = soup(
    b"220 mta\r\n", b"250 ok\r\n", b"250-mta\r\n250 CHUNKING\r\n", b"354 go\r\n", b"334 x\r\n", b"235 ok\r\n", b"421 bye\r\n",
    b"451 later\r\n", b"550 no\r\n", b"2", b"\r\n", b"junk\r\n", most=3,
)  # fmt: skip
happenings = st.one_of(
    st.tuples(st.just("client"), client_bytes),
    st.tuples(st.just("mta"), mta_bytes),
    st.tuples(st.just("good mta"), st.just(b"")),
    st.tuples(
        st.sampled_from(("opened", "lost", "full", "more", "FIN", "RST", "drain", "TLS", "no TLS", "soon", "later")), st.just(b"")
    ),
)


class Watched:
    """A conversation that is watched: what may come out of it depends on what came before."""

    def __init__(self, policy: Policy, **changed: Any) -> None:
        self.conversation = Conversation(setting(policy, reasons=(found("pipelining"),), **changed))
        self.now = BEGUN_AT
        self.asked = b""  # the MTA's last question, as the well-behaved MTA hears it
        self.is_closed = False
        self.to_client = b""
        self.to_mta = b""
        self.watch(self.conversation.begin(self.now))

    def watch(self, effects: list[SessionEffect]) -> None:
        for effect in effects:
            assert not self.is_closed or not isinstance(effect, Send | Relay | OpenMta | Pump | StartTls | Close)
            match effect:
                case Send(data=data):
                    assert data
                    self.to_client += data
                case Relay(data=data):
                    self.asked = data
                    self.to_mta += data
                case OpenMta():
                    self.asked = b"opening"
                case CloseMta():
                    self.asked = b""
                case Close():
                    self.is_closed = True
                case _:
                    pass

    def happen(self, what: str, data: bytes = b"") -> None:
        talk = self.conversation
        match what:
            case "client":
                self.watch(talk.client_sent(data, self.now))
                while talk.has_more:
                    self.watch(talk.go_on(self.now))
            case "mta":
                self.watch(talk.mta_sent(data, self.now))
            case "good mta":
                self.answer()
            case "opened":
                if self.asked == b"opening":
                    self.asked = b"greeting"
                    self.watch(talk.mta_opened(self.now))
            case "lost":
                self.watch(talk.mta_left(self.now, "gone"))
            case "full" | "more":
                self.watch(talk.mta_full(self.now, full=what == "full"))
            case "FIN" | "RST":
                self.watch(talk.client_left(self.now, reset=what == "RST"))
            case "drain":
                self.watch(talk.drain(self.now))
            case "TLS":
                self.watch(talk.tls_established(Established("TLSv1.3", "x"), self.now))
            case "no TLS":
                self.watch(talk.tls_failed("x", self.now))
            case "soon" | "later":
                self.now = min(self.now + (1.0 if what == "soon" else 50.0), max(self.now, talk.wake_at))
                self.watch(talk.due(self.now))

    def answer(self) -> None:
        """Be the MTA that agrees to everything."""
        asked, self.asked = self.asked, b""
        match asked[:4].upper():
            case b"open":
                self.asked = b"greeting"
                self.watch(self.conversation.mta_opened(self.now))
            case b"gree":
                self.watch(self.conversation.mta_sent(b"220 mta\r\n", self.now))
            case b"EHLO" | b"HELO":
                self.watch(self.conversation.mta_sent(b"250-mta\r\n250-CHUNKING\r\n250 AUTH PLAIN\r\n", self.now))
            case b"DATA":
                self.watch(self.conversation.mta_sent(b"354 go\r\n", self.now))
            case b"AUTH":
                self.watch(self.conversation.mta_sent(b"334 x\r\n", self.now))
            case b"":
                pass
            case _:
                self.watch(self.conversation.mta_sent(b"250 ok\r\n", self.now))

    def answer_all(self) -> None:
        while self.asked:
            self.answer()


@pytest.mark.slow
@settings(max_examples=400)
@given(rules=st.sampled_from(POLICIES), ends_tls=st.booleans(), story=st.lists(happenings, max_size=25))
def test_whatever_happens_nothing_raises_and_nothing_follows_the_end(
    rules: Policy, ends_tls: bool, story: list[tuple[str, bytes]]
) -> None:
    """Any bytes from both sides, at any time, in any order."""
    watched = Watched(rules, ends_tls=ends_tls)
    for what, data in story:
        watched.happen(what, data)


UNITS = (
    b"EHLO client.example\r\n", b"HELO x\r\n", b"MAIL FROM:<a@b.example>\r\n", b"RCPT TO:<c@d.example>\r\n", b"RSET\r\n",
    b"NOOP\n", b"NO\rOP\r\n", b"HELP\r\n", b"DATA\r\n", b"text\r\n.\r\n", b"a\nb\r\n..c\r\n.d\r\n.\r\n", b"BDAT 4\r\n", b"1234",
    b"BDAT 2 LAST\r\n", b"..", b"AUTH PLAIN\r\n", b"AGEAYg==\r\n", b"QUIT\r\n", b"\xff\r\n", b"x" * 700 + b"\r\n",
)  # fmt: skip


@settings(max_examples=200)
@given(rules=st.sampled_from(POLICIES), units=st.lists(st.sampled_from(UNITS), max_size=14), at=borders)
def test_how_tcp_cuts_makes_no_difference(rules: Policy, units: list[bytes], at: list[int]) -> None:
    """Where nothing is piled up and replies are immediate, client and MTA see the same bytes however the stream was cut."""
    whole, pieces = Watched(rules), Watched(rules)
    for unit in units:
        whole.happen("client", unit)
        whole.answer_all()
        for piece in cut(unit, at):
            pieces.happen("client", piece)
            pieces.answer_all()
        for watched in (whole, pieces):
            watched.now += 30.0
            watched.watch(watched.conversation.due(watched.now))
            watched.answer_all()
    assert (whole.to_client, whole.to_mta) == (pieces.to_client, pieces.to_mta)


said = st.sampled_from((b"250 ok", b"251 will forward", b"354 go", b"451 later", b"550 no", b"221 bye", b"421 closing"))


@pytest.mark.slow
@settings(max_examples=300)
@given(
    rules=st.sampled_from(POLICIES),
    early=st.none() | said,
    behind=st.none() | said,
    answer=st.none() | said,
    chunked=st.booleans(),
    leaves=st.booleans(),
)
def test_no_message_is_accepted_that_the_mta_did_not_accept(
    rules: Policy, early: bytes | None, behind: bytes | None, answer: bytes | None, chunked: bool, leaves: bool
) -> None:
    """The client sees 250 for its message only where the MTA said 250 after the whole of it had come."""
    watched = Watched(rules)
    for line in (b"EHLO x\r\n", b"MAIL FROM:<a@b>\r\n", b"RCPT TO:<c@d>\r\n"):
        watched.happen("client", line)
        watched.answer_all()
        watched.happen("later")
        watched.answer_all()
    watched.happen("client", b"BDAT 6 LAST\r\n" if chunked else b"DATA\r\n")
    watched.happen("later")
    if not chunked and watched.asked:
        watched.happen("mta", b"354 go\r\n" + (behind + b"\r\n" if behind else b""))
    watched.happen("client", b"tex")
    if early:
        watched.happen("mta", early + b"\r\n")
    if leaves:
        watched.happen("lost")
    before = len(watched.to_client)
    watched.happen("client", b"t\r\n" if chunked else b"t\r\n.\r\n")
    if answer:
        watched.happen("mta", answer + b"\r\n")
    after = watched.to_client[before:]
    clean = not leaves and not early and (chunked or not behind)
    assert (answer == b"250 ok" and clean) or b"250" not in after
