"""load - read a configuration: defaults, then a preset, then the file, then flags.

What      `load` returns the configuration, where each value came from, and every problem at once.
Order     Which checks there are comes first: ``plugins`` names some, and tables, keys and origins follow from them.
Promises  Bad content never raises: each mistake is a `Problem` with its file, line, key and remedy, and the value below it stays,
          so that there is always a whole configuration to look at. Whoever must not go on with errors calls `Loaded.checked`.
          A check that a preset does not name is ignored under it: its original did not have it, and a new check changes none.
          The operator's own checks are as they were declared under every preset.
Not here  Rules between keys: problems.py. Compiling for the core: compile.py. Files of networks: lists.py.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import msgspec
from msgspec.structs import replace

from tarry.checks import REGISTRY
from tarry.config import document, problems
from tarry.config.document import Document
from tarry.config.keys import CHECKS, Checks, build, groups, keys, keys_of, tables
from tarry.config.lists import Lists, read_lists
from tarry.config.origin import DEFAULT, ConfigError, Origin, Problem
from tarry.config.schema import PRESETS, Config
from tarry.config.spelling import nearest, printable, spell_key
from tarry.config.values import Wrong
from tarry.core.check import Check
from tarry.core.result import Action

SIZE_LIMIT = 4 * 1024 * 1024
"""Octets. A larger file is not a configuration (a log, a mail folder), and is not read."""


class Loaded(msgspec.Struct, frozen=True):
    """A configuration with the story of its values. ``origins`` has an entry for every key; ``lists`` is what the files of
    exempt.files and deny.files hold; ``text`` is what was read."""

    config: Config
    origins: Mapping[str, Origin]
    problems: tuple[Problem, ...]
    lists: Lists = Lists()
    text: str = ""

    @property
    def errors(self) -> tuple[Problem, ...]:
        return tuple(problem for problem in self.problems if problem.is_error)

    @property
    def warnings(self) -> tuple[Problem, ...]:
        return tuple(problem for problem in self.problems if not problem.is_error)

    def checked(self) -> Config:
        """Return the configuration. Raises ConfigError with every problem when there is an error."""
        if self.errors:
            raise ConfigError(self.problems)
        return self.config


class _Reading(msgspec.Struct):
    """What has been read so far. ``bad`` holds the keys whose value could not be taken.

    ``lacks_checks``: a plugin could not be had, so that a table of a check that nobody knows may be right.
    """

    file: str
    lines: bool = True
    registry: Checks = REGISTRY
    lacks_checks: bool = False
    values: dict[str, Any] = msgspec.field(default_factory=dict)
    origins: dict[str, Origin] = msgspec.field(default_factory=dict)
    problems: list[Problem] = msgspec.field(default_factory=list)
    bad: dict[str, Origin] = msgspec.field(default_factory=dict)


def load(
    path: Path | None,
    *,
    text: str | None = None,
    flags: Mapping[str, object] = MappingProxyType({}),
    checks: Sequence[Check] = (),
    alone: bool = False,
    lines: bool = True,
) -> Loaded:
    """Read the file at *path*, or *text* with *path* as its name, or with neither the defaults.

    *flags* are values from the command line by their full names, as TOML would give them; they win over the file. *checks* are
    further checks, of a program that embeds tarry; like those of ``plugins`` they come behind the built-in ones. *alone*: the
    configuration is for `tarry inetd`, so [handoff] and [listen] mean nothing and the client is given away at the greeting. Without
    *lines* neither origins nor problems have one, which saves a parser: load again to tell what is wrong.
    """
    reading = _Reading(printable(str(path)) if path is not None else "", lines)
    if text is None and path is not None:
        text, trouble = _text_of(path)
        reading.problems += trouble
    text = text or ""
    doc = document.read(text, reading.file, lines=lines)
    reading.problems += doc.problems
    _take_checks(reading, doc, flags, path, checks)
    _take_preset(reading, doc, flags)
    _take(reading, doc.values, doc, Origin("file", reading.file))
    for name, value in flags.items():
        _take(reading, _nested(name, value), Document(), Origin("flag"))
    _derive(reading)
    config = build(reading.values, reading.registry)
    origins = {name: reading.origins.get(name, DEFAULT) for name in keys(reading.registry)}
    # A key that was set wrongly was set all the same. A line that could not be read at all may be what a warning misses.
    for problem in problems.find(config, {**origins, **reading.bad}, alone=alone):
        if problem.where not in reading.bad and (problem.is_error or not doc.problems):
            reading.problems.append(_placed(problem, reading, origins))
    found = sorted(dict.fromkeys(reading.problems), key=lambda problem: (problem.line, not problem.is_error))
    lists = read_lists(config.exempt.files, config.deny.files, path.parent if path is not None else Path())
    of_lists = (_named_there(problem, reading, origins) for problem in lists.problems)
    return Loaded(config, MappingProxyType(origins), (*found, *of_lists), lists, text)


def preset_text(name: str) -> str:
    """Return the file of a preset."""
    # Not importlib.resources: its tempfile, shutil and random take 4 ms of a start (Python 3.11).
    return (pkgutil.get_data("tarry.config", f"presets/{name}.toml") or b"").decode("utf-8")


def _text_of(path: Path) -> tuple[str, list[Problem]]:
    file = printable(str(path))
    try:
        with path.open("rb") as stream:
            raw = stream.read(SIZE_LIMIT + 1)
    except FileNotFoundError:
        return "", [Problem("", "there is no such file", "write one with `tarry config init`, or name another with -c", file=file)]
    except PermissionError:
        return "", [Problem("", "this user may not read the file", "change its owner or mode", file=file)]
    except IsADirectoryError:
        return "", [Problem("", "this is a directory", f"name a file in it, such as {path / 'tarry.toml'}", file=file)]
    except (OSError, ValueError) as fault:  # EIO, ENAMETOOLONG, a NUL in the name: all are the operator's to mend
        return "", [Problem("", f"the file cannot be read: {fault}", "name another with -c", file=file)]
    if len(raw) > SIZE_LIMIT:
        return "", [
            Problem("", f"the file is larger than {SIZE_LIMIT >> 20} MiB", "name the configuration file with -c", file=file)
        ]
    try:
        return raw.decode("utf-8").replace("\r\n", "\n"), []
    except UnicodeDecodeError as fault:
        line = raw.count(b"\n", 0, fault.start) + 1
        problem = Problem("", f"the byte 0x{raw[fault.start]:02x} is not UTF-8", "save the file as UTF-8", file=file, line=line)
        return raw.decode("utf-8", "replace").replace("\r\n", "\n"), [problem]


def _take_checks(reading: _Reading, doc: Document, flags: Mapping[str, object], path: Path | None, checks: Sequence[Check]) -> None:
    """Learn which checks there are besides the built-in ones."""
    asked = flags.get("plugins", doc.values.get("plugins"))
    words = [(index, one) for index, one in enumerate(asked) if isinstance(one, str) and one] if isinstance(asked, list) else []
    if not (words or checks):
        return
    from tarry.config import plugins  # `tarry inetd` does without, where it has none

    listen = doc.values.get("listen")
    user = flags.get("listen.user", listen.get("user") if isinstance(listen, dict) else None)
    folder = path.parent if path is not None else Path()
    found = plugins.find([word for _, word in words], folder, checks, serves_as=user if isinstance(user, str) else "")
    reading.registry = (*REGISTRY, *found.checks)
    reading.lacks_checks = bool(found.troubles)
    for one in found.troubles:
        line = doc.line(("plugins", words[one.index][0])) if one.index is not None and "plugins" not in flags else 0
        reading.problems.append(Problem("plugins", one.what, one.fix, file=reading.file, line=line))


def _take_preset(reading: _Reading, doc: Document, flags: Mapping[str, object]) -> None:
    name = flags.get("preset", doc.values.get("preset"))
    if isinstance(name, str) and name in PRESETS and name != PRESETS[0]:  # the first one is the defaults
        preset = document.read(preset_text(name), f"preset {name}", lines=reading.lines)
        origin = Origin("preset", name)
        _take(reading, preset.values, preset, origin)
        for action in (f"checks.{check.name}.action" for check in REGISTRY):
            if action not in reading.values:
                reading.values[action], reading.origins[action] = Action.IGNORE, origin


def _take(reading: _Reading, found: Mapping[str, object], doc: Document, origin: Origin) -> None:
    """Read the values of one layer over those below it."""
    for path, value in _settled(found, reading, doc):
        name = ".".join(path)
        said = replace(origin, line=doc.line(path)) if origin.kind == "file" else origin
        try:
            reading.values[name] = keys(reading.registry)[name].kind.read(value)
            reading.origins[name] = said
        except Wrong as wrong:
            reading.bad[name] = said
            for one in (wrong, *wrong.others):
                line = doc.line((*path, *one.index))
                reading.problems.append(Problem(name, one.what, one.fix, file=reading.file, line=line))


def _settled(found: Mapping[str, object], reading: _Reading, doc: Document) -> Iterator[tuple[tuple[str, ...], object]]:
    """Yield each known key that is set, with its value; everything else becomes a problem."""
    below: list[tuple[tuple[str, ...], Mapping[str, object]]] = [((), found)]
    while below:
        above, table = below.pop()
        for part, value in table.items():
            path = (*above, part)
            name = spell_key(*path)
            match value:
                case _ if name in keys(reading.registry):
                    yield path, value
                case dict() if name in groups(reading.registry):
                    below.append((path, value))
                case dict() if reading.lacks_checks and above == (CHECKS[:-1],):
                    pass  # it may be the table of a check that could not be had, which is told
                case _:
                    what, fix = _unknown(path, value, reading.registry)
                    reading.problems.append(Problem(name, what, fix, file=reading.file, line=doc.line(path)))


def _unknown(path: tuple[str, ...], value: object, checks: Checks) -> tuple[str, str]:
    name, above, last = spell_key(*path), spell_key(*path[:-1]), path[-1]
    if name in groups(checks):
        if isinstance(value, list) and all(isinstance(one, dict) for one in value):
            return "there is only one such table", f"write [{name}], in single brackets"
        inner = next((one for one in keys(checks) if one.startswith(f"{name}.")), name)
        return (
            "it is a table and has no value of its own",
            f"write [{name}] and below it its keys, such as {inner.rpartition('.')[2]}",
        )
    if ".".join(path) in keys(checks):
        return "the quotes make one name of it", f"write {'.'.join(path)} without quotes"
    siblings = [one.last for one in keys_of(above, checks)]
    inner_tables = [one.removeprefix(f"{above}." if above else "") for one in groups(checks) if one.rpartition(".")[0] == above]
    if isinstance(value, dict) and not (siblings and above):
        meant = nearest(last, inner_tables) or next((one for one in sorted(groups(checks)) if one.rpartition(".")[2] == last), "")
        full = meant if not above or meant in groups(checks) else f"{above}.{meant}"
        kind = "check" if above == "checks" else "table"
        return f"there is no such {kind}", f"did you mean [{full}]?" if meant else f"there are {_some(inner_tables)}"
    elsewhere = [table.name for table in tables(checks) if table.name != above and any(key.last == last for key in table.keys)]
    if elsewhere and above not in elsewhere:
        return "no such key here", _elsewhere(last, elsewhere, checks)
    meant = nearest(last, [*siblings, *inner_tables])
    if meant:
        return "no such key", f"did you mean {above}.{meant}?" if above else f"did you mean {meant}?"
    if not above:
        meant = nearest(last, [key.last for key in keys(checks).values()])
        found = [one for one in keys(checks) if meant and one.rpartition(".")[2] == meant]
        return "no such key at the top of the file", f"did you mean {found[0]}?" if found else f"there are {_some(inner_tables)}"
    if not siblings:
        return "no such table", f"there are {_some(f'[{above}.{one}]' for one in inner_tables)}"
    return "no such key", f"the {'keys' if len(siblings) > 1 else 'only key'} of [{above}]: {_some(siblings)}"


def _elsewhere(last: str, elsewhere: list[str], registry: Checks) -> str:
    plain = [table for table in elsewhere if not table.startswith("checks.")]
    checks = [table for table in elsewhere if table.startswith("checks.")]
    named = [f"[{table}]" if table else "the top of the file" for table in plain[:3]]
    named += ["each [checks.NAME]"] if len(checks) == len(registry) else [f"[{table}]" for table in checks[:3]]
    return f"{last} belongs to {_some(named, last_word='or')}: put it below that heading" if named else ""


def _some(names: Iterable[str], *, last_word: str = "and") -> str:
    *most, last = list(names)
    return f"{', '.join(most)} {last_word} {last}" if most else last


def _nested(name: str, value: object) -> dict[str, object]:
    for part in reversed(name.split(".")):
        value = {part: value}
    return value if isinstance(value, dict) else {}


def _derive(reading: _Reading) -> None:
    """Let the message's deadline follow the backend's where the operator set only that: who wants patience wants it there too."""
    backend = reading.origins.get("limits.backend", DEFAULT)
    if backend.is_operators and "limits.backend" in reading.values and "limits.message" not in reading.origins:
        reading.values["limits.message"] = reading.values["limits.backend"]
        reading.origins["limits.message"] = Origin("derived", "limits.backend")


def _named_there(problem: Problem, reading: _Reading, origins: Mapping[str, Origin]) -> Problem:
    """A mistake in a file of networks has its own place; that the file cannot be read is told where it is named."""
    return problem if problem.line else _placed(problem, reading, origins)


def _placed(problem: Problem, reading: _Reading, origins: Mapping[str, Origin]) -> Problem:
    """Give a rule's problem the line of its key, or that of the preset line that brought it."""
    origin = origins.get(problem.where, DEFAULT)
    if origin.kind == "preset":
        said = origins["preset"]
        return replace(problem, what=f"{problem.what} (by preset {origin.name})", file=reading.file, line=said.line)
    if origin.kind == "flag":
        return problem
    return replace(problem, file=reading.file, line=origin.line)
