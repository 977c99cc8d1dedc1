"""render - the configuration written out for people and for editors.

What      `reference`, the Markdown page of all keys; `commented_file`, what `config init` writes; `json_schema`, for editors that
          complete and check TOML. The pages of the checks: pages.py.
Promises  Everything is made from the declarations of tables.py and of the checks; nothing here names a key. docs/config.md and
          docs/tarry.schema.json hold the results, and a test compares them. The commented file loads as the defaults, and so it
          does with every line switched on.
"""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterable, Iterator
from typing import Any

from tarry.checks import REGISTRY
from tarry.config.keys import CHECKS, SETTINGS, Checks, Key, Table, manual, tables
from tarry.config.spelling import spell
from tarry.core.check import Check

_WIDTH = 78  # of the commented file: two columns less than a terminal usually has

_INTRO = """\
# Configuration

<!-- Made by `tarry config reference > docs/config.md`. Its source: the declarations of src/tarry/config and checks. -->

tarry reads one TOML file. Every key has a default, so an empty file is a working server; `tarry config init` writes one with all
keys as comments, `tarry config check` tells every mistake in it, and `tarry config show` tells where each value comes from. Later
wins: default, preset, file, flag.

- A **duration** is a number with a unit, `"350ms"`, `"6s"`, `"5m"`, `"1h"` or `"7d"`. A **range**, `"4s..9s"`, is drawn anew for
  each client.
- A **network** is an address or an address with a prefix length: `"192.0.2.7"`, `"192.0.2.0/24"`, `"2001:db8::/32"`.
- A **pattern** is a Python regular expression, searched for in the address. Single quotes keep its backslashes: `'^10\\.1\\.'`.
"""

_FILE_INTRO = """\
# Configuration of tarry. Every line with a key is the default, switched off:
# take the # away to change it. `tarry config check` tells every mistake.
# A duration is "350ms", "6s", "5m" or "1h"; a range "4s..9s" is drawn anew for
# each client. Where each value comes from: `tarry config show`.
"""


def reference(checks: Checks = REGISTRY) -> str:
    """Return the reference page."""
    return "\n".join(_reference_lines(checks)) + "\n"


def _reference_lines(checks: Checks) -> Iterator[str]:
    yield _INTRO
    known = {CHECKS + check.name: check for check in checks}
    settings_told = False
    for table in tables(checks):
        if not table.name.startswith(CHECKS):
            yield from _table_lines(table)
            continue
        if not settings_told:
            yield from _settings_lines()
            settings_told = True
        yield from _check_lines(table, known[table.name])


def _table_lines(table: Table) -> Iterator[str]:
    yield f"## [{table.name}]" if table.name else "## Top of the file"
    yield ""
    if table.name:
        yield _plain(table.help)
        yield ""
    yield from key_rows(table.keys)


def key_rows(some: Iterable[Key]) -> Iterator[str]:
    """Yield a table of keys with their defaults, and an empty line."""
    yield "| key | value | default | |"
    yield "|---|---|---|---|"
    for key in some:
        told = _plain(key.help)
        if key.source:
            told += f" <br>Source: {key.source}."
        yield f"| `{key.last}` | {cell(key.kind.unit)} | {code(_default(key))} | {cell(told)} |"
    yield ""


def _settings_lines() -> Iterator[str]:
    yield "## [checks.NAME]"
    yield ""
    yield "Each check has these keys, and some have keys of their own. What a check finds is recorded whatever its action."
    yield "Each has a page in [checks/](checks/index.md), and `tarry explain CHECK` prints one; [write your own](own-checks.md)."
    yield ""
    yield "| key | value | |"
    yield "|---|---|---|"
    for name, (kind, help) in SETTINGS.items():
        yield f"| `{name}` | {cell(kind.unit)} | {cell(_plain(help))} |"
    yield ""


