"""crowd - how often a client comes again, and so what is known of it.

What     Clients of a kind differ in how often they come, as Zipf's law says: the client of rank r makes connections in
         proportion to 1/r**s. From that, and from nothing else, come the share of clients whose karma is above a threshold,
         the share of questions that a cache answers, and the number of entries that the memory has.
How      `Crowd.rank` draws a client (events.py); `Crowd.bins` has the same clients in a few hundred groups, since
         formulas over ten million would take too long (fluid.py). Both have the same continuous law, and are compared in the test.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from functools import cached_property
from statistics import NormalDist

MOST = 20.0
"""Karma is never more (karma.most); who asks for more trusts nobody."""


@dataclass(frozen=True)
class Crowd:
    """So many clients, and how unequal they are."""

    clients: int
    zipf: float

    def _below(self, rank: float) -> float:
        """The integral of x**-s from 1 to *rank*."""
        if abs(self.zipf - 1) < 1e-9:
            return math.log(rank)
        return float((rank ** (1 - self.zipf) - 1) / (1 - self.zipf))

    @cached_property
    def _whole(self) -> float:
        return self._below(self.clients + 1)

    def rank(self, share: float) -> int:
        """Return the client that a random number from 0 to 1 stands for, 1 being the most frequent."""
        if abs(self.zipf - 1) < 1e-9:
            place = math.exp(share * self._whole)
        else:
            place = (1 + share * self._whole * (1 - self.zipf)) ** (1 / (1 - self.zipf))
        return min(self.clients, int(place))

    @cached_property
    def bins(self) -> tuple[tuple[float, float], ...]:
        """Groups of clients: (how many, the share of all connections that each of them has)."""
        edges = list(range(1, min(64, self.clients + 1)))
        while edges[-1] < self.clients + 1:
            edges.append(min(self.clients + 1, max(edges[-1] + 1, int(edges[-1] * 1.05))))
        pairs = itertools.pairwise(edges)
        return tuple((high - low, (self._below(high) - self._below(low)) / self._whole / (high - low)) for low, high in pairs)

    @cached_property
    def unequal(self) -> float:
        """The sum of the squares of all shares: 0 for a crowd of equals, 1 for one client alone."""
        return sum(count * share * share for count, share in self.bins)

    def met(self, connections: float) -> float:
        """Return how many different clients have come after so many connections."""
        return sum(count * -math.expm1(-share * connections) for count, share in self.bins)

    def trusted(self, connections: float, recent: float, days: float, half_life: float, above: float) -> float:
        """Return the share of connections that are greeted without a hold.

        That is: the client came at least once among the *recent* connections, or its karma is above a threshold, where each of
        the *connections* in so many days brought 1, and fades.
        """
        weight = _Faded(days, half_life)
        return sum(
            count * share * (1 - math.exp(-share * recent) * (1 - weight.above(share * max(0.0, connections - recent), above)))
            for count, share in self.bins
        )

    def cached(self, connections_in_ttl: float, caches: int = 1, connections_in_room: float = math.inf) -> float:
        """Return the share of connections about whose client a cache can answer.

        So many *connections_in_ttl* come while an answer lives, to so many *caches* behind one resolver, which tells each how
        long the answer has left: what one of them asked first, each of the others asks once. No cache can keep more than those of
        the last *connections_in_room* that came to it.
        """
        hits = 0.0
        for count, share in self.bins:
            come = share * connections_in_ttl
            asked = 1 + (caches - 1) * -math.expm1(-come / caches)
            hits += count * share * min(1 - asked / (1 + come), -math.expm1(-share * connections_in_room))
        return hits


@dataclass(frozen=True)
class _Faded:
    """Karma of a client that came now and then for so many days: a number of visits, each worth a little less the longer ago."""

    days: float
    half_life: float

    def above(self, visits: float, threshold: float) -> float:
        """Return the probability that karma is above, with so many visits on average.

        A faded count has a mean and a variance; it is taken for a Poisson count of smaller steps that has the same two.
        """
        if visits <= 0 or threshold >= MOST:
            return 0.0
        age = self.days * math.log(2) / self.half_life
        mean = -math.expm1(-age) / age if age > 1e-9 else 1.0
        square = -math.expm1(-2 * age) / (2 * age) if age > 1e-9 else 1.0
        step = square / mean
        return at_least(math.floor(threshold / step) + 1, visits * mean / step)


def at_least(count: int, mean: float) -> float:
    """Return the probability of *count* or more where *mean* are expected, by Poisson.

    >>> round(at_least(1, 0.5), 4), at_least(0, 3.0), round(at_least(6, 1000.0), 4)
    (0.3935, 1.0, 1.0)
    """
    if count <= 0:
        return 1.0
    if mean > 700:
        return 1.0 if mean > count else 0.0
    term = below = math.exp(-mean)
    for number in range(1, count):
        term *= mean / number
        below += term
    return max(0.0, 1 - below)


def quantile(mean: float, variance: float, share: float) -> int:
    """Return the count that is not exceeded with probability *share*: Poisson, or negative binomial where the variance is more.

    Above a mean of 400 both are close to normal, with Cornish and Fisher's correction for their skewness.

    >>> quantile(100, 100, 0.99), quantile(100, 400, 0.99), quantile(0, 0, 0.99), quantile(1e6, 1e6, 0.5)
    (124, 152, 0, 1000000)
    """
    if mean <= 0:
        return 0
    variance = max(mean, variance)
    if mean > 400:
        z = _normal(share)
        skewness = (2 * variance / mean - 1) / math.sqrt(variance)
        return round(mean + math.sqrt(variance) * (z + (z * z - 1) * skewness / 6))
    if variance < mean * 1.000001:
        term = whole = math.exp(-mean)
        ratio = [0.0, mean]
    else:
        p = mean / variance
        r = mean * p / (1 - p)
        term = whole = p**r
        ratio = [1 - p, (r - 1) * (1 - p)]
    count = 0
    while whole < share and count < 10 * mean + 100:
        count += 1
        term *= ratio[0] + ratio[1] / count
        whole += term
    return count


def _normal(share: float) -> float:
    return NormalDist().inv_cdf(share)
