"""case - a configuration that is being looked at for problems, and what the rules about it share.

What      `Case`, and the words of problems that come in more than one place.
Not here  The rules (config/problems, config/reactions).
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from tarry.config.origin import DEFAULT, Origin, Problem, Severity
from tarry.config.schema import Config


class Case(msgspec.Struct, frozen=True):
    """A configuration, where its values come from, and whether it is for one client of `tarry inetd` alone."""

    config: Config
    origins: Mapping[str, Origin]
    alone: bool = False

    @property
    def gives_away(self) -> bool:
        """True when nothing after the greeting can be seen or slowed."""
        handoff = self.config.handoff
        return self.alone or handoff.mode == "pass" or (handoff.mode == "exec" and handoff.stdio == "socket")

    def is_set(self, key: str) -> bool:
        return self.origins.get(key, DEFAULT).is_set

    def is_operators(self, key: str) -> bool:
        """True where the operator says it, and not only a preset."""
        return self.origins.get(key, DEFAULT).is_operators


def warning(where: str, what: str, fix: str) -> Problem:
    """Return what is unwise and works."""
    return Problem(where, what, fix, Severity.WARNING)


def chosen(case: Case, *keys: str) -> str:
    """Return the first key that somebody set, or the first: a problem is told where it was made."""
    return next((key for key in keys if case.is_set(key)), keys[0])


def blind(case: Case, where: str, instead: str) -> Problem:
    """Return that this key has to do with what comes after the greeting, and the client is given away at it."""
    if case.alone:
        fix = f'run `tarry serve` with handoff.mode = "proxy", {instead}'
        return Problem(where, "`tarry inetd` gives the client away at the greeting", fix)
    mode = case.config.handoff.mode
    in_line = 'handoff.stdio = "pipe"' if mode == "exec" else 'handoff.mode = "proxy"'
    return Problem(where, f'handoff.mode = "{mode}" gives the client away at the greeting', f"set {in_line}, {instead}")
