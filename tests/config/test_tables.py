"""The tables: every one is described, and the defaults are the contract."""

from __future__ import annotations

import pytest

from tarry.checks import REGISTRY
from tarry.config.keys import keys, tables, toml_of


@pytest.mark.parametrize("table", tables(), ids=lambda table: table.name or "top")
def test_a_table_is_described(table: object) -> None:
    """Each table has a sentence of its own."""
    assert table.help.endswith((".", "?"))  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("name", "default"),
    [
        ("preset", '"tarry"'),
        ("listen.smtp", '["127.0.0.1:2525"]'),
        ("listen.workers", "0"),
        ("listen.proxy_from", "[]"),
        ("listen.max_clients", "15000"),
        ("listen.max_per_client", "50"),
        ("smtp.name", '""'),
        ("smtp.bare_newline", '"normalize"'),
        ("handoff.mode", '"maildir"'),
        ("handoff.maildir", '"mail"'),
        ("handoff.address", '"127.0.0.1:10025"'),
        ("handoff.announce", '"none"'),
        ("handoff.socket", '"/var/spool/postfix/private/smtpd"'),
        ("handoff.command", '["/usr/sbin/sendmail", "-bs"]'),
        ("handoff.park_after", '"20s"'),
        ("hold.wait", '"3s..6s"'),
        ("hold.teaser", '""'),
        ("hold.data_wait", '"0s"'),
        ("hold.end_early", "true"),
        ("delay.target", '"60s..290s"'),
        ("delay.at", '"rcpt"'),
        ("checks.pregreet.action", '"reject"'),
        ("checks.pregreet.at", '"connect"'),
        ("checks.many_errors.limit", "10"),
        ("score.delay", "1"),
        ("score.reject", "0"),
        ("tarpit.rcpt.free", "5"),
        ("tarpit.rcpt.step", '"0s"'),
        ("tarpit.rcpt.cap", '"5m"'),
        ("tarpit.rset.free", "4"),
        ("tarpit.rset.step", '"0s"'),
        ("tarpit.rset.cap", '"5m"'),
        ("dns.servers", "[]"),
        ("dns.timeout", '"3s"'),
        ("limits.command", '"5m"'),
        ("limits.data", '"10m"'),
        ("limits.backend", '"30s"'),
        ("limits.message", '"10m"'),
        ("limits.proxy", '"5s"'),
        ("limits.drain", '"30s"'),
        ("limits.line", "2048"),
        ("limits.recipients", "1000"),
        ("headers.insert", "false"),
        ("exempt.networks", "[]"),
        ("exempt.patterns", "[]"),
        ("deny.networks", "[]"),
        ("karma.skip_above", "5"),
        ("tls.mode", '"relay"'),
        ("tls.certificate", '""'),
        ("tls.key", '""'),
        ("store.url", '"sqlite:tarry.db"'),
        ("record.path", '"-"'),
        ("record.detail", '"all"'),
        ("record.style", '"json"'),
        ("record.paths", "true"),
        ("web.listen", '""'),
    ],
)
def test_the_defaults_are_the_contract(name: str, default: str) -> None:
    """Names and defaults are those of the design."""
    assert default == toml_of(name, keys()[name].default)


def test_each_check_has_its_table() -> None:
    """A check's table has the keys that all have and its own."""
    named = [table.name.removeprefix("checks.") for table in tables() if table.name.startswith("checks.")]
    assert [check.name for check in REGISTRY] == named
    assert {"action", "at", "weight", "remember", "header", "reply", "codes", "limit"} == {
        one.last for one in keys().values() if one.name.startswith("checks.many_errors.")
    }
