"""clients_verb - what the verbs of `tarry clients` have in common: options, the memory, and how a verb ends that cannot go on."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import NoReturn, TypeVar

import click

from tarry.cli.file import default_file
from tarry.cli.layout import filled
from tarry.cli.opened import PATIENCE, USAGE, Memory, NoMemory, memory_of
from tarry.cli.who import Who, who
from tarry.config.load import load
from tarry.config.spelling import printable
from tarry.store import Store

_Verb = TypeVar("_Verb", bound=Callable[..., None])
_T = TypeVar("_T")


def options(function: _Verb) -> _Verb:
    """Add the options that every verb takes."""
    for option in (
        click.option("--json", "as_json", is_flag=True, help="Write one JSON object."),
        click.option("--store", "url", metavar="URL", help="The store, in place of the one that the configuration names."),
        click.option("-c", "--config", "file", metavar="FILE", type=click.Path(), help="The configuration; tarry.toml, if there."),
    ):
        function = option(function)
    return function


def memory(ctx: click.Context, file: str | None, url: str | None) -> Memory:
    """Return the memory that a command line means; a configuration with errors ends the command."""
    named = file or ctx.obj or default_file()
    loaded = load(Path(named) if named else None)
    if loaded.errors:
        for problem in loaded.errors:
            click.echo(str(problem), err=True)
        ctx.exit(USAGE)
    return memory_of(loaded.config, url)


def used(
    ctx: click.Context,
    memory: Memory,
    work: Callable[[Store], Awaitable[_T]],
    *,
    makes: bool = False,
    patience: float = PATIENCE,
) -> _T:
    """Return what *work* comes to; a store that cannot be used ends the command."""
    try:
        return memory.use(work, makes=makes, patience=patience)
    except NoMemory as fault:
        refuse(ctx, str(fault), fault.status)


def named(ctx: click.Context, texts: Sequence[str]) -> list[Who]:
    """Read addresses, networks and domains; what is none of them ends the command."""
    found = []
    for text in texts:
        try:
            found.append(who(text))
        except ValueError as wrong:
            refuse(ctx, str(wrong), USAGE)
    return found


def refuse(ctx: click.Context, why: str, status: int) -> NoReturn:
    """End the command with a sentence on standard error."""
    click.echo(f"{ctx.command_path}: {printable(why)}", err=True)
    ctx.exit(status)


def notes(subjects: Sequence[Who]) -> Iterator[str]:
    """Yield what was made of the arguments, for who wrote them."""
    for note in dict.fromkeys(note for one in subjects for note in one.notes):
        yield filled(f"({note})", "  ", 2)


def write(report: object) -> None:
    """Write one JSON object."""
    click.echo(json.dumps(report, indent=2))
