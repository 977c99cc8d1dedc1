"""Passes of another program on their way into the memory."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from tarry.cli.passes import BATCH, keep
from tarry.core.history import Change, Fading, Pass
from tarry.store.places import open_store


def test_passes_are_merged_into_what_is_there(tmp_path: Path) -> None:
    """In batches; to do it twice does no harm."""
    url = f"sqlite:{tmp_path}/tarry.db"
    now = time.time()
    changes = [Change(f"10.0.{number >> 8}.{number & 255}", now, passes=(Pass("pregreet", 4e9),)) for number in range(BATCH + 1)]
    keep(changes, url)
    keep(changes[:1], url)

    async def count() -> tuple[int, tuple[Pass, ...]]:
        store = open_store(url, fading=Fading(), keep=1e10, max_clients=10_000, prefix="")
        try:
            return await store.count(), (await store.read(["10.0.0.0"]))["10.0.0.0"].passes
        finally:
            await store.close()

    assert (BATCH + 1, (Pass("pregreet", 4e9),)) == asyncio.run(count())


def test_a_wrong_url() -> None:
    """Is told before anything is done."""
    with pytest.raises(ValueError, match="no place for a memory"):
        keep([], "tarry.db")
