"""Addresses in one form, the key they are counted under, and the phases."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tarry.core.client import Client, Endpoint, Phase, count_key, normal, parse


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("::FFFF:192.0.2.7", "192.0.2.7"),
        ("::ffff:c000:207", "192.0.2.7"),
        ("0:0:0:0:0:ffff:192.0.2.7", "192.0.2.7"),
        ("2001:DB8:0:0::7", "2001:db8::7"),
        ("fe80::1%eth0", "fe80::1"),
        ("::1", "::1"),
        ("::", "::"),
        ("", ""),
        ("/run/tarry.sock", "/run/tarry.sock"),
        ("/run/a:b%c", "/run/a:b%c"),
        ("mail.example.org", "mail.example.org"),
    ],
)
def test_a_host_in_its_one_form(host: str, expected: str) -> None:
    """IPv4-mapped as IPv4, no scope id, lower case and shortest; what is no address is left alone."""
    assert expected == normal(host)


@given(address=st.ip_addresses())
def test_normal_is_a_form(address: IPv4Address | IPv6Address) -> None:
    """Normal of normal is normal, both spellings of an IPv6 address have one, and it can be parsed."""
    host = normal(str(address))
    assert host == normal(host) == normal(address.exploded) == normal(str(address).upper())
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    assert (mapped or address) == parse(host)


@given(address=st.ip_addresses(v=4).map(str))
def test_a_mapped_address_is_its_ipv4_address(address: str) -> None:
    """One client has one form, whichever kind of socket it came in by."""
    assert address == normal(f"::ffff:{address}") == normal(str(ip_address(f"::ffff:{address}")))


@given(host=st.text(max_size=20))
def test_any_text_has_a_normal_form(host: str) -> None:
    """Arbitrary text never raises."""
    normal(host)
    assert parse(host) is None or str(parse(host))


@pytest.mark.parametrize("host", ["", "/run/tarry.sock", "mail.example.org", "192.0.2.256", "1:2:3"])
def test_what_is_no_address_parses_to_none(host: str) -> None:
    """A Unix socket's name is not an address."""
    assert parse(host) is None


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("192.0.2.7", "192.0.2.7", True),
        ("192.0.2.7", "192.0.2.8", False),
        ("2001:db8:0:1::7", "2001:db8:0:1:ffff::8", True),
        ("2001:db8:0:1::7", "2001:db8:0:2::7", False),
    ],
)
def test_clients_are_counted_by_address_or_by_64(one: str, other: str, same: bool) -> None:
    """An IPv4 address counts by itself, an IPv6 address with its /64."""
    assert same == (count_key(ip_address(one).packed) == count_key(ip_address(other).packed))


@pytest.mark.parametrize(
    ("endpoint", "text"), [(Endpoint("192.0.2.7", 25), "192.0.2.7:25"), (Endpoint("2001:db8::7", 25), "[2001:db8::7]:25")]
)
def test_an_endpoint_as_text(endpoint: Endpoint, text: str) -> None:
    """An IPv6 address stands in brackets before its port."""
    assert text == str(endpoint)


def test_a_client_is_its_endpoint_and_not_its_proxy() -> None:
    """The address is that of the client, also where a proxy announced it."""
    client = Client(Endpoint("192.0.2.7", 40000), Endpoint("198.51.100.1", 25), via=Endpoint("203.0.113.5", 6000))
    assert "192.0.2.7" == client.address


def test_phases_are_ordered_as_a_session_goes() -> None:
    """ "At RCPT or later" is a comparison; the words are those of config files and records."""
    words = ["connect", "hold", "greeted", "helo", "mail", "rcpt", "data", "message", "closed"]
    assert words == [phase.word for phase in sorted(Phase)]
