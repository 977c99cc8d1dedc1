"""A client in conversation while what was asked about it is not known yet."""

from __future__ import annotations

from itertools import permutations

import pytest

from tarry.checks.dnslists import DnsLists
from tarry.checks.dnslists import Options as Lists
from tarry.checks.helo import Helo
from tarry.checks.helo import Options as Names
from tarry.checks.rhsbl import Options as DomainLists
from tarry.checks.rhsbl import Rhsbl
from tarry.checks.values.zone import Zone
from tarry.core.check import Armed
from tarry.core.client import Phase
from tarry.core.facts import Answer, State, listing
from tarry.core.policy import Policy
from tarry.core.result import Action
from tarry.core.screen import MOST_FACTS
from tarry.record import schema
from tests.playbook import armed
from tests.talk import GREETED, HELLO, LOGIN, MAIL, RCPT, Talk

ZONES = (Zone(zone="a.example", weight=2.0), Zone(zone="b.example"), Zone(zone="good.example", weight=-3.0))
FIRST, SECOND, GOOD = (f"listed 7.2.0.192.{zone.zone}" for zone in ZONES)
ASKED = HELLO.replace("S: 250-mail.example", f"A> {FIRST}\nA> {SECOND}\nA> {GOOD}\nS: 250-mail.example", 1)
TO = "C: RCPT TO:<c@d.example>"
ON = RCPT.replace(TO, "")
REFUSED = "S: 550 5.7.1 Your address is on a DNS list (a.example) [K3X9-0001]"


def lists(**changed: object) -> Armed:
    return armed(DnsLists(), options=Lists(zones=ZONES), **{"action": Action.REJECT, **changed})


def talk(*checks: Armed, resolves: bool = True, answers: tuple[Answer, ...] = ()) -> Talk:
    return Talk(Policy(checks=checks), resolves=resolves, answers=answers)


def waits(played: Talk) -> list[tuple[str, float, str]]:
    return [(event.why, event.held, event.ended) for event in played.of(schema.Hold)]


def unknowns(played: Talk) -> list[tuple[str, str]]:
    return [(event.check, event.why) for event in played.of(schema.Outcome) if event.result == "unknown"]


def test_a_recipient_waits_for_answers() -> None:
    """What the hold has brought no answer to is asked at the first EHLO; the RCPT is judged when all is known."""
    played = talk(lists()).plays(ASKED, MAIL, TO, "! 1s", f"A< {FIRST} = 127.0.0.4\nA< {SECOND} =\n! 0.5s\nA< {GOOD} =", REFUSED)
    assert [("answers", 1.5, "answered")] == waits(played)
    (reason,) = played.of(schema.Reason)
    assert ("dnslists", "listed", "a.example=127.0.0.4", "a.example", 2.0) == (
        reason.check, reason.code, reason.detail, reason.subject, reason.weight,
    )  # fmt: skip


def test_who_is_not_listed_goes_on() -> None:
    """The MTA hears the RCPT when the last answer is there, and not before."""
    played = talk(lists()).plays(ASKED, MAIL, TO, f"A< {FIRST} =\nA< {SECOND} =\nA< {GOOD} =", ON, RCPT)
    assert ([], []) == (unknowns(played), played.of(schema.Reason))
    assert [("answers", 0.0, "answered")] == waits(played)


@pytest.mark.parametrize(
    "order", list(permutations((f"A< {FIRST} = 127.0.0.2", f"A< {SECOND} = 127.0.0.2", f"A< {GOOD} = 127.0.0.2")))
)
def test_an_allow_list_outweighs_in_any_order(order: tuple[str, ...]) -> None:
    """2 and 1 against, 3 for: nobody is refused, whoever answers first."""
    played = talk(lists()).plays(ASKED, MAIL, TO, "\n".join(order), ON)
    assert {"a.example", "b.example", "good.example"} == {reason.subject for reason in played.of(schema.Reason)}