def _check_lines(table: Table, check: Check) -> Iterator[str]:
    yield f"## [{table.name}]"
    yield ""
    yield from ("```text", manual(check), "```", "")
    defaults = (key for key in table.keys if key.last in SETTINGS and key.default not in (None, ""))
    yield f"Defaults: {', '.join(f'`{key.last} = {_default(key)}`' for key in defaults)}."
    if check in REGISTRY:
        yield f"What clients are told, and how to change it: [checks/{check.name}.md](checks/{check.name}.md)."
    yield ""
    yield from code_rows(check)
    own = own_keys(table.keys)
    if own:
        yield from key_rows(own)


def own_keys(some: Iterable[Key]) -> list[Key]:
    """Return those keys of a check that only this one has."""
    return [key for key in some if key.last not in SETTINGS]


def code_rows(check: Check) -> Iterator[str]:
    """Yield a table of a check's reasons, and an empty line."""
    yield "| reason | meaning |"
    yield "|---|---|"
    for word, meaning in check.codes.items():
        yield f"| `{check.name}.{word}` | {cell(meaning)} |"
    yield ""


def _default(key: Key) -> str:
    return spell(key.kind.write(key.default))


def commented_file() -> str:
    """Return a file with every key, its help, and its default switched off."""
    return "\n".join(_file_lines()) + "\n"


def _file_lines() -> Iterator[str]:
    yield _FILE_INTRO.rstrip()
    settings_told = False
    for table in tables():
        yield ""
        if not table.name.startswith(CHECKS):
            if table.name:
                yield f"[{table.name}]"
                yield from _comment(table.help)
            for key in table.keys:
                yield from _comment(_told_in_file(key))
                yield from _assignment(key)
            continue
        if not settings_told:
            yield from _comment("Checks. Each has these keys, shown where they have a value:")
            for name, (_, help) in SETTINGS.items():
                yield from _comment(f"{name}: {help}", indent="    ")
            settings_told = True
            yield ""
        yield f"[{table.name}]"
        yield from _comment(table.help)
        for key in table.keys:
            if key.last not in SETTINGS:
                yield from _comment(key.help)
            if key.default not in (None, ""):
                yield from _assignment(key)


def _assignment(key: Key) -> Iterator[str]:
    """Yield a key with its default, commented out; a list of tables that is too long for a line has a line for each."""
    line = f"#{key.last} = {_default(key)}"
    rows = key.kind.write(key.default)
    if len(line) <= _WIDTH or not isinstance(rows, list):
        yield line
        return
    for row in rows:
        yield f"#[[{key.name}]]"
        yield from (f"#{word} = {spell(value)}" for word, value in row.items())


def _told_in_file(key: Key) -> str:
    words = key.kind.schema.get("enum")
    if isinstance(words, list) and not all(f"{word}" in key.help for word in words):
        return f"{key.help} One of: {', '.join(map(str, words))}."
    return key.help


def _comment(text: str, indent: str = "") -> list[str]:
    return textwrap.wrap(
        " ".join(text.split()), _WIDTH, initial_indent="# ", subsequent_indent=f"# {indent}", break_on_hyphens=False
    )


def json_schema(checks: Checks = REGISTRY) -> str:
    """Return the JSON Schema (draft 2020-12) of the file, as text."""
    root: dict[str, Any] = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "tarry.toml",
        "description": "Configuration of tarry, the front door for mail servers.",
        **_object(),
    }
    for table in tables(checks):
        place = root
        for part in table.name.split(".") if table.name else ():
            place = place["properties"].setdefault(part, _object())
        if table.name:
            place["description"] = _plain(table.help)
        for key in table.keys:
            place["properties"][key.last] = _schema_of(key)
    return json.dumps(root, indent=2, ensure_ascii=False) + "\n"


def _object() -> dict[str, Any]:
    return {"type": "object", "additionalProperties": False, "properties": {}}


def _schema_of(key: Key) -> dict[str, Any]:
    described = _plain(key.help)
    return {**key.kind.schema, "description": described, "default": key.kind.write(key.default)}


def _plain(text: str) -> str:
    return " ".join(text.split())


def cell(text: str) -> str:
    """Return text as it may stand in a cell of a Markdown table."""
    return text.replace("|", "\\|").replace("<br>", "\0").replace("<", "&lt;").replace("\0", "<br>")


def code(text: str) -> str:
    """Return text as code in a cell."""
    return f"`{cell(text)}`"
