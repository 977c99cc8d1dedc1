"""postscreen's usual set-up: a dialogue refused at RCPT, and a threshold on DNS lists."""

from __future__ import annotations

import re

import pytest

from tarry.config.load import load
from tarry.core.border import Answered
from tarry.core.facts import Answer, State, listing
from tarry.core.judge import is_allowed
from tarry.core.policy import Policy
from tarry.record import schema
from tests.preset_pages import FOLDER
from tests.presets import hold, policy_of, talks_at
from tests.talk import HELLO, MAIL, RCPT, Talk

PAGE = (FOLDER / "postscreen.md").read_text(encoding="utf-8")
ZONES = """
[[checks.dnslists.zones]]
zone = "a.example"
weight = 2
[[checks.dnslists.zones]]
zone = "b.example"
[[checks.dnslists.zones]]
zone = "allow.example"
weight = -2
"""


def lists(*zones: str) -> list[tuple[float, Answered]]:
    """Return what lists say of the client within the hold: those named list it."""
    said = []
    for zone in ("a.example", "b.example", "allow.example"):
        listed = zone in zones
        answer = Answer(listing("192.0.2.7", zone), State.FOUND if listed else State.NOTHING, ("127.0.0.2",) if listed else ())
        said.append((0.1, Answered(answer)))
    return said


def with_lists(threshold: int) -> Policy:
    return policy_of("postscreen", f"score.reject = {threshold}\n{ZONES}")


def test_an_early_talker_is_refused_at_rcpt() -> None:
    """With the envelope in the log, and without a connection to the MTA."""
    policy = policy_of("postscreen")
    outcome = hold(policy, talks_at(0.3))
    assert (0.3, "", ["pregreet.spoke"]) == (outcome.at, outcome.reply, [one.name for one in outcome.reasons])
    talk = Talk(policy, reasons=outcome.reasons).plays(HELLO)
    talk.plays("C: MAIL FROM:<a@b.example>\nS: 250 2.1.0 Ok")
    talk.plays("C: RCPT TO:<c@d.example>\nS: 550 5.5.1 Protocol error [K3X9-0001]")
    assert [("EHLO", "client.example"), ("MAIL", "a@b.example"), ("RCPT", "c@d.example")] == [
        (one.verb, one.arg) for one in talk.of(schema.Command)
    ]


def test_the_others_are_greeted_after_six_seconds() -> None:
    """And need not come back: the tests behind the greeting are passed on the way."""
    assert (6.0, "") == hold(policy_of("postscreen"))[:2]
    Talk(policy_of("postscreen")).plays(HELLO + MAIL + RCPT)


@pytest.mark.parametrize(
    ("threshold", "zones", "is_refused"),
    [
        (1, (), False),
        (1, ("b.example",), True),
        (2, ("b.example",), False),
        (2, ("a.example",), True),
        (3, ("a.example", "b.example"), True),
        (2, ("a.example", "allow.example"), False),
        (1, ("a.example", "b.example", "allow.example"), True),
    ],
)
def test_the_sum_of_lists_decides(threshold: int, zones: tuple[str, ...], is_refused: bool) -> None:
    """postscreen_dnsbl_threshold and weights; the refusal names a list, and nobody is refused before RCPT."""
    policy = with_lists(threshold)
    outcome = hold(policy, *lists(*zones))
    assert (6.0, "") == outcome[:2]
    talk = Talk(policy, reasons=outcome.reasons).plays(HELLO)
    if is_refused:
        talk.plays("C: MAIL FROM:<a@b.example>\nS: 250 2.1.0 Ok")
        name = zones[0]
        talk.plays(f"C: RCPT TO:<c@d.example>\nS: 550 5.7.1 Your address is on a DNS list ({name}) [K3X9-0001]")
    else:
        talk.plays(MAIL + RCPT)


def test_without_lists_nobody_is_asked() -> None:
    """The preset names none."""
    assert () == policy_of("postscreen").asking


def test_an_allow_list_shortens_nothing_unless_asked() -> None:
    """postscreen_dnsbl_allowlist_threshold is 0 by default, which is off."""
    reasons = hold(with_lists(1), *lists("allow.example")).reasons
    assert not is_allowed(reasons, with_lists(1))
    assert is_allowed(reasons, policy_of("postscreen", f"score.allow = -2\n{ZONES}"))


@pytest.mark.parametrize("test", ["pipelining", "non_smtp", "bare_newline"])
def test_deep_tests_only_tag(test: str) -> None:
    """postscreen has them off."""
    assert "tag" == policy_of("postscreen").armed[test].settings.action.word


def test_before_pass_it_needs_two_lines() -> None:
    """The client is given away at the greeting, so that nothing can be refused at RCPT; the file says what to write."""
    away = 'preset = "postscreen"\nhandoff.mode = "pass"\n'
    assert ["checks.pregreet.at"] == [problem.where for problem in load(None, text=away).errors]
    assert () == load(None, text=f'{away}checks.pregreet.at = "connect"\nscore.at = "connect"').problems


def test_the_settings_of_main_cf_are_translated() -> None:
    """Every row of the page names keys that can be written as they stand there, in one file."""
    rows = re.findall(r"^\| `postscreen_.+? \| (.+) \|$", PAGE, re.MULTILINE)
    written = [re.findall(r"`([a-z_.]+ = [^`]+)`", row) for row in rows]
    assert 10 < sum(map(len, written))
    for keys in written:
        assert () == load(None, text="\n".join(['preset = "postscreen"', *keys])).problems
