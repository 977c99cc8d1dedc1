"""helo: the name that the client gives."""

from __future__ import annotations

import re
from dataclasses import fields, replace
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tarry.checks.helo import CODES, USUAL, Helo, Options
from tarry.core.border import Answered, Arrived, Hello
from tarry.core.check import About, Seen
from tarry.core.client import Phase
from tarry.core.facts import Answer, Question, State, addresses_of, listing, names_of
from tarry.core.result import PASSED, Failed, Outcome, Unknown
from tests.checks.looking import looks, says_unknown_elsewhere

CLIENT, SERVER, NAME = "192.0.2.7", "198.51.100.25", "mx.example.org"
EVERY = Options(tests=tuple(CODES), spoofed_names=("Big.example", "other.example"), own_names=("mta.example.org",))
OF_2004 = re.compile(r"^[-a-zA-Z0-9]+\.[a-zA-Z0-9]")
"""A. Flavell's expression, for $sender_helo_name."""


def about(client: str = CLIENT, helo: str = "", verb: str = "", facts: tuple[Answer, ...] = ()) -> About:
    return About(client, SERVER, NAME, helo, verb, facts={one.question: one for one in facts})


def said(
    name: str, options: Options = EVERY, client: str = CLIENT, verb: str = "EHLO", helo: str = "", before: str = ""
) -> list[str]:
    """Return the codes of a name that is given after *helo*, which came with the verb *before*."""
    found = looks(Helo(), Hello(verb, name, 1), options, about(client, helo, before))
    assert all(isinstance(one, Failed) or (one == PASSED and len(found) == 1) for one in found)
    return [one.code for one in found if isinstance(one, Failed)]


# By looking.

TABLE: list[tuple[str, list[str]]] = [
    ("mail.example.com", []),
    ("Mail.Example.COM.", []),
    ("3com.example", []),
    ("-x.example", []),  # as in 2004
    ("a.b_c.example", []),  # it holds on at the start only
    ("MarineGuy", ["unqualified"]),  # of the log of 2004
    ("computer", ["unqualified"]),
    ("my_host.example.com", ["unqualified"]),
    ("host.", ["unqualified"]),
    ("host..example", ["unqualified"]),
    (".example", ["unqualified"]),
    ("\\xc3\\xbc.example", ["unqualified"]),
    ("192.0.2.7", ["bare_address"]),
    ("192.0.2.8", ["bare_address"]),
    ("2001:db8::7", ["unqualified", "bare_address"]),
    ("192.0.2", []),
    ("[192.0.2.7]", []),
    ("[192.0.2.8]", ["literal"]),
    ("[192.0.2.7", ["literal"]),
    ("[192.0.2.7]x", ["literal"]),
    ("[10.0.0.7]", ["literal"]),
    ("[mail.example.com]", ["literal"]),
    ("[]", ["literal"]),
    ("[IPv6:2001:db8::7]", ["literal"]),
    ("[IPv6:192.0.2.7]", ["literal"]),
    ("[IPv6:::ffff:192.0.2.7]", []),
    ("mx.example.org", ["own_name"]),
    ("MX.Example.Org.", ["own_name"]),
    ("mta.example.org", ["own_name"]),
    ("sub.mx.example.org", []),
    ("example.org", []),
    ("[198.51.100.25]", ["literal", "own_name"]),
    ("198.51.100.25", ["bare_address", "own_name"]),
    ("localhost", ["unqualified", "localhost"]),
    ("localhost.localdomain", ["localhost"]),
    ("LOCALHOST.LOCALDOMAIN", ["localhost"]),
    ("my.localhost", ["localhost"]),
    ("localhost6.localdomain6", ["localhost"]),
    ("localhost.example.com", []),
    ("mylocalhost", ["unqualified"]),
    ("127.0.0.1", ["bare_address", "localhost"]),
    ("[127.0.0.1]", ["literal", "localhost"]),
    ("[127.0.1.1]", ["literal", "localhost"]),
    ("[IPv6:::1]", ["literal", "localhost"]),
    ("WIN-K3LM9QWERTZ", ["unqualified", "netbios"]),
    ("DESKTOP-A1B2C3D", ["unqualified", "netbios"]),
    ("LAPTOP-A1B2C3D4", ["unqualified", "netbios"]),
    ("ylmf-pc", ["unqualified", "netbios"]),
    ("User", ["unqualified", "netbios"]),
    ("win-k3lm9qwertz.corp.example", []),
    ("win-win", ["unqualified"]),
    ("users", ["unqualified"]),
]


