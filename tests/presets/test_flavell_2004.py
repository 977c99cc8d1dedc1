"""The log lines of A. Flavell's posting of 2004-03-02, and what his recipe promises."""

from __future__ import annotations

import re

import pytest

from tarry.core.client import Client, Endpoint
from tarry.core.facts import Answer, State, addresses_of, names_of
from tarry.record import schema
from tests.presets import policy_of
from tests.talk import BEGUN_AT, DATA, MESSAGE, Talk

POLICY = policy_of("flavell-2004")
HALFWAY = 165.0
"""Seconds: the target of a client whose draw is in the middle of 60 s to 270 s."""
HIS_HELO = re.compile(r"^[-a-zA-Z0-9]+\.[a-zA-Z0-9]")
HIS_HOST = re.compile(r"(^|\W)(a?dsl|dial(up|in|\.|-))")
EXTENSIONS = "S: 250-mail.example\nS: 250-PIPELINING\nS: 250-CHUNKING\nS: 250-AUTH PLAIN LOGIN\nS: 250 STARTTLS"
TAKEN_BY_TARRY = "S: 250 2.1.0 Ok"


def names(address: str, *found: str) -> Answer:
    return Answer(names_of(address), State.FOUND if found else State.NOTHING, found, len(found))


def addresses(name: str, *found: str) -> Answer:
    return Answer(addresses_of(name), State.FOUND if found else State.NOTHING, found)


def connect(address: str, *answers: Answer, draw: float = 0.5, waited: float = 0.0) -> Talk:
    """Return the conversation with this client, of which this is known; it was greeted *waited* seconds after it came."""
    client = Client(Endpoint(address, 40000), Endpoint("198.51.100.1", 25))
    begun = {"client": client, "answers": answers, "random": lambda: draw, "accepted_at": BEGUN_AT - waited}
    assert 0.0 == POLICY.wait.high
    talk = Talk(POLICY, **begun)
    for answer in answers:
        # What the hold was told; it lasts no time here.
        talk._take(talk.conversation.answered(answer, talk.now))
    return talk.plays("S: 220 mail.example ESMTP")


def offer(talk: Talk, helo: str, *, is_delayed: bool = True) -> Talk:
    """Say who one is and whom a message is from, a second later each; the MTA is not opened for one who will wait."""
    talk.plays(f"! 1s\nC: EHLO {helo}\n{EXTENSIONS}")
    return talk.plays("! 1s\nC: MAIL FROM:<fake@b.example>\n" + (TAKEN_BY_TARRY if is_delayed else "* open the MTA"))


def found(talk: Talk) -> list[str]:
    """Return the reasons that count; what a check that is ignored finds is in the record as well."""
    return [f"{reason.check}.{reason.code}" for reason in talk.of(schema.Reason) if reason.action != "ignore"]


def test_marineguy_backs_off() -> None:
    """No name, and a HELO that is none: at RCPT it waits for what is left of its target, and leaves. The record is his log line."""
    talk = offer(connect("61.78.92.162", names("61.78.92.162")), "MarineGuy")
    talk.plays("! 1s\nC: RCPT TO:<ouruser@d.example>\n--\n! 20s\n--\n! FIN\n* close")
    assert ["helo.unqualified"] == found(talk)
    assert [
        schema.Hold("residual", HALFWAY - 3, 20.0, "left", "rcpt", ("helo.unqualified",), "fake@b.example", "ouruser@d.example")
    ] == talk.of(schema.Hold)
    assert [("rcpt", "fin")] == [(one.phase, one.how) for one in talk.of(schema.Hangup)]


def test_the_dialup_host_has_two_reasons() -> None:
    """And waits no longer for the second."""
    host = names("128.123.221.93", "dialup-free-349.nmsu.edu")
    talk = offer(connect("128.123.221.93", host), "computer")
    talk.plays("! 1s\nC: RCPT TO:<ouruser@d.example>\n--\n! 30s\n--\n! FIN\n* close")
    assert {"helo.unqualified", "dynamic_name.pattern"} == set(found(talk))
    (hold,) = talk.of(schema.Hold)
    assert (HALFWAY - 3, 30.0, "left") == (hold.asked, hold.held, hold.ended)
    assert {"helo.unqualified", "dynamic_name.pattern"} == set(hold.reasons)


def test_who_is_patient_gets_through() -> None:
    """Some of them are bona fide, and their mail does; SpamAssassin finds headers in it. The second recipient waits no more."""
    talk = offer(connect("61.78.92.162", names("61.78.92.162")), "MarineGuy")
    login = "* open the MTA\n! opened\nM< 220 mta.example\nM> EHLO MarineGuy\n--\nM< 250 mta.example\n"
    talk.plays(f"! 1s\nC: RCPT TO:<ouruser@d.example>\n--\n! {HALFWAY - 4}s\n--\n! 1s\n{login}M> MAIL FROM:<fake@b.example>")
    talk.plays("M< 250 Ok\nM> RCPT TO:<ouruser@d.example>\n--\nM< 250 Ok\nS: 250 Ok")
    talk.plays("C: RCPT TO:<second@d.example>\nM> RCPT TO:<second@d.example>\n--\nM< 250 Ok\nS: 250 Ok")
    headers = (
        "M> X-Tarry-Reasons: helo.unqualified; client=[61.78.92.162]:40000; id=K3X9-0001\n"
        "M> X-HELO-unqualified: MarineGuy\nM> Subject: x"
    )
    talk.plays(DATA, MESSAGE.replace("M> Subject: x", headers))
    assert [("residual", HALFWAY - 3, "due")] == [(one.why, one.held, one.ended) for one in talk.of(schema.Hold)]


