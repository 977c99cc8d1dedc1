"""How long a reply is held back: tarpits, and the residual delay."""

from __future__ import annotations

import math
from typing import Any

import pytest

from tarry.checks.dnslists import DnsLists, Options
from tarry.checks.non_smtp import NonSmtp
from tarry.checks.pipelining import Pipelining
from tarry.checks.pregreet import Pregreet
from tarry.checks.values.zone import Zone
from tarry.core.client import Phase
from tarry.core.policy import Delay, Policy, Score, Span, Tarpit, Tarpits
from tarry.core.result import Action, Reason
from tarry.record import schema
from tests.playbook import armed, policy
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


# Which reasons count, and how long they delay.


RESIDUAL = {"at": Phase.RCPT, "per_reason": 10.0}
SECOND_MAIL = "C: RSET\nM> RSET\nM< 250 ok\nS: 250 ok\nC: MAIL FROM:<a@b.example>\nM> MAIL FROM:<a@b.example>\nM< 250 ok\nS: 250 ok"


def delayed(**changed: Any) -> Policy:
    """Return a policy in which pregreet and non_smtp delay, and pipelining only tags."""
    checks = (
        armed(Pregreet(), action=Action.DELAY),
        armed(NonSmtp(), action=Action.DELAY),
        armed(Pipelining(), action=Action.TAG),
    )
    return Policy(checks=checks, park_after=math.inf, **{"delay": Delay(Span(60.0, 60.0), **RESIDUAL), **changed})


def waits(talk: Talk) -> list[tuple[float, tuple[str, ...]]]:
    return [(event.asked, event.reasons) for event in talk.of(schema.Hold)]


def begin(rules: Policy, *reasons: Reason, seconds: float) -> Talk:
    """Play up to the first recipient, which is held for so long."""
    rcpt = f"C: RCPT TO:<c@d.example>\n! {seconds}s\n{LOGIN}\nM> MAIL FROM:<a@b.example>\nM< 250 ok\nM> RCPT TO:<c@d.example>"
    return Talk(rules, reasons=reasons).plays(HELLO, "C: MAIL FROM:<a@b.example>\nS: 250 2.1.0 Ok", f"{rcpt}\nM< 250 ok\nS: 250 ok")


def test_each_delaying_reason_beyond_the_first_adds_to_the_target() -> None:
    """And all of them are named, once each; a tag and an allow list are no reasons for a delay."""
    reasons = (
        found("pregreet"),
        found("non_smtp", "command"),
        found("pipelining", "early"),
        found("pipelining", "listed", weight=-0.5),
        found("pregreet", "tls"),
    )
    talk = begin(delayed(), *reasons, seconds=76)
    assert [(76.0, ("pregreet.spoke", "non_smtp.command", "pregreet.tls"))] == waits(talk)


@pytest.mark.parametrize(("code", "weight"), [("early", 0.0), ("early", 5.0), ("group", -1.0)])
def test_a_reason_that_asks_for_less_delays_nobody_again(code: str, weight: float) -> None:
    """Whatever its weight."""
    talk = begin(delayed(), found("pregreet"), seconds=56)
    talk.conversation._screen.reasons.append(found("pipelining", code, weight))
    talk.plays(RCPT)
    assert [(56.0, ("pregreet.spoke",))] == waits(talk)


def test_a_later_reason_delays_to_the_new_target() -> None:
    """At the next command that may be delayed, also in the next transaction."""
    talk = begin(delayed(), found("pregreet"), seconds=56)
    talk.conversation._screen.reasons.append(found("non_smtp", "command"))
    talk.plays("C: NOOP\nS: 250 2.0.0 Ok", SECOND_MAIL, RCPT.replace("M> RCPT", "! 10s\nM> RCPT"), RCPT)
    assert [(56.0, ("pregreet.spoke",)), (10.0, ("pregreet.spoke", "non_smtp.command"))] == waits(talk)


def test_a_delay_by_score_names_what_makes_the_score_up() -> None:
    """Each of these is a reason, though none asks for a delay by itself; what is against none of it is left out."""
    rules = delayed(score=Score(delay=1.0))
    reasons = (found("pipelining", "early", 0.6), found("pipelining", "group", 0.6), found("pipelining", "x", 0.0))
    talk = begin(rules, *reasons, seconds=66)
    assert [(66.0, ("pipelining.early", "pipelining.group"))] == waits(talk)


def test_the_session_has_one_cap() -> None:
    """Reached, there is no further delay; a MAIL is not kept back for one either."""
    rules = delayed(delay=Delay(Span(60.0, 60.0), per_reason=10.0, session_cap=58.0))
    talk = begin(rules, found("pregreet"), seconds=56)
    talk.conversation._screen.reasons.append(found("non_smtp", "command"))
    talk.plays(RCPT.replace("M> RCPT", "! 2s\nM> RCPT"))
    talk.conversation._screen.reasons.append(found("pregreet", "tls"))
    talk.plays("! MTA left: idle\nC: RSET\nS: 250 2.0.0 Ok", MAIL, RCPT)
    assert [56.0, 2.0] == [asked for asked, _ in waits(talk)]


