"""playbook - transcripts of one held client: at a time, an input, and the effects that it is to have.

    assert (
        Playbook(policy(Pregreet(), action=Action.DROP))
        >> at("1.2s", Readable(b"EHLO x\\r\\n")) << [Emit(...), Refuse(...)]
    )

Each step is taken twice, since `hold.step` must answer the same to the same question.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from tarry.core.border import Answered, Emit, Forget, Greet, HoldEffect, HoldInput, Refuse
from tarry.core.check import Armed, Check
from tarry.core.facts import Answer
from tarry.core.finding import answer_event
from tarry.core.hold import Held, step
from tarry.core.policy import Policy

ACCEPTED_AT = 1000.0


def armed(check: Check, *, options: Any = None, **changed: Any) -> Armed:
    """Return a check with its default settings, but for what is *changed* (action, at, weight, reply, header)."""
    return Armed(check, replace(check.settings, **changed), check.options() if options is None else options)


def policy(*checks: Check, changes: dict[str, Any] | None = None, **changed: Any) -> Policy:
    """Return a policy of these checks, each with the settings that are *changed*; *changes* are the policy's own fields."""
    return Policy(checks=tuple(armed(check, **changed) for check in checks), **(changes or {}))


@dataclass(frozen=True)
class Happened:
    """An input, and when, in seconds since accept."""

    dt: float
    input: HoldInput


def at(when: str, happened: HoldInput) -> Happened:
    """Something happens *when*, as in "1.2s", after accept."""
    return Happened(float(when.removesuffix("s")), happened)


def comes(when: str, answer: Answer) -> Happened:
    """An answer comes."""
    return at(when, Answered(answer))


def told(answer: Answer) -> Emit:
    """Return the record of an answer."""
    return Emit(answer_event(answer))


def ends(effects: tuple[HoldEffect, ...]) -> list[HoldEffect]:
    """Return those of the effects that end a hold."""
    return [effect for effect in effects if isinstance(effect, Greet | Refuse | Forget)]


class Playbook:
    """One client. ``>>`` lets something happen to it, ``<<`` says what effects that must have had."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._effects: tuple[HoldEffect, ...] = ()
        self._over = False
        self.held = Held("k3x9", "192.0.2.7", ACCEPTED_AT)

    @property
    def effects(self) -> tuple[HoldEffect, ...]:
        """What the last input led to."""
        return self._effects

    def __rshift__(self, happened: Happened) -> Playbook:
        assert not self._over, "the hold is over"
        now = ACCEPTED_AT + happened.dt
        before = self.held
        self.held, self._effects = step(before, happened.input, now, self._policy)
        assert (self.held, self._effects) == step(before, happened.input, now, self._policy)
        self._over = bool(ends(self._effects))
        return self

    def __lshift__(self, expected: list[HoldEffect]) -> Playbook:
        assert expected == list(self._effects)
        return self
