"""What may stand in a query, and what may be believed of a reply."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tarry.dns.names import host_name, query_name, reverse_name

LONGEST = ".".join(["a" * 63] * 3 + ["b" * 61])


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("mail.example.org", "mail.example.org"),
        ("Mail.Example.org.", "Mail.Example.org"),
        ("2.0.0.127.zen.example", "2.0.0.127.zen.example"),
        ("localhost", "localhost"),
        ("_dmarc.a-b.example", "_dmarc.a-b.example"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("日本。example", "xn--wgv71a.example"),
        (LONGEST, LONGEST),
        (LONGEST + "b", ""),
        ("a" * 63 + ".example", "a" * 63 + ".example"),
        ("a" * 64 + ".example", ""),
        ("ü" * 70 + ".example", ""),
        ("", ""),
        (".", ""),
        ("a..b", ""),
        (".a", ""),
        ("a..", ""),
        ("ü..b", ""),
        ("a b.example", ""),
        ("a\\.b.example", ""),
        ("a\n.example", ""),
        ("example\n", ""),
        ("a\x00.example", ""),
        ("[192.0.2.1]", ""),
        ("2001:db8::1", ""),
        ("\udcff.example", ""),
    ],
)
def test_a_name_goes_out_in_ascii_or_not_at_all(name: str, expected: str) -> None:
    """Labels of 1 to 63 characters, 253 in all, letters, digits, hyphens and underscores; other scripts by IDNA."""
    assert expected == query_name(name)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Mail.Example.ORG", "mail.example.org"),
        ("mail.example.org.", "mail.example.org"),
        ("host_1.example", "host_1.example"),
        ("<b>.example", ""),
        ("a\\.b.example", ""),
        ("a\\010.example", ""),
        ("a b.example", ""),
        ("a\r\n550 x", ""),
        ("a\x1b[2J", ""),
        (b"\xff.example", ""),
        ("ü.example", ""),
        ("", ""),
        (LONGEST + "b", ""),
    ],
)
def test_a_name_of_a_reply_is_a_host_name_or_nothing(name: str | bytes, expected: str) -> None:
    """What is no printable host name is dropped, whatever c-ares makes of it."""
    assert expected == host_name(name)


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("192.0.2.7", "7.2.0.192.in-addr.arpa"),
        ("2001:db8::1", "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa"),
        ("", ""),
        ("unix", ""),
        ("192.0.2", ""),
    ],
)
def test_where_the_names_of_an_address_are_kept(address: str, expected: str) -> None:
    """In in-addr.arpa or ip6.arpa; what is no address has none."""
    assert expected == reverse_name(address)


@given(st.text(max_size=300) | st.text("a.é-\\", max_size=300))
def test_any_text_may_be_given(text: str) -> None:
    """Nothing is raised, and what comes out is a name that a query can carry."""
    for name in (query_name(text), host_name(text)):
        assert len(name) <= 253
        assert not name or re.fullmatch(r"[A-Za-z0-9_.-]+", name)
        assert not name or all(1 <= len(label) <= 63 for label in name.split("."))
    reverse_name(text)
