"""What can be told of a host name by looking at it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tarry.checks.values.hostname import have_one_owner, is_host_name, labels, owned, plain


@pytest.mark.parametrize(
    "name",
    [
        "mail.example",
        "Mail.Example.",
        "a.b.c.example",
        "my_host.example",
        "_dmarc.example",
        "1.2.example",
        "x.xn--p1ai",
        "3com.example",
    ],
)
def test_a_host_name(name: str) -> None:
    """Letters, digits, hyphens and underscores, with a dot."""
    assert is_host_name(name)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "localhost",
        "192.0.2.7",
        "[192.0.2.7]",
        "a..example",
        ".example",
        "-a.example",
        "a b.example",
        "a.example..",
        "b\\xc3.example",
        "x." * 127 + "example",
        "x" * 64 + ".example",
        "a.example\n",
    ],
)
def test_no_host_name(name: str) -> None:
    """An address, one label, or what cannot be asked about."""
    assert not is_host_name(name)


def test_the_plain_form() -> None:
    """In lower case, without a final dot."""
    assert ("mail.example", ["mail", "example"]) == (plain("Mail.Example."), labels("Mail.Example."))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("mail.example.com", 2),
        ("example.com", 2),
        ("mail.example.co.uk", 3),
        ("a.b.example.com.au", 3),
        ("mail.corp.de", 2),
        ("com", 2),
        ("", 2),
    ],
)
def test_whose_labels(name: str, expected: int) -> None:
    """Two, or three below a registry of a country."""
    assert expected == owned(name)


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ("mail.example.com", "out3.example.com", True),
        ("example.com", "MAIL.example.com.", True),
        ("a.example.co.uk", "b.example.co.uk", True),
        ("a.example.co.uk", "a.other.co.uk", False),
        ("co.uk", "co.uk", False),
        ("mail.example.com", "mail.example.org", False),
        ("example", "example", False),
        ("", "", False),
    ],
)
def test_two_names_of_one_owner(one: str, other: str, expected: bool) -> None:
    """Both end in the same domain, and there is one."""
    assert expected is have_one_owner(one, other) is have_one_owner(other, one)


@given(name=st.text(max_size=300), other=st.text(max_size=300))
def test_any_text_is_looked_at(name: str, other: str) -> None:
    """Nothing raises, and which of the two comes first does not matter."""
    assert have_one_owner(name, other) is have_one_owner(other, name)
    assert is_host_name(name) in (True, False)
    assert owned(name) in (2, 3)
