"""config - `tarry config`: write a configuration, check one, show where each value comes from, try one out, print all keys.

What     `init` writes a file with every key as a comment. `check` tells every mistake at once. `show` lists values with their
         origins. `reference` and `schema` print what docs/config.md and docs/tarry.schema.json hold, and with a file also the keys
         of its own checks; `reference --checks` writes the pages of docs/checks. `try` is in config_try.
Status   0 fine; 1 errors (check --strict: also warnings), or nothing written; 2 usage.
JSON     v is 1, and fields are only ever added.
Since    0.1
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
from msgspec.structs import replace

from tarry.checks import REGISTRY
from tarry.cli.file import DEFAULT_FILE, default_file
from tarry.cli.reader import may_leave
from tarry.config import render
from tarry.config.compile import destination, fingerprint
from tarry.config.keys import build, flat, keys, toml_of
from tarry.config.load import Loaded, load
from tarry.config.origin import Origin, Problem, Severity
from tarry.config.schema import Config
from tarry.config.spelling import spell, without_password
from tarry.config.values import write_span
from tarry.core.client import Endpoint
from tarry.core.result import Action
from tarry.net.tls import server_context
from tarry.sinks.terminal import wants_colour
from tarry.store.places import check_url
from tarry.workers import privileges

_KEY_WIDTH = 14  # the longest key is max_per_client
_VALUE_WIDTH = 32  # what is longer pushes its origin to the next line
_INDENT = 2

_EARLY = {
    Action.IGNORE: "only recorded",
    Action.TAG: "tagged",
    Action.DELAY: "held longer",
    Action.DEFER: "told to come back later",
    Action.REJECT: "rejected",
    Action.DROP: "dropped",
}


def _with_file(function: Callable[..., None]) -> Callable[..., None]:
    """Let a command take FILE or -c FILE."""
    named = click.option("-c", "--config", "option", metavar="FILE", type=click.Path(), help="The same as FILE.")
    return click.argument("file", metavar="[FILE]", required=False, type=click.Path())(named(function))


def _json_option(function: Callable[..., None]) -> Callable[..., None]:
    return click.option("--json", "as_json", is_flag=True, help="Write one JSON object.")(function)


class _Group(click.Group):
    """Finds `try` on demand: it needs the core and rich, which the others do without."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*super().list_commands(ctx), "try"]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name == "try":
            from tarry.cli.config_try import command as found

            return found
        return super().get_command(ctx, cmd_name)


@click.group("config", cls=_Group, short_help="Write, check, show, try and explain configurations.")
@click.option("-c", "--config", "config_file", metavar="FILE", type=click.Path(), help="The configuration (TOML).")
@click.pass_context
def command(ctx: click.Context, config_file: str | None) -> None:
    """Write a configuration, check one, show where each value comes from, try it out on a client, print all keys."""
    ctx.obj = config_file or ctx.obj


@command.command("init", short_help="Write a file with every key as a comment.")
@_with_file
@click.option("--force", is_flag=True, help="Overwrite the file when it is there.")
@click.pass_context
def init(ctx: click.Context, file: str | None, option: str | None, force: bool) -> None:
    """Write FILE (tarry.toml) with every key as a comment, showing its default. "-" writes to standard output."""
    name = _name(ctx, file, option) or DEFAULT_FILE
    text = render.commented_file()
    if name == "-":
        click.echo(text, nl=False)
        return
    try:
        with Path(name).open("w" if force else "x", encoding="utf-8") as stream:
            stream.write(text)
    except FileExistsError:
        _fail(ctx, f"{name} is there already; write another one, or overwrite it with --force")
    except OSError as fault:  # ENOENT (no such folder), EACCES, EROFS, ENOSPC: all are told in the system's words
        _fail(ctx, f"{name} cannot be written: {fault.strerror}")
    click.echo(f"Wrote {name}: every key is in it, switched off and showing its default.")
    click.echo(f"Then: tarry config check {name}, and tarry serve -c {name}")


@command.command("check", short_help="Tell every mistake in a file.")
@_with_file
@click.option("--strict", is_flag=True, help="Exit with 1 for warnings too.")
@_json_option
@click.pass_context
def check(ctx: click.Context, file: str | None, option: str | None, strict: bool, as_json: bool) -> None:
    """Tell every mistake in FILE (tarry.toml), each with its line and its remedy.

    Exit status: 0 no errors, 1 errors (with --strict: or warnings), 2 usage.
    """
    name = _name(ctx, file, option) or DEFAULT_FILE
    loaded = _with_user(_with_store(_with_certificate(load(Path(name)))))
    failed = bool(loaded.errors or (strict and loaded.warnings))
    with may_leave():
        if as_json:
            click.echo(json.dumps(_report(name, loaded, failed), indent=2))
        else:
            told = [_told(problem) for problem in loaded.problems]
            click.echo("\n".join([*told, *map(_fitted, _conclusion(name, loaded))]))
    ctx.exit(1 if failed else 0)


