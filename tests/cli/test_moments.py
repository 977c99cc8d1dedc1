"""Points in time and lengths, in words."""

from __future__ import annotations

import math

import pytest

from tarry.cli import moments

NOW = 1_795_276_800.0


def test_points_in_time() -> None:
    """In UTC, to the minute, to the second, and for programs."""
    assert "2026-11-21 16:00 UTC" == moments.at(NOW + 59)
    assert "2026-11-21 16:00:59 UTC" == moments.to_the_second(NOW + 59)
    assert "2026-11-21T16:00:59Z" == moments.iso(NOW + 59.9)


@pytest.mark.parametrize("t", [-1.0, 1e18, math.inf])
def test_what_no_clock_shows(t: float) -> None:
    """A store may hold anything: no time raises."""
    assert "a time that no clock shows" == moments.at(t) == moments.to_the_second(t)
    assert moments.iso(t) in ("1970-01-01T00:00:00Z", "9999-12-31T23:59:59Z")


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        (0.0, "0.0 s"),
        (0.34, "0.3 s"),
        (9.94, "9.9 s"),
        (12.7, "12 s"),
        (56.0, "56 s"),
        (57.0, "1 min"),
        (150.0, "2 min"),
        (3600.0, "1 h"),
        (86400.0, "1 day"),
        (30 * 86400.0 - 2, "30 days"),
        (1500 * 86400.0, "1,500 days"),
        (math.inf, "ever"),
    ],
)
def test_lengths(seconds: float, told: str) -> None:
    """In the largest unit of which there is one."""
    assert told == moments.length(seconds)


def test_before_and_after() -> None:
    """How long ago, and how far off; a clock that is ahead is now."""
    assert ["5 min ago", "now", "now"] == [moments.ago(t, NOW) for t in (NOW - 300, NOW - 0.5, NOW + 3)]
    assert ["in 2 h", "now"] == [moments.ahead(t, NOW) for t in (NOW + 7200, NOW + 0.5)]
