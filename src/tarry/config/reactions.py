"""reactions - rules about what is done to clients: holds, delays, tarpits, slow replies, and the actions of checks.

What      `RULES`, for config/problems.
Promises  As there: pure, each fix mends the problem, and a combination that only defaults make up is never one.
Source    RFC 5321 §4.5.3.2 (timeouts), DESIGN sections 6 and 8.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import fields

from tarry.config.case import Case, blind, chosen, warning
from tarry.config.compile import WHO
from tarry.config.origin import Problem
from tarry.config.spelling import nearest, shown
from tarry.config.values import write_duration
from tarry.config.waits import HoldClass, RcptTarpit
from tarry.core.border import Answered, Due, Readable
from tarry.core.check import Settings
from tarry.core.client import Phase
from tarry.core.delay import tarpit as hold_of
from tarry.core.judge import PLACEHOLDERS
from tarry.core.policy import LONGEST_HOLD, Span
from tarry.core.result import Action

PATIENCE = 30.0
"""Seconds. Callouts and checkers give up from 8 to 30 s on (DESIGN section 8; qpsmtpd's earlytalker says the same)."""
USUAL_REPLY = 60
"""Octets: a reply of one line. Slower than that it would not be through when the client gives up."""

_LONG = 1_000_000
"""How many commands of a kind are more than any session has."""

_BEFORE_GREETING = (Readable, Due, Answered)
_NO_REASON = ("allowed", "unknown")
"""Words of hold.class.who that name no reason."""


def _holds(case: Case) -> Iterator[Problem]:
    config = case.config
    longest = write_duration(LONGEST_HOLD)
    for where, span in (
        ("hold.wait", config.hold.wait),
        ("hold.data_wait", config.hold.data_wait),
        ("delay.target", config.delay.target),
    ):
        if span.high > LONGEST_HOLD:
            what = f"clients give up after 5 minutes (RFC 5321), and {_end(span)} is above {longest}"
            yield Problem(where, what, f'set {where} = "{longest}" or less')
    for one in config.hold.class_:
        yield from _class(case, one)
    if PATIENCE < config.hold.wait.high <= LONGEST_HOLD:
        what = (
            f"every new client waits up to {_end(config.hold.wait)}, and some honest ones give up after {write_duration(PATIENCE)}"
        )
        yield warning("hold.wait", what, "keep it below, and hold those with a reason longer with [delay]")


def _end(span: Span) -> str:
    return write_duration(span.high)


def _class(case: Case, one: HoldClass) -> Iterator[Problem]:
    name = f"the class {shown(one.name)}"
    if one.wait.high > LONGEST_HOLD:
        what = f"clients give up after 5 minutes (RFC 5321), and {name} waits up to {_end(one.wait)}"
        yield Problem("hold.class", what, f'give it a wait of "{write_duration(LONGEST_HOLD)}" or less')
    elif one.wait.high > PATIENCE and not (one.who or one.networks or one.patterns):
        what = f"{name} is everybody that no class before it is, and waits up to {_end(one.wait)}"
        yield warning("hold.class", what, "keep it below 30s, or say who is meant")
    codes = {check: found.check.codes for check, found in case.config.checks.items()}
    known = [*_NO_REASON, *WHO, *codes, *(f"{check}.{code}" for check, all_codes in codes.items() for code in all_codes)]
    for word in one.who:
        if word not in known:
            near = nearest(word, known)
            fix = f"write {shown(near)}" if near else f"write one of {', '.join([*_NO_REASON, *WHO])}, or the name of a check"
            yield Problem("hold.class", f"{name} is to hold {shown(word)}, which is no check and no reason", fix)
        elif word not in _NO_REASON:
            yield from _looked_at(case, name, word)


def _looked_at(case: Case, name: str, word: str) -> Iterator[Problem]:
    check, _, code = WHO.get(word, word).partition(".")
    found = case.config.checks[check]
    settings: Settings = found.settings
    if (settings.action_for(code) is Action.IGNORE) if code else not settings.has_effect:
        key = f"checks.{check}.codes" if code in settings.codes else f"checks.{check}.action"
        what = f"{name} is for {shown(word)}, and {key} is ignore, so nothing is looked up and nobody is held for it"
        yield warning("hold.class", what, f'set checks.{check}.action = "tag" or more')
    elif code and not found.looks_for(code):
        what = f"{name} is for {shown(word)}, and checks.{check}.tests does not look for it"
        yield warning("hold.class", what, f"add {shown(code)} to checks.{check}.tests")
    elif getattr(found.options, "zones", None) == ():
        what = f"{name} is for {shown(word)}, and there are no lists in checks.{check}.zones to look it up in"
        yield warning("hold.class", what, f"name one in checks.{check}.zones")


def _answers(case: Case) -> Iterator[Problem]:
    timeout, shortest = case.config.dns.timeout, case.config.hold.wait.low
    if case.is_set("dns.timeout") and timeout > shortest:
        what = f"the greeting waits for no answer, and who is held for {write_duration(shortest)} only is greeted before it comes"
        fix = f'set it to "{write_duration(shortest)}" or less, or hold.wait to more'
        yield warning(
            "dns.timeout", what, fix if shortest else "set hold.wait to as much, where the answers are to count before it"
        )


def _delays(case: Case) -> Iterator[Problem]:
    delay = case.config.delay
    most = min(delay.session_cap, LONGEST_HOLD)
    if delay.session_cap < delay.target.low:
        what = (
            f"no client waits {write_duration(delay.target.low)}, since all its delays end at {write_duration(delay.session_cap)}"
        )
        yield warning(chosen(case, "delay.session_cap", "delay.target"), what, "let it be as long as delay.target at least")
    elif delay.per_reason > 0 and delay.target.low >= most:
        what = f"the first reason brings a client to {write_duration(most)} already, and no further one can add to that"
        yield warning("delay.per_reason", what, "lower delay.target, or leave the line out")
    if delay.reply_pace > 0:
        if case.gives_away:
            yield blind(case, "delay.reply_pace", 'or set delay.reply_pace = "0s"')
        if delay.reply_pace * USUAL_REPLY > LONGEST_HOLD:
            what = (
                f"a reply of {USUAL_REPLY} octets would take {write_duration(delay.reply_pace * USUAL_REPLY)}, and clients give up"
            )
            yield Problem("delay.reply_pace", what, 'set delay.reply_pace = "4s" or less')


def _tarpits(case: Case) -> Iterator[Problem]:
    for kind in fields(case.config.tarpit):
        name, tarpit = f"tarpit.{kind.name}", getattr(case.config.tarpit, kind.name)
        is_on = tarpit.step > 0 or tarpit.start > 0
        is_meant = case.is_set(f"{name}.cap") and tarpit.cap != type(tarpit)().cap
        longest = hold_of(tarpit.free + _LONG, tarpit) if is_on else tarpit.cap if is_meant else 0.0
        if longest > LONGEST_HOLD:
            what = f"clients give up after 5 minutes, and the last holds come to {write_duration(longest)}"
            fix = f'set {name}.cap = "{write_duration(LONGEST_HOLD)}" unless you want floods to break off'
            yield warning(chosen(case, f"{name}.cap", f"{name}.step"), what, fix)
        if tarpit.step > 0 and tarpit.start > 0:
            what = f"{name}.step counts where both are set"
            yield warning(f"{name}.start", what, f"leave {name}.start or {name}.step out")
        if isinstance(tarpit, RcptTarpit) and tarpit.say and case.gives_away:
            yield blind(case, f"{name}.say", f"or leave {name}.say out")
        for shape in ("step", "start"):
            if getattr(tarpit, shape) > 0 and case.gives_away:
                yield blind(case, f"{name}.{shape}", f'or set {name}.{shape} = "0s"')


def _blind_checks(case: Case) -> Iterator[Problem]:
    if not case.gives_away:
        return
    for name, one in case.config.checks.items():
        where, settings = f"checks.{name}", one.settings
        sees_later = any(trigger not in _BEFORE_GREETING for trigger in one.check.triggers)
        actions = _actions(settings)
        acts_later = bool(actions & {Action.DELAY, Action.DISCARD}) or (settings.at or Phase.CONNECT) > Phase.HOLD
        if max(actions) > Action.TAG and (sees_later or acts_later):
            set_keys = [key for key in (f"{where}.at", f"{where}.action", f"{where}.codes") if case.is_set(key)]
            own = [key for word in fields(one.check.options) if case.is_set(key := f"{where}.{word.name}")]
            if set_keys:
                yield blind(case, set_keys[0], f'or set {where}.action = "ignore"')
            elif own and not any(row.who for row in case.config.hold.class_):
                what = f'{where}.action = "{settings.action.word}" is for after the greeting, and the client is given away there'
                fix = f'set {where}.action = "reject" and at = "connect", or give whom it finds a [[hold.class]]'
                yield warning(own[0], what, fix)
    if case.config.hold.data_wait.high > 0 and case.is_set("hold.data_wait"):
        yield blind(case, "hold.data_wait", 'or set hold.data_wait = "0s"')
    if case.config.headers.insert and case.is_set("headers.insert"):
        yield blind(case, "headers.insert", "or set headers.insert = false")


def _actions(settings: Settings) -> set[Action]:
    return {settings.action, *settings.codes.values()}


def _codes(case: Case) -> Iterator[Problem]:
    for name, found in case.config.checks.items():
        for code, action in found.settings.codes.items():
            if action is not Action.IGNORE and not found.looks_for(code):
                what = f"{code} leads to nothing, since checks.{name}.tests does not look for it"
                yield warning(f"checks.{name}.codes", what, f"add {shown(code)} to checks.{name}.tests")


def _scores(case: Case) -> Iterator[Problem]:
    score = case.config.score
    for name, found in case.config.checks.items():
        where = f"checks.{name}.action"
        if not case.is_set(where) or case.is_set("score.delay") or found.settings.action is not Action.TAG:
            continue
        heaviest = max((row.weight for row in getattr(found.options, "zones", ())), default=0.0)
        if 0 < score.delay <= heaviest:
            what = (
                f"a listing that weighs {heaviest:g} delays the client all the same, since score.delay = {score.delay:g} (default)"
            )
            yield warning(where, what, "set score.delay = 0 to only tag, or to the sum from which to delay")


def _discards(case: Case) -> Iterator[Problem]:
    for name, check in case.config.checks.items():
        if Action.DISCARD in _actions(check.settings):
            where = f"checks.{name}.{'action' if check.settings.action is Action.DISCARD else 'codes'}"
            what = "messages are answered 250 and thrown away, and neither sender nor recipient is told"
            yield warning(where, what, 'set "reject", unless you are sure of everybody whom this check finds')


def _replies(case: Case) -> Iterator[Problem]:
    for name, check in case.config.checks.items():
        where, settings = f"checks.{name}", check.settings
        actions, own = _actions(settings), settings.reply
        if not own:
            continue
        accepts = own.startswith("2")
        if accepts and Action.DISCARD not in actions:
            what = f'it says that the message is accepted, and action = "{settings.action.word}" does not'
            yield Problem(f"{where}.reply", what, "let it begin with 450 or 550")
        elif not accepts and Action.DISCARD in actions and not any(action.refuses for action in actions):
            what = 'action = "discard" is told as 250, and this reply is never used'
            yield warning(f"{where}.reply", what, "let it begin with 250, or leave the line out")
        for action, asked in ((Action.DEFER, "4"), (Action.REJECT, "5")):
            if action in actions and not accepts and own[0] != asked:
                what = f'action = "{action.word}" is {asked}xx, and this reply says otherwise to the client'
                yield warning(f"{where}.reply", what, f"let it begin with {asked}50, or change the action")


def _placeholders(case: Case) -> Iterator[Problem]:
    for name, check in case.config.checks.items():
        for key, text in (("reply", check.settings.reply), ("header", check.settings.header)):
            where = f"checks.{name}.{key}"
            for word in re.findall(r"\{(\w*)\}", text):
                if word not in PLACEHOLDERS:
                    near = nearest(word, PLACEHOLDERS)
                    fix = f"did you mean {{{near}}}?" if near else f"there are {', '.join(f'{{{one}}}' for one in PLACEHOLDERS)}"
                    yield warning(where, f"{{{word}}} stands for nothing, and is sent as it is", fix)
                elif word == "help_url" and not case.config.smtp.help_url:
                    what = "{help_url} is empty, since smtp.help_url is"
                    yield warning(where, what, "set smtp.help_url, or leave {help_url} out")


def _headers(case: Case) -> Iterator[Problem]:
    for name, check in case.config.checks.items():
        where, settings = f"checks.{name}", check.settings
        if settings.header and not case.config.headers.insert:
            yield warning(f"{where}.header", "no header is inserted while headers.insert is false", "set headers.insert = true")
        if settings.header and re.match(r"(?i)(received|return-path)\s*:", settings.header):
            yield warning(f"{where}.header", "MTAs count and rewrite this field", 'choose a name of your own, such as "X-Tarry"')


RULES: tuple[Callable[[Case], Iterator[Problem]], ...] = (
    _holds,
    _answers,
    _delays,
    _tarpits,
    _blind_checks,
    _codes,
    _scores,
    _discards,
    _placeholders,
    _replies,
    _headers,
)
