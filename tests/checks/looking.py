"""looking - ask one check about one moment, for the tests of the checks."""

from __future__ import annotations

from typing import Any, get_args

from tarry.core.border import (
    Answered,
    Arrived,
    Due,
    Erred,
    Hello,
    Moment,
    Piled,
    PreData,
    Readable,
    Recipient,
    RecipientAnswered,
    Repeated,
    Sender,
    Stray,
    Unrecognised,
)
from tarry.core.check import About, Check, Seen
from tarry.core.client import Phase
from tarry.core.facts import Answer, State, listing
from tarry.core.result import Failed, Outcome, Unknown
from tarry.smtp.grammar import parse_command

ONE_OF_EACH: tuple[Moment, ...] = (
    Arrived(),
    Readable(b"EHLO x\r\n"),
    Due(),
    Answered(Answer(listing("192.0.2.7", "bl.example"), State.FOUND, ("127.0.0.2",))),
    Hello("EHLO", "mail.example", 1),
    Sender("a@b.example"),
    Recipient("c@d.example", 1),
    RecipientAnswered(250, 1, 0),
    Repeated("RSET", 1),
    Piled("DATA", b"QUIT\r\n", True),
    PreData(b"Subject: x\r\n"),
    Stray("command", "LF"),
    Unrecognised(parse_command(b"GET / HTTP/1.1")),
    Erred(1),
)
assert {type(moment) for moment in ONE_OF_EACH} == set(get_args(Moment))


def looks(check: Check, moment: Moment, options: Any = None, about: About | None = None) -> tuple[Outcome, ...]:
    """Return all that *check* finds in *moment*, with its default options where none are given."""
    found = check.look(Seen(moment, Phase.HOLD, 1.5, about or About()), check.options() if options is None else options)
    return found if isinstance(found, tuple) else (found,)


def look(check: Check, moment: Moment, options: Any = None, about: About | None = None) -> Outcome:
    """Return the one thing that *check* finds in *moment*."""
    (found,) = looks(check, moment, options, about)
    return found


def codes(table: list[Any]) -> set[str]:
    """Return the codes of the failures in a table whose last column holds outcomes."""
    return {row[-1].code for row in table if isinstance(row[-1], Failed)}


def says_unknown_elsewhere(check: Check) -> bool:
    """True when the check says Unknown at every moment that it does not look at: unknown clears nobody."""
    others = [moment for moment in ONE_OF_EACH if type(moment) not in check.triggers]
    return all(isinstance(look(check, moment), Unknown) for moment in others)
