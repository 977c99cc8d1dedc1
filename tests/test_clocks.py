"""The clock of the machine."""

from __future__ import annotations

import time

from tarry.clocks import SystemClock
from tarry.core.clock import Clock


def test_the_system_clock() -> None:
    """Both readings are the machine's."""
    clock: Clock = SystemClock()
    assert clock.monotonic() <= time.monotonic() <= clock.monotonic()
    assert 1_700_000_000 < clock.wall() <= time.time()
