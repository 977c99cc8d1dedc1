"""check - what a check is, and the one runner that asks them.

What      The `Check` protocol, the settings that every check takes from its ``[checks.NAME]`` table, `option` for a check's own
          keys, and `run`, which asks one.
Promises  A check is synchronous and pure: no I/O, no sleep, no log, no decision. One that raises, or returns what is no outcome
          of its own, becomes Unknown, and the client goes on. Failed is final: the same code is not found a second time in a
          session (for the same subject). Whatever text a check gives, what goes on is printable ASCII on one line.
Asking    A check that needs to know more than the client shows has a method ``asks``: it returns questions, and the answers come
          as `Answered`; all of them so far are in ``seen.about.facts``. A check that can have no effect is not let ask. One that
          needs answers with some options only says so in ``may_ask``; where no check may ask, there is nobody to look things up.
          One whose answers no command ever waits for says ``is_awaited = False``: what comes late is heeded later. ``kinds`` are
          those of the questions whose answers it looks at, for one that says so; it is not asked about others, which saves time.
Messages  What a check finds speaks against the client for the rest of the session. One whose findings are about a message, its
          sender or its recipients, says ``per_message = True``: the next message begins without them. Where only some of its codes
          are about a message, ``per_message`` is a set of these.
Adding    One file in checks/, its test, one line in checks/__init__.py. Config keys, reference, JSON Schema and page follow from
          the declaration. The operator's own: docs/own-checks.md.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import msgspec

from tarry.core.border import Moment
from tarry.core.client import Phase
from tarry.core.facts import Answer, Kind, Question
from tarry.core.result import PASSED, Action, Failed, Outcome, Passed, Skipped, Unknown
from tarry.smtp.text import TEXT_LIMIT, escape


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the operator says about one check.

    ``at`` is the phase where the action is carried out, None for where the reason was found. ``weight`` adds to the score.
    ``header`` is a header line to insert and ``reply`` the whole reply; both may hold {client}, {reason}, {code}, {detail}, {list},
    {id} and {help_url}; "" for none and for the usual one. ``remember`` is how long a pass is remembered, in seconds (used with
    history). ``codes`` are actions of single codes that differ from ``action``.
    """

    action: Action = Action.REJECT
    at: Phase | None = None
    weight: float = 0.0
    remember: float = 0.0
    header: str = ""
    reply: str = ""
    codes: Mapping[str, Action] = field(default_factory=dict)

    def action_for(self, code: str) -> Action:
        """Return what a finding of this code leads to."""
        return self.codes.get(code, self.action)

    @property
    def has_effect(self) -> bool:
        """False where whatever is found is only recorded."""
        return self.action is not Action.IGNORE or any(action is not Action.IGNORE for action in self.codes.values())


class About(msgspec.Struct):
    """What is known of a session. ``client`` is its address, ``server`` the one it came to, ``name`` tarry's own host name.

    ``helo`` is the name it gave last, ``sender`` its reverse-path without brackets (None before MAIL); both escaped, as in records.
    ``facts`` are the answers so far.
    """

    client: str = ""
    server: str = ""
    name: str = ""
    helo: str = ""
    verb: str = ""
    sender: str | None = None
    facts: dict[Question, Answer] = msgspec.field(default_factory=dict)


class Seen(msgspec.Struct, frozen=True):
    """What a check may look at. ``dt`` is in seconds since accept. A check reads ``about`` and changes nothing in it."""

    moment: Moment
    phase: Phase
    dt: float
    about: About = msgspec.field(default_factory=About)


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

    def look(self, seen: Seen, options: Any) -> Outcome | tuple[Outcome, ...]:
        """Return what was found; several outcomes where there are several, an empty tuple where there is nothing to say yet."""


@runtime_checkable
class Asking(Protocol):
    """A check that has questions."""

    def asks(self, seen: Seen, options: Any) -> tuple[Question, ...]:
        """Return what it wants to know at this moment: `Arrived`, `Hello` or `Sender`."""


@runtime_checkable
class Sparing(Protocol):
    """A check that has questions with some options only: a DNS list check without lists asks nobody."""

    def may_ask(self, options: Any) -> bool:
        """False where these options leave nothing to ask, whoever comes."""


@runtime_checkable
class Allowing(Protocol):
    """A check of which some codes speak for a client: their findings have weights below 0."""

    @property
    def allows(self) -> frozenset[str]:
        """Those of its codes."""


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

    @property
    def is_awaited(self) -> bool:
        """False where no command waits for the answers that it asked for."""
        return bool(getattr(self.check, "is_awaited", True))

    def is_about_message(self, code: str) -> bool:
        """True where what it finds counts for one message only."""
        said = getattr(self.check, "per_message", False)
        return code in said if isinstance(said, frozenset) else bool(said)


