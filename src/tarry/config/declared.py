"""declared - whether an operator's check is declared as a check must be.

What      `faults` looks at one thing that is offered as a check and tells all that is missing or wrong at once: what the built-in
          checks are held to by their tests, an own check is held to when the configuration is read.
Promises  Never raises, whatever the thing is. A check without faults can be configured, asked, recorded and explained.
"""

from __future__ import annotations

import dataclasses
import inspect
import re
from collections.abc import Iterator, Mapping, Sequence, Set
from typing import Any, cast, get_args

import msgspec

from tarry.config import values
from tarry.config.keys import SETTINGS, codes_of, kind_of
from tarry.config.rows import word_of
from tarry.config.spelling import printable
from tarry.core.border import Arrived, Moment
from tarry.core.check import Check, Settings
from tarry.core.facts import Kind
from tarry.core.result import Action

LONGEST_WORD = 40
LONGEST_COMPLAINT = 99

_WORD = re.compile(r"[a-z][a-z0-9_]*", re.ASCII)
_TAKEN = ("allowed", "listed", "unknown", "no_ptr")
"""Words of hold.class.who that are no checks."""
_MOMENTS = tuple(one for one in get_args(Moment) if one is not Arrived)
_EVERY_MOMENT = ", ".join(one.__name__ for one in _MOMENTS)
_MISSING = object()


class Fault(msgspec.Struct, frozen=True):
    """One thing that is wrong with a declaration."""

    what: str
    fix: str


def name_of(thing: object) -> str:
    """Return what a check's class is called."""
    return printable((thing if isinstance(thing, type) else type(thing)).__name__)


def faults(thing: object) -> tuple[Check | None, tuple[Fault, ...]]:
    """Return the thing as the check that it is, or None and what is wrong with it."""
    found = tuple(_all(thing, name_of(thing)))
    return (None, found) if found else (cast("Check", thing), ())


def _all(thing: object, who: str) -> Iterator[Fault]:
    parts = {part: _part(thing, part) for part in _NEEDED}
    missing = [part for part, value in parts.items() if value is _MISSING]
    for part in missing:
        yield Fault(f"{who} has no {part}", f"give it {_NEEDED[part]}")
    if len(missing) == len(_NEEDED):
        return  # it is something else
    for part, rule in _RULES.items():
        if parts[part] is not _MISSING:
            yield from (Fault(f"{who}.{part}: {what}", fix) for what, fix in rule(parts[part]))
    if not (missing or _can_be_a_key(thing)):
        yield Fault(f"{who} cannot be told from other checks: it has __eq__ and no __hash__", "make it a plain class")
    if isinstance(parts["settings"], Settings) and isinstance(parts["codes"], Mapping) and isinstance(parts["name"], str):
        yield from (Fault(f"{who}.settings: {what}", fix) for what, fix in _settings(parts["settings"], cast("Check", thing)))
    for part, rule in _MAY_HAVE.items():
        if (value := _part(thing, part)) is not _MISSING:
            yield from (Fault(f"{who}.{part}: {what}", fix) for what, fix in rule(value))
    for part, words in (("asks", "seen, options"), ("may_ask", "options")):
        method = _part(thing, part)
        if method is not _MISSING:
            yield from (Fault(f"{who}.{part}: {what}", fix) for what, fix in _method(method, words))


def _part(thing: object, part: str) -> object:
    try:
        return getattr(thing, part, _MISSING)
    except Exception:  # a property that raises gives as little as one that is not there
        return _MISSING


def _can_be_a_key(thing: object) -> bool:
    try:
        hash(thing)
    except Exception:
        return False
    return True


_Wrongs = Iterator[tuple[str, str]]


def _name(name: object) -> _Wrongs:
    if not _is_word(name):
        yield f"{_seen(name)} is no word", f"use small letters, digits and _, at most {LONGEST_WORD}, such as office_hours"
    elif name in _TAKEN:
        yield f"{name} has a meaning of its own in hold.class.who", "choose another"


def _complaint(complaint: object) -> _Wrongs:
    if not isinstance(complaint, str) or not complaint.strip():
        yield f"{_seen(complaint)} is no text", 'say what the client did, such as "You came outside office hours"'
    elif not (complaint.isascii() and complaint.isprintable() and len(complaint) <= LONGEST_COMPLAINT):
        yield "it cannot stand in a reply", f"keep to one line of at most {LONGEST_COMPLAINT} printable ASCII characters"


def _codes(codes: object) -> _Wrongs:
    if not isinstance(codes, Mapping) or not codes:
        yield f"{_seen(codes)} is no table of codes", 'write {"code": "what it means"}'
        return
    for code, meaning in codes.items():
        if not _is_word(code):
            yield f"{_seen(code)} is no word", f"use small letters, digits and _, at most {LONGEST_WORD}"
        if not isinstance(meaning, str) or not meaning.strip() or not meaning.isprintable():
            yield f"{_seen(code)} has no meaning", "say in one line what was found"


def _settings_type(settings: object) -> _Wrongs:
    if not isinstance(settings, Settings):
        yield f"{_seen(settings)} is no Settings", "write settings = Settings(action=Action.TAG)"


