"""residual - the residual delays of one session: which reasons have been delayed for, and how much of it is left.

What      For what reasons a delay is due, and for how long. The target is drawn once a session; each reason beyond the first adds
          to it; all delays together come to no more than the session's cap.
Promises  A reason is delayed for once. One more reason delays once more, to the new target and for a second at least, and never
          shortens anything. Time since accept counts, whatever it was spent on.
Not here  The arithmetic (core/delay), at which command (core/pace), which reasons ask for it (core/judge).
Source    A. Flavell, exim-users, 2004-03-02: a list of reasons, one delay, compensated for the time that lookups took.
"""

from __future__ import annotations

from tarry.core.delay import residual
from tarry.core.policy import Delay, Random
from tarry.core.result import Reason, Verdict


class Residual:
    """What one session has been delayed for. ``reasons`` are those, in the order in which they came to count."""

    __slots__ = ("_accepted_at", "_delay", "_random", "_spent", "_target", "reasons")

    def __init__(self, delay: Delay, accepted_at: float, random: Random) -> None:
        self._delay = delay
        self._accepted_at = accepted_at
        self._random = random
        self._target: float | None = None
        self._spent = 0.0
        self.reasons: tuple[Reason, ...] = ()

    def is_due(self, verdict: Verdict) -> bool:
        """True when the verdict has a reason that was not delayed for, and something of the cap is left."""
        return self._spent < self._delay.session_cap and any(one not in self.reasons for one in verdict.delaying)

    def take(self, verdict: Verdict, now: float) -> float:
        """Return for how many seconds to delay for this verdict, 0 for not at all; its reasons are delayed for with that."""
        if not self.is_due(verdict):
            return 0.0
        self.reasons += tuple(one for one in verdict.delaying if one not in self.reasons)
        if self._target is None:
            self._target = self._delay.target.draw(self._random)
        target = self._target + self._delay.per_reason * (len(self.reasons) - 1)
        return residual(target, self._accepted_at, now, left=self._delay.session_cap - self._spent)

    def spend(self, seconds: float) -> None:
        """That much of the cap is used up."""
        self._spent += seconds
