"""metrics_page - the part of docs/metrics.md that lists the metrics, made from tarry.web.metrics.

    .venv/bin/python -m tests.metrics_page        writes it into the page

tests/web/test_metrics.py fails where the page is not what this makes, or speaks of a metric that there is not.
"""

from __future__ import annotations

from pathlib import Path

from tarry.control.states import Mta, State
from tarry.record.tally import Histogram
from tarry.web.metrics import METRICS, Told

PAGE = Path(__file__).parents[1] / "docs" / "metrics.md"
BEGIN = "<!-- Made by `python -m tests.metrics_page`, from src/tarry/web/metrics.py. -->\n"
END = "<!-- End of what is made. -->\n"


def made() -> str:
    """Return the part, with the comments around it."""
    rows = [
        f"| `{told.name}` | {told.kind} | {', '.join(f'`{label}`' for label in told.labels)} | {told.help} |\n" for told in METRICS
    ]
    buckets = [f"| `{told.name}` | {', '.join(f'{bound:g}' for bound in _bounds(told))} |\n" for told in METRICS if _bounds(told)]
    table = ["| metric | kind | labels | what it is |\n|---|---|---|---|\n", *rows]
    bounds = ["\n| histogram | buckets, in seconds |\n|---|---|\n", *buckets]
    return "".join([BEGIN, *table, *bounds, END])


def with_made(page: str) -> str:
    """Return the page with its made part made anew."""
    before, _, rest = page.partition(BEGIN)
    return before + made() + rest.partition(END)[2]


def _bounds(told: Told) -> tuple[float, ...]:
    found = told.read(State(1, "0", 0.0, "", mta=Mta("")))
    return found.bounds if isinstance(found, Histogram) else ()


if __name__ == "__main__":
    PAGE.write_text(with_made(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
