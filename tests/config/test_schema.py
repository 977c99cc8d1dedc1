"""The schema: every key is declared in full, and the defaults are the contract."""

from __future__ import annotations

import dataclasses

import pytest

from tarry.checks import REGISTRY
from tarry.config.keys import keys
from tarry.config.origin import ConfigError
from tarry.config.schema import Config
from tests.config.own import Greeter, Options

ALL = list(keys().values())


def test_a_configuration_is_frozen() -> None:
    """Nobody changes a configuration that sessions hold."""
    with pytest.raises(dataclasses.FrozenInstanceError):
        Config().hold.wait = None  # type: ignore[misc,assignment]
    with pytest.raises(TypeError):
        Config().checks["x"] = None  # type: ignore[index]


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


def test_checks_of_ones_own(tmp_path) -> None:  # type: ignore[no-untyped-def]
    """A program hands them over, and a configuration has them behind the built-in ones."""
    own = Greeter()
    path = tmp_path / "t.toml"
    path.write_text("[checks.greeter]\nwords = []")
    for config in (Config.from_toml("", checks=[own]), Config.load(path, checks=[own])):
        assert (*REGISTRY, own) == config.registry
    assert REGISTRY == Config().registry
    with pytest.raises(ConfigError, match="Options has no name"):
        Config.from_toml("", checks=[Options])
