"""The table of `tarry clients list`."""

from __future__ import annotations

import pytest
from click.testing import CliRunner
from rich.console import Console
from tests.cli.remembering import DAY, NOW

from tarry.cli import clients_table
from tarry.cli.clients_table import Listed, clients, marks, report, words_of
from tarry.cli.opened import Memory
from tarry.config.schema import Config
from tarry.core.history import Counted, Entry
from tarry.store import Mark

MEMORY = Memory(Config(), "none", NOW)


def drawn(entries: tuple[Entry, ...], width: int, found: tuple[Mark, ...] = ()) -> list[str]:
    console = Console(width=width, highlight=False)
    with console.capture() as shown:
        console.print(clients(Listed(entries, found, len(entries)), MEMORY, width))
    return [line.rstrip() for line in shown.get().splitlines()]


def entry(key: str, karma: float = 0.0, *reasons: tuple[str, int], ago: float = 60.0) -> Entry:
    counted = tuple(Counted(name, count, NOW) for name, count in reasons)
    return Entry(key, karma, NOW - ago, NOW - DAY, 1234, 5, 6, reasons=counted)


@pytest.mark.parametrize("width", [80, 100])
def test_nothing_is_wider_than_the_screen(width: int) -> None:
    """Not with the longest addresses, and all reasons, of which only the first is told."""
    long = tuple((f"dnslists.listed_in_{n}", 100 - n) for n in range(30))
    lines = drawn(
        (entry("2001:db8:ffff:ffff::/64", -19.9, *long), entry("a" * 22 + ".example", 3.0)), width, (Mark("::/0", "allow"),)
    )
    assert width >= max(map(len, lines))
    assert "allow  dnsli" in lines[2] and "listed_in_1" not in lines[2]


def test_reasons_are_told_by_number() -> None:
    """The most frequent first; as many as there is room for, and one at least."""
    found = entry("192.0.2.7", -3.0, ("pregreet.spoke", 2), ("helo.spoofed", 9))
    assert drawn((found,), 120)[2].endswith("helo.spoofed 9, pregreet.spoke 2")
    assert drawn((found,), 70)[2].endswith("helo.spoofed 9, ...")


def test_karma_is_as_of_now() -> None:
    """It has faded since the client was here."""
    half_life = MEMORY.fading.half_life
    assert drawn((entry("192.0.2.7", -8.0, ago=half_life),), 80)[2].startswith("192.0.2.7   -4.0  1,234")


def test_which_mark_counts() -> None:
    """That of the narrowest network; none for a domain, and none on a part of an IPv6 client."""
    said = (Mark("192.0.0.0/16", "allow"), Mark("192.0.2.0/24", "deny"), Mark("2001:db8::/32", "allow"), Mark("2001:db9::", "deny"))
    keys = ("192.0.2.7", "192.0.3.7", "2001:db8:7::/64", "2001:db9::/64", "10.0.0.7", "example.org")
    assert ["deny", "allow", "allow", "", "", ""] == words_of(Listed(tuple(map(entry, keys)), said, len(keys)))


def test_the_table_of_marks() -> None:
    """Until when, and when it was said, as far as that is known."""
    console = Console(width=80, highlight=False)
    with console.capture() as shown:
        console.print(marks([Mark("192.0.2.7", "deny", NOW + DAY, "[b]x", NOW - 60), Mark("10.0.0.0/8", "allow")], NOW))
    lines = [line.rstrip() for line in shown.get().splitlines()]
    assert "192.0.2.7           deny   2026-11-22, in 1 day  1 min ago  [b]x" == lines[2]
    assert "10.0.0.0/8          allow  for good" == lines[3]


def test_a_mark_of_somebody_else_is_shown_as_text() -> None:
    """Whoever writes to the store writes nothing to the terminal."""
    console = Console(width=100, highlight=False)
    with console.capture() as shown:
        console.print(marks((Mark("\x1b]0;x\x07", "deny"),), NOW))
    assert "\\x1b]0;x\\x07" in shown.get()


def test_a_report_has_marks_beside_clients() -> None:
    """By their word."""
    found = report(Listed((entry("192.0.2.7"),), (Mark("192.0.2.7", "deny"),), 1), MEMORY)
    assert ["deny"] == [one["mark"] for one in found["clients"]]  # type: ignore[attr-defined]


def test_colours_are_for_terminals(monkeypatch: pytest.MonkeyPatch) -> None:
    """None in a pipe; its columns are those of the terminal where there is one."""
    monkeypatch.setenv("COLUMNS", "50")
    monkeypatch.setattr("tarry.cli.layout.is_terminal", lambda: True)
    listed = Listed((entry("192.0.2.7", -9.0, ("pregreet.spoke", 2), ("helo.spoofed", 1)),), (), 1)
    with CliRunner().isolation() as (out, *_):
        clients_table.show_clients(listed, MEMORY, "worst")
        text = out.getvalue().decode()
    assert "\x1b" not in text
    assert text.splitlines()[2].startswith("192.0.2.7   -9.0  1,234     5        6  1 min  pre")
