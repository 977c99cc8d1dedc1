"""values - the kinds of values that a configuration file holds.

What      A `Kind` reads a TOML value into the one that the program uses, writes it back, and describes itself for the reference
          page and for editors. Here are the plain kinds and durations.
Not here  Addresses and networks: places.py. Regular expressions: patterns.py.
Promises  A value that cannot be taken raises `Wrong`, which says what is wrong and how to mend it; nothing else is raised.
          ``kind.read(kind.write(value)) == value``.
Units     Durations are seconds inside, and text with a unit outside: "350ms", "6s", "5m", "1h", "7d".
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from fractions import Fraction
from typing import Any

import msgspec

from tarry.config.spelling import SHOWN, nearest, shown, spell
from tarry.core.policy import Span

_UNITS = {"d": 86400, "h": 3600, "m": 60, "s": 1}
_DURATION = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,6})?)\s*(ms|s|m|h|d)|([0-9]{1,12}\.[0-9]{7,9})\s*(s)", re.ASCII)
"""Of seconds nine places are read, since a millionth of a millisecond is written so."""
_NUMBER = re.compile(r"[0-9]+(?:\.[0-9]+)?", re.ASCII)
_WORDS_FOR_UNITS = {
    **dict.fromkeys(("sec", "secs", "second", "seconds"), "s"),
    **dict.fromkeys(("min", "mins", "minute", "minutes"), "m"),
    **dict.fromkeys(("hr", "hrs", "hour", "hours"), "h"),
    **dict.fromkeys(("day", "days"), "d"),
    **dict.fromkeys(("msec", "millisecond", "milliseconds"), "ms"),
}
LONGEST = 366.0 * 86400
"""Seconds. Nothing here lasts longer than a year, and a bound keeps every duration exact in a float."""

DURATION_PATTERN = r"[0-9]+(\.[0-9]+)?(ms|s|m|h|d)"


class Wrong(Exception):
    """A value cannot be taken. ``index`` is the way to the element of a list or a table that is meant; ``others`` are further
    mistakes in the same value."""

    def __init__(self, what: str, fix: str, *, index: tuple[int | str, ...] = ()) -> None:
        super().__init__(what, fix)
        self.what = what
        self.fix = fix
        self.index = index
        self.others: tuple[Wrong, ...] = ()


def raise_all(wrongs: list[Wrong]) -> None:
    """Raise the first of these with the others in it; nothing where there are none."""
    if wrongs:
        wrongs[0].others = tuple(wrongs[1:])
        raise wrongs[0]


class Kind(msgspec.Struct, frozen=True):
    """One kind of value. ``unit`` is what the reference page calls it; ``schema`` is its JSON Schema."""

    unit: str
    read: Callable[[object], Any]
    write: Callable[[Any], object] = lambda value: value
    schema: Mapping[str, object] = msgspec.field(default_factory=dict)


def _boolean(value: object) -> bool:
    if isinstance(value, bool):
        return value
    raise Wrong(f"{shown(value)} is neither true nor false", "write true or false, in lower case and without quotes")


boolean = Kind("true or false", _boolean, schema={"type": "boolean"})


def whole(low: int, high: int, unit: str) -> Kind:
    """A whole number from *low* to *high*."""

    def read(value: object) -> int:
        if isinstance(value, str) and _NUMBER.fullmatch(value):
            raise Wrong(f"{shown(value)} is text", "write the number without quotes")
        if isinstance(value, bool) or not isinstance(value, int):
            raise Wrong(f"{shown(value)} is not a whole number", f"write a number from {low} to {high}")
        if not low <= value <= high:
            raise Wrong(f"{shown(value)} is out of range", f"write a number from {low} to {high}")
        return value

    return Kind(unit, read, schema={"type": "integer", "minimum": low, "maximum": high})


def number(low: float, high: float, unit: str) -> Kind:
    """A number from *low* to *high*, whole or not."""

    def read(value: object) -> float:
        if isinstance(value, str) and _NUMBER.fullmatch(value):
            raise Wrong(f"{shown(value)} is text", "write the number without quotes")
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise Wrong(f"{shown(value)} is not a number", f"write a number from {low:.9g} to {high:.9g}")
        if math.isnan(value) or not low <= value <= high:
            raise Wrong(f"{shown(value)} is out of range", f"write a number from {low:.9g} to {high:.9g}")
        return float(value)

    def write(value: float) -> object:
        return int(value) if value.is_integer() else value

    return Kind(unit, read, write, {"type": "number", "minimum": low, "maximum": high})


def text(unit: str = "text", *, longest: int = 1024, least: int = 0, ascii_only: bool = False, example: str = "") -> Kind:
    """One line of printable text of *least* to *longest* characters."""

    def read(value: object) -> str:
        if not isinstance(value, str):
            raise Wrong(f"{shown(value)} is not text", f"write {spell(example or str(value)[:SHOWN])}, in quotes")
        if len(value) < least:
            raise Wrong("it is empty", f"write {unit}, such as {spell(example)}" if example else f"write {unit}")
        if len(value) > longest:
            raise Wrong(f"it has {len(value)} characters", f"keep to {longest}")
        bad = next((char for char in value if not char.isprintable() or (ascii_only and char > "~")), "")
        if bad:
            asked = "printable ASCII" if ascii_only else "printable text"
            raise Wrong(f"it holds the character U+{ord(bad):04X}", f"use {asked} only, on one line")
        return value

    return Kind(unit, read, schema={"type": "string", "minLength": least, "maxLength": longest})


def choice(*words: str) -> Kind:
    """One of some words."""

    def read(value: object) -> str:
        if not isinstance(value, str):
            raise Wrong(f"{shown(value)} is not text", f"write one of {_listed(words)}")
        if value in words:
            return value
        said = [word for word in words if word]
        meant = nearest(value, said)
        fix = f"did you mean {spell(meant)}?" if meant else f"write one of {_listed(said)}"
        raise Wrong(f"{shown(value)} is none of {_listed(said, plain=True)}" if meant else f"there is no {shown(value)}", fix)

    return Kind(_listed(words), read, schema={"enum": list(words)})


def mapped(kind: Kind, to: Callable[[Any], Any], back: Callable[[Any], object]) -> Kind:
    """A kind whose values are those of another one under different names."""
    return Kind(kind.unit, lambda value: to(kind.read(value)), lambda value: kind.write(back(value)), kind.schema)


def listed(kind: Kind, unit: str, example: str) -> Kind:
    """A list of values of one kind."""

    def read(value: object) -> tuple[Any, ...]:
        if not isinstance(value, list | tuple):
            raise Wrong(
                f"{shown(value)} is not a list", f"write {spell([value]) if isinstance(value, str) else example}, in brackets"
            )
        found = []
        wrongs = []
        for index, one in enumerate(value):
            try:
                found.append(kind.read(one))
            except Wrong as wrong:
                wrongs.append(Wrong(wrong.what, wrong.fix, index=(index,)))
        raise_all(wrongs)
        return tuple(found)

    def write(value: tuple[Any, ...]) -> object:
        return [kind.write(one) for one in value]

    return Kind(unit, read, write, {"type": "array", "items": kind.schema})


def read_duration(value: object) -> float:
    """Return a duration in seconds."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise Wrong(f"{shown(value)} is not a duration", 'write a number with its unit, such as "6s"')
    if not isinstance(value, str):
        fix = f'write "{value}s" for seconds' if value >= 0 else 'write "6s" for six seconds'
        raise Wrong(f"{shown(value)} has no unit", fix if len(fix) < SHOWN else 'write a number with its unit, such as "6s"')
    bare = value.strip()
    if _NUMBER.fullmatch(bare) and len(bare) < SHOWN:
        raise Wrong(f"{shown(value)} has no unit", f'write "{bare}s" for seconds')
    match = _DURATION.fullmatch(bare)
    if match is None:
        raise Wrong(f"{shown(value)} is not a duration", _duration_fix(bare))
    amount, unit = Fraction(match[1] or match[3]), match[2] or match[4]
    seconds = amount / 1000 if unit == "ms" else amount * _UNITS[unit]
    if seconds > LONGEST:
        raise Wrong(f"{shown(value)} is more than a year", f'write at most "{write_duration(LONGEST)}"')
    return float(seconds)


