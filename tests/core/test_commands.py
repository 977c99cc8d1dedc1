"""What each command means: who answers it, what the MTA hears of it, and what is looked at."""

from __future__ import annotations

import msgspec
import pytest

from tarry.checks.bare_newline import BareNewline
from tarry.checks.non_smtp import NonSmtp
from tarry.checks.pipelining import Pipelining
from tarry.checks.pregreet import Pregreet
from tarry.core.client import Phase
from tarry.core.policy import Delay, Policy, Score, Span, Tarpit, Tarpits
from tarry.core.result import Action
from tarry.record import schema
from tarry.smtp.extensions import Capabilities
from tests.playbook import policy
from tests.talk import (
    ENVELOPE,
    GONE,
    GREETED,
    HELLO,
    LOGIN,
    MAIL,
    MESSAGE,
    RCPT,
    SENDING,
    Talk,
    found,
)


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


def test_data_wait_holds_the_354() -> None:
    """The DATA is put to the MTA only after it."""
    Talk(Policy(data_wait=Span(2.0, 9.0))).plays(ENVELOPE, "C: DATA\n! 2s\nM> DATA\nM< 354 go\nS: 354 go", MESSAGE)


@pytest.mark.parametrize(("wait", "left"), [(9.0, "! 3s\n"), (6.0, ""), (2.0, "")])
def test_data_wait_and_a_delay_do_not_add_up(wait: float, left: str) -> None:
    """The longer of the two counts: a client waits for a 354 for two minutes at least, and not for the sum of all that holds it."""
    rules = policy(
        Pregreet(), action=Action.DELAY, changes={"delay": Delay(Span(10.0, 10.0), Phase.DATA), "data_wait": Span(wait, wait)}
    )
    asked = f"C: DATA\n! 6s\n{left}M> DATA\nM< 354 go\nS: 354 go"
    Talk(rules, reasons=(found("pregreet"),)).plays(ENVELOPE, asked, MESSAGE)


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


# Every refusal names the session.

HELPED = "https://x.example/refused"
BEGINNING = {
    Phase.HELO: "C: EHLO x",
    Phase.MAIL: f"{HELLO}\nC: MAIL FROM:<a@b.example>",
    Phase.RCPT: f"{HELLO}\nC: MAIL FROM:<a@b.example>\nC: RCPT TO:<c@d.example>",
    Phase.DATA: f"{ENVELOPE}\nC: DATA",
    Phase.MESSAGE: f"{SENDING}\nC: .",
}


@pytest.mark.parametrize("action", [Action.DEFER, Action.REJECT, Action.DROP])
@pytest.mark.parametrize("phase", list(BEGINNING))
@pytest.mark.parametrize("by_score", [False, True])
def test_a_refusal_at_any_command_names_the_session(phase: Phase, action: Action, by_score: bool) -> None:
    """And the page for help; whether one reason asks for it or the score."""
    if by_score:
        score = Score(delay=0.0, at=phase, **{action.word: 2.0})
        rules = policy(Pregreet(), action=Action.TAG, changes={"help_url": HELPED, "score": score})
    else:
        rules = policy(Pregreet(), action=action, at=phase, changes={"help_url": HELPED, "score": Score(delay=0.0)})
    talk = Talk(rules, reasons=(found("pregreet", weight=2.0),))
    for line in BEGINNING[phase].splitlines():
        if line.startswith(("C:", "M<")):
            talk._put_in("input of the client" if line[0] == "C" else "input of the MTA", [line])
        elif line.startswith("! opened"):
            talk._happen("opened")
    told = talk.of(schema.Reply)[-1]
    assert (action is Action.DEFER) == (told.code == 450)
    assert told.code >= 400
    assert told.text.endswith(f"[K3X9-0001] {HELPED}"), told


@pytest.mark.parametrize(
    ("own", "told"),
    [
        (
            "550 {reason} {list} [{id}] {client} {help_url}",
            "550 pregreet.spoke zen.example [K3X9-0001] 192.0.2.7 https://x.example/refused",
        ),
        ("550 {code} {what}", "550 spoke {what}"),
    ],
)
def test_the_operators_words_are_filled_in(own: str, told: str) -> None:
    """What stands for nothing stays as it is."""
    rules = policy(Pregreet(), action=Action.REJECT, at=Phase.MAIL, reply=own, changes={"help_url": HELPED})
    reason = msgspec.structs.replace(found("pregreet"), subject="zen.example")
    Talk(rules, reasons=(reason,)).plays(HELLO, f"C: MAIL FROM:<a@b.example>\nS: {told}")
