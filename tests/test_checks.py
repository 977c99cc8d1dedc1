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
from tarry.core.border import Due, Erred, Moment, Piled, PreData, Readable, Stray, Unrecognised
from tarry.core.check import Check, Settings
from tarry.core.result import Failed, Passed, Skipped, Unknown
from tarry.smtp.grammar import parse_command
from tests.checks.looking import look

every_check = pytest.mark.parametrize("check", REGISTRY, ids=[check.name for check in REGISTRY])

_bytes = st.binary(max_size=200)
moments: st.SearchStrategy[Moment] = st.one_of(
    st.builds(Readable, _bytes),
    st.just(Due()),
    st.builds(Piled, st.sampled_from(("", "EHLO", "MAIL", "DATA")), _bytes, st.booleans()),
    st.builds(PreData, _bytes),
    st.builds(Stray, st.sampled_from(("command", "message")), st.sampled_from(("CR", "LF", "NUL")), _bytes),
    st.builds(Unrecognised, _bytes.map(parse_command)),
    st.builds(Erred, st.integers(1, 1000)),
)


@every_check
@given(moment=moments)
def test_a_check_yields_only_what_it_declares(check: Check, moment: Moment) -> None:
    """It never raises; its codes are declared; its detail is ASCII of at most 100 characters; and it looks where it said."""
    match look(check, moment):
        case Failed(code=code, detail=detail):
            assert code in check.codes
            assert detail.isascii() and detail.isprintable() and len(detail) <= 100
            assert type(moment) in check.triggers
        case Passed() | Skipped():
            assert type(moment) in check.triggers
        case Unknown(why=why):
            assert why and type(moment) not in check.triggers


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
