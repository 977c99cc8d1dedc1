"""manpages - write the manual pages: tarry(1), one of section 1 for each verb, and tarry.toml(5).

    python packaging/manpages.py FOLDER

What      The pages of verbs are made from the commands themselves, as click has them, with what is below a verb (`config check`) as
          parts of its page; tarry.toml(5) from the declarations of the keys and of the checks.
Promises  Nothing that a command, an option or a key says of itself is said here again. The pages have no warning of groff's or of
          mandoc's, and the same sources make the same bytes: their date is that of SOURCE_DATE_EPOCH, or of today without it.
Why own   click-man 0.6, the one generator there is for click, finds no verbs of a group that imports them on demand, cuts what a
          command is to 45 letters, leaves out arguments, and escapes no text: a line that begins with a point is lost. help2man
          would run forty commands, and neither knows the keys.
Source    man(7) and groff_man_style(7), man-pages(7) for the order of the parts.
"""

from __future__ import annotations

import gzip
import os
import re
import sys
import textwrap
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import click

from tarry.checks import REGISTRY
from tarry.cli import _VERBS, cli, main
from tarry.config.keys import CHECKS, SETTINGS, Key, Table, summary, tables
from tarry.config.schema import PRESETS
from tarry.config.spelling import spell
from tarry.version import VERSION

_WORDS = {"\\": r"\e", "-": r"\-", "'": r"\(aq", "`": r"\(ga", "^": r"\(ha", "~": r"\(ti"}
_SIGNALS = (
    (
        "SIGTERM, SIGINT",
        "Stop listening, let transactions finish within limits.drain, and stop; a second one ends all at once.",
    ),
    ("SIGHUP", "Read the configuration and the certificate again, and open the log anew. A file with errors changes nothing."),
    ("SIGUSR2", "Start the installed version beside this one, hand it the sockets, and stop as above once it serves."),
)
_FILES = (
    (
        "/etc/tarry/tarry.toml",
        "The configuration of the packaged server; tarry itself reads the file that -c names.",
    ),
    ("/run/tarry/tarry.sock", "The control socket of the packaged server."),
    ("/var/lib/tarry", "What the packaged server remembers of clients."),
    ("/var/log/tarry", "Its event log."),
)
_DURATIONS = """\
The configuration of tarry is one file of TOML. Every key has a default, so that an empty file is a working server. Later wins:
default, preset, file, flag. `tarry config init` writes a file with all keys as comments, `tarry config check` tells every mistake
in one, and `tarry config show` tells where each value comes from.

A duration is a number with a unit: "350ms", "6s", "5m", "1h" or "7d". A range, "4s..9s", is drawn anew for each client. A network
is an address, or an address with a prefix length: "192.0.2.7", "192.0.2.0/24", "2001:db8::/32". A pattern is a regular expression
of Python's, searched for in the address."""
_EXAMPLE = """\
[listen]
smtp = ["0.0.0.0:25", "[::]:25"]

[handoff]
mode = "proxy"
address = "127.0.0.1:10025"
announce = "proxy-v2"

[exempt]
networks = ["192.0.2.0/24"]"""


# Text for roff.


def escaped(text: str) -> str:
    """Return *text* such that it stands on the page as it is: also a point at the beginning of a line."""
    plain = "".join(_WORDS.get(letter, letter) for letter in text)
    return re.sub(r"^(?=\.)", r"\\&", plain, flags=re.MULTILINE)


def marked(text: str) -> str:
    """Return running text: what stands in backticks is bold; lines are filled, and break at spaces only."""
    parts = re.split(r"``?([^`\n]+)``?", " ".join(text.split()))
    whole = "".join(rf"\fB{escaped(part)}\fR" if at % 2 else escaped(part) for at, part in enumerate(parts))
    lines = textwrap.wrap(whole, 72, break_long_words=False, break_on_hyphens=False)
    return re.sub(r"^(?=\.)", r"\\&", "\n".join(lines), flags=re.MULTILINE)


