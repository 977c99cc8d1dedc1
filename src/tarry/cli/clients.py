"""clients - `tarry clients`: who has come, what is remembered of them, and what the operator says of them by hand.

What     `list` and `show` tell what is remembered, `forget` takes history and marks away; `allow` and `deny` are in clients_mark.
         All work on the store itself, beside running servers, which see a change within about a second.
Status   0 fine; 1 nothing is known of it, or nothing was there to take back; 2 usage, or a configuration with errors; 75 the
         store is away.
JSON     v is 1, and fields are only ever added. Times are ISO 8601 in UTC.
Since    0.1
"""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv6Network
from typing import Literal

import click
import msgspec

from tarry.cli import client_history, clients_mark, clients_table
from tarry.cli.client_history import WORDS, Placed, mark_report
from tarry.cli.clients_table import Listed
from tarry.cli.clients_verb import memory, named, notes, options, refuse, used, write
from tarry.cli.layout import bold, filled
from tarry.cli.opened import LONG_PATIENCE, NOTHING, USAGE
from tarry.cli.who import Who, is_within, network_of
from tarry.core.history import Entry
from tarry.store import Mark, Order, Store

_PAGE = 1000
"""Entries that are forgotten at once."""
_ALL = 2**31 - 1


@click.group("clients", short_help="List, show, allow, deny and forget the clients that are remembered.")
def command() -> None:
    """The memory of clients: who has come, how they behaved, and what you say of them by hand.

    It is the one that the configuration names (store.url), and may be used while servers run: they see a change within about a
    second. An IPv6 client is known by its /64.

    Exit status: 0 fine, 1 nothing is known or was there, 2 usage, 75 the store is away.
    """


@command.command("list", short_help="The clients, the worst first.")
@click.option("--worst", "by", flag_value="worst", default="worst", help="The least karma first; so it is without, too.")
@click.option("--best", "by", flag_value="best", help="The most karma first.")
@click.option("--last", "by", flag_value="last", help="Those that came last first.")
@click.option("--match", metavar="TEXT", default="", help="Only those whose address or domain holds TEXT, such as 192.0.2.")
@click.option("--limit", metavar="N", type=click.IntRange(1, 1_000_000), default=50, show_default=True, help="At most so many.")
@click.option("--marks", "only_marks", is_flag=True, help="The marks of allow and deny in place of the clients.")
@options
@click.pass_context
def list_(
    ctx: click.Context,
    by: Literal["worst", "best", "last"],
    match: str,
    limit: int,
    only_marks: bool,
    file: str | None,
    url: str | None,
    as_json: bool,
) -> None:
    """List the clients that are remembered: their karma as it is now, how often they came, and what was found most often.

    Domains are listed as well: their karma is that of all clients whose names lead back to them.
    """
    place = memory(ctx, file, url)

    async def work(store: Store) -> Listed:
        marks = tuple(await store.marks(place.now))
        if only_marks:
            return Listed((), tuple(mark for mark in marks if match in mark.what)[:limit], len(marks))
        return Listed(tuple(await store.list(Order(by, match, limit), place.now)), marks, await store.count())

    listed = used(ctx, place, work, patience=LONG_PATIENCE)
    if as_json:
        told = {"marks": list(map(mark_report, listed.marks))} if only_marks else clients_table.report(listed, place)
        write({"v": 1, "store": place.shown, "count": listed.count, **told})
    elif only_marks:
        clients_table.show_marks(listed.marks, place.now)
    else:
        clients_table.show_clients(listed, place, by)


@command.command("show", short_help="All that is remembered of one.")
@click.argument("client", metavar="ADDRESS|DOMAIN")
@options
@click.pass_context
def show(ctx: click.Context, client: str, file: str | None, url: str | None, as_json: bool) -> None:
    """Show all that is remembered of one client or domain: its karma now, what it leads to and until when, its sessions, passes,
    reasons and marks.

    What became of it in each session is in the event log: `tarry explain ADDRESS`.
    """
    (subject,) = named(ctx, [client])
    if not subject.key:
        refuse(ctx, f"{subject.what} is more than one client: list them with `tarry clients list --match`", USAGE)
    place = memory(ctx, file, url)
    past = used(ctx, place, lambda store: client_history.read(store, subject, place.now))
    if as_json:
        write({"v": 1, "store": place.shown, **client_history.report(past, place)})
    else:
        click.echo("\n".join([bold(subject.what), *notes([subject]), *client_history.lines(past, place)]))
    ctx.exit(0 if past.is_known else NOTHING)


