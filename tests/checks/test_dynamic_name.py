"""dynamic_name: names of lines that are given to whoever comes."""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tarry.checks.dynamic_name import DynamicName, Options, looks_rented
from tarry.core.border import Answered, Arrived, Hello
from tarry.core.check import About, Seen, Settings
from tarry.core.client import Phase
from tarry.core.facts import Answer, State, addresses_of, names_of
from tarry.core.result import PASSED, Action, Failed, Outcome, Unknown
from tests.checks.looking import codes, looks, says_unknown_elsewhere

V4, V6 = "192.0.2.7", "2001:db8::7:42"
OF_2004 = re.compile(r"(^|\W)(a?dsl|dial(up|in|\.|-))")
"""A. Flavell's expression, for $sender_host_name."""


def found(*names: str, client: str = V4, options: Options | None = None, state: State = State.FOUND) -> tuple[Outcome, ...]:
    answer = Answer(names_of(client), state if names or state is State.UNKNOWN else State.NOTHING, names, why="SERVFAIL")
    return looks(DynamicName(), Answered(answer), options or Options(), About(client))


def codes_of(*names: str, client: str = V4, options: Options | None = None) -> list[str]:
    return [one.code for one in found(*names, client=client, options=options) if isinstance(one, Failed)]


PATTERN, DIGITS, NONE = ["pattern"], ["digits"], list[str]()

TABLE: list[tuple[str, list[str]]] = [
    # Lines.
    ("dialup-free-349.nmsu.edu", PATTERN),  # of the log of 2004
    ("dsl-081.isp.example", PATTERN),
    ("adsl.isp.example", PATTERN),
    ("host5.adsl2.isp.example", PATTERN),
    ("dsl081-071.sfo1.dsl.isp.example", PATTERN),
    ("vdsl12.isp.example", PATTERN),
    ("dial.isp.example.net", PATTERN),
    ("dial-7.isp.example.net", PATTERN),
    ("dialin7.isp.example.net", PATTERN),
    ("ppp071.isp.example", PATTERN),
    ("pool-71-2.bos.isp.example.net", PATTERN),
    ("dyn.isp.example.net", PATTERN),
    ("p4.dynamic.isp.example", PATTERN),
    ("71.dhcp.isp.example", PATTERN),
    ("cable-71.isp.example", PATTERN),
    ("cablemodem.isp.example.net", PATTERN),
    ("catv-71.isp.example", PATTERN),
    ("71.cust.isp.example", PATTERN),
    ("customer-71.isp.example", PATTERN),
    ("broadband-71.isp.example", PATTERN),
    ("71.ftth.isp.example", PATTERN),
    ("cpe.fttb.isp.example", PATTERN),
    ("cpe-71.hsd1.ca.isp.example", PATTERN),
    ("adsl.isp.co.uk", PATTERN),
    ("DSL-71.ISP.Example", PATTERN),
    # Lines, by their number.
    ("192-0-2-7.isp.example", DIGITS),
    ("ip192.0.2.7.isp.example", DIGITS),
    ("7.2.0.192.isp.example", DIGITS),
    ("host-7-2-0-192.isp.example", DIGITS),
    ("192x0x2x7.isp.example", DIGITS),
    ("192_0_2_7.isp.example", DIGITS),
    ("192-000-002-007.isp.example", DIGITS),
    ("5-192-0-2-7.isp.example", DIGITS),
    ("ip192000002007.isp.example", DIGITS),
    ("007002000192.isp.example", DIGITS),
    ("pc0000207.dip0.isp.example", DIGITS),
    ("070200c0.isp.example", DIGITS),
    ("c0-00-02-07.isp.example", DIGITS),
    ("3221225991.isp.example", DIGITS),
    ("ec2-192-0-2-7.compute-1.isp.example", DIGITS),
    ("dsl-192-0-2-7.isp.example", [*PATTERN, *DIGITS]),
    ("7.2.0.192.dynamic.isp.co.uk", [*PATTERN, *DIGITS]),
    # Servers.
    ("mail.example.com", NONE),
    ("mx1.dsl.example", NONE),
    ("mail.cable.example", NONE),
    ("www.pool.example", NONE),
    ("host.dialup.co.uk", NONE),
    ("mail-pool-7.example.com", NONE),
    ("pool7.smtp-out.example.com", NONE),
    ("out-71.dyn.example.com", NONE),
    ("relay.customer.example.com", NONE),
    ("mta-192-0-2-7.example.com", NONE),
    ("mailout.192-0-2-7.example.com", NONE),
    ("static.7.2.0.192.clients.hoster.example", NONE),
    ("static-adsl-192-0-2-7.isp.example", NONE),
    ("fixed-192-0-2-7.isp.example", NONE),
    ("o7.ptr1234.sender.example.com", NONE),
    ("carpool.example.com", NONE),
    ("dynamo.example.com", NONE),
    ("customs.gov.example.org", NONE),
    ("poolside.example.com", NONE),
    ("modeling.example.com", NONE),
    ("radial-7.example.com", NONE),
    ("192-0-2.isp.example", NONE),
    ("192-0-2-8.isp.example", NONE),
    ("192-0-2-71.isp.example", NONE),
    ("1192-0-2-7.isp.example", NONE),
    ("ac0000207.isp.example", NONE),
    ("c00002071.isp.example", NONE),
    ("13221225991.isp.example", NONE),
    ("0192000002007.isp.example", NONE),
    ("", NONE),
    ("home.example.com", NONE),
    ("localhost", NONE),
]


