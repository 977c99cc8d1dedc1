"""One session as an account."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.cli.recording import DENIED, EARLY, GOOD, LISTED, session

from tarry.cli.session_account import Account, account_of
from tarry.config.load import Loaded, load
from tarry.record import schema

LISTS = """
[hold]
wait = "4s..5s"
[[hold.class]]
name = "dubious"
who = ["listed"]
wait = "30s"
[delay]
target = "100s..200s"
[[checks.dnslists.zones]]
zone = "bl.example"
weight = 3
"""


def loaded(text: str = "") -> Loaded:
    return load(Path("tarry.toml") if text else None, text=text or None)


def account(happened: object, text: str = "", **how: bool) -> Account:
    return account_of(session(happened, **how), loaded(text), None)  # type: ignore[arg-type]


def test_an_early_talker() -> None:
    """What it did, what that means, what it led to and by which key, and the karma that it brought."""
    found = account(EARLY)
    (reason,) = found.reasons
    assert ("pregreet.spoke", "EHLO x\\r\\n", "hold", 0.3) == (reason.name, reason.detail, reason.phase, reason.after)
    assert ("bytes came before the greeting", "reject", "reject") == (reason.meaning, reason.action, reason.now)
    assert ('checks.pregreet.action = "reject" (default)', "refused at connect") == (reason.key, reason.effect)
    assert reason.advice.startswith("TLS-on-connect clients on port 25")
    assert [("pregreet", -3.0)] == [(rule.on, rule.points) for rule in reason.karma]
    assert (-3.0, "default", True, "") == (found.points, found.karma_place, found.is_over, found.turned_away)
    assert ["spoke after 0.30 s:"] == [said.before for _, said in found.story if said.quote]
    assert [
        'to be held 4.2 s before the greeting: hold.wait = "3s..6s" (default)',
        "not greeted: it was refused after 0.3 s, sooner than that since it was decided: hold.end_early = true (default)",
    ] == list(found.waits)


def test_a_good_sender() -> None:
    """No reason; its message is good karma."""
    found = account(GOOD)
    assert ((), 1.0, ["delivered"]) == (found.reasons, found.points, [rule.on for rule in found.karma])
    assert ['to be held 4.2 s before the greeting: hold.wait = "3s..6s" (default)', "greeted after 4.2 s"] == list(found.waits)


def test_a_listed_client() -> None:
    """How its class changed, how long it was delayed at RCPT and for what, and who lists it."""
    found = account(LISTED, LISTS)
    assert [
        'to be held 4.2 s before the greeting: hold.wait = "4s..5s" (tarry.toml:3)',
        "after 1.0 s it turned out to be one of dubious, to be held 30.0 s in all: "
        'hold.class "dubious" wait = "30s" (tarry.toml:4)',
        "greeted after 30.0 s",
        'delayed 150.0 s at RCPT for dnslists.listed: delay.target = "100s..200s" (tarry.toml:9)',
    ] == list(found.waits)
    (reason,) = found.reasons
    assert ("bl.example", 3.0, "delay") == (reason.subject, reason.weight, reason.action)
    assert "bl.example takes it off when its operator is asked to; here that counts within dns.max_ttl" == reason.way_out
    assert reason.advice.startswith("Who shares an address with a spammer: ")


def test_a_client_that_was_turned_away() -> None:
    """For what the operator said of it, and not for what it did."""
    found = account(DENIED)
    assert "554 5.7.1 Not accepted from this address [6B01B58C-0001]" == found.turned_away
    assert ("not held: it was turned away as it came",) == found.waits
    assert () == found.reasons


def test_an_exempt_client() -> None:
    """Is not held, and why."""
    connect = schema.Connect("192.0.2.9", 1, "", exempt="exempt")
    assert ("not held: it is exempt",) == account([(0.0, connect), (0.0, schema.Greet(0.0))]).waits


def test_a_client_that_hung_up() -> None:
    """Before the greeting, or while it was delayed."""
    hung_up = account([EARLY[0], (2.0, schema.Hangup("hold", "fin"))])
    assert "it hung up after 2.0 s, before the greeting" == hung_up.waits[-1]
    left = [*LISTED[:-2], (60.0, schema.Hold("residual", 150.0, 30.0, "left", "rcpt", ("dnslists.listed",)))]
    assert (
        account(left, LISTS)
        .waits[-1]
        .startswith("delayed 30.0 s at RCPT for dnslists.listed, and it hung up before that was over: delay.target")
    )


def test_holds_for_many_replies_are_one_line() -> None:
    """With their sum, and the table that asks for them."""
    tarpits = [(5.0 + n, schema.Hold("tarpit.rcpt", 2.0, 2.0, "due", "rcpt")) for n in range(3)]
    others = [(9.0, schema.Hold("answers", 3.0, 0.5, "answered", "rcpt")), (9.0, schema.Hold("data_wait", 2.0, 2.0, "due", "data"))]
    assert [
        "held 6.0 s at RCPT in 3 replies: [tarpit.rcpt]",
        'waited for DNS 0.5 s at RCPT, and went on when the answers were there: dns.timeout = "3s" (default)',
        'held before the 354 2.0 s at DATA: hold.data_wait = "0s" (default)',
    ] == list(account([*GOOD[:3], *tarpits, *others]).waits[2:])


def test_a_slow_mta_is_named() -> None:
    """Where it took a second or more."""
    slow = [*GOOD[:6], (9.0, schema.Handoff("proxy", "127.0.0.1:10025", True, 4000.0))]
    assert "waited 4.0 s for the MTA to take the connection" == account(slow).waits[-1]


def test_who_is_greeted_sooner() -> None:
    """For what speaks for it, which needs no advice."""
    events = [
        EARLY[0],
        (0.1, schema.Reason("karma", "good", "hold", "karma 9.0 of 5 sessions", -1.0, "delay")),
        (0.1, schema.Greet(0.1)),
    ]
    found = account(events)
    assert "greeted after 0.1 s, sooner than that for karma.good" == found.waits[-1]
    assert ("", -1.0) == (found.reasons[0].advice, found.reasons[0].weight)
    assert "greeted after 0.1 s, sooner than that" == account([EARLY[0], (0.1, schema.Greet(0.1))]).waits[-1]


def test_who_passed_before() -> None:
    """Is greeted sooner, as long as passes are remembered."""
    events = [EARLY[0], *((0.1, schema.Outcome(check, "skipped", "passed before")) for check in ("pregreet", "gone"))]
    told = account([*events, (0.1, schema.Greet(0.1))], '[checks.pregreet]\nremember = "1d"\n').waits[-1]
    expected = 'sooner than that since it passed pregreet, gone before: checks.pregreet.remember = "1d" (tarry.toml:2)'
    assert f"greeted after 0.1 s, {expected}" == told


@pytest.mark.parametrize(
    ("is_lost", "told"),
    [
        (False, "It has no closing line: it is under way, or its process was killed."),
        (True, "It has no closing line, and tarry was started anew since"),
    ],
)
def test_a_session_under_way(is_lost: bool, told: str) -> None:
    """Is told as far as it has come: its sum so far, and its waits."""
    found = account(GOOD[:3], ends=False, is_lost=is_lost)
    assert (False, True) == (found.is_over, found.close.greeted)
    assert found.notes[-1].startswith(told)
    assert "not greeted yet" == account(GOOD[:1], ends=False).waits[-1]


def test_only_a_closing_line() -> None:
    """What it sums up is told, and that there is no more."""
    found = account(EARLY, all_records=False)
    assert [("pregreet.spoke", None, "reject")] == [(one.name, one.after, one.now) for one in found.reasons]
    assert ("held 0.3 s before it was over",) == found.waits
    assert ('Only its closing line is recorded (record.detail = "close"): what happened when is not known.',) == found.notes


def test_another_configuration() -> None:
    """That of the session, where it was another one, is told; and what the same would lead to now."""
    found = account(EARLY, '[checks.pregreet]\naction = "tag"\n')
    assert found.notes[0].startswith("It ran under the configuration d95b64febe, and this one is ")
    assert ("reject", "tag", 'checks.pregreet.action = "tag" (tarry.toml:2)') == (
        found.reasons[0].action, found.reasons[0].now, found.reasons[0].key
    )  # fmt: skip
    gone = account(
        [*GOOD[:3], (5.0, schema.Reason("own", "x", "helo", "", 1.0, "tag")), (5.0, schema.Reason("pregreet", "old", "hold"))]
    )
    assert ["this configuration has no such check", ""] == [one.meaning for one in gone.reasons]


def test_what_was_only_observed() -> None:
    """Is said."""
    observed = [*EARLY[:3], (0.3, schema.Verdict("hold", "reject", ("pregreet.spoke",), True)), (4.2, schema.Greet(4.2))]
    assert "tarry only observed: what was decided was not carried out." == account(observed).notes[-1]


def test_a_reason_is_told_once() -> None:
    """However often it was found; another list's is another one."""
    twice = schema.Reason("dnslists", "listed", "hold", "", 1.0, "delay", "a.example")
    other = schema.Reason("dnslists", "listed", "hold", "", 1.0, "delay", "b.example")
    found = account([EARLY[0], (1.0, twice), (1.0, twice), (1.0, other)])
    assert ["a.example", "b.example"] == [one.subject for one in found.reasons]
