"""patterns - regular expressions on the addresses of clients.

What      The kind of value of exempt.patterns, and the scanner that keeps expressions of exponential time out.
Promises  What `has_nested_repeats` lets through has no repeat without a bound around something that varies, so matching it is at
          worst polynomial in the 45 characters of an address. It refuses some harmless ones, such as ``(a+b)*``.
Source    J. Rudd's sendwrap, 2004, whose list of addresses is one of patterns.
"""

from __future__ import annotations

import re
import warnings

import msgspec

from tarry.config.spelling import shown, spell
from tarry.config.values import Kind, Wrong, listed

PATTERN_LIMIT = 512
"""Characters. The addresses that a pattern is matched with have at most 45."""

_OFTEN = 7  # as often as an IPv6 address has colons; 7 repeats of what varies split 45 characters in some million ways at worst
_REPEAT = re.compile(r"[*+?]|\{(\d*)(?:(,)(\d*))?\}")
_VERBOSE = re.compile(r"\(\?[a-zA-Z-]*x")


def _read_pattern(value: object) -> re.Pattern[str]:
    if not isinstance(value, str):
        raise Wrong(f"{shown(value)} is not a pattern", r"write it in single quotes, such as '^192\.0\.2\.'")
    if not value:
        raise Wrong("an empty pattern matches every address", "leave it out")
    if len(value) > PATTERN_LIMIT:
        raise Wrong(f"the pattern has {len(value)} characters", f"keep to {PATTERN_LIMIT}, or use exempt.networks")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", FutureWarning)  # "[[" and the like, which will mean something else one day
            pattern = re.compile(value, re.ASCII | re.IGNORECASE)
    except (re.error, FutureWarning, OverflowError, RecursionError) as fault:
        raise Wrong(f"{shown(value)} is not a regular expression: {_plain(fault)}", _pattern_fix(value)) from None
    if _VERBOSE.search(value):
        raise Wrong(f"{shown(value)} asks for the verbose form", "write the pattern without the flag x")
    if has_nested_repeats(value):
        fix = r"repeat only once, such as '^10\.[0-9.]+$', or use exempt.networks"
        raise Wrong(f"{shown(value)} repeats what repeats already, which can take exponential time", fix)
    return pattern


pattern = Kind(
    "pattern", _read_pattern, lambda value: value.pattern, {"type": "string", "format": "regex", "maxLength": PATTERN_LIMIT}
)
patterns = listed(pattern, "list of patterns", r"['^192\.0\.2\.']")


class _Group(msgspec.Struct):
    """``varies``: it can match in more than one way. ``cost``: how often something that varies is repeated in it."""

    varies: bool = False
    cost: int = 1


def has_nested_repeats(pattern: str) -> bool:
    """True when something that varies (a repeat, a choice) is itself repeated without a bound, or more than 7 times.

    ``pattern`` is one that compiles, without the verbose flag.
    """
    groups = [_Group()]
    closed: _Group | None = None  # the group that ends right here
    after_repeat = False
    position = 0
    while position < len(pattern):
        char = pattern[position]
        repeat = _REPEAT.match(pattern, position)
        if after_repeat and char in "?+":  # a lazy or possessive mark
            position, after_repeat = position + 1, False
        elif repeat is not None and (bounds := _bounds(repeat)) is not None:
            least, most = bounds
            cost = closed.cost * most if closed is not None and closed.varies else 1
            if cost > _OFTEN:
                return True
            groups[-1].varies |= least != most
            groups[-1].cost = max(groups[-1].cost, cost)
            position, closed, after_repeat = repeat.end(), None, True
        elif pattern.startswith("(?#", position):
            position = pattern.index(")", position) + 1
        else:
            closed, after_repeat = None, False
            if char == "(":
                groups.append(_Group())
            elif char == ")":
                closed = groups.pop()
                groups[-1].varies |= closed.varies
                groups[-1].cost = max(groups[-1].cost, closed.cost)
            elif char == "|":
                groups[-1].varies = True
            position += _length(pattern, position)
    return False


def _bounds(repeat: re.Match[str]) -> tuple[int, int] | None:
    """Return how often a repeat matches, least and most; None where the braces are no repeat."""
    low, comma, high = repeat[1], repeat[2], repeat[3]
    unbounded = PATTERN_LIMIT
    match repeat[0]:
        case "?":
            return 0, 1
        case "*" | "+":
            return 0, unbounded
        case "{}":
            return None
        case _ if comma:
            return int(low or 0), int(high or unbounded)
        case _:
            return int(low), int(low)


def _length(pattern: str, start: int) -> int:
    """Return how many characters belong to what begins here: an escape, a class, the head of a group, or one character."""
    if pattern[start] == "\\":
        return 2
    if pattern.startswith("(?", start):
        return 2
    if pattern[start] != "[":
        return 1
    position = start + 1
    position += pattern.startswith("^", position)
    position += pattern.startswith("]", position)
    while position < len(pattern) and pattern[position] != "]":
        position += 2 if pattern[position] == "\\" else 1
    return position + 1 - start


def _pattern_fix(value: str) -> str:
    if value.startswith("*"):
        return f"a regular expression says .* where a file name says *: {spell(('.' + value)[:60])}"
    return r"write a Python regular expression in single quotes, such as '^192\.0\.2\.'"


def _plain(fault: BaseException) -> str:
    return str(fault) if isinstance(fault, re.error | FutureWarning) else "too large"