@pytest.mark.parametrize(("name", "expected"), TABLE)
def test_what_a_name_says(name: str, expected: list[str]) -> None:
    """Each test that needs no more than the name, in any case of letters."""
    assert expected == said(name)
    assert [Failed(code, name) for code in expected] == [
        one for one in looks(Helo(), Hello("EHLO", name, 1), EVERY, about()) if one != PASSED
    ]


def test_names_are_read() -> None:
    """Forms that would match nobody are told when the file is read."""
    read = {one.name: one.metadata["read"] for one in fields(Options) if one.metadata.get("read")}
    assert "aol.com" == read["spoofed_names"]("AOL.com.")
    assert "mx" == read["own_names"]("mx")
    assert "[192.0.2.7]" == read["own_names"]("[192.0.2.7]")
    for wrong in ("*.aol.com", ".aol.com", "a b", ""):
        with pytest.raises(ValueError, match="without a"):
            read["spoofed_names"](wrong)
        with pytest.raises(ValueError, match="neither"):
            read["own_names"](wrong)


@pytest.mark.parametrize(
    ("client", "name"),
    [("2001:db8::7", "[IPv6:2001:db8::7]"), ("2001:db8::7", "[ipv6:2001:DB8:0::7]"), ("2001:db8::7", "[2001:db8::7]")],
)
def test_an_ipv6_literal(client: str, name: str) -> None:
    """With its tag in any case, in any spelling, and without the tag as well."""
    assert [] == said(name, client=client)
    assert ["literal"] == said(name.replace("7]", "8]"), client=client)


@pytest.mark.parametrize("client", ["127.0.0.1", "127.9.8.7", "::1", SERVER])
@pytest.mark.parametrize("name", ["localhost.localdomain", "[127.0.0.1]", "[127.0.1.1]", "[IPv6:::1]", NAME, "mta.example.org"])
def test_this_host_may_say_so(client: str, name: str) -> None:
    """A client on this host is localhost, and has tarry's name."""
    assert [] == said(name, client=client)


@given(name=st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=40))
def test_unqualified_is_the_expression_of_2004(name: str) -> None:
    """But for literals in brackets."""
    options = Options(tests=("unqualified",))
    assert (["unqualified"] if not OF_2004.search(name) and not name.startswith("[") else []) == said(name, options)


@pytest.mark.parametrize(
    ("before", "name", "expected"),
    [
        ("", "a.example", []),
        ("a.example", "a.example", []),  # the second EHLO, after STARTTLS
        ("a.example", "A.EXAMPLE.", []),
        ("a.example", "b.example", ["changed"]),
        ("a.example", "[192.0.2.7]", ["changed"]),
    ],
)
def test_a_name_may_not_change(before: str, name: str, expected: list[str]) -> None:
    """Within a session; the same name again is usual."""
    assert expected == said(name, helo=before, before="EHLO")


def test_what_is_told_of_a_change() -> None:
    """Both names, in 100 characters."""
    assert (Failed("changed", "a.example -> b.example"),) == looks(
        Helo(), Hello("EHLO", "b.example", 2), EVERY, about(helo="a.example")
    )
    (found,) = looks(Helo(), Hello("EHLO", "b.example", 2), EVERY, about(helo="a." * 100 + "example"))
    assert Failed("changed", "a." * 50) == found


@pytest.mark.parametrize(
    ("before", "verb", "expected"),
    [
        ("", "HELO", []),
        ("", "EHLO", []),
        ("HELO", "EHLO", []),
        ("EHLO", "EHLO", []),
        ("HELO", "HELO", []),
        ("EHLO", "HELO", ["mixed"]),
    ],
)
def test_verbs_may_not_be_mixed(before: str, verb: str, expected: list[str]) -> None:
    """HELO after EHLO is; EHLO after HELO is an upgrade."""
    assert expected == said("a.example", verb=verb, helo="a.example" if before else "", before=before)


# What is tested.


@pytest.mark.parametrize("code", [code for code in CODES if code not in ("no_dns", "no_match", "spoofed", "changed", "mixed")])
def test_only_what_is_asked_for_is_found(code: str) -> None:
    """Each code alone, and all but it."""
    alone, others = (
        Options(tests=(code,), own_names=EVERY.own_names),
        replace(EVERY, tests=tuple(one for one in CODES if one != code)),
    )
    for name, expected in TABLE:
        assert [one for one in expected if one == code] == said(name, alone)
        assert [one for one in expected if one != code] == said(name, others)


