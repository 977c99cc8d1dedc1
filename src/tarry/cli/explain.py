"""explain - `tarry explain CHECK` or `CHECK.CODE`: what a check looks for, what comes of it here, and how to change that.

What     Printed from the check's declaration and from the operator's configuration: why it looks, who is hurt by mistake, each
         reason with what it leads to and what the client is told, the values with their origins, and the lines to change them.
         Without a name, all checks in one line each.
Not yet  `tarry explain ADDRESS` or a session's ID: what became of one client. It is known as a question and told so, status 2.
Status   0 fine; 1 the configuration has errors (what can be told is told); 2 no such check, or a question for later.
JSON     v is 1, and fields are only ever added.
Since    0.1
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
import textwrap
from collections.abc import Iterator
from ipaddress import ip_address, ip_network
from pathlib import Path

import click

from tarry.config.explanation import Explanation, Told, changing, explain
from tarry.config.keys import SETTINGS, Key, summary
from tarry.config.load import Loaded, load
from tarry.config.spelling import nearest, printable, shown, spell
from tarry.sinks.terminal import wants_colour

USAGE = 2

_DEFAULT_FILE = "tarry.toml"
_LABEL = 10  # columns of a section's heading: the longest is Mistaken
_WIDEST = 100
_ID = re.compile(r"[0-9A-F]{8,11}-[0-9A-F]{1,8}", re.ASCII)  # net/ids


@click.command("explain", short_help="Explain a check or a reason, and what comes of it under your configuration.")
@click.option("-c", "--config", "config_file", metavar="FILE", type=click.Path(), help="The configuration (TOML).")
@click.option("--json", "as_json", is_flag=True, help="Write one JSON object.")
@click.argument("name", metavar="[CHECK|CHECK.CODE]", required=False)
@click.pass_context
def command(ctx: click.Context, config_file: str | None, as_json: bool, name: str | None) -> None:
    """Explain a check, or one of its reasons: what it looks for, why, who is hurt by mistake, what the client is told, and how to
    change it. Values are those of FILE (tarry.toml, when it is there). Without a name all checks are listed.
    """
    if name is not None and _is_of_a_client(name):
        _refuse(
            ctx,
            f"{name} is a client or a session, and this version explains checks and reasons only; what became of it is in the "
            f"event log (record.path): look for its lines there",
        )
    file = config_file or ctx.obj or (_DEFAULT_FILE if Path(_DEFAULT_FILE).exists() else None)
    loaded = load(Path(file) if file else None)
    for problem in loaded.errors:
        click.echo(str(problem), err=True)
    if name is None:
        _list(loaded, as_json)
    else:
        check, _, code = name.partition(".")
        wrong = _unknown(loaded, name, check, code)
        if wrong:
            _refuse(ctx, wrong)
        explained = explain(loaded.config, check)
        if as_json:
            click.echo(json.dumps(_report(explained, loaded, file, code), indent=2))
        else:
            click.echo("\n".join(_lines(explained, loaded, file, code)))
    ctx.exit(1 if loaded.errors else 0)


def _refuse(ctx: click.Context, why: str) -> None:
    click.echo(f"tarry explain: {printable(why)}", err=True)
    ctx.exit(USAGE)


def _is_of_a_client(name: str) -> bool:
    if _ID.fullmatch(name):
        return True
    for read in (ip_address, ip_network):
        try:
            read(name)
            return True
        except ValueError:
            continue
    return False


def _unknown(loaded: Loaded, name: str, check: str, code: str) -> str:
    """Return what is wrong with a name, "" for nothing."""
    known = loaded.config.checks
    reasons = [f"{one}.{word}" for one, configured in known.items() for word in configured.check.codes]
    if check not in known:
        meant = nearest(name, reasons) if code else nearest(name, known)
        if not meant:  # a code alone, as it stands in a header or a record
            meant = next((reason for reason in reasons if reason.partition(".")[2] == name), "")
        told = f"did you mean {meant}?" if meant else f"there are {', '.join(known)}"
        return f"there is no check {shown(check)}; {told}"
    if "." in name and code not in known[check].check.codes:
        meant = nearest(code, known[check].check.codes)
        codes = ", ".join(f"{check}.{one}" for one in known[check].check.codes)
        told = f"did you mean {check}.{meant}?" if meant else f"there is {codes}"
        return f"{check} has no code {shown(code)}; {told}"
    return ""


def _list(loaded: Loaded, as_json: bool) -> None:
    checks = loaded.config.checks
    if as_json:
        listed = [
            {"check": name, "title": summary(one.check), "action": one.settings.action.word, "codes": list(one.check.codes)}
            for name, one in checks.items()
        ]
        click.echo(json.dumps({"v": 1, "checks": listed}, indent=2))
        return
    width = max(map(len, checks)) + 2
    for name, one in checks.items():
        click.echo(_filled(summary(one.check), f"{name:<{width}}", width))


def _lines(explained: Explanation, loaded: Loaded, file: str | None, code: str) -> Iterator[str]:
    own = f" (your own check, {explained.file})" if explained.file else ""
    yield _bold(f"{explained.name}{f'.{code}' if code else ''}") + own
    yield _filled(explained.title)
    yield ""
    for heading, text in explained.sections.items():
        yield _filled(text.replace("``", ""), f"{heading:<{_LABEL}}", _LABEL)
    yield ""
    yield _bold("Reason" if code else "Reasons")
    for told in _asked(explained, code):
        yield from _reason_lines(explained.name, told)
    if not any(told.reply for told in _asked(explained, code)):
        yield _filled(f"With defer, reject or drop the client would be told: {explained.complaint}.", "  ", 2)
    yield ""
    yield _bold(f"Values, from {file}" if file else "Values, without a file")
    for key, value in explained.keys:
        yield _value_line(key, value, loaded)
        if key.last not in SETTINGS:
            yield _filled(key.help, "      ", 6)
    yield ""
    yield _bold(f"To change it, in {file or _DEFAULT_FILE}")
    yield from (f"  {line}" for line in changing(explained, code))


def _asked(explained: Explanation, code: str) -> list[Told]:
    return [told for told in explained.reasons if code in ("", told.code)]


def _reason_lines(check: str, told: Told) -> Iterator[str]:
    yield _filled(told.meaning, f"  {check}.{told.code}: ", 6)
    yield _filled(f"{told.action.word}: {told.effect}" if told.is_looked_for else told.effect, "      ", 6)
    for line in told.reply.splitlines():
        yield f"      the client is told: {line}"


def _value_line(key: Key, value: object, loaded: Loaded) -> str:
    origin = loaded.origins[key.name]
    written = spell(key.kind.write(value))
    return f"  {key.last:<{_LABEL}} {written:<28} {origin}"


def _report(explained: Explanation, loaded: Loaded, file: str | None, code: str) -> dict[str, object]:
    return {
        "v": 1,
        "check": explained.name,
        "code": code or None,
        "title": explained.title,
        "sections": {heading.lower() or "text": text for heading, text in explained.sections.items()},
        "complaint": explained.complaint,
        "own": explained.file or None,
        "reasons": [
            {
                "code": told.code,
                "meaning": told.meaning,
                "action": told.action.word,
                "effect": told.effect,
                "reply": told.reply or None,
            }
            for told in _asked(explained, code)
        ],
        "file": file,
        "values": {
            key.name: {
                "value": key.kind.write(value),
                "default": key.kind.write(key.default),
                "origin": loaded.origins[key.name].kind,
                "place": str(loaded.origins[key.name]),
                "help": key.help,
            }
            for key, value in explained.keys
        },
        "change": changing(explained, code),
    }


def _filled(text: str, first: str = "", indent: int = 0) -> str:
    if not _is_terminal():
        return first + text
    return textwrap.fill(
        text,
        max(40, min(_WIDEST, shutil.get_terminal_size().columns)) - 1,
        initial_indent=first,
        subsequent_indent=" " * indent,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _bold(text: str) -> str:
    return click.style(text, bold=True) if wants_colour(os.environ, is_terminal=_is_terminal()) else text


def _is_terminal() -> bool:
    return sys.stdout.isatty()
