"""The table of presets and habits, in its three forms."""

import io
import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from rich.console import Console

from tarry.cli.probe import command
from tarry.cli.probe_cells import cell
from tarry.cli.probe_preset_table import page, report, shown
from tarry.cli.probe_presets import Outcome, cases, outcomes
from tarry.config.schema import PRESETS

PAGE = Path(__file__).parents[2] / "docs" / "presets" / "table.md"
ROWS: list[tuple[Outcome, ...]] = list(zip(*outcomes(cases()), strict=True))


def run(*arguments: str) -> Result:
    return CliRunner().invoke(command, arguments, prog_name="tarry probe")


def test_the_page_is_up_to_date() -> None:
    """If this fails: make docs."""
    assert page(ROWS) == PAGE.read_text("utf-8")


def test_the_page_has_a_column_for_each_preset_and_a_row_for_each_client() -> None:
    """All rows are as wide as the head, and each preset's name leads to its page."""
    lines = [line for line in page(ROWS).splitlines() if line.startswith("|")]

    assert {len(PRESETS) + 2} == {line.count("|") for line in lines}
    assert len(cases()) + 2 == len(lines)
    assert [f"{preset}.md" for preset in PRESETS] == re.findall(r"\]\(([^)]+)\)", lines[0])


def drawn(width: int) -> str:
    console = Console(file=io.StringIO(), width=width, color_system=None, legacy_windows=False)
    console.print(shown(ROWS))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.mark.parametrize("width", [60, 80, 130])
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    """Names are whole."""
    text = drawn(width)

    assert max(map(len, text.splitlines())) <= width
    assert all(case.habit.name in text for case in cases())


def test_presets_that_do_the_same_share_a_row() -> None:
    """Where all do, it says so; what a client did stands below its name."""
    text = drawn(200)
    blind = text[text.index("blind ") : text.index("one-early-byte")]

    assert ["blind", "says"] == [line.split()[0] for line in blind.splitlines()[:2]]
    assert re.search(r"550 at once +carraway-2003, qpsmtpd-earlytalker", blind)
    assert re.search(r"bare-lf +no reply to the message, gives up +all", text)


def test_the_report_has_every_outcome() -> None:
    """One object; the words are those of the table, next to what they were made of."""
    made = report(ROWS)
    habits = {habit["name"]: habit for habit in json.loads(json.dumps(made))["habits"]}

    assert (1, list(PRESETS)) == (made["v"], made["presets"])
    assert [case.habit.name for case in cases()] == list(habits)
    assert habits["blind"]["outcomes"]["carraway-2003"] == {
        "text": "550 at once",
        "verdict": "turned away",
        "mood": "good",
        "code": 550,
        "after": 0.0,
        "messages": 0,
        "ended": "server",
    }
    assert [cell(one) for one in ROWS[0]] == [one["text"] for one in habits["patient"]["outcomes"].values()]


def test_the_command_needs_no_server() -> None:
    """A table, the page, or JSON; and only the habits that were chosen."""
    shown = run("--presets", "--habit", "blind")
    made = run("--presets", "--json", "--habit", "patient", "--habit", "blind")

    assert (0, True, False) == (shown.exit_code, "554 at once" in shown.stdout, "patient" in shown.stdout)
    assert ["patient", "blind"] == [habit["name"] for habit in json.loads(made.stdout)["habits"]]
    assert (0, PAGE.read_text("utf-8")) == ((whole := run("--presets", "--markdown")).exit_code, whole.stdout)


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (("--presets", "127.0.0.1:25"), "HOST:PORT is for a server"),
        (("--presets", "--timeout", "3s"), "--timeout is for a server"),
        (("--markdown",), "--markdown goes with --presets"),
        (("127.0.0.1:25", "--habit", "listed"), "listed can only be played with --presets"),
    ],
)
def test_what_belongs_elsewhere_is_refused(arguments: tuple[str, ...], hint: str) -> None:
    """Status 2, and which word it is."""
    result = run(*arguments)

    assert 2 == result.exit_code
    assert hint in result.stderr
