"""screen - the running account of one greeted client: what is known of it, its reasons, and what they call for now.

What      Asks the checks at each moment of the conversation, keeps the reasons and the answers, and tells the verdict that is due
          at a phase.
Promises  What was found once is not found again. Exempt and authenticated clients are skipped here, in one place.
          Every reason and every verdict that changes is recorded; an observed one is recorded and not carried out.
          Nothing is asked twice; what has no answer in time is Unknown, and waited for no longer.
"""

from __future__ import annotations

from collections.abc import Iterable

from tarry.core.border import Answered, Arrived, Ask, Emit, Moment, Outbox
from tarry.core.check import About, Seen, run
from tarry.core.client import Phase
from tarry.core.facts import Answer, Question
from tarry.core.finding import answer_event, asked_by, first_questions, told, verdict_event
from tarry.core.judge import judge
from tarry.core.policy import Policy, looking_at
from tarry.core.result import CLEAR, Passed, Reason, Verdict
from tarry.record import schema

MOST_FACTS = 256
"""Answers beyond which those about earlier names and senders are forgotten, so that a client cannot make tarry keep any number."""


class Screen:
    """The account of one client. ``reasons`` and ``about.facts`` may begin with those of the hold before the greeting.

    ``resolves``: the shell looks things up.
    """

    __slots__ = (
        "_accepted_at",
        "_answer_by",
        "_id",
        "_is_owed",
        "_outbox",
        "_pending",
        "_policy",
        "_resolves",
        "_told",
        "about",
        "reasons",
        "skip",
    )

    def __init__(
        self,
        policy: Policy,
        outbox: Outbox,
        *,
        about: About,
        id: str,
        accepted_at: float,
        reasons: tuple[Reason, ...],
        skip: bool,
        resolves: bool = False,
    ) -> None:
        self._policy = policy
        self._outbox = outbox
        self._id = id
        self._accepted_at = accepted_at
        self._told = CLEAR
        self._is_owed = False
        self._resolves = resolves
        self._pending: dict[Question, str] = {}  # each with the name of the check that asks
        self._answer_by = 0.0
        self.about = about
        self.reasons = list(reasons)
        self.skip = skip

    @property
    def is_spared(self) -> bool:
        """True where nothing is done to the client, whatever it does: it is skipped, or tarry only observes."""
        return self.skip or self._policy.observe

    @property
    def standing(self) -> tuple[Reason, ...]:
        """The reasons that count: none for a client that is spared."""
        return () if self.is_spared else tuple(self.reasons)

    def look(self, moment: Moment, phase: Phase, now: float) -> None:
        """Ask the checks that this moment concerns."""
        checks = looking_at(moment, self._policy)
        if self.skip or not checks:
            return
        seen = Seen(moment, phase, now - self._accepted_at, self.about)
        for armed in checks:
            for outcome in run(armed, seen):
                if isinstance(outcome, Passed):
                    continue  # passing at every command is no news; the hold's passes are recorded there
                news = told(armed, seen, outcome, self.reasons)
                if news is None:
                    continue
                reason, event = news
                if reason is not None:
                    self.reasons.append(reason)
                self._outbox.put(Emit(event))

    def begin_message(self) -> None:
        """A transaction is over, or one begins: what was found about its sender and recipients counts no more."""
        if self.reasons:
            armed = self._policy.armed
            self.reasons = [
                one for one in self.reasons if one.check not in armed or not armed[one.check].is_about_message(one.code)
            ]

    def ask(self, moment: Moment, phase: Phase, now: float) -> None:
        """Order the look-up of what the checks want to know at this moment and is not known or asked yet."""
        asking = self._policy.asking
        if not asking or self.skip:
            return
        wanted = asked_by(asking, Seen(moment, phase, now - self._accepted_at, self.about))
        new = {question: check for question, check in wanted.items() if question not in self.about.facts}
        if not self._resolves:
            self._tell_unknown(new.items(), "there is nobody to ask")
            return
        new = {question: check for question, check in new.items() if question not in self._pending}
        if new:
            if len(self.about.facts) > MOST_FACTS:
                about_client = first_questions(asking, self.about)
                self.about.facts = {one: answer for one, answer in self.about.facts.items() if one in about_client}
            self._pending |= new
            self._answer_by = now + self._policy.dns_timeout
            self._outbox.put(Ask(tuple(new)))

    def arrive(self, now: float) -> None:
        """Ask again what the hold has brought no answer to. Whoever looks it up joins what is under way."""
        self.ask(Arrived(), Phase.GREETED, now)

    def answered(self, answer: Answer, phase: Phase, now: float) -> None:
        """Something that was asked came back."""
        self._pending.pop(answer.question, None)
        self.about.facts[answer.question] = answer
        if not self.skip:
            self._outbox.put(Emit(answer_event(answer)))
            self.look(Answered(answer), phase, now)

    def seconds_to_wait(self, phase: Phase, now: float) -> float:
        """Return for how long a command of *phase* is to wait for answers: 0 where none is awaited that could matter here."""
        if not self._pending or self.skip:
            return 0.0
        armed = self._policy.armed
        awaited = [armed[check].settings.at for check in self._pending.values() if armed[check].is_awaited]
        if not awaited:
            return 0.0
        left = self._answer_by - now
        if left <= 0:
            self.give_up_waiting()
            return 0.0
        return left if phase >= Phase.RCPT or any(at is not None and at <= phase for at in awaited) else 0.0

    def give_up_waiting(self) -> None:
        """The time for answers is over: what is still missing is Unknown."""
        self._tell_unknown(self._pending.items(), "no answer in time")
        self._pending = {}

    def verdict(self, phase: Phase, *, is_last: bool = False) -> Verdict:
        """Return what is to be done now; CLEAR for nothing, also when tarry only observes.

        *is_last*: it is the one that decides about a message, and is told where nothing was told since the one before.
        """
        if not self.reasons or self.skip:
            return CLEAR
        found = judge(self.reasons, self._policy, phase, client=self.about.client, id=self._id)
        is_new = (found.action, found.reasons) != (self._told.action, self._told.reasons)
        if found is not CLEAR and (is_new or (is_last and self._is_owed)):
            self._told, self._is_owed = found, False
            self._outbox.put(Emit(verdict_event(found, phase.word, observed=self._policy.observe)))
        return CLEAR if self._policy.observe else found

    def tell_again(self) -> None:
        """A message was decided about: of the next one it is told anew, also where the verdict is the same."""
        self._is_owed = True

    def _tell_unknown(self, missing: Iterable[tuple[Question, str]], why: str) -> None:
        for question, check in missing:
            self._outbox.put(Emit(schema.Outcome(check, "unknown", f"{question.source}: {why}")))
