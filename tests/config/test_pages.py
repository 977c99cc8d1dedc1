"""The pages of docs/checks."""

from __future__ import annotations

import re
from pathlib import Path

from tarry.checks import REGISTRY
from tarry.config.pages import INDEX, pages
from tarry.config.schema import Config
from tests.config.own import Greeter

FOLDER = Path(__file__).parents[2] / "docs" / "checks"


def test_the_pages_are_up_to_date() -> None:
    """One for each check and an index, and no others. If this fails: make docs, and remove what is left over."""
    assert pages() == {page.name: page.read_text("utf-8") for page in FOLDER.iterdir()}


def test_the_index_names_every_check() -> None:
    """In the order in which they are asked, each with its page."""
    assert [check.name for check in REGISTRY] == re.findall(r"^\| \[(\w+)\]\(\1\.md\) \|", pages()[INDEX], re.MULTILINE)


def test_tables_are_whole() -> None:
    """Every row of a table has as many cells as its head."""
    for text in pages().values():
        width = 0
        for line in text.splitlines():
            cells = len(re.findall(r"(?<!\\)\|", line)) if line.startswith("|") else 0
            assert not (cells and width) or cells == width, line
            width = cells


def test_own_checks_have_pages_too() -> None:
    """Made of what they declare; what a manual page does not have is left out."""
    made = pages(Config.from_toml("", checks=[Greeter()]))
    page = made["greeter.md"]
    assert "| [greeter](greeter.md) |" in made[INDEX]
    assert page.startswith("# greeter\n\nNotice clients whose name holds a word of the operator's list.\n\n## Reasons\n")
    assert "| `greeter.word` | the name holds one of the words | reject: refused at mail | `550 5.7.1 Your name" in page
    assert '| `words` | list of words | `["dyn"]` | Words that a name is not to hold. |' in page
    assert "For one of its reasons only" not in page


def test_a_check_that_does_not_refuse_says_what_it_would_say() -> None:
    """The complaint is what an action that refuses would tell the client."""
    assert "With an action that refuses, the client is told: Lines must end in CR LF." in pages()["bare_newline.md"]
    assert "With an action that refuses" not in pages()["pregreet.md"]
