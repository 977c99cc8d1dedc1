"""rows - a list of tables as one value: ``[[hold.class]]``, the zones of a DNS list check.

What      `rows` makes the kind of such a value from a frozen dataclass whose fields have kinds of their own.
Promises  Every mistake in every row is told, each with its place. A row without a key that it needs, or with one that it does not
          have, is a mistake. What is written is read back.
"""

from __future__ import annotations

import dataclasses
import keyword
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from tarry.config.spelling import nearest, shown, spell
from tarry.config.values import Kind, Wrong, raise_all


def rows(cls: type[Any], kind_for: Callable[[dataclasses.Field[Any]], Kind], *, unit: str, example: str) -> Kind:
    """A list of tables with the fields of *cls*. A field whose metadata say ``required`` must be there; *example* is one row."""
    fields = {word_of(one): one for one in dataclasses.fields(cls)}
    kinds = {word: kind_for(one) for word, one in fields.items()}
    needed = [word for word, one in fields.items() if one.metadata.get("required")]

    def read(value: object) -> tuple[Any, ...]:
        if isinstance(value, Mapping):
            raise Wrong("one table is no list of tables", f"put its heading into [[ and ]], or write [{example}]")
        if not isinstance(value, list | tuple):
            raise Wrong(f"{shown(value)} is no list of tables", f"write [{example}]")
        wrongs = [
            Wrong(f"{shown(one)} is no table", f"write {example}", index=(index,))
            for index, one in enumerate(value)
            if not isinstance(one, Mapping)
        ]
        raise_all(wrongs)
        found = []
        for index, row in enumerate(value):
            made: dict[str, Any] = {}
            for wrong in _read_row(row, kinds, needed, index, made):
                wrongs.append(wrong)
            if not wrongs:
                found.append(cls(**{fields[word].name: one for word, one in made.items()}))
        raise_all(wrongs)
        return tuple(found)

    def write(value: tuple[Any, ...]) -> object:
        return [
            {
                word: kinds[word].write(getattr(row, one.name))
                for word, one in fields.items()
                if word in needed or getattr(row, one.name) != one.default
            }
            for row in value
        ]

    properties = {word: {**kinds[word].schema, "description": one.metadata["help"]} for word, one in fields.items()}
    row_schema = {"type": "object", "additionalProperties": False, "properties": properties, "required": needed}
    return Kind(unit, read, write, {"type": "array", "items": row_schema})


def word_of(one: dataclasses.Field[Any]) -> str:
    """Return a field's name as it stands in the file: one that Python has taken for itself ends in an underscore here."""
    bare = one.name.removesuffix("_")
    return bare if keyword.iskeyword(bare) else one.name


def _read_row(
    row: Mapping[str, object], kinds: Mapping[str, Kind], needed: list[str], index: int, made: dict[str, Any]
) -> Iterator[Wrong]:
    for word, value in row.items():
        if word not in kinds:
            meant = nearest(word, kinds)
            fix = f"did you mean {meant}?" if meant else f"there are {', '.join(kinds)}"
            yield Wrong(f"no such key: {spell(word)}", fix, index=(index, word))
            continue
        try:
            made[word] = kinds[word].read(value)
        except Wrong as wrong:
            for each in (wrong, *wrong.others):
                yield Wrong(f"{word}: {each.what}", each.fix, index=(index, word, *each.index))
    for word in needed:
        if word not in row:
            yield Wrong(f"{word} is missing", f"write {word} = ...", index=(index,))
