"""keys - which key of the configuration decided, what its value is, and where it was set.

What      `Keys` turns the name of a key into a `Because`: words, key, value, and ``file:line`` (or the preset, or that it is the
          default). And it tells which key is behind a verdict: the action of a check, or a sum of weights.
Promises  Nothing is decided here: whether the score had a part in a verdict is found by asking `judge` again without it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import msgspec

from tarry.checks.values.zone import Zone, labels, public
from tarry.config.keys import flat, toml_of
from tarry.config.load import Loaded
from tarry.config.spelling import spell
from tarry.config.values import write_span
from tarry.core.client import Phase
from tarry.core.judge import judge
from tarry.core.policy import Policy, Score, Span
from tarry.core.result import Action, Reason

LineOf = Callable[[tuple[str | int, ...]], int]
"""Gives the line of a row in the operator's file, 0 where it is not known."""


class Because(msgspec.Struct, frozen=True):
    """Why something happened: words, and the key that asked for it, if one did. ``drawn``: its value is a range."""

    words: str = ""
    key: str = ""
    value: str = ""
    place: str = ""
    drawn: bool = False

    def __str__(self) -> str:
        setting = f"{self.key} = {self.value} ({self.place})" if self.key else ""
        return ", by ".join(part for part in (self.words, setting) if part)


class Keys:
    """The keys of one configuration. *line_of* finds rows of a list of tables; without it the list's own line is told."""

    def __init__(self, loaded: Loaded, policy: Policy, line_of: LineOf | None = None) -> None:
        self.config = loaded.config
        self._origins = loaded.origins
        self._values = flat(loaded.config)
        self._policy = policy
        self._line_of = line_of

    def public(self, source: str) -> str:
        """Return the public name of a DNS list, which has no key in it; anything else as it is."""
        for one in self.config.checks.values():
            rows = tuple(row for row in getattr(one.options, "zones", ()) if isinstance(row, Zone))
            shown = public(source, rows)
            if shown != source:
                return shown
        return source

    def because(self, key: str, words: str = "") -> Because:
        """Return what *key* asked for."""
        value = self._values[key]
        drawn = isinstance(value, Span) and value.low < value.high
        return Because(words, key, toml_of(key, value, self.config.registry), str(self._origins[key]), drawn)

    def hold(self, hold_class: str, words: str = "") -> Because:
        """Return why a client of this class, "" for none, waits as long as it does."""
        for index, one in enumerate(self.config.hold.class_):
            if one.name == hold_class:
                place = self._row("hold.class", ("hold", "class", index, "wait"))
                key, value = f"hold.class {spell(one.name)} wait", spell(write_span(one.wait))
                return Because(words, key, value, place, one.wait.low < one.wait.high)
        return self.because("hold.wait", words)

    def weight(self, reason: Reason) -> str:
        """Return how much a reason weighs, and where that was set, if it is a DNS list's own weight; "" for nothing."""
        if not reason.weight:
            return ""
        zones = getattr(self.config.checks.get(reason.check), "options", None)
        rows = [row for row in getattr(zones, "zones", ()) if isinstance(row, Zone)]
        index = dict(zip(labels(tuple(rows)), range(len(rows)), strict=True)).get(reason.subject)
        key = f"checks.{reason.check}.zones"
        place = "" if index is None else f" ({self._row(key, ('checks', reason.check, 'zones', index, 'weight'))})"
        return f"weight {reason.weight:g}{place}"

    def check(self, check: str, code: str, words: str = "") -> Because:
        """Return what the operator says is to be done about a finding."""
        codes: dict[str, Action] = dict(self._values.get(f"checks.{check}.codes", {}))
        if code in codes:
            key = f"checks.{check}.codes"
            return Because(words, key, f"{{ {code} = {spell(codes[code].word)} }}", str(self._origins[key]))
        return self.because(f"checks.{check}.action", words) if f"checks.{check}.action" in self._values else Because(words)

    def verdict(self, action: Action, reasons: Sequence[Reason], phase: Phase) -> tuple[Because, ...]:
        """Return why *reasons* come to *action* at *phase*: the check that asks for it, or the score."""
        told = judge(reasons, self._policy, phase)
        alone = judge(reasons, _without_score(self._policy), phase)
        if alone.action >= action and alone.reasons:
            first = alone.reasons[0]
            return (self.check(first.check, first.code, named(first)),)
        total = sum(one.weight for one in reasons)
        names = ", ".join(named(one) for one in told.reasons)
        return (self.because(f"score.{action.word}", f"{names}: a score of {total:g}"),)

    def score_allow(self, reasons: Sequence[Reason]) -> Because:
        """Return why an allow-listed client need not wait."""
        names = ", ".join(named(one) for one in reasons if one.weight < 0)
        return self.because("score.allow", f"{names}: a score of {sum(one.weight for one in reasons):g}")

    def _row(self, key: str, path: tuple[str | int, ...]) -> str:
        origin = self._origins[key]
        line = self._line_of(path) if self._line_of is not None and origin.kind == "file" else 0
        return f"{origin.name}:{line}" if line else str(origin)


def named(reason: Reason) -> str:
    """Return a reason's name with who says so."""
    return f"{reason.name} ({reason.subject})" if reason.subject else reason.name


def _without_score(policy: Policy) -> Policy:
    return replace(policy, score=Score(0.0, 0.0, 0.0, 0.0, policy.score.allow, policy.score.at))
