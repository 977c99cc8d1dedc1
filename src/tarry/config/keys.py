"""keys - the schema as a flat list of tables and keys.

What      `tables` and `keys` walk the dataclasses of schema.py and tables.py and the declarations of the checks; `build` makes a
          Config of flat values, `flat` takes one apart.
Promises  The order is that of a configuration file. A check's table follows from its declaration; nothing is listed twice. Which
          checks there are is an argument: the built-in ones, and behind them the operator's own where a configuration has some.
"""

from __future__ import annotations

import dataclasses
import inspect
import keyword
import re
import sys
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import Any, TypeAlias

import msgspec

from tarry.checks import REGISTRY
from tarry.config import patterns, places, values
from tarry.config.declare import PHASES
from tarry.config.rows import rows, word_of
from tarry.config.schema import CheckConfig, Config
from tarry.config.spelling import nearest, shown, spell
from tarry.config.values import Kind, mapped
from tarry.core.check import Check, Settings
from tarry.core.result import Action

CHECKS = "checks."

Checks: TypeAlias = tuple[Check, ...]


class Key(msgspec.Struct, frozen=True):
    """One key. ``name`` is the full one."""

    name: str
    kind: Kind
    default: Any
    help: str
    since: str = "0.1"
    source: str = ""

    @property
    def last(self) -> str:
        """The name within its table."""
        return self.name.rpartition(".")[2]


class Table(msgspec.Struct, frozen=True):
    """One table; "" is the top of the file."""

    name: str
    help: str
    keys: tuple[Key, ...]


_ACTIONS = {action.word: action for action in Action}

SETTINGS: Mapping[str, tuple[Kind, str]] = {
    "action": (
        mapped(
            values.choice(*_ACTIONS),
            _ACTIONS.__getitem__,
            lambda action: action.word,
        ),
        "What a finding leads to, mildest first: ignore only records it, tag adds a header, delay holds, discard takes the "
        "message, says 250 and throws it away, defer is 4xx, reject is 5xx, drop replies and closes.",
    ),
    "at": (
        mapped(
            values.choice("", *PHASES),
            lambda word: PHASES[word] if word else None,
            lambda phase: phase.word if phase is not None else "",
        ),
        "The phase where the action is carried out; empty is where the finding was made.",
    ),
    "weight": (values.number(-1_000_000, 1_000_000, "weight"), "What a finding adds to the score."),
    "remember": (
        values.duration(),
        "How long a pass is remembered: a client that has passed every check of the hold is not held again meanwhile. 0s is not.",
    ),
    "header": (
        places.header,
        "A header line for the message, when headers.insert is true. {client}, {reason}, {code}, {detail} (what the client "
        "said) and {id} are filled in.",
    ),
    "codes": (
        Kind("table of actions", lambda value: value),  # what each check makes of it: codes_of
        "Actions of single codes, where they differ from action.",
    ),
    "reply": (
        places.reply,
        'The whole reply, such as "550 Not accepted [{id}]"; for discard one with 250. Empty is the usual one.',
    ),
}


_KEPT = 4
"""For how many sets of checks keys are kept. A process has one, or two while it reads its configuration anew."""


@lru_cache(_KEPT)
def tables(checks: Checks = REGISTRY) -> tuple[Table, ...]:
    """Return every table, in the order of a configuration file."""
    return tuple(_walk(Config, "", checks))


def keys_of(table: str, checks: Checks = REGISTRY) -> tuple[Key, ...]:
    """Return the keys of one table, none where there is no such table."""
    return next((one.keys for one in tables(checks) if one.name == table), ())


@lru_cache(_KEPT)
def keys(checks: Checks = REGISTRY) -> Mapping[str, Key]:
    """Return every key by its full name, in the order of a configuration file."""
    return types.MappingProxyType({key.name: key for table in tables(checks) for key in table.keys})


