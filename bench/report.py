"""report - results for people (one table) and for programs (one JSON file).

The table has a line for each figure and a column for each peer; several runs show as median (min-max). Every peer but
the first has a second column, its median over the first peer's: on a noisy machine that is the part to believe.
The JSON file is `Report` as it stands; `schema` goes up by one when a reader would have to change.
"""

import math
from pathlib import Path

import msgspec
from rich.console import Console
from rich.table import Table

from bench.machine import Machine
from bench.quantiles import median

SCHEMA = 1

# Columns of a terminal, borders included.
_LABELS_WIDTH = 44
_PEER_WIDTH = 34

Setting = int | float | str | list[int] | list[str] | None


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is measured. `compare` off: a count, of which a ratio says nothing."""

    key: str
    title: str
    unit: str
    digits: int = 0
    compare: bool = True


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One run of one peer; a figure that could not be had is null."""

    peer: str
    run: int
    meter: str
    figures: dict[str, float | None]
    notes: list[str] = []


class Skipped(msgspec.Struct, frozen=True, kw_only=True):
    """A peer that was not measured, or not to the end."""

    peer: str
    reason: str


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """One figure of one peer over all runs; `ratio` is to the first peer of the same run."""

    median: float | None
    min: float | None
    max: float | None
    ratio: float | None


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that one command found."""

    measure: str
    machine: Machine
    settings: dict[str, Setting]
    figures: list[Figure]
    rows: list[Row]
    skipped: list[Skipped]
    summary: dict[str, dict[str, Summary]]
    schema: int = SCHEMA


def summarise(figures: list[Figure], rows: list[Row]) -> dict[str, dict[str, Summary]]:
    """Return, for each peer in the order of the run, every figure over its runs."""
    peers = list(dict.fromkeys(row.peer for row in rows))
    found: dict[str, dict[str, Summary]] = {}
    for peer in peers:
        found[peer] = {}
        for figure in figures:
            first = found[peers[0]].get(figure.key) if peer != peers[0] else None
            values = [row.figures.get(figure.key) for row in rows if row.peer == peer]
            found[peer][figure.key] = _summary([value for value in values if value is not None], figure, first)
    return found


def write_json(report: Report, path: Path) -> None:
    """Write *report* for programs."""
    path.write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=1) + b"\n")


def show(report: Report, console: Console) -> None:
    """Print *report* for people: one table, or several below each other when the peers do not fit side by side."""
    peers = list(report.summary)
    fitting = max(1, (console.width - _LABELS_WIDTH) // _PEER_WIDTH)
    for start in range(0, len(peers), fitting):
        console.print(_table(report, peers[start : start + fitting], peers[0]))
    for row in report.rows:
        for note in row.notes:
            console.print(f"note: {row.peer}, run {row.run}: {note}", markup=False, highlight=False)
    for skipped in report.skipped:
        console.print(f"skipped: {skipped.peer}: {skipped.reason}", markup=False, highlight=False)
    meters = ", ".join(sorted({row.meter for row in report.rows})) or "none"
    console.print(f"{report.machine.line()}\nCPU by {meters}; $ {report.machine.command}", markup=False, highlight=False)


def _table(report: Report, peers: list[str], first: str) -> Table:
    table = Table(title=f"{report.measure}: {_settings_line(report.settings)}", title_justify="left")
    table.add_column("figure", no_wrap=True)
    table.add_column("unit", style="dim", no_wrap=True)
    for peer in peers:
        table.add_column(peer, justify="right", no_wrap=True)
        if peer != first:
            table.add_column(f"/ {first}", justify="right", style="dim", no_wrap=True)
    for figure in report.figures:
        cells: list[str] = []
        for peer in peers:
            summary = report.summary[peer][figure.key]
            cells.append(_cell(summary, figure.digits))
            if peer != first:
                cells.append("" if summary.ratio is None else f"{summary.ratio:.2g} x")
        table.add_row(figure.title, figure.unit, *cells)
    return table


def _summary(values: list[float], figure: Figure, first: Summary | None) -> Summary:
    if not values:
        return Summary(median=None, min=None, max=None, ratio=None)
    middle = median(values)
    base = first.median if first is not None and first.median is not None else 0.0
    ratio = middle / base if figure.compare and base > 0 and middle > 0 else None
    return Summary(median=middle, min=min(values), max=max(values), ratio=ratio)


def _cell(summary: Summary, digits: int) -> str:
    """Return `median`, or `median (min-max)` where runs differ; `-` where there is no figure."""
    if summary.median is None or summary.min is None or summary.max is None or math.isnan(summary.median):
        return "-"
    text = f"{summary.median:,.{digits}f}"
    low, high = f"{summary.min:,.{digits}f}", f"{summary.max:,.{digits}f}"
    return text if low == high else f"{text} ({low}-{high})"


def _settings_line(settings: dict[str, Setting]) -> str:
    """Return the settings in one line."""
    shown = {name: " + ".join(map(str, value)) if isinstance(value, list) else value for name, value in settings.items()}
    return ", ".join(f"{name} {value}" for name, value in shown.items() if value is not None)
