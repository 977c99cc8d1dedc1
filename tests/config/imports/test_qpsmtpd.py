"""config/plugins as a whole, with the files beside it."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tarry.config.imports import networks
from tarry.config.imports.found import Found, ImportProblem
from tarry.config.imports.qpsmtpd import config_lines, read_qpsmtpd
from tarry.config.imports.settle import settle
from tests.config.imports.mapped import keys, reader, told, whole

FILES = {
    "dnsbl_zones": "# lists\nzen.example.org\nrbl.example.org:no, %IP%\n",
    "rhsbl_zones": "dbl.example.org\nrhs.example.org it is said so\n",
    "badhelo": "AOL.com\nyahoo.com\n/^x/\n",
    "hosts_allow": "192.168.3.4 DECLINED\n192.168.3.0/29 DENY spam\n10.0.0.1 DENYSOFT later\n10.1.1.1/8 DENY x\n198.51.100.1\n",
    "relayclients": "127.0.0.1\n192.168.\n2001:db8::/32\nnobody\n",
    "norelayclients": "192.168.0.0/17\n",
}


def plugins(text: str, files: Mapping[str, str] = FILES) -> Found:
    return whole(read_qpsmtpd(text, "plugins", reader(files)))


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("earlytalker wait 3", {"hold.wait": "3s", "checks.pregreet.action": "reject"}),
        ("check_earlytalker wait 3", {"hold.wait": "3s", "checks.pregreet.action": "reject"}),
        ("earlytalker:1 wait 3", {"hold.wait": "3s"}),
        ("", {"hold.wait": "0s", "checks.pregreet.action": "ignore"}),
        ("dnsbl", {"checks.dnslists.action": "reject", "checks.dnslists.at": "connect"}),
        (
            "dnsbl",
            {"checks.dnslists.zones": [{"zone": "zen.example.org", "weight": 0}, {"zone": "rbl.example.org", "weight": 0}]},
        ),
        ("dnsbl disconnect", {"checks.dnslists.action": "reject"}),
        ("dnsbl reject_type temp", {"checks.dnslists.action": "defer"}),
        ("dnsbl reject 0", {"checks.dnslists.action": "tag"}),
        ("dnsbl reject naughty", {"checks.dnslists.action": "tag"}),
        ("dnsbl reject naughty\nnaughty", {"checks.dnslists.action": "reject", "checks.dnslists.at": "rcpt"}),
        ("dnsbl reject naughty\nnaughty reject data", {"checks.dnslists.at": "data"}),
        ("dnsbl reject naughty\nnaughty reject data_post", {"checks.dnslists.at": "message"}),
        ("rhsbl", {"checks.rhsbl.action": "reject", "checks.rhsbl.at": "mail"}),
        ("rhsbl disconnect", {"checks.rhsbl.action": "drop"}),
        ("helo", {"checks.helo.tests": ["spoofed", "localhost", "literal", "bare_address"], "checks.helo.action": "drop"}),
        ("helo reject_type perm", {"checks.helo.action": "drop", "checks.helo.at": "helo"}),
        ("helo", {"checks.helo.spoofed_names": ["aol.com", "yahoo.com"]}),
        (
            "helo policy strict reject 0",
            {
                "checks.helo.tests": ["spoofed", "localhost", "literal", "bare_address", "unqualified", "no_dns", "no_match"],
                "checks.helo.action": "tag",
                "checks.ptr.action": "tag",
            },
        ),
        ("helo policy rfc reject naughty", {"checks.helo.action": "tag", "checks.ptr.action": "tag"}),
        (
            "helo policy rfc reject naughty\nnaughty reject rcpt",
            {"checks.helo.at": "rcpt", "checks.ptr.action": "drop", "checks.ptr.at": "rcpt"},
        ),
        ("helo policy rfc", {"checks.ptr.action": "drop", "checks.ptr.at": "helo"}),
        ("fcrdns", {"checks.ptr.action": "tag"}),
        ("fcrdns reject 1", {"checks.ptr.action": "defer", "checks.ptr.at": "connect"}),
        ("count_unrecognized_commands 7", {"checks.many_errors.action": "drop", "checks.many_errors.limit": 6}),
        ("count_unrecognized_commands", {"checks.many_errors.limit": 3}),
        ("count_unrecognized_commands 0", {"checks.many_errors.limit": 3}),
        ("noop_counter 5", {"checks.many_noop.action": "drop", "checks.many_noop.limit": 4}),
        ("noop_counter x", {"checks.many_noop.limit": 2}),
        ("hosts_allow", {"deny.networks": ["192.168.3.0/30", "192.168.3.5", "192.168.3.6/31", "10.0.0.1"]}),
        ("karma", {"checks.karma.action": "tag", "karma.skip_above": 5, "karma.by_domain": False}),
        ("earlytalker", {"checks.karma.action": "ignore"}),
        ("relay", {"exempt.networks": ["127.0.0.1", "192.168.128.0/17", "2001:db8::/32"]}),
    ],
)
def test_a_line_is_keys(line: str, expected: dict[str, object]) -> None:
    """As the plugin's code has it, not its manual: helo always disconnects, fcrdns defers."""
    found = keys(plugins(line))
    assert expected == {name: found.get(name) for name in expected}


