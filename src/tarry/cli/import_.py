"""import_ - `tarry import`: the configuration of postscreen, qpsmtpd or Sendmail as one of tarry.

What     The file goes to the standard output, with the origin of each line as a comment; what has no counterpart stands at its end
         and, as a table, on the standard error. With --cache the passes that postscreen remembers go into the memory, or become
         JSON lines.
Status   0 read, whatever has no counterpart; 1 a file cannot be read or parsed, or the passes cannot be written; 2 usage.
JSON     v is 1, and fields are only ever added.
Since    0.1
"""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NoReturn

import click
from rich.console import Console
from rich.text import Text

from tarry.cli.tables import plain
from tarry.config.imports import postscreen_cache, written
from tarry.config.imports.found import Found, ImportProblem, ReadFile
from tarry.config.imports.postfix import read_postfix
from tarry.config.imports.qpsmtpd import read_qpsmtpd
from tarry.config.imports.sendmail import read_sendmail
from tarry.config.imports.settle import settle
from tarry.store import Away, Unsure
from tarry.version import VERSION

MAIN_CF = "/etc/postfix/main.cf"
PLUGINS = ("/etc/qpsmtpd/plugins", "config/plugins")
SENDMAIL = ("/etc/mail/sendmail.mc", "/etc/mail/access")
SIZE_LIMIT = 64 * 1024 * 1024
"""Octets. Caches and lists of networks are large; what is larger than this is none."""

_PIPE_WIDTH = 120  # of the table where nobody sees a terminal


def _json_option(function: Callable[..., None]) -> Callable[..., None]:
    return click.option("--json", "as_json", is_flag=True, help="Write the mapping as one JSON object.")(function)


@click.group("import", short_help="Turn the configuration of postscreen, qpsmtpd or Sendmail into one of tarry.")
def command() -> None:
    """Turn the configuration of postscreen, qpsmtpd or Sendmail into one of tarry.

    The result goes to standard output, each line with its origin. What has no counterpart stands at the end of it, and as a
    table on standard error. Nothing is changed.

    Exit status: 0 read, 1 a file cannot be read or parsed, 2 usage.
    """


@command.command("postfix", short_help="main.cf and master.cf: what postscreen does.")
@click.argument("main_cf", metavar="[MAIN.CF]", required=False)
@click.option("--master", metavar="FILE", help="master.cf, where it does not lie beside MAIN.CF.")
@click.option("--cache", metavar="FILE", help="Read postscreen's cache as `postmap -s` prints it ('-': standard input).")
@click.option("--passes", metavar="FILE", help="Where the passes of --cache go, as JSON lines.")
@click.option("--store", metavar="URL", help="The memory that the passes of --cache are put into, as in store.url.")
@_json_option
def postfix(
    main_cf: str | None, master: str | None, cache: str | None, passes: str | None, store: str | None, as_json: bool
) -> None:
    """Read MAIN.CF (/etc/postfix/main.cf; '-' is standard input), or what `postconf -n` prints, and master.cf beside it.

    With --cache the clients that postscreen remembers are put into the memory of tarry (--store), or into a file (--passes).
    Without MAIN.CF nothing else is read then.
    """
    if (cache is None) != (passes is None and store is None):
        raise click.UsageError("--cache goes with --store or --passes")
    if cache == "-" and main_cf == "-":
        raise click.UsageError("only one of them can come from standard input")
    if cache is not None:
        read = _passes(cache)
        if passes is not None:
            _write_passes(cache, read, passes)
        if store is not None:
            _keep_passes(cache, read, store)
        if main_cf is None:
            return
    name = main_cf or MAIN_CF
    folder = Path(MAIN_CF if name == "-" else name).parent
    text = _text(name)
    beside = master or (str(folder / "master.cf") if name != "-" and (folder / "master.cf").exists() else None)
    file = "postconf -n" if name == "-" else Path(name).name
    found = _parsed(
        {file: name, "master.cf": beside or ""},
        lambda: read_postfix(
            text,
            file,
            _reader(folder),
            master=_text(beside) if beside else None,
            folder=str(folder),
        ),
    )
    _tell(found, [name], "postfix", as_json)


@command.command("qpsmtpd", short_help="config/plugins: what its plugins do to clients.")
@click.argument("plugins", metavar="[PLUGINS]", required=False)
@_json_option
def qpsmtpd(plugins: str | None, as_json: bool) -> None:
    """Read PLUGINS (/etc/qpsmtpd/plugins or config/plugins; '-' is standard input), and the files beside it.

    Beside it are dnsbl_zones, rhsbl_zones, badhelo, hosts_allow and relayclients.
    """
    name = plugins or next((one for one in PLUGINS if Path(one).exists()), PLUGINS[0])
    folder = Path(PLUGINS[0] if name == "-" else name).parent
    text = _text(name)
    file = "plugins" if name == "-" else Path(name).name
    found = _parsed({file: name}, lambda: read_qpsmtpd(text, file, _reader(folder)))
    _tell(found, [name], "qpsmtpd", as_json)


