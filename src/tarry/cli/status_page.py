"""status_page - what `tarry status` shows: how the server is, who shares the work, and what it has done since it was started.

What      Turns a state into rich tables. Pure: no clock, no terminal, no socket. What is wrong stands in red, in the words of the
          trouble itself, so that colours say nothing that the words do not.
Promises  80 columns are enough. What a server tells is shown as text, never as markup.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import msgspec
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from tarry.cli.tables import plain
from tarry.control.states import State, Worker
from tarry.record.tally import Histogram, Tally

TOP = 10
"""So many reasons are listed, the most frequent first."""
_GOOD, _WARN, _BAD, _QUIET = "green", "yellow", "bold red", "dim"


class File(msgspec.Struct, frozen=True):
    """The configuration file, read now: its fingerprint, or (``errors``) how many mistakes it has."""

    name: str
    fingerprint: str = ""
    errors: int = 0


def page(state: State, *, now: float, file: File | None = None) -> RenderableType:
    """Return the page, as of *now* (UTC epoch seconds)."""
    parts: list[RenderableType] = [_head(state, now), Text(""), _labelled(_facts(state, file))]
    if state.workers:
        parts += [Text(""), _workers(state, now)]
    parts += [Text(""), _done(state.tally)]
    if any(histogram.count for _, histogram in _times(state.tally)):
        parts += [Text(""), _times_table(state.tally)]
    if state.tally.reasons:
        parts += [Text(""), _reasons(state.tally)]
    return Group(*parts)


def is_changed(state: State, file: File) -> bool:
    """True where the file says something else than what the server runs with."""
    return bool(file.errors) or file.fingerprint != state.config


def lasted(seconds: float) -> str:
    """Return a length of time in its two largest units."""
    left = max(0, int(seconds))
    days, left = divmod(left, 86400)
    hours, left = divmod(left, 3600)
    minutes, left = divmod(left, 60)
    units = [(days, "d"), (hours, "h"), (minutes, "min"), (left, "s")]
    first = next((at for at, (number, _) in enumerate(units) if number), len(units) - 1)
    return " ".join(f"{number} {unit}" for number, unit in units[first : first + 2])


def _head(state: State, now: float) -> Text:
    up = f", up {lasted(now - state.since)}" if state.since else ""
    head = Text.assemble((f"tarry {state.version}".rstrip(), "bold"), f", process {state.pid}{up}")
    if state.draining:
        head.append(", draining: it takes no new clients", _WARN)
    if state.observes:
        head.append(", observing: everyone is let through", _WARN)
    return head


def _labelled(rows: Iterable[tuple[str, Text]]) -> Table:
    made = Table.grid(padding=(0, 2, 0, 0))
    made.add_column(no_wrap=True)
    made.add_column(overflow="fold")
    for label, text in rows:
        made.add_row(Text(label, _QUIET), text)
    return made


def _facts(state: State, file: File | None) -> Iterator[tuple[str, Text]]:
    yield "listens on", Text(", ".join(state.listen) or "nothing any more")
    yield "configuration", _configuration(state, file)
    room = f", room for {state.max_clients:,}" if state.max_clients else ""
    yield "clients", Text(f"{state.held:,} held, {state.in_session:,} in session{room}")
    mta = state.mta
    why = f": {mta.why}" if mta.why else ""
    yield "MTA", Text.assemble(f"{mta.where}  ", ("answers", _GOOD) if mta.ok else (f"is away{why}", _BAD))
    for number, one in enumerate(state.lists):
        told = ("is asked", _GOOD) if one.ok else (f"is not asked: {one.why}", _WARN)
        yield "" if number else "DNS lists", Text.assemble(f"{one.zone}  ", told)
    if state.store is not None:
        store = state.store
        told = ("answers", _GOOD) if store.ok else (f"is away: {store.why}", _BAD)
        lost = f", {store.lost:,} lost" if store.lost else ""
        figures = f"  {store.cached:,} at hand, {store.waiting:,} to be written{lost}"
        yield "memory", Text.assemble(f"{store.url}  ", told, figures)
    for number, stress in enumerate(state.stress):
        why = f": {stress.why}" if stress.why else ""
        yield "" if number else "stress", Text(f"{stress.what}{why}", _WARN)


def _configuration(state: State, file: File | None) -> Text:
    if file is None:
        return Text(state.config)
    if file.errors:
        return Text.assemble(f"{state.config}  ", (f"{file.name} has {file.errors} error(s) now: see tarry config check", _WARN))
    if is_changed(state, file):
        return Text.assemble(f"{state.config}  ", (f"{file.name} says something else now ({file.fingerprint})", _WARN))
    return Text(f"{state.config}, as {file.name} says")


def _workers(state: State, now: float) -> Table:
    made = _table(("worker", "right"), ("process", "right"), ("up", "right"), ("held", "right"), ("in session", "right"), "")
    for one in state.workers:
        if one.ok:
            other = Text("another configuration", _WARN) if one.config != state.config else Text("")
            made.add_row(*_worker_cells(one, now), other)
        else:
            made.add_row(str(one.number), "", "", "", "", Text(one.why, _BAD))
    return made


def _worker_cells(one: Worker, now: float) -> tuple[str, ...]:
    return str(one.number), str(one.pid), lasted(now - one.since), f"{one.held:,}", f"{one.in_session:,}"


def _done(tally: Tally) -> Table:
    sessions = tally.sessions
    rows = {
        "sessions": _listed(
            f"{sessions:,}",
            {
                "greeted": tally.greeted,
                "gave up waiting": tally.gave_up.count,
                "talked early": tally.early.count,
                "with TLS": tally.tls,
                "logged in": tally.logins,
            },
        ),
        "verdicts": _listed("", {action: n for action, n in _most(tally.actions) if action != "ignore"})
        + (f" ({tally.observed:,} not carried out)" if tally.observed else ""),
        "messages": _listed(
            "",
            {"delivered": tally.messages, "refused by the MTA": tally.messages_refused, "discarded": tally.discarded},
        )
        + (f"; {_octets(tally.octets)}" if tally.octets else ""),
        "recipients": f"{tally.rcpts:,} named, {tally.rcpts_accepted:,} accepted" if tally.rcpts else "none",
    }
    return _labelled((label, Text(told)) for label, told in rows.items())


def _listed(first: str, counts: Mapping[str, int]) -> str:
    """Return the counts that are not 0, behind what they are counts of."""
    told = ", ".join(f"{number:,} {word}" for word, number in counts.items() if number)
    return ": ".join(part for part in (first, told) if part) or "none"


def _octets(number: int) -> str:
    for unit, size in (("GB", 10**9), ("MB", 10**6), ("KB", 10**3)):
        if number >= size:
            return f"{number / size:,.1f} {unit}"
    return f"{number} octets"


def _times(tally: Tally) -> tuple[tuple[str, Histogram], ...]:
    return (
        ("talked early after", tally.early),
        ("gave up before the greeting after", tally.gave_up),
        ("held before the greeting for", tally.held),
        ("delayed in session for", tally.delayed),
        ("the MTA answered within", tally.mta),
    )


def _times_table(tally: Tally) -> Table:
    made = _table("how long", ("clients", "right"), ("half", "right"), ("9 of 10", "right"))
    for label, histogram in _times(tally):
        if histogram.count:
            made.add_row(label, f"{histogram.count:,}", within(histogram, 0.5), within(histogram, 0.9))
    return made


def within(histogram: Histogram, share: float) -> str:
    """Return the least bound under which so large a share lies, in words: what a histogram knows of a quantile."""
    wanted, found = share * histogram.count, 0
    for bound, count in zip(histogram.bounds, histogram.counts, strict=False):
        found += count
        if found >= wanted:
            return f"<= {bound * 1000:g} ms" if bound < 1 else f"<= {bound:g} s"
    return f"> {histogram.bounds[-1]:g} s"


def _reasons(tally: Tally) -> Table:
    made = _table("reason", ("sessions", "right"), ("of all", "right"))
    sessions = tally.sessions
    listed = _most(tally.reasons)
    for reason, number in listed[:TOP]:
        made.add_row(Text(reason), f"{number:,}", f"{number / sessions:.1%}" if sessions else "")
    if len(listed) > TOP:
        made.add_row(Text(f"and {len(listed) - TOP} more", _QUIET), "", "")
    return made


def _most(counts: Mapping[str, int]) -> list[tuple[str, int]]:
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))


def _table(*columns: str | tuple[str, str]) -> Table:
    made = plain()
    for column in columns:
        heading, side = column if isinstance(column, tuple) else (column, "left")
        made.add_column(heading, justify="right" if side == "right" else "left", no_wrap=bool(heading), overflow="fold")
    return made
