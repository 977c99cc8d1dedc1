"""turns - measure one after the other, as often as is wanted, and collect rows.

What is missing, does not start or breaks is skipped with its reason, and the others go on. An interrupt keeps the rows so far.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from rich.console import Console
from tests.e2e.servers.processes import NotStarted

from bench.drive import GeneratorFailure
from bench.report import Row, Skipped

_Name = TypeVar("_Name", bound=str)
Found = tuple[dict[str, float | None], list[str], str]  # figures, notes, the meter's name


class ServerEnded(Exception):
    """The server under test did not survive."""


BREAKDOWNS = (NotStarted, GeneratorFailure, ServerEnded, ConnectionError, TimeoutError)


@dataclass(slots=True)
class Collected:
    """What a run found so far."""

    rows: list[Row] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    interrupted: bool = False


def in_turns(names: Sequence[_Name], runs: int, once: Callable[[_Name, int], Found], missing: Callable[[_Name], str]) -> Collected:
    """Call *once* for each name and run, from 0 on, but for those of which *missing* says why they cannot be measured."""
    collected = Collected()
    progress = Console(stderr=True)
    left = []
    for name in names:
        if reason := missing(name):
            collected.skipped.append(Skipped(peer=name, reason=reason))
        else:
            left.append(name)
    try:
        # Runs outermost: what disturbs the machine for a minute then disturbs all alike.
        for run in range(runs):
            for name in list(left):
                progress.print(f"{name}, run {run + 1} of {runs}", style="dim", highlight=False)
                try:
                    figures, notes, meter = once(name, run)
                except BREAKDOWNS as problem:
                    said = "; it printed: ".join([str(problem), *filter(None, getattr(problem, "__notes__", ()))])
                    collected.skipped.append(Skipped(peer=name, reason=f"run {run + 1}: {said}"))
                    left.remove(name)
                    continue
                collected.rows.append(Row(peer=name, run=run + 1, meter=meter, figures=figures, notes=notes))
    except KeyboardInterrupt:
        collected.interrupted = True
    return collected
