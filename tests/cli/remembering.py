"""remembering - a store in memory, which follows the protocol, for the tests of verbs that work on one."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tarry.core.history import Change, Entry, Fading, Visit, karma_at, merged
from tarry.store import Away, Mark, Order

NOW = 1_795_276_800.0
"""2026-11-21 16:00 UTC."""
DAY = 86400.0


class MemoryStore:
    """Entries and marks in dictionaries. With ``why`` it is away."""

    def __init__(self, fading: Fading | None = None) -> None:
        self.entries: dict[str, Entry] = {}
        self.said: dict[str, Mark] = {}
        self.why = ""
        self.is_closed = False
        self._fading = fading or Fading()

    @property
    def where(self) -> str:
        return "memory:"

    def _come(self) -> None:
        self.is_closed = False
        if self.why:
            raise Away(self.why)

    async def read(self, keys: Collection[str]) -> Mapping[str, Entry]:
        self._come()
        return {key: self.entries[key] for key in keys if key in self.entries}

    async def write(self, changes: Sequence[Change]) -> None:
        self._come()
        self.add(*changes)

    def add(self, *changes: Change) -> None:
        """Write, without a loop."""
        for change in changes:
            self.entries[change.key] = merged(self.entries.get(change.key), change, self._fading)

    async def forget(self, keys: Collection[str]) -> int:
        self._come()
        return sum(self.entries.pop(key, None) is not None for key in keys)

    async def list(self, order: Order, now: float) -> Sequence[Entry]:
        self._come()
        by = {
            "worst": lambda one: karma_at(one, now, self._fading),
            "best": lambda one: -karma_at(one, now, self._fading),
            "last": lambda one: -one.at,
        }[order.by]
        return sorted((one for one in self.entries.values() if order.match in one.key), key=by)[: order.limit]

    async def marks(self, now: float) -> Sequence[Mark]:
        self._come()
        return sorted((one for one in self.said.values() if not one.until or one.until > now), key=lambda one: one.what)

    async def mark(self, mark: Mark) -> None:
        self._come()
        self.said[mark.what] = mark

    async def unmark(self, what: str) -> bool:
        self._come()
        return self.said.pop(what, None) is not None

    async def count(self) -> int:
        self._come()
        return len(self.entries)

    async def close(self) -> None:
        self.is_closed = True


URL = "valkey://192.0.2.250:6379/0"
CONFIG = f'[store]\nurl = "{URL}"\n'


def installed(monkeypatch: pytest.MonkeyPatch, folder: Path) -> MemoryStore:
    """Let every command in *folder* find this store, at `NOW`, with columns for a terminal of 80."""
    store = MemoryStore()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr("tarry.store.places.open_store", lambda url, **_: store)
    monkeypatch.setattr("tarry.cli.opened.time", SimpleNamespace(time=lambda: NOW))
    Path("tarry.toml").write_text(CONFIG)
    return store


def session(client: str, ago: float, points: float, **more: Any) -> Change:
    """Return what a session that ended *ago* seconds before `NOW` adds."""
    id = more.pop("id", f"6920A1B2-{int(ago) % 0x10000:04X}")
    action = more.pop("action", "ignore" if points >= 0 else "reject")
    refused = int(action == "reject")
    return Change(client, NOW - ago, points, refused=refused, visit=Visit(NOW - ago, id, action, points), **more)
