"""The organisational domain of a name."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tarry.dns.domains import organizational_domain


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("example.org", "example.org"),
        ("a.b.mail.example.org", "example.org"),
        ("Mail.Example.CO.UK.", "example.co.uk"),
        ("co.uk", "co.uk"),
        ("org", "org"),
        ("someone.github.io", "someone.github.io"),
        ("a.someone.github.io", "someone.github.io"),
        ("www.city.kawasaki.jp", "city.kawasaki.jp"),
        ("a.b.c.kawasaki.jp", "b.c.kawasaki.jp"),
        ("mail.example.no-such-tld", "example.no-such-tld"),
        ("post.bücher.example", "xn--bcher-kva.example"),
        ("a.b.公司.cn", "b.xn--55qx5d.cn"),
        ("localhost", "localhost"),
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8::1", "2001:db8::1"),
        ("A..B", "A..B"),
        ("x.192.0.2.300", "2.300"),
        ("", ""),
        (".", "."),
        ("a..b", "a..b"),
        ("a b.example", "a b.example"),
    ],
)
def test_what_the_owner_has_registered(name: str, expected: str) -> None:
    """One label more than the longest public suffix; a suffix itself or an address stays, and what is no name is left alone."""
    assert expected == organizational_domain(name)


@given(st.text(max_size=80) | st.text("a.-é", max_size=80))
def test_any_text_may_be_given(text: str) -> None:
    """Nothing is raised, and the domain of a domain is itself."""
    domain = organizational_domain(text)
    assert domain == organizational_domain(domain)


def test_who_asks_no_such_question_does_not_load_the_list() -> None:
    """Importing the module does not."""
    code = "import sys, tarry.dns.domains; sys.exit('publicsuffixlist' in sys.modules)"
    assert 0 == subprocess.run([sys.executable, "-c", code], timeout=30, check=False).returncode
