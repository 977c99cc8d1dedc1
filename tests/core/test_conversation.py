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
from tests.playbook import armed, policy
from tests.strategies import borders, cut, soup
from tests.talk import (
    BEGUN_AT,
    DATA,
    ENVELOPE,
    GONE,
    GREETED,
    HELLO,
    LOGIN,
    MAIL,
    MESSAGE,
    OFFERED,
    RCPT,
    SENDING,
    Talk,
    found,
    setting,
)

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


# Lines.


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
