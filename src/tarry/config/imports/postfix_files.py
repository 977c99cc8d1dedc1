"""postfix_files - the syntax of main.cf and master.cf, and of lists in their values.

What      `parameters` reads main.cf or the output of `postconf -n`, `services` reads master.cf, `words` splits a list.
Promises  Arbitrary text raises nothing but ImportProblem. As in Postfix the last of two lines with one name counts, a line that
          begins with blank space continues the one before, and comments may stand in between.
Source    postconf(5), master(5), postfix's readlline.c.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import msgspec

from tarry.config.imports.found import ImportProblem
from tarry.config.spelling import printable

_FIELDS = 8
_BLANK = " \t\r\n,"


class Parameter(msgspec.Struct, frozen=True):
    """One parameter as it is written, with the file and the line in which it begins."""

    name: str
    value: str
    file: str
    line: int
    parts: tuple[tuple[int, str], ...] = ()

    def line_of(self, word: str) -> int:
        """Return the line on which an element of a list stands, the first one where that cannot be told."""
        return next((line for line, text in self.parts if word in words(text)), self.line)


class Service(msgspec.Struct, frozen=True):
    """One line of master.cf. ``options`` are its -o overrides."""

    name: str
    type: str
    is_private: bool
    command: str
    options: dict[str, Parameter]
    line: int


def logical_lines(text: str) -> Iterator[tuple[int, str]]:
    """Yield the lines of a Postfix file joined as they belong together, each with the number of its first one."""
    for parts in _parted(text):
        yield parts[0][0], "".join(part for _, part in parts)


def _parted(text: str) -> Iterator[list[tuple[int, str]]]:
    """Yield the lines that belong together, each with its number."""
    parts = list[tuple[int, str]]()
    for at, line in enumerate(text.split("\n"), 1):
        line = line.rstrip("\r")
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        if line[0] in " \t":
            if parts:
                parts.append((at, line))
            continue  # with nothing to continue, Postfix ignores the line too
        if parts:
            yield parts
        parts = [(at, line)]
    if parts:
        yield parts


def parameters(text: str, file: str) -> dict[str, Parameter]:
    """Return what a main.cf sets, by name."""
    found: dict[str, Parameter] = {}
    for parts in _parted(text):
        number = parts[0][0]
        name, equals, value = "".join(part for _, part in parts).partition("=")
        name = name.strip()
        if not equals:
            raise ImportProblem(file, number, "there is no equals sign", "a line of main.cf is name = value")
        if not name or re.search(r"\s", name):
            raise ImportProblem(file, number, f'"{printable(name[:40])}" is no name', "a line of main.cf is name = value")
        first = (number, parts[0][1].partition("=")[2])
        found[name] = Parameter(name, value.strip(), file, number, (first, *parts[1:]))
    return found


def services(text: str, file: str) -> list[Service]:
    """Return the services of a master.cf; of two with one name and type the last one."""
    found: dict[tuple[str, str], Service] = {}
    for number, line in logical_lines(text):
        fields = line.split(None, _FIELDS - 1)
        if len(fields) < _FIELDS:
            what = f"a service has {_FIELDS} fields, and here are {len(fields)}"
            raise ImportProblem(file, number, what, "see master(5)")
        command, *arguments = words(fields[-1], blank=" \t\r\n") or [""]
        service = Service(fields[0], fields[1], fields[2] != "n", command, _options(arguments, file, number), number)
        found.pop((service.name, service.type), None)
        found[service.name, service.type] = service
    return list(found.values())


def _options(arguments: list[str], file: str, line: int) -> dict[str, Parameter]:
    found: dict[str, Parameter] = {}
    waiting = False
    for argument in arguments:
        if waiting or (argument.startswith("-o") and argument != "-o"):
            said = unbraced(argument if waiting else argument[2:])
            name, equals, value = said.partition("=")
            if equals and name.strip():
                found[name.strip()] = Parameter(name.strip(), value.strip(), file, line)
        waiting = not waiting and argument == "-o"
    return found


def words(text: str, blank: str = _BLANK) -> list[str]:
    """Return the elements of a list: split at blanks and commas, but not inside braces."""
    found, current, depth = list[str](), list[str](), 0
    for char in text:
        depth += (char == "{") - (char == "}" and depth > 0)
        if depth or char not in blank:
            current.append(char)
        elif current:
            found.append("".join(current))
            current = []
    if current:
        found.append("".join(current))
    return found


def unbraced(text: str) -> str:
    """Return what stands inside the braces around *text*, where there are some."""
    text = text.strip()
    return text[1:-1].strip() if text.startswith("{") and text.endswith("}") else text


_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


def seconds(value: str, unit: str) -> int:
    """Return a time of Postfix in seconds; *unit* is what it has without a letter. Raises ValueError."""
    match = re.fullmatch(r"\s*([0-9]{1,12})\s*([smhdw]?)\s*", value, re.ASCII)
    if match is None:
        raise ValueError(f"{value} is no time of Postfix")
    return int(match[1]) * _SECONDS[match[2] or unit]
