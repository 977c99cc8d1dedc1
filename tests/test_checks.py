"""What holds for every check in the registry."""

from __future__ import annotations

import inspect
import re
from dataclasses import fields, is_dataclass
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tarry.checks import REGISTRY
from tarry.core.border import (
    Answered,
    Arrived,
    Due,
    Erred,
    Hello,
    Moment,
    Piled,
    PreData,
    Readable,
    Recipient,
    RecipientAnswered,
    Repeated,
    Sender,
    Stray,
    Unrecognised,
)
from tarry.core.check import About, Asking, Check, Seen, Settings
from tarry.core.client import Phase
from tarry.core.facts import Answer, State, addresses_of, listing, names_of
from tarry.core.result import Failed, Passed, Skipped, Unknown
from tarry.smtp.grammar import parse_command
from tests.checks.looking import looks

every_check = pytest.mark.parametrize("check", REGISTRY, ids=[check.name for check in REGISTRY])

_bytes = st.binary(max_size=200)
_words = st.one_of(
    st.sampled_from(
        ("", "localhost", "mail.example", "[192.0.2.7]", "[IPv6:2001:db8::7]", "192.0.2.7", "a@b.example", "a@[192.0.2.7]")
    ),
    st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=255),
)
_answers = st.builds(
    Answer,
    st.one_of(
        st.sampled_from(("192.0.2.7", "2001:db8::7")).map(lambda one: listing(one, "bl.example")),
        st.sampled_from(("192.0.2.7", "2001:db8::7")).map(names_of),
        _words.map(addresses_of),
    ),
    st.sampled_from(State),
    st.lists(st.one_of(st.sampled_from(("127.0.0.2", "192.0.2.7", "2001:db8::7", "127.255.255.254")), _words), max_size=3).map(
        tuple
    ),
    st.integers(0, 3),
)
moments: st.SearchStrategy[Moment] = st.one_of(
    st.just(Arrived()),
    st.builds(Readable, _bytes),
    st.just(Due()),
    st.builds(Piled, st.sampled_from(("", "EHLO", "MAIL", "DATA")), _bytes, st.booleans()),
    st.builds(PreData, _bytes),
    st.builds(Stray, st.sampled_from(("command", "message")), st.sampled_from(("CR", "LF", "NUL")), _bytes),
    st.builds(Unrecognised, _bytes.map(parse_command)),
    st.builds(Erred, st.integers(1, 1000)),
    st.builds(Hello, st.sampled_from(("HELO", "EHLO")), _words, st.integers(1, 9)),
    st.builds(Sender, _words),
    st.builds(Recipient, _words, st.integers(1, 200)),
    st.builds(RecipientAnswered, st.sampled_from((250, 450, 550)), st.integers(0, 200), st.integers(0, 200)),
    st.builds(Repeated, st.sampled_from(("RSET", "NOOP")), st.integers(1, 200)),
    _answers.map(Answered),
)
abouts = st.builds(
    About,
    client=st.sampled_from(("192.0.2.7", "2001:db8::7")),
    server=st.just("198.51.100.25"),
    name=st.just("mx.example.org"),
    helo=_words,
    verb=st.sampled_from(("", "HELO", "EHLO")),
    sender=st.one_of(st.none(), _words),
    facts=st.lists(_answers, max_size=4).map(lambda found: {one.question: one for one in found}),
)


@every_check
@given(moment=moments, about=abouts)
def test_a_check_yields_only_what_it_declares(check: Check, moment: Moment, about: About) -> None:
    """It never raises; its codes are declared; its detail is ASCII of at most 100 characters; and it looks where it said.

    Only one that waits for answers may be unable to tell where it looks.
    """
    for outcome in looks(check, moment, about=about):
        match outcome:
            case Failed(code=code, detail=detail, subject=subject):
                assert code in check.codes
                assert detail.isascii() and detail.isprintable() and len(detail) <= 100
                assert subject.isascii() and subject.isprintable()
                assert type(moment) in check.triggers
            case Passed() | Skipped():
                assert type(moment) in check.triggers
            case Unknown(why=why):
                assert why and (type(moment) not in check.triggers or isinstance(moment, Answered))


@every_check
@given(moment=moments, about=abouts)
def test_a_check_asks_without_raising(check: Check, moment: Moment, about: About) -> None:
    """Whatever the client says; and at most a handful of questions."""
    if isinstance(check, Asking):
        assert len(check.asks(Seen(moment, Phase.HELO, 1.5, about), check.options())) <= 8


@every_check
def test_a_check_documents_itself(check: Check) -> None:
    """Its module's docstring is its manual page, every code is explained, and its options have help."""
    page = inspect.getdoc(inspect.getmodule(type(check))) or ""
    assert page.startswith(f"{check.name} - ")
    assert ["What", "Why", "Mistaken", "Source", "Since"] == re.findall(r"^(What|Why|Mistaken|Source|Since) ", page, re.MULTILINE)
    assert check.codes and all(check.codes.values())
    assert is_dataclass(check.options) and all(field.metadata.get("help") for field in fields(check.options))


@every_check
def test_a_check_can_be_named_in_a_config_file(check: Check) -> None:
    """Its name and codes are plain words, its triggers are moments, its defaults are usable, its complaint can stand in a reply."""
    assert all(re.fullmatch(r"[a-z][a-z_0-9]*", word) for word in (check.name, *check.codes))
    assert check.triggers and set(check.triggers) <= set(get_args(Moment))
    assert isinstance(check.settings, Settings)
    assert check.complaint.isascii() and check.complaint.isprintable() and len(check.complaint) < 100


def test_names_are_unique() -> None:
    """A name finds one check."""
    assert len(REGISTRY) == len({check.name for check in REGISTRY})
