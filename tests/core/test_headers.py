"""The header lines that tarry puts before a message."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tarry.checks.non_smtp import NonSmtp
from tarry.checks.pregreet import Pregreet
from tarry.core.headers import header_lines
from tarry.core.policy import Policy
from tarry.core.result import Action, Reason
from tests.playbook import armed, policy
from tests.talk import found


def lines(*reasons: Reason, rules: Policy) -> bytes:
    return header_lines(reasons, rules, client="2001:db8::7", port=40000, id="K3X9-0001")


def test_a_client_without_reasons_gets_a_line_too() -> None:
    """So that a forged one below it is told apart."""
    assert b"X-Tarry-Reasons: none; client=[2001:db8::7]:40000; id=K3X9-0001\r\n" == lines(rules=Policy())


def test_reasons_are_named_and_headers_are_filled_in() -> None:
    """In the order in which they were found."""
    rules = policy(Pregreet(), NonSmtp(), action=Action.TAG, header="X-{code}: {reason} of {client} in {id}, {other}")
    assert (
        b"X-Tarry-Reasons: non_smtp.http pregreet.spoke; client=[2001:db8::7]:40000; id=K3X9-0001\r\n"
        b"X-http: non_smtp.http of 2001:db8::7 in K3X9-0001, {other}\r\n"
        b"X-spoke: pregreet.spoke of 2001:db8::7 in K3X9-0001, {other}\r\n"
    ) == lines(found("non_smtp", "http"), found("pregreet"), rules=rules)


def test_what_the_client_said_is_filled_in() -> None:
    """As it said it: braces in it stand for nothing."""
    rules = policy(Pregreet(), header="X-{code}: {detail}")
    reason = Reason("pregreet", "spoke", "EHLO {id}{code}")
    assert lines(reason, rules=rules).endswith(b"\r\nX-spoke: EHLO {id}{code}\r\n")


def test_what_is_ignored_is_not_named() -> None:
    """Nor is what a check found that is not armed any more."""
    rules = Policy(checks=(armed(Pregreet(), action=Action.IGNORE, header="X-Spoke: yes"),))
    assert lines(rules=rules) == lines(found("pregreet"), found("gone"), rules=rules)


def test_a_check_without_a_header_is_named_only() -> None:
    """Most have none."""
    assert 1 == lines(found("pregreet"), rules=policy(Pregreet())).count(b"\r\n")


@given(header=st.text(min_size=1), code=st.text(), count=st.integers(1, 60))
def test_lines_are_whole_and_short(header: str, code: str, count: int) -> None:
    """Printable ASCII, below 998 octets, CRLF at the end: whatever the operator wrote and however many reasons there are."""
    rules = policy(Pregreet(), header=header)
    text = lines(*[found("pregreet", code)] * count, rules=rules)
    *whole, rest = text.split(b"\r\n")
    assert (b"", count + 1) == (rest, len(whole))
    assert all(len(line) < 998 and all(32 <= byte < 127 for byte in line) for line in whole)
