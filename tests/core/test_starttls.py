"""STARTTLS in both forms: given to the MTA, and ended here. Nothing of the time before counts inside."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tarry.checks.many_errors import ManyErrors, Options
from tarry.checks.pipelining import Pipelining
from tarry.checks.pregreet import Pregreet
from tarry.core.client import Phase
from tarry.core.policy import Delay, Limits, Policy, Span, Tarpit, Tarpits
from tarry.core.result import Action
from tarry.core.starttls import Established, failure
from tarry.record import schema
from tarry.smtp.extensions import Capabilities
from tests.core.test_conversation import GONE, UNITS, Watched
from tests.playbook import armed, policy
from tests.talk import GREETED, HELLO, LOGIN, MAIL, RCPT, Talk, found

# The MTA's own (tls.mode = "relay").

TLS = f"C: STARTTLS\n{LOGIN}\nM> STARTTLS"


def test_starttls_gives_the_session_away() -> None:
    """After the MTA's 220 bytes are only pumped; tarry is blind."""
    talk = Talk().plays(HELLO, TLS, "M< 220 go\nS: 220 go\n* pump")
    assert schema.Handoff("proxy", "127.0.0.1:10025", True, blind=True) == talk.events[-1]
    talk.plays("! 9999s")


def test_the_mta_may_refuse_starttls() -> None:
    """Its refusal is relayed, and the session goes on in the clear."""
    Talk().plays(HELLO, TLS, "M< 454 not now\nS: 454 not now\nC: NOOP\nS: 250 2.0.0 Ok")


def test_who_is_refused_at_mail_is_refused_before_tls() -> None:
    """Behind STARTTLS tarry sees no MAIL: the refusal comes before it, and the MTA is not opened."""
    Talk(policy(Pregreet(), action=Action.REJECT, at=Phase.MAIL), reasons=(found("pregreet"),)).plays(
        HELLO,
        "C: STARTTLS\nS: 550 5.7.1 You spoke before the greeting [K3X9-0001]",
    )


def test_who_is_delayed_at_rcpt_is_delayed_before_tls() -> None:
    """A client does not get round its delay by going blind."""
    talk = Talk(
        Policy(checks=policy(Pregreet(), action=Action.DELAY).checks, delay=Delay(Span(60.0, 60.0))), reasons=(found("pregreet"),)
    )
    talk.plays(HELLO, "C: STARTTLS\n! 56s", LOGIN, "M> STARTTLS\nM< 220 go\nS: 220 go\n* pump")


TOO_EARLY = "S: 503 5.5.1 Wait for the reply to STARTTLS"


def test_commands_behind_starttls_are_an_injection() -> None:
    """What was said in the clear must not count inside TLS: RFC 3207, section 6."""
    Talk().plays(HELLO, f"C: STARTTLS\nC: NOOP\n{TOO_EARLY}\n* close")
    Talk().plays(HELLO, TLS, f"C: NOOP\nM< 220 go\n{TOO_EARLY}\n* abort the MTA\n* close")


@pytest.mark.parametrize("more", ["250 injected", "2"])
def test_replies_behind_the_220_are_an_injection(more: str) -> None:
    """What the MTA says behind its 220 would be read as if it came from inside TLS."""
    Talk().plays(HELLO, TLS, f"M+ 220 go\\r\\n{more}\n{GONE}\n* abort the MTA\n* close")
    Talk().plays(HELLO, TLS, f"M< 220 go\nM< {more}50 x\n{GONE}\n* abort the MTA\n* close")


# tarry's own (tls.mode = "terminate").

CLEAR = f"""{GREETED}
C: EHLO client.example
S: 250-mail.example
S: 250-PIPELINING
S: 250-CHUNKING
S: 250 STARTTLS
"""
TERMINATED = """
C: STARTTLS
S: 220 2.0.0 Ready to start TLS
* start TLS
"""
INSIDE = f"{TERMINATED}\n! TLS"
HELLO_INSIDE = """
C: EHLO client.example
S: 250-mail.example
S: 250-PIPELINING
S: 250-CHUNKING
S: 250 AUTH PLAIN LOGIN
"""


