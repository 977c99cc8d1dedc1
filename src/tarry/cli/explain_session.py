"""explain_session - `tarry explain ID`: what happened in one session, why, and how the client gets out of it.

What      `lines` tells an account as a story, with its reasons, waits, karma and remedies; `report` gives it as JSON.
Promises  Whatever a client or an MTA said is printed as printable ASCII.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence

import click
import msgspec

from tarry.cli import layout
from tarry.cli.layout import bold, filled
from tarry.cli.moments import ago, iso, to_the_second
from tarry.cli.session_account import WHERE, Account, Found
from tarry.config.spelling import counted, printable
from tarry.core.client import Endpoint
from tarry.core.karma import Rule
from tarry.record.schema import Close
from tarry.sinks.story import Said, Tone
from tarry.sinks.terminal import line_of, wants_colour

_ENDED = {
    "client": "the client ended it",
    "tarry": "tarry ended it",
    "mta": "the MTA ended it",
    "handoff": "it was given to the MTA, and goes on without tarry",
}
_COLOURS = {Tone.GOOD: "green", Tone.WARN: "yellow", Tone.BAD: "red"}
_STORY = 14  # columns of a moment
_ENDLESS = 1_000_000


# For a person.


def lines(account: Account, now: float, history: Iterable[str] = (), static: Sequence[str] = ()) -> Iterator[str]:
    """Yield the account for a person; *history* is what is remembered of the client, *static* what the configuration says of it."""
    session, close = account.session, account.close
    client = str(Endpoint(close.client, close.port)) if close.client else "a client that is not named"
    yield f"{bold(session.id)}  {printable(client)}"
    yield filled(f"{to_the_second(session.began)} ({ago(session.began, now)}): {printable(_outcome(account))}", "  ", 6)
    for note in account.notes:
        yield filled(note, "  ", 2)
    yield ""
    yield bold("What happened")
    yield from _told_story(account)
    is_special = bool(account.turned_away or (account.session.connect is not None and account.session.connect.exempt))
    if account.reasons or is_special:
        yield ""
        yield bold("Why")
        for one in account.reasons:
            yield from _reason_lines(one)
        for told in static if is_special else ():
            yield filled(printable(told), "  ", 6)
        if account.turned_away.startswith("421"):
            yield filled("a 421 tells it to come again, and it will: docs/operate.md tells what each of them means", "  ", 6)
        elif is_special and not static:
            yield filled("nothing in this configuration is about it: see below for what was said of it by hand", "  ", 6)
    yield ""
    yield bold("How long")
    for wait in account.waits:
        yield filled(printable(wait), "  ", 6)
    if close.delayed:
        yield filled(f"{close.total:.1f} s in all, {close.delayed:.1f} s of them held after the greeting", "  ", 6)
    yield ""
    yield bold("Karma")
    yield from _karma_lines(account)
    yield from history
    yield ""
    yield bold("What to do")
    for line in remedies(account):
        yield filled(printable(line), "  ", 6)


def _outcome(account: Account) -> str:
    close = account.close
    came_to = f"turned away: {account.turned_away}" if account.turned_away else _came_to(close)
    if not account.is_over:
        return f"so far: {came_to}"
    return f"{came_to}; {_ENDED.get(close.ended, close.ended)} after {close.total:.1f} s"


def _came_to(close: Close) -> str:
    names = ", ".join(dict.fromkeys(close.reasons))
    if close.is_refused:
        return f"refused ({close.action}) for {names}" if names else f"refused ({close.action})"
    if close.messages or close.greeted:
        held = f" after it was held for {close.held + close.delayed:.1f} s" if close.held + close.delayed >= 0.05 else ""
        return f"let in{held}, {counted(close.messages, 'message')} delivered"
    return "it hung up before the greeting" if close.hangup is not None else "not greeted"


def _told_story(account: Account) -> Iterator[str]:
    is_coloured = wants_colour(os.environ, is_terminal=layout.is_terminal())
    for dt, said in account.story:
        line = filled(_words(said), f"  {dt:8.2f} s  ", _STORY, breaks=True)
        yield click.style(line, fg=_COLOURS.get(said.tone), dim=said.tone is Tone.QUIET) if is_coloured else line
    if not account.story:
        yield "  nothing that is worth a line"


def _words(said: Said) -> str:
    return line_of("", said, _ENDLESS).decode("ascii").strip()


def _reason_lines(one: Found) -> Iterator[str]:
    by = f" ({one.subject})" if one.subject else ""
    yield filled(printable(one.meaning), printable(f"  {one.name}{by}: "), 6)
    if one.after is not None:
        where = WHERE.get(one.phase, f"at {one.phase}")
        yield filled(printable(f"found {where}, after {one.after:.1f} s{f': {one.detail}' if one.detail else ''}"), "      ", 8)
    for text in _led_to(one):
        yield filled(printable(text), "      ", 8)
    for rule in one.karma:
        yield filled(printable(_rule(rule)), "      ", 8)
    if one.way_out:
        yield filled(printable(one.way_out), "      the way out: ", 8)
    if one.advice:
        yield filled(printable(one.advice), "      if it is honest: ", 8)


def _led_to(one: Found) -> Iterator[str]:
    if one.weight < 0:
        yield f"speaks for it: weight {one.weight:g}"
        return
    if one.action and one.action != one.now:
        yield f"led to {one.action} then{f'; now it would be {one.now}: {one.key}' if one.now else ''}"
    elif one.now:
        yield f"led to {one.now}, by {one.key}: {one.effect}"
    elif one.action:
        yield f"led to {one.action}"


def _rule(rule: Rule) -> str:
    return f"karma {rule.points:+g}{f': {rule.why}' if rule.why else ''}"


def _karma_lines(account: Account) -> Iterator[str]:
    brings = "brought" if account.is_over else "would bring, if it ended now,"
    if not account.karma:
        yield filled(f"the session {brings} none: no rule of karma.rules ({account.karma_place}) is about what happened", "  ", 6)
        return
    rules = "; ".join(f"{rule.on} {rule.points:+g}{f' ({rule.why})' if rule.why else ''}" for rule in account.karma)
    yield filled(printable(f"the session {brings} {account.points:+g}: {rules}; by karma.rules ({account.karma_place})"), "  ", 6)


def remedies(account: Account) -> Iterator[str]:
    """Yield what can be done, by the client and by the operator."""
    close = account.close
    against = [one for one in account.reasons if one.weight >= 0]
    if not against and not close.client:
        return
    if account.turned_away:
        yield f"`tarry explain {close.client}` tells what would become of it now, and what is remembered of it"
        return
    if not against:
        yield "nothing was found against it"
        return
    yield "the client may come again at any time: each session is judged anew, by what it does and by its karma"
    allow, forget = f"`tarry clients allow {close.client} --for 30d`", f"`tarry clients forget {close.client}`"
    yield f"{allow} lets it in unheld and unchecked; {forget} makes a stranger of it"
    names = ", ".join(f"`tarry explain {name}`" for name in dict.fromkeys(one.name for one in against))
    yield f"what its reasons lead to is changed in the configuration, and {names} has the lines"


# For a program.


def report(account: Account) -> Mapping[str, object]:
    """Return the account for a program."""
    session, close = account.session, account.close
    return {
        "id": session.id,
        "client": close.client or None,
        "port": close.port or None,
        "server": close.server or None,
        "began": iso(session.began),
        "is_over": account.is_over,
        "outcome": _outcome(account),
        "turned_away": account.turned_away or None,
        "ended": close.ended if account.is_over else None,
        "total": close.total,
        "notes": list(account.notes),
        "story": [{"after": round(dt, 3), "text": _words(said), "tone": said.tone.name.lower()} for dt, said in account.story],
        "reasons": [
            {
                "reason": one.name,
                "subject": one.subject or None,
                "detail": one.detail or None,
                "phase": one.phase or None,
                "after": one.after,
                "meaning": one.meaning or None,
                "action": one.action or one.now or None,
                "action_now": one.now or None,
                "by": one.key or None,
                "weight": one.weight,
                "karma": [_rule_report(rule) for rule in one.karma],
                "advice": one.advice or None,
                "way_out": one.way_out or None,
            }
            for one in account.reasons
        ],
        "waits": list(account.waits),
        "held": close.held,
        "delayed": close.delayed,
        "karma": {"points": account.points, "rules": [_rule_report(rule) for rule in account.karma]},
        "remedies": list(remedies(account)),
        "close": msgspec.to_builtins(close) if account.is_over else None,
    }


def _rule_report(rule: Rule) -> dict[str, object]:
    return {"on": rule.on, "points": rule.points, "why": rule.why or None}