@pytest.mark.parametrize(("draw", "target"), [(0.0, 60.0), (0.25, 112.5), (0.999, 269.79)])
def test_each_client_has_a_target_of_its_own(draw: float, target: float) -> None:
    """More than 60 s, well below 300 s, and nobody's number."""
    talk = offer(connect("61.78.92.162", draw=draw), "MarineGuy")
    talk.plays("! 1s\nC: RCPT TO:<ouruser@d.example>\n--\n! FIN\n* close")
    assert [round(target - 3, 3)] == [hold.asked for hold in talk.of(schema.Hold)]


@pytest.mark.parametrize(("waited", "left"), [(0.0, HALFWAY - 3), (40.0, HALFWAY - 43), (161.5, 1.0), (280.0, 1.0)])
def test_time_spent_before_counts(waited: float, left: float) -> None:
    """Lookups and holds are part of the target; a second remains, as his recipe has it."""
    talk = offer(connect("61.78.92.162", waited=waited), "MarineGuy")
    talk.plays("! 1s\nC: RCPT TO:<ouruser@d.example>\n--\n! FIN\n* close")
    assert [left] == [hold.asked for hold in talk.of(schema.Hold)]


def test_an_honest_client_waits_for_nothing() -> None:
    """A host name with dots, and a name of its own."""
    talk = offer(connect("192.0.2.7", names("192.0.2.7", "mail.b.example")), "mail.b.example", is_delayed=False)
    assert [] == found(talk)


@pytest.mark.parametrize(
    ("known", "is_spoofed"),
    [
        ((addresses("aol.com", "198.51.100.9"), names("81.202.216.233")), True),
        ((addresses("aol.com", "198.51.100.9"), names("81.202.216.233", "cable.b.example")), True),
        ((addresses("aol.com", "81.202.216.233"), names("81.202.216.233")), False),  # the name leads to it
        ((addresses("aol.com", "198.51.100.9"), names("81.202.216.233", "aol.com")), False),  # it leads to the name
        ((names("81.202.216.233"),), False),  # no answer is no opinion
    ],
)
def test_often_forged_names(known: tuple[Answer, ...], is_spoofed: bool) -> None:
    """helo-no-jive: a name of the file dubious_helo that does not verify as Exim does it."""
    talk = offer(connect("81.202.216.233", *known), "aol.com", is_delayed=is_spoofed)
    assert (["helo.spoofed"] if is_spoofed else []) == found(talk)


@pytest.mark.parametrize(
    "helo",
    [
        "MarineGuy",
        "computer",
        "localhost",
        "a.b",
        "mail.example.org",
        "-x.y",
        "my_host.example",
        "x._y",
        "192.0.2.1",
        "a.",
        ".a",
        "a..b",
    ],
)
def test_unqualified_is_his_expression(helo: str) -> None:
    """For each of these names."""
    talk = connect("61.78.92.162", names("61.78.92.162")).plays(f"C: EHLO {helo}\n{EXTENSIONS}")
    assert ([] if HIS_HELO.match(helo) else ["helo.unqualified"]) == found(talk)


def test_an_address_in_brackets_is_qualified_here() -> None:
    """His expression takes it for unqualified; RFC 5321 asks for it where there is no name."""
    assert not HIS_HELO.match("[61.78.92.162]")
    assert [] == found(connect("61.78.92.162").plays(f"C: EHLO [61.78.92.162]\n{EXTENSIONS}"))


HOSTS = """dialup-free-349.nmsu.edu adsl-1.b.example dsl.b.example x-dsl-2.b.example dialin.b.example a.dial.b.example
dial-7.b.example sdsl1.b.example mail.b.example dialog.b.example mydsl.b.example pool-7.b.example"""


@pytest.mark.parametrize("host", HOSTS.split())
def test_host_names_are_matched_by_his_expression(host: str) -> None:
    """And by no other."""
    talk = connect("128.123.221.93", names("128.123.221.93", host))
    assert (["dynamic_name.pattern"] if HIS_HOST.search(host) else []) == found(talk)


def test_who_has_logged_in_waits_for_nothing() -> None:
    """The reasons stay in the record, and count no more."""
    talk = connect("61.78.92.162", names("61.78.92.162")).plays(f"C: EHLO MarineGuy\n{EXTENSIONS}")
    talk.plays(
        "C: AUTH PLAIN AGEAYg==\n* open the MTA\n! opened\nM< 220 mta.example\nM> EHLO MarineGuy\n--\nM< 250 mta.example\n"
        "M> AUTH PLAIN AGEAYg=="
    )
    talk.plays("M< 235 Welcome\nS: 235 Welcome")
    talk.plays("C: MAIL FROM:<a@b.example>\nM> MAIL FROM:<a@b.example>\n--\nM< 250 Ok\nS: 250 Ok")
    talk.plays("C: RCPT TO:<c@d.example>\nM> RCPT TO:<c@d.example>\n--\nM< 250 Ok\nS: 250 Ok")
    assert (["helo.unqualified"], []) == (found(talk), talk.of(schema.Hold))
