"""written - an import as tarry.toml, as rows of a table, and as JSON.

What      `toml` writes the file: the keys in the order of docs/config.md, each with its origin as a comment, and at the end, as
          comments, what has no counterpart. `report` is the same as a JSON object.
Promises  What the old files say is printable when it comes out: no byte of theirs ends a comment.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator

from tarry.config.imports.found import Found, Missing, Setting, Source
from tarry.config.keys import keys
from tarry.config.spelling import printable, spell, spell_key

_WIDTH = 110  # of the comments at the end
_ALIGNED = 60  # a comment begins further right only behind a line that is longer
_SHOWN = 120  # characters of an old value
ARRAYS_OF_TABLES = ("hold.class",)


def toml(found: Found, heading: Iterable[str]) -> str:
    """Return the file. *heading* are the lines of its first comment."""
    lines = [f"# {printable(line)}".rstrip() for line in heading]
    for table, entries in _tables(found):
        lines.append("")
        if table:
            lines.append(f"[{table}]")
        lines += _aligned(entries)
    for key in ARRAYS_OF_TABLES:
        for one in found.elements.get(key, ()):
            assert isinstance(one.value, dict)
            rows = [(f"{name} = {spell(value)}", one.comment) for name, value in one.value.items()]
            lines += ["", f"[[{key}]]", *_aligned(rows)]
    lines += _missing_lines(found.missing)
    return "\n".join(lines) + "\n"


def _tables(found: Found) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    order = {name: place for place, name in enumerate(keys())}
    names = [name for name in (*found.settings, *found.elements) if name not in ARRAYS_OF_TABLES]
    grouped: dict[str, list[str]] = {}
    for name in sorted(names, key=lambda name: order.get(name, len(order))):
        grouped.setdefault(name.rpartition(".")[0], []).append(name)
    for table, members in grouped.items():
        yield table, [row for name in members for row in _rows(found, name)]


def _rows(found: Found, name: str) -> Iterator[tuple[str, str]]:
    """Yield the lines of a key with their comments."""
    last = spell_key(name.rpartition(".")[2])
    if name in found.settings:
        setting = found.settings[name]
        yield f"{last} = {spell(setting.value)}", setting.comment
        return
    listed = found.elements[name]
    if len(listed) == 1:
        yield f"{last} = [{spell(listed[0].value)}]", listed[0].comment
        return
    yield f"{last} = [", ""
    for one in listed:
        yield f"    {spell(one.value)},", one.comment
    yield "]", ""


def _aligned(rows: Iterable[tuple[str, str]]) -> list[str]:
    told = list(rows)
    width = max((len(text) for text, comment in told if comment and len(text) <= _ALIGNED), default=0)
    return [f"{text:<{width}}  # {printable(comment)}" if comment else text for text, comment in told]


def _missing_lines(missing: Iterable[Missing]) -> Iterator[str]:
    for number, one in enumerate(missing):
        if not number:
            yield from ("", "# What has no counterpart:")
        yield "#"
        yield f"# {subject(one)}"
        yield from textwrap.wrap(sentence(one), _WIDTH, initial_indent="#     ", subsequent_indent="#     ")


def subject(one: Missing) -> str:
    """Return the line that has no counterpart: its place, its name and the beginning of its value."""
    if not one.value:
        return printable(str(one.source))
    return printable(f"{one.source}{' =' if one.source.name else ''} {_cut(one.value)}")


def sentence(one: Missing) -> str:
    """Return why it has none and what to do instead."""
    told = f"{one.why}; {one.instead}" if one.instead else one.why
    return printable(told if told.endswith("?") else f"{told}.")


def _cut(value: str) -> str:
    return value if len(value) <= _SHOWN else value[: _SHOWN - 3] + "..."


def report(found: Found, files: Iterable[str], text: str) -> dict[str, object]:
    """Return the mapping as a JSON object: v is 1, and fields are only ever added."""
    return {
        "v": 1,
        "from": found.program,
        "files": list(files),
        "settings": [{"key": one.key, "value": one.value, "note": one.note, **_origin(one.source)} for one in _in_order(found)],
        "missing": [{"value": one.value, "why": one.why, "instead": one.instead, **_origin(one.source)} for one in found.missing],
        "toml": text,
    }


def _in_order(found: Found) -> list[Setting]:
    order = {name: place for place, name in enumerate(keys())}
    return sorted(found.all(), key=lambda one: order.get(one.key, len(order)))


def _origin(source: Source) -> dict[str, object]:
    return {"file": source.file or None, "line": source.line or None, "name": source.name, "default": source.is_default}
