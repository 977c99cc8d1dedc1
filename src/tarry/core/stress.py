"""stress - what changes while too many clients are in: shorter holds and less patience for those who come then.

What      `Load` says whether there is stress; `relieved` makes the policy for new clients then of the usual one.
Promises  Pure. Stress begins at a high water mark and ends at a lower one, so that a number of clients in between changes nothing.
          Nothing gets longer by it, and no check is left out: who speaks too early is refused as ever. Clients that are in keep
          what they began with.
Source    postscreen's stress-adaptive behaviour: 0.9 and 0.7 of its queue, 2 s and 10 s; spamd(8) stops to stutter when it has
          too many clients.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import ceil, floor, inf

import msgspec

from tarry.core.policy import Policy, Span


class Relief(msgspec.Struct, frozen=True):
    """When stress begins (``high``) and ends (``low``), as shares of all places, and what new clients get: at most this ``wait``,
    and ``command`` seconds for a command. ``high`` 1 is never."""

    high: float = 0.9
    low: float = 0.7
    wait: Span = Span(2.0, 2.0)
    command: float = 10.0


class Load:
    """Whether too many clients are in. *on_turn* is told when stress begins and ends, and the numbers.

    ``policy`` is for those who come in now: the operator's, or the relieved one. Each is made once, since rooms know policies by
    identity.
    """

    def __init__(self, policy: Policy, relief: Relief, places: int, on_turn: Callable[[bool, str], None]) -> None:
        self.is_high = False
        self.policy: Policy
        self._on_turn = on_turn
        self._places: int
        self._enters_at: float
        self._leaves_at: float
        self._take(policy, relief, places)

    def change(self, policy: Policy, relief: Relief, places: int, inside: int) -> None:
        """Take another policy and other marks, with so many clients inside."""
        self._take(policy, relief, places)
        self.weigh(inside)

    def weigh(self, inside: int) -> None:
        """Take note of how many are in."""
        if inside > self._leaves_at if self.is_high else inside < self._enters_at:
            return
        self.is_high = not self.is_high
        self.policy = self._policies[self.is_high]
        self._on_turn(self.is_high, f"{inside} of {self._places} clients are in")

    def _take(self, policy: Policy, relief: Relief, places: int) -> None:
        self._policies = (policy, relieved(policy, relief))
        self.policy = self._policies[self.is_high]
        self._places = places
        # Rounded, since 0.7 * 90 is 62.99999999999999.
        self._leaves_at = floor(round(relief.low * places, 6)) if relief.high < 1 else inf
        self._enters_at = max(ceil(round(relief.high * places, 6)), self._leaves_at + 1) if relief.high < 1 else inf


def relieved(policy: Policy, relief: Relief) -> Policy:
    """Return the policy for clients that come under stress."""
    return replace(
        policy,
        wait=_at_most(policy.wait, relief.wait),
        classes=tuple(msgspec.structs.replace(one, wait=_at_most(one.wait, relief.wait)) for one in policy.classes),
        limits=msgspec.structs.replace(policy.limits, command=min(policy.limits.command, relief.command)),
        delay=msgspec.structs.replace(policy.delay, reply_pace=0.0),
    )


def _at_most(span: Span, most: Span) -> Span:
    return Span(min(span.low, most.low), min(span.high, most.high))
