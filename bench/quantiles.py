"""quantiles - nearest-rank percentiles of measured times: every number shown was really observed."""

import math
from collections.abc import Sequence


def quantile(ordered: Sequence[float], share: float) -> float:
    """Return the value below or at which *share* (0..1) of an ascending sequence lies; NaN when it is empty."""
    if not ordered:
        return math.nan
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def median(values: Sequence[float]) -> float:
    """Return the middle value (the mean of the middle two); NaN when there is none."""
    ordered = sorted(value for value in values if not math.isnan(value))
    if not ordered:
        return math.nan
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2
