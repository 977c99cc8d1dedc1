"""origin - where a value came from, and what is wrong with one.

What      `Origin`, `Problem` and the error that carries problems where the caller wants an exception.
Promises  Values only. A problem is one sentence that says what is wrong and one that mends it.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

import msgspec


class Origin(msgspec.Struct, frozen=True):
    """Where a value was set. ``kind`` is default, preset, file, flag, or derived (taken from another key, see ``name``)."""

    kind: str = "default"
    name: str = ""
    line: int = 0

    @property
    def is_operators(self) -> bool:
        """True for what the operator wrote: in the file or as a flag."""
        return self.kind in ("file", "flag")

    @property
    def is_set(self) -> bool:
        """True for what somebody chose: the operator, or a preset."""
        return self.kind != "default"

    def __str__(self) -> str:
        match self.kind:
            case "file":
                return f"{self.name}:{self.line}" if self.line else self.name
            case "preset":
                return f"preset {self.name}"
            case "derived":
                return f"from {self.name}"
            case _:
                return self.kind


DEFAULT = Origin()


class Severity(StrEnum):
    """An error keeps tarry from starting; a warning is told and changes nothing."""

    ERROR = "error"
    WARNING = "warning"


class Problem(msgspec.Struct, frozen=True):
    """One thing that is wrong. ``where`` is a key; line and column count from 1, and 0 means that there is none."""

    where: str
    what: str
    fix: str = ""
    severity: Severity = Severity.ERROR
    file: str = ""
    line: int = 0
    column: int = 0

    @property
    def is_error(self) -> bool:
        return self.severity is Severity.ERROR

    @property
    def place(self) -> str:
        """``file:line:column``, as far as known."""
        numbers = [str(number) for number in (self.line, self.column) if number]
        return ":".join([self.file, *numbers]) if self.file else ""

    @property
    def sentence(self) -> str:
        """What is wrong and how to mend it."""
        said = f"{self.where}: {self.what}" if self.where else self.what
        return f"{said}; {self.fix}" if self.fix else said

    def __str__(self) -> str:
        return f"{self.place}: {self.severity}: {self.sentence}" if self.place else f"{self.severity}: {self.sentence}"


class ConfigError(ValueError):
    """The configuration has errors; the message holds every problem, one a line."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = tuple(problems)