def option(
    default: Any,
    *,
    unit: str = "",
    help: str,
    rows: type[Any] | None = None,
    read: Callable[[str], Any] | None = None,
    choices: tuple[str, ...] = (),
    example: str = "",
    required: bool = False,
) -> Any:
    """Declare one key of a check: its default, its unit for the reference page, and what it does.

    The kind of value follows from the default: a number, text, a tuple of texts; seconds (unit ``s``) are a duration, and a tuple
    with the unit ``patterns`` holds regular expressions. *choices* are the words that a text, or each text of a tuple, may be.
    *rows*: a list of tables with the options of that dataclass; *required* ones must be in each. *read*: text that the function
    reads (ValueError where it cannot), and whose ``str`` is the text again. The last two need an *example*.
    """
    said = {"unit": unit, "help": help, "rows": rows, "read": read, "choices": choices, "example": example, "required": required}
    return field(default=default, metadata=said)


def by_kind(armed: tuple[Armed, ...]) -> dict[Kind, tuple[Armed, ...]]:
    """Return, for each kind of question, the checks of these that look at its answers, in registry order."""
    return {kind: tuple(one for one in armed if kind in getattr(one.check, "kinds", Kind)) for kind in Kind}


def by_trigger(armed: tuple[Armed, ...]) -> dict[type[Moment], tuple[Armed, ...]]:
    """Return, for each kind of moment, the checks that look at it, in registry order."""
    table: dict[type[Moment], list[Armed]] = {}
    for one in armed:
        for trigger in one.check.triggers:
            table.setdefault(trigger, []).append(one)
    return {trigger: tuple(found) for trigger, found in table.items()}


_PASSED = (PASSED,)


def run(armed: Armed, seen: Seen) -> tuple[Outcome, ...]:
    """Ask one check what it sees. Whatever it raises or returns amiss is its fault and not the client's: the outcome is Unknown."""
    check = armed.check
    try:
        found = check.look(seen, armed.options)
        if found is PASSED:
            return _PASSED  # as it goes with nearly every command
        return tuple([_sound(one, check) for one in found]) if isinstance(found, tuple) else (_sound(found, check),)
    except (Exception, SystemExit) as fault:  # a broad handler: DESIGN §2 rule 5, fail open; an operator's check may call sys.exit
        return (Unknown(_told(fault)),)


def may_ask(armed: Armed) -> bool:
    """True for a check that has an effect and may have questions."""
    check = armed.check
    if not armed.settings.has_effect or not isinstance(check, Asking):
        return False
    try:
        return check.may_ask(armed.options) is not False if isinstance(check, Sparing) else True
    except (Exception, SystemExit):  # then it may
        return True


def questions(armed: Armed, seen: Seen) -> tuple[Question, ...]:
    """Ask one check what it wants to know; nothing, where it has no effect, or raises."""
    check = armed.check
    asks = getattr(check, "asks", None)  # not isinstance: a protocol takes 2.6 µs to tell, and this is asked for each client
    if asks is None or not armed.settings.has_effect:
        return ()
    try:
        return tuple([one for one in asks(seen, armed.options) if _can_be_asked(one)])
    except (Exception, SystemExit):  # it will miss its answers, and say so when it looks
        return ()


def _sound(found: object, check: Check) -> Outcome:
    """Return an outcome as it may go on: of a kind and a code that there are, with text that fits a record and a reply."""
    match found:
        case Passed():
            return found
        case Failed(code=code, detail=detail, subject=subject, weight=weight):
            if not (isinstance(code, str) and code in check.codes):
                return Unknown(f"the check found {_line(code)}, which is none of its codes")
            if weight is not None and not (isinstance(weight, int | float) and math.isfinite(weight)):
                return Unknown(f"the check found {code} with a weight that is no number")
            if _is_line(detail) and _is_line(subject):
                return found
            return Failed(code, _line(detail), _line(subject), weight)
        case Skipped(why=why):
            return found if _is_line(why) else Skipped(_line(why))
        case Unknown(why=why):
            return found if _is_line(why) else Unknown(_line(why))
        case _:
            return Unknown(_line(f"the check returned {type(found).__name__}, which is no outcome"))


def _can_be_asked(found: object) -> bool:
    return (
        isinstance(found, Question)
        and isinstance(found.kind, Kind)
        and isinstance(found.name, str)
        and isinstance(found.zone, str)
        and (bool(found.zone) == (found.kind is Kind.LISTED))
    )


def _is_line(text: object) -> bool:
    return isinstance(text, str) and len(text) <= TEXT_LIMIT and text.isascii() and text.isprintable()


def _line(text: object) -> str:
    return escape(str(text).encode("utf-8", "backslashreplace"))


def _told(fault: BaseException) -> str:
    try:
        return _line(f"the check raised {type(fault).__name__}: {fault}")
    except Exception:  # a fault whose text cannot be had
        return _line(f"the check raised {type(fault).__name__}")
