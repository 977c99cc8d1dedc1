"""reader - whoever reads what a command prints may have had enough of it (`| head`, less).

Promises  That is no failure, and nothing is said about it; click would make it status 1, which means findings, or that nothing is
          known. Who has a status of its own to tell puts `may_leave` around what it prints, and keeps it; else it is 0.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def may_leave() -> Iterator[None]:
    """Leave off where the reader of standard output has gone."""
    try:
        yield
    except BrokenPipeError:
        # The standard stream is pointed away: the interpreter's own flush at exit must not fail either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
