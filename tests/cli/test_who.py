"""What a person calls a client."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tarry.cli.who import is_within, network_of, who
from tarry.core.history import key_of


@pytest.mark.parametrize(
    ("text", "what", "key"),
    [
        ("192.0.2.7", "192.0.2.7", "192.0.2.7"),
        ("192.0.2.7/32", "192.0.2.7", "192.0.2.7"),
        (" [192.0.2.7] ", "192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7", "192.0.2.7"),
        ("192.0.2.0/24", "192.0.2.0/24", ""),
        ("192.0.2.7/24", "192.0.2.0/24", ""),
        ("2001:DB8::7", "2001:db8::/64", "2001:db8::/64"),
        ("2001:db8::7%eth0", "2001:db8::/64", "2001:db8::/64"),
        ("2001:db8::/64", "2001:db8::/64", "2001:db8::/64"),
        ("2001:db8::7/128", "2001:db8::7", "2001:db8::/64"),
        ("2001:db8::/32", "2001:db8::/32", ""),
        ("example.org", "example.org", "example.org"),
        ("Mail.Example.Co.UK.", "example.co.uk", "example.co.uk"),
    ],
)
def test_what_is_meant(text: str, what: str, key: str) -> None:
    """Addresses, networks and domains, each in one form."""
    found = who(text)
    assert (what, key) == (found.what, found.key)
    assert what == who(found.what if not found.what.endswith("::7") else f"{found.what}/128").what


@pytest.mark.parametrize(
    ("text", "note"),
    [
        ("2001:db8::7", "an IPv6 client is known by its /64: 2001:db8::/64"),
        ("2001:db8::7/128", "what is remembered of an IPv6 client is remembered of its /64: 2001:db8::/64"),
        ("192.0.2.7/24", "192.0.2.7/24 has bits set right of its prefix, and is taken for 192.0.2.0/24"),
        ("mail.example.org", "what is remembered of a domain is remembered of the one that was registered: example.org"),
    ],
)
def test_what_was_made_of_it_is_told(text: str, note: str) -> None:
    """Where more or other is meant than was written."""
    assert (note,) == who(text).notes


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("localhost", '"localhost" is no address, network or domain: write 192.0.2.7, 2001:db8::/64 or example.org'),
        ("", '"" is no address, network or domain'),
        ("a\x1b[1m", '"a\\u001b[1m" is no address, network or domain'),
        ("10.0", '"10.0" is not a network; write all four numbers: "10.0.0.0/16"'),
        ("192.0.2.0/33", '"192.0.2.0/33" is not a network; write an address'),
        ("example.org/24", '"example.org/24" is not a network'),
    ],
)
def test_what_is_nobody(text: str, told: str) -> None:
    """Told with what to write."""
    with pytest.raises(ValueError, match=re.escape(told)):
        who(text)


def test_who_is_meant_by_a_key() -> None:
    """A client is its key; a network has the keys of all that lie in it, and domains have none but their own."""
    assert [True, False] == [who("192.0.2.7").has(key) for key in ("192.0.2.7", "192.0.2.8")]
    assert [True, False, False] == [who("192.0.2.0/24").has(key) for key in ("192.0.2.7", "192.0.3.7", "example.org")]
    assert [True, False] == [who("2001:db8::/32").has(key) for key in ("2001:db8:7::/64", "192.0.2.7")]
    assert [True, False] == [who("example.org").has(key) for key in ("example.org", "192.0.2.7")]


def test_networks_within() -> None:
    """Only of the same kind."""
    v4, v6 = network_of("192.0.2.0/24"), network_of("2001:db8::/32")
    assert v4 is not None and v6 is not None
    assert [True, False, False, True] == [is_within(a, b) for a in (v4, v6) for b in (v4, v6)]
    assert None is network_of("example.org")


@given(st.ip_addresses())
def test_an_address_is_its_key(address: object) -> None:
    """What the store has it under."""
    assert key_of(str(address)) == who(str(address)).key
