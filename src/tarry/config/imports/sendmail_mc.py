"""sendmail_mc - the macro calls of a sendmail.mc: FEATURE, define and the like, with their arguments.

What      `calls` finds them as m4 would: `quotes' nest, dnl and # begin comments, arguments are split at commas outside quotes.
Promises  Arbitrary text raises nothing but ImportProblem, and only where a quote or a bracket does not end.
Not here  Expansion: nothing is included, and a macro in an argument stays as it is written, without its quotes.
Source    m4(1); cf/README of Sendmail 8.17.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import msgspec

from tarry.config.imports.found import ImportProblem

_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_CALLS = frozenset({"FEATURE", "define", "DAEMON_OPTIONS", "undefine"})


class Call(msgspec.Struct, frozen=True):
    """One macro call. ``arguments`` have lost their outer quotes."""

    name: str
    arguments: tuple[str, ...]
    line: int

    def argument(self, number: int) -> str:
        """Return an argument, "" for one that is not there."""
        return self.arguments[number] if number < len(self.arguments) else ""


def calls(text: str, file: str) -> Iterator[Call]:
    """Yield the calls of a sendmail.mc in their order."""
    at = 0
    while at < len(text):
        char = text[at]
        if char == "#":
            at = _line_end(text, at)
        elif char == "`":
            at = _quote_end(text, at, file)
        elif word := _WORD.match(text, at):
            if word[0] == "dnl":
                at = _line_end(text, at)
            elif word[0] in _CALLS and text.startswith("(", word.end()):
                end, arguments = _arguments(text, word.end(), file)
                yield Call(word[0], arguments, text.count("\n", 0, at) + 1)
                at = end
            else:
                at = word.end()
        else:
            at += 1


def _line_end(text: str, at: int) -> int:
    end = text.find("\n", at)
    return len(text) if end < 0 else end + 1


def _quote_end(text: str, at: int, file: str) -> int:
    """Return where the quotation that begins at *at* has ended."""
    depth = 0
    for place in re.finditer("[`']", text[at:]):
        depth += 1 if place[0] == "`" else -1
        if depth == 0:
            return at + place.end()
    raise ImportProblem(file, text.count("\n", 0, at) + 1, "a quotation begins here and does not end", "close it with '")


def _arguments(text: str, at: int, file: str) -> tuple[int, tuple[str, ...]]:
    """Return where a call ends, and its arguments. *at* is its opening bracket."""
    found, current, depth, place = list[str](), list[str](), 1, at + 1
    while place < len(text):
        char = text[place]
        if char == "`":
            end = _quote_end(text, place, file)
            current.append(text[place + 1 : end - 1])
            place = end
            continue
        word = _WORD.match(text, place)
        if word and word[0] == "dnl":
            place = _line_end(text, place)
            continue
        if word:
            current.append(word[0])
            place = word.end()
            continue
        depth += (char == "(") - (char == ")")
        if depth == 0:
            found.append("".join(current).strip())
            return place + 1, tuple(found)
        if char == "," and depth == 1:
            found.append("".join(current).strip())
            current = []
        else:
            current.append(char)
        place += 1
    raise ImportProblem(file, text.count("\n", 0, at) + 1, "a bracket is opened here and does not end", "close it with )")
