"""moving_page - the examples of docs/moving.md, made by the command itself.

    .venv/bin/python -m tests.moving_page

writes the page anew: behind each old file stands what `tarry import` makes of it. A test compares.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path

from tarry.cli.import_ import heading
from tarry.config.imports import written
from tarry.config.imports.found import Found
from tarry.config.imports.postfix import read_postfix
from tarry.config.imports.qpsmtpd import read_qpsmtpd
from tarry.config.imports.sendmail import read_sendmail
from tarry.config.imports.settle import settle

PAGE = Path(__file__).parents[1] / "docs" / "moving.md"
_EXAMPLE = re.compile(
    r"(?P<files>(?:```text /[^\n]+\n.*?^```\n+)+)(?P<between>[^`]*?)```toml\n(?P<result>.*?)^```$", re.MULTILINE | re.DOTALL
)
_FILE = re.compile(r"```text (?P<name>/[^\n]+)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)


def imported(files: Mapping[str, str]) -> str:
    """Return what `tarry import` writes for some files, by their full names."""
    by_name = {Path(name).name: text for name, text in files.items()}

    def read(name: str) -> str:
        if Path(name).name not in by_name:
            raise FileNotFoundError(2, "No such file or directory", name)
        return by_name[Path(name).name]

    readers: Mapping[str, tuple[str, Callable[[], Found]]] = {
        "main.cf": ("postfix", lambda: read_postfix(by_name["main.cf"], "main.cf", read, master=by_name.get("master.cf"))),
        "plugins": ("qpsmtpd", lambda: read_qpsmtpd(by_name["plugins"], "plugins", read)),
        "sendmail.mc": ("sendmail", lambda: read_sendmail(list(by_name.items()))),
    }
    first = next(iter(by_name))
    verb, reader = readers[first]
    found = reader()
    settle(found)
    named = list(files) if verb == "sendmail" else [next(iter(files))]
    return written.toml(found, heading(named, verb))


def examples(page: str) -> list[tuple[dict[str, str], str]]:
    """Return the old files of each example, and what stands behind them."""
    return [
        ({one["name"]: one["text"] for one in _FILE.finditer(found["files"])}, found["result"]) for found in _EXAMPLE.finditer(page)
    ]


def with_made(page: str) -> str:
    """Return the page with each result made anew."""

    def made(found: re.Match[str]) -> str:
        files = {one["name"]: one["text"] for one in _FILE.finditer(found["files"])}
        return f"{found['files']}{found['between']}```toml\n{imported(files)}```"

    return _EXAMPLE.sub(made, page)


if __name__ == "__main__":
    PAGE.write_text(with_made(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