def _with_certificate(loaded: Loaded) -> Loaded:
    """Return *loaded* with what is wrong with the certificate: the one thing in a file that only other files can tell."""
    config = loaded.config
    if loaded.errors or not (config.tls.mode == "terminate" or config.listen.smtps):
        return loaded
    try:
        server_context(config.tls.certificate, config.tls.key, config.tls.minimum)
    except OSError as fault:
        where, what = str(fault).split(": ", 1)
        return _with(loaded, Problem(where, what, "tarry would not start with it"))
    return loaded


def _with_user(loaded: Loaded) -> Loaded:
    """Return *loaded* with what is wrong with the user that tarry is to become, as far as this host and who asks can tell."""
    listen = loaded.config.listen
    try:
        privileges.find(listen.user)
    except OSError as fault:
        where, text = str(fault).split(": ", 1)
        what, fix = text.split("; ", 1)
        return _with(loaded, Problem(where, what, fix))
    needs_root = any(isinstance(one, Endpoint) and 0 < one.port < 1024 for one in (*listen.smtp, *listen.smtps))
    if needs_root and privileges.warning(listen.user):
        what = "it has ports below 1024 to open, and started as root, as you are, it would stay root"
        fix = 'set listen.user = "tarry" (a user of its own); under systemd leave it out, and set User='
        return _with(loaded, Problem("listen.user", what, fix, Severity.WARNING), "listen.smtp")
    return loaded


def _with_store(loaded: Loaded) -> Loaded:
    """Return *loaded* with what is wrong with the URL of the store: tarry starts all the same, and remembers nothing."""
    try:
        if not loaded.errors:
            check_url(loaded.config.store.url)
    except ValueError as fault:
        return _with(loaded, Problem("store.url", str(fault), "nothing is remembered until then", Severity.WARNING))
    return loaded


def _with(loaded: Loaded, problem: Problem, place: str = "") -> Loaded:
    """Return *loaded* with one problem more, at the line of its key or of the one at *place*."""
    origin = loaded.origins[place or problem.where]
    return replace(loaded, problems=(*loaded.problems, replace(problem, file=origin.name, line=origin.line)))


@command.command("show", short_help="Show each value and where it comes from.")
@_with_file
@click.option("--changed", is_flag=True, help="Leave out what is at its default.")
@_json_option
@click.pass_context
def show(ctx: click.Context, file: str | None, option: str | None, changed: bool, as_json: bool) -> None:
    """Show each value with where it comes from: default, preset, line of FILE (tarry.toml, when it is there), or flag."""
    name = _name(ctx, file, option) or default_file()
    loaded = load(Path(name) if name else None)
    for problem in loaded.errors:
        click.echo(_told(problem), err=True)
    if as_json:
        click.echo(json.dumps(_values(name, loaded, changed), indent=2))
    else:
        click.echo("\n".join(_listing(name, loaded, changed)))
    ctx.exit(1 if loaded.errors else 0)


@command.command("reference", short_help="Print all keys, as Markdown.")
@_with_file
@click.option("--checks", "folder", metavar="DIR", type=click.Path(), help="Write a page for each check, and an index, into DIR.")
@click.pass_context
def reference(ctx: click.Context, file: str | None, option: str | None, folder: str | None) -> None:
    """Print the reference of all keys, as Markdown; where FILE is named, with those of its own checks (plugins)."""
    config = _with_own_checks(ctx, file, option)
    if folder is None:
        click.echo(render.reference(config.registry), nl=False)
        return
    from tarry.config.pages import pages  # for this option alone

    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
        for name, text in pages(config).items():
            (Path(folder) / name).write_text(text, encoding="utf-8")
    except OSError as fault:  # ENOTDIR, EACCES, EROFS, ENOSPC: all are told in the system's words
        _fail(ctx, f"{fault.filename or folder} cannot be written: {fault.strerror}")
    click.echo(f"Wrote {len(config.registry) + 1} pages to {folder}.")


@command.command("schema", short_help="Print the JSON Schema, for editors.")
@_with_file
@click.pass_context
def schema(ctx: click.Context, file: str | None, option: str | None) -> None:
    """Print the JSON Schema, for editors that complete and check TOML; where FILE is named, with its own checks (plugins)."""
    click.echo(render.json_schema(_with_own_checks(ctx, file, option).registry), nl=False)


def _with_own_checks(ctx: click.Context, file: str | None, option: str | None) -> Config:
    """Return the defaults, with the checks that the file adds where one is named."""
    name = _name(ctx, file, option)
    if name is None:
        return Config()
    loaded = load(Path(name))
    for problem in loaded.errors:
        click.echo(_told(problem), err=True)
    if loaded.errors:
        ctx.exit(1)
    return build({}, loaded.config.registry)


def _name(ctx: click.Context, file: str | None, option: str | None) -> str | None:
    if file and option and file != option:
        raise click.UsageError(f"two files are named: {file} and {option}")
    found: str | None = file or option or ctx.obj
    return found


def _fail(ctx: click.Context, why: str) -> None:
    click.echo(f"tarry config: {why}", err=True)
    ctx.exit(1)


