"""Plain kinds of values, and durations."""

from __future__ import annotations

import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tarry.config import values
from tarry.config.values import Kind, Wrong, read_duration, read_span, write_duration, write_span
from tarry.core.policy import Span

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.dates() | st.times() | st.datetimes(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=4,
)
"""What tomllib may hand out, and more."""


def refusal(kind: Kind, value: object) -> str:
    """Return what a kind says about a value that it does not take."""
    with pytest.raises(Wrong) as caught:
        kind.read(value)
    return f"{caught.value.what}; {caught.value.fix}"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("350ms", 0.35),
        ("0s", 0.0),
        ("6s", 6.0),
        ("1.5s", 1.5),
        ("5m", 300.0),
        ("1h", 3600.0),
        ("30d", 2592000.0),
        (" 6 s ", 6.0),
        ("366d", values.LONGEST),
    ],
)
def test_duration(text: str, seconds: float) -> None:
    """A duration is a number with a unit."""
    assert seconds == read_duration(text)


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (6, '6 has no unit; write "6s" for seconds'),
        (2.5, '2.5 has no unit; write "2.5s" for seconds'),
        ("6", '"6" has no unit; write "6s" for seconds'),
        (-3, '-3 has no unit; write "6s" for six seconds'),
        (10**60, f'{"1" + "0" * 47}... has no unit; write a number with its unit, such as "6s"'),
        ("6 seconds", '"6 seconds" is not a duration; write "6s"'),
        ("5 min", '"5 min" is not a duration; write "5m"'),
        ("5M", '"5M" is not a duration; write "5m"'),
        ("350MS", '"350MS" is not a duration; write "350ms"'),
        ("soon", '"soon" is not a duration; write a number and one of ms, s, m, h, d, such as "350ms" or "6s"'),
        ("-6s", '"-6s" is not a duration; write a number and one of ms, s, m, h, d, such as "350ms" or "6s"'),
        ("", '"" is not a duration; write a number and one of ms, s, m, h, d, such as "350ms" or "6s"'),
        ("400d", '"400d" is more than a year; write at most "366d"'),
        (True, 'true is not a duration; write a number with its unit, such as "6s"'),
        ([], 'a list is not a duration; write a number with its unit, such as "6s"'),
        (datetime.date(2003, 3, 13), 'a date or time is not a duration; write a number with its unit, such as "6s"'),
    ],
)
def test_no_duration(value: object, told: str) -> None:
    """What is no duration is told with the right way to write it."""
    assert told == refusal(values.duration(), value)


def test_least_duration() -> None:
    """A duration may have a least length."""
    assert '"0s" is too short; write "1ms" or more' == refusal(values.duration(0.001), "0s")


@pytest.mark.parametrize(
    ("text", "span"),
    [
        ("4s..9s", Span(4.0, 9.0)),
        ("500ms .. 2s", Span(0.5, 2.0)),
        ("6s", Span(6.0, 6.0)),
        ("6s..6s", Span(6.0, 6.0)),
    ],
)
def test_span(text: str, span: Span) -> None:
    """A range has two durations; a single one is a range without width."""
    assert span == read_span(text)


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("9s..4s", 'the range "9s..4s" begins above its end; write "4s..9s"'),
        ("4..9s", '"4..9s" is not a range of durations; give each end its unit, such as "4s..9s"'),
        ("4s...9s", '"4s...9s" is not a range of durations; give each end its unit, such as "4s..9s"'),
        (6, '6 has no unit; write "6s" for seconds'),
    ],
)
def test_no_span(value: object, told: str) -> None:
    """A range that is the wrong way round or lacks a unit is told with the right form."""
    assert told == refusal(values.span, value)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0, "0s"), (0.35, "350ms"), (90.0, "90s"), (300.0, "5m"), (7200.0, "2h"), (604800.0, "7d"), (0.0001, "0.0001s")],
)
def test_duration_is_written_in_its_largest_whole_unit(seconds: float, text: str) -> None:
    """Seconds are written as a person would write them."""
    assert text == write_duration(seconds)


@pytest.mark.parametrize(
    ("span", "text"),
    [(Span(60, 290), "60s..290s"), (Span(0.5, 2), "500ms..2000ms"), (Span(0, 60), "0m..1m"), (Span(7, 7), "7s")],
)
def test_both_ends_of_a_range_have_the_same_unit(span: Span, text: str) -> None:
    """A range is written in one unit."""
    assert text == write_span(span)


durations = st.integers(0, 366 * 86400 * 1000).map(lambda millis: millis / 1000) | st.sampled_from([0.0, 60.0, 3600.0, 86400.0])