def test_the_usual_tests() -> None:
    """One word for those that are made by default, to which others can be added."""
    assert frozenset(USUAL) == Options().made
    assert frozenset((*USUAL, "mixed")) == Options(tests=("mixed", "usual")).made
    assert frozenset({"mixed"}) == Options(tests=("mixed",)).made
    for name, expected in TABLE:
        assert [code for code in expected if code in USUAL] == said(name, Options(own_names=EVERY.own_names))


HONEST = [
    "mail-lf1-f41.google.com",
    "mail-eopbgr80041.outbound.protection.outlook.com",
    "EUR05-DB8-obe.outbound.protection.outlook.com",
    "a8-31.smtp-out.amazonses.com",
    "out3-smtp.messagingengine.com",
    "mout.gmx.net",
    "o1.ptr1234.sendgrid.net",
    "postfix.example.org",
    "exim.example.org",
    "opensmtpd.example.org",
    "sendmail.example.org",
    "client.example",
    "[192.0.2.7]",
    "vm",
    "a3f9c1d20b7e",
    "my_host.corp.example",
]


@pytest.mark.parametrize("name", HONEST)
def test_honest_names_pass_by_default(name: str) -> None:
    """Those of large senders, of the servers of tests/e2e, of scripts in containers; twice, with STARTTLS in between."""
    assert [] == said(name, Options())
    assert [] == said(name, Options(), helo=name, before="EHLO")


# By asking.


def found_addresses(*values: str, name: str = "mail.example.com") -> Answer:
    return Answer(addresses_of(name), State.FOUND if values else State.NOTHING, values)


def found_names(*values: str, confirmed: int = 1) -> Answer:
    return Answer(names_of(CLIENT), State.FOUND if values else State.NOTHING, values, min(confirmed, len(values)))


def unknown(question: Question) -> Answer:
    return Answer(question, State.UNKNOWN, why="SERVFAIL")


ADDRESSES, NAMES = addresses_of("mail.example.com"), names_of(CLIENT)

ASKED: list[tuple[str, Answer, Answer, list[str]]] = [
    # The name has the client's address.
    ("mail.example.com", found_addresses(CLIENT), found_names(), []),
    ("mail.example.com", found_addresses("2001:db8::1", CLIENT), found_names("other.test"), []),
    ("mail.example.com", found_addresses(f"::ffff:{CLIENT}"), found_names(), []),
    # It has none.
    ("mail.example.com", found_addresses(), found_names("mail.example.com"), ["no_dns"]),
    ("mail.example.com", found_addresses(), found_names(), ["no_dns"]),
    # It has others.
    ("mail.example.com", found_addresses("192.0.2.8"), found_names(), ["no_match"]),
    ("mail.example.com", found_addresses("192.0.2.8"), found_names("out3.example.com"), []),
    ("Mail.Example.Com.", found_addresses("192.0.2.8"), found_names("mail.example.com"), []),
    ("mail.example.com", found_addresses("192.0.2.8"), found_names("mail.example.com", confirmed=0), ["no_match"]),
    ("mail.example.com", found_addresses("192.0.2.8"), found_names("a.test", "b.example.com", confirmed=1), ["no_match"]),
    ("mail.example.com", found_addresses("192.0.2.8"), found_names("a.test", "b.example.com", confirmed=2), []),
    ("mail.example.com", found_addresses("192.0.2.8"), found_names("mail.example.net"), ["no_match"]),
    # It is often forged.
    ("big.example", found_addresses(CLIENT, name="big.example"), found_names(), []),
    ("big.example", found_addresses("192.0.2.8", name="big.example"), found_names("big.example"), []),
    (
        "big.example",
        found_addresses("192.0.2.8", name="big.example"),
        found_names("big.example", confirmed=0),
        ["no_match", "spoofed"],
    ),
    ("big.example", found_addresses("192.0.2.8", name="big.example"), found_names("out.big.example"), ["spoofed"]),
    ("mx.BIG.example", found_addresses("192.0.2.8", name="mx.big.example"), found_names("out.big.example"), ["spoofed"]),
    ("big.example", found_addresses(name="big.example"), found_names(), ["no_dns", "spoofed"]),
    ("verybig.example", found_addresses("192.0.2.8", name="verybig.example"), found_names("verybig.example"), []),
    # Nobody knows.
    ("mail.example.com", unknown(ADDRESSES), found_names(), []),
    ("mail.example.com", found_addresses("192.0.2.8"), unknown(NAMES), []),
    ("mail.example.com", found_addresses(), unknown(NAMES), ["no_dns"]),
    ("big.example", found_addresses("192.0.2.8", name="big.example"), unknown(NAMES), []),
    ("big.example", unknown(addresses_of("big.example")), found_names(), []),
]


