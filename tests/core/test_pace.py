"""How long a reply is held back: tarpits, and the residual delay."""

from __future__ import annotations

from tarry.checks.non_smtp import NonSmtp
from tarry.checks.pregreet import Pregreet
from tarry.core.client import Phase
from tarry.core.policy import Delay, Policy, Span, Tarpit, Tarpits
from tarry.core.result import Action
from tarry.record import schema
from tests.playbook import policy
from tests.talk import ENVELOPE, GREETED, HELLO, LOGIN, MAIL, RCPT, SENDING, Talk, found


def test_a_residual_delay_holds_the_first_recipient() -> None:
    """The whole wait since accept comes to the target; the second recipient waits no more."""
    talk = Talk(
        policy(Pregreet(), action=Action.DELAY, changes={"delay": Delay(Span(60.0, 290.0), Phase.RCPT)}),
        reasons=(found("pregreet"),),
    ).plays(
        HELLO,
        """
        C: MAIL FROM:<a@b.example>
        S: 250 2.1.0 Ok
        C: RCPT TO:<c@d.example>
        ! 55.9s
        ! 0.2s
        """,
        LOGIN,
        """
        M> MAIL FROM:<a@b.example>
        M< 250 ok
        M> RCPT TO:<c@d.example>
        M< 250 ok
        S: 250 ok
        """,
        RCPT,
    )
    told = (("pregreet.spoke",), "a@b.example", "c@d.example")
    assert [schema.Hold("residual", 56.0, 56.0, "due", "rcpt", *told)] == talk.of(schema.Hold)


def test_a_delay_at_helo() -> None:
    """The operator says at which command; it is held once."""
    rules = policy(Pregreet(), action=Action.DELAY, changes={"delay": Delay(Span(10.0, 10.0), Phase.HELO)})
    hello = HELLO.removeprefix(GREETED)
    held = hello.replace("S: 250-mail.example", "! 6s\nS: 250-mail.example")
    Talk(rules, reasons=(found("pregreet"),)).plays(GREETED, held, hello, MAIL)


def test_one_more_reason_delays_once_more() -> None:
    """To the same target, and for a second at least."""
    rules = policy(Pregreet(), NonSmtp(), action=Action.DELAY, changes={"delay": Delay(Span(60.0, 60.0), Phase.MAIL)})
    talk = Talk(rules, reasons=(found("pregreet"),)).plays(
        HELLO,
        f"C: MAIL FROM:<a@b.example>\n! 56s\n{LOGIN}\nM> MAIL FROM:<a@b.example>\nM< 250 ok\nS: 250 ok",
        "C: Subject: x\nS: 500 5.5.2 Command not recognised",
        "C: RCPT TO:<c@d.example>\n! 1s\nM> RCPT TO:<c@d.example>\nM< 250 ok\nS: 250 ok",
    )
    assert [("residual", 56.0), ("residual", 1.0)] == [(event.why, event.held) for event in talk.of(schema.Hold)]


def test_tarpits_grow_with_each_command() -> None:
    """Beyond the free ones each RCPT and each RSET waits its number times the step."""
    rules = Policy(tarpits=Tarpits(rcpt=Tarpit(1, 3.0, 100.0), rset=Tarpit(0, 2.0, 3.0)))
    held_rcpt = RCPT.replace("M> RCPT", "! {}s\nM> RCPT")
    Talk(rules).plays(ENVELOPE, held_rcpt.format(6), held_rcpt.format(9))
    Talk(rules).plays(GREETED, *(f"C: RSET\n! {seconds}s\nS: 250 2.0.0 Ok" for seconds in (2, 3, 3)))


def test_exempt_clients_are_never_held() -> None:
    """No tarpit, no data_wait."""
    rules = Policy(tarpits=Tarpits(rcpt=Tarpit(0, 3.0), rset=Tarpit(0, 2.0)), data_wait=Span(5.0, 5.0))
    Talk(rules, is_exempt=True).plays(GREETED, "C: RSET\nS: 250 2.0.0 Ok")
    Talk(rules, is_exempt=True).plays(SENDING)


def test_the_longer_of_two_holds_counts() -> None:
    """They are not added up, and a delay that has been served leaves the tarpit."""
    changes = {"delay": Delay(Span(10.0, 10.0), Phase.RCPT), "tarpits": Tarpits(rcpt=Tarpit(0, 4.0))}
    talk = Talk(policy(Pregreet(), action=Action.DELAY, changes=changes), reasons=(found("pregreet"),))
    talk.plays(
        HELLO,
        "C: MAIL FROM:<a@b.example>\nS: 250 2.1.0 Ok",
        f"C: RCPT TO:<c@d.example>\n! 6s\n{LOGIN}\n"
        "M> MAIL FROM:<a@b.example>\nM< 250 ok\nM> RCPT TO:<c@d.example>\nM< 250 ok\nS: 250 ok",
        RCPT.replace("M> RCPT", "! 8s\nM> RCPT"),
    )
    assert [("residual", 6.0), ("tarpit.rcpt", 8.0)] == [(event.why, event.held) for event in talk.of(schema.Hold)]
