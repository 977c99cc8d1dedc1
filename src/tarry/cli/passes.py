"""passes - put what another program remembers of its clients into the memory of tarry.

Promises  In batches; what was not taken is told by an exception, and nothing is tried twice: `tarry import` can be run again,
          since a pass that is there already counts to the later of both ends.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from tarry.config.schema import Config
from tarry.core.history import Change
from tarry.store.places import store_of

BATCH = 500


def keep(changes: Sequence[Change], url: str) -> None:
    """Merge *changes* into the store at *url*. Raises ValueError for a wrong URL, and what a store raises."""
    asyncio.run(_keep(changes, url))


async def _keep(changes: Sequence[Change], url: str) -> None:
    store = store_of(Config(), url)
    try:
        for start in range(0, len(changes), BATCH):
            await store.write(changes[start : start + BATCH])
    finally:
        await store.close()
