"""pace - so many a second, in a generator that runs an event loop."""

import asyncio
import time
from collections.abc import AsyncIterator

PACE = 0.002
"""Seconds between two looks at the clock."""


async def batches(count: int, rate: float) -> AsyncIterator[range]:
    """Yield those of the numbers below *count* whose time has come, until all have come. A pause follows the last, too."""
    begun, come = time.monotonic(), 0
    while come < count:
        due = min(count, int((time.monotonic() - begun) * rate) + 1)
        yield range(come, due)
        come = due
        await asyncio.sleep(PACE)
