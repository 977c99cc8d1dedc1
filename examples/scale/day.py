"""day - when connections come: the hours of a day, and bursts within them.

Source   H. von Mises' curve, exp(k cos), for a day with one crest. That arrivals within seconds are a Poisson process,
         and bursts are longer than that: Y. Lee and J.-S. Kim, Characterization of large-scale SMTP traffic, on nine months of
         a portal's mail.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

DAY = 86_400.0
_STEPS = 288
_CREST = 11.0


@dataclass(frozen=True)
class Curve:
    """How the connections of a day are spread over its hours: ``peak`` times the mean at 11 o'clock."""

    peak: float

    @cached_property
    def _sharpness(self) -> float:
        low, high = 0.0, 50.0
        for _ in range(60):
            middle = (low + high) / 2
            low, high = (middle, high) if 1 / _mean(middle) < self.peak else (low, middle)
        return low

    @cached_property
    def _level(self) -> float:
        return 1 / _mean(self._sharpness)

    def at(self, second: float) -> float:
        """Return how many times the mean comes at this second of the day."""
        return self._level * math.exp(self._sharpness * (math.cos((second - _CREST * 3600) / DAY * math.tau) - 1))

    def between(self, begin: float, end: float) -> float:
        """Return the same as the mean of some seconds."""
        steps = 20
        return sum(self.at(begin + (end - begin) * (number + 0.5) / steps) for number in range(steps)) / steps

    def until(self, second: float) -> float:
        """Return the share of a day's connections that has come by then."""
        return self.between(0, second) * second / DAY if second else 0.0


def _mean(sharpness: float) -> float:
    return sum(math.exp(sharpness * (math.cos(number / _STEPS * math.tau) - 1)) for number in range(_STEPS)) / _STEPS


@dataclass(frozen=True)
class Bursts:
    """A rate that is now ``height`` times the mean, for ``length`` seconds on average, and less in between."""

    height: float
    share: float
    length: float

    @property
    def calm(self) -> float:
        """How many times the mean comes between bursts."""
        return (1 - self.share * self.height) / (1 - self.share)

    @property
    def calm_length(self) -> float:
        """How long it is calm, on average."""
        return self.length * (1 - self.share) / self.share

    @property
    def variance(self) -> float:
        """The variance of the rate in units of its mean."""
        return self.share * (1 - self.share) * (self.height - self.calm) ** 2

    @property
    def memory(self) -> float:
        """For how many seconds the rate is like itself."""
        return 1 / (1 / self.length + 1 / self.calm_length)