def toml_of(name: str, value: object, checks: Checks = REGISTRY) -> str:
    """Return the value of a key as TOML."""
    return spell(keys(checks)[name].kind.write(value))


@lru_cache(_KEPT)
def groups(checks: Checks = REGISTRY) -> tuple[str, ...]:
    """Return the names of tables, and of what only holds tables (checks, tarpit), in order."""
    named = [table.name for table in tables(checks) if table.name]
    return tuple(dict.fromkeys(name for full in named for name in (full.rpartition(".")[0], full) if name))


def manual(check: Check) -> str:
    """Return a check's manual page: its module's docstring, or that of its class where only this one begins with its name."""
    module = sys.modules.get(type(check).__module__)
    pages = [inspect.cleandoc(one) for one in (getattr(module, "__doc__", None), type(check).__doc__) if isinstance(one, str)]
    titled = [page for page in pages if page.startswith(f"{check.name} - ")]
    return titled[0] if titled else f"{check.name} - {pages[-1] if pages else check.complaint}"


def build(flat_values: Mapping[str, object], checks: Checks = REGISTRY) -> Config:
    """Return the configuration that has these checks and these values, and defaults for the rest."""
    config: Config = _fill(Config, "", flat_values, checks)
    return config


def flat(config: Config) -> dict[str, Any]:
    """Return the value of every key by its full name."""
    found: dict[str, Any] = {}
    for name in keys(config.registry):
        if name.startswith(CHECKS):
            check, last = name.split(".")[1:]
            if check in config.checks:
                one = config.checks[check]
                found[name] = getattr(one.settings if last in SETTINGS else one.options, last)
        else:
            value: Any = config
            for part in name.split("."):
                value = getattr(value, f"{part}_" if keyword.iskeyword(part) else part)
            found[name] = value
    return found


def _walk(cls: type[Any], prefix: str, checks: Checks) -> Iterator[Table]:
    fields = dataclasses.fields(cls)
    own = tuple(_key(one, prefix) for one in fields if "kind" in one.metadata)
    if own:
        yield Table(prefix, inspect.cleandoc(cls.__doc__ or ""), own)
    for one in fields:
        if "table" not in one.metadata:
            continue
        name = f"{prefix}.{one.name}" if prefix else one.name
        if name == "checks":
            yield from map(_check_table, checks)
        else:
            yield from _walk(_class_of(one), name, checks)


def _class_of(one: dataclasses.Field[Any]) -> type[Any]:
    return typing.cast("type[Any]", one.default_factory)


def _key(one: dataclasses.Field[Any], prefix: str) -> Key:
    said = one.metadata
    name = f"{prefix}.{word_of(one)}" if prefix else word_of(one)
    return Key(name, said["kind"], one.default, said["help"], said["since"], said["source"])


def _check_table(check: Check) -> Table:
    name = CHECKS + check.name
    common = _common_keys(name, check)
    options = tuple(
        Key(f"{name}.{one.name}", kind_of(one), one.default, _sentence(one.metadata.get("help", "")), _since(check))
        for one in dataclasses.fields(check.options)
    )
    return Table(name, summary(check), (*common, *options))


def _common_keys(table: str, check: Check) -> tuple[Key, ...]:
    return tuple(
        Key(
            f"{table}.{name}",
            codes_of(check) if name == "codes" else kind,
            getattr(check.settings, name),
            help,
        )
        for name, (kind, help) in SETTINGS.items()
    )


