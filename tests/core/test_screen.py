"""The running account of one client."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

from hypothesis import given
from hypothesis import strategies as st

from tarry.checks.bare_newline import BareNewline
from tarry.checks.karma import Karma
from tarry.checks.many_errors import ManyErrors, Options
from tarry.checks.non_smtp import NonSmtp
from tarry.checks.pregreet import Pregreet
from tarry.core.border import Ask, Emit, Erred, Hello, Outbox, PreData, Stray, Unrecognised
from tarry.core.check import About, Armed, NoOptions, Seen, Settings
from tarry.core.client import Phase
from tarry.core.facts import Answer, Kind, Question, State, addresses_of, history_of, listing, names_of
from tarry.core.history import Known
from tarry.core.policy import Policy
from tarry.core.result import CLEAR, PASSED, Action, Failed, Outcome, Reason, Skipped, Unknown
from tarry.core.screen import Screen
from tarry.record import schema
from tarry.smtp.grammar import parse_command
from tests.asking import Listed
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


def screen(rules: Policy, *reasons: Reason, skip: bool = False, resolves: bool = False) -> tuple[Screen, Outbox]:
    outbox, about = Outbox(), About("192.0.2.7")
    return Screen(rules, outbox, about=about, id="K3X9", accepted_at=100.0, reasons=reasons, skip=skip, resolves=resolves), outbox


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


# Questions and answers.

LISTS, NAMES = listing("192.0.2.7", "bl.example"), names_of("192.0.2.7")


class NamesToo(Listed):
    """Asks for the names of the client as well, and for those of a name at EHLO."""

    name = "names"

    def asks(self, seen: Seen, options: NoOptions) -> tuple[Question, ...]:
        if isinstance(seen.moment, Hello):
            return (addresses_of(seen.moment.name),)
        return (NAMES, LISTS)

    def look(self, seen: Seen, options: NoOptions) -> Outcome:
        return PASSED


def asking(*, resolves: bool = True, skip: bool = False, **changed: Any) -> tuple[Screen, Outbox]:
    """Return the account of a client about which two checks have questions, one of them in common."""
    rules = Policy(checks=(armed(Listed(), **changed), armed(NamesToo())), dns_timeout=3.0)
    return screen(rules, resolves=resolves, skip=skip)


def asked(outbox: Outbox) -> list[Question]:
    return [question for effect in outbox.take() if isinstance(effect, Ask) for question in effect.questions]


def test_each_question_is_asked_once() -> None:
    """Not those that another check has, nor what is under way, nor what is known."""
    account, outbox = asking()
    account.arrive(100.0)
    assert [LISTS, NAMES] == asked(outbox)
    account.arrive(101.0)
    assert [] == asked(outbox)
    account.answered(Answer(NAMES, State.NOTHING), Phase.HELO, 101.0)
    account.answered(Answer(LISTS, State.UNKNOWN, why="SERVFAIL"), Phase.HELO, 101.0)
    outbox.take()
    account.arrive(102.0)
    assert [] == asked(outbox)
    account.ask(Hello("EHLO", "mail.example", 1), Phase.HELO, 102.0)
    assert [addresses_of("mail.example")] == [one for one in asked(outbox) if one.kind is Kind.ADDRESSES]


def test_what_comes_back_is_recorded_and_looked_at() -> None:
    """The answer, then what is found in it; both are kept."""
    account, outbox = asking(action=Action.REJECT)
    account.arrive(100.0)
    outbox.take()
    answer = Answer(LISTS, State.FOUND, ("127.0.0.2",), ttl=60.0, ms=12.0)
    account.answered(answer, Phase.HELO, 100.5)
    assert [
        schema.Answer("bl.example", ("127.0.0.2",), 60.0, 12.0, "found", "", LISTS.name),
        schema.Reason("listed", "yes", "helo", "127.0.0.2", 2.0, "reject", "bl.example"),
    ] == events(outbox)
    assert ({LISTS: answer}, [0.5]) == (account.about.facts, [reason.dt for reason in account.reasons])
    assert Action.REJECT is account.verdict(Phase.MAIL).action


def test_how_long_a_command_waits() -> None:
    """A RCPT until dns.timeout after the last question; an earlier one only where the check that asks acts by then."""
    for at, waits_at_mail in ((None, 0.0), (Phase.RCPT, 0.0), (Phase.MAIL, 2.0), (Phase.HELO, 2.0)):
        account, _ = asking(at=at)
        assert 0.0 == account.seconds_to_wait(Phase.RCPT, 100.0)
        account.arrive(100.0)
        assert [waits_at_mail, 2.0, 2.0] == [account.seconds_to_wait(one, 101.0) for one in (Phase.MAIL, Phase.RCPT, Phase.DATA)]


def test_nobody_waits_for_what_is_remembered() -> None:
    """A memory that is away delays no mail; what comes late is heeded all the same."""
    outbox = Outbox()
    checks = (Armed(Karma(), replace(Karma.settings, action=Action.DELAY), Karma.options()),)
    account = Screen(
        Policy(checks=checks), outbox, about=About("192.0.2.7"), id="x", accepted_at=100.0, reasons=(), skip=False, resolves=True
    )
    account.arrive(100.0)
    assert 0.0 == account.seconds_to_wait(Phase.RCPT, 100.0)
    account.answered(Answer(history_of("192.0.2.7"), State.FOUND, known=Known(-6.0)), Phase.RCPT, 101.0)
    assert Action.DELAY is account.verdict(Phase.RCPT).action


def test_a_later_question_has_its_own_time() -> None:
    """And with it those that are still waited for."""
    account, _ = asking()
    account.arrive(100.0)
    account.ask(Hello("EHLO", "mail.example", 1), Phase.HELO, 102.0)
    assert 2.5 == account.seconds_to_wait(Phase.RCPT, 102.5)


def test_nobody_waits_for_what_is_known() -> None:
    """With the last answer the wait is over."""
    account, _ = asking()
    account.arrive(100.0)
    account.answered(Answer(NAMES, State.NOTHING), Phase.HELO, 101.0)
    assert 2.0 == account.seconds_to_wait(Phase.RCPT, 101.0)
    account.answered(Answer(LISTS, State.NOTHING), Phase.HELO, 101.5)
    assert 0.0 == account.seconds_to_wait(Phase.RCPT, 101.5)


def test_what_does_not_come_in_time_is_unknown() -> None:
    """It is told once, with the check that asked first; a late answer is still an answer."""
    account, outbox = asking()
    account.arrive(100.0)
    outbox.take()
    assert 0.0 == account.seconds_to_wait(Phase.RCPT, 103.0)
    assert [
        schema.Outcome("listed", "unknown", "bl.example: no answer in time"),
        schema.Outcome("names", "unknown", "names: no answer in time"),
    ] == events(outbox)
    assert 0.0 == account.seconds_to_wait(Phase.RCPT, 103.5)
    account.give_up_waiting()
    assert [] == events(outbox)
    account.answered(Answer(LISTS, State.FOUND, ("127.0.0.2",)), Phase.RCPT, 104.0)
    assert ["listed.yes"] == [reason.name for reason in account.reasons]


def test_where_nobody_looks_things_up_all_is_unknown() -> None:
    """It is told, and nobody waits."""
    account, outbox = asking(resolves=False)
    account.arrive(100.0)
    assert [
        schema.Outcome("listed", "unknown", "bl.example: there is nobody to ask"),
        schema.Outcome("names", "unknown", "names: there is nobody to ask"),
    ] == events(outbox)
    assert 0.0 == account.seconds_to_wait(Phase.RCPT, 100.0)


def test_who_is_skipped_is_not_asked_about() -> None:
    """Nor waited for, also where it logs in meanwhile; an answer that comes then finds nothing, and is kept."""
    account, outbox = asking(skip=True)
    account.arrive(100.0)
    assert ([], 0.0) == (outbox.take(), account.seconds_to_wait(Phase.RCPT, 100.0))
    account, outbox = asking()
    account.arrive(100.0)
    outbox.take()
    account.skip = True
    assert 0.0 == account.seconds_to_wait(Phase.RCPT, 100.0)
    account.answered(Answer(LISTS, State.FOUND, ("127.0.0.2",)), Phase.RCPT, 101.0)
    assert ([], [], [LISTS]) == (events(outbox), account.reasons, list(account.about.facts))


@given(order=st.permutations([Answer(LISTS, State.FOUND, ("127.0.0.2",)), Answer(NAMES, State.FOUND, ("mail.example",), 1)]))
def test_the_order_of_answers_does_not_matter(order: list[Answer]) -> None:
    """The same reasons and the same verdict come of the same answers."""
    account, _ = asking(action=Action.DEFER)
    account.arrive(100.0)
    for answer in order:
        account.answered(answer, Phase.HELO, 101.0)
    assert (["listed.yes"], Action.DEFER) == ([reason.name for reason in account.reasons], account.verdict(Phase.RCPT).action)


def test_what_was_found_about_a_message_counts_for_that_message_only() -> None:
    """What was found about the client stays."""

    class OfAMessage(Says):
        per_message = True

    of_message, of_client = OfAMessage(Failed("code"), "of_message"), Says(Failed("code"), "of_client")
    account, _ = screen(policy(of_message, of_client, action=Action.REJECT))
    account.look(PreData(b"x"), Phase.DATA, 101.0)
    assert ["of_message", "of_client"] == [reason.check for reason in account.reasons]
    account.begin_message()
    assert ["of_client"] == [reason.check for reason in account.reasons]
    account.look(PreData(b"x"), Phase.DATA, 102.0)
    assert ["of_client", "of_message"] == [reason.check for reason in account.reasons]


def test_a_bare_newline_in_a_message_is_that_messages() -> None:
    """A forwarder's next message, which somebody else wrote, does not bear its mark; in a command it is the client's."""
    account, _ = screen(policy(BareNewline(), action=Action.TAG))
    account.look(Stray("message", "LF"), Phase.MESSAGE, 101.0)
    account.look(Stray("command", "LF", b"NOOP"), Phase.MESSAGE, 102.0)
    account.begin_message()
    assert ["bare_newline.command"] == [reason.name for reason in account.reasons]
