"""The public names of the package."""

from __future__ import annotations

import pytest

import tarry


def test_public_names_are_imported_on_demand() -> None:
    """Each of them is there."""
    assert all(getattr(tarry, name) for name in tarry.__all__)


def test_other_names_are_not_there() -> None:
    """As in any module."""
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        tarry.nothing  # noqa: B018
