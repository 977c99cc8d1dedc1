"""The syntax of main.cf and master.cf."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tarry.config.imports.found import ImportProblem
from tarry.config.imports.postfix_files import logical_lines, parameters, seconds, services, unbraced, words


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a = 1\nb = 2\n", [(1, "a = 1"), (2, "b = 2")]),
        ("a =\n  1,\n\t2\n", [(1, "a =  1,\t2")]),
        ("# x\n\na = 1\n# y\n  2\n   # z\n\n  3\n", [(3, "a = 1  2  3")]),
        ("  lost\na = 1", [(2, "a = 1")]),
        ("a = 1\r\n b\r\n", [(1, "a = 1 b")]),
        ("", []),
    ],
)
def test_lines_are_joined(text: str, expected: list[tuple[int, str]]) -> None:
    """Comments and empty lines may stand in between; a line that continues nothing is ignored."""
    assert expected == list(logical_lines(text))


def test_parameters_have_their_lines() -> None:
    """The last one of a name counts, also in the output of postconf -n."""
    found = parameters("a = 1\nb=\n  x y\na = 2\n", "main.cf")
    assert {"a": ("2", 4), "b": ("x y", 2)} == {name: (one.value, one.line) for name, one in found.items()}


def test_elements_have_their_lines() -> None:
    """Of a list over several lines; what is not written there, such as what a name stands for, has the first one."""
    one = parameters("x = 1\na = b, c\n# no\n  d\n\te f\n", "main.cf")["a"]
    assert [2, 2, 4, 5, 5, 2] == [one.line_of(word) for word in ("b", "c", "d", "e", "f", "z")]


@pytest.mark.parametrize(("text", "line"), [("a = 1\nb\n", 2), ("= 1\n", 1), ("smtp inet n - y - 1 postscreen -o a=b", 1)])
def test_what_is_no_main_cf(text: str, line: int) -> None:
    """A line without an equals sign, without a name, with several words for one: master.cf by mistake."""
    with pytest.raises(ImportProblem) as caught:
        parameters(text, "main.cf")
    assert ("main.cf", line) == (caught.value.file, caught.value.line)


MASTER = """\
# service type  private unpriv  chroot  wakeup  maxproc command
smtp      inet  n       -       y       -       1       postscreen
  -o postscreen_greet_wait=4s
  -o { smtpd_banner = a b }
  -oa=1 -v -o
smtpd     pass  -       -       y       -       -       smtpd -o smtpd_x=1
smtpd     pass  n       -       y       -       -       smtpd
"""


def test_services_have_their_overrides() -> None:
    """Of two with one name and type the last counts; the third column tells which folder the socket is in."""
    smtp, smtpd = services(MASTER, "master.cf")
    assert ("smtp", "inet", "postscreen", 2) == (smtp.name, smtp.type, smtp.command, smtp.line)
    assert {"postscreen_greet_wait": "4s", "smtpd_banner": "a b", "a": "1"} == {
        name: one.value for name, one in smtp.options.items()
    }
    assert (False, {}, 7) == (smtpd.is_private, smtpd.options, smtpd.line)


def test_a_service_has_eight_fields() -> None:
    """Anything else is no master.cf."""
    with pytest.raises(ImportProblem, match=r"master.cf:1: a service has 8 fields, and here are 3; see master\(5\)"):
        services("smtpd_banner = x\n", "master.cf")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a, b\tc,,d", ["a", "b", "c", "d"]),
        ("cidr:{ {1.2.3.4 permit}, {::1 x} } b", ["cidr:{ {1.2.3.4 permit}, {::1 x} }", "b"]),
        ("} a", ["}", "a"]),
        ("{ a", ["{ a"]),
        ("", []),
    ],
)
def test_lists_are_split_outside_braces(text: str, expected: list[str]) -> None:
    """At blanks and commas."""
    assert expected == words(text)


def test_braces_come_off_once() -> None:
    """Where they are around the whole."""
    assert ["a {b}", "a", "{a"] == [unbraced(text) for text in ("{ a {b} }", "a", "{a")]


@pytest.mark.parametrize(
    ("value", "unit", "expected"),
    [("6", "s", 6), ("6s", "d", 6), ("1", "d", 86400), ("2w", "s", 1209600), ("5m", "s", 300), (" 3h ", "s", 10800)],
)
def test_times(value: str, unit: str, expected: int) -> None:
    """With the parameter's own unit where there is no letter."""
    assert expected == seconds(value, unit)


@pytest.mark.parametrize("value", ["", "6 seconds", "-1", "1.5s", "6S", "٣"])
def test_what_is_no_time(value: str) -> None:
    """Postfix takes whole numbers with one small letter."""
    with pytest.raises(ValueError, match="no time"):
        seconds(value, "s")


@given(st.text(alphabet=st.sampled_from("ab={},# \t\n-o"), max_size=200))
def test_any_text_is_read_or_is_a_problem(text: str) -> None:
    """Nothing but ImportProblem is raised."""
    for read in (parameters, services):
        try:
            read(text, "x")
        except ImportProblem as problem:
            assert 1 <= problem.line <= text.count("\n") + 1
    words(text)
