"""What postscreen remembers."""

from __future__ import annotations

import pytest

from tests.config.imports.mapped import keys, postfix, told

DNSBL = "postscreen_dnsbl_sites = zen.example.org\npostscreen_dnsbl_action = enforce\n"


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ("", {"checks.pregreet.remember": None}),
        ("postscreen_greet_action = enforce", {"checks.pregreet.remember": "1d", "checks.dnslists.remember": None}),
        ("postscreen_greet_action = drop\npostscreen_greet_ttl = 7", {"checks.pregreet.remember": "7d"}),
        (DNSBL, {"checks.dnslists.remember": "1h"}),
        (DNSBL + "postscreen_dnsbl_max_ttl = 2", {"checks.dnslists.remember": "2h"}),
        (DNSBL, {"checks.karma.action": "tag", "karma.rules": [], "karma.by_domain": False}),
        ("", {"checks.karma.action": "ignore"}),
    ],
)
def test_passes_and_no_karma(lines: str, expected: dict[str, object]) -> None:
    """Each test that a client is held for has its own time; one that is off is not remembered."""
    found = keys(postfix(lines))
    assert expected == {name: found.get(name) for name in expected}


def test_tests_after_the_greeting_need_no_memory() -> None:
    """Nobody has to come back for them."""
    lines = "postscreen_pipelining_enable = yes\npostscreen_pipelining_ttl = 9"
    assert "checks.pipelining.remember" not in keys(postfix(lines))
    assert "postscreen_pipelining_ttl" in told(postfix(lines))