@command.command("sendmail", short_help="sendmail.mc and access: greet_pause, dnsbl and what belongs to them.")
@click.argument("files", metavar="[FILE]...", nargs=-1)
@_json_option
def sendmail(files: Sequence[str], as_json: bool) -> None:
    """Read each FILE, a sendmail.mc or an access file: the content tells which it is.

    Without one, those of the two are read that are in /etc/mail; '-' is standard input. It is the text of access that is
    read, and not access.db.
    """
    named = list(files) or [one for one in SENDMAIL if Path(one).exists()] or [SENDMAIL[0]]
    texts = [("standard input" if name == "-" else Path(name).name, _text(name)) for name in named]
    found = _parsed(
        {short: name for (short, _), name in zip(texts, named, strict=True)},
        lambda: read_sendmail(texts),
    )
    _tell(found, named, "sendmail", as_json)


def _parsed(names: dict[str, str], read: Callable[[], Found]) -> Found:
    """Return what a reader finds, so that it loads; a problem is told with the whole name of its file."""
    try:
        found = read()
    except ImportProblem as problem:
        whole = names.get(problem.file) or problem.file
        _fail(str(ImportProblem(whole if whole != "-" else "standard input", problem.line, problem.what, problem.fix)))
    settle(found)
    return found


def _fail(why: str) -> NoReturn:
    click.echo(f"tarry import: {why}", err=True)
    sys.exit(1)


def _text(name: str) -> str:
    """Return the text of a file that the operator named, or leave."""
    try:
        return _decoded(sys.stdin.buffer.read(SIZE_LIMIT + 1) if name == "-" else _bytes(Path(name)), name)
    except OSError as fault:  # ENOENT, EACCES, EISDIR, EIO: all are told in the system's words
        _fail(f"{name} cannot be read: {fault.strerror or fault}")
    except ValueError as fault:  # a NUL in the name
        _fail(f"{name!r} cannot be read: {fault}")
    except ImportProblem as problem:
        _fail(str(problem))


def _reader(folder: Path) -> ReadFile:
    """Return what reads the files that another one names; those without a leading slash lie in *folder*."""
    return lambda name: _decoded(_bytes(folder / name), name)


def _bytes(path: Path) -> bytes:
    with path.open("rb") as stream:
        return stream.read(SIZE_LIMIT + 1)


def _decoded(raw: bytes, name: str) -> str:
    if len(raw) > SIZE_LIMIT:
        raise ImportProblem(name, 0, f"the file is larger than {SIZE_LIMIT >> 20} MiB", "name the text, and not a database")
    if b"\0" in raw:
        raise ImportProblem(name, 0, "the file is no text", "name the text that the database was made of")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("latin-1")  # comments of old files; no byte is wrong in it


def _passes(cache: str) -> postscreen_cache.Cache:
    try:
        return postscreen_cache.passes(_text(cache), "standard input" if cache == "-" else cache, time.time())
    except ImportProblem as problem:
        _fail(str(problem))


def _write_passes(cache: str, read: postscreen_cache.Cache, passes: str) -> None:
    written_out = postscreen_cache.lines(read)
    try:
        if passes == "-":
            sys.stdout.buffer.write(written_out)
        else:
            Path(passes).write_bytes(written_out)
    except OSError as fault:  # ENOENT (no such folder), EACCES, ENOSPC
        _fail(f"{passes} cannot be written: {fault.strerror}")
    _tell_passes(cache, read, passes)


def _keep_passes(cache: str, read: postscreen_cache.Cache, url: str) -> None:
    """Put the passes into the memory that a server has, or will have, at *url*."""
    from tarry.cli.passes import keep  # a store, which most imports have no need of

    try:
        keep(postscreen_cache.changes(read, time.time()), url)
    except ValueError as fault:
        raise click.UsageError(f"--store: {fault}") from None
    except (Away, Unsure) as fault:
        _fail(f"{cache}: the passes cannot be kept: {fault}")
    _tell_passes(cache, read, "the memory")


def _tell_passes(cache: str, read: postscreen_cache.Cache, where: str) -> None:
    counts = Counter(one.check for one in read.passes)
    by_check = ", ".join(f"{check} {counts[check]}" for check in postscreen_cache.CHECKS if counts[check])
    told = f"{len(read.passes)} passes of {len({one.address for one in read.passes})} clients{f' ({by_check})' if by_check else ''}"
    click.echo(f"{cache}: {read.clients} clients; {where}: {told}; {read.over} passes are over", err=True)


def _tell(found: Found, names: Sequence[str], verb: str, as_json: bool) -> None:
    text = written.toml(found, heading(names, verb))
    click.echo(json.dumps(written.report(found, names, text), indent=2) if as_json else text, nl=as_json)
    _tell_missing(found)


def heading(names: Sequence[str], verb: str) -> Iterable[str]:
    """Yield the first lines of the file, which say what made it."""
    yield f"Made by tarry {VERSION}: tarry import {verb} {' '.join(names)}"
    yield "Each line ends with where it comes from. Look it through, then: tarry config check tarry.toml"


def _tell_missing(found: Found) -> None:
    count = sum(1 for _ in found.all())
    if not found.missing:
        click.echo(f"{count} settings, and everything has its counterpart.", err=True)
        return
    table = plain()
    table.add_column("without a counterpart", overflow="fold", ratio=2)
    table.add_column("why, and what to do instead", overflow="fold", ratio=3)
    for one in found.missing:
        table.add_row(Text(written.subject(one)), Text(written.sentence(one)))
    console = Console(stderr=True, highlight=False, width=None if sys.stderr.isatty() else _PIPE_WIDTH)
    console.print(f"{count} settings, {len(found.missing)} without a counterpart:\n")
    console.print(table)
