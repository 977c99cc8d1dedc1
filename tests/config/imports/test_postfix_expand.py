"""References in the values of main.cf."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tarry.config.imports.postfix_expand import Unexpandable, Values
from tarry.config.imports.postfix_files import Parameter

GIVEN = {
    "a": "1",
    "b": "$a$a",
    "empty": "",
    "myhostname": "mx.example.org",
    "loop": "$loop",
    "bomb": "$b$b$b",
    "wide": "y" * 1000,
    **{f"e{n}": f"$e{n + 1}$e{n + 1}" for n in range(30)},
    "e30": "",
}


def values() -> Values:
    return Values({name: Parameter(name, value, "main.cf", 1) for name, value in GIVEN.items()}, {"mail_name": "Postfix", "a": "9"})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain", "plain"),
        ("$a", "1"),
        ("$b.", "11."),
        ("${b}x", "11x"),
        ("$(a)", "1"),
        ("$$a", "$a"),
        ("$myhostname ESMTP $mail_name", "mx.example.org ESMTP Postfix"),
        ("${stress?2}", ""),
        ("${stress:6}s", "6s"),
        ("${a?yes}${a:no}", "yes"),
        ("${stress?{2}:{6}}s", "6s"),
        ("${a?{2}:{6}}", "2"),
        ("${a ? {$b} : {6}}", "11"),
        ("${empty?{2}:$b}", "11"),
        ("${empty?{2}}", ""),
        ("${a?$b}", "11"),
        ("${{$a} == {1} ? {same} : {other}}", "same"),
        ("${{$a} != {1} ? {same} : {other}}", "other"),
        ("${{9} < {10} ? {number} : {text}}", "number"),
        ("${{9x} < {10x} ? {number} : {text}}", "text"),
        ("${{10} >= {10} ? {yes}}", "yes"),
        ("${{b} > {a} ? {yes}}", "yes"),
        ("${{b} <= {a} ? {yes}}", ""),
        ("${{a} == {b} : {no}}", "no"),
    ],
)
def test_references_are_replaced(text: str, expected: str) -> None:
    """Each form that postconf(5) has; what nobody set counts as empty in a condition."""
    assert expected == values().expand(text)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("$nobody", "the value of nobody is not in the file"),
        ("$loop", "without end"),
        ("$wide" * 300, "too long"),
        ("$e0", "without end"),
        ("${a", "not closed"),
        ("$", "stands alone"),
        ("$ a", "stands alone"),
        ("${}", "no name"),
        ("${a!b}", "not complete"),
        ("${{a} = {b}}", "not complete"),
        ("${{a} ==}", "not complete"),
        ("${{a} == {a}}", "not complete"),
        ("${{a}}", "not complete"),
    ],
)
def test_what_cannot_be_replaced_is_said(text: str, why: str) -> None:
    """One exception, with the reason."""
    with pytest.raises(Unexpandable, match=why):
        values().expand(text)


def test_a_value_is_the_given_one_or_the_default() -> None:
    """A parameter that has neither is an error."""
    assert ("1", "Postfix") == (values().value("a"), values().value("mail_name"))
    with pytest.raises(Unexpandable, match="not in the file"):
        values().value("mynetworks")


@given(st.text(alphabet=st.sampled_from("ab$(){}?:=!<> 12"), max_size=80))
def test_any_text_is_expanded_or_said_not_to_be(text: str) -> None:
    """Nothing else is raised, and it ends."""
    try:
        values().expand(text)
    except Unexpandable:
        pass
