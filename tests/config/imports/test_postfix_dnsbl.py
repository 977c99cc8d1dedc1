"""DNS lists of postscreen."""

from __future__ import annotations

import pytest

from tests.config.imports.mapped import keys, postfix, told

SITES = "postscreen_dnsbl_sites = {}\npostscreen_dnsbl_action = enforce\n"


@pytest.mark.parametrize(
    ("sites", "expected"),
    [
        ("zen.example.org", [{"zone": "zen.example.org", "weight": 1}]),
        ("zen.example.org*3", [{"zone": "zen.example.org", "weight": 3}]),
        ("wl.example.org*-2", [{"zone": "wl.example.org", "weight": -2}]),
        (
            "zen.example.org=127.0.0.2*3, zen.example.org=127.0.0.[4..7;11]*2",
            [
                {"zone": "zen.example.org", "answers": "127.0.0.2", "weight": 3},
                {"zone": "zen.example.org", "answers": "127.0.0.[4..7;11]", "weight": 2},
            ],
        ),
        (
            "list.dnswl.org=127.0.[0..255].[1..3]*-4",
            [{"zone": "list.dnswl.org", "answers": "127.0.[0..255].[1..3]", "weight": -4}],
        ),
    ],
)
def test_sites_are_zones(sites: str, expected: list[dict[str, object]]) -> None:
    """With their filters and weights; a zone may stand there several times."""
    assert expected == keys(postfix(SITES.format(sites)))["checks.dnslists.zones"]


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ("", {"score.allow": 0}),
        ("postscreen_dnsbl_action = ignore", {"score.allow": 0}),
        ("postscreen_dnsbl_action = enforce", {"score.reject": 1, "score.at": "rcpt", "score.allow": 0}),
        (
            "postscreen_dnsbl_action = enforce\npostscreen_dnsbl_threshold = 8\npostscreen_dnsbl_allowlist_threshold = -2",
            {"score.reject": 8, "score.at": "rcpt", "score.allow": -2},
        ),
        (
            "postscreen_dnsbl_action = drop\npostscreen_dnsbl_threshold = 3\npostscreen_dnsbl_whitelist_threshold = -1",
            {"score.drop": 3, "score.at": "connect", "score.allow": -1},
        ),
    ],
)
def test_the_threshold_is_a_score(lines: str, expected: dict[str, object]) -> None:
    """Of refusal at RCPT or at once, by the action; nothing else gives a weight, and nobody is delayed."""
    found = keys(postfix(f"postscreen_dnsbl_sites = zen.example.org\n{lines}\n"))
    score = {name: value for name, value in found.items() if name.startswith("score.")}
    assert {"score.delay": 0, **expected} == score
    assert "tag" == found["checks.dnslists.action"]


def test_a_threshold_of_nobody_is_told() -> None:
    """With the action ignore it does nothing, and 0 would refuse everybody."""
    ignored = postfix("postscreen_dnsbl_sites = zen.example.org\npostscreen_dnsbl_threshold = 2")
    assert "postscreen_dnsbl_threshold" in told(ignored)
    none = postfix(SITES.format("zen.example.org") + "postscreen_dnsbl_threshold = 0")
    assert "postscreen_dnsbl_threshold" in told(none)
    assert "score.reject" not in keys(none)


def test_without_zones_there_is_no_list() -> None:
    """What is set besides had no effect."""
    found = postfix("postscreen_dnsbl_action = drop\npostscreen_dnsbl_whitelist_threshold = -1\n")
    assert ["postscreen_dnsbl_action", "postscreen_dnsbl_whitelist_threshold"] == [name for name in told(found) if "dnsbl" in name]
    assert [] == [name for name in keys(found) if name.startswith(("score.", "checks.dnslists"))]


@pytest.mark.parametrize("site", ["zen.example.org*x", "=127.0.0.2", "zen.example.net example!", "zen.example.org*"])
def test_what_is_no_site_is_told(site: str) -> None:
    """One line each, and the others stay."""
    found = postfix(SITES.format(f"{site}, ok.example.org"))
    assert "postscreen_dnsbl_sites" in told(found)
    zones = keys(found)["checks.dnslists.zones"]
    assert isinstance(zones, list)
    assert {"zone": "ok.example.org", "weight": 1} in zones


@pytest.mark.parametrize(
    "table", ["texthash:/etc/postfix/reply", "hash:/etc/postfix/reply", "inline:{key.zen.example.org=zen.example.org}"]
)
def test_a_keyed_zone_has_its_public_name(table: str) -> None:
    """From the table that postscreen has for it."""
    files = {"/etc/postfix/reply": "key.zen.example.org zen.example.org\n"}
    found = postfix(SITES.format("key.zen.example.org") + f"postscreen_dnsbl_reply_map = {table}\n", files=files)
    expected = [{"zone": "key.zen.example.org", "weight": 1, "name": "zen.example.org"}]
    assert (expected, []) == (keys(found)["checks.dnslists.zones"], [name for name in told(found) if "reply" in name])


@pytest.mark.parametrize("table", ["pcre:/etc/postfix/reply", "texthash:/nothing"])
def test_a_table_that_cannot_be_read_is_told(table: str) -> None:
    """The key would be shown to clients otherwise."""
    found = postfix(SITES.format("key.zen.example.org") + f"postscreen_dnsbl_reply_map = {table}\n")
    assert "postscreen_dnsbl_reply_map" in told(found)


def test_times_of_answers() -> None:
    """With the units of each parameter; the old name of the longest lifetime too."""
    lines = "postscreen_dnsbl_timeout = 5\npostscreen_dnsbl_min_ttl = 90\npostscreen_dnsbl_max_ttl = 2\n"
    found = keys(postfix(lines))
    assert ("5s", "90s", "2h") == (found["dns.timeout"], found["dns.min_ttl"], found["dns.max_ttl"])
    assert "3h" == keys(postfix("postscreen_dnsbl_ttl = 3"))["dns.max_ttl"]
