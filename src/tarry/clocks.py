"""clocks - wiring: the machine's own clocks, which the core gets as an argument (core/clock)."""

from __future__ import annotations

import time


class SystemClock:
    """The machine's own clocks. Nothing of ours stands between: it is read for everything that happens."""

    monotonic = staticmethod(time.monotonic)
    wall = staticmethod(time.time)
