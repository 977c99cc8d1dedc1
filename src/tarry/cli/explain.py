"""explain - `tarry explain`: why a client got what it got, and what a check looks for.

What     CHECK or CHECK.CODE: printed from the check's declaration and from the operator's configuration: why it looks, who is hurt
         by mistake, each reason with what it leads to and what the client is told, the values with their origins, and the lines
         to change them. Without a name, all checks in one line each.
         ID, as it stands in replies and records: what happened in that session (explain_session). ADDRESS: what is known of that
         client, and what would become of it now (explain_client). Both are brought together in explain_record.
Status   0 fine; 1 the configuration has errors (what can be told is told), or nothing is known of the client or session; 2 usage,
         or no such check.
JSON     v is 1, and fields are only ever added.
Since    0.1
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path

import click

from tarry.cli.file import DEFAULT_FILE, default_file
from tarry.cli.layout import bold, filled
from tarry.config.explanation import Explanation, Told, changing, explain
from tarry.config.keys import SETTINGS, Key, summary
from tarry.config.load import Loaded, load
from tarry.config.spelling import nearest, printable, shown, spell

USAGE = 2

_LABEL = 10  # columns of a section's heading: the longest is Mistaken
_ID = re.compile(r"[0-9A-F]{8,11}-[0-9A-F]{1,8}", re.ASCII)  # net/ids


@click.command("explain", short_help="Explain a client, a session, a check or a reason.")
@click.option("-c", "--config", "config_file", metavar="FILE", type=click.Path(), help="The configuration (TOML).")
@click.option(
    "--records",
    metavar="FILE",
    multiple=True,
    help="Where to look for an ID or an ADDRESS, in place of record.path: a file of records, as it is or compressed; '-' is "
    "standard input. May be repeated, the newest first.",
)
@click.option("--store", "url", metavar="URL", help="The memory of clients, in place of the one that the configuration names.")
@click.option("--json", "as_json", is_flag=True, help="Write one JSON object.")
@click.argument("name", metavar="[ADDRESS|ID|CHECK|CHECK.CODE]", required=False)
@click.pass_context
def command(
    ctx: click.Context, config_file: str | None, records: tuple[str, ...], url: str | None, as_json: bool, name: str | None
) -> None:
    """Explain why a client got what it got, or what a check looks for.

    ID is what stands in brackets in each refusal and in each record: what happened in that session, each reason, what it led to
    and by which key, how long the client was held and why, and how it gets out of that. ADDRESS: what is remembered of the client,
    what the configuration says of it, what would become of it now, and its last sessions.

    CHECK, or one of its reasons: what it looks for, why, who is hurt by mistake, what the client is told, and how to change it.
    Values are those of FILE (tarry.toml, when it is there). Without a name all checks are listed.

    Exit status: 0 fine, 1 nothing is known or the configuration has errors, 2 usage or no such check.
    """
    is_id = name is not None and _ID.fullmatch(name.upper()) is not None
    is_of_a_client = name is not None and (is_id or _is_address(name))
    if not is_of_a_client and (records or url):
        _refuse(ctx, "--records and --store are about a client or a session: give its ADDRESS or ID")
    if name is not None and not is_of_a_client and "/" in name:
        _refuse(ctx, f"{name} is no client: give one ADDRESS; `tarry clients list --match` lists those of a network")
    file = config_file or ctx.obj or default_file()
    loaded = load(Path(file) if file else None)
    for problem in loaded.errors:
        click.echo(str(problem), err=True)
    if name is not None and is_of_a_client:
        from tarry.cli.explain_record import tell  # the core, the rehearsal and a store: for a check they are not needed

        status = tell(loaded, file, name, is_id=is_id, records=records, url=url, as_json=as_json)
        ctx.exit(1 if loaded.errors else status)
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


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
        return True
    except ValueError:
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
        click.echo(filled(summary(one.check), f"{name:<{width}}", width))


def _lines(explained: Explanation, loaded: Loaded, file: str | None, code: str) -> Iterator[str]:
    own = f" (your own check, {explained.file})" if explained.file else ""
    yield bold(f"{explained.name}{f'.{code}' if code else ''}") + own
    yield filled(explained.title)
    yield ""
    for heading, text in explained.sections.items():
        yield filled(text.replace("``", ""), f"{heading:<{_LABEL}}", _LABEL)
    yield ""
    yield bold("Reason" if code else "Reasons")
    for told in _asked(explained, code):
        yield from _reason_lines(explained.name, told)
    if not any(told.reply for told in _asked(explained, code)):
        yield filled(f"With defer, reject or drop the client would be told: {explained.complaint}.", "  ", 2)
    yield ""
    yield bold(f"Values, from {file}" if file else "Values, without a file")
    for key, value in explained.keys:
        yield _value_line(key, value, loaded)
        if key.last not in SETTINGS:
            yield filled(key.help, "      ", 6)
    yield ""
    yield bold(f"To change it, in {file or DEFAULT_FILE}")
    yield from (f"  {line}" for line in changing(explained, code))


def _asked(explained: Explanation, code: str) -> list[Told]:
    return [told for told in explained.reasons if code in ("", told.code)]


def _reason_lines(check: str, told: Told) -> Iterator[str]:
    yield filled(told.meaning, f"  {check}.{told.code}: ", 6)
    yield filled(f"{told.action.word}: {told.effect}" if told.is_looked_for else told.effect, "      ", 6)
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
