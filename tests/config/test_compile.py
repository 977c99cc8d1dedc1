"""From a configuration to the policy of the core."""

from __future__ import annotations

import re
from ipaddress import ip_network

from tarry.checks import REGISTRY
from tarry.config.compile import door_rules, fingerprint, policy, relief
from tarry.config.schema import Config
from tarry.core.admission import Networks, Rules
from tarry.core.client import Phase
from tarry.core.policy import Delay, HoldClass, Limits, Policy, Score, Span, Tarpit, Tarpits
from tarry.core.result import Action
from tarry.core.stress import Relief
from tests.config.own import Greeter


def test_the_defaults_are_those_of_the_core() -> None:
    """The default configuration and the default policy say the same, but for the checks."""
    compiled = policy(Config())
    assert [check.name for check in REGISTRY] == [one.name for one in compiled.checks]
    assert Policy(checks=compiled.checks) == compiled
    assert Rules() == door_rules(Config())


TEN = re.compile("^10", re.ASCII | re.IGNORECASE)


def test_every_value_arrives() -> None:
    """Each key that the core decides by reaches the policy."""
    config = Config.from_toml("""
        smtp.bare_newline = "reject"
        handoff.park_after = "7s"
        hold.wait = "1s..2s"
        hold.teaser = "hello"
        hold.data_wait = "3s"
        hold.end_early = false
        delay = { target = "70s", at = "data", per_reason = "8s", session_cap = "80s", reply_pace = "1s", reply_pace_clients = 9 }
        score = { delay = 2, reject = 3.5, defer = 4, drop = 5, allow = -2, at = "mail" }
        tarpit.rcpt = { free = 1, step = "2s", cap = "3s" }
        tarpit.rset = { free = 4, step = "5s", cap = "6s" }
        tarpit.noop = { free = 7, start = "1s", factor = 1.5, cap = "8s" }
        tarpit.refused.free = 0
        smtp.help_url = "https://help.example"
        dns.timeout = "2s"
        hold.class = [
            { name = "ours", networks = ["192.0.2.0/24"], patterns = ['^10'], wait = "0s" },
            { name = "dubious", who = ["listed", "unknown", "helo.localhost"], wait = "9s..10s" },
        ]
        limits = { command = "6m", data = "7m", backend = "8s", message = "9s", handshake = "10s", line = 1024, recipients = 200 }
        headers.insert = true
        record.paths = false
        [checks.pregreet]
        action = "defer"
        at = "mail"
        weight = -2.5
        header = "X-Tarry: {reason}"
        reply = "450 later"
        codes = { tls = "drop" }
        [checks.many_errors]
        limit = 3
    """)
    compiled = policy(config, observe=True)
    assert (
        Policy(
            checks=compiled.checks,
            score=Score(2.0, 4.0, 3.5, 5.0, -2.0, Phase.MAIL),
            wait=Span(1.0, 2.0),
            data_wait=Span(3.0, 3.0),
            teaser="hello",
            end_early=False,
            delay=Delay(Span(70.0, 70.0), Phase.DATA, 8.0, 80.0, 1.0, 9),
            tarpits=Tarpits(
                rcpt=Tarpit(1, 2.0, 3.0), rset=Tarpit(4, 5.0, 6.0), noop=Tarpit(7, 0.0, 8.0, 1.0, 1.5), refused=Tarpit(0)
            ),
            limits=Limits(command=360.0, data=420.0, backend=8.0, message=9.0, handshake=10.0, line=1024, recipients=200),
            park_after=7.0,
            normalize=False,
            insert_headers=True,
            record_paths=False,
            observe=True,
            help_url="https://help.example",
            dns_timeout=2.0,
            classes=(
                HoldClass("ours", Span(0.0, 0.0), Networks.of([ip_network("192.0.2.0/24")]), (TEN,)),
                HoldClass("dubious", Span(9.0, 10.0), reasons=frozenset({"dnslists.listed", "helo.localhost"}), unknown=True),
            ),
        )
        == compiled
    )
    settings = compiled.armed["pregreet"].settings
    assert Action.DROP is settings.action_for("tls")
    assert (Action.DEFER, Phase.MAIL, -2.5, "X-Tarry: {reason}", "450 later") == (
        settings.action,
        settings.at,
        settings.weight,
        settings.header,
        settings.reply,
    )
    assert 3 == compiled.armed["many_errors"].options.limit


def test_relief() -> None:
    """What changes under stress, in the core's words; the defaults are its own."""
    assert Relief() == relief(Config())
    config = Config.from_toml('stress = { high = 0.8, low = 0.5, wait = "1s..3s", command = "20s" }')
    assert Relief(0.8, 0.5, Span(1.0, 3.0), 20.0) == relief(config)


def test_door_rules() -> None:
    """Limits and lists reach admission."""
    config = Config.from_toml("""
        listen = { max_clients = 7, max_per_client = 0, max_per_network = 9, rate_per_client = 10, rate_per_network = 11 }
        exempt = { networks = ["192.0.2.0/24"], patterns = ['^10\\.'] }
        deny.networks = ["2001:db8::/32"]
    """)
    assert Rules(
        max_clients=7,
        max_per_client=0,
        max_per_network=9,
        rate_per_client=10,
        rate_per_network=11,
        exempt=Networks.of([ip_network("192.0.2.0/24")]),
        exempt_patterns=(re.compile(r"^10\.", re.ASCII | re.IGNORECASE),),
        deny=Networks.of([ip_network("2001:db8::/32")]),
    ) == door_rules(config)


def test_a_fingerprint_names_the_values() -> None:
    """The same values have the same fingerprint however they were written; another value has another."""
    assert re.fullmatch("[0-9a-f]{10}", fingerprint(Config()))
    assert fingerprint(Config()) == fingerprint(Config.from_toml('preset = "tarry"\nhold.wait = "3000ms..6s"'))
    assert fingerprint(Config()) != fingerprint(Config.from_toml('hold.wait = "3s..7s"'))
    assert fingerprint(Config()) != fingerprint(Config.from_toml("checks.many_errors.limit = 11"))


def test_own_checks_are_asked_behind_the_others() -> None:
    """With the operator's values; a policy keeps the checks that it was made with, whatever is loaded later."""
    own = Greeter()
    config = Config.from_toml('[checks.greeter]\naction = "drop"\nwords = ["x"]', checks=[own])
    armed = policy(config).checks[-1]
    assert (own, Action.DROP, ("x",)) == (armed.check, armed.settings.action, armed.options.words)
    assert fingerprint(config) != fingerprint(Config.from_toml("", checks=[own])) != fingerprint(Config())
