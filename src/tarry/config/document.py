"""document - TOML text as values, each with its line.

What      `read` parses with tomllib, and finds lines with tree-sitter's grammar, since tomllib keeps none. `Document` has the
          values, the line of each key and list element, and what the syntax makes impossible. The grammar is loaded only where
          lines are asked for: `tarry inetd` starts once a client.
Promises  Arbitrary text never raises. After a broken line of the form ``key = ...`` reading goes on with the next one, so that one
          look tells more than the first mistake.
Not here  Which keys there are: load.py.
Source    TOML 1.0.0.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec

from tarry.config.origin import Problem
from tarry.config.spelling import printable

if TYPE_CHECKING:
    from tree_sitter import Node, Parser

Path: TypeAlias = tuple[str | int, ...]

_TOLD = 20
"""How many broken lines are told; whoever has more has opened the wrong file."""

_DEEPEST = 8
"""How deep lines are looked for: twice as deep as any key lies, and a bound on what a key of a million parts costs."""

_PLACE = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)\Z")
_PAIR = re.compile(r"\s*[A-Za-z0-9_.\-\"']+\s*=")
_SKIPPABLE = (
    "Invalid value",
    "Expected newline",
    "Cannot overwrite a value",
    "Unescaped",
    "Illegal character",
    "Unterminated string",
)


class Document(msgspec.Struct, frozen=True):
    """What a text says. ``values`` is empty where nothing could be read."""

    values: Mapping[str, Any] = msgspec.field(default_factory=dict)
    lines: Mapping[Path, int] = msgspec.field(default_factory=dict)
    problems: tuple[Problem, ...] = ()

    def line(self, path: Path) -> int:
        """Return the line of a key, table or element, or that of the nearest thing around it; 0 where nothing is known."""
        while path:
            if path in self.lines:
                return self.lines[path]
            path = path[:-1]
        return 0


def read(text: str, file: str = "", *, lines: bool = True) -> Document:
    """Read TOML. *file* is for the problems. Without *lines* only what breaks the syntax has one."""
    text = text.removeprefix("\ufeff")  # editors on Windows put it there
    problems: list[Problem] = []
    kept = text.split("\n")
    while True:
        try:
            values = tomllib.loads("\n".join(kept))
            break
        except RecursionError:
            return Document(
                problems=(*problems, Problem("", "brackets are nested too deeply", "close each list and table", file=file))
            )
        except ValueError as fault:  # tomllib's own error, and int() for a number of thousands of digits
            problem, skippable = _explain(str(fault), kept, file)
            problems.append(problem)
            if not skippable or len(problems) == _TOLD:
                return Document(problems=tuple(problems))
            kept[problem.line - 1] = ""
    return Document(values, _lines_of("\n".join(kept)) if lines else {}, tuple(problems))


def _explain(message: str, lines: list[str], file: str) -> tuple[Problem, bool]:
    """Return tomllib's complaint as a problem, and whether the line can be left out to read on."""
    found = _PLACE.search(message)
    if found is None:
        return Problem("", "a number has too many digits", "shorten it", file=file), False
    said = message[: found.start()]
    # At the end of the document tomllib gives no line: it is the last one with something on it.
    number = int(found[1] or max((number for number, line in enumerate(lines, 1) if line.strip()), default=1))
    column = int(found[2] or 0)
    line = lines[number - 1] if number <= len(lines) else ""
    skippable = said.startswith(_SKIPPABLE) and _PAIR.match(line) is not None
    if said.startswith("Unterminated string"):
        skippable = skippable and line.count('"') % 2 == 1  # else it began further up, and everything since is in it
    problem = Problem("", printable(_lowered(said)), printable(_fix(said, line)), file=file, line=number, column=column)
    return problem, skippable


def _lowered(said: str) -> str:
    """Return tomllib's words as part of a sentence, and where they are obscure, better ones."""
    if said.startswith("Illegal character '\\n'"):
        return "a text does not end on its line"
    if said.startswith("Unterminated string"):
        return "a text does not end before the file does"
    if said.startswith("Cannot overwrite a value"):
        return "this key is set a second time"
    if found := re.fullmatch(r"Cannot declare \((.*)\) twice", said):
        return f"the table [{'.'.join(re.findall(r'[A-Za-z0-9_-]+', found[1]))}] is there a second time"
    return said[:1].lower() + said[1:160]