def _paint(text: str, **style: Any) -> str:
    return click.style(text, **style) if wants_colour(os.environ, is_terminal=_is_terminal()) else text


def _is_terminal() -> bool:
    return sys.stdout.isatty()


def _columns() -> int:
    return max(40, shutil.get_terminal_size().columns)


def _fitted(line: str) -> str:
    """Wrap a line for a terminal; leave it whole for whoever greps it or reads it by program."""
    if not _is_terminal():
        return line
    return textwrap.fill(line, _columns() - 1, subsequent_indent="    ", break_long_words=False, break_on_hyphens=False)


def _told(problem: Problem) -> str:
    painted = _paint(problem.severity, fg="red" if problem.is_error else "yellow", bold=True)
    return _fitted(str(problem)).replace(f"{problem.severity}:", f"{painted}:", 1)


def _conclusion(name: str, loaded: Loaded) -> Iterator[str]:
    if loaded.problems:
        counts = (_count(len(loaded.errors), "error"), _count(len(loaded.warnings), "warning"))
        told = " and ".join(count for count in counts if count)
        if loaded.errors:
            yield f"{name}: {told}; tarry does not start with it"
            return
        yield f"{name}: {told}"
    config = loaded.config
    where = ", ".join(str(one) for one in (*config.listen.smtp, *config.listen.smtps))
    yield f"{name} is fine: listens on {where}, holds each client {write_span(config.hold.wait)}."
    yield _plainly(config)
    own = config.registry[len(REGISTRY) :]
    if own:
        yield f"Own checks: {', '.join(check.name for check in own)}."


def _plainly(config: Config) -> str:
    early = config.checks["pregreet"].settings
    at = f" at {early.at.word}" if early.at is not None and early.action.refuses else ""
    exempt = len(config.exempt.networks) + len(config.exempt.patterns)
    free = f"; {_count(exempt, 'exemption')}" if exempt else ""
    return f"Early talkers are {_EARLY[early.action]}{at}; mail goes to {destination(config)}{free}."


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}" if number else ""


def _report(name: str, loaded: Loaded, failed: bool) -> dict[str, object]:
    return {
        "v": 1,
        "file": name,
        "ok": not failed,
        "errors": len(loaded.errors),
        "warnings": len(loaded.warnings),
        "fingerprint": None if loaded.errors else fingerprint(loaded.config),
        "problems": [
            {
                "file": problem.file,
                "line": problem.line or None,
                "column": problem.column or None,
                "severity": problem.severity,
                "key": problem.where,
                "what": problem.what,
                "fix": problem.fix,
            }
            for problem in loaded.problems
        ],
    }


def _shown_keys(loaded: Loaded, changed: bool) -> Iterator[tuple[str, object, Origin]]:
    for name, value in flat(loaded.config).items():
        origin = loaded.origins[name]
        if origin.is_set or not changed:
            yield name, without_password(str(value)) if name == "store.url" else value, origin


def _values(name: str | None, loaded: Loaded, changed: bool) -> dict[str, object]:
    known = keys(loaded.config.registry)
    return {
        "v": 1,
        "file": name,
        "fingerprint": fingerprint(loaded.config),
        "values": {
            key: {"value": known[key].kind.write(value), "origin": origin.kind, "place": str(origin)}
            for key, value, origin in _shown_keys(loaded, changed)
        },
    }


def _listing(name: str | None, loaded: Loaded, changed: bool) -> Iterator[str]:
    yield f"{name or 'no file'}, preset {loaded.config.preset}, fingerprint {fingerprint(loaded.config)}"
    known = keys(loaded.config.registry)
    table = ""
    empty = True
    for key, value, origin in _shown_keys(loaded, changed):
        empty = False
        above, _, last = key.rpartition(".")
        if above != table:
            table = above
            yield ""
            yield _paint(f"[{table}]", bold=True)
        indent = _INDENT if table else 0
        written = known[key].kind.write(value)
        if isinstance(written, list) and len(written) > 1 and all(isinstance(row, dict) for row in written):
            yield from _line(last, f"[ {len(written)} tables:", origin, indent=indent)
            for row in written:
                yield from textwrap.wrap(f"{spell(row)},", 80, initial_indent=" " * 4, subsequent_indent=" " * 8)
            yield f"{'':{indent}}]"
        else:
            yield from _line(last, toml_of(key, value, loaded.config.registry), origin, indent=indent)
    if empty:
        yield "Everything is at its default."


def _line(key: str, value: str, origin: Origin, indent: int) -> Iterator[str]:
    width = _KEY_WIDTH + _INDENT - indent
    told = _paint(str(origin), fg="green") if origin.is_set else _paint(str(origin), dim=True)
    if len(value) <= _VALUE_WIDTH:
        yield f"{'':{indent}}{key:<{width}} {value:<{_VALUE_WIDTH}} {told}"
    else:
        yield f"{'':{indent}}{key:<{width}} {value}"
        yield f"{'':{indent + width + _VALUE_WIDTH + 2}}{told}"
