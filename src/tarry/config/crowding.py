"""crowding - rules about what limits the connections of clients, and about times of stress.

What      `RULES`, for config/problems: each yields what cannot work, or works and does nothing.
Promises  As there: pure, and what only defaults make up is never a problem.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from tarry.config.case import Case, chosen, warning
from tarry.config.origin import Problem
from tarry.config.values import write_duration


def _marks(case: Case) -> Iterator[Problem]:
    stress = case.config.stress
    if stress.low >= stress.high:
        what = f"stress would end at {stress.low:g} of all clients, which is not below the {stress.high:g} at which it begins"
        yield Problem(chosen(case, "stress.low", "stress.high"), what, "set stress.low below stress.high")


def _relief(case: Case) -> Iterator[Problem]:
    config = case.config
    stress, waits = config.stress, (config.hold.wait, *(one.wait for one in config.hold.class_))
    if case.is_set("stress.wait") and all(one.low <= stress.wait.low and one.high <= stress.wait.high for one in waits):
        yield warning("stress.wait", "nobody is held for longer than that anyhow", "set it below hold.wait, or leave the line out")
    if case.is_set("stress.command") and stress.command >= config.limits.command:
        what = f"commands have no more than {write_duration(config.limits.command)} anyhow (limits.command)"
        yield warning("stress.command", what, "set it below limits.command, or leave the line out")


def _networks(case: Case) -> Iterator[Problem]:
    for kind in ("max", "rate"):
        of_client, of_network = (getattr(case.config.listen, f"{kind}_per_{scope}") for scope in ("client", "network"))
        if 0 < of_network < of_client:
            where = chosen(case, f"listen.{kind}_per_network", f"listen.{kind}_per_client")
            what = f"a network may have {of_network} and a single client {of_client}, which it never reaches"
            yield warning(where, what, f"set listen.{kind}_per_client = {of_network} or less")


RULES: tuple[Callable[[Case], Iterator[Problem]], ...] = (_marks, _relief, _networks)