def test_an_answer_that_came_before_the_recipient_keeps_nobody_waiting() -> None:
    """It is refused at MAIL, the next command that may be; with ``at`` at RCPT there, and no MTA is opened for it."""
    answers, mail = f"A< {FIRST} = 127.0.0.2\nA< {SECOND} =\nA< {GOOD} =", "C: MAIL FROM:<a@b.example>"
    at_mail = talk(lists()).plays(ASKED, answers, mail, REFUSED)
    at_rcpt = talk(lists(at=Phase.RCPT)).plays(ASKED, answers, mail, "S: 250 2.1.0 Ok", TO, REFUSED)
    assert [] == waits(at_mail) == waits(at_rcpt)


def test_what_does_not_answer_in_time_is_unknown() -> None:
    """After dns.timeout the client goes on, and each list that is missing is told; a late answer is taken all the same."""
    played = talk(lists()).plays(ASKED, MAIL, f"A< {FIRST} =", TO, "! 2.5s", "! 0.6s", ON)
    assert [("dnslists", "b.example: no answer in time"), ("dnslists", "good.example: no answer in time")] == unknowns(played)
    assert [("answers", "due")] == [(why, ended) for why, _, ended in waits(played)]
    played.plays(f"A< {SECOND} = 127.0.0.2", TO, REFUSED.replace("a.example", "b.example"))


def test_no_opinion_refuses_nobody() -> None:
    """SERVFAIL is told, and the client goes on."""
    played = talk(lists()).plays(
        ASKED, MAIL, TO, f"A< {FIRST} ? SERVFAIL\nA< {SECOND} = 127.255.255.254\nA< {GOOD} = 203.0.113.9", ON
    )
    assert ["a.example: SERVFAIL", "b.example answers 127.255.255.254: an error code, not a listing"] == [
        why for _, why in unknowns(played)
    ][:2]
    assert 3 == len(unknowns(played))


def test_where_nobody_can_be_asked_nobody_waits() -> None:
    """It is told once for each question, and the client goes on."""
    played = talk(lists(), resolves=False).plays(HELLO, MAIL, RCPT)
    assert [("dnslists", f"{zone.zone}: there is nobody to ask") for zone in ZONES] == unknowns(played)


def test_what_the_hold_was_told_is_not_asked_again() -> None:
    """Only what is missing is."""
    known = tuple(Answer(listing("192.0.2.7", zone.zone), State.NOTHING) for zone in ZONES[:2])
    talk(lists(), answers=known).plays(
        HELLO.replace("S: 250-mail.example", f"A> {GOOD}\nS: 250-mail.example", 1), MAIL, TO, f"A< {GOOD} =", ON
    )


def test_a_second_ehlo_asks_nothing_again() -> None:
    """What is under way is waited for."""
    played = talk(lists()).plays(ASKED, HELLO.replace(GREETED, ""), MAIL, TO, f"A< {FIRST} =\nA< {SECOND} =", f"A< {GOOD} =", ON)
    assert [] == unknowns(played)


@pytest.mark.parametrize(
    ("first", "reply"),
    [
        ("EHLO", "501 5.5.4 Say EHLO or HELO with your name"),
        ("STARTTLS now", "501 5.5.4 STARTTLS takes no argument"),
        ("AUTH PLAIN", "503 EHLO first"),
        ("MAIL FROM:<a@b.example>", "503 EHLO first"),
    ],
)
def test_a_client_that_leaves_ehlo_out_is_asked_about_all_the_same(first: str, reply: str) -> None:
    """By its first command of any weight: else a spammer whose lists answer after the hold would say EHLO without a name first."""
    played = talk(lists(at=Phase.RCPT))
    asked = f"A> {FIRST}\nA> {SECOND}\nA> {GOOD}"
    if reply.startswith("503"):
        reply = f"* open the MTA\n! opened\nM< 220 mta\nM> {first}\nM< {reply}\nS: {reply}"
    else:
        reply = f"S: {reply}"
    if first.startswith("STARTTLS"):  # behind it tarry may see no RCPT: it waits like one
        reply = f"! 3s\n{reply}"
    played.plays(GREETED, f"C: {first}", asked, reply)


def test_a_client_that_leaves_while_it_waits_has_left() -> None:
    """Nothing is said to the MTA for it, and a late answer is nobody's."""
    played = talk(lists()).plays(ASKED, MAIL, TO, "! 1s", "! FIN", "* abort the MTA", "* close")
    assert [("answers", 1.0, "left")] == waits(played)
    played.plays(f"A< {FIRST} = 127.0.0.2")


