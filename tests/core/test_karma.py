"""What a session counts."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from tarry.config.compile import karma_rules
from tarry.config.load import load
from tarry.config.schema import Config
from tarry.core.history import Change, Fading, Known, Pass, Visit, known, merged
from tarry.core.karma import EVENTS, Rule, changes, points
from tarry.record.schema import Close

AT = 1_790_000_000.0
HELD = Close("192.0.2.7", 40000, "198.51.100.1:25", "hold")
SENT = replace(HELD, phase="message", greeted=True, rcpts=1, rcpts_accepted=1, messages=1, ended="client")
EARLY = replace(HELD, early=0.2, action="reject", reasons=("pregreet.spoke",))
RULES = karma_rules(Config())


@pytest.mark.parametrize(
    ("event", "happened", "not_quite"),
    [
        ("delivered", SENT, replace(SENT, messages=0)),
        ("login", replace(SENT, login=True), SENT),
        ("message_refused", replace(SENT, messages=0, messages_refused=1), SENT),
        ("none_accepted", replace(SENT, rcpts=2, rcpts_accepted=0), replace(SENT, rcpts=0, rcpts_accepted=0)),
        ("left", replace(HELD, hangup=1.0), replace(SENT, hangup=1.0)),
        ("refused", EARLY, replace(EARLY, observed=True)),
    ],
)
def test_events(event: str, happened: Close, not_quite: Close) -> None:
    """Each is told from a session that is like it."""
    rule = Rule(event, 1.0)
    assert ((rule,), 1.0) == points(happened, [rule])
    assert ((), 0) == points(not_quite, [rule])


def test_the_table_of_events_is_tested() -> None:
    """All of them, above."""
    marks = test_events.pytestmark  # type: ignore[attr-defined]
    assert set(EVENTS) == {row[0] for row in marks[0].args[1]}


def test_checks_and_reasons() -> None:
    """A rule about a check meets each of its reasons, once; one about a reason only this one."""
    close = replace(SENT, reasons=("helo.spoofed", "helo.changed"))
    rules = [Rule("helo", -1.0), Rule("helo.spoofed", -3.0), Rule("helo.literal", -5.0), Rule("pregreet", -7.0)]
    assert (tuple(rules[:2]), -4.0) == points(close, rules)


def test_a_hang_up_is_not_punished() -> None:
    """By the usual rules: it is what an impatient, honest checker does."""
    assert ((), 0) == points(replace(HELD, hangup=1.0, ended="client"), RULES)


def test_what_is_to_be_remembered() -> None:
    """Of the address, and of the domain that answers for it: passes are the address's own."""
    close = replace(SENT, passed=("pregreet", "dnslists"), domain="example.org")
    own, domain = changes(close, "id", AT, RULES, {"pregreet": 60.0})
    visit = Visit(AT, "id", "ignore", 1.0)
    assert Change("192.0.2.7", AT, 1.0, 1, 0, "example.org", False, (Pass("pregreet", AT + 60),), (), visit) == own
    assert Change("example.org", AT, 1.0, 1, visit=visit) == domain


def test_a_session_with_a_reason_earns_no_pass() -> None:
    """And voids those that were earned."""
    close = replace(SENT, passed=("pregreet",), reasons=("pipelining.early", "karma.bad"), action="tag")
    (own,) = changes(close, "id", AT, (), {"pregreet": 60.0})
    assert (True, (), ("pipelining.early",)) == (own.voids, own.passes, own.reasons)


def test_a_reason_is_remembered_once() -> None:
    """However many senders of a session it was found of: what is kept of a client does not grow with what it says."""
    own, domain = changes(replace(SENT, reasons=("dnslists.listed", "ptr.none") * 500, domain="example.org"), "id", AT, (), {})
    assert ("dnslists.listed", "ptr.none") == own.reasons == domain.reasons


def test_what_is_only_recorded_or_speaks_for_a_client_does_no_harm() -> None:
    """Its passes count, and stay."""
    close = replace(SENT, passed=("pregreet",), reasons=("karma.good", "ptr.none"))
    (own,) = changes(close, "id", AT, (), {"pregreet": 60.0})
    assert (False, (Pass("pregreet", AT + 60),), ("ptr.none",)) == (own.voids, own.passes, own.reasons)


def test_a_silent_session_leaves_no_trace() -> None:
    """A scan of every address of the world would fill the memory."""
    assert () == changes(replace(HELD, hangup=1.0), "id", AT, RULES, {})


# The seed: a client whose karma is above 5 is not held, and early talk costs one.


def session(karma: Known | None, close: Close) -> Change:
    (change,) = changes(close, "id", AT, karma_rules(load(None, text='preset = "qpsmtpd-earlytalker"').config), {})
    return change


def after(*sessions: Close) -> float:
    entry = None
    for close in sessions:
        entry = merged(entry, session(None, close), Fading(366 * 86400.0, 1000.0))
    assert entry is not None
    return known(entry, AT, Fading(366 * 86400.0, 1000.0)).karma


def test_the_rules_of_the_seed() -> None:
    """Six good sessions are more than 5, five are not; one early talk takes one away again."""
    assert (5.0, 6.0) == (after(*[SENT] * 5), after(*[SENT] * 6))
    assert (-1.0, 5.0) == (after(EARLY), after(*[SENT] * 6, EARLY))