@pytest.mark.parametrize(("name", "addresses", "names", "expected"), ASKED, ids=repr)
def test_what_answers_say(name: str, addresses: Answer, names: Answer, expected: list[str]) -> None:
    """In whatever order they come; and at the next EHLO what is known is not waited for."""
    for order in permutations((addresses, names)):
        outcomes: set[Outcome] = set()
        for count in (1, 2):
            outcomes |= set(looks(Helo(), Answered(order[count - 1]), EVERY, about(helo=name, verb="EHLO", facts=order[:count])))
        assert set(expected) == {one.code for one in outcomes if isinstance(one, Failed)}
        unanswered = [one for one in order if one.state is State.UNKNOWN]
        assert [f"{one.question.source} of {one.question.name}: SERVFAIL" for one in unanswered] == [
            one.why for one in outcomes if isinstance(one, Unknown)
        ]
        assert (PASSED in outcomes) == (not expected and not unanswered)
    again = looks(Helo(), Hello("EHLO", name, 2), EVERY, about(helo=name, verb="EHLO", facts=(addresses, names)))
    assert expected == [one.code for one in again if isinstance(one, Failed)]


def test_what_is_not_the_clients_is_not_looked_at() -> None:
    """The answer about a name that it gave before, about somebody else, or of another check; or before it gave any."""
    for question in (addresses_of("old.example.com"), names_of("192.0.2.8"), listing(CLIENT, "bl.example")):
        answer = Answer(question, State.NOTHING)
        assert () == looks(Helo(), Answered(answer), EVERY, about(helo="mail.example.com", facts=(answer,)))
    assert () == looks(Helo(), Answered(found_names()), EVERY, about(facts=(found_names(),)))


@pytest.mark.parametrize("name", ["[192.0.2.7]", "[192.0.2.8]", "bigone"])
def test_a_spoofed_name_need_not_be_a_host_name(name: str) -> None:
    """The client's own literal is cleared; what the DNS cannot have is not waited for."""
    options = Options(tests=("spoofed",), spoofed_names=("[192.0.2.7]", "[192.0.2.8]", "bigone"))
    assert ([] if CLIENT in name else ["spoofed"]) == said(name, options)
    assert () == Helo().asks(Seen(Hello("EHLO", name, 1), Phase.HELO, 0.0, about()), options)


BOTH = (ADDRESSES, NAMES)


@pytest.mark.parametrize(
    ("tests", "name", "expected"),
    [
        (("no_dns",), "mail.example.com", (ADDRESSES,)),
        (("no_match",), "Mail.Example.com.", BOTH),
        (("no_dns", "no_match"), "mail.example.com", BOTH),
        (("spoofed",), "mail.example.com", ()),
        (("spoofed",), "mx.big.example", (addresses_of("mx.big.example"), NAMES)),
        (("unqualified", "changed", "literal"), "big.example", ()),
        (tuple(CODES), "localhost", ()),
        (tuple(CODES), "[192.0.2.7]", ()),
        (tuple(CODES), "192.0.2.7", ()),
        (tuple(CODES), "a b.example", ()),
    ],
)
def test_what_it_asks(tests: tuple[str, ...], name: str, expected: tuple[Question, ...]) -> None:
    """Only what a test needs that is made, and only about what could be a host name; at EHLO and HELO."""
    options = replace(EVERY, tests=tests)
    assert expected == Helo().asks(Seen(Hello("EHLO", name, 1), Phase.HELO, 0.0, about()), options)
    assert () == Helo().asks(Seen(Arrived(), Phase.CONNECT, 0.0, about()), options)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (Options(), False),
        (Options(spoofed_names=("big.example",)), True),
        (Options(tests=("unqualified",), spoofed_names=("big.example",)), False),
        (Options(tests=("no_dns",)), True),
        (Options(tests=("no_match",)), True),
        (Options(tests=()), False),
        (Options(tests=("usual", "no_dns")), True),
    ],
)
def test_by_default_it_has_nothing_to_ask(options: Options, expected: bool) -> None:
    """Nothing is looked up until the operator says so."""
    assert expected is Helo().may_ask(options)


def test_its_codes() -> None:
    """Each declared code can be had, and no other; elsewhere it says unknown."""
    by_looking = {code for _, codes in TABLE for code in codes}
    by_asking = {code for *_, codes in ASKED for code in codes}
    assert set(Helo.codes) == by_looking | by_asking | {"changed", "mixed"}
    assert says_unknown_elsewhere(Helo())