def paragraphs(text: str) -> Iterator[str]:
    """Yield the paragraphs of a help text, those that click is told to leave alone (\\b) as they are."""
    for at, paragraph in enumerate(re.split(r"\n\s*\n", text.strip())):
        if at:
            yield ".PP"
        if paragraph.lstrip().startswith("\b"):
            yield from (".nf", *map(escaped, paragraph.lstrip().removeprefix("\b").strip("\n").splitlines()), ".fi")
        else:
            yield marked(paragraph)


def named(rows: Iterable[tuple[str, str]]) -> Iterator[str]:
    """Yield a list of names, each with its text below."""
    for name, text in rows:
        yield ".TP"
        yield rf"\fB{escaped(name)}\fR".replace("|", r"|\:")  # a line may break in a long choice
        yield marked(text)


def head(name: str, section: int, what: str) -> Iterator[str]:
    """Yield what each page begins with."""
    day = time.strftime("%Y-%m-%d", time.gmtime(int(os.environ.get("SOURCE_DATE_EPOCH", time.time()))))
    yield f'.TH {name.upper()} {section} {day} "tarry {VERSION}"'
    yield ".nh"
    yield ".ad l"
    yield ".SH NAME"
    yield rf"{escaped(name)} \-"
    yield marked(what)


def see(*pages: str) -> Iterator[str]:
    """Yield the last part: where to read on."""
    yield ".SH SEE ALSO"
    for at, page in enumerate(pages, 1):
        name, section = page.rstrip(")").split("(")
        yield rf".BR {escaped(name)} ({section}){',' if at < len(pages) else ''}"


# Section 1: the commands.


def verb_pages() -> Mapping[str, Iterable[str]]:
    """Return the page of the program and of each verb, by their names."""
    root = click.Context(cli, info_name="tarry", **cli.context_settings)
    found = {"tarry": _program(root)}
    for verb, what in _VERBS.items():
        command = cli.get_command(root, verb)
        assert command is not None
        found[f"tarry-{verb}"] = _verb(click.Context(command, info_name=verb, parent=root), what)
    return found


def _program(ctx: click.Context) -> Iterator[str]:
    yield from head("tarry", 1, "front door for mail servers")
    yield ".SH SYNOPSIS"
    yield from _usage(ctx)
    yield ".SH DESCRIPTION"
    yield from paragraphs(ctx.command.help or "")
    yield ".SH COMMANDS"
    for verb, what in _VERBS.items():
        yield ".TP"
        yield rf".BR tarry\-{escaped(verb)} (1)"
        yield escaped(what[:1].upper() + what[1:])
    yield ".SH OPTIONS"
    yield from named(_options(ctx))
    yield ".SH EXIT STATUS"
    yield escaped((main.__doc__ or "").partition("Exit status: ")[2].strip())
    yield ".SH SIGNALS"
    yield from named(_SIGNALS)
    yield ".SH FILES"
    yield from named(_FILES)
    yield from see(*(f"tarry-{verb}(1)" for verb in _VERBS), "tarry.toml(5)")


def _verb(ctx: click.Context, what: str) -> Iterator[str]:
    yield from head(f"tarry-{ctx.info_name}", 1, what)
    yield ".SH SYNOPSIS"
    yield from _usage(ctx)
    yield ".SH DESCRIPTION"
    yield from paragraphs(ctx.command.help or "")
    yield ".SH OPTIONS"
    yield from named(_options(ctx))
    below = list(_below(ctx))
    if below:
        yield ".SH COMMANDS"
    for one in below:
        yield f".SS {escaped(one.command_path)}"
        yield from _usage(one)
        yield ".PP"
        yield from paragraphs(one.command.help or "")
        yield from named(_options(one))
    yield from see("tarry(1)", "tarry.toml(5)")


