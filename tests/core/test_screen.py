"""The running account of one client."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from tarry.checks.many_errors import ManyErrors, Options
from tarry.checks.non_smtp import NonSmtp
from tarry.checks.pregreet import Pregreet
from tarry.core.border import Emit, Erred, Outbox, PreData, Unrecognised
from tarry.core.check import About, NoOptions, Seen, Settings
from tarry.core.client import Phase
from tarry.core.policy import Policy
from tarry.core.result import CLEAR, Action, Failed, Outcome, Reason, Skipped, Unknown
from tarry.core.screen import Screen
from tarry.record import schema
from tarry.smtp.grammar import parse_command
from tests.playbook import armed, policy
from tests.talk import found

HTTP = Unrecognised(parse_command(b"GET /"))
WORD = Unrecognised(parse_command(b"FOO"))


class Says:
    """A check that gives one outcome, or raises."""

    complaint = "No"
    codes: ClassVar[Mapping[str, str]] = {"code": "a reason"}
    settings = Settings(action=Action.REJECT)
    options = NoOptions
    triggers = (PreData,)

    def __init__(self, outcome: Outcome | None, name: str = "says") -> None:
        self.name = name
        self._outcome = outcome
        self.asked: list[Seen] = []

    def look(self, seen: Seen, options: Any) -> Outcome:
        self.asked.append(seen)
        if self._outcome is None:
            raise RuntimeError("a bug")
        return self._outcome


def screen(rules: Policy, *reasons: Reason, skip: bool = False) -> tuple[Screen, Outbox]:
    outbox = Outbox()
    return Screen(rules, outbox, about=About("192.0.2.7"), id="K3X9", accepted_at=100.0, reasons=reasons, skip=skip), outbox


def events(outbox: Outbox) -> list[schema.SessionEvent]:
    return [effect.event for effect in outbox.take() if isinstance(effect, Emit)]


def test_a_reason_is_found_once() -> None:
    """It is kept and recorded with phase, time, weight and action; the check is not asked again."""
    account, outbox = screen(policy(NonSmtp(), weight=2.5))
    account.look(WORD, Phase.HELO, 101.0)
    account.look(HTTP, Phase.HELO, 101.5)
    account.look(HTTP, Phase.MAIL, 102.0)
    assert [Reason("non_smtp", "http", "GET /", 2.5, Phase.HELO, 1.5)] == account.reasons
    assert [schema.Reason("non_smtp", "http", "helo", "GET /", 2.5, "drop")] == events(outbox)


def test_a_check_that_failed_in_the_hold_is_not_asked_again() -> None:
    """The reasons of the hold count on."""
    account, outbox = screen(policy(NonSmtp()), found("non_smtp", "http"))
    account.look(HTTP, Phase.HELO, 101.0)
    assert ([found("non_smtp", "http")], []) == (account.reasons, events(outbox))


def test_only_the_checks_concerned_are_asked() -> None:
    """Each with the moment, the phase and the time since accept."""
    check = Says(Failed("code"))
    account, _ = screen(policy(check))
    account.look(Erred(1), Phase.HELO, 101.0)
    account.look(PreData(b"x"), Phase.DATA, 103.0)
    assert [Seen(PreData(b"x"), Phase.DATA, 3.0, About("192.0.2.7"))] == check.asked


def test_what_was_not_found_out_is_recorded() -> None:
    """Skipped and Unknown, also of a check that raises; passes at every command are no news."""
    rules = policy(Says(Skipped("later"), "a"), Says(Unknown("no answer"), "b"), Says(None, "c"))
    account, outbox = screen(rules)
    account.look(PreData(b"x"), Phase.DATA, 103.0)
    assert [
        schema.Outcome("a", "skipped", "later"),
        schema.Outcome("b", "unknown", "no answer"),
        schema.Outcome("c", "unknown", "the check raised RuntimeError: a bug"),
    ] == events(outbox)
    assert CLEAR == account.verdict(Phase.MESSAGE)


def test_a_pass_is_no_news() -> None:
    """It leaves no record."""
    account, outbox = screen(Policy(checks=(armed(ManyErrors(), options=Options(limit=9)),)))
    account.look(Erred(1), Phase.HELO, 101.0)
    assert [] == events(outbox)


def test_a_verdict_is_recorded_when_it_changes() -> None:
    """Not at each command."""
    rules = policy(Pregreet(), NonSmtp(), action=Action.REJECT, at=Phase.MAIL)
    account, outbox = screen(rules, found("pregreet"))
    assert CLEAR == account.verdict(Phase.HELO)
    refused = account.verdict(Phase.MAIL)
    assert refused == account.verdict(Phase.MAIL)
    assert (Action.REJECT, 550) == (refused.action, refused.reply.code if refused.reply else 0)
    account.look(HTTP, Phase.MAIL, 101.0)
    account.verdict(Phase.MAIL)
    assert [("mail", ("pregreet.spoke",)), ("mail", ("pregreet.spoke", "non_smtp.http"))] == [
        (event.phase, event.reasons) for event in events(outbox) if isinstance(event, schema.Verdict)
    ]


def test_observing_records_and_does_nothing() -> None:
    """The verdict stands in the record, and is not carried out; no reason stands."""
    rules = policy(Pregreet(), action=Action.DROP, at=Phase.MAIL, changes={"observe": True})
    account, outbox = screen(rules, found("pregreet"))
    assert (CLEAR, ()) == (account.verdict(Phase.MAIL), account.standing)
    assert [schema.Verdict("mail", "drop", ("pregreet.spoke",), True)] == events(outbox)


def test_who_is_skipped_is_not_looked_at() -> None:
    """Nothing is found, nothing stands, nothing is recorded: also for a client that has logged in meanwhile."""
    rules = policy(NonSmtp(), Pregreet(), action=Action.DROP)
    account, outbox = screen(rules, found("pregreet"), skip=True)
    account.look(HTTP, Phase.HELO, 101.0)
    assert (CLEAR, (), [], [found("pregreet")]) == (account.verdict(Phase.MAIL), account.standing, events(outbox), account.reasons)
    account, outbox = screen(rules, found("pregreet"))
    assert (found("pregreet"),) == account.standing
    account.skip = True
    assert CLEAR == account.verdict(Phase.MAIL)
    assert [] == list(account.standing)
