"""counts - how many connections each client and each network has, and makes in a minute.

What      The four things that listen.* can limit (`Limit`), and what counts them: `Inside` and `Arrivals`.
Promises  `Inside` is exact for this process, and adds what the census says of the others of this host. `Arrivals` is the census
          alone, so that its memory is fixed: an attacker with an IPv6 /32 has four thousand million /64s.
Source    Postfix's anvil(8), which counts connections and their rate by client for all processes of a host.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import TypeAlias

from tarry.core.census import Census, Scope


class Limit(Enum):
    """What is limited, by the names of its key in ``listen``."""

    CLIENT = "max_per_client"
    CLIENT_RATE = "rate_per_client"
    NETWORK = "max_per_network"
    NETWORK_RATE = "rate_per_network"


Elsewhere: TypeAlias = Callable[[Limit, bytes], int]
"""Says how many of a key other hosts have told of. It never waits."""


class Inside:
    """Connections that are in. *census* is None where no other process is."""

    def __init__(self, scope: Scope, census: Census | None) -> None:
        self._scope = scope
        self._census = census
        self._own: dict[bytes, int] = {}

    def enter(self, key: bytes) -> None:
        """One more of *key* is in."""
        self._own[key] = self._own.get(key, 0) + 1
        if self._census is not None:
            self._census.enter(self._scope, self._census.spots(self._scope, key))

    def leave(self, key: bytes) -> None:
        """One of *key* has gone; it is passed over where it was not counted."""
        count = self._own.get(key)
        if count is None:
            return
        if count > 1:
            self._own[key] = count - 1
        else:
            del self._own[key]
        if self._census is not None:
            self._census.leave(self._scope, self._census.spots(self._scope, key))

    def clear(self) -> None:
        """Forget all of them: they are not limited any more."""
        for key, count in list(self._own.items()):
            for _ in range(count):
                self.leave(key)

    def count(self, key: bytes, now: float, enough: float = 0) -> float:
        """Return how many of *key* are in, on this host. What is not above *enough* may be less than it says."""
        own = self._own.get(key, 0)
        if self._census is None:
            return own
        return own + self._census.others(self._scope, self._census.spots(self._scope, key), enough - own)


class Arrivals:
    """Connections of the last minute."""

    def __init__(self, scope: Scope, census: Census) -> None:
        self._scope = scope
        self._census = census

    def come(self, key: bytes, now: float) -> None:
        """One more of *key* comes."""
        self._census.come(self._scope, self._census.spots(self._scope, key), now)

    def count(self, key: bytes, now: float, enough: float = 0) -> float:
        """Return how many of *key* came, to this host. What is not above *enough* may be less than it says."""
        return self._census.rate(self._scope, self._census.spots(self._scope, key), now, enough)
