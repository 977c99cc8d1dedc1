"""postscreen_access_list as networks."""

from __future__ import annotations

import pytest

from tarry.config.imports import networks
from tests.config.imports.mapped import keys, postfix, told

LIST = "postscreen_access_list = permit_mynetworks, cidr:/etc/postfix/a.cidr\nmynetworks = 198.51.100.0/24\n"
CIDR = "192.168.0.1 dunno\n192.168.0.0/30 reject\n203.0.113.0/24 permit\n198.51.100.7 reject\n"
FILES = {"/etc/postfix/a.cidr": CIDR}


@pytest.mark.parametrize("action", ["drop", "enforce"])
def test_permit_is_exempt_and_reject_is_denied(action: str) -> None:
    """Earlier lines are cut out of later ones: the exception of a network is not refused, nor one of mynetworks."""
    found = postfix(f"{LIST}postscreen_denylist_action = {action}\n", files=FILES)
    assert ["198.51.100.0/24", "203.0.113.0/24"] == keys(found)["exempt.networks"]
    assert ["192.168.0.0", "192.168.0.2/31"] == keys(found)["deny.networks"]
    assert ["main.cf:2 mynetworks", "/etc/postfix/a.cidr:3"] == [str(one.source) for one in found.elements["exempt.networks"]]
    assert (action == "enforce") == ("postscreen_denylist_action" in told(found))


def test_ignore_denies_nobody() -> None:
    """That is Postfix's default; who would have been refused is told."""
    found = postfix(LIST, files=FILES)
    assert "deny.networks" not in keys(found)
    assert any("2 networks" in one.why for one in found.missing)


def test_an_action_without_a_reject_line_is_told() -> None:
    """It does nothing in Postfix."""
    assert "postscreen_denylist_action" in told(postfix("postscreen_denylist_action = drop\n"))


def test_a_list_that_cannot_be_read_may_reject() -> None:
    """So nobody is told that the action had no effect."""
    for text in ("cidr:/etc/postfix/missing.cidr", "tcp:127.0.0.1:10027"):
        found = postfix(f"postscreen_access_list = {text}\npostscreen_denylist_action = drop\n")
        (told,) = [one for one in found.missing if one.source.name == "postscreen_denylist_action"]
        assert "what the others reject belongs into deny.networks" == told.instead


def test_dunno_is_told_by_lines() -> None:
    """Once for a file, with the first of its lines."""
    found = postfix(LIST, files={"/etc/postfix/a.cidr": "".join(f"192.0.2.{n} dunno\n" for n in range(8))})
    assert ["dunno (lines 1, 2, 3, 4, 5 and 3 more) has no word of its own"] == [
        one.why for one in found.missing if one.value == "dunno"
    ]


def test_the_default_exempts_this_host() -> None:
    """Since mynetworks is worked out by Postfix, the rest is asked for."""
    found = postfix("")
    assert ["127.0.0.0/8", "::1"] == keys(found)["exempt.networks"]
    assert any("postconf mynetworks" in one.instead for one in found.missing)


def test_an_empty_list_exempts_nobody() -> None:
    """As the harness of the tests has it."""
    assert "exempt.networks" not in keys(postfix("postscreen_access_list =\n"))


def test_a_list_that_cannot_be_expanded_is_told() -> None:
    """And nothing of it is taken."""
    found = postfix("postscreen_access_list = cidr:$nowhere/x\n")
    assert ("exempt.networks" in keys(found), "postscreen_access_list" in told(found)) == (False, True)


def test_a_list_that_overlaps_too_much_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """And gives no networks."""
    monkeypatch.setattr(networks, "_COMPARISONS", 0)
    found = postfix(LIST, files=FILES)
    assert ("postscreen_access_list" in told(found), "exempt.networks" in keys(found)) == (True, False)
