"""own - an operator's check, for the tests of what loads, judges and explains such."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from tarry.core.border import Hello, Moment
from tarry.core.check import Seen, Settings, option
from tarry.core.client import Phase
from tarry.core.result import PASSED, Action, Failed

SOURCE = '''\
"""greeter - notice clients whose name holds a word of the operator's list.

What      The name in EHLO or HELO.
Mistaken  Whoever is called so.
"""

from dataclasses import dataclass

from tarry.core.border import Hello
from tarry.core.check import Settings, option
from tarry.core.client import Phase
from tarry.core.result import PASSED, Action, Failed


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    words: tuple[str, ...] = option(("dyn",), unit="words", help="words that a name is not to hold")


class Greeter:
    name = "greeter"
    complaint = "Your name is not wanted"
    codes = {"word": "the name holds one of the words"}
    settings = Settings(action=Action.REJECT, at=Phase.MAIL)
    options = Options
    triggers = (Hello,)

    def look(self, seen, options):
        found = [word for word in options.words if word in seen.moment.name]
        return Failed("word", found[0]) if found else PASSED


CHECKS = (Greeter(),)
'''
"""A plugin file with one check."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Keys of ``[checks.greeter]``."""

    words: tuple[str, ...] = option(("dyn",), unit="words", help="words that a name is not to hold")


class Greeter:
    """greeter - notice clients whose name holds a word of the operator's list."""

    name: Any = "greeter"
    complaint: Any = "Your name is not wanted"
    codes: ClassVar[Mapping[str, str]] = {"word": "the name holds one of the words"}
    settings: Any = Settings(action=Action.REJECT, at=Phase.MAIL)
    options: Any = Options
    triggers: tuple[type[Moment], ...] = (Hello,)

    def look(self, seen: Seen, options: Any) -> Any:
        """Fail on a word."""
        assert isinstance(seen.moment, Hello)
        found = [word for word in options.words if word in seen.moment.name]
        return Failed("word", found[0]) if found else PASSED
