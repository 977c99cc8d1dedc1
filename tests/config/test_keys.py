"""The list of keys and tables that everything else is made of."""

from __future__ import annotations

import dataclasses
import re

import pytest

from tarry.checks import REGISTRY
from tarry.checks.pregreet import Pregreet
from tarry.config.keys import Key, build, flat, groups, keys, kind_of, manual, summary, tables
from tarry.config.schema import Config
from tarry.core.check import Check, option
from tarry.core.client import Phase
from tarry.core.result import Action

ALL = list(keys().values())


@dataclasses.dataclass(frozen=True)
class _Options:
    flag: bool = option(True, help="a flag")
    count: int = option(3, unit="replies", help="a count")
    wait: float = option(2.0, unit="s", help="a wait")
    share: float = option(0.5, unit="share", help="a share")
    name: str = option("x", unit="name", help="a name")
    names: tuple[str, ...] = option(("x",), unit="names", help="names")


@pytest.mark.parametrize("key", ALL, ids=lambda key: key.name)
def test_a_key_is_declared_in_full(key: Key) -> None:
    """Each key has a help of one or more sentences, a unit, a version, and a default that reads back."""
    assert re.fullmatch(r'[A-Za-z"].*\.', key.help)
    assert key.kind.unit
    assert re.fullmatch(r"\d+\.\d+", key.since)
    assert key.default == key.kind.read(key.kind.write(key.default))


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


def test_manual_pages_and_summaries() -> None:
    """A check's manual page is its module's docstring, and its summary the first line of it."""
    assert manual(Pregreet()).startswith("pregreet - notice")
    assert "Notice a client that speaks before the 220 greeting." == summary(Pregreet())


class _Titled(Pregreet):
    """titled - notice what its class says."""

    name = "titled"


class _Plain(Pregreet):
    """Fails on something."""

    name = "plain"


@pytest.mark.parametrize(
    ("check", "said"),
    [
        (_Titled(), "Notice what its class says."),
        (_Plain(), "Fails on something."),
    ],
)
def test_an_own_check_may_have_its_page_in_its_class(check: Check, said: str) -> None:
    """Where several share a file, or there is no page at all: then the docstring that is there serves as one."""
    assert said == summary(check)
    assert manual(check).startswith(f"{check.name} - ")


def test_keys_follow_from_the_checks_that_there_are() -> None:
    """An own check has a table like the others, behind them, and nothing of it is known where it was not given."""
    checks = (*REGISTRY, _Titled())
    assert "checks.titled.action" in keys(checks) and "checks.titled" in groups(checks)
    assert "checks.titled" == [table.name for table in tables(checks) if table.name.startswith("checks.")][-1]
    assert "checks.titled.action" not in keys() and "checks.titled" not in groups()
    config = build({"checks.titled.action": Action.DROP}, checks)
    assert Action.DROP is config.checks["titled"].settings.action is flat(config)["checks.titled.action"]
    assert checks == config.registry


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
