"""declare - how a key of the configuration is declared: a field of a dataclass, with what keys.py reads in its metadata.

Not here  The tables: tables.py, and waits.py for what makes clients wait. The keys of checks: core/check.option.
"""

from __future__ import annotations

from dataclasses import field
from typing import Any

from tarry.config import values
from tarry.core.client import Phase

PHASES = {phase.word: phase for phase in Phase if phase is not Phase.CLOSED}
DELAY_PHASES = ("helo", "mail", "rcpt", "data")


def key(
    default: Any,
    kind: values.Kind,
    *,
    help: str,
    since: str = "0.1",
    source: str = "",
    required: bool = False,
) -> Any:
    """Declare one key. ``required``: each row of a list must have it."""
    said = {"kind": kind, "help": help, "since": since, "source": source, "required": required}
    return field(default=default, metadata=said)
