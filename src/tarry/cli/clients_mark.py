"""clients_mark - `tarry clients allow` and `deny`: what the operator says of an address or a network by hand.

What     A mark in the store, for good or until a moment; `--undo` takes one back. It does what exempt.networks and deny.networks
         do, without a reload, and on every host that shares the store.
Careful  Bits right of a prefix are cut off, with a note. Everyone, and a network so large that no one holder has it, needs --yes.
         Of several marks that of the narrowest network counts, so those in it that say the opposite are named.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, TypeAlias, TypeVar

import click
import msgspec

from tarry.cli.client_history import WORDS, mark_report, mark_words, placed
from tarry.cli.clients_verb import memory, named, notes, options, refuse, used, write
from tarry.cli.layout import filled
from tarry.cli.moments import at
from tarry.cli.opened import NOTHING, USAGE, Memory
from tarry.cli.who import Who, is_within
from tarry.config.lists import read_until
from tarry.config.values import Wrong, read_duration
from tarry.store import Mark, Store

Action: TypeAlias = Literal["allow", "deny"]

_SHORTEST = {4: 8, 6: 19}
"""The shortest prefixes that need no --yes: the most that one holder has (IANA's old /8s; a /19 of IPv6)."""
_LONGEST_COMMENT = 200
_MOST = 5
_Verb = TypeVar("_Verb", bound=Callable[..., None])

_HELP = """{what}, as {key} does, from about a second from now on.

The mark is kept under the address or network as it is given, and takes the place of what was said of the same before. An IPv6
address stands for its /64; write ADDRESS/128 for this one alone. --undo takes the mark back, `tarry clients list --marks` lists
all.
"""


class _Done(msgspec.Struct, frozen=True):
    """What became of one argument: the mark that is there now, the one that was there before, and those in it that say the opposite
    and go on to do so."""

    who: Who
    mark: Mark | None
    before: Mark | None
    against: tuple[Mark, ...] = ()


def add_to(group: click.Group) -> None:
    """Add both verbs to `tarry clients`."""
    _verb(group, "allow", "Never hold nor check these.", "Let clients in without a hold and without checks", "exempt.networks")
    _verb(group, "deny", "Refuse these as soon as they connect.", "Refuse clients as soon as they connect", "deny.networks")


def _mark_options(function: _Verb) -> _Verb:
    for option in (
        click.option("--yes", is_flag=True, help="Even for everyone, or for a network of more than a /8 (IPv6: a /19)."),
        click.option("--undo", is_flag=True, help="Take the mark back."),
        click.option("--comment", metavar="TEXT", default="", help="Why; it is shown with the mark."),
        click.option("--until", metavar="DATE", help="Until then: 2026-12-31 (as it begins) or 2026-12-31T18:00, in UTC."),
        click.option("--for", "length", metavar="TIME", help="For so long: 30d, 12h. Without one of these it is for good."),
        click.argument("clients", metavar="ADDRESS|NETWORK...", nargs=-1, required=True),
    ):
        function = option(function)
    return function


def _verb(group: click.Group, action: Action, short: str, what: str, key: str) -> None:
    @group.command(action, short_help=short, help=_HELP.format(what=what, key=key))
    @_mark_options
    @options
    @click.pass_context
    def verb(
        ctx: click.Context,
        clients: Sequence[str],
        length: str | None,
        until: str | None,
        comment: str,
        undo: bool,
        yes: bool,
        file: str | None,
        url: str | None,
        as_json: bool,
    ) -> None:
        subjects = named(ctx, clients)
        for one in subjects:
            if one.network is None:
                refuse(ctx, f"{one.what} is a domain, and the door knows addresses only: name an address or a network", USAGE)
        if undo and (length or until or comment):
            refuse(ctx, "--undo takes a mark back, and needs no time and no comment", USAGE)
        place = memory(ctx, file, url)
        ends = _ends(ctx, place, length, until)
        if not undo:
            _check(ctx, action, subjects, comment, yes)
        asked = Mark("", action, ends, comment, place.now)
        done = used(ctx, place, lambda store: _work(store, subjects, asked, undo=undo), makes=not undo)
        _tell(place, subjects, done, asked, undo=undo, as_json=as_json)
        ctx.exit(NOTHING if undo and not any(one.before for one in done) else 0)


def _ends(ctx: click.Context, place: Memory, length: str | None, until: str | None) -> float:
    """Return the moment at which a mark is to end, 0 for never."""
    if length and until:
        refuse(ctx, "--for and --until say the same in two ways: give one of them", USAGE)
    try:
        ends = place.now + read_duration(length) if length else read_until(until) if until else 0.0
    except Wrong as wrong:
        refuse(ctx, f"{wrong.what}; {wrong.fix}", USAGE)
    if ends and ends <= place.now:
        refuse(ctx, f"{at(ends)} is over", USAGE)
    return ends


def _check(ctx: click.Context, action: Action, subjects: Sequence[Who], comment: str, yes: bool) -> None:
    if len(comment) > _LONGEST_COMMENT or not comment.isprintable():
        refuse(ctx, f"a comment is one line of at most {_LONGEST_COMMENT} characters", USAGE)
    for one in subjects:
        if one.network is None or yes or one.network.prefixlen >= _SHORTEST[one.network.version]:
            continue
        effect = "held or checked any more" if action == "allow" else "let in any more"
        whom = (
            f"{one.what} is everyone: nobody" if not one.network.prefixlen else f"{one.what} is a large part of the net: none of it"
        )
        refuse(ctx, f"{whom} would be {effect}; say --yes if you mean it", USAGE)


async def _work(store: Store, subjects: Sequence[Who], asked: Mark, *, undo: bool) -> list[_Done]:
    done = []
    marks = placed(await store.marks(asked.at))
    for subject in subjects:
        network = subject.network
        assert network is not None
        _, before = marks.get(subject.what, (network, None))
        against = tuple(
            one for other, one in marks.values() if one.action != asked.action and one is not before and is_within(other, network)
        )
        if not undo:
            mark = msgspec.structs.replace(asked, what=subject.what)
            await store.mark(mark)
            marks[subject.what] = network, mark
            done.append(_Done(subject, mark, before, against))
        elif before is not None and before.action == asked.action:
            await store.unmark(subject.what)
            del marks[subject.what]
            done.append(_Done(subject, None, before, against))
        else:
            done.append(_Done(subject, before, None, against))
    return done


def _tell(place: Memory, subjects: Sequence[Who], done: Sequence[_Done], asked: Mark, *, undo: bool, as_json: bool) -> None:
    if as_json:
        told = [
            {
                "what": one.who.what,
                "notes": list(one.who.notes),
                "mark": mark_report(one.mark) if one.mark else None,
                "before": mark_report(one.before) if one.before else None,
                "against": list(map(mark_report, one.against)),
            }
            for one in done
        ]
        write({"v": 1, "store": place.shown, "undone": undo, "marks": told})
        return
    for line in notes(subjects):
        click.echo(line)
    for one in done:
        click.echo(filled(_undone(one, asked) if undo else _said(one, place.now)))


def _said(one: _Done, now: float) -> str:
    assert one.mark is not None
    told = mark_words(msgspec.structs.replace(one.mark, at=0.0), now)
    if one.before is not None:
        told += f" (before: {WORDS[one.before.action]} {f'until {at(one.before.until)}' if one.before.until else 'for good'})"
    if one.against:
        names = ", ".join(other.what for other in one.against[:_MOST])
        more = f" and {len(one.against) - _MOST:,} more" if len(one.against) > _MOST else ""
        told += f"; in it {names}{more} stay{'s' if len(one.against) == 1 else ''} {WORDS[one.against[0].action]}"
    return told


def _undone(one: _Done, asked: Mark) -> str:
    if one.before is not None:
        return f"{one.who.what} is no longer {WORDS[asked.action]}"
    if one.mark is not None:
        other = one.mark.action
        return f"{one.who.what} is {WORDS[other]}, not {WORDS[asked.action]}: `tarry clients {other} --undo` ends that"
    return f"{one.who.what} was not {WORDS[asked.action]} by a mark of its own"
