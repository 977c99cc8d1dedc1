"""karma - what did the client do in its earlier sessions?

What      Asks what is remembered of the client's address, and of the organisational domain that its name leads back to. Karma above
          karma.skip_above speaks for it: it is greeted as soon as that is known, unless something weighs against it. Karma below
          karma.bad_below, and karma.worst_below, speaks against it. What brings karma is told in [[karma.rules]].
Why       Most mail comes from hosts that have sent mail before, and need not wait; those who talked early last week will do it
          again. A sender with a thousand addresses is known as one, since its good karma counts for its domain. Good karma is
          cheap: six sessions whose message the MTA took are enough, for the whole domain and for as long as they go on. So it
          spares a client the hold before the greeting and speaks for it with a weight of 1, and no more. Names that look like those
          of a provider's lines and servers (the address in them, dsl, vps, static, client) do not count for the provider; where
          they are named otherwise, what one customer did counts for all, and karma.by_domain = false ends that.
Mistaken  An address that many share (a NAT, a proxy that does not announce its clients) has the karma of all of them, and one that
          was given to somebody else has that of the one before until it has faded (karma.half_life). `tarry clients forget` ends
          it at once. So bad karma only tags, until checks.karma.action says more. It counts for its address only: the customers of
          a provider do not answer for each other. An MTA that refuses what it should take for an hour makes its best senders bad:
          forget them, or leave message_refused out of the rules.
Source    qpsmtpd's earlytalker (more than 5 is not held) and karma plugins; Haraka's karma.
Since     0.1
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import msgspec

from tarry.core.border import Answered, Arrived
from tarry.core.check import NoOptions, Seen, Settings
from tarry.core.facts import Answer, Kind, Question, State, domain_history_of, history_of
from tarry.core.history import Known
from tarry.core.result import Action, Failed, Outcome, Unknown

NOBODY = Known()


class Thresholds(msgspec.Struct, frozen=True):
    """Keys of ``[karma]`` that this check goes by."""

    skip_above: float = 5.0
    bad_below: float = -5.0
    worst_below: float = -15.0
    by_domain: bool = True


class Karma:
    """Fails where the client's earlier sessions were bad; speaks for it where they, or those of its domain, were good."""

    name = "karma"
    complaint = "Earlier connections from your address misbehaved"
    codes: ClassVar[Mapping[str, str]] = {
        "good": "the earlier sessions of the client, or of its domain, were good: it has more karma than karma.skip_above",
        "bad": "the earlier sessions of the client were bad: it has less karma than karma.bad_below",
        "worst": "they were so bad that it has less karma than karma.worst_below",
    }
    allows = frozenset({"good"})
    settings = Settings(action=Action.TAG)
    options = NoOptions
    triggers = (Answered,)
    kinds = frozenset({Kind.HISTORY, Kind.DOMAIN_HISTORY})
    is_awaited = False

    def __init__(self, thresholds: Thresholds | None = None) -> None:
        self._thresholds = thresholds or Thresholds()

    @property
    def by_domain(self) -> bool:
        """True where names are looked up for it."""
        return self._thresholds.by_domain

    def asks(self, seen: Seen, options: NoOptions) -> tuple[Question, ...]:
        client = seen.about.client
        if not isinstance(seen.moment, Arrived) or not client:
            return ()
        return (history_of(client), domain_history_of(client)) if self._thresholds.by_domain else (history_of(client),)

    def look(self, seen: Seen, options: NoOptions) -> Outcome | tuple[Outcome, ...]:
        match seen.moment:
            case Answered(answer=answer):
                client = seen.about.client
                own, domain = history_of(client), domain_history_of(client)
                if answer.question not in (own, domain):
                    return ()
                return self._judged(seen.about.facts.get(own), seen.about.facts.get(domain))
            case _:
                return Unknown("not observed")

    def _judged(self, own: Answer | None, domain: Answer | None) -> Outcome | tuple[Outcome, ...]:
        """Nothing is said before the history of the address itself is known: a domain does not speak for a bad address."""
        if own is None or own.state is State.UNKNOWN:
            return ()
        limits, known = self._thresholds, own.known or NOBODY
        told = f"karma {known.karma:.1f} of {known.sessions} sessions"
        if known.karma < limits.bad_below:
            return Failed("worst" if known.karma < limits.worst_below else "bad", told)
        if known.karma > limits.skip_above:
            return Failed("good", told, weight=-1.0)
        if known.karma >= 0 and domain is not None and domain.known is not None and domain.known.karma > limits.skip_above:
            return Failed("good", f"karma {domain.known.karma:.1f} of {domain.domain}", domain.domain, -1.0)
        return ()
