"""kind - what a peer is: a name, the measures that it fits, and a way to start it."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from bench.server import Running

Measure = Literal["hold", "early", "pass", "mail", "line"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """What a peer is started for.

    `wait` is the time before the greeting in seconds, 0 for mail. `port` is free; a peer that chooses its own says so
    in Running. `sink_port` takes mail. `folder` is empty and private to this start.
    """

    measure: Measure
    wait: float
    port: int
    sink_port: int
    folder: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """A server that can be measured.

    `missing` returns why it cannot be started here, or nothing. `at_once` is how many clients it can serve at the same time, where
    that is fewer than a measure may ask for.
    """

    name: str
    about: str
    measures: frozenset[Measure]
    missing: Callable[[], str]
    start: Callable[[Setup], AbstractContextManager[Running]]
    at_once: int | None = None
