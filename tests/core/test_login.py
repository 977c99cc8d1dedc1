"""What is said before the client's own EHLO: in order, in full, or the MTA is not used."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tarry.core.border import Learn, OpenMta, Outbox, Relay, SecureMta
from tarry.core.client import Client
from tarry.core.login import (
    INJECTED,
    NO_ADDRESS,
    NO_STARTTLS,
    NOT_OFFERED,
    Done,
    Login,
    Refused,
    Say,
    Secure,
    Step,
    Unusable,
    Way,
)
from tarry.core.policy import Limits, Policy
from tarry.core.upstream import Answered, Broken, TurnedAway, Upstream
from tarry.record import schema
from tarry.smtp.reply import Reply, reply
from tests.strategies import borders, cut
from tests.talk import CLIENT, HELLO, Talk

XCLIENT, TLS, BOTH = Way("door.example", xclient=True), Way("door.example", tls=True), Way("door.example", xclient=True, tls=True)
EHLO = reply(250, "mta.example", "XCLIENT NAME ADDR PROTO HELO PORT", "STARTTLS", "PIPELINING")
GREETING = reply(220, "mta.example ESMTP")
ANNOUNCED = b"XCLIENT ADDR=192.0.2.7 PORT=40000 NAME=[TEMPUNAVAIL] PROTO=ESMTP HELO=client.example"
OWN_EHLO = Say(b"EHLO door.example")


def steps(way: Way, *replies: Reply, client: Client | None = CLIENT, helo: bytes = b"EHLO client.example") -> list[Step]:
    """Return what a login does at the greeting, and for each of the replies."""
    login = Login(way, client, helo=helo)
    return [login.begin(), *(login.take(one) for one in replies)]


def test_the_client_is_announced() -> None:
    """After tarry's own EHLO; then it is the client's turn."""
    assert [OWN_EHLO, Say(ANNOUNCED), Done()] == steps(XCLIENT, EHLO, GREETING)


def test_tls_comes_after_xclient() -> None:
    """Which sets everything back but TLS, so that EHLO is said again."""
    expected = [OWN_EHLO, Say(ANNOUNCED), OWN_EHLO, Say(b"STARTTLS"), Secure()]
    assert expected == steps(BOTH, EHLO, GREETING, EHLO, reply(220, "go"))


def test_tls_alone() -> None:
    """One EHLO is enough."""
    assert [OWN_EHLO, Say(b"STARTTLS"), Secure()] == steps(TLS, EHLO, reply(220, "go"))


@pytest.mark.parametrize(("way", "expected"), [(XCLIENT, [OWN_EHLO, Done(EHLO)]), (BOTH, [OWN_EHLO, Say(b"STARTTLS")])])
def test_a_probe_has_no_client_to_announce(way: Way, expected: list[Step]) -> None:
    """It looks whether that could be done."""
    assert expected == steps(way, EHLO, client=None)


@pytest.mark.parametrize("client", [CLIENT, None])
@pytest.mark.parametrize(
    ("way", "ehlo", "why"),
    [
        (XCLIENT, reply(250, "mta.example", "STARTTLS"), NOT_OFFERED),
        (BOTH, reply(250, "mta.example"), NOT_OFFERED),
        (XCLIENT, reply(250, "XCLIENT ADDR"), NOT_OFFERED),
        (XCLIENT, reply(250, "mta.example", "XCLIENT"), NO_ADDRESS),
        (XCLIENT, reply(250, "mta.example", "XCLIENT NAME PORT"), NO_ADDRESS),
        (TLS, reply(250, "mta.example", "XCLIENT ADDR"), NO_STARTTLS),
        (XCLIENT, reply(502, "what"), "its EHLO is 502 what"),
        (TLS, reply(550, "5.7.1 not you"), "its EHLO is 550 5.7.1 not you"),
        (XCLIENT, reply(421, "busy"), "its EHLO is 421 busy"),
        (XCLIENT, reply(220, ""), "its EHLO is 220"),
    ],
)
def test_an_mta_that_cannot_be_used(way: Way, ehlo: Reply, why: str, client: Client | None) -> None:
    """Its answer to tarry's own EHLO is about tarry, so it never bounces mail."""
    assert Unusable(why) == steps(way, ehlo, client=client)[-1]


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (reply(554, "5.7.1 <unknown[192.0.2.7]>: Client host rejected"), Refused),
        (reply(550, "we know you"), Refused),
        (reply(521, "5.3.2 no mail"), Refused),
        (reply(450, "4.7.1 <unknown[192.0.2.7]>: Client host rejected"), Unusable),
        (reply(421, "4.7.0 too many connections"), Unusable),
        (reply(550, "5.7.0 Error: insufficient authorization"), Unusable),
        (reply(550, "5.7.14 You are not from trusted IP"), Unusable),
        (reply(530, "5.7.0 Must issue a STARTTLS command first"), Unusable),
        (reply(500, "5.5.2 what"), Unusable),
        (reply(501, "5.5.4 Bad ADDR syntax"), Unusable),
        (reply(503, "5.5.1 in progress"), Unusable),
        (reply(250, "ok"), Unusable),
        (reply(354, "go"), Unusable),
    ],
)
def test_what_comes_in_place_of_the_second_greeting(answer: Reply, expected: type[Step]) -> None:
    """A verdict on the client is the client's to hear; what is about tarry or its command only ends the session."""
    last = steps(XCLIENT, EHLO, answer)[-1]
    assert isinstance(last, expected)
    if isinstance(last, Refused):
        assert answer == last.reply


