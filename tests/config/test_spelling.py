"""Values and names as text."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tarry.config.spelling import counted, nearest, printable, shown, spell, spell_key, without_password

toml_values: st.SearchStrategy[Any] = st.recursive(
    st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text(st.characters(exclude_categories=("Cs",))),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(st.characters(exclude_categories=("Cs",))), inner, max_size=3)
    ),
    max_leaves=5,
)


@given(value=toml_values)
def test_spelled_values_are_toml(value: Any) -> None:
    """What spell writes, tomllib reads."""
    assert {"x": value} == tomllib.loads(f"x = {spell(value)}")


@pytest.mark.parametrize(("value", "text"), [(r"^10\.1", r"'^10\.1'"), (r"a'\b", r'''"a'\\b"'''), ((1, True), "[1, true]")])
def test_spelling(value: object, text: str) -> None:
    """Backslashes stand in single quotes where they can."""
    assert text == spell(value)


def test_keys_are_quoted_where_they_must_be() -> None:
    """A part of a key that holds a dot is quoted."""
    assert 'a-b."c.d"' == spell_key("a-b", "c.d")


@pytest.mark.parametrize(("value", "text"), [("x" * 90, '"' + "x" * 47 + "..."), ((), "a list"), ({}, "a table")])
def test_wrong_values_are_cut(value: object, text: str) -> None:
    """A message repeats no more than a line of what was wrong."""
    assert text == shown(value)


@pytest.mark.parametrize(("name", "found"), [("wiat", "wait"), ("End-Early", "end_early"), ("xyzzy", ""), ("w" * 65, ""), ("", "")])
def test_nearest(name: str, found: str) -> None:
    """The nearest name is found whatever its case and dashes, and none where none is near."""
    assert found == nearest(name, ["wait", "end_early", "teaser"])


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("valkey://u:s3@cret/#@host:6379/0", "valkey://u:***@host:6379/0"),
        ("valky://:secret@host", "valky://:***@host"),
        ("valkey:/:secret@host", "valkey:/:***@host"),
        ("valkeys://[2001:db8::7]:6379/0", "valkeys://[2001:db8::7]:6379/0"),
        ("sqlite:/var/lib/a@b.db", "sqlite:/var/lib/a@b.db"),
        ("none", "none"),
    ],
)
def test_no_password_is_shown(url: str, text: str) -> None:
    """Whatever is in it, and however wrong the rest."""
    assert text == without_password(url)


def test_printable() -> None:
    """What a terminal would obey becomes an escape; letters of all languages stay."""
    assert "é\\x1b\\n\\ud800\\u200b" == printable("é\x1b\n\ud800\u200b")


def test_counted() -> None:
    """One is one, and thousands have their comma."""
    assert ["0 sessions", "1 session", "1,234 sessions"] == [counted(number, "session") for number in (0, 1, 1234)]
