"""rhsbl: the sender's domain in DNS lists of domains."""

from __future__ import annotations

from itertools import permutations

import pytest

from tarry.checks.rhsbl import Options, Rhsbl
from tarry.checks.values.zone import Answers, Zone
from tarry.core.border import Answered, Arrived, Sender
from tarry.core.check import About, Seen
from tarry.core.client import Phase
from tarry.core.facts import Answer, State, domain_listing, listing
from tarry.core.result import PASSED, Failed, Outcome, Unknown
from tests.checks.looking import codes, looks, says_unknown_elsewhere

SENDER, DOMAIN = "a@Spam.Example", "spam.example"
A, B, GOOD = "a.example", "b.example", "good.example"
OPTIONS = Options(
    zones=(
        Zone(zone=A, answers=Answers("127.0.1.2..99"), weight=3.0),
        Zone(zone=f"key.{B}", name="B"),
        Zone(zone=GOOD, weight=-2.0),
    )
)


def answer(zone: str, *values: str, state: State | None = None, why: str = "", domain: str = DOMAIN) -> Answer:
    return Answer(domain_listing(domain, zone), state or (State.FOUND if values else State.NOTHING), values, why=why)


def found(*answers: Answer, sender: str | None = SENDER) -> tuple[Outcome, ...]:
    """Return what the check finds in the last of the answers, with all of them known."""
    facts = {one.question: one for one in answers}
    return looks(Rhsbl(), Answered(answers[-1]), OPTIONS, About("192.0.2.7", sender=sender, facts=facts))


TABLE: list[tuple[Answer, Outcome | None]] = [
    (answer(A, "127.0.1.4"), Failed("listed", f"{A}=127.0.1.4", A, 3.0)),
    (answer(A, "127.0.0.2"), None),
    (answer(A), None),
    (answer(f"key.{B}", "127.0.0.2"), Failed("listed", "B=127.0.0.2", "B", 1.0)),
    (answer(GOOD, "127.0.1.2"), Failed("allowed", f"{GOOD}=127.0.1.2", GOOD, -2.0)),
    (answer(A, "127.255.255.254"), Unknown(f"{A} answers 127.255.255.254: an error code, not a listing")),
    (answer(A, "198.51.100.9"), Unknown(f"{A} answers 198.51.100.9: not in 127.0.0.0/8, so no listing")),
    (answer(A, state=State.UNKNOWN, why="REFUSED"), Unknown(f"{A}: REFUSED")),
]


@pytest.mark.parametrize(("one", "outcome"), TABLE, ids=repr)
def test_what_one_answer_says(one: Answer, outcome: Outcome | None) -> None:
    """A listing fails at once; where nothing is listed the check waits for the other zones; no answer is unknown."""
    assert (() if outcome is None else (outcome,)) == found(one)


def test_it_passes_when_no_zone_lists_the_domain() -> None:
    """With the last answer, in whatever order they come."""
    for order in permutations((answer(A), answer(f"key.{B}"), answer(GOOD))):
        assert [(), (), (PASSED,)] == [found(*order[: count + 1]) for count in range(3)]


@pytest.mark.parametrize("sender", [None, "", "a@other.example", "a@[192.0.2.7]"])
def test_the_answer_about_another_sender_is_not_held_against_this_one(sender: str | None) -> None:
    """It came too late: the client has gone on to another message."""
    assert () == found(answer(A, "127.0.1.4"), sender=sender)


def test_the_answer_about_an_address_is_another_checks() -> None:
    """Also in the same zone."""
    assert () == found(Answer(listing("192.0.2.7", A), State.FOUND, ("127.0.1.4",)))


@pytest.mark.parametrize(
    ("known", "expected"),
    [
        ((answer(A, "127.0.1.4"),), (Failed("listed", f"{A}=127.0.1.4", A, 3.0),)),
        (
            (answer(A, "127.0.1.4"), answer(GOOD, "127.0.0.2")),
            (Failed("listed", f"{A}=127.0.1.4", A, 3.0), Failed("allowed", f"{GOOD}=127.0.0.2", GOOD, -2.0)),
        ),
        ((answer(A),), ()),
        ((answer(A, state=State.UNKNOWN, why="timeout"), answer(f"key.{B}", "127.255.255.252")), ()),
        ((answer(A, "127.0.1.4", domain="other.example"),), ()),
        ((), ()),
    ],
)  # fmt: skip
def test_what_is_known_already_is_not_waited_for(known: tuple[Answer, ...], expected: tuple[Outcome, ...]) -> None:
    """A domain that was asked about for an earlier message is found at MAIL, since it is not asked about again."""
    facts = {one.question: one for one in known}
    assert expected == looks(Rhsbl(), Sender("b@spam.example"), OPTIONS, About("192.0.2.7", facts=facts))


@pytest.mark.parametrize(
    ("address", "domain"),
    [
        ("a@spam.example", "spam.example"),
        ("a@Spam.Example.", "spam.example"),
        ("@relay.example:a@spam.example", "spam.example"),
        ('"a@b"@spam.example', "spam.example"),
        ("a@x_y.spam-1.example", "x_y.spam-1.example"),
        ("a@xn--bcher-kva.example", "xn--bcher-kva.example"),
        ("", ""),
        ("a", ""),
        ("a@", ""),
        ("a@example", ""),
        ("a@[192.0.2.7]", ""),
        ("a@[IPv6:2001:db8::7]", ""),
        ("a@192.0.2.7", ""),
        ("a@spam..example", ""),
        ("a@.example", ""),
        ("a@spam.example ", ""),
        ("a@b\\xc3\\xbccher.example", ""),
        ("a@" + "x" * 64 + ".example", ""),
        ("a@" + "x." * 122 + "example", ""),
    ],
)
def test_what_it_asks(address: str, domain: str) -> None:
    """The domain in each zone once, in lower case; nothing about what is no domain."""
    asked = Rhsbl().asks(Seen(Sender(address), Phase.MAIL, 1.0), OPTIONS)
    assert ([f"{domain}.{zone}" for zone in (A, f"key.{B}", GOOD)] if domain else []) == [question.name for question in asked]


def test_nothing_is_asked_otherwise() -> None:
    """Before MAIL, or by default, where there are no zones."""
    assert () == Rhsbl().asks(Seen(Arrived(), Phase.CONNECT, 0.0, About(sender=SENDER)), OPTIONS)
    assert () == Rhsbl().asks(Seen(Sender(SENDER), Phase.MAIL, 1.0), Options())
    assert (False, True) == (Rhsbl().may_ask(Options()), Rhsbl().may_ask(OPTIONS))


def test_its_codes() -> None:
    """Each declared code can be had, and no other; elsewhere it says unknown."""
    assert set(Rhsbl.codes) == codes(TABLE)
    assert says_unknown_elsewhere(Rhsbl())
