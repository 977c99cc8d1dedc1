"""preset_pages - the files of the presets, as their pages show them.

    .venv/bin/python -m tests.preset_pages

writes the first TOML block below ``## Here`` of each page in docs/presets anew; tests/test_docs.py says when that is due.
"""

from __future__ import annotations

import re
from pathlib import Path

from tarry.config.load import preset_text
from tarry.config.schema import PRESETS

FOLDER = Path(__file__).parents[1] / "docs" / "presets"

_SHOWN = re.compile(r"(?<=\n## Here\n\n```toml\n).*?(?=^```$)", re.MULTILINE | re.DOTALL)
_WARNING = re.compile(r"^- `([a-z_.]+)`: (.+)$", re.MULTILINE)


def with_file(page: str, name: str) -> str:
    """Return the page of a preset with its file as it is now."""
    return _SHOWN.sub(lambda _: preset_text(name), page, count=1)


def warnings(page: str) -> dict[str, str]:
    """Return what a page says that `tarry config check` warns of under its preset: each key, with the words."""
    return dict(_WARNING.findall(page.partition("\n## Warnings\n")[2]))


if __name__ == "__main__":
    for name in PRESETS:
        path = FOLDER / f"{name}.md"
        path.write_text(with_file(path.read_text(encoding="utf-8"), name), encoding="utf-8")
