"""counting - wiring: what counts the clients of this process together with those of its host and of other hosts.

What      `Counting`: the census that the workers of a host share, and the leases of the hosts that share a store.
Promises  A process alone, without a shared store, has a census of its own and no leases; nothing else differs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from tarry.config.schema import Config
from tarry.core.clock import Clock
from tarry.core.counts import Elsewhere, Limit
from tarry.net import census
from tarry.share import Share
from tarry.store.leases import Leases, open_leases


class Counting:
    """For one server. Which store it is stays until a restart."""

    def __init__(self, clock: Clock, config: Config, share: Share | None) -> None:
        if share is not None and share.census is not None:
            self.census, worker = census.attach(share.census, share.worker), share.worker
        else:
            self.census, worker = census.alone(), 0
        self._leases: Leases | None = None
        try:
            self._leases = open_leases(config.store.url, clock, prefix=config.store.prefix, host=self.census.name, worker=worker)
        except ValueError:
            pass  # a store.url that is none: the memory (tarry/memory) says so

    @property
    def elsewhere(self) -> Elsewhere | None:
        """Who says what other hosts have; None where there are none."""
        return self._leases.elsewhere if self._leases is not None else None

    def start(self, heavy: Callable[[float], Mapping[Limit, Mapping[bytes, int]]]) -> None:
        """Begin to tell other hosts what *heavy* says."""
        if self._leases is not None:
            self._leases.start(heavy)

    async def close(self) -> None:
        """Take back what was told."""
        if self._leases is not None:
            await self._leases.close()
