"""explain_client - `tarry explain ADDRESS`: what is known of a client, what would become of it now, and its last sessions.

What      `account_of` puts together what the configuration says of the address (networks, files, patterns, hold classes), what is
          remembered of it and said by hand, how it would fare if it came now, and what the event log has.
Promises  What would become of it is played through the very core that the daemon runs (rehearsal), with what is remembered of it.
          Nothing is looked up in DNS, nothing is sent and nothing recorded. A store that is away is told, and all the rest.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from ipaddress import IPv4Address, IPv6Address

import msgspec

from tarry.cli import client_history
from tarry.cli.client_history import Past
from tarry.cli.config_try import house
from tarry.cli.layout import bold, filled
from tarry.cli.moments import ago, at, iso
from tarry.cli.opened import Memory
from tarry.cli.recorded import Session
from tarry.cli.who import Who
from tarry.config.compile import policy
from tarry.config.load import Loaded
from tarry.config.spelling import counted, printable
from tarry.core.facts import Answer, Kind, Question, State
from tarry.core.history import Entry, known
from tarry.core.hold import class_of
from tarry.marks import words_of
from tarry.rehearsal.conclusion import ending_of, sentence
from tarry.rehearsal.given import Given, unknown
from tarry.rehearsal.keys import Keys, LineOf
from tarry.rehearsal.play import play
from tarry.rehearsal.visit import Visit

_SEED = 4711
"""Ranges are drawn the same way each time: the answer is about the client, and not about the draw."""


class Account(msgspec.Struct, frozen=True):
    """All that is told of a client. ``past`` is None where the store could not be read, and ``away`` says why."""

    who: Who
    address: str
    static: tuple[str, ...]
    past: Past | None
    away: str
    forecast: str
    is_through: bool
    sessions: tuple[Session, ...]
    notes: tuple[str, ...]

    @property
    def is_known(self) -> bool:
        """True where there is anything but what would become of any stranger."""
        return bool(self.static or self.sessions) or (self.past is not None and self.past.is_known)


def account_of(
    subject: Who,
    address: IPv4Address | IPv6Address,
    loaded: Loaded,
    memory: Memory,
    past: Past | None,
    away: str,
    sessions: Sequence[Session],
    notes: Sequence[str],
    line_of_row: LineOf | None,
) -> Account:
    """Make the account of the client at *address*."""
    told, is_through = _forecast(address, loaded, memory, past)
    return Account(
        who=subject,
        address=str(address),
        static=tuple(static(address, loaded, memory.now, line_of_row)),
        past=past,
        away=away,
        forecast=told,
        is_through=is_through,
        sessions=tuple(sessions),
        notes=tuple(notes),
    )


def static(address: IPv4Address | IPv6Address, loaded: Loaded, now: float, line_of_row: LineOf | None) -> Iterator[str]:
    """Yield what the configuration says of this very address."""
    config, origins = loaded.config, loaded.origins
    for key, networks in (("exempt.networks", config.exempt.networks), ("deny.networks", config.deny.networks)):
        for network in networks:
            if address in network:
                yield f"{network} is in {key} ({origins[key]}): {_EFFECT[key.partition('.')[0]]}"
    for file in loaded.lists.files:
        for entry in file.read.entries:
            if address in entry.network and entry.holds(now):
                until = f", until {at(entry.until)}" if entry.until else ""
                place = f"a file of {file.key} ({origins[file.key]})"
                yield f"{entry.network} is in {printable(file.named)}{until}, {place}: {_EFFECT[file.key.partition('.')[0]]}"
    for pattern in config.exempt.patterns:
        if pattern.search(str(address)):
            yield f"{printable(pattern.pattern)} is in exempt.patterns ({origins['exempt.patterns']}): {_EFFECT['exempt']}"
    for network in config.listen.proxy_from:
        if address in network:
            yield f"{network} is in listen.proxy_from ({origins['listen.proxy_from']}): it must begin with a PROXY header"
    rules = policy(config)
    found = class_of(str(address), address.packed, (), rules)
    if found is not None and not found.looks_at_facts:
        yield f"it is of the hold class {found.name}: {Keys(loaded, rules, line_of_row).hold(found.name)}"


_EFFECT = {"exempt": "it is neither held nor checked", "deny": "it is refused as soon as it connects"}


def _forecast(address: IPv4Address | IPv6Address, loaded: Loaded, memory: Memory, past: Past | None) -> tuple[str, bool]:
    """Return what would become of the client if it came now, waited its turn, and brought one message."""
    made = house(loaded, memory.now, remembers=past is not None, said=words_of(past.marks if past is not None else ()))
    answers = _Remembered(memory, past)
    given = Given((), str(address), loaded.config.dns.timeout, answers.look)
    played = play(Visit(address), made, given.look, random.Random(_SEED).random)
    return sentence(played), ending_of(played).is_through


class _Remembered:
    """Answers what is remembered of a client, and nothing else."""

    def __init__(self, memory: Memory, past: Past | None) -> None:
        self._memory = memory
        self._past = past

    def look(self, questions: Sequence[Question]) -> Sequence[Answer]:
        return [self._answer(question) for question in questions]

    def _answer(self, question: Question) -> Answer:
        past = self._past
        if past is None or question.kind not in (Kind.HISTORY, Kind.DOMAIN_HISTORY):
            return unknown([question])[0]
        is_own = question.kind is Kind.HISTORY
        entry: Entry | None = past.entry if is_own else past.domain
        if entry is None:
            return Answer(question, State.NOTHING)
        told_of = known(entry, self._memory.now, self._memory.fading)
        return Answer(question, State.FOUND, known=told_of, domain="" if is_own else entry.key)


# For a person.


def lines(account: Account, memory: Memory) -> Iterator[str]:
    """Yield the account for a person."""
    yield bold(account.address)
    for note in account.who.notes:
        yield filled(f"({note})", "  ", 2)
    yield ""
    yield bold("If it came now")
    yield filled(printable(account.forecast), "  ", 2)
    yield filled(
        "(It waits its turn and brings one message that the MTA takes; nothing is looked up in DNS. "
        f"`tarry config try {account.address}` tells each step, with DNS.)",
        "  ",
        2,
    )
    if account.static:
        yield ""
        yield bold("In the configuration")
        for told in account.static:
            yield filled(told, "  ", 4)
    yield ""
    yield bold("In the memory")
    if account.past is None:
        yield filled(printable(account.away), "  ", 2)
    else:
        yield from client_history.lines(account.past, memory)
    yield ""
    yield bold("In the event log")
    for session in account.sessions:
        yield from _session_lines(session, memory.now)
    for note in account.notes:
        yield filled(printable(note), "  ", 2)
    if account.sessions:
        yield filled(f"`tarry explain {printable(account.sessions[0].id)}` tells the last of them, with all its reasons", "  ", 2)


def _session_lines(session: Session, now: float) -> Iterator[str]:
    yield filled(f"{printable(session.id)}  {at(session.began)} ({ago(session.began, now)})  {printable(_brief(session))}", "  ", 6)


def _brief(session: Session) -> str:
    close = session.close
    if close is None:
        return "its end is not recorded: tarry was started anew since" if session.is_lost else "is under way"
    names = ", ".join(dict.fromkeys(close.reasons))
    for_what = f" for {names}" if names else ""
    if close.is_refused:
        return f"{close.action}{for_what}"
    held = f"held {close.held + close.delayed:.1f} s"
    if not close.greeted:
        return f"hung up after {close.hangup:.1f} s{for_what}" if close.hangup is not None else f"turned away{for_what}"
    observed = ", only observed" if close.observed else ""
    action = "" if close.action == "ignore" else f", {close.action}"
    return f"{held}, {counted(close.messages, 'message')}{action}{for_what}{observed}"


# For a program.


def report(account: Account, memory: Memory) -> Mapping[str, object]:
    """Return the account for a program."""
    return {
        "client": account.address,
        "key": account.who.key,
        "forecast": {"text": account.forecast, "through": account.is_through},
        "configuration": list(account.static),
        "memory": None if account.past is None else client_history.report(account.past, memory),
        "memory_away": account.away or None,
        "sessions": [
            {
                "id": one.id,
                "began": iso(one.began),
                "is_over": one.close is not None,
                "brief": _brief(one),
                "action": one.close.action if one.close else None,
                "reasons": list(one.close.reasons) if one.close else [],
                "messages": one.close.messages if one.close else 0,
            }
            for one in account.sessions
        ],
        "notes": list(account.notes),
    }
