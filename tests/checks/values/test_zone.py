"""A DNS list in a check's configuration: filters, names, and what an answer means."""

from __future__ import annotations

from ipaddress import IPv4Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tarry.checks.values.zone import EVERYTHING, Answers, Zone, distinct, domain, found, labels, public_name, settled
from tarry.core.facts import Answer, State, listing
from tarry.core.result import PASSED, Failed, Outcome, Unknown

ADDRESSES = st.one_of(
    st.integers(0, 2**32 - 1),
    st.integers(0x7F000000, 0x7FFFFFFF),
    st.integers(0x7F000000, 0x7F0000FF),
    st.integers(0x7FFFFF00, 0x7FFFFFFF),
).map(lambda number: str(IPv4Address(number)))

_number = st.integers(0, 255)
_range = st.tuples(_number, _number).map(lambda pair: f"{min(pair)}..{max(pair)}")
_set = st.lists(_number.map(str) | _range, min_size=1, max_size=3).map(lambda items: f"[{';'.join(items)}]")
_octet = _number.map(str) | _set
_pattern = st.tuples(st.just("127") | st.just("[127]"), st.integers(0, 254).map(str), _octet, _octet | _range).map(".".join)
FILTERS = st.lists(_pattern, min_size=1, max_size=3).map(", ".join)


# Filters.


@pytest.mark.parametrize(
    ("text", "inside", "outside"),
    [
        ("", ["127.0.0.2", "127.1.2.3", "127.255.254.254", "127.0.0.254"], ["127.255.255.0", "128.0.0.1"]),
        ("", ["127.0.1.2"], ["127.0.0.1", "127.0.0.255", "127.0.1.255"]),
        ("127.0.0.2", ["127.0.0.2"], ["127.0.0.3", "127.0.1.2", "127.0.0.22"]),
        ("127.0.0.2..11", ["127.0.0.2", "127.0.0.7", "127.0.0.11"], ["127.0.0.1", "127.0.0.12", "127.0.1.3"]),
        ("127.0.0.2, 127.0.0.4", ["127.0.0.2", "127.0.0.4"], ["127.0.0.3"]),
        ("127.0.0.2;127.0.0.4..5", ["127.0.0.2", "127.0.0.4", "127.0.0.5"], ["127.0.0.3", "127.0.0.6"]),
        ("127.0.[0..3].[2;4..6]", ["127.0.0.2", "127.0.3.6", "127.0.1.4"], ["127.0.4.2", "127.0.0.3", "127.0.0.7"]),
        ("127.0.0.[2..11;14]", ["127.0.0.2", "127.0.0.14"], ["127.0.0.13", "127.0.0.1"]),
        ("127.0.0.[2, 4],127.0.1.9", ["127.0.0.2", "127.0.0.4", "127.0.1.9"], ["127.0.0.9"]),
        (" 127.0.0.2 ,\t127.0.0.3 ", ["127.0.0.2", "127.0.0.3"], ["127.0.0.4"]),
        ("127.[0..255].[0..255].[0..255]", ["127.0.0.1"], ["127.255.255.1", "127.255.255.254"]),
        ("[0..255].0.0.1", ["127.0.0.1"], ["10.0.0.1", "126.0.0.1"]),
    ],
)
def test_a_filter(text: str, inside: list[str], outside: list[str]) -> None:
    """What it lets count, and what not."""
    answers = Answers(text)
    assert ([], []) == ([one for one in inside if one not in answers], [one for one in outside if one in answers])


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("127.0.0", "127.0.0 is none of 127.0.0.2, 127.0.0.2..11 and"),
        ("127.0.0.2.3", "is none of"),
        ("127.0.0.2,", "an empty piece is none of"),
        ("127.0.0.2 127.0.0.3", "is none of"),
        ("127.0.0.0/24", "is none of"),
        ("127.0..3.2", "is none of"),
        ("127.0.0.-2", "is none of"),
        ("127.0.0.[2", "is none of"),
        ("127.0.0.[]", "nothing in 127.0.0.[] is neither a number nor a range"),
        ("127.0.0.[a]", "a in 127.0.0.[a] is neither"),
        ("127.0.0.[2..]", "2.. in 127.0.0.[2..] is neither"),
        ("127.0.0.[2..3..4]", "is neither"),
        ("127.0.0.256", "256 in 127.0.0.256 is above 255"),
        ("127.0.0.[9..300]", "300 in 127.0.0.[9..300] is above 255"),
        ("127.0.0.11..2", "the range 11..2 in 127.0.0.11..2 begins above its end"),
        ("10.0.0.2", "10.0.0.2 is outside 127.0.0.0/8"),
        ("127.255.255.254", "127.255.255.254 is in 127.255.255.0/24, which are error codes"),
        ("127.255.255.0..255", "are error codes"),
    ],
)
def test_a_wrong_filter_is_told(text: str, complaint: str) -> None:
    """With a sentence for the operator."""
    with pytest.raises(ValueError, match=r"\A.") as told:
        Answers(text)
    assert complaint in str(told.value)