def test_a_verdict_before_the_last_command_is_on_tarry() -> None:
    """The MTA has not heard of the client's address yet."""
    login = Login(XCLIENT, CLIENT, helo=b"EHLO " + b"h" * 255, name=b"n" * 255)
    login.begin()
    assert Say(b"XCLIENT HELO=" + b"h" * 255) == login.take(EHLO)
    assert Unusable("its XCLIENT is 554 no") == login.take(reply(554, "no"))


def test_several_commands() -> None:
    """Each has its own greeting, and nobody sees one."""
    login = Login(XCLIENT, CLIENT, helo=b"HELO " + b"h" * 255, name=b"n" * 255)
    login.begin()
    assert Say(b"XCLIENT HELO=" + b"h" * 255) == login.take(EHLO)
    assert Say(b"XCLIENT ADDR=192.0.2.7 PORT=40000 NAME=" + b"n" * 255 + b" PROTO=SMTP") == login.take(GREETING)
    assert Done() == login.take(GREETING)


@pytest.mark.parametrize(
    ("helo", "said"),
    [
        (b"HELO  a b ", b"PROTO=SMTP HELO=a+20b"),
        (b"ehlo x", b"PROTO=ESMTP HELO=x"),
        (b"", b"PROTO=SMTP HELO=[UNAVAILABLE]"),
    ],
)
def test_how_the_client_said_hello(helo: bytes, said: bytes) -> None:
    """Its verb is its protocol."""
    assert Say(b"XCLIENT ADDR=192.0.2.7 PORT=40000 NAME=[TEMPUNAVAIL] " + said) == steps(XCLIENT, EHLO, helo=helo)[-1]


@pytest.mark.parametrize("answer", [reply(454, "4.7.0 not now"), reply(502, "no"), reply(250, "ok")])
def test_a_refused_starttls_is_the_end(answer: Reply) -> None:
    """Nothing falls back to clear text."""
    assert Unusable(f"its STARTTLS is {answer.code} {answer.last_line.decode()}") == steps(TLS, EHLO, answer)[-1]


def test_a_name_is_ascii() -> None:
    """Whatever this machine is called."""
    assert Say(b"EHLO b?cher.example") == Login(Way("b\u00fccher.example"), None, helo=b"").begin()


# Whole sessions.

OPENED = f"""{HELLO}
C: MAIL FROM:<a@b.example>
* open the MTA
! opened
M< 220 mta.example ESMTP
M> EHLO door.example
"""
OFFERED = """
M< 250-mta.example
M< 250-XCLIENT NAME ADDR PROTO HELO PORT
M< 250-STARTTLS
M< 250 PIPELINING
"""
NAMED = """
M> XCLIENT ADDR=192.0.2.7 PORT=40000 NAME=[TEMPUNAVAIL] PROTO=ESMTP HELO=client.example
M< 220 mta.example greets the client
"""
THE_CLIENTS_EHLO = """
M> EHLO client.example
M< 250-mta.example
M< 250 SIZE 1000
M> MAIL FROM:<a@b.example>
M< 250 2.1.0 Sender ok
S: 250 2.1.0 Sender ok
"""
UNAVAILABLE = """
S: 421 4.3.2 Service not available, try again later [K3X9-0001]
* abort the MTA
* close
"""


