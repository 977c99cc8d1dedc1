"""conftest - patience: a machine that stands still for a second is no fault of a store."""

import pytest

from tarry.store import sqlite_file, valkey_nodes


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Deadlines that are not what a test is about are far away. Tests that wait for one set it themselves."""
    monkeypatch.setattr(sqlite_file, "LOCK_WAIT", 10.0)
    monkeypatch.setattr(valkey_nodes, "CONNECT_WAIT", 10.0)
    monkeypatch.setattr(valkey_nodes, "REPLY_WAIT", 10.0)
