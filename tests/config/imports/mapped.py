"""mapped - what the tests of imports share: a main.cf as keys and as what was told."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from tarry.config.imports import written
from tarry.config.imports.found import Found, ReadFile
from tarry.config.imports.postfix import read_postfix
from tarry.config.imports.settle import settle
from tarry.config.load import load

NO_FILES: Mapping[str, str] = MappingProxyType({})


def reader(files: Mapping[str, str]) -> ReadFile:
    """Return what reads *files*, and says of others that they are not there."""

    def read(name: str) -> str:
        if name not in files:
            raise FileNotFoundError(2, "No such file or directory", name)
        return files[name]

    return read


def postfix(main: str, master: str | None = None, files: Mapping[str, str] = NO_FILES) -> Found:
    """Import a main.cf; nothing in it may have been taken out as an error, and the result loads."""
    return whole(read_postfix(main, "main.cf", reader(files), master=master))


def whole(found: Found) -> Found:
    """Return an import that is right as it stands: settling it changes nothing, and the file loads without an error."""
    before = [one.key for one in found.all()]
    settle(found)
    assert before == [one.key for one in found.all()], [(one.why, one.instead) for one in found.missing]
    assert () == load(None, text=written.toml(found, ["test"])).errors
    return found


def keys(found: Found) -> dict[str, object]:
    """Return the keys with their values, lists as lists."""
    made: dict[str, object] = {name: setting.value for name, setting in found.settings.items()}
    return made | {name: [one.value for one in listed] for name, listed in found.elements.items()}


def told(found: Found) -> list[str]:
    """Return the names of what has no counterpart."""
    return [one.source.name for one in found.missing]