@given(text=FILTERS)
def test_a_filter_is_written_as_it_was_read(text: str) -> None:
    """Its text is the filter again."""
    answers = Answers(text)
    assert (answers, hash(answers)) == (Answers(str(answers)), hash(Answers(str(answers))))
    assert Answers("127.0.0.1") != answers or str(answers) == "127.0.0.1"
    assert repr(answers) == f"Answers({str(answers)!r})"


@given(text=FILTERS | st.just(""), address=ADDRESSES)
def test_what_never_counts(text: str, address: str) -> None:
    """Nothing outside 127.0.0.0/8 and nothing in 127.255.255.0/24; without a filter nor 127.0.0.1 and what ends in 255."""
    may = address.startswith("127.") and not address.startswith("127.255.255.")
    assert may or address not in Answers(text)
    assert (may and address != "127.0.0.1" and not address.endswith(".255")) == (address in EVERYTHING)


@given(text=FILTERS, address=ADDRESSES)
def test_a_list_of_patterns_is_any_of_them(text: str, address: str) -> None:
    """A comma and a semicolon are an or."""
    assert (address in Answers(text)) == any(address in Answers(one) for one in text.split(", "))
    assert (address in Answers(text)) == (address in Answers(text.replace(", ", ";")))


@given(text=st.text(st.characters(codec="ascii"), max_size=30) | st.text("127.0[];,. 5", max_size=30))
def test_any_text_is_a_filter_or_told(text: str) -> None:
    """Nothing but ValueError is raised."""
    try:
        answers = Answers(text)
    except ValueError as fault:
        assert str(fault)
    else:
        assert answers == Answers(str(answers))


@pytest.mark.parametrize("value", ["", "mail.example", "::1", "127.0.0.1 ", "127.0.0.1.example", "127.0.0.\u0661"])
def test_what_is_no_address_is_no_listing(value: str) -> None:
    """Only an IPv4 address can be one."""
    assert value not in EVERYTHING


# Names.


@pytest.mark.parametrize(
    ("text", "expected"),
    [("zen.spamhaus.org", "zen.spamhaus.org"), (" BL.Example. ", "bl.example"), ("a_b.x-y.example", "a_b.x-y.example")],
)
def test_a_zone_is_read(text: str, expected: str) -> None:
    """In lower case, without a final dot."""
    assert expected == domain(text)
    assert expected == domain(expected)


@pytest.mark.parametrize(
    "text", ["", "example", "a..example", ".", "bl.example!", "bl.\u00e9.example", "a" * 64 + ".example", "a." * 95 + "example"]
)
def test_a_wrong_zone_is_told(text: str) -> None:
    """What no query could be made of."""
    with pytest.raises(ValueError, match="the zone of a DNS list is a domain name"):
        domain(text)


def test_a_public_name_can_stand_in_a_reply() -> None:
    """Printable ASCII, not too long."""
    assert "our list" == public_name(" our list ")
    for text in ("caf\u00e9", "a\nb", "x" * 61):
        with pytest.raises(ValueError, match="printable ASCII"):
            public_name(text)


A, B = "a.example", "b.example"


@pytest.mark.parametrize(
    ("zones", "expected"),
    [
        ((Zone(zone=A), Zone(zone=B)), (A, B)),
        ((Zone(zone=A), Zone(zone=A, answers=Answers("127.0.0.[2..11]"))), (A, f"{A} 127.0.0.[2..11]")),
        ((Zone(zone=f"key.{A}", name="A"), Zone(zone=B)), ("A", B)),
        ((Zone(zone=A), Zone(zone=A)), (A, f"{A} #2")),
        ((Zone(zone=f"key.{A}", name="A"), Zone(zone=f"key.{A}", answers=Answers("127.0.0.2"))), ("A", "A 127.0.0.2")),
        ((Zone(zone=f"k.{A}", name="ours"), Zone(zone=f"k.{B}", name="ours")), ("ours", "ours #2")),
    ],
)  # fmt: skip
def test_each_row_has_a_name_of_its_own(zones: tuple[Zone, ...], expected: tuple[str, ...]) -> None:
    """So that each counts: a reason is found once for a check, a code and a subject."""
    assert expected == labels(zones)


def test_a_zone_is_asked_once() -> None:
    """However many rows it has."""
    assert (A, B) == distinct((Zone(zone=A), Zone(zone=B), Zone(zone=A, weight=2.0)))


# What an answer means.


def answered(*values: str, zone: str = A, state: State | None = None, why: str = "") -> Answer:
    return Answer(listing("192.0.2.7", zone), state or (State.FOUND if values else State.NOTHING), values, why=why)


