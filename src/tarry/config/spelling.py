"""spelling - values and names as text: as TOML, and in messages to the operator.

Promises  What `spell` writes, TOML reads back. Whatever a message repeats of the operator's text is printable and short.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

SHOWN = 48
"""Characters of a wrong value that a message repeats; the rest is cut."""

_PASSWORD = re.compile(r"^([a-z0-9.+-]+:/+[^:@]*:).*(?=@)", re.ASCII | re.IGNORECASE | re.DOTALL)
_BARE = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)


def spell(value: object) -> str:
    """Return a value as TOML."""
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            if "\\" in value and "'" not in value and value.isprintable():
                return f"'{value}'"  # a regular expression reads better without doubled backslashes
            return _quoted(value)
        case list() | tuple():
            return f"[{', '.join(spell(one) for one in value)}]"
        case dict() if not value:
            return "{}"
        case dict():
            return "{ " + ", ".join(f"{spell_key(str(key))} = {spell(one)}" for key, one in value.items()) + " }"
        case _:
            return str(value)


def spell_key(*parts: str) -> str:
    """Return a key as TOML: parts joined by dots, quoted where they must be."""
    return ".".join(part if _BARE.fullmatch(part) else _quoted(part) for part in parts)


def _quoted(text: str) -> str:
    return f'"{"".join(_escaped(char) for char in text)}"'


def _escaped(char: str) -> str:
    if char in '"\\':
        return "\\" + char
    if char.isprintable():
        return char
    return f"\\u{ord(char):04x}" if char <= "\uffff" else f"\\U{ord(char):08x}"


def counted(count: int, noun: str) -> str:
    """Return a number of things: ``1 session``, ``1,234 sessions``."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def without_password(url: str) -> str:
    """Return a URL as it may be shown: with ``***`` in place of the password. It need not be well formed."""
    return _PASSWORD.sub(r"\1***", url)


def shown(value: object) -> str:
    """Return a wrong value for a message: as TOML, on one line, cut."""
    if isinstance(value, int | float | bool | str):
        text = spell(value[: SHOWN + 1] if isinstance(value, str) else value)
        return text if len(text) <= SHOWN + 2 else text[:SHOWN] + "..."
    if isinstance(value, list | tuple):
        return "a list"
    return "a table" if isinstance(value, dict) else "a date or time"


def nearest(name: str, known: Iterable[str]) -> str:
    """Return the known name that *name* most probably means, or ""."""
    import difflib  # for messages only

    if len(name) > 64:
        return ""
    folded = {one.casefold().replace("-", "_"): one for one in known}
    found = difflib.get_close_matches(name.casefold().replace("-", "_"), folded, n=1, cutoff=0.6)
    return folded[found[0]] if found else ""


def printable(text: str) -> str:
    """Return *text* fit for a terminal: what is not printable becomes an escape."""
    return "".join(char if char.isprintable() else _visible(char) for char in text)


def _visible(char: str) -> str:
    return repr(char)[1:-1] if char.isascii() else char.encode("ascii", "backslashreplace").decode("ascii")
