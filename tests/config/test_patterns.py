"""Regular expressions on addresses."""

from __future__ import annotations

import re
import time
import warnings

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tarry.config import patterns
from tarry.config.patterns import has_nested_repeats
from tarry.config.values import Wrong
from tests.config.test_values import anything, refusal

_WRITE = r"write a Python regular expression in single quotes, such as '^192\.0\.2\.'"


@pytest.mark.parametrize(
    "text",
    [
        r"^10\.0\.1",
        r"^(?:\d{1,3}\.){3}\d+$",
        r"^10(\.\d+)?$",
        r"(a+)?",
        r"(ab)+",
        r"[a+]+",
        r"[]+*]+",
        r"[^]a]+",
        r"\(a+\)+",
        r"(a+){2}",
        r"(a{2})+",
        r"(?P<n>ab)+",
        r"(a|b){7}",
        r"^([0-9a-f]{1,4}:){7}",
        r"(?:ab)*+c",
        r"a+?b",
        r"(a{})+",
        r"x(?#a+)",
        r"^192\.0\.2\.|^2001:db8:",
    ],
)
def test_pattern(text: str) -> None:
    """An ordinary regular expression is taken as it is."""
    assert text == patterns.pattern.write(patterns.pattern.read(text))


@pytest.mark.parametrize(
    "text",
    [
        r"(a+)+",
        r"(a*)*",
        r"((a+)b)*",
        r"(a+){2,}",
        r"(a{2,})+",
        r"(?:a+)+?",
        r"(a+|b)*",
        r"(a+){11}",
        r"([ab]+?)*",
        r"((a*)?)+",
        r"(a+)(?#x)+",
        r"(ab?)+",
        r"(.|1)*",
        r"(a{1,3})+",
        r"((a+){3}){3}",
        r"(?P<n>a|b)+",
        r"(a+){8}",
    ],
)
def test_nested_repeats_are_refused(text: str) -> None:
    """A repeat of a repeat is refused, since it can take exponential time."""
    assert has_nested_repeats(text)
    assert "repeats what repeats already" in refusal(patterns.pattern, text)


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (1, r"1 is not a pattern; write it in single quotes, such as '^192\.0\.2\.'"),
        ("[[a]", '"[[a]" is not a regular expression: Possible nested set at position 1; ' + _WRITE),
        ("(?x)a #)", '"(?x)a #)" asks for the verbose form; write the pattern without the flag x'),
        ("", "an empty pattern matches every address; leave it out"),
        ("a" * 513, "the pattern has 513 characters; keep to 512, or use exempt.networks"),
        (
            "*.example",
            '"*.example" is not a regular expression: nothing to repeat at position 0; '
            'a regular expression says .* where a file name says *: ".*.example"',
        ),
        (
            "(",
            '"(" is not a regular expression: missing ), unterminated subpattern at position 0; ' + _WRITE,
        ),
    ],
)
def test_no_pattern(value: object, told: str) -> None:
    """What does not compile is told with Python's reason."""
    assert told == refusal(patterns.pattern, value)


@given(text=st.text(alphabet="ab()[]{}^$*+?|\\.,0123456789:-", max_size=30))
def test_the_scanner_of_patterns_never_fails(text: str) -> None:
    """Whatever compiles can be scanned."""
    with warnings.catch_warnings(action="ignore"):
        try:
            re.compile(text)
        except (re.error, OverflowError):
            return
    assert has_nested_repeats(text) in (True, False)


@given(text=st.text(alphabet="a1()*+?|.", max_size=12))
def test_a_pattern_that_is_taken_is_quick(text: str) -> None:
    """What is taken answers for the longest address within a moment."""
    try:
        pattern = patterns.pattern.read(text)
    except Wrong:
        return
    began = time.perf_counter()
    pattern.search("1" * 39 + "!")
    assert time.perf_counter() - began < 5


@given(value=anything | st.lists(st.text(alphabet="ab(+)*{,}[|]?#x\\") | anything, max_size=2))
def test_patterns_are_taken_or_told(value: object) -> None:
    """Whatever the value, it is taken, or told in printable text; what is taken reads back."""
    try:
        taken = patterns.patterns.read(value)
    except Wrong as wrong:
        assert (wrong.what + wrong.fix).isprintable()
        assert wrong.fix
    else:
        assert taken == patterns.patterns.read(patterns.patterns.write(taken))
