"""TOML text with the line of each key, and its syntax errors."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tarry.config.document import Document, read

TEXT = """\
preset = "x"
a.b = { c.d = 1, "e.f" = [1, 2] }

[hold]   # a comment
wait = "3s"
[checks.'pre']
x = [
  "a",   # one
  # none
  { y = 1 },
]
[[foo.bar]]
z = 1
[[foo.bar]]
[foo.bar.q]
z = 1
"""


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (("preset",), 1),
        (("a",), 2),
        (("a", "b", "c", "d"), 2),
        (("a", "b", "e.f", 1), 2),
        (("hold",), 4),
        (("hold", "wait"), 5),
        (("checks", "pre", "x"), 7),
        (("checks", "pre", "x", 0), 8),
        (("checks", "pre", "x", 1, "y"), 10),
        (("foo", "bar"), 12),
        (("foo", "bar", 0, "z"), 13),
        (("foo", "bar", 1), 14),
        (("foo", "bar", 1, "q", "z"), 16),
        (("hold", "wait", 3), 5),
        (("nowhere",), 0),
        ((), 0),
    ],
)
def test_lines(path: tuple[str | int, ...], line: int) -> None:
    """Each key and list element has its line; what has none has that of the thing around it."""
    assert line == read(TEXT).line(path)


def test_values_are_those_of_tomllib() -> None:
    """The values come as tomllib reads them, after a byte order mark too."""
    doc = read("\ufeff" + TEXT)
    assert ("3s", [{"z": 1}, {"q": {"z": 1}}], ()) == (doc.values["hold"]["wait"], doc.values["foo"]["bar"], doc.problems)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "[hold]\nwait = 3s",
            "t.toml:2:9: error: expected newline or end of document after a statement; "
            'put text and durations into quotes: wait = "3s"',
        ),
        ("maildir = /var/mail", 't.toml:1:11: error: invalid value; put text and durations into quotes: maildir = "/var/mail"'),
        ("a = yes", "t.toml:1:5: error: invalid value; write a = true"),
        ("a = False # no", "t.toml:1:5: error: invalid value; write a = false"),
        ("a =\n", 't.toml:1:4: error: invalid value; write a value, such as a = "...", or put # before the line'),
        ('a = "b', "t.toml:1: error: a text does not end before the file does; close the quotes"),
        ('a = "b\nc = 1', "t.toml:1:7: error: a text does not end on its line; close the quotes"),
        ('a = """b\nc = 1\n\n', "t.toml:2: error: a text does not end before the file does; close the quotes"),
        ('a = "^10\\.1"', r"t.toml:1:11: error: unescaped '\' in a string; put text with backslashes into single quotes: '^10\.'"),
        (
            "[hold\n",
            "t.toml:1:6: error: expected ']' at the end of a table declaration; a heading is a name in brackets, such as [hold]",
        ),
        ("[hold]\n[hold]", "t.toml:2:6: error: the table [hold] is there a second time; put the keys of both under one heading"),
        ("a = 1\na = 2\n", "t.toml:2:6: error: this key is set a second time; keep one of the two lines"),
        ("a = 1\na = 2", "t.toml:2: error: this key is set a second time; keep one of the two lines"),
        ("a = [1\nb = 2", "t.toml:2:1: error: unclosed array; close the bracket of the list, and put commas between its elements"),
        (
            "a = [1] [2]",
            "t.toml:1:9: error: expected newline or end of document after a statement; "
            "close the bracket, and put commas between the elements",
        ),
        ("a: 1", "t.toml:1:2: error: expected '=' after a key in a key/value pair; write an equals sign in place of the colon"),
        (
            "tarry",
            "t.toml:1: error: expected '=' after a key in a key/value pair; "
            'a line is key = value, a heading [name], or a comment after "#"',
        ),
        ("a = 1" + "0" * 5000, "t.toml: error: a number has too many digits; shorten it"),
        ("a = " + "[" * 5000, "t.toml: error: brackets are nested too deeply; close each list and table"),
        (
            "a\x1b = 1",
            "t.toml:1:2: error: expected '=' after a key in a key/value pair; put text and durations into quotes: a\\x1b = \"1\"",
        ),
    ],
)
def test_syntax_errors(text: str, told: str) -> None:
    """A syntax error is told with line, column and what was probably meant."""
    assert [told] == [str(problem) for problem in read(text, "t.toml").problems]


def test_reading_goes_on_after_a_broken_line() -> None:
    """A line that is broken by itself does not hide what comes after it."""
    doc = read('a = 1s\nb = "2"\nc = on\n[d]\ne = 5')
    assert ([1, 3], {"b": "2", "d": {"e": 5}}, 5) == ([one.line for one in doc.problems], doc.values, doc.line(("d", "e")))


def test_a_file_that_is_something_else_is_told_shortly() -> None:
    """A file full of broken lines gets twenty problems and no more."""
    assert 20 == len(read("".join(f"a{number} = x\n" for number in range(100))).problems)


@given(text=st.text() | st.text(alphabet="[]{}=.,\"'\\\n#ab1 "))
def test_arbitrary_text_never_raises(text: str) -> None:
    """Whatever the text, it is read or told about, in printable words."""
    doc = read(text)
    assert all(problem.sentence.isprintable() for problem in doc.problems)


def test_deep_dotted_keys_are_read() -> None:
    """A key of thousands of parts, or a list as deep as tomllib reads, is no reason to fail."""
    assert 1 == read("a = " + "[" * 200 + "]" * 200).line(("a", 0, 0))
    assert 1 == read("a" + ".a" * 2000 + " = 1").line(("a", "a", "a"))


def test_an_empty_document_has_nothing() -> None:
    """No text, no values, no problems."""
    assert Document() == read("")


def test_lines_are_looked_for_only_when_asked_for() -> None:
    """What breaks the syntax has its line all the same."""
    broken = "a = 1\nb = yes\n"
    assert ({"a": 1}, {}, 2) == ((document := read(broken, lines=False)).values, document.lines, document.problems[0].line)
    assert 1 == read(broken).line(("a",))