def codes_of(check: Check) -> Kind:
    """The kind of a check's ``codes``: a table whose keys are its codes."""
    action, _ = SETTINGS["action"]

    def read(value: object) -> Mapping[str, Action]:
        if not isinstance(value, Mapping):
            raise values.Wrong(f"{shown(value)} is not a table", f'write {{ {next(iter(check.codes))} = "tag" }}')
        found: dict[str, Action] = {}
        wrongs = []
        for word, one in value.items():
            if word not in check.codes:
                meant = nearest(word, check.codes)
                fix = f"did you mean {meant}?" if meant else f"{check.name} has {', '.join(check.codes)}"
                wrongs.append(values.Wrong(f"no such code: {shown(word)}", fix, index=(word,)))
                continue
            try:
                found[word] = action.read(one)
            except values.Wrong as wrong:
                wrongs.append(values.Wrong(f"{word}: {wrong.what}", wrong.fix, index=(word,)))
        values.raise_all(wrongs)
        return types.MappingProxyType(found)

    def write(value: Mapping[str, Action]) -> object:
        return {word: action.write(one) for word, one in value.items()}

    properties = {code: {**action.schema, "description": meaning} for code, meaning in check.codes.items()}
    return Kind("table of actions", read, write, {"type": "object", "additionalProperties": False, "properties": properties})


def summary(check: Check) -> str:
    """Return what a check looks for, as a sentence."""
    return _sentence(manual(check).partition("\n")[0].partition(" - ")[2])


def _since(check: Check) -> str:
    found = re.search(r"^Since\s+(\S+)", manual(check), re.MULTILINE)
    return found[1] if found else "0.1"


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:].rstrip('.')}{'' if text.endswith('?') else '.'}"


def kind_of(one: dataclasses.Field[Any]) -> Kind:
    """The kind of a check's own key, by its default and unit. A float in seconds is a duration."""
    said = one.metadata
    unit = str(said.get("unit", ""))
    if said.get("rows") is not None:
        return rows(said["rows"], kind_of, unit=unit, example=said["example"])
    if said.get("read") is not None:
        parsed = _parsed(said["read"], said["example"], unit)
        return values.listed(parsed, f"list of {unit}", f"[{spell(said['example'])}]") if isinstance(one.default, tuple) else parsed
    if said.get("choices"):
        words = values.choice(*said["choices"])
        return words if isinstance(one.default, str) else values.listed(words, f"list of {unit}", spell([*said["choices"]][:2]))
    if unit == "patterns":
        return patterns.patterns
    match one.default:
        case bool():
            return values.boolean
        case int():
            return values.whole(0, 1_000_000_000, unit or "number")
        case float():
            return values.duration() if unit in ("s", "seconds") else values.number(-1e9, 1e9, unit or "number")
        case str():
            return values.text(unit or "text")
        case tuple():
            return values.listed(values.text(unit or "text"), f"list of {unit or 'texts'}", '["a", "b"]')
        case other:
            raise AssertionError(f"no kind of configuration value for {one.name} = {other!r}")


def _parsed(parse: Callable[[str], Any], example: str, unit: str) -> Kind:
    """Text that a check reads by itself; ``str`` of the result is the text again."""

    def read(value: object) -> Any:
        text = values.text(unit or "text", example=example).read(value)
        try:
            return parse(text)
        except ValueError as fault:
            raise values.Wrong(f"{shown(text)} cannot be read: {fault}", f"write it as in {spell(example)}") from None

    return Kind(unit or "text", read, str, {"type": "string"})


def _fill(cls: type[Any], prefix: str, given: Mapping[str, object], checks: Checks) -> Any:
    made: dict[str, Any] = {}
    for one in dataclasses.fields(cls):
        name = f"{prefix}.{word_of(one)}" if prefix else word_of(one)
        if name == "checks":
            made[one.name] = types.MappingProxyType({check.name: _fill_check(check, given, checks) for check in checks})
        elif "table" in one.metadata:
            made[one.name] = _fill(_class_of(one), name, given, checks)
        elif name in given:
            made[one.name] = given[name]
    return cls(**made)


def _fill_check(check: Check, given: Mapping[str, object], checks: Checks) -> CheckConfig:
    said = {key.last: given.get(key.name, key.default) for key in keys_of(CHECKS + check.name, checks)}
    settings = Settings(**typing.cast("dict[str, Any]", {name: said.pop(name) for name in SETTINGS}))
    return CheckConfig(settings=settings, options=check.options(**said), check=check)
