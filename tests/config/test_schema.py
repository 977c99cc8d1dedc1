"""The schema: every key is declared in full, and the defaults are the contract."""

from __future__ import annotations

import dataclasses
import re

import pytest

from tarry.checks import REGISTRY
from tarry.config.keys import Key, build, flat, groups, keys, kind_of, manual, summary, tables, toml_of
from tarry.config.origin import ConfigError
from tarry.config.schema import Config
from tarry.core.check import option
from tarry.core.client import Phase

ALL = list(keys().values())


@pytest.mark.parametrize("key", ALL, ids=lambda key: key.name)
def test_a_key_is_declared_in_full(key: Key) -> None:
    """Each key has a help of one or more sentences, a unit, a version, and a default that reads back."""
    assert re.fullmatch(r'[A-Za-z"].*\.', key.help)
    assert key.kind.unit
    assert re.fullmatch(r"\d+\.\d+", key.since)
    assert key.default == key.kind.read(key.kind.write(key.default))


@pytest.mark.parametrize("table", tables(), ids=lambda table: table.name or "top")
def test_a_table_is_described(table: object) -> None:
    """Each table has a sentence of its own."""
    assert table.help.endswith(".")  # type: ignore[attr-defined]


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
    """A check's table has the keys that all have and its own; block lists are known before they come."""
    named = [table.name.removeprefix("checks.") for table in tables() if table.name.startswith("checks.")]
    assert [check.name for check in REGISTRY] + ["dnslists"] == named
    assert {"action", "at", "weight", "remember", "header", "reply", "limit"} == {
        one.last for one in ALL if one.name.startswith("checks.many_errors.")
    }


def test_groups_are_in_order() -> None:
    """Tables, and what only holds tables, come in the order of a file."""
    assert groups().index("checks") + 1 == groups().index("checks.pregreet")
    assert groups().index("tarpit") < groups().index("tarpit.rcpt") < groups().index("tarpit.rset")


def test_the_defaults_build_the_default() -> None:
    """Nothing given is the default; taking it apart and building it anew changes nothing."""
    assert Config() == build({}) == build(flat(Config()))


def test_build_puts_values_in_their_place() -> None:
    """Flat values arrive in tables, in tables of tables, and in checks."""
    config = build({"tarpit.rcpt.free": 9, "checks.many_errors.limit": 3, "checks.pregreet.at": Phase.MAIL})
    assert (9, 4) == (config.tarpit.rcpt.free, config.tarpit.rset.free)
    assert 3 == flat(config)["checks.many_errors.limit"]
    assert Phase.MAIL is config.checks["pregreet"].settings.at


def test_a_configuration_is_frozen() -> None:
    """Nobody changes a configuration that sessions hold."""
    with pytest.raises(dataclasses.FrozenInstanceError):
        Config().hold.wait = None  # type: ignore[misc,assignment]
    with pytest.raises(TypeError):
        Config().checks["x"] = None  # type: ignore[index]


def test_manual_pages_and_summaries() -> None:
    """A check's manual page is its module's docstring, and its summary the first line of it."""
    assert manual("pregreet").startswith("pregreet - notice")
    assert "Notice a client that speaks before the 220 greeting." == summary("pregreet")


@dataclasses.dataclass(frozen=True)
class _Options:
    flag: bool = option(True, help="a flag")
    count: int = option(3, unit="replies", help="a count")
    wait: float = option(2.0, unit="s", help="a wait")
    share: float = option(0.5, unit="share", help="a share")
    name: str = option("x", unit="name", help="a name")
    names: tuple[str, ...] = option(("x",), unit="names", help="names")


@pytest.mark.parametrize(
    ("field", "unit", "written"),
    [
        (field, *expected)
        for field, expected in zip(
            dataclasses.fields(_Options),
            [
                ("true or false", True),
                ("replies", 3),
                ("duration", "2s"),
                ("share", 0.5),
                ("name", "x"),
                ("list of names", ["x"]),
            ],
            strict=True,
        )
    ],
)
def test_a_checks_own_keys_have_kinds(field: dataclasses.Field[object], unit: str, written: object) -> None:
    """The kind of a check's own key follows from its default and unit; a float in seconds is a duration."""
    kind = kind_of(field)
    assert (unit, written, field.default) == (kind.unit, kind.write(field.default), kind.read(written))


def test_a_default_of_another_type_is_our_fault() -> None:
    """A default that no configuration file could hold is told to whoever wrote the check."""
    with pytest.raises(AssertionError, match="no kind of configuration value"):
        kind_of(dataclasses.fields(dataclasses.make_dataclass("Odd", [("odd", object, option(None, help="odd"))]))[0])


def test_from_toml() -> None:
    """TOML becomes a configuration, or an error with every problem in its message."""
    assert "a.example" == Config.from_toml('[smtp]\nname = "a.example"').smtp.name
    with pytest.raises(ConfigError) as caught:
        Config.from_toml("[hold]\nwiat = 1\nwait = 6")
    assert ["hold.wiat", "hold.wait"] == [problem.where for problem in caught.value.problems]
    assert "did you mean hold.wait?" in str(caught.value)


def test_load(tmp_path) -> None:  # type: ignore[no-untyped-def]
    """A file becomes a configuration, or an error."""
    path = tmp_path / "t.toml"
    path.write_text('preset = "carraway-2003"')
    assert 1.0 == Config.load(path).hold.wait.low
    with pytest.raises(ConfigError, match="no such file"):
        Config.load(str(tmp_path / "none.toml"))
