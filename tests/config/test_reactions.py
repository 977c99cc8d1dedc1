"""Rules about holds, delays, tarpits, slow replies and actions."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from tests.config.breaches import PASS, PROXY, problems

CLASS = {"name": "x", "wait": "5s"}


def a_class(**changed: object) -> dict[str, object]:
    return {"hold.class": [{**CLASS, **changed}]}


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        (
            a_class(networks=["::/0"], wait="5m"),
            'error: hold.class: clients give up after 5 minutes (RFC 5321), and the class "x" waits',
        ),
        (
            a_class(wait="31s"),
            'warning: hold.class: the class "x" is everybody that no class before it is, and waits up to 31s; keep',
        ),
        (
            a_class(who=["no_pter"]),
            'error: hold.class: the class "x" is to hold "no_pter", which is no check and no reason; write "no_ptr"',
        ),
        (
            a_class(who=["pregreet.spok"]),
            'error: hold.class: the class "x" is to hold "pregreet.spok", which is no check and no reason;',
        ),
        (
            a_class(who=["quite else"]),
            'error: hold.class: the class "x" is to hold "quite else", which is no check and no reason; write',
        ),
        (
            a_class(who=["no_ptr"]),
            'warning: hold.class: the class "x" is for "no_ptr", and checks.ptr.action is ignore, so nothing is looked up and nobo',
        ),
        (a_class(who=["ptr"]), 'warning: hold.class: the class "x" is for "ptr", and checks.ptr.action is ignore, so nothing'),
        (
            {"checks.ptr.action": "tag", "checks.ptr.codes": {"none": "ignore"}, **a_class(who=["no_ptr"])},
            'warning: hold.class: the class "x" is for "no_ptr", and checks.ptr.codes is ignore, so nothing',
        ),
        (
            a_class(who=["listed"]),
            'warning: hold.class: the class "x" is for "listed", and there are no lists in checks.dnslists.zones',
        ),
        (
            {"dns.timeout": "4s", "hold.wait": "0s"},
            "warning: dns.timeout: the greeting waits for no answer, and who is held for 0s only is greeted before it comes; set",
        ),
        ({"dns.timeout": "4s"}, "warning: dns.timeout: the greeting waits for no answer, and who is held for 3s only is greeted"),
        (
            {"delay.session_cap": "50s"},
            "warning: delay.session_cap: no client waits 1m, since all its delays end at 50s; let",
        ),
        ({"delay.target": "295s"}, "warning: delay.target: no client waits 295s, since all its delays end at 290s; let"),
        (
            {"delay.target": "290s", "delay.per_reason": "10s"},
            "warning: delay.per_reason: the first reason brings a client to 290s already, and no further one can add to that",
        ),
        (
            {"delay.reply_pace": "1s", **PASS},
            'error: delay.reply_pace: handoff.mode = "pass" gives the client away at the greeting',
        ),
        (
            {"delay.reply_pace": "5s"},
            "error: delay.reply_pace: a reply of 60 octets would take 5m, and clients give up; set",
        ),
        (
            {"tarpit.rcpt.step": "1s", "tarpit.rcpt.start": "1s", "tarpit.rcpt.cap": "60s"},
            "warning: tarpit.rcpt.start: tarpit.rcpt.step counts where both are set; leave tarpit.rcpt.start or",
        ),
        ({"tarpit.rcpt.say": "Ok", **PASS}, 'error: tarpit.rcpt.say: handoff.mode = "pass" gives the client away at the greeting'),
        (
            {"tarpit.refused.start": "1s", "tarpit.refused.cap": "60s", **PASS},
            'error: tarpit.refused.start: handoff.mode = "pass" gives the client away at the greeting',
        ),
        (
            {"checks.helo.codes": {"mixed": "delay"}},
            "warning: checks.helo.codes: mixed leads to nothing, since checks.helo.tests does",
        ),
        (
            {"checks.dnslists.action": "tag", "checks.dnslists.zones": [{"zone": "a.example"}]},
            "warning: checks.dnslists.action: a listing that weighs 1 delays the client all the same, since score.delay = 1",
        ),
        (
            a_class(who=["helo.mixed"]),
            'warning: hold.class: the class "x" is for "helo.mixed", and checks.helo.tests does not look',
        ),
        (
            {"checks.helo.action": "reject", "checks.helo.reply": "550 {deatil}"},
            "warning: checks.helo.reply: {deatil} stands for nothing, and is sent as it is; did you mean {detail}?",
        ),
        (
            {"checks.helo.header": "X-A: {helo-name} {nonsense}", "headers.insert": True},
            "warning: checks.helo.header: {nonsense} stands for nothing, and is sent as it is; there are {client}, {reason},",
        ),
        (
            {"checks.helo.action": "reject", "checks.helo.reply": "550 no {help_url}"},
            "warning: checks.helo.reply: {help_url} is empty, since smtp.help_url is; set",
        ),
        (
            {"tarpit.error.start": "1s", "tarpit.error.factor": 1.1},
            "warning: tarpit.error.cap: clients give up after 5 minutes, and the last holds come to 5m",
        ),
        ({"checks.pregreet.action": "discard"}, "warning: checks.pregreet.action: messages are answered 250 and thrown away, and"),
        (
            {"checks.helo.codes": {"spoofed": "discard"}},
            "warning: checks.helo.codes: messages are answered 250 and thrown away, and",
        ),
        (
            {"checks.pregreet.reply": "250 2.6.0 Ok"},
            'error: checks.pregreet.reply: it says that the message is accepted, and action = "reject" does not; let it begin with',
        ),
        (
            {"checks.helo.action": "reject", "checks.helo.codes": {"literal": "defer"}, "checks.helo.reply": "550 no"},
            'warning: checks.helo.reply: action = "defer" is 4xx, and this reply says otherwise to the client; let it begin with 4',
        ),
    ],
)
def test_a_breach_is_told_with_what_mends_it(settings: Mapping[str, object], told: str) -> None:
    """Each breach is one problem, at a key that somebody set."""
    found = [str(problem) for problem in problems(settings)]
    assert [True] == [one.startswith(told) for one in found], found


@pytest.mark.parametrize("mode", [PASS, {"handoff.mode": "exec", "handoff.command": ["/bin/true"]}])
@pytest.mark.parametrize(
    ("settings", "where"),
    [
        ({"checks.pregreet.action": "discard"}, "checks.pregreet.action"),
        ({"checks.pregreet.codes": {"spoke": "delay"}}, "checks.pregreet.codes"),
    ],
)
def test_what_is_done_later_cannot_be_done_to_those_who_are_given_away(
    settings: Mapping[str, object], where: str, mode: Mapping[str, object]
) -> None:
    """A discard and a delay come after the greeting, wherever the reason was found."""
    errors = [problem for problem in problems({**settings, **mode}) if problem.is_error]
    assert [(where, True)] == [(one.where, "gives the client away" in one.what) for one in errors]


def test_lists_whose_listings_come_to_nothing_are_told() -> None:
    """A delay is after the greeting; with a class of its own, or a refusal at connect, a listing has an effect."""
    lists: dict[str, object] = {"checks.dnslists.zones": [{"zone": "zen.example"}], **PASS}
    (problem,) = problems(lists)
    assert ("checks.dnslists.zones", False) == (problem.where, problem.is_error)
    assert [] == problems({**lists, **a_class(who=["listed"])})
    assert [] == problems({**lists, "checks.dnslists.action": "reject", "checks.dnslists.at": "connect"})


def test_a_reply_for_refusals_of_a_check_that_only_discards() -> None:
    """It is never used, and that is told besides what is told of every discard."""
    found = problems({"checks.pregreet.action": "discard", "checks.pregreet.reply": "550 no"})
    assert ["checks.pregreet.action", "checks.pregreet.reply"] == [one.where for one in found]
    assert [False, False] == [one.is_error for one in found]


@pytest.mark.parametrize(
    "settings",
    [
        a_class(who=["allowed", "unknown"], wait="0s"),
        a_class(wait="30s"),
        a_class(networks=["192.0.2.0/24"], wait="295s"),
        a_class(patterns=["^192"], wait="60s"),
        {"checks.ptr.action": "tag", **a_class(who=["no_ptr", "ptr", "ptr.unconfirmed", "pregreet.spoke"], wait="60s")},
        {"checks.ptr.codes": {"none": "tag"}, **a_class(who=["no_ptr"])},
        {"checks.dnslists.zones": [{"zone": "zen.example"}], **a_class(who=["listed"])},
        {"score.allow": -3},
        {"dns.timeout": "3s"},
        {"dns.timeout": "9s", "hold.wait": "10s"},
        {"delay.per_reason": "10s"},
        {"delay.reply_pace": "1s", **PROXY},
        {"delay.reply_pace": "4s"},
        {"tarpit.rcpt.say": "Ok", **PROXY},
        {"tarpit.error.start": "1s"},  # a fixed pace, which never comes to the cap
        {"checks.helo.codes": {"mixed": "delay"}, "checks.helo.tests": ["mixed"]},
        {"checks.helo.codes": {"mixed": "ignore"}},
        {"checks.dnslists.action": "tag", "checks.dnslists.zones": [{"zone": "a.example"}], "score.delay": 1},
        {"checks.dnslists.action": "tag", "checks.dnslists.zones": [{"zone": "a.example", "weight": -1}]},
        {"checks.dnslists.zones": [{"zone": "a.example"}]},
        {"checks.helo.action": "reject", "checks.helo.reply": "550 {detail} {help_url}", "smtp.help_url": "https://x.example/"},
        {"tarpit.rcpt.start": "1s", "tarpit.rcpt.factor": 1.5, "tarpit.rcpt.cap": "60s"},
        {"checks.ptr.codes": {"none": "reject"}, "checks.ptr.reply": "550 no"},
    ],
)
def test_what_works_is_not_told(settings: Mapping[str, object]) -> None:
    """At the very edge too."""
    assert [] == [str(problem) for problem in problems(settings)]
