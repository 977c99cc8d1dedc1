"""What a conversation begins with."""

from __future__ import annotations

import dataclasses

import pytest

from tarry.core.setting import Setting
from tests.talk import setting


def test_it_stays_as_it_is() -> None:
    """A session keeps what it began with."""
    with pytest.raises(dataclasses.FrozenInstanceError):
        setting().name = "other.example"  # type: ignore[misc]


def test_what_is_not_said_gives_nothing_away() -> None:
    """No exemption, no TLS, no look-ups, and an MTA that is told nothing, unless the shell says so."""
    optional = {one.name: one.default for one in dataclasses.fields(Setting) if one.default is not dataclasses.MISSING}
    assert {"mode": "proxy"} == {name: value for name, value in optional.items() if value}