@given(seconds=durations)
def test_a_duration_reads_back(seconds: float) -> None:
    """What is written reads back as the same number."""
    assert seconds == read_duration(write_duration(seconds))


@given(low=durations, high=durations)
def test_a_range_reads_back(low: float, high: float) -> None:
    """What is written reads back as the same range."""
    span = Span(min(low, high), max(low, high))
    assert span == read_span(write_span(span))


KINDS = [
    values.boolean,
    values.whole(1, 5, "things"),
    values.number(-1, 2.5, "weight"),
    values.text(longest=8),
    values.choice("a", "b"),
    values.listed(values.duration(), "durations", '["1s"]'),
    values.span,
    values.duration(),
]


@pytest.mark.parametrize("text", ["0.0001ms", "0.000001ms", "0.123456789s", "0.1s", "1.000001h"])
def test_the_shortest_durations_are_read_back(text: str) -> None:
    """A billionth of a second needs nine places."""
    assert values.read_duration(text) == values.read_duration(values.write_duration(values.read_duration(text)))


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.unit)
@given(value=anything | st.text(alphabet="0123456789.smhd ") | st.lists(st.text(alphabet="0123456789.smhd ")))
def test_a_kind_takes_a_value_or_says_why_not(kind: Kind, value: object) -> None:
    """Whatever the value, it is taken, or told in printable text; what is taken reads back."""
    try:
        taken = kind.read(value)
    except Wrong as wrong:
        assert (wrong.what + wrong.fix).isprintable()
        assert wrong.fix
    else:
        assert taken == kind.read(kind.write(taken))


@pytest.mark.parametrize(
    ("kind", "value", "told"),
    [
        (values.boolean, "yes", '"yes" is neither true nor false; write true or false, in lower case and without quotes'),
        (values.boolean, 1, "1 is neither true nor false; write true or false, in lower case and without quotes"),
        (values.whole(1, 5, "things"), 6, "6 is out of range; write a number from 1 to 5"),
        (values.whole(1, 5, "things"), "3", '"3" is text; write the number without quotes'),
        (values.whole(1, 5, "things"), 2.5, "2.5 is not a whole number; write a number from 1 to 5"),
        (values.whole(0, 1, "things"), True, "true is not a whole number; write a number from 0 to 1"),
        (values.number(0, 1, "weight"), float("nan"), "nan is out of range; write a number from 0 to 1"),
        (values.number(0, 1, "weight"), float("inf"), "inf is out of range; write a number from 0 to 1"),
        (values.number(0, 1, "weight"), "1.5", '"1.5" is text; write the number without quotes'),
        (values.number(0, 1, "weight"), [], "a list is not a number; write a number from 0 to 1"),
        (values.text(), 25, '25 is not text; write "25", in quotes'),
        (values.text(least=1, unit="path", example="mail"), "", 'it is empty; write path, such as "mail"'),
        (values.text(least=1, unit="path"), "", "it is empty; write path"),
        (values.text(longest=3), "abcd", "it has 4 characters; keep to 3"),
        (values.text(), "a\nb", "it holds the character U+000A; use printable text only, on one line"),
        (values.text(ascii_only=True), "é", "it holds the character U+00E9; use printable ASCII only, on one line"),
        (values.choice("proxy", "maildir"), "prox", '"prox" is none of proxy and maildir; did you mean "proxy"?'),
        (values.choice("proxy", "maildir"), "smtp", 'there is no "smtp"; write one of "proxy" or "maildir"'),
        (values.choice("proxy", "maildir"), {}, 'a table is not text; write one of "proxy" or "maildir"'),
        (values.listed(values.text(), "texts", '["a"]'), "a", '"a" is not a list; write ["a"], in brackets'),
        (values.listed(values.text(), "texts", '["a"]'), 1, '1 is not a list; write ["a"], in brackets'),
    ],
)
def test_refusals(kind: Kind, value: object, told: str) -> None:
    """A refusal repeats the value and says what to write."""
    assert told == refusal(kind, value)


def test_a_list_tells_which_element_is_wrong() -> None:
    """The index of a wrong element comes with the refusal."""
    kind = values.listed(values.whole(0, 9, "digit"), "digits", "[1]")
    with pytest.raises(Wrong) as caught:
        kind.read([1, 2, 30])
    assert (2,) == caught.value.index


def test_mapped_kinds_use_other_names() -> None:
    """A mapped kind translates both ways."""
    kind = values.mapped(values.choice("on", "off"), lambda word: word == "on", lambda value: "on" if value else "off")
    assert (True, "off") == (kind.read("on"), kind.write(False))
