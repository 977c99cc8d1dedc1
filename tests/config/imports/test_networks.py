"""Networks as old configurations write them, and ordered lists as sets."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tarry.config.imports import networks
from tarry.config.imports.networks import Rule, TooLong, disjoint, read_network, read_prefix, spelled


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("192.0.2.0/24", "192.0.2.0/24"),
        (" [2001:db8::]/32 ", "2001:db8::/32"),
        ("[::1]", "::1"),
        ("[::ffff:127.0.0.0]/104", "127.0.0.0/8"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("0.0.0.0/0", "0.0.0.0/0"),
    ],
)
def test_networks_of_postfix(text: str, expected: str) -> None:
    """In brackets or not; IPv4 inside IPv6 is IPv4."""
    assert expected == spelled(read_network(text))


@pytest.mark.parametrize("text", ["", "example.org", "192.0.2.1/24", "[::1", "[::1]x", "10.1", "١.1.1.1", "/8", "[]"])
def test_what_is_no_network(text: str) -> None:
    """Bits right of the prefix are none of the network's."""
    with pytest.raises(ValueError):
        read_network(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("192.168.", "192.168.0.0/16"),
        ("192.168", "192.168.0.0/16"),
        ("10", "10.0.0.0/8"),
        ("10.1.2.3", "10.1.2.3"),
        ("10.1.2.0/24", "10.1.2.0/24"),
        ("IPv6:2001:db8", "2001:db8::/32"),
        ("2001:db8:e431:ae06:", "2001:db8:e431:ae06::/64"),
        ("IPv6:2001:db8::1", "2001:db8::1"),
    ],
)
def test_networks_that_end_early(text: str, expected: str) -> None:
    """As qpsmtpd and Sendmail write them."""
    assert expected == spelled(read_prefix(text))


@pytest.mark.parametrize(
    "text", ["", "localhost", "300.1", "10.1.2.3.4", "2001:db8g:", "2001:db8::5:x", "1:2:3:4:5:6:7:8:", "10..1", "db8::5:"]
)
def test_what_ends_early_and_is_no_network(text: str) -> None:
    """A name, a number that is too large, too many parts."""
    with pytest.raises(ValueError):
        read_prefix(text)


@given(st.text())
def test_any_text_is_a_network_or_a_value_error(text: str) -> None:
    """Nothing else is raised."""
    for read in (read_network, read_prefix):
        try:
            read(text)
        except ValueError:
            pass


rules = st.lists(
    st.builds(
        lambda number, length, verdict: Rule(ip_network((number >> (32 - length) << (32 - length), length)), verdict, None),
        st.integers(0xC0000200, 0xC000020F),
        st.integers(28, 32),
        st.sampled_from(["permit", "reject", "dunno"]),
    ),
    max_size=8,
)


@given(rules)
def test_disjoint_networks_say_what_the_list_said(listed: list[Rule]) -> None:
    """For every address: the first match of the list is the only verdict of the sets."""
    made = disjoint(listed)
    for number in range(0xC0000200, 0xC0000210):
        address = ip_address(number)
        first = next((rule.verdict for rule in listed if address in rule.network), None)
        assert ({first} if first else set()) == {rule.verdict for rule in made if address in rule.network}


def test_too_long_a_list_is_left_to_its_reader(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rather than computed for minutes."""
    many = [Rule(ip_network((0x0A000000 + number, 32)), "permit" if number % 2 else "reject", None) for number in range(64)]
    whole = Rule(ip_network("10.0.0.0/8"), "dunno", None)
    with monkeypatch.context() as patched, pytest.raises(TooLong, match="too long"):
        patched.setattr(networks, "_COMPARISONS", 100)
        disjoint(many)
    monkeypatch.setattr(networks, "_PIECES", 10)
    with pytest.raises(TooLong, match="falls apart"):
        disjoint([*many, whole])