def test_mail_waits_where_a_check_acts_there() -> None:
    """With ``at`` at MAIL; otherwise MAIL goes on and RCPT waits."""
    refused = talk(lists(at=Phase.MAIL))
    refused.plays(ASKED, "C: MAIL FROM:<a@b.example>", f"A< {FIRST} = 127.0.0.2\nA< {SECOND} =\nA< {GOOD} =", REFUSED)
    greeted = talk(lists(at=Phase.MAIL))
    mail = MAIL.replace("C: MAIL FROM:<a@b.example>", "")
    greeted.plays(ASKED, "C: MAIL FROM:<a@b.example>", f"A< {FIRST} =\nA< {SECOND} =\nA< {GOOD} =", mail, RCPT)


def test_the_domain_of_the_sender_is_asked_about_at_mail() -> None:
    """While the MTA is being opened; a second message of the domain asks nothing and is judged at once."""
    rules = armed(Rhsbl(), options=DomainLists(zones=(Zone(zone="dbl.example"),)), action=Action.REJECT)
    mail = MAIL.replace(LOGIN, f"A> listed b.example.dbl.example\n{LOGIN}")
    refused = "S: 550 5.7.1 Your sender domain is on a DNS list (dbl.example) [K3X9-0001]"
    talk(rules).plays(HELLO, mail, TO, "A< listed b.example.dbl.example = 127.0.1.2", refused)
    again = talk(rules).plays(HELLO, mail, "A< listed b.example.dbl.example =", RCPT)
    again.plays("C: RSET\nM> RSET\nM< 250 ok\nS: 250 ok")
    again.plays("C: MAIL FROM:<x@b.example>\nM> MAIL FROM:<x@b.example>\nM< 250 ok\nS: 250 ok", RCPT)


def test_a_listed_sender_is_no_reason_against_the_next_message() -> None:
    """Of another domain, which is asked about in its turn. This MAIL waits already, since the session has come to RCPT before."""
    rules = armed(Rhsbl(), options=DomainLists(zones=(Zone(zone="dbl.example"),)), action=Action.REJECT, at=Phase.RCPT)
    mail = MAIL.replace(LOGIN, f"A> listed b.example.dbl.example\n{LOGIN}")
    refused = "S: 550 5.7.1 Your sender domain is on a DNS list (dbl.example) [K3X9-0001]"
    played = talk(rules).plays(HELLO, mail, TO, "A< listed b.example.dbl.example = 127.0.1.2", refused)
    played.plays(
        "C: RSET\nM> RSET\nM< 250 ok\nS: 250 ok",
        "C: MAIL FROM:<a@other.example>\nA> listed other.example.dbl.example",
        "A< listed other.example.dbl.example =\nM> MAIL FROM:<a@other.example>\nM< 250 ok\nS: 250 ok",
        RCPT,
    )


def test_a_mail_that_is_refused_behind_the_mta_begins_no_transaction() -> None:
    """The MTA took it before the answer came; the client was told 550. Its next MAIL is the first of its transaction to both."""
    rules = armed(Rhsbl(), options=DomainLists(zones=(Zone(zone="dbl.example"),)), action=Action.REJECT)
    mail, listed = "C: MAIL FROM:<a@b.example>\nA> listed b.example.dbl.example", "A< listed b.example.dbl.example = 127.0.1.2"
    taken = f"{LOGIN}\nM> MAIL FROM:<a@b.example>\n{listed}\nM< 250 ok"
    refused = "S: 550 5.7.1 Your sender domain is on a DNS list (dbl.example) [K3X9-0001]\nM> QUIT\n* close the MTA"
    other = MAIL.replace("a@b.example", "a@other.example").replace(LOGIN, f"A> listed other.example.dbl.example\n{LOGIN}")
    played = talk(rules).plays(HELLO, mail, taken, refused, other, "A< listed other.example.dbl.example =", RCPT)
    assert ["dbl.example"] == [reason.subject for reason in played.of(schema.Reason)]


