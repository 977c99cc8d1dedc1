"""Where clients come in, and where they go."""

from __future__ import annotations

import pytest

from tests.config.imports.mapped import keys, postfix, told

PASS = "smtpd pass - - y - - smtpd\n"
FRONT = "smtp inet n - y - 1 postscreen\n"


@pytest.mark.parametrize(
    ("main", "master", "mode", "socket"),
    [
        ("", None, "pass", "/var/spool/postfix/private/smtpd"),
        ("", FRONT + PASS, "pass", "/var/spool/postfix/private/smtpd"),
        ("", FRONT + "smtpd pass n - y - - smtpd", "pass", "/var/spool/postfix/public/smtpd"),
        ("queue_directory = /q/", FRONT + PASS, "pass", "/q/private/smtpd"),
        ("smtpd_service_name = inner", FRONT + PASS + "inner pass n - y - - smtpd", "pass", "/var/spool/postfix/public/inner"),
        ("postscreen_greet_action = enforce", FRONT + PASS, "proxy", "unix:/var/spool/postfix/private/smtpd"),
        ("postscreen_bare_newline_enable = yes", FRONT + PASS, "proxy", "unix:/var/spool/postfix/private/smtpd"),
        ("postscreen_greet_action = drop", FRONT + PASS, "pass", "/var/spool/postfix/private/smtpd"),
    ],
)
def test_clients_go_to_the_pass_service(main: str, master: str | None, mode: str, socket: str) -> None:
    """Given away at the greeting; in line on the same socket where something is to be done after it."""
    found = keys(postfix(main, master))
    assert mode == found["handoff.mode"]
    if mode == "pass":
        assert socket == found["handoff.socket"]
    else:
        assert ("pass", socket) == (found["handoff.announce"], found["handoff.address"])


def test_a_missing_pass_service_is_told() -> None:
    """With where it is explained."""
    found = postfix("", FRONT)
    assert any("no service smtpd of type pass" in one.why for one in found.missing)


def test_postscreen_that_does_not_run_is_told() -> None:
    """What main.cf says of it had no effect; no address is taken from another service."""
    found = postfix("", "smtp inet n - y - - smtpd\n" + PASS)
    assert "listen.smtp" not in keys(found)
    assert any("no service of type inet runs postscreen" in one.why for one in found.missing)


@pytest.mark.parametrize(
    ("main", "name", "expected"),
    [
        ("", "smtp", ["0.0.0.0:25", "[::]:25"]),
        ("inet_protocols = ipv4", "smtp", ["0.0.0.0:25"]),
        ("inet_protocols = ipv6", "2525", ["[::]:2525"]),
        ("inet_interfaces = loopback-only", "smtp", ["127.0.0.1:25", "[::1]:25"]),
        ("inet_interfaces = 192.0.2.1, [2001:db8::1]", "smtp", ["192.0.2.1:25", "[2001:db8::1]:25"]),
        ("", "127.0.0.1:2525", ["127.0.0.1:2525"]),
        ("", "[2001:db8::1]:smtp", ["[2001:db8::1]:25"]),
    ],
)
def test_postscreens_address_is_where_tarry_listens(main: str, name: str, expected: list[str]) -> None:
    """Of all interfaces that Postfix uses, or the one that master.cf names."""
    assert expected == keys(postfix(main, f"{name} inet n - y - 1 postscreen\n{PASS}"))["listen.smtp"]


def test_names_of_hosts_and_ports_are_told() -> None:
    """tarry listens on addresses and numbers."""
    found = postfix("inet_interfaces = $myhostname, localhost\nmyhostname = mx.example.org", FRONT + PASS)
    assert ("inet_interfaces" in told(found), "listen.smtp" in keys(found)) == (True, False)
    assert "lmtpx inet" in told(postfix("", f"lmtpx inet n - y - 1 postscreen\n{PASS}"))


def test_two_postscreens_are_two_addresses() -> None:
    """With one configuration, that of the first."""
    second = "192.0.2.2:25 inet n - y - 1 postscreen -o postscreen_greet_wait=9s\n"
    found = postfix("inet_interfaces = 192.0.2.1", FRONT + second + PASS)
    assert ["192.0.2.1:25", "192.0.2.2:25"] == keys(found)["listen.smtp"]
    assert ("6s", True) == (keys(found)["hold.wait"], "192.0.2.2:25 inet" in told(found))


def test_a_proxy_header_needs_networks() -> None:
    """Postfix takes it from anybody, and tarry from nobody who is not named."""
    assert "postscreen_upstream_proxy_protocol" in told(postfix("postscreen_upstream_proxy_protocol = haproxy\n"))
    assert [] == [name for name in told(postfix("postscreen_upstream_proxy_protocol =\n")) if "proxy" in name]
