"""main.cf as a whole: each parameter a key or told, and any text harmless."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tarry.config.imports import written
from tarry.config.imports.found import ImportProblem
from tarry.config.imports.postfix import read_postfix
from tarry.config.imports.postscreen_words import MAPPED, WITHOUT
from tarry.config.imports.settle import settle
from tarry.config.load import load
from tests.config.imports.mapped import keys, postfix, reader, told


@pytest.mark.parametrize(
    ("line", "key", "value"),
    [
        ("postscreen_greet_wait = 8s", "hold.wait", "8s"),
        ("postscreen_greet_wait = ${stress?{2}:{7}}s", "hold.wait", "7s"),
        ("postscreen_greet_wait = 2m", "hold.wait", "2m"),
        ("postscreen_greet_banner = mail ESMTP", "hold.teaser", "mail ESMTP"),
        ("postscreen_greet_banner =", "hold.wait", "0s"),
        ("postscreen_greet_banner =", "checks.pregreet.action", "ignore"),
        ("postscreen_greet_action = ignore", "checks.pregreet.action", "ignore"),
        ("postscreen_greet_action = enforce", "checks.pregreet.action", "reject"),
        ("postscreen_greet_action = ENFORCE", "checks.pregreet.at", "rcpt"),
        ("postscreen_greet_action = drop", "checks.pregreet.action", "drop"),
        ("postscreen_greet_ttl = 2\npostscreen_greet_action = drop", "checks.pregreet.remember", "2d"),
        ("postscreen_greet_ttl = 1w\npostscreen_greet_action = drop", "checks.pregreet.remember", "7d"),
        ("postscreen_pipelining_enable = yes", "checks.pipelining.action", "reject"),
        ("postscreen_pipelining_enable = yes", "checks.pipelining.at", "rcpt"),
        ("postscreen_pipelining_enable = no", "checks.pipelining.action", "ignore"),
        ("postscreen_non_smtp_command_enable = yes", "checks.non_smtp.action", "drop"),
        ("postscreen_bare_newline_enable = yes", "checks.bare_newline.action", "ignore"),
        ("postscreen_client_connection_count_limit = 7", "listen.max_per_client", 7),
        ("postscreen_client_connection_count_limit = $x\nx = 8", "listen.max_per_client", 8),
        ("postscreen_pre_queue_limit = 500", "listen.max_clients", 500),
        ("postscreen_post_queue_limit = 60", "handoff.max_waiting", 60),
        ("postscreen_command_time_limit = 200s", "limits.command", "200s"),
        ("postscreen_upstream_proxy_timeout = 7", "limits.proxy", "7s"),
        ("postscreen_reject_footer = \\c see https://example.org/why.", "smtp.help_url", "https://example.org/why"),
        ("smtpd_reject_footer = https://example.org/?x=1", "smtp.help_url", "https://example.org/?x=1"),
    ],
)
def test_a_line_is_a_key(line: str, key: str, value: object) -> None:
    """With units and names replaced, and its place as origin."""
    found = postfix(line)
    assert value == keys(found)[key]
    assert "main.cf:1" == found.settings[key].source.place


@pytest.mark.parametrize("name", sorted(MAPPED | set(WITHOUT)))
def test_every_parameter_is_a_key_or_told(name: str) -> None:
    """Nothing that is set is dropped in silence, whatever it is set to."""
    for value in ("1", "yes", "x", "", "ignore", "cidr:/x"):
        found = read_postfix(f"{name} = {value}\n", "main.cf", reader({}))
        settle(found)
        places = {one.source.name for one in (*found.all(), *found.missing) if one.source.line == 1}
        silent = name == "postscreen_access_list" or not value
        assert silent or name in places, value


def test_the_defaults_that_matter_are_told() -> None:
    """postscreen waits six seconds, ignores early talk, and has its later tests switched off; tarry has it otherwise."""
    found = postfix("myhostname = mx.example.org\nmynetworks = 192.0.2.0/24\n")
    expected = {
        "hold.wait": "6s",
        "hold.teaser": "mx.example.org ESMTP Postfix",
        "checks.pregreet.action": "ignore",
        "checks.pipelining.action": "ignore",
        "checks.non_smtp.action": "ignore",
        "checks.bare_newline.action": "ignore",
        "checks.karma.action": "ignore",
        "handoff.mode": "pass",
        "handoff.socket": "/var/spool/postfix/private/smtpd",
        "exempt.networks": ["192.0.2.0/24"],
    }
    assert (expected, []) == (keys(found), found.missing)
    assert all(one.source.is_default for one in found.all() if one.key != "exempt.networks")


def test_a_banner_that_is_off_makes_the_rest_of_the_test_idle() -> None:
    """What is set for it had no effect."""
    found = postfix("postscreen_greet_banner =\npostscreen_greet_wait = 9s\npostscreen_greet_action = drop\n")
    assert {"postscreen_greet_wait", "postscreen_greet_action"} <= set(told(found))


def test_an_action_of_a_test_that_is_off_is_told() -> None:
    """It does nothing in Postfix."""
    assert "postscreen_pipelining_action" in told(postfix("postscreen_pipelining_action = drop\n"))


def test_a_wait_beyond_five_minutes_is_cut_and_told() -> None:
    """Clients would have given up."""
    found = postfix("postscreen_greet_wait = 10m\n")
    assert ("295s", True) == (keys(found)["hold.wait"], "postscreen_greet_wait" in told(found))


def test_a_footer_without_a_link_is_told() -> None:
    """As is the text around one."""
    assert "postscreen_reject_footer" in told(postfix("postscreen_reject_footer = call $localtime\n"))
    assert [] == [name for name in told(postfix("smtpd_reject_footer = https://example.org/\n")) if "footer" in name]


def test_soft_bounce_is_told() -> None:
    """tarry refuses for good."""
    assert ("soft_bounce" in told(postfix("soft_bounce = yes")), "soft_bounce" in told(postfix("soft_bounce = no"))) == (
        True,
        False,
    )


def test_a_problem_has_its_line() -> None:
    """In either file."""
    for main, master, place in (("a = 1\nb\n", None, "main.cf:2"), ("", "x\n", "master.cf:1")):
        with pytest.raises(ImportProblem, match=rf"^{place}: "):
            read_postfix(main, "main.cf", reader({}), master=master)


NAMES = st.sampled_from(
    [*sorted(MAPPED), *sorted(WITHOUT), "mynetworks", "smtpd_banner", "inet_interfaces", "stress", "soft_bounce"]
)
PIECES = st.sampled_from(
    [
        *("yes", "no", "enforce", "drop", "$stress", "${stress?{1}:{2}}", "cidr:/f", "permit_mynetworks", "static:all"),
        *(
            "zen.example.org*2",
            "=127.0.0.2",
            "{",
            "}",
            ",",
            " ",
            "\n ",
            "#",
            "6s",
            "1",
            "-1",
            "\x00",
            "é",
            "$",
            "10m",
            "10.0.0.0/8",
        ),
    ]
)
LINES = st.lists(st.tuples(NAMES, st.lists(PIECES, max_size=4)), max_size=8)


@given(LINES, st.text(max_size=40), st.one_of(st.none(), st.text(max_size=60)))
def test_any_main_cf_is_read_or_is_a_problem(lines: list[tuple[str, list[str]]], text: str, master: str | None) -> None:
    """Nothing but ImportProblem is raised, and what is read is a configuration without an error."""
    main = "".join(f"{name} = {''.join(pieces)}\n" for name, pieces in lines) + text
    try:
        found = read_postfix(main, "main.cf", reader({"/f": text}), master=master)
    except ImportProblem:
        return
    settle(found)
    assert () == load(None, text=written.toml(found, [main])).errors
