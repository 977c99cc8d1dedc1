"""remembering - rules about what is remembered of clients, and what comes of it.

What      `RULES`, for config/problems.
Promises  As there: pure, each fix mends the problem, and a combination that only defaults make up is never one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from tarry.config.case import Case, chosen, warning
from tarry.config.origin import Problem
from tarry.config.spelling import nearest, shown, without_password
from tarry.core.border import Answered, Due
from tarry.core.karma import EVENTS
from tarry.core.result import Action

NONE = "none"
SCHEMES = ("sqlite", "valkey", "valkeys", "redis", "rediss", "valkey+unix", "redis+unix", NONE)
_OWN = "karma"


def _store(case: Case) -> Iterator[Problem]:
    url = case.config.store.url
    scheme = url.partition(":")[0]
    if scheme not in SCHEMES or (url != NONE and ":" not in url):
        near, named = nearest(scheme, SCHEMES), shown(without_password(url))
        forms = '"sqlite:FILE", "valkey://HOST:6379/0" or "none"'
        yield Problem("store.url", f"{named} is no place to remember clients in", f"did you mean {near}? write {forms}")


def _thresholds(case: Case) -> Iterator[Problem]:
    karma = case.config.karma
    if karma.worst_below > karma.bad_below:
        what = "a client is the worst before it is bad"
        where = chosen(case, "karma.worst_below", "karma.bad_below")
        yield Problem(where, what, f"set karma.worst_below to {karma.bad_below:g} or less")
    for key, threshold in (("karma.skip_above", karma.skip_above), ("karma.worst_below", -karma.worst_below)):
        if karma.rules and threshold >= karma.most and (case.is_set(key) or case.is_set("karma.most")):
            what = f"no client gets there, since karma is never more than {karma.most:g} in either direction"
            yield warning(chosen(case, key, "karma.most"), what, "raise karma.most")


def _rules(case: Case) -> Iterator[Problem]:
    checks = case.config.checks
    known = [*EVENTS, *(name for name in checks if name != _OWN)]
    known += [f"{name}.{code}" for name, one in checks.items() if name != _OWN for code in one.check.codes]
    for rule in case.config.karma.rules:
        if rule.on not in known:
            near = nearest(rule.on, known)
            fix = f"write {shown(near)}" if near else f"write one of {', '.join(EVENTS)}, or the name of a check"
            yield Problem("karma.rules", f"{shown(rule.on)} is nothing that brings karma", fix)


def _forgotten(case: Case) -> Iterator[Problem]:
    """What is set and can have no effect."""
    if case.config.store.url == NONE:
        set_keys = [
            key for key in ("checks.karma.action", "karma.skip_above", "karma.bad_below", "karma.rules") if case.is_set(key)
        ]
        set_keys += [f"checks.{name}.remember" for name in case.config.checks if case.is_set(f"checks.{name}.remember")]
        if set_keys:
            yield warning(set_keys[0], 'nothing is remembered, since store.url = "none"', 'set store.url = "sqlite:tarry.db"')
        return
    remembered = [name for name, one in case.config.checks.items() if one.settings.remember > 0]
    if remembered and not case.config.checks[_OWN].settings.has_effect:
        what = "nobody asks for the passes that are remembered, since checks.karma.action is ignore"
        yield warning(f"checks.{remembered[0]}.remember", what, 'set checks.karma.action = "tag"')
    for name in remembered:
        if not case.is_operators(f"checks.{name}.remember"):
            continue
        one = case.config.checks[name]
        if not {Due, Answered} & set(one.check.triggers):
            what = f"{name} looks at what comes after the greeting, and no client is held for that"
            yield warning(f"checks.{name}.remember", what, "leave the line out")
        elif one.settings.action is Action.IGNORE:
            yield warning(f"checks.{name}.remember", f"nobody is held for {name}, since its action is ignore", "leave the line out")


RULES: tuple[Callable[[Case], Iterator[Problem]], ...] = (_store, _thresholds, _rules, _forgotten)