def test_a_tarpit_in_place_of_a_delay_uses_nothing_of_the_cap() -> None:
    """The longer counts, and the reason has had its delay with it."""
    rules = delayed(delay=Delay(Span(10.0, 10.0), session_cap=6.0), tarpits=Tarpits(rcpt=Tarpit(0, 7.0, 7.0)))
    talk = begin(rules, found("pregreet"), seconds=7)
    talk.conversation._screen.reasons.append(found("non_smtp", "command"))
    talk.plays(RCPT.replace("M> RCPT", "! 7s\nM> RCPT"))
    assert ["tarpit.rcpt", "tarpit.rcpt"] == [event.why for event in talk.of(schema.Hold)]


def test_a_stronger_action_that_is_due_leaves_no_delay() -> None:
    """Who is refused is refused at once; who is to be discarded is delayed as before."""
    for action, told in ((Action.REJECT, "550 5.7.1 You spoke before the greeting [K3X9-0001]"), (Action.DISCARD, "")):
        checks = (armed(Pregreet(), action=action, at=Phase.RCPT), armed(NonSmtp(), action=Action.DELAY))
        rules = Policy(checks=checks, delay=Delay(Span(60.0, 60.0)), park_after=math.inf)
        reasons = (found("pregreet"), found("non_smtp", "command"))
        if told:
            talk = Talk(rules, reasons=reasons).plays(HELLO, "C: MAIL FROM:<a@b.example>\nS: 250 2.1.0 Ok")
            talk.plays(f"C: RCPT TO:<c@d.example>\nS: {told}")
            assert [] == waits(talk)
        else:
            talk = begin(rules, *reasons, seconds=56)
            assert [(56.0, ("non_smtp.command",))] == waits(talk)


def test_the_record_of_a_delay_names_nobody_where_that_is_not_wanted() -> None:
    """With record.paths = false; the reasons stay."""
    talk = begin(delayed(record_paths=False), found("pregreet"), seconds=56)
    assert [schema.Hold("residual", 56.0, 56.0, "due", "rcpt", ("pregreet.spoke",))] == talk.of(schema.Hold)


def test_the_record_of_a_delay_is_escaped() -> None:
    """What the client says there is one line of printable ASCII."""
    rules = delayed(delay=Delay(Span(60.0, 60.0), Phase.MAIL))
    talk = Talk(rules, reasons=(found("pregreet"),)).plays(HELLO, "C: MAIL FROM:<a\x1b[1m@b>\n! RST\n* close")
    assert [("a\\x1b[1m@b", "")] == [(event.sender, event.rcpt) for event in talk.of(schema.Hold)]


def test_observed_clients_are_not_delayed() -> None:
    """Nor held in a tarpit."""
    rules = delayed(observe=True, tarpits=Tarpits(*(Tarpit(0, 5.0) for _ in range(6))))
    talk = Talk(rules, reasons=(found("pregreet"),)).plays(ENVELOPE, "C: NOOP\nS: 250 2.0.0 Ok")
    assert [] == talk.of(schema.Hold)
    assert [True] == [event.observed for event in talk.of(schema.Verdict)]


def test_the_time_that_answers_took_counts() -> None:
    """The recipient waits for the list, and then for what is left of the target since accept."""
    checks = (armed(DnsLists(), options=Options(zones=(Zone(zone="bl.example"),))),)
    rules = Policy(checks=checks, delay=Delay(Span(60.0, 60.0)), park_after=math.inf)
    question = "listed 7.2.0.192.bl.example"
    hello = HELLO.replace("S: 250-mail.example", f"A> {question}\nS: 250-mail.example")
    talk = Talk(rules, resolves=True).plays(hello, MAIL)
    talk.plays(RCPT.replace("M> RCPT", f"! 2s\nA< {question} = 127.0.0.2\n! 53.9s\n! 0.1s\nM> RCPT"))
    assert [("answers", 2.0), ("residual", 54.0)] == [(event.why, event.held) for event in talk.of(schema.Hold)]


@pytest.mark.parametrize("late", [0.5, 30.0, 200.0])
def test_an_answer_that_comes_late_delays_the_next_recipient(late: float) -> None:
    """To the target, or for a second; the one that was waited for in vain is not held again."""
    checks = (armed(DnsLists(), options=Options(zones=(Zone(zone="bl.example"),))),)
    rules = Policy(checks=checks, delay=Delay(Span(60.0, 60.0)), park_after=math.inf)
    question = "listed 7.2.0.192.bl.example"
    hello = HELLO.replace("S: 250-mail.example", f"A> {question}\nS: 250-mail.example")
    talk = Talk(rules, resolves=True).plays(hello, MAIL, RCPT.replace("M> RCPT", "! 3s\nM> RCPT"))
    left = max(1.0, 53.0 - late)
    talk.plays(f"! {late}s\nA< {question} = 127.0.0.2", RCPT.replace("M> RCPT", f"! {left}s\nM> RCPT"), RCPT)
    assert [("answers", 3.0), ("residual", left)] == [(event.why, event.held) for event in talk.of(schema.Hold)]
