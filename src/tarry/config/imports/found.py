"""found - what an old configuration comes to: settings of tarry, each with its origin, and what has no counterpart.

What      `Found` gathers; `Source` is where a thing was said; `ImportProblem` is a file that cannot be read as what it should be.
Promises  Values only. Nothing that the old files say about screening is dropped in silence: it is a setting or it is `Missing`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeAlias

import msgspec

from tarry.config.spelling import spell

ReadFile: TypeAlias = Callable[[str], str]
"""Returns the text of a file that another one names. Raises OSError, or ImportProblem for what is no text."""


class ImportProblem(Exception):
    """A file cannot be read or parsed. ``line`` 0 means that the whole file is meant."""

    def __init__(self, file: str, line: int, what: str, fix: str) -> None:
        super().__init__(f"{file}:{line}: {what}; {fix}" if line else f"{file}: {what}; {fix}")
        self.file = file
        self.line = line
        self.what = what
        self.fix = fix


class Source(msgspec.Struct, frozen=True):
    """Where something was said: ``name`` is the old word for it. Without a file it is a default of the old program."""

    file: str
    line: int
    name: str

    @property
    def is_default(self) -> bool:
        return not self.file

    @property
    def place(self) -> str:
        return f"{self.file}:{self.line}" if self.line else self.file

    def __str__(self) -> str:
        return f"{self.place} {self.name}".strip()


class Setting(msgspec.Struct, frozen=True):
    """A key of tarry with its value. ``note`` goes into the comment."""

    key: str
    value: object
    source: Source
    note: str = ""

    @property
    def comment(self) -> str:
        return f"{self.source}: {self.note}" if self.note else str(self.source)


class Missing(msgspec.Struct, frozen=True):
    """A line of the old configuration that nothing here does: why, and what to do instead."""

    source: Source
    value: str
    why: str
    instead: str


class Found:
    """A whole import, as it grows. The order in which things are found is kept."""

    def __init__(self, program: str) -> None:
        self.program = program
        self.settings: dict[str, Setting] = {}
        self.elements: dict[str, list[Setting]] = {}
        self.missing: list[Missing] = []
        self._added: set[tuple[str, str]] = set()

    def set(self, key: str, value: object, source: Source, note: str = "") -> None:
        """Give a key its value; the last one counts, as in the files that are read."""
        self.settings[key] = Setting(key, value, source, note)

    def add(self, key: str, value: object, source: Source, note: str = "") -> None:
        """Add an element to a list, or a table to an array of tables. The same element is kept once."""
        if (key, spell(value)) not in self._added:
            self._added.add((key, spell(value)))
            self.elements.setdefault(key, []).append(Setting(key, value, source, note))

    def miss(self, source: Source, value: str, why: str, instead: str) -> None:
        """Tell what has no counterpart. *why* and *instead* are sentences without their full stop."""
        self.missing.append(Missing(source, value, why, instead))

    def default(self, note: str = "") -> Source:
        """Return the source of what the old program does by itself."""
        return Source("", 0, f"{self.program}'s default{': ' + note if note else ''}")

    def has(self, key: str) -> bool:
        return key in self.settings or key in self.elements

    def all(self) -> Iterator[Setting]:
        """Yield every setting; those of lists element by element."""
        yield from self.settings.values()
        for listed in self.elements.values():
            yield from listed