@pytest.mark.parametrize(
    ("line", "place"),
    [
        ("dnsbl", "dnsbl_zones:3"),
        ("rhsbl", "rhsbl_zones:2"),
        ("helo", "badhelo:3"),
        ("helo policy strict", "plugins:1"),
        ("hosts_allow", "hosts_allow:3"),
        ("hosts_allow", "hosts_allow:4"),
        ("relay", "relayclients:4"),
        ("karma negative 2", "plugins:1"),
        ("greylisting", "plugins:1"),
        ("noop_counter", "plugins:1"),
        ("fcrdns", "plugins:1"),
        ("dns_whitelist_soft", "plugins:1"),
    ],
)
def test_what_has_no_counterpart_is_told(line: str, place: str) -> None:
    """With the place in its own file."""
    assert place in [one.source.place for one in plugins(line).missing]


def test_plugins_that_screen_nobody_are_told_in_one_line() -> None:
    """They stay with the MTA."""
    found = plugins("auth/auth_flat_file\nearlytalker\nqueue/qmail-queue\nqueue/qmail-queue\n")
    assert [("plugins:1", "auth/auth_flat_file, queue/qmail-queue")] == [(one.source.place, one.value) for one in found.missing]


def test_naughty_itself_is_not_told() -> None:
    """It is where the others say."""
    assert [] == told(plugins("naughty reject mail\nearlytalker reject naughty"))


@pytest.mark.parametrize("line", ["dnsbl", "rhsbl", "helo", "hosts_allow", "relay"])
def test_files_that_are_not_there_are_empty(line: str) -> None:
    """As for qpsmtpd; without zones nobody is asked, which is told."""
    found = plugins(line, {})
    assert ([line] if line in ("dnsbl", "rhsbl") else []) == told(found)
    assert not {"checks.dnslists.action", "checks.rhsbl.action", "deny.networks", "exempt.networks"} & set(keys(found))


@pytest.mark.parametrize("fault", [PermissionError(13, "Permission denied"), ImportProblem("x", 0, "the file is no text", "")])
def test_files_that_cannot_be_read_are_told(fault: Exception) -> None:
    """With the reason."""

    def read(name: str) -> str:
        raise fault

    found = read_qpsmtpd("helo\n", "plugins", read)
    assert any("Permission denied" in one.why or "no text" in one.why for one in found.missing)


@pytest.mark.parametrize("line", ["hosts_allow", "relay"])
def test_lists_that_overlap_too_much_are_told(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """And give no networks."""
    monkeypatch.setattr(networks, "_COMPARISONS", 0)
    found = plugins(line)
    assert any("overlap too much" in one.why for one in found.missing)
    assert not {"deny.networks", "exempt.networks"} & set(keys(found))


def test_comments_are_left_out() -> None:
    """And so are empty lines, in every file."""
    assert [(2, "a b"), (4, "c")] == list(config_lines("# x\n  a b \n\nc"))


def test_what_qpsmtpd_would_not_start_with_is_a_problem() -> None:
    """It dies of a line that is not printable ASCII."""
    with pytest.raises(ImportProblem, match=r"^plugins:2: unsafe characters"):
        plugins("earlytalker\nhelo \x01\n")


WORDS = ("earlytalker", "dnsbl", "helo", "policy", "strict", "reject", "naughty", "0", "relay", "hosts_allow", "noop_counter", "\n")


@given(st.lists(st.sampled_from(WORDS)), st.dictionaries(st.sampled_from(sorted(FILES)), st.text(max_size=30)))
def test_any_text_is_read_or_is_a_problem(words: list[str], files: dict[str, str]) -> None:
    """Nothing but ImportProblem is raised, and what is read loads."""
    try:
        found = read_qpsmtpd(" ".join(words), "plugins", reader(files))
    except ImportProblem:
        return
    settle(found)