def _fix(said: str, line: str) -> str:
    """Guess from a broken line what was meant."""
    key, equals, value = line.partition("=")
    key, value = key.strip(), value.partition("#")[0].strip()
    if said.startswith("Cannot declare"):
        return "put the keys of both under one heading"
    if said.startswith("Cannot overwrite"):
        return "keep one of the two lines"
    if said.startswith("Unclosed array"):
        return "close the bracket of the list, and put commas between its elements"
    if line.lstrip().startswith("["):
        return "a heading is a name in brackets, such as [hold]"
    if said.startswith(("Unterminated", "Illegal character")) or value.count('"') % 2:
        return "close the quotes"
    if said.startswith(("Unescaped", "Invalid hex")) or "\\" in value:
        return r"put text with backslashes into single quotes: '^10\.'"
    if said.startswith("Expected newline") and "[" in value:
        return "close the bracket, and put commas between the elements"
    if equals and value.lower() in ("true", "yes", "on", "false", "no", "off"):
        return f"write {key} = {'true' if value.lower() in ('true', 'yes', 'on') else 'false'}"
    if equals and not value:
        return f'write a value, such as {key} = "...", or put # before the line'
    if equals and re.fullmatch(r"[^\"'\[\]{}=]+", value):
        return f'put text and durations into quotes: {key} = "{value[:60]}"'
    if not equals and re.match(r"\s*[A-Za-z0-9_.-]+\s*:", line):
        return "write an equals sign in place of the colon"
    return 'a line is key = value, a heading [name], or a comment after "#"'


@cache
def _parser() -> Parser:
    import tree_sitter_toml
    from tree_sitter import Language, Parser

    return Parser(Language(tree_sitter_toml.language()))


def _lines_of(text: str) -> dict[Path, int]:
    tree = _parser().parse(text.encode("utf-8", "replace"))
    found: dict[Path, int] = {}
    counts: dict[Path, int] = {}
    for node in tree.root_node.children:
        if node.type == "pair":
            _add_pair(node, (), found)
        elif node.type in ("table", "table_array_element"):
            _add_table(node, found, counts)
    return found


def _add_table(node: Node, found: dict[Path, int], counts: dict[Path, int]) -> None:
    heading = next((child for child in node.named_children if child.type in ("bare_key", "quoted_key", "dotted_key")), None)
    if heading is None:
        return
    path: Path = ()
    parts = list(_parts(heading))
    for position, part in enumerate(parts):
        path = (*path, part)
        is_last = position == len(parts) - 1
        if is_last and node.type == "table_array_element":
            counts[path] = counts.get(path, -1) + 1
        found.setdefault(path, _line(node))
        if path in counts:
            path = (*path, counts[path])
            found.setdefault(path, _line(node))
    for child in node.named_children:
        if child.type == "pair":
            _add_pair(child, path, found)


def _add_pair(node: Node, above: Path, found: dict[Path, int]) -> None:
    named = [child for child in node.named_children if child.type != "comment"]
    if len(named) < 2:
        return
    path = above
    for part in _parts(named[0]):
        path = (*path, part)
        found.setdefault(path, _line(node))
    _add_value(named[-1], path, found)


def _add_value(node: Node, path: Path, found: dict[Path, int]) -> None:
    if len(path) > _DEEPEST:
        return
    if node.type == "inline_table":
        for child in node.named_children:
            if child.type == "pair":
                _add_pair(child, path, found)
    elif node.type == "array":
        for index, child in enumerate(child for child in node.named_children if child.type != "comment"):
            found[(*path, index)] = _line(child)
            _add_value(child, (*path, index), found)


def _parts(node: Node) -> Iterator[str]:
    """The parts of a key as tomllib reads it: quotes and escapes undone."""
    text = (node.text or b"").decode("utf-8", "replace")
    try:
        nested: object = tomllib.loads(f"{text} = 0")
    except ValueError:
        return
    for _ in range(_DEEPEST):
        if not isinstance(nested, dict):
            return
        part, nested = next(iter(nested.items()))
        yield part


def _line(node: Node) -> int:
    return int(node.start_point[0]) + 1
