"""The tables of what makes clients wait."""

from __future__ import annotations

from dataclasses import fields

import pytest

from tarry.config import waits
from tarry.config.schema import Config
from tarry.core.policy import LONGEST_HOLD, Tarpits


def test_nobody_waits_longer_by_default_than_clients_do() -> None:
    """Every range and every cap is within what RFC 5321 grants, or switched off."""
    config = Config()
    assert (
        max(config.hold.wait.high, config.hold.data_wait.high, config.delay.target.high, config.delay.session_cap) <= LONGEST_HOLD
    )
    assert {0.0} == {
        getattr(config.tarpit, one.name).step + getattr(config.tarpit, one.name).start for one in fields(config.tarpit)
    }


@pytest.mark.parametrize("name", list(Tarpits.__struct_fields__))
def test_a_tarpit_of_the_file_is_that_of_the_core(name: str) -> None:
    """The defaults are the same, so that who embeds the core alone has what a file would give."""
    table, pit = getattr(Config().tarpit, name), getattr(Tarpits(), name)
    assert isinstance(table, waits.Tarpit)
    assert {one.name: getattr(table, one.name) for one in fields(table)} == {
        one.name: getattr(pit, one.name) for one in fields(table)
    }
