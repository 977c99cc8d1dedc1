"""What a check found, as a reason and as a record."""

from __future__ import annotations

import pytest

from tarry.checks.pregreet import Pregreet
from tarry.core.border import Due, Readable
from tarry.core.check import NoOptions, Seen
from tarry.core.client import Phase
from tarry.core.finding import ask, verdict_event
from tarry.core.result import Action, Outcome, Reason, Skipped, Unknown, Verdict
from tarry.record import schema
from tests.playbook import armed


def test_a_failure_is_a_reason_and_its_record() -> None:
    """With the operator's weight and action, and the phase and time at which it was seen."""
    ((reason, event),) = ask(armed(Pregreet(), action=Action.DEFER, weight=2.5), Seen(Readable(b"x"), Phase.HOLD, 0.3), ())

    assert Reason("pregreet", "spoke", "x", 2.5, Phase.HOLD, 0.3) == reason
    assert schema.Reason("pregreet", "spoke", "hold", "x", 2.5, "defer") == event


@pytest.mark.parametrize(
    ("found", "event"),
    [
        (Skipped("no need"), schema.Outcome("pregreet", "skipped", "no need")),
        (Unknown("no facts"), schema.Outcome("pregreet", "unknown", "no facts")),
    ],
)
def test_what_is_no_failure_is_recorded_and_is_no_reason(found: Outcome, event: schema.Outcome) -> None:
    """Why it was skipped, or could not be told."""

    class Silent(Pregreet):
        def look(self, seen: Seen, options: NoOptions) -> Outcome:
            return found

    assert [(None, event)] == list(ask(armed(Silent()), Seen(Due(), Phase.HOLD, 1.0), ()))


def test_a_pass_is_recorded() -> None:
    """And is no reason."""
    assert [(None, schema.Outcome("pregreet", "passed"))] == list(ask(armed(Pregreet()), Seen(Due(), Phase.HOLD, 1.0), ()))


def test_a_verdict_names_its_reasons() -> None:
    """The deciding one first, and whether it was only observed."""
    verdict = Verdict(Action.REJECT, (Reason("pregreet", "tls"), Reason("predata", "spoke")))

    assert schema.Verdict("rcpt", "reject", ("pregreet.tls", "predata.spoke"), True) == verdict_event(
        verdict, "rcpt", observed=True
    )
