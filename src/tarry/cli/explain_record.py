"""explain_record - `tarry explain ADDRESS` and `tarry explain ID`: from the arguments to what is written.

What      `tell` finds the records, reads the memory, has the account made and writes it.
Promises  What cannot be had (the store, the records, a file of them) is told, and all the rest as well. Returns the exit status: 0,
          or 1 where nothing is known.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from ipaddress import ip_address

import click

from tarry.cli import client_history, explain_client, explain_session, recorded, session_account
from tarry.cli.client_history import Past
from tarry.cli.config_try import lines_of
from tarry.cli.layout import filled
from tarry.cli.opened import NOTHING, Memory, NoMemory, memory_of
from tarry.cli.recorded import Found, Sources
from tarry.cli.who import Who, who
from tarry.config.load import Loaded
from tarry.config.spelling import counted, printable
from tarry.core.client import normal, parse

LAST = 10
"""Sessions of a client that are told."""


def tell(
    loaded: Loaded, file: str | None, name: str, *, is_id: bool, records: Sequence[str], url: str | None, as_json: bool
) -> int:
    """Explain the session with this id, or the client at this address, and return the exit status."""
    where = recorded.sources(loaded.config, records)
    memory = memory_of(loaded.config, url)
    if is_id:
        return _session(loaded, file, name.upper(), where, memory, as_json)
    return _client(loaded, file, name, where, memory, as_json)


def _session(loaded: Loaded, file: str | None, id: str, where: Sources, memory: Memory, as_json: bool) -> int:
    found = recorded.of_session(where, id)
    if not found.sessions:
        click.echo(f"tarry explain: nothing is known of the session {id}: {'; '.join(_looked(where, found))}", err=True)
        return NOTHING
    lines = lines_of(file)
    account = session_account.account_of(found.sessions[0], loaded, lines)
    past, away = None, ""
    about: tuple[str, ...] = ()
    address = parse(account.close.client)
    if address is not None:  # not a Unix socket, by which nobody is known
        past, away = _past(memory, who(account.close.client))
        about = tuple(explain_client.static(address, loaded, memory.now, lines))
    if as_json:
        remembered = None if past is None else client_history.report(past, memory)
        _write(
            {
                "v": 1,
                **explain_session.report(account),
                "memory": remembered,
                "memory_away": away or None,
                "configuration": list(about),
            }
        )
    else:
        for line in explain_session.lines(account, memory.now, _now(past, away, memory), about):
            click.echo(line)
        _warn(found)
    return 0


def _now(past: Past | None, away: str, memory: Memory) -> Iterator[str]:
    """Yield what the client's karma is by now, in the account of a session."""
    if past is None:
        if away:
            yield filled(printable(away), "  ", 6)
        return
    for mark in past.marks:
        yield filled(client_history.mark_words(mark, memory.now), "  ", 6)
    if past.entry is None:
        yield filled(f"nothing is remembered of {past.who.what}", "  ", 6)
        return
    now = client_history.consequence(past.entry, memory, is_domain=False)
    yield filled(printable(f"by now {past.who.what} has, of {counted(past.entry.sessions, 'session')}, {now}"), "  ", 6)


def _client(loaded: Loaded, file: str | None, name: str, where: Sources, memory: Memory, as_json: bool) -> int:
    subject, address = who(name), ip_address(normal(name))
    found = recorded.of_client(where, subject.key, LAST)
    past, away = _past(memory, subject)
    notes = found.unread if found.sessions else _looked(where, found)
    account = explain_client.account_of(subject, address, loaded, memory, past, away, found.sessions, notes, lines_of(file))
    if as_json:
        _write({"v": 1, **explain_client.report(account, memory)})
    else:
        for line in explain_client.lines(account, memory):
            click.echo(line)
    return 0 if account.is_known else NOTHING


def _past(memory: Memory, subject: Who) -> tuple[Past | None, str]:
    try:
        return memory.use(lambda store: client_history.read(store, subject, memory.now)), ""
    except NoMemory as fault:
        return None, str(fault)


def _looked(where: Sources, found: Found) -> list[str]:
    """Return where was looked for records, where there were none, and what could not be read."""
    if where.why:
        return [where.why]
    looked = ", ".join("standard input" if file == recorded.STDIN else file for file in found.files)
    return [*([f"there is no record of it in {looked}"] if looked else []), *found.unread]


def _warn(found: Found) -> None:
    for unread in found.unread:
        click.echo(f"tarry explain: {unread}", err=True)


def _write(report: object) -> None:
    click.echo(json.dumps(report, indent=2))
