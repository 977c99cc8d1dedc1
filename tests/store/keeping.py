"""keeping - what the tests of the stores share: places to keep things in, changes to write, and entries compared."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from tarry.core.history import Change, Entry, Fading, Pass, Visit, merged
from tarry.store import Store
from tarry.store.places import open_store

NOW = round(time.time(), 3)
FADING = Fading(half_life=86400.0, most=20.0)
KEEP = 30 * 86400.0
_numbers = itertools.count()


class Place:
    """One URL, and the stores that a test opens on it. They are used in one event loop and closed with it."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.prefix = f"test{next(_numbers)}*:"
        self.runner = asyncio.Runner()
        self._stores: list[Store] = []

    def store(self, *, keep: float = KEEP, max_clients: int = 1_000_000) -> Store:
        """Open it once more, as another process would."""
        store = open_store(self.url, fading=FADING, keep=keep, max_clients=max_clients, prefix=self.prefix)
        self._stores.append(store)
        return store

    def run(self, awaited: Any) -> Any:
        """Return what it comes to."""

        async def wait() -> Any:
            return await awaited

        return self.runner.run(wait())

    def close(self) -> None:
        for store in self._stores:
            self.run(store.close())
        self.runner.close()


def sqlite_places(folder: Path) -> Iterator[Place]:
    """Give places in a folder, each with a file of its own."""
    for number in itertools.count():
        yield Place(f"sqlite:{folder}/{number}.db")


def change(key: str = "192.0.2.1", at: float = NOW, points: float = 1.0, **more: Any) -> Change:
    """Return a change with a visit."""
    return Change(key, at, points, visit=Visit(at, f"id{at:.3f}", "ignore", points), **more)


def came_to(changes: Sequence[Change]) -> Entry:
    """Return the entry that one key's changes make."""
    entry = None
    for one in changes:
        entry = merged(entry, one, FADING)
    assert entry is not None
    return entry


def are_alike(one: Entry | None, other: Entry | None) -> bool:
    """Whether two entries are the same but for the last digits of the karma."""
    if one is None or other is None:
        return one is other
    parts: Callable[[Entry], tuple[object, ...]] = lambda entry: tuple(  # noqa: E731
        getattr(entry, name) for name in entry.__struct_fields__ if name != "karma"
    )
    return parts(one) == parts(other) and abs(one.karma - other.karma) <= 1e-9


_at = st.floats(NOW - 7 * 86400, NOW, allow_nan=False)
_names = st.sampled_from(["pregreet", "pregreet.spoke", "dnslists.listed", "a", "B", "a_b", "a-b", "é", "zürich", "karma.bad"])
_many_names = st.builds("check{}.code".format, st.integers(0, 60))


def changes(key: str = "192.0.2.1") -> st.SearchStrategy[Change]:
    """Return changes of one key, with all that one may have."""
    return st.builds(
        Change,
        st.just(key),
        _at,
        st.floats(-30, 30, allow_nan=False) | st.integers(-3, 3).map(float),
        st.integers(0, 3),
        st.integers(0, 1),
        st.sampled_from(["", "example.org", "example.net"]),
        st.booleans(),
        st.lists(st.builds(Pass, _names, _at), max_size=4).map(tuple),
        (st.lists(_names, max_size=4) | st.lists(_many_names, min_size=20, max_size=40)).map(tuple),
        st.none()
        | st.builds(Visit, _at, st.text("0123456789abcdef", max_size=12), st.sampled_from(["ignore", "drop"]), st.floats(-9, 9)),
    )
