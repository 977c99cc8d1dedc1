"""looking - ask one check about one moment, for the tests of the checks."""

from __future__ import annotations

from typing import Any, get_args

from tarry.core.border import Due, Erred, Moment, Piled, PreData, Readable, Stray, Unrecognised
from tarry.core.check import Check, Seen
from tarry.core.client import Phase
from tarry.core.result import Failed, Outcome, Unknown
from tarry.smtp.grammar import parse_command

ONE_OF_EACH: tuple[Moment, ...] = (
    Readable(b"EHLO x\r\n"),
    Due(),
    Piled("DATA", b"QUIT\r\n", True),
    PreData(b"Subject: x\r\n"),
    Stray("command", "LF"),
    Unrecognised(parse_command(b"GET / HTTP/1.1")),
    Erred(1),
)
assert {type(moment) for moment in ONE_OF_EACH} == set(get_args(Moment))


def look(check: Check, moment: Moment, options: Any = None) -> Outcome:
    """Return what *check* finds in *moment*, with its default options where none are given."""
    return check.look(Seen(moment, Phase.HOLD, 1.5), check.options() if options is None else options)


def codes(table: list[Any]) -> set[str]:
    """Return the codes of the failures in a table whose last column holds outcomes."""
    return {row[-1].code for row in table if isinstance(row[-1], Failed)}


def says_unknown_elsewhere(check: Check) -> bool:
    """True when the check says Unknown at every moment that it does not look at: unknown clears nobody."""
    others = [moment for moment in ONE_OF_EACH if type(moment) not in check.triggers]
    return all(isinstance(look(check, moment), Unknown) for moment in others)
