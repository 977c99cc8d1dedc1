"""conftest - no socket outlives its test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.shell import close_all


@pytest.fixture(autouse=True)
def closing() -> Iterator[None]:
    """Close what the test has made, also when it fails."""
    yield
    close_all()