def write_duration(seconds: float) -> str:
    """Return seconds in the largest unit that needs no fraction."""
    return _in_unit(seconds, _unit_of(seconds))


def _unit_of(seconds: float) -> str:
    exact = Fraction(repr(seconds))
    if exact == 0:
        return "s"
    return next((unit for unit, size in _UNITS.items() if exact % size == 0), "ms")


def _in_unit(seconds: float, unit: str) -> str:
    exact = Fraction(repr(seconds))
    if unit != "ms":
        return f"{exact // _UNITS[unit]}{unit}"
    millis = exact * 1000
    return f"{millis}ms" if millis.denominator == 1 else f"{seconds:.9f}".rstrip("0") + "s"


def read_span(value: object) -> Span:
    """Return a duration or a range of them."""
    if not isinstance(value, str) or ".." not in value:
        seconds = read_duration(value)
        return Span(seconds, seconds)
    low, _, high = value.partition("..")
    try:
        span = Span(read_duration(low), read_duration(high))
    except Wrong:
        raise Wrong(f"{shown(value)} is not a range of durations", 'give each end its unit, such as "4s..9s"') from None
    if span.low > span.high:
        raise Wrong(f"the range {shown(value)} begins above its end", f'write "{high.strip()}..{low.strip()}"')
    return span


def write_span(span: Span) -> str:
    """Return a duration or a range as text; both ends in the same unit."""
    if span.high <= span.low:
        return write_duration(span.low)
    size = {**_UNITS, "ms": 0}
    unit = min((_unit_of(end) for end in (span.low, span.high) if end), key=size.__getitem__)
    return f"{_in_unit(span.low, unit)}..{_in_unit(span.high, unit)}"


def duration(least: float = 0.0) -> Kind:
    """A length of time of at least *least* seconds."""

    def read(value: object) -> float:
        seconds = read_duration(value)
        if seconds < least:
            raise Wrong(f"{shown(value)} is too short", f'write "{write_duration(least)}" or more')
        return seconds

    return Kind("duration", read, write_duration, {"type": "string", "pattern": f"^{DURATION_PATTERN}$"})


span = Kind(
    "duration or range",
    read_span,
    write_span,
    {"type": "string", "pattern": rf"^{DURATION_PATTERN}( ?\.\. ?{DURATION_PATTERN})?$"},
)


def _duration_fix(value: str) -> str:
    amount, unit = value.rstrip("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ").strip(), ""
    if _NUMBER.fullmatch(amount) and len(amount) < SHOWN:
        said = value[len(amount) :].strip().lower()
        unit = _WORDS_FOR_UNITS.get(said, "")
        unit = unit or (said if said in (*_UNITS, "ms") else "")
    return f'write "{amount}{unit}"' if unit else 'write a number and one of ms, s, m, h, d, such as "350ms" or "6s"'


def _listed(words: Iterable[str], *, plain: bool = False) -> str:
    *most, last = [word if plain else spell(word) for word in words]
    return f"{', '.join(most)} {'and' if plain else 'or'} {last}" if most else last