def _settings(settings: Settings, check: Check) -> _Wrongs:
    """What could not stand in the configuration file cannot be a default either."""
    action: object = settings.action
    if not isinstance(action, Action):
        yield f"action: {_seen(action)} is no Action", "write Action.TAG or another"
        return
    for name, (kind, _) in SETTINGS.items():
        try:
            value = getattr(settings, name)
            one = codes_of(check) if name == "codes" else kind
            if one.read(one.write(value)) != value:
                yield f"{name}: {_seen(value)} is not the value that it should be", "see tarry.core.check.Settings"
        except values.Wrong as wrong:
            yield f"{name}: {wrong.what}", wrong.fix
        except Exception:  # a value of another type
            yield f"{name}: {_seen(value)} is of the wrong type", "see tarry.core.check.Settings"


def _options(options: object) -> _Wrongs:
    if not (isinstance(options, type) and dataclasses.is_dataclass(options)):
        yield f"{_seen(options)} is no dataclass", "write options = NoOptions, or a frozen dataclass of keys made with option()"
        return
    if not cast("Any", options).__dataclass_params__.frozen:
        yield "the dataclass can be changed", "write @dataclass(frozen=True, slots=True, kw_only=True)"
    for one in dataclasses.fields(options):
        yield from ((f"{one.name}: {what}", fix) for what, fix in _key(one))


def _key(one: dataclasses.Field[Any]) -> _Wrongs:
    if word_of(one) in SETTINGS:
        yield "every check has a key of this name", "choose another"
    elif not _is_word(one.name):
        yield "it is no word", "use small letters, digits and _"
    if one.default is dataclasses.MISSING or not one.init:
        yield "it has no default", f"write {one.name} = option(DEFAULT, help=...)"
        return
    if not str(one.metadata.get("help", "")).strip():
        yield "it does not say what it is for", f"write {one.name} = option(..., help=...)"
    try:
        kind = kind_of(one)
        if kind.read(kind.write(one.default)) != one.default:
            yield f"its default {_seen(one.default)} reads back as another value", "choose a default that a file can hold"
    except values.Wrong as wrong:
        yield f"its default: {wrong.what}", wrong.fix
    except Exception as fault:  # kind_of: no kind for such a default; a `read` or `rows` that fails
        yield (
            f"its default {_seen(one.default)} cannot stand in a file ({type(fault).__name__})",
            ("use true or false, a number, text, or a tuple of texts"),
        )


def _triggers(triggers: object) -> _Wrongs:
    if not isinstance(triggers, tuple) or not triggers:
        yield f"{_seen(triggers)} is no tuple of moments", "write triggers = (Hello,) or another of tarry.core.border"
        return
    for one in triggers:
        if one is Arrived:
            yield "Arrived is a moment to ask at, and not to look", "look at Answered"
        elif one not in _MOMENTS:
            yield f"{_seen(one)} is no moment", f"there are {_EVERY_MOMENT}"


def _method(method: object, words: str = "seen, options") -> _Wrongs:
    if not callable(method):
        yield f"{_seen(method)} cannot be called", f"write a method of (self, {words})"
        return
    if inspect.iscoroutinefunction(method) or inspect.isgeneratorfunction(method) or inspect.isasyncgenfunction(method):
        yield "it is asynchronous or a generator", "write a plain method that returns at once; questions go by way of asks"
        return
    try:
        inspect.signature(method).bind(*words.split(","))
    except (TypeError, ValueError):
        yield "it does not take what it is called with", f"write it as a method of (self, {words})"


def _kinds(kinds: object) -> _Wrongs:
    if not isinstance(kinds, Set | Sequence) or not all(isinstance(one, Kind) for one in kinds):
        yield f"{_seen(kinds)} is no set of kinds of questions", f"write frozenset({{Kind.{Kind.LISTED.name}}}) or another"


def _is_awaited(is_awaited: object) -> _Wrongs:
    if not isinstance(is_awaited, bool):
        yield f"{_seen(is_awaited)} is neither True nor False", "leave it out where commands may wait for the answers"


_NEEDED = {
    "name": 'a name, such as name = "office_hours"',
    "complaint": 'a complaint, such as complaint = "You came outside office hours"',
    "codes": 'codes, such as codes = {"closed": "the client came outside office hours"}',
    "settings": "settings, such as settings = Settings(action=Action.TAG)",
    "options": "options, NoOptions where there are none",
    "triggers": "triggers, the moments at which it looks, such as triggers = (Hello,)",
    "look": "a method look(self, seen, options)",
}
_RULES = {
    "name": _name,
    "complaint": _complaint,
    "codes": _codes,
    "settings": _settings_type,
    "options": _options,
    "triggers": _triggers,
    "look": _method,
}


_MAY_HAVE = {"kinds": _kinds, "is_awaited": _is_awaited}


def _is_word(text: object) -> bool:
    return isinstance(text, str) and len(text) <= LONGEST_WORD and _WORD.fullmatch(text) is not None


def _seen(value: object) -> str:
    """Return a wrong value for a message."""
    try:
        text = value.__name__ if isinstance(value, type) else repr(value)
    except Exception:  # a repr that fails
        text = type(value).__name__
    text = printable(text)
    return text if len(text) <= LONGEST_WORD else text[:LONGEST_WORD] + "..."
