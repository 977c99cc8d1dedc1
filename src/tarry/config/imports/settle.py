"""settle - see that an import loads: what tarry cannot take becomes a line without a counterpart.

What      `settle` reads every value as the loader would, then the whole file, and takes out what is an error: a hold of ten
          minutes, a zone that is no host name, a key that is not in this version.
Promises  Afterwards `tarry config check` finds no error in the file. What was taken out is told with the loader's own words.
"""

from __future__ import annotations

import sys

from tarry.config.imports import written
from tarry.config.imports.found import Found, Setting
from tarry.config.keys import keys
from tarry.config.load import load
from tarry.config.origin import Problem
from tarry.config.values import Wrong


def settle(found: Found) -> None:
    """Take out of *found* what would be an error."""
    _values(found)
    while errors := load(None, text=written.toml(found, ())).errors:
        dropped = [problem for problem in errors if _drop(found, problem)]
        assert dropped, errors
    _sort(found)


def _sort(found: Found) -> None:
    """Put what is missing into the order of the files; what belongs to a whole file comes last."""
    sources = (*(one.source for one in found.all()), *(one.source for one in found.missing))
    files = list(dict.fromkeys(source.file for source in sources))
    found.missing.sort(key=lambda one: (files.index(one.source.file), one.source.line or sys.maxsize))


def _values(found: Found) -> None:
    for name, setting in list(found.settings.items()):
        if wrong := _wrong(name, setting.value):
            del found.settings[name]
            _tell(found, setting, wrong.what, wrong.fix)
    for name, listed in list(found.elements.items()):
        kept = []
        for one in listed:
            if wrong := _wrong(name, [one.value]):
                _tell(found, one, wrong.what, wrong.fix)
            else:
                kept.append(one)
        if kept:
            found.elements[name] = kept
        else:
            del found.elements[name]


def _wrong(name: str, value: object) -> Wrong | None:
    known = keys().get(name)
    try:
        if known is not None:
            known.kind.read(value)
    except Wrong as wrong:
        return wrong
    return None


def _drop(found: Found, problem: Problem) -> bool:
    """Take out the key that a problem names, or every key of the table that it names; False where there is none."""
    where = problem.where
    taken = [name for name in (*found.settings, *found.elements) if name == where or name.startswith(f"{where}.")]
    for name in taken:
        for one in [found.settings.pop(name)] if name in found.settings else found.elements.pop(name):
            _tell(found, one, problem.what, problem.fix)
    return bool(taken)


def _tell(found: Found, setting: Setting, what: str, fix: str) -> None:
    found.miss(setting.source, "", f"{setting.key}: {what}", fix)
