"""The macro calls of sendmail.mc."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tarry.config.imports.found import ImportProblem
from tarry.config.imports.sendmail_mc import Call, calls


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("FEATURE(`greet_pause', `5000')dnl", [Call("FEATURE", ("greet_pause", "5000"), 1)]),
        ("FEATURE(greet_pause, 5000)", [Call("FEATURE", ("greet_pause", "5000"), 1)]),
        ("dnl FEATURE(`a')\nFEATURE(`b')", [Call("FEATURE", ("b",), 2)]),
        ("# FEATURE(`a')\nFEATURE(`b')", [Call("FEATURE", ("b",), 2)]),
        ("`FEATURE(`a')'\nFEATURE(`b')", [Call("FEATURE", ("b",), 2)]),
        ("define(`a',\n  `x, (y)')", [Call("define", ("a", "x, (y)"), 1)]),
        ("define(`a', `b `c' d')", [Call("define", ("a", "b `c' d"), 1)]),
        ("define(a, f(1, 2))", [Call("define", ("a", "f(1, 2)"), 1)]),
        ("define(a, b)dnl define(c, d)\ndefine(e)", [Call("define", ("a", "b"), 1), Call("define", ("e",), 2)]),
        ("define(a, dnl no\n b)", [Call("define", ("a", "b"), 1)]),
        ("MYFEATURE(`a') FEATURE (`b') FEATURE", []),
        ("FEATURE()", [Call("FEATURE", ("",), 1)]),
        ("it's mine\nFEATURE(`a')", [Call("FEATURE", ("a",), 2)]),
    ],
)
def test_calls_are_found(text: str, expected: list[Call]) -> None:
    """Not in comments and not in quotes; the outer quotes of arguments are gone."""
    assert expected == list(calls(text, "sendmail.mc"))


def test_an_argument_that_is_not_there_is_empty() -> None:
    """As in m4."""
    assert ("a", "") == (Call("FEATURE", ("a",), 1).argument(0), Call("FEATURE", ("a",), 1).argument(1))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("x\nFEATURE(`a)\n", "sendmail.mc:2: a quotation begins here"),
        ("`\n", "sendmail.mc:1: a quotation begins here"),
        ("\n\ndefine(a, b\n", "sendmail.mc:3: a bracket is opened here"),
    ],
)
def test_what_does_not_end_is_a_problem(text: str, problem: str) -> None:
    """With the line in which it begins."""
    with pytest.raises(ImportProblem, match=problem):
        list(calls(text, "sendmail.mc"))


@given(st.text(alphabet=st.sampled_from("`'(),#\n ab"), max_size=60), st.booleans())
def test_any_text_has_calls_or_is_a_problem(text: str, quoted: bool) -> None:
    """Nothing but ImportProblem is raised."""
    try:
        list(calls(f"FEATURE(`{text}')" if quoted else f"define({text}", "x"))
    except ImportProblem:
        pass
