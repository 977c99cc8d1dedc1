"""postfix_expand - `$name` and its conditional forms in the values of main.cf.

What      `Values` gives each parameter's value with everything replaced: $name, ${name}, $(name), ${name?text},
          ${name:text}, ${name?{text}:{text}}, ${{a} == {b} ? {text} : {text}}, and $$.
Promises  Nothing but `Unexpandable` is raised, and it ends however names refer to one another.
Not here  Defaults that Postfix works out on its host (myhostname, mynetworks): a value that needs one cannot be expanded.
Source    postconf(5); postfix's mac_expand.c.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from tarry.config.imports.postfix_files import Parameter

_DEEPEST = 40
_LONGEST = 200_000  # characters of a value: doubling names must not fill the memory
_STEPS = 10_000  # names that one value may refer to, itself and through others: nor take for ever
_NAME = re.compile(r"[A-Za-z0-9_]+", re.ASCII)
_RELATION = re.compile(r"\s*(==|!=|<=|>=|<|>)\s*")
_COMPARE: Mapping[str, Callable[[object, object], bool]] = {
    "==": lambda left, right: left == right,
    "!=": lambda left, right: left != right,
}
_ORDER: Mapping[str, Callable[[int], bool]] = {
    "<": lambda order: order < 0,
    "<=": lambda order: order <= 0,
    ">": lambda order: order > 0,
    ">=": lambda order: order >= 0,
}


class Unexpandable(Exception):
    """A value refers to what is not known here; the message says to what."""


class Values:
    """The parameters that are set, over defaults."""

    def __init__(self, given: Mapping[str, Parameter], defaults: Mapping[str, str]) -> None:
        self.given = given
        self.defaults = defaults
        self._steps = 0

    def raw(self, name: str) -> str | None:
        """Return a value as it is written, None for a parameter that nobody set and that has no known default."""
        return self.given[name].value if name in self.given else self.defaults.get(name)

    def value(self, name: str) -> str:
        """Return the value of a parameter."""
        raw = self.raw(name)
        if raw is None:
            raise Unexpandable(f"the value of {name} is not in the file")
        return self.expand(raw)

    def expand(self, text: str, depth: int = 0) -> str:
        """Return *text* with everything replaced."""
        self._steps = self._steps + 1 if depth else 0
        if depth > _DEEPEST or self._steps > _STEPS:
            raise Unexpandable("names refer to one another without end")
        made, at = list[str](), 0
        while (dollar := text.find("$", at)) >= 0:
            made.append(text[at:dollar])
            piece, at = self._replaced(text, dollar + 1, depth)
            made.append(piece)
            if sum(map(len, made)) > _LONGEST:
                raise Unexpandable("the value is too long")
        return "".join((*made, text[at:]))

    def _replaced(self, text: str, at: int, depth: int) -> tuple[str, int]:
        """Return what the reference after a dollar sign stands for, and where the text goes on."""
        if text[at : at + 1] == "$":
            return "$", at + 1
        if text[at : at + 1] in ("{", "("):
            end = _closing(text, at)
            return self._braced(text[at + 1 : end], depth), end + 1
        if named := _NAME.match(text, at):
            return self._plain(named[0], depth), named.end()
        raise Unexpandable("a dollar sign stands alone")

    def _plain(self, name: str, depth: int) -> str:
        raw = self.raw(name)
        if raw is None:
            raise Unexpandable(f"the value of {name} is not in the file")
        return self.expand(raw, depth + 1)

    def _braced(self, inside: str, depth: int) -> str:
        if inside.lstrip().startswith("{"):
            return self._related(inside.lstrip(), depth)
        named = _NAME.match(inside)
        if named is None:
            raise Unexpandable("braces hold no name")
        rest = inside[named.end() :].lstrip()
        if not rest:
            return self._plain(named[0], depth)
        is_set = bool(self.expand(self.raw(named[0]) or "", depth + 1))
        return self._chosen(is_set, rest, depth)

    def _related(self, inside: str, depth: int) -> str:
        end = _closing(inside, 0)
        relation = _RELATION.match(inside, end + 1)
        if relation is None or not inside.startswith("{", relation.end()):
            raise Unexpandable("a comparison is not complete")
        last = _closing(inside, relation.end())
        left = self.expand(inside[1:end].strip(), depth + 1)
        right = self.expand(inside[relation.end() + 1 : last].strip(), depth + 1)
        return self._chosen(_holds(left, relation[1], right), inside[last + 1 :].lstrip(), depth)

    def _chosen(self, is_true: bool, rest: str, depth: int) -> str:
        """Return the text behind ``?`` or ``:``, whichever counts."""
        sign, first, second = rest[:1] or " ", *_texts(rest[1:])
        if sign not in "?:":
            raise Unexpandable("a condition is not complete")
        if sign == ":":
            return "" if is_true else self.expand(first, depth + 1)
        return self.expand(first if is_true else second, depth + 1)


def _texts(text: str) -> tuple[str, str]:
    """Return the texts of a condition: what counts if it holds, and after a colon what counts otherwise."""
    bare = text.lstrip()
    if not bare.startswith("{"):
        return text, ""
    end = _closing(bare, 0)
    rest = bare[end + 1 :].lstrip()
    otherwise = rest[1:].strip() if rest.startswith(":") else ""
    if otherwise.startswith("{") and _closing(otherwise, 0) == len(otherwise) - 1:
        otherwise = otherwise[1:-1].strip()
    return bare[1:end].strip(), otherwise


def _closing(text: str, at: int) -> int:
    """Return where the bracket at *at* ends."""
    opening, closing = (text[at], {"{": "}", "(": ")"}[text[at]])
    depth = 0
    for place in range(at, len(text)):
        depth += (text[place] == opening) - (text[place] == closing)
        if depth == 0:
            return place
    raise Unexpandable("a bracket is not closed")


def _holds(left: str, relation: str, right: str) -> bool:
    numbers = all(text.isascii() and text.isdigit() and len(text) < 20 for text in (left, right))
    if relation in _COMPARE:
        return _COMPARE[relation](int(left), int(right)) if numbers else _COMPARE[relation](left, right)
    if numbers:
        return _ORDER[relation](int(left) - int(right))
    return _ORDER[relation]((left > right) - (left < right))