@pytest.mark.parametrize(("name", "expected"), TABLE)
def test_what_a_name_says(name: str, expected: list[str]) -> None:
    """Words of lines, and the address in it; and what looks alike and is a server."""
    assert expected == codes_of(name)


@pytest.mark.parametrize(
    "name",
    [
        "2001-db8--7-42.isp.example",
        "2001-db8-0-0-0-0-7-42.isp.example",
        "2001-0db8-0000-0000-0000-0000-0007-0042.isp.example",
        "20010db8000000000000000000070042.isp.example",
        "2.4.0.0.7.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.isp.example",
        "2001.db8.0.0.0.0.7.42.isp.example",
    ],
)
def test_an_ipv6_address_in_a_name(name: str) -> None:
    """As groups, shortened or not, and as nibbles either way round."""
    assert DIGITS == codes_of(name, client=V6)
    assert NONE == codes_of(name, client="2001:db8::7:43")


def test_what_is_told() -> None:
    """The first name that says so, escaped and cut."""
    assert (Failed("pattern", "dsl7.isp.example"),) == found("dsl7.isp.example", "dsl8.isp.example")
    assert (Failed("pattern", "d.dsl\\x07." + "x" * 90),) == found("d.dsl\x07." + "x" * 99 + ".example.com")


def test_one_name_that_looks_like_a_servers_speaks_for_the_client() -> None:
    """All of its names must look dynamic."""
    assert (PASSED,) == found("dsl7.isp.example", "mail.example.com")
    assert ["digits", "pattern"] == codes_of("192-0-2-7.isp.example", "dsl7.isp.example")


def test_a_client_without_an_address_has_no_digits() -> None:
    """Words count all the same."""
    assert (PATTERN, NONE) == (codes_of("dsl7.isp.example", client="unix"), codes_of("192-0-2-7.isp.example", client="unix"))


def test_no_names_are_not_dynamic_names() -> None:
    """It is ptr's to say that there are none; and no answer is no opinion."""
    assert (PASSED,) == found()
    assert (Unknown("names: SERVFAIL"),) == found(state=State.UNKNOWN)


def test_the_operators_patterns() -> None:
    """They are found anywhere in the name, also in one with a mail server's word; builtin = false leaves nothing but them."""
    patterns = (re.compile(r"^w\d+\.", re.ASCII), re.compile("snail"))
    mine = Options(patterns=patterns, builtin=False)
    assert PATTERN == codes_of("w71.example.com", options=mine)
    assert PATTERN == codes_of("mx.snail-mail.example.com", options=mine)
    assert NONE == codes_of("dsl7.isp.example", options=mine)
    assert DIGITS == codes_of("192-0-2-7.isp.example", options=mine)
    assert PATTERN == codes_of("dsl7.isp.example", options=Options(patterns=patterns))


