"""straight - `tarry inetd` without the library that reads command lines.

What      `parse` reads the words behind the verb where they are plain; `serve` runs the verb with them.
Promises  What is not plain (--help, a mistake) is left to click, which explains. Until the client's socket is known not to be
          standard error, nothing is imported that could fail aloud: with an old inetd a traceback would go to the client.
Why       A process a client: importing click takes 18 ms of CPU, more than holding a client for a minute.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from typing import NamedTuple

from tarry.net.stdio import StandardError, last_words

EX_USAGE, EX_TEMPFAIL = 2, 75


class Asked(NamedTuple):
    """What the command line asks for."""

    command: tuple[str, ...]
    config_file: str = ""
    observe: bool = False


def parse(words: Sequence[str]) -> Asked | None:
    """Return what the words behind ``inetd`` ask for; None where click should look at them."""
    config_file, observe, rest = "", False, list(words)
    while rest:
        word = rest.pop(0)
        if word == "--":
            break
        if word in ("-c", "--config") and rest:
            config_file = rest.pop(0)
        elif word.startswith("--config="):
            config_file = word.removeprefix("--config=")
        elif word == "--observe":
            observe = True
        elif word.startswith("-"):
            return None
        else:
            rest.insert(0, word)
            break
    return Asked(tuple(rest), config_file, observe) if rest and rest[0] else None


def turn_away() -> int | None:
    """The words are not plain, and click is to explain; return the exit status where that would be explained to a client."""
    stderr = StandardError()
    if stderr.is_usable:
        return None
    stderr.tell("tarry inetd: its command line is wrong; try it by hand, with --help")
    last_words(b"421 4.3.0 The mail server cannot be started, try again later\r\n")
    return EX_USAGE


def serve(asked: Asked) -> int:
    """Serve the client on descriptor 0; return the exit status, or never, when the command has taken over."""
    gc.disable()  # the process ends, or becomes another, before a cycle costs anything; 2 ms of a start
    stderr = StandardError()
    try:
        from tarry import inetd

        with redirect_stdout(sys.stderr):  # descriptor 1 is the client, and a check of the operator's may print
            return inetd.serve(asked.command, asked.config_file, observe=asked.observe, stderr=stderr)
    except Exception as fault:  # our bug: the client hears that it may come again, as far as that is still possible
        stderr.tell(f"tarry: {type(fault).__name__}: {fault}")
        last_words(b"421 4.3.0 Internal fault, try again later\r\n")
        return EX_TEMPFAIL