def ending(rules: Policy | None = None, **changed: object) -> Talk:
    """Return a client of a tarry that does STARTTLS itself."""
    return Talk(rules, ends_tls=True, **changed)


def test_a_message_inside_tls() -> None:
    """After the handshake the session begins anew, and the MTA is opened by the first command inside that needs it."""
    talk = ending().plays(CLEAR, TERMINATED, "! 2.5s\n! TLS", HELLO_INSIDE, MAIL, RCPT)
    assert [schema.Tls("client", True, "TLSv1.3", "TLS_AES_256_GCM_SHA384", "mail.example", 2500.0)] == talk.of(schema.Tls)


def test_it_is_offered_whatever_the_mta_offers() -> None:
    """The keyword is tarry's own, once."""
    hello = "C: EHLO x\nS: 250-mail.example\nS: 250-SIZE 9\nS: 250 STARTTLS"
    without = Capabilities("mta.example", (("SIZE", b"SIZE 9"),))
    with_it = Capabilities("mta.example", (("STARTTLS", b"STARTTLS now"), ("SIZE", b"SIZE 9")))
    for known in (without, with_it):
        ending(capabilities=known).plays(GREETED, hello, INSIDE)


def test_helo_is_offered_nothing() -> None:
    """A client that says HELO may ask for TLS all the same."""
    ending().plays(GREETED, "C: HELO x\nS: 250 mail.example", INSIDE)


@pytest.mark.parametrize("in_tls", [True, False])
def test_inside_it_is_neither_offered_nor_taken(in_tls: bool) -> None:
    """503, whoever does TLS, and also where the client came with TLS from the first byte on."""
    talk = Talk(in_tls=True).plays(GREETED) if in_tls else ending().plays(CLEAR, INSIDE)
    talk.plays(HELLO_INSIDE, "C: STARTTLS\nS: 503 5.5.1 TLS is on already\nC: NOOP\nS: 250 2.0.0 Ok")


def test_the_reply_of_an_mta_inside_tls_is_not_believed_either() -> None:
    """The MTA's EHLO reply to a later EHLO is cleared of its STARTTLS too."""
    ending().plays(
        CLEAR, INSIDE, HELLO_INSIDE, MAIL, "C: EHLO again\nM> EHLO again\nM< 250-mta.example\nM< 250 STARTTLS\nS: 250 mail.example"
    )


def test_an_argument_is_refused() -> None:
    """RFC 3207, section 4."""
    ending().plays(CLEAR, "C: STARTTLS now\nS: 501 5.5.4 STARTTLS takes no argument", INSIDE)


@pytest.mark.parametrize("more", ["C: NOOP", "C+ \\0", "C+ \\x16\\x03\\x01", "C: STARTTLS"])
def test_what_is_piled_up_behind_it_is_an_injection(more: str) -> None:
    """No 220 and no handshake: the session ends."""
    talk = ending().plays(CLEAR, f"C: STARTTLS\n{more}\n{TOO_EARLY}\n* close")
    assert [] == talk.of(schema.Tls)


def test_what_comes_in_the_clear_after_the_220_counts_for_nothing() -> None:
    """The shell reads nothing there; should it ever, the session ends and the command is never taken."""
    talk = ending().plays(CLEAR, TERMINATED, "C: MAIL FROM:<injected@b.example>", "! TLS\n* close")
    assert [failure("clear text behind STARTTLS")] == talk.of(schema.Tls)


def test_the_mta_of_the_time_before_is_given_up() -> None:
    """It knows the name, the sender and perhaps a login of the time before; a new one is opened when one is needed."""
    talk = ending().plays(CLEAR, MAIL, "C: STARTTLS\nM> QUIT\n* close the MTA\nS: 220 2.0.0 Ready to start TLS\n* start TLS\n! TLS")
    talk.plays(
        "C: RCPT TO:<c@d.example>\nS: 503 5.5.1 MAIL first",
        "C: MAIL FROM:<a@b.example>\n* open the MTA\n! opened\nM< 220 mta.example\nM> MAIL FROM:<a@b.example>",
    )


