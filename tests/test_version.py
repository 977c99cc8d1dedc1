"""The version, as installed."""

from __future__ import annotations

import importlib
import importlib.metadata

import pytest

import tarry
from tarry import version


def test_the_version_is_that_of_the_package() -> None:
    """One number, kept in pyproject.toml."""
    assert importlib.metadata.version("tarry") == version.VERSION == tarry.__version__


def test_a_source_tree_that_was_never_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """It says that it does not know."""

    def missing(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    with monkeypatch.context() as patched:
        patched.setattr(importlib.metadata, "version", missing)
        assert "0+unknown" == importlib.reload(version).VERSION
    importlib.reload(version)
