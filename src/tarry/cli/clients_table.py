"""clients_table - what `tarry clients list` shows: a row a client, or a mark.

Widths    Made for 80 columns: the reasons have what the others leave, and are cut between two of them.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence

import click
import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from tarry.cli import layout
from tarry.cli.client_history import entry_report, placed
from tarry.cli.moments import ago, ahead, at, length
from tarry.cli.opened import Memory
from tarry.cli.tables import lines_of, plain
from tarry.cli.who import SUBNET, network_of
from tarry.config.spelling import printable
from tarry.core.history import Entry, karma_at
from tarry.core.marked import Marked
from tarry.store import Mark

ORDERS = {"worst": "the least karma first", "best": "the most karma first", "last": "those that came last first"}
_WIDE = 160
"""Columns where nobody looks on: nothing is cut but the list of reasons."""
_REASONS = 6
_LEAST = 10
_BETWEEN = 2
_HEADINGS = ("client", "karma", "seen", "mail", "refused", "last")


class Listed(msgspec.Struct, frozen=True):
    """The entries that were asked for, every mark, and how many entries (or marks) there are in all."""

    entries: tuple[Entry, ...]
    marks: tuple[Mark, ...]
    count: int


def show_clients(listed: Listed, memory: Memory, by: str) -> None:
    """Write the clients, and below them how many more there are."""
    if not listed.entries:
        click.echo(f"None of {listed.count:,} matches." if listed.count else "Nobody is remembered yet.")
        return
    _show(clients(listed, memory, _width()))
    click.echo()
    click.echo(f"{len(listed.entries):,} of {listed.count:,}, {ORDERS[by]}.")


def show_marks(found: Sequence[Mark], now: float) -> None:
    """Write the marks."""
    if not found:
        click.echo("There is no such mark. `tarry clients allow` and `tarry clients deny` make one.")
        return
    _show(marks(found, now))


def report(listed: Listed, memory: Memory) -> dict[str, object]:
    """Return the clients for a program."""
    words = words_of(listed)
    found = [{**entry_report(entry, memory), "mark": word or None} for entry, word in zip(listed.entries, words, strict=True)]
    return {"clients": found}


def clients(listed: Listed, memory: Memory, width: int) -> Table:
    """Return the table of clients for so many columns."""
    words = words_of(listed)
    headings = [*_HEADINGS, "mark"] if any(words) else list(_HEADINGS)
    rows = [_cells(entry, word, memory)[: len(headings)] for entry, word in zip(listed.entries, words, strict=True)]
    widths = [max(map(len, column)) for column in zip(headings, *rows, strict=True)]
    room = max(_LEAST, width - sum(widths) - _BETWEEN * len(widths))
    made = plain()
    for heading, least in zip(headings, widths, strict=True):
        made.add_column(heading, justify="left" if heading in ("client", "mark") else "right", no_wrap=True, min_width=least)
    made.add_column("reasons", no_wrap=True, overflow="ellipsis")
    for entry, cells in zip(listed.entries, rows, strict=True):
        karma = _coloured(cells[1], karma_at(entry, memory.now, memory.fading), memory)
        made.add_row(cells[0], karma, *cells[2:], _reasons(entry, room))
    return made


def marks(found: Sequence[Mark], now: float) -> Table:
    """Return the table of marks."""
    made = plain()
    for name in ("address or network", "mark", "until", "said"):
        made.add_column(name, no_wrap=True)
    made.add_column("comment", overflow="fold")
    for mark in found:
        until = f"{at(mark.until)[:10]}, {ahead(mark.until, now)}" if mark.until else "for good"
        made.add_row(printable(mark.what), mark.action, until, ago(mark.at, now) if mark.at else "", Text(printable(mark.comment)))
    return made


def words_of(listed: Listed) -> list[str]:
    """Return the word of the mark that is about each entry: of several, that of the narrowest network; "" where none is."""
    whole = (one for one in placed(listed.marks).values() if one[0].version == 4 or one[0].prefixlen <= SUBNET)
    marked = Marked.of((network, mark.action == "allow") for network, mark in whole)
    own = (network_of(entry.key) for entry in listed.entries)
    said = (marked.find(network.network_address.packed) if network is not None else None for network in own)
    return ["" if one is None else "allow" if one else "deny" for one in said]


def _cells(entry: Entry, word: str, memory: Memory) -> tuple[str, ...]:
    return (
        printable(entry.key),
        f"{karma_at(entry, memory.now, memory.fading):+.1f}",
        f"{entry.sessions:,}",
        f"{entry.delivered:,}",
        f"{entry.refused:,}",
        length(max(0.0, memory.now - entry.at)),
        word,
    )


def _coloured(text: str, karma: float, memory: Memory) -> Text:
    keys = memory.config.karma
    return Text(text, style="red" if karma < keys.bad_below else "green" if karma > keys.skip_above else "")


def _reasons(entry: Entry, room: int) -> str:
    """Return the most frequent reasons, as many as there is room for."""
    found = sorted(entry.reasons, key=lambda one: (-one.sessions, -one.last))
    told = ""
    for number, one in enumerate(found[:_REASONS]):
        word = f"{printable(one.name)} {one.sessions:,}"
        longer = f"{told}, {word}" if told else word
        if number and len(longer) > room - (3 if number + 1 < len(found) else 0):
            return f"{told}, ..."[:room] if len(told) + 5 <= room else told
        told = longer
    return told


def _show(made: Table) -> None:
    """Write a table; where the terminal is too narrow for it the lines wrap, and nothing is lost."""
    least = Console(width=_WIDE).measure(made).minimum
    console = Console(width=max(_width(), least), highlight=False, markup=False)
    click.echo("\n".join(lines_of(console, made)))


def _width() -> int:
    return shutil.get_terminal_size().columns if layout.is_terminal() else _WIDE