def test_passwords_are_taken_inside_only() -> None:
    """AUTH is offered inside TLS and not before, and one that comes before is told so (RFC 4954, section 4)."""
    refused = "C: AUTH PLAIN AGEAYg==\nS: 538 5.7.1 Say STARTTLS first: passwords are taken inside TLS only"
    talk = ending().plays(CLEAR, refused, INSIDE, HELLO_INSIDE)
    talk.plays("C: AUTH PLAIN AGEAYg==", LOGIN, "M> AUTH PLAIN AGEAYg==\nM< 235 ok\nS: 235 ok")
    without = Capabilities("mta.example", (("SIZE", b"SIZE 9"),))
    ending(capabilities=without).plays(GREETED, "C: AUTH PLAIN AGEAYg==\nS: 502 5.5.1 Command not offered")


def test_an_exempt_client_stays_exempt() -> None:
    """That is about its address, which TLS does not change."""
    talk = ending(policy(Pregreet(), action=Action.REJECT, at=Phase.MAIL), reasons=(found("pregreet"),), is_exempt=True)
    talk.plays(CLEAR, INSIDE, HELLO_INSIDE, MAIL)


def test_who_is_refused_at_mail_is_refused_inside() -> None:
    """tarry sees what is said inside, so that nobody need be refused TLS."""
    talk = ending(policy(Pregreet(), action=Action.REJECT, at=Phase.MAIL), reasons=(found("pregreet"),))
    talk.plays(CLEAR, INSIDE, "C: MAIL FROM:<a@b.example>\nS: 550 5.7.1 You spoke before the greeting [K3X9-0001]")
    talk.plays("C: EHLO x\nS: 550 5.7.1 You spoke before the greeting [K3X9-0001]")


def test_who_is_dropped_is_dropped_at_starttls_too() -> None:
    """As at any other command."""
    talk = ending(policy(Pregreet(), action=Action.DROP, at=Phase.HELO), reasons=(found("pregreet"),))
    talk.plays(GREETED, "C: EHLO x\nS: 521 5.7.1 You spoke before the greeting [K3X9-0001]\n* close")


def test_who_is_delayed_at_rcpt_is_delayed_inside() -> None:
    """And STARTTLS is answered at once."""
    rules = Policy(checks=policy(Pregreet(), action=Action.DELAY).checks, delay=Delay(Span(60.0, 60.0)))
    talk = ending(rules, reasons=(found("pregreet"),)).plays(CLEAR, INSIDE, HELLO_INSIDE)
    talk.plays("C: MAIL FROM:<a@b.example>\nS: 250 2.1.0 Ok", "C: RCPT TO:<c@d.example>\n! 56s\n* open the MTA")
    assert ["residual"] == [hold.why for hold in talk.of(schema.Hold)]


def test_the_checks_go_on_inside_and_the_reasons_stay() -> None:
    """What was found before counts inside, and what is counted is counted on: errors, RSETs."""
    rules = Policy(
        checks=(armed(Pipelining()), armed(ManyErrors(), options=Options(limit=2), action=Action.DROP)),
        tarpits=Tarpits(rset=Tarpit(1, 1.0)),
    )
    talk = ending(rules, reasons=(found("pregreet"),)).plays(
        CLEAR, "C: RSET\nS: 250 2.0.0 Ok\nC: STARTTLS now\nS: 501 5.5.4 STARTTLS takes no argument"
    )
    talk.plays(INSIDE, "C: RSET\n! 2s\nS: 250 2.0.0 Ok")
    talk.plays(
        "C: STARTTLS\nS: 503 5.5.1 TLS is on already", "C: RCPT TO:<c@d.example>\nS: 521 5.7.1 Too many errors [K3X9-0001]\n* close"
    )
    assert ["many_errors"] == [reason.check for reason in talk.of(schema.Reason)]


# The handshake.


