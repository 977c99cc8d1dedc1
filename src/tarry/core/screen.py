"""screen - the running account of one greeted client: its reasons, and what they call for now.

What      Asks the checks at each moment of the conversation, keeps the reasons, and tells the verdict that is due at a phase.
Promises  A check that failed is not asked again. Exempt and authenticated clients are skipped here, in one place.
          Every reason and every verdict that changes is recorded; an observed one is recorded and not carried out.
"""

from __future__ import annotations

from tarry.core.border import Emit, Moment, Outbox
from tarry.core.check import Seen
from tarry.core.client import Phase
from tarry.core.finding import ask, verdict_event
from tarry.core.judge import judge
from tarry.core.policy import Policy
from tarry.core.result import CLEAR, Reason, Verdict
from tarry.record import schema


class Screen:
    """The account of one client. ``reasons`` may begin with those that the hold before the greeting found."""

    __slots__ = ("_accepted_at", "_client", "_failed", "_id", "_outbox", "_policy", "_told", "reasons", "skip")

    def __init__(
        self, policy: Policy, outbox: Outbox, *, client: str, id: str, accepted_at: float, reasons: tuple[Reason, ...], skip: bool
    ) -> None:
        self._policy = policy
        self._outbox = outbox
        self._client = client
        self._id = id
        self._accepted_at = accepted_at
        self._failed = {reason.check for reason in reasons}
        self._told = CLEAR
        self.reasons = list(reasons)
        self.skip = skip

    @property
    def standing(self) -> tuple[Reason, ...]:
        """The reasons that count: none for a client that is skipped, or while tarry only observes."""
        return () if self.skip or self._policy.observe else tuple(self.reasons)

    def look(self, moment: Moment, phase: Phase, now: float) -> None:
        """Ask the checks that this moment concerns."""
        if self.skip:
            return
        for armed in self._policy.triggers.get(type(moment), ()):
            if armed.name in self._failed:
                continue
            reason, event = ask(armed, Seen(moment, phase, now - self._accepted_at))
            if reason is not None:
                self._failed.add(armed.name)
                self.reasons.append(reason)
            elif isinstance(event, schema.Outcome) and event.result == "passed":
                continue  # passing at every command is no news; the hold's passes are recorded there
            self._outbox.put(Emit(event))

    def verdict(self, phase: Phase) -> Verdict:
        """Return what is to be done now; CLEAR for nothing, also when tarry only observes."""
        if not self.reasons or self.skip:
            return CLEAR
        found = judge(self.reasons, self._policy, phase, client=self._client, id=self._id)
        if found is not CLEAR and (found.action, found.reasons) != (self._told.action, self._told.reasons):
            self._told = found
            self._outbox.put(Emit(verdict_event(found, phase.word, observed=self._policy.observe)))
        return CLEAR if self._policy.observe else found
