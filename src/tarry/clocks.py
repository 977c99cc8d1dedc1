"""clocks - wiring: the machine's own clocks, which the core gets as an argument (core/clock)."""

from __future__ import annotations

import time


class SystemClock:
    """Seconds from an arbitrary start, and UTC seconds since the epoch."""

    monotonic = staticmethod(time.monotonic)
    wall = staticmethod(time.time)