@pytest.mark.parametrize("why", ["no shared cipher", "http request"])
def test_a_handshake_that_fails_ends_the_session(why: str) -> None:
    """Nothing can be said any more: it is recorded, and both sides are closed."""
    talk = ending().plays(CLEAR, TERMINATED, f"! TLS failed: {why}\n* close\n! TLS failed: twice\n! TLS")
    assert [failure(why)] == talk.of(schema.Tls)


def test_the_handshake_has_a_deadline() -> None:
    """limits.handshake, whatever dribbles in."""
    talk = ending(Policy(limits=Limits(handshake=9.0))).plays(CLEAR, TERMINATED, "! 8.9s\n! 0.2s\n* close")
    assert [failure("no handshake in time")] == talk.of(schema.Tls)


@pytest.mark.parametrize(("how", "word"), [("FIN", "fin"), ("RST", "reset")])
def test_a_client_that_leaves_in_the_handshake(how: str, word: str) -> None:
    """Its hang-up and the failure are recorded."""
    talk = ending().plays(CLEAR, TERMINATED, f"! {how}\n* close")
    assert [schema.Hangup("helo", word), failure("the client hung up")] == talk.events[-2:]


def test_going_down_waits_for_the_handshake() -> None:
    """A 421 in the clear would be taken for a broken handshake: it is said inside."""
    ending().plays(CLEAR, TERMINATED, "! drain\n! TLS\nS: 421 4.3.2 Service is going down, try again later\n* close")


def test_inside_a_command_has_its_time() -> None:
    """From the end of the handshake on."""
    ending(Policy(limits=Limits(command=60.0))).plays(
        CLEAR, INSIDE, "! 59s\n! 2s\nS: 421 4.4.2 Timeout, closing the connection\n* close"
    )


@pytest.mark.parametrize("in_tls", [True, False])
@pytest.mark.parametrize("how", ["FIN", "RST"])
def test_the_end_of_tls_is_the_end(in_tls: bool, how: str) -> None:
    """In the middle of a message and in the middle of an answer: the MTA's transaction is aborted, and nothing is said."""
    for stage in ("C: DATA\nM> DATA\nM< 354 go\nS: 354 go\nC+ half a mess", "C: DATA\nM> DATA"):
        talk = Talk(in_tls=True).plays(GREETED) if in_tls else ending().plays(CLEAR, INSIDE)
        text = "M- half a mess\n" if "half" in stage else ""
        talk.plays(HELLO_INSIDE, MAIL, RCPT, stage, f"{text}! {how}\n* abort the MTA\n* close")


def test_records_of_a_handshake() -> None:
    """Both in the form of the schema."""
    assert schema.Tls("client", True, "TLSv1.2", "X", "a", 1.0) == Established("TLSv1.2", "X", "a").event(0.001)
    assert schema.Tls("client", False, why="x") == failure("x")


BEFORE = tuple(unit for unit in UNITS if unit[:4] not in (b"QUIT",))


@given(before=st.lists(st.sampled_from(BEFORE), max_size=8), inside=st.lists(st.sampled_from(UNITS), max_size=8))
def test_nothing_that_was_said_before_counts_inside(before: list[bytes], inside: list[bytes]) -> None:
    """Whatever came before STARTTLS, client and MTA see inside what they see where TLS was on from the beginning."""
    upgraded, fresh = Watched(Policy(), ends_tls=True), Watched(Policy(), in_tls=True)
    for unit in before:
        upgraded.happen("client", unit)
        upgraded.answer_all()
    upgraded.happen("client", b"STARTTLS\r\n")
    upgraded.happen("TLS")
    if not upgraded.conversation._tls.is_inside:
        return  # the session had ended, or STARTTLS was the line of a message
    seen = []
    for watched in (upgraded, fresh):
        watched.to_client, watched.to_mta = b"", b""
        for unit in inside:
            watched.happen("client", unit)
            watched.answer_all()
        seen.append((watched.to_client, watched.to_mta, watched.is_closed))
    assert seen[1] == seen[0]