@pytest.mark.parametrize("reset", [True, False])
def test_a_listed_sender_is_no_reason_against_what_is_between_two_messages(reset: bool) -> None:
    """A client that begins anew behind the refusal, with RSET or with EHLO, may say EHLO and STARTTLS."""
    rules = armed(Rhsbl(), options=DomainLists(zones=(Zone(zone="dbl.example"),)), action=Action.REJECT, at=Phase.MAIL)
    mail = "C: MAIL FROM:<a@b.example>\nA> listed b.example.dbl.example\nA< listed b.example.dbl.example = 127.0.1.2"
    refused = "S: 550 5.7.1 Your sender domain is on a DNS list (dbl.example) [K3X9-0001]"
    begins = "C: RSET\nS: 250 2.0.0 Ok" if reset else HELLO.replace(GREETED, "")
    played = talk(rules).plays(HELLO, mail, refused, "C: RCPT TO:<c@d.example>", refused, begins)
    played.plays(HELLO.replace(GREETED, ""), "C: STARTTLS now\nS: 501 5.5.4 STARTTLS takes no argument")


def test_the_name_of_ehlo_is_verified() -> None:
    """Two questions at EHLO, and the RCPT waits for both; a name that verifies is nobody's forgery."""
    rules = armed(Helo(), options=Names(tests=("spoofed",), spoofed_names=("client.example",)), action=Action.REJECT)
    asked = HELLO.replace("S: 250-mail.example", "A> addresses client.example\nA> names 192.0.2.7\nS: 250-mail.example", 1)
    talk(rules).plays(asked, MAIL, TO, "A< addresses client.example = 192.0.2.8\nA< names 192.0.2.7 = client.example", ON)
    talk(rules).plays(asked, MAIL, TO, "A< names 192.0.2.7 =\nA< addresses client.example = 2001:db8::1, 192.0.2.7", ON)
    talk(rules).plays(asked, MAIL, TO, "A< names 192.0.2.7 ? SERVFAIL\nA< addresses client.example = 192.0.2.8", ON)
    forged = "S: 550 5.7.1 Your HELO name is not yours or is none [K3X9-0001]"
    talk(rules).plays(asked, MAIL, TO, "A< addresses client.example = 192.0.2.8\nA< names 192.0.2.7 = dsl7.isp.example", forged)


def hello(number: int) -> str:
    return HELLO.replace(GREETED, "").replace("client.example", f"c{number}.example")


def test_who_says_ehlo_again_and_again_waits_for_answers() -> None:
    """From the third name on: so one client never has more under way than three names need, however fast it talks."""
    rules = armed(Helo(), options=Names(tests=("no_dns",)))
    asking = [hello(n).replace("S: 250-mail", f"A> addresses c{n}.example\nS: 250-mail", 1) for n in range(4)]
    first, rest = asking[2].split("\nS:", 1)
    answers = "\n".join(f"A< addresses c{n}.example =" for n in range(3))
    played = talk(rules).plays(GREETED, *asking[:2], first, f"! 1s\n{answers}\nS:{rest}")
    first, rest = asking[3].split("\nS:", 1)
    played.plays(first, f"! 3s\nS:{rest}")
    assert (4.0, "due") == (sum(held for _, held, _ in waits(played)), waits(played)[-1][2])


def test_what_is_known_of_a_session_has_bounds() -> None:
    """However many names a client gives; what was asked about the client itself is never forgotten."""
    rules = armed(Helo(), options=Names(tests=("no_dns",)))
    played = talk(lists(), rules).plays(ASKED.replace("\nS: 250-mail", "\nA> addresses client.example\nS: 250-mail", 1))
    played.plays(f"A< {FIRST} =\nA< {SECOND} =\nA< {GOOD} =\nA< addresses client.example =")
    for number in range(2 * MOST_FACTS):
        first, rest = hello(number).split("\nS:", 1)
        question = f"addresses c{number}.example"
        if number:
            played.plays(first, f"A> {question}\nA< {question} = 192.0.2.7\nS:{rest}")
        else:
            played.plays(first, f"A> {question}\nS:{rest}\nA< {question} = 192.0.2.7")
    facts = played.conversation._screen.about.facts
    assert len(facts) <= MOST_FACTS + 1
    assert {listing("192.0.2.7", zone.zone) for zone in ZONES} < facts.keys()


def test_who_is_exempt_is_not_asked_about() -> None:
    """Nor waited for."""
    Talk(Policy(checks=(lists(),)), resolves=True, is_exempt=True).plays(HELLO, MAIL, RCPT)
