"""Wiring: the clock."""

from __future__ import annotations

from tarry.clocks import SystemClock


def test_the_system_clock() -> None:
    """Both readings are the machine's."""
    clock = SystemClock()
    assert clock.monotonic() <= clock.monotonic()
    assert 1_700_000_000 < clock.wall()
