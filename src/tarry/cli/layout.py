"""layout - paragraphs for a terminal, and plain lines for everything else.

Promises  On a terminal nothing is wider than it, or than 100 columns; into a file or a pipe each paragraph is one line, as it is
          best searched. Bold only where colours are wanted.
"""

from __future__ import annotations

import os
import shutil
import sys
import textwrap

import click

from tarry.sinks.terminal import wants_colour

_WIDEST = 100
_NARROWEST = 40


def filled(text: str, first: str = "", indent: int = 0, *, breaks: bool = False) -> str:
    """Return *first* and a paragraph behind it, whose further lines stand *indent* columns in. With *breaks* a word that is too
    long for a line is broken; a key or an address is better left whole."""
    if not is_terminal():
        return first + text
    return textwrap.fill(
        text, columns() - 1, initial_indent=first, subsequent_indent=" " * indent, break_long_words=breaks, break_on_hyphens=False
    )


def bold(text: str) -> str:
    """Return a heading."""
    return click.style(text, bold=True) if wants_colour(os.environ, is_terminal=is_terminal()) else text


def columns() -> int:
    """Return how wide a paragraph may be."""
    return max(_NARROWEST, min(_WIDEST, shutil.get_terminal_size().columns))


def is_terminal() -> bool:
    """True where somebody looks on."""
    return sys.stdout.isatty()