clients_mark.add_to(command)


class _Forgotten(msgspec.Struct, frozen=True):
    """What was forgotten: how many entries and which marks, and the marks around it that stay."""

    what: str
    entries: int
    marks: tuple[Mark, ...]
    stay: tuple[Mark, ...] = ()


@command.command("forget", short_help="Take history and marks away.")
@click.argument("clients", metavar="ADDRESS|NETWORK|DOMAIN...", nargs=-1)
@click.option("--all", "everyone", is_flag=True, help="Everybody, and every mark.")
@click.option("--yes", is_flag=True, help="With --all: yes, really.")
@options
@click.pass_context
def forget(
    ctx: click.Context,
    clients: Sequence[str],
    everyone: bool,
    yes: bool,
    file: str | None,
    url: str | None,
    as_json: bool,
) -> None:
    """Forget clients, networks of them, or domains: their history and what you said of them by hand.

    They come as strangers then, from about a second from now on: running servers keep what they read for as long. A session that
    is under way adds to the memory when it ends. A mark on a larger network stays.
    """
    if everyone == bool(clients):
        refuse(ctx, "name clients to forget, or say --all", USAGE)
    if everyone and not yes:
        refuse(ctx, "--all forgets every client and every mark, on all hosts that share the store: say --yes if you mean it", USAGE)
    subjects = named(ctx, clients)
    place = memory(ctx, file, url)

    async def work(store: Store) -> list[_Forgotten]:
        if everyone:
            return [await _forget_all(store, place.now)]
        marks = client_history.placed(await store.marks(place.now))
        return [await _forget(store, one, marks, place.now) for one in subjects]

    found = used(ctx, place, work, patience=LONG_PATIENCE)
    if as_json:
        told = [
            {"what": one.what, "entries": one.entries, "marks": list(map(mark_report, one.marks))}
            | {"stay": list(map(mark_report, one.stay))}
            for one in found
        ]
        write({"v": 1, "store": place.shown, "forgotten": told})
    else:
        for line in (*notes(subjects), *map(_told, found)):
            click.echo(line)
    ctx.exit(0 if any(one.entries or one.marks for one in found) else NOTHING)


async def _forget(store: Store, subject: Who, marks: dict[str, Placed], now: float) -> _Forgotten:
    """Forget one, and take those of the *marks* away that go with it."""
    if subject.key:
        count = await store.forget([subject.key])
    else:
        count = await _forget_keys(store, [one.key for one in await _in(store, subject, now)])
    around = network_of(subject.key) or subject.network
    inside = [mark for network, mark in marks.values() if around is not None and is_within(network, around)]
    for mark in inside:
        del marks[mark.what]
    gone = [mark for mark in inside if await store.unmark(mark.what)]
    return _Forgotten(subject.what, count, tuple(gone), client_history.about(subject, marks))


async def _forget_all(store: Store, now: float) -> _Forgotten:
    count = await _forget_keys(store, [one.key for one in await store.list(Order("last", "", _ALL), now)])
    marks = [mark for mark in await store.marks(now) if await store.unmark(mark.what)]
    return _Forgotten("everybody", count, tuple(marks))


async def _in(store: Store, subject: Who, now: float) -> list[Entry]:
    """Return the entries of the clients in a network. A text that all their keys have keeps the others out of the answer."""
    assert subject.network is not None
    if isinstance(subject.network, IPv6Network):
        match = ":"
    else:
        octets = str(subject.network.network_address).split(".")[: subject.network.prefixlen // 8]
        match = ".".join([*octets, ""]) if octets else "."
    return [one for one in await store.list(Order("last", match, _ALL), now) if subject.has(one.key)]


async def _forget_keys(store: Store, keys: Sequence[str]) -> int:
    return sum([await store.forget(keys[start : start + _PAGE]) for start in range(0, len(keys), _PAGE)])


def _told(one: _Forgotten) -> str:
    if not one.entries and not one.marks:
        told = f"nothing is known of {one.what}"
    else:
        histories = "its history" if one.entries == 1 else f"{one.entries:,} histories" if one.entries else "no history"
        marks = ", ".join(f"the mark that {WORDS[mark.action]} {mark.what}" for mark in one.marks[:5])
        more = f" and {len(one.marks) - 5:,} more" if len(one.marks) > 5 else ""
        told = f"{one.what} is forgotten: {histories}{f', {marks}{more}' if marks else ''}"
    for mark in one.stay:
        told += f"; {mark.what} stays {WORDS[mark.action]}"
    return filled(told)
