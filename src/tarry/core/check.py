"""check - what a check is, and the one runner that asks them.

What      The `Check` protocol, the settings that every check takes from its ``[checks.NAME]`` table, `option` for a check's own
          keys, and `run`, which asks one.
Promises  A check is synchronous and pure: no I/O, no sleep, no log, no decision. One that raises becomes Unknown, and the
          client goes on. Failed is final: a check that failed is not asked again in that session.
Adding    One file in checks/, its test, one line in checks/__init__.py. Config keys, reference and JSON Schema follow from
          the declaration.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import msgspec

from tarry.core.border import Moment
from tarry.core.client import Phase
from tarry.core.result import Action, Outcome, Unknown
from tarry.smtp.text import escape


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the operator says about one check.

    ``at`` is the phase where the action is carried out, None for where the reason was found. ``weight`` adds to the score.
    ``header`` is a header line to insert and ``reply`` the whole reply; both may hold {client}, {reason}, {code} and {id};
    "" for none and for the usual one. ``remember`` is how long a pass is remembered, in seconds (used with history).
    """

    action: Action = Action.REJECT
    at: Phase | None = None
    weight: float = 0.0
    remember: float = 0.0
    header: str = ""
    reply: str = ""


class Seen(msgspec.Struct, frozen=True):
    """What a check may look at. ``dt`` is in seconds since accept."""

    moment: Moment
    phase: Phase
    dt: float


class Check(Protocol):
    """One check. The class attributes are its declaration; the module's docstring is its manual page."""

    @property
    def name(self) -> str:
        """The name of its config table, its reasons and its metrics."""

    @property
    def complaint(self) -> str:
        """What the client did, as a clause that can stand in a reply."""

    @property
    def codes(self) -> Mapping[str, str]:
        """Each code of a reason, with what it means."""

    @property
    def settings(self) -> Settings:
        """The defaults of the keys that every check has."""

    @property
    def options(self) -> type[Any]:
        """A frozen dataclass of the check's own keys, made with `option`."""

    @property
    def triggers(self) -> tuple[type[Moment], ...]:
        """The moments at which it looks."""

    def look(self, seen: Seen, options: Any) -> Outcome:
        """Return what was found."""


@dataclass(frozen=True, slots=True)
class NoOptions:
    """For a check that has no keys of its own."""


class Armed(msgspec.Struct, frozen=True):
    """A check with the operator's settings and options."""

    check: Check
    settings: Settings
    options: Any

    @property
    def name(self) -> str:
        return self.check.name


def option(default: Any, *, unit: str = "", help: str) -> Any:
    """Declare one key of a check: its default, its unit for the reference page, and what it does."""
    return field(default=default, metadata={"unit": unit, "help": help})


def by_trigger(armed: tuple[Armed, ...]) -> dict[type[Moment], tuple[Armed, ...]]:
    """Return, for each kind of moment, the checks that look at it, in registry order."""
    table: dict[type[Moment], list[Armed]] = {}
    for one in armed:
        for trigger in one.check.triggers:
            table.setdefault(trigger, []).append(one)
    return {trigger: tuple(found) for trigger, found in table.items()}


def run(armed: Armed, seen: Seen) -> Outcome:
    """Ask one check. Whatever it raises is its fault and not the client's: the outcome is Unknown."""
    try:
        return armed.check.look(seen, armed.options)
    except Exception as fault:  # the one broad handler of the core: DESIGN §2 rule 5, fail open
        return Unknown(escape(f"the check raised {type(fault).__name__}: {fault}".encode("utf-8", "backslashreplace")))
