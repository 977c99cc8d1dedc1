"""Values of one Postfix by their types."""

from __future__ import annotations

from tarry.config.imports.found import Found
from tarry.config.imports.postfix_case import Case
from tarry.config.imports.postfix_files import parameters, services

MASTER = "smtp inet n - y - 1 postscreen -o postscreen_greet_wait=3s\nsmtpd pass - - y - - smtpd -o postscreen_greet_wait=9s\n"


def case(text: str, master: str | None = None) -> Case:
    doors = services(master, "master.cf") if master is not None else None
    return Case(Found("Postfix"), parameters(text, "main.cf"), lambda name: "", doors, "/etc/pf")


def test_master_cf_overrides_for_postscreen_only() -> None:
    """Its own line counts, with its place; that of smtpd does not."""
    found = case("postscreen_greet_wait = 5s", MASTER)
    assert (3, "master.cf:1 postscreen_greet_wait") == (
        found.time("postscreen_greet_wait", "s"),
        str(found.source("postscreen_greet_wait")),
    )


def test_what_is_not_set_is_postfixs_default() -> None:
    """With a source that says so."""
    found = case("")
    assert (6, True) == (found.time("postscreen_greet_wait", "s"), found.source("postscreen_greet_wait").is_default)
    assert ("ignore", False, 1) == (
        found.action("postscreen_greet_action"),
        found.yes("postscreen_pipelining_enable"),
        found.number("postscreen_dnsbl_threshold"),
    )


def test_an_old_name_counts_where_the_new_one_is_not_set() -> None:
    """As in Postfix."""
    found = case("postscreen_blacklist_action = drop\npostscreen_dnsbl_ttl = 2\n")
    assert ("drop", True) == (found.action("postscreen_denylist_action"), found.is_set("postscreen_denylist_action"))
    assert "main.cf:1 postscreen_blacklist_action" == str(found.source("postscreen_denylist_action"))
    assert 7200 == found.time("postscreen_dnsbl_max_ttl", "s")
    both = case("postscreen_blacklist_action = drop\npostscreen_denylist_action = enforce\n")
    assert "enforce" == both.action("postscreen_denylist_action")


def test_config_directory_is_where_the_file_is() -> None:
    """Tables are named with it."""
    assert "cidr:/etc/pf/x" == case("a = cidr:$config_directory/x").value("a")


def test_what_cannot_be_read_is_told_once() -> None:
    """With what is written there."""
    found = case("postscreen_greet_wait = soon\npostscreen_dnsbl_threshold = many\nx = $y\npostscreen_greet_action = kill\n")
    for _ in range(2):
        assert None is found.time("postscreen_greet_wait", "s")
        assert None is found.number("postscreen_dnsbl_threshold")
        assert None is found.value("x") is found.time("x", "s") is found.number("x")
        assert "ignore" == found.action("postscreen_greet_action")
    assert ["soon", "many", "$y", "kill"] == [one.value for one in found.found.missing]


def test_numbers_may_be_negative() -> None:
    """A threshold for allow lists is."""
    assert -2 == case("postscreen_dnsbl_allowlist_threshold = -2").number("postscreen_dnsbl_allowlist_threshold")