def test_a_session_with_xclient() -> None:
    """The client hears the answer to its MAIL and nothing else; only the EHLO reply after XCLIENT is learned."""
    talk = Talk(login=XCLIENT, knows_client=True).plays(OPENED, OFFERED, NAMED, THE_CLIENTS_EHLO)
    assert ["SIZE"] == [keyword for known in talk.learned for keyword, _ in known.keywords]
    assert [True] == [one.ok for one in talk.of(schema.Handoff)]


def test_a_session_with_both() -> None:
    """TLS begins behind the second EHLO, and the client's comes inside."""
    talk = Talk(login=BOTH, knows_client=True).plays(
        OPENED,
        OFFERED,
        NAMED,
        "M> EHLO door.example",
        OFFERED,
        """
        M> STARTTLS
        M< 220 go
        * secure the MTA
        ! secured
        """,
        THE_CLIENTS_EHLO,
    )
    assert [schema.Tls("mta", True, "TLSv1.3", "X")] == talk.of(schema.Tls)
    assert [True] == [one.ok for one in talk.of(schema.Handoff)]


def test_an_mta_that_does_not_trust_us() -> None:
    """The client is told to come again, and the record says what to do."""
    talk = Talk(login=XCLIENT, knows_client=True).plays(OPENED, "M< 250 mta.example", UNAVAILABLE)
    assert [NOT_OFFERED] == [one.why for one in talk.of(schema.Handoff)]


@pytest.mark.parametrize("greeting", ["554 no", "421 busy"])
def test_the_first_greeting_is_for_tarry(greeting: str) -> None:
    """The MTA does not know the client yet, so its refusal must bounce no mail."""
    Talk(login=XCLIENT, knows_client=True).plays(
        HELLO, "C: MAIL FROM:<a@b.example>\n* open the MTA\n! opened", f"M< {greeting}", UNAVAILABLE
    )


def test_a_verdict_is_the_clients_answer() -> None:
    """As at a greeting of the MTA's own; the session goes on, and the next command asks anew."""
    Talk(login=XCLIENT, knows_client=True).plays(
        OPENED,
        OFFERED,
        NAMED.splitlines()[1],
        """
        M< 554 5.7.1 not you
        * abort the MTA
        S: 554 5.7.1 not you
        C: RSET
        S: 250 2.0.0 Ok
        """,
    )


@pytest.mark.parametrize("behind", [r"250 injected\r\n", r"25", r"\x16\x03"])
def test_what_lies_behind_the_220_ends_it(behind: str) -> None:
    """It would be taken for a reply from inside TLS."""
    talk = Talk(login=TLS).plays(OPENED, OFFERED, "M> STARTTLS", rf"M+ 220 go\r\n{behind}", UNAVAILABLE)
    assert [INJECTED] == [one.why for one in talk.of(schema.Handoff)]


def test_what_comes_before_the_handshake_ends_it() -> None:
    """In another segment, and no reply yet."""
    talk = Talk(login=TLS).plays(OPENED, OFFERED, "M> STARTTLS\nM< 220 go\n* secure the MTA\n--\nM+ 2", UNAVAILABLE)
    assert [INJECTED] == [one.why for one in talk.of(schema.Handoff)]


def test_a_handshake_that_fails() -> None:
    """Both records say why, and there is no clear text instead."""
    talk = Talk(login=TLS).plays(
        OPENED, OFFERED, "M> STARTTLS\nM< 220 go\n* secure the MTA\n! not secured: bad certificate", UNAVAILABLE
    )
    assert ["bad certificate"] == [one.why for one in talk.of(schema.Tls)]
    assert ["no TLS: bad certificate"] == [one.why for one in talk.of(schema.Handoff)]
    talk.plays("! secured")  # too late


def test_a_handshake_that_takes_too_long() -> None:
    """It has a time of its own."""
    talk = Talk(Policy(limits=Limits(backend=5.0, handshake=9.0)), login=TLS).plays(
        OPENED, OFFERED, "M> STARTTLS\nM< 220 go\n* secure the MTA\n! 8.5s\n! 1s", UNAVAILABLE
    )
    assert [schema.Tls("mta", False, why="no handshake in time")] == talk.of(schema.Tls)


