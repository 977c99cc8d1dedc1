"""The configuration written out: reference page, commented file, JSON Schema."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tarry.checks import REGISTRY
from tarry.config import render
from tarry.config.compile import fingerprint
from tarry.config.keys import keys, tables
from tarry.config.load import load
from tarry.config.schema import Config

DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.parametrize(("file", "made"), [("config.md", render.reference), ("tarry.schema.json", render.json_schema)])
def test_the_pages_are_up_to_date(file: str, made: Any) -> None:
    """What is in docs is what the declarations say now: `tarry config reference` and `tarry config schema` make it."""
    assert made() == (DOCS / file).read_text("utf-8")


def test_the_reference_has_everything() -> None:
    """Every table, key, help, and each check's manual page and codes are on the page."""
    page = render.reference()
    for table in tables():
        assert not table.name or f"## [{table.name}]\n" in page
        for key in table.keys:
            assert f"`{key.last}`" in page
    for check in REGISTRY:
        assert f"\n{check.name} - " in page
        for code in check.codes:
            assert f"`{check.name}.{code}`" in page


def test_tables_of_the_reference_are_whole() -> None:
    """Every row of a table has as many cells as its head."""
    width = 0
    for line in render.reference().splitlines():
        cells = len(re.findall(r"(?<!\\)\|", line)) if line.startswith("|") else 0
        assert not (cells and width) or cells == width, line
        width = cells


def test_the_commented_file_is_the_defaults() -> None:
    """The file loads without problems and changes nothing."""
    loaded = load(None, text=render.commented_file())
    assert (Config(), ()) == (loaded.config, loaded.problems)


def test_the_commented_file_switched_on_is_the_defaults() -> None:
    """With each line switched on the file still loads as the defaults, so every line is right as it stands."""
    text = re.sub(r"(?m)^#(?=[a-z_]+ = |\[\[)", "", render.commented_file())
    loaded = load(None, text=text)
    assert () == loaded.problems
    assert fingerprint(Config()) == fingerprint(loaded.config)
    missing = {key.name for table in tables() for key in table.keys if key.default not in (None, "")}
    assert missing <= {name for name, origin in loaded.origins.items() if origin.is_set}


def test_the_commented_file_fits_a_terminal() -> None:
    """No line is longer than 80 columns, and the whole is short enough to read, whatever number of checks there is."""
    text = render.commented_file()
    assert 80 >= max(map(len, text.splitlines()))
    sections = re.split(r"(?m)^(?=\[)", text)
    checks = [len(section.splitlines()) for section in sections if section.startswith("[checks.")]
    assert (len(REGISTRY), True) == (len(checks), max(checks) <= 30)
    assert 480 > len(text.splitlines()) - sum(checks)


def schema_of(name: str) -> dict[str, Any]:
    """Return the part of the JSON Schema for a key."""
    place = json.loads(render.json_schema())
    for part in name.split("."):
        place = place["properties"][part]
    assert isinstance(place, dict)
    return place


@pytest.mark.parametrize("name", keys())
def test_the_schema_has_every_key(name: str) -> None:
    """Each key has its description and default, and its default is of its own type."""
    part = schema_of(name)
    assert keys()[name].kind.write(keys()[name].default) == part["default"]
    assert keys()[name].help in part["description"]
    if "pattern" in part:
        assert re.search(part["pattern"], part["default"])
    if "enum" in part:
        assert part["default"] in part["enum"]


def test_the_schema_takes_nothing_else() -> None:
    """A table takes no other keys, so that an editor marks a typo."""
    schema = json.loads(render.json_schema())
    assert "https://json-schema.org/draft/2020-12/schema" == schema["$schema"]
    assert [False] * 3 == [
        place["additionalProperties"] for place in (schema, schema["properties"]["checks"], schema["properties"]["hold"])
    ]