def _below(ctx: click.Context) -> Iterator[click.Context]:
    if isinstance(ctx.command, click.Group):
        for name in ctx.command.list_commands(ctx):
            command = ctx.command.get_command(ctx, name)
            if command is not None and not command.hidden:
                inner = click.Context(command, info_name=name, parent=ctx)
                yield from ([inner] if not isinstance(command, click.Group) else _below(inner))


def _usage(ctx: click.Context) -> Iterator[str]:
    pieces = " ".join(ctx.command.collect_usage_pieces(ctx))
    yield rf"\fB{escaped(path_of(ctx))}\fR {escaped(pieces)}"


def path_of(ctx: click.Context) -> str:
    """Return the words that lead to a command, without the arguments of those before it, which click puts between them."""
    before = f"{path_of(ctx.parent)} " if ctx.parent is not None else ""
    return f"{before}{ctx.info_name}"


def _options(ctx: click.Context) -> Iterator[tuple[str, str]]:
    for param in ctx.command.get_params(ctx):
        record = param.get_help_record(ctx)
        if record is not None and record[1]:  # an argument that its command explains has no text of its own
            yield record


# Section 5: the configuration.


def file_page() -> Iterator[str]:
    """Yield the page of the configuration file."""
    yield from head("tarry.toml", 5, "configuration of tarry")
    yield ".SH DESCRIPTION"
    yield from paragraphs(_DURATIONS)
    yield ".SH KEYS"
    for table in tables():
        if not table.name.startswith(CHECKS):
            yield f".SS {escaped(f'[{table.name}]' if table.name else 'Top of the file')}"
            if table.name:
                yield marked(table.help)
            yield from _keys(table.keys)
    yield ".SH CHECKS"
    yield marked("Each check has these keys, in a table of its own, and some have keys of their own.")
    yield ".SS [checks.NAME]"
    yield from named((f"{name} ({kind.unit})", text) for name, (kind, text) in SETTINGS.items())
    known = {CHECKS + check.name: check for check in REGISTRY}
    for table in tables():
        if table.name in known:
            yield f".SS [{escaped(table.name)}]"
            yield marked(summary(known[table.name]))
            yield from _check(table, known[table.name].codes)
    yield ".SH PRESETS"
    yield marked(f"{', '.join(PRESETS)}. What each does to which client: `tarry probe --presets`.")
    yield ".SH EXAMPLES"
    yield from (".EX", *map(escaped, _EXAMPLE.splitlines()), ".EE")
    yield from see("tarry(1)", "tarry-config(1)", "tarry-explain(1)")


def _keys(keys: Iterable[Key]) -> Iterator[str]:
    for key in keys:
        yield ".TP"
        yield rf"\fB{escaped(key.last)}\fR = {escaped(spell(key.kind.write(key.default)))}"
        source = f" Source: {key.source}." if key.source else ""
        yield marked(f"({key.kind.unit}) {key.help}{source}")


def _check(table: Table, codes: Mapping[str, str]) -> Iterator[str]:
    action = next(key for key in table.keys if key.last == "action")
    yield ".PP"
    yield marked(f"Its action is `{spell(action.kind.write(action.default))}` by default; reasons:")
    yield from named(codes.items())
    own = [key for key in table.keys if key.last not in SETTINGS]
    if own:
        yield from (".PP", "Keys of its own:")
        yield from _keys(own)


# All of them.


def write_pages(folder: Path) -> list[Path]:
    """Write every page below *folder*, as man1/tarry.1.gz and so on, and return their paths."""
    pages = {f"man1/{name}.1": lines for name, lines in verb_pages().items()} | {"man5/tarry.toml.5": file_page()}
    written = []
    for name, lines in pages.items():
        path = folder / f"{name}.gz"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(gzip.compress(("\n".join(lines) + "\n").encode(), 9, mtime=0))
        written.append(path)
    return written


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python packaging/manpages.py FOLDER")
    write_pages(Path(sys.argv[1]))