def test_each_step_has_its_time() -> None:
    """As every reply of the MTA."""
    talk = Talk(Policy(limits=Limits(backend=5.0)), login=XCLIENT, knows_client=True)
    talk.plays(OPENED, "! 4s", OFFERED, NAMED.splitlines()[1], "! 4s", NAMED.splitlines()[2], "M> EHLO client.example")
    talk.plays("! 4s\n! 1.5s", UNAVAILABLE)
    assert ["no reply in time"] == [one.why for one in talk.of(schema.Handoff)]


@pytest.mark.parametrize("way", [None, XCLIENT, TLS, BOTH])
def test_a_reply_too_many_answers_nothing(way: Way | None) -> None:
    """It came before the next thing was said: else each reply of the session would answer the command before."""
    talk = Talk(login=way).plays(HELLO, "C: MAIL FROM:<a@b.example>\n* open the MTA\n! opened")
    talk.plays("M< 220 mta.example\nM< 250 and more", UNAVAILABLE)
    assert ["it said more than it was asked"] == [one.why for one in talk.of(schema.Handoff)]


# Laws.


def test_a_client_that_gave_no_name() -> None:
    """It is announced all the same, and its command follows at once."""
    side = Upstream(outbox := Outbox(), knows_client=True, way=XCLIENT, client=CLIENT)
    side.ask(b"MAIL FROM:<>")
    side.opened()
    for one in (GREETING, EHLO, GREETING):
        assert None is side.receive(one.raw)
    relayed = b"EHLO door.example\r\nXCLIENT ADDR=192.0.2.7 PORT=40000 NAME=[TEMPUNAVAIL] PROTO=SMTP HELO=[UNAVAILABLE]\r\n"
    assert [OpenMta(), Relay(relayed + b"MAIL FROM:<>\r\n")] == outbox.take()
    assert Answered(reply(250, "ok")) == side.receive(b"250 ok\r\n")


def test_a_probe_learns_what_it_was_told() -> None:
    """Inside TLS where there is TLS, else from the one EHLO."""
    side = Upstream(outbox := Outbox(), knows_client=False, way=XCLIENT)
    side.helo = b"EHLO door.example"
    side.ask(b"QUIT")
    side.opened()
    side.receive(GREETING.raw)
    side.receive(EHLO.raw)
    assert [OpenMta(), Relay(b"EHLO door.example\r\n"), Learn(EHLO), Relay(b"QUIT\r\n")] == outbox.take()


ANY_REPLY = st.sampled_from(
    (GREETING.raw, EHLO.raw, b"250 mta.example\r\n", b"220 go\r\n", b"250 ok\r\n", b"554 no\r\n", b"450 no\r\n", b"x\r\n", b"22")
)


@given(
    stream=st.lists(ANY_REPLY).map(b"".join), at=borders, way=st.sampled_from((XCLIENT, TLS, BOTH)), helo=st.binary(max_size=300)
)
def test_no_mta_gets_a_command_before_it_knows_the_client(stream: bytes, at: list[int], way: Way, helo: bytes) -> None:
    """Whatever it says: nothing raises, no line is longer than 512 octets, and the question waits for the login's end."""
    side = Upstream(outbox := Outbox(), knows_client=True, way=way, client=CLIENT)
    side.helo = b"EHLO " + helo.translate(None, b"\r\n\0") if helo else b""
    side.ask(b"MAIL FROM:<>")
    side.opened()
    relayed, secured = b"", False
    for piece in cut(stream, at):
        event = side.receive(piece)
        effects = outbox.take()
        relayed += b"".join(one.data for one in effects if isinstance(one, Relay))
        secured = secured or SecureMta() in effects
        if isinstance(event, Broken | TurnedAway):
            break
        assert event is None or b"MAIL FROM" in relayed
    lines = relayed.split(b"\r\n")
    assert all(len(line) <= 510 for line in lines)
    if b"MAIL FROM:<>" in lines:
        assert not way.xclient or any(line.startswith(b"XCLIENT ADDR=192.0.2.7 ") for line in lines)
        assert not way.tls  # nobody has told it that the handshake is done
    assert not secured or way.tls