TABLE: list[tuple[tuple[Zone, ...], Answer, tuple[Outcome, ...]]] = [
    ((Zone(zone=A),), answered("127.0.0.4"), (Failed("listed", f"{A}=127.0.0.4", A, 1.0),)),
    ((Zone(zone=A),), answered("127.0.0.4", "127.0.0.2"), (Failed("listed", f"{A}=127.0.0.4,127.0.0.2", A, 1.0),)),
    ((Zone(zone=A),), answered(), ()),
    ((Zone(zone=A, weight=3.5),), answered("127.0.0.4"), (Failed("listed", f"{A}=127.0.0.4", A, 3.5),)),
    ((Zone(zone=A, weight=0.0),), answered("127.0.0.4"), (Failed("listed", f"{A}=127.0.0.4", A, 0.0),)),
    ((Zone(zone=A, weight=-2.0),), answered("127.0.0.4"), (Failed("allowed", f"{A}=127.0.0.4", A, -2.0),)),
    ((Zone(zone=A, answers=Answers("127.0.0.2")),), answered("127.0.0.4"), ()),
    (
        (Zone(zone=A, answers=Answers("127.0.0.2")),),
        answered("127.0.0.4", "127.0.0.2"),
        (Failed("listed", f"{A}=127.0.0.2", A, 1.0),),
    ),
    ((Zone(zone=f"key.{A}", name="A"),), answered("127.0.0.4", zone=f"key.{A}"), (Failed("listed", "A=127.0.0.4", "A", 1.0),)),
    (
        (Zone(zone=A, answers=Answers("127.0.0.2..9")), Zone(zone=B), Zone(zone=A, answers=Answers("127.0.0.4"), weight=2.0)),
        answered("127.0.0.4"),
        (Failed("listed", f"{A}=127.0.0.4", f"{A} 127.0.0.2..9", 1.0), Failed("listed", f"{A}=127.0.0.4", f"{A} 127.0.0.4", 2.0)),
    ),
    (
        (Zone(zone=A),),
        answered("127.255.255.254"),
        (Unknown(f"{A} answers 127.255.255.254: an error code, not a listing"),),
    ),
    ((Zone(zone=A),), answered("203.0.113.5"), (Unknown(f"{A} answers 203.0.113.5: not in 127.0.0.0/8, so no listing"),)),
    (
        (Zone(zone=f"key.{A}", name="A"),),
        answered("203.0.113.5", zone=f"key.{A}"),
        (Unknown("A answers 203.0.113.5: not in 127.0.0.0/8, so no listing"),),
    ),
    ((Zone(zone=A),), answered("127.255.255.254", "127.0.0.2"), (Failed("listed", f"{A}=127.0.0.2", A, 1.0),)),
    ((Zone(zone=A),), answered(state=State.UNKNOWN, why="SERVFAIL"), (Unknown(f"{A}: SERVFAIL"),)),
    ((Zone(zone=A),), answered(state=State.UNKNOWN), (Unknown(f"{A}: no answer"),)),
    ((Zone(zone=f"key.{A}", name="A"),), answered(zone=f"key.{A}", state=State.UNKNOWN, why="REFUSED"), (Unknown("A: REFUSED"),)),
]  # fmt: skip


@pytest.mark.parametrize(("zones", "answer", "expected"), TABLE, ids=repr)
def test_what_an_answer_means(zones: tuple[Zone, ...], answer: Answer, expected: tuple[Outcome, ...]) -> None:
    """A finding for each row that counts it; what is no listing, or no answer, clears nobody and lists nobody."""
    assert expected == found(answer, zones)


def test_when_all_is_settled() -> None:
    """A listing at once, a pass with the last answer where there is none; another's answer is nothing here."""
    zones = (Zone(zone=A), Zone(zone=B))
    asked = tuple(listing("192.0.2.7", zone) for zone in distinct(zones))
    clear, listed, unknown = answered(), answered("127.0.0.2", zone=B), answered(zone=B, state=State.UNKNOWN, why="SERVFAIL")
    none_of_b = answered(zone=B)
    for last, before, expected in (
        (clear, (), ()),
        (clear, (none_of_b,), (PASSED,)),
        (none_of_b, (clear,), (PASSED,)),
        (listed, (clear,), (Failed("listed", f"{B}=127.0.0.2", B, 1.0),)),
        (clear, (listed,), ()),
        (clear, (unknown,), ()),
        (unknown, (clear,), (Unknown(f"{B}: SERVFAIL"),)),
        (answered(zone="other.example"), (clear, none_of_b), ()),
    ):
        assert expected == settled(last, asked, {one.question: one for one in (*before, last)}, zones)


@given(values=st.lists(ADDRESSES | st.text(max_size=200), max_size=4), text=FILTERS | st.just(""), state=st.sampled_from(State))
def test_a_key_is_never_told(values: list[str], text: str, state: State) -> None:
    """Where any row gives a zone a public name, nothing that is found holds the zone; and all of it is printable ASCII."""
    rows = (Zone(zone=f"secretkey.{A}", name="A", answers=Answers(text)), Zone(zone=f"secretkey.{A}", weight=-1.0))
    outcomes = found(Answer(listing("192.0.2.7", f"secretkey.{A}"), state, tuple(values), why="why"), rows)
    for outcome in outcomes:
        told = outcome.detail + outcome.subject if isinstance(outcome, Failed) else outcome.why
        assert "secretkey" not in told or any("secretkey" in value for value in values)
        assert told.isascii() and told.isprintable() and len(told) <= 200