@given(
    before=st.text("ab1-.", max_size=5),
    word=st.sampled_from(("dsl", "adsl", "dialup", "dialin", "dial.", "dial-")),
    behind=st.text("ab1-.", max_size=5),
)
def test_whatever_the_expression_of_2004_finds_is_found(before: str, word: str, behind: str) -> None:
    """Left of the owner's domain, and without a mail server's word."""
    lines = f"{before}{word}{behind}"
    assert OF_2004.search(lines) is None or PATTERN == codes_of(f"{lines}.isp.example")


@given(
    address=st.ip_addresses(v=4),
    form=st.sampled_from(("{}", "ip-{}", "{}.isp")),
    is_reversed=st.booleans(),
    mark=st.sampled_from(".-_x"),
)
def test_any_address_is_found_in_a_name(address: IPv4Address, form: str, is_reversed: bool, mark: str) -> None:
    """As its octets either way round."""
    octets = [str(octet) for octet in address.packed]
    name = form.format(mark.join(octets[::-1] if is_reversed else octets)) + ".isp.example"
    assert "digits" in codes_of(name, client=str(address))


@given(address=st.ip_addresses(), name=st.text(max_size=100) | st.text("0123456789abcdef.-x", max_size=60))
def test_any_name_is_judged(address: IPv4Address | IPv6Address, name: str) -> None:
    """Nothing raises, and the address is found only where its digits are."""
    found_codes = codes_of(name, client=str(address))
    digits = {char for char in name.lower() if char in "0123456789abcdef"}
    if "digits" in found_codes:
        assert digits
        assert ip_address(str(address)).version == 6 or len([char for char in name if char in "0123456789abcdefABCDEF"]) >= 4


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("static.7.2.0.192.clients.hoster.example", True),
        ("mail-192-0-2-7.isp.example", True),
        ("static.isp.example", True),
        ("vmi123456.hoster.example", True),
        ("vps-ab12cd.vps.hoster.example", True),
        ("mx1.customer.hoster.example", True),
        ("dsl-7.isp.example", True),
        ("mail.vps.example", False),
        ("mail-pool3.sender.example", False),
        ("o7.outbound-mail.sender.example", False),
        ("MX1.Sender.Example", False),
    ],
)
def test_who_does_not_answer_for_the_domain(name: str, expected: bool) -> None:
    """Customers of the provider, also those with a fixed address, who would else be greeted for what the others did."""
    assert expected == looks_rented(name, V4)


def test_what_it_asks() -> None:
    """The names of the client, when it arrives; nothing about a client without an address."""
    assert (names_of(V4),) == DynamicName().asks(Seen(Arrived(), Phase.CONNECT, 0.0, About(V4)), Options())
    assert () == DynamicName().asks(Seen(Arrived(), Phase.CONNECT, 0.0, About()), Options())
    assert () == DynamicName().asks(Seen(Hello("EHLO", "x.example", 1), Phase.HELO, 0.0, About(V4)), Options())


def test_the_answers_to_others_are_not_looked_at() -> None:
    """Only the names of this client."""
    for question in (names_of("192.0.2.8"), addresses_of("dsl.isp.example")):
        answer = Answer(question, State.FOUND, ("dsl7.isp.example",))
        assert () == looks(DynamicName(), Answered(answer), about=About(V4))


def test_it_is_ignored_by_default() -> None:
    """So that nobody's names are looked up unasked."""
    assert Settings(action=Action.IGNORE) == DynamicName.settings


def test_its_codes() -> None:
    """Each declared code can be had, and no other; elsewhere it says unknown."""
    assert set(DynamicName.codes) == {code for _, found_codes in TABLE for code in found_codes}
    assert set() == codes([])
    assert says_unknown_elsewhere(DynamicName())
