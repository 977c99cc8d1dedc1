"""leases - what other hosts count of the clients that come near a limit, told by way of a store that they share.

What      Once a second a process tells of the keys that have come to a quarter of a limit of its host, and reads what the others
          tell. `elsewhere` is what the door adds to its own count: a look into a dictionary.
Promises  Nobody waits for it, and nothing is raised. What a process told is gone LEASE seconds after it last spoke, so a host that
          dies leaves nothing behind. Where the store is away each host counts for itself: what was read is kept so long, too.
Exact     A host that is below a quarter of a limit says nothing of it, so n hosts may let in (n - 1) quarters of it more. What
          comes to several of them within the same second or two is counted by each for itself.
Form      ``<prefix>lease:<host>:<worker>`` is a JSON object, by limit and by key in hexadecimal; ``<prefix>leases`` is the set of
          them. A host's processes count together (core/census) and each tells of the whole host: the highest word counts.
Source    C. Gray, D. Cheriton: Leases, 1989. What is not renewed is over, and no fault of a holder outlives it.
"""

from __future__ import annotations

import asyncio
import importlib.util
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import msgspec

from tarry.core.clock import Clock
from tarry.core.counts import Limit
from tarry.store import Away, Failed
from tarry.store.places import NONE, Server, parsed

EVERY = 1.0
LEASE = 15.0
"""Seconds. So long a host is still counted that has died; a store may be away for as long unnoticed."""
LAST_WORD = 1.0
"""Seconds that the end of the process waits for its lease to be taken back."""
MOST_PROCESSES = 1000
"""Of other hosts, that are listened to."""

_LIMITS = {limit.value: limit for limit in Limit}
_Told = dict[str, dict[str, int]]
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(_Told).decode


class Asked(Protocol):
    """A server, or a cluster: store/valkey_nodes."""

    async def ask(self, commands: Sequence[tuple[str | bytes | int, ...]], keys: Sequence[str | bytes]) -> list[Any]:
        """Return a reply, or `Failed`, for each command; *keys* tell whom to ask. Raises Away."""

    async def close(self) -> None:
        """End every connection."""


class Leases:
    """What one process tells and reads. ``host`` is the name of all processes of its host, ``worker`` its own number."""

    def __init__(self, clock: Clock, server: Asked, *, prefix: str, host: str, worker: int = 0) -> None:
        self._clock = clock
        self._server = server
        self._host = host
        self._own = f"{host}:{worker}"
        self._all = f"{prefix}leases"
        self._lease = f"{prefix}lease:"
        self._others: dict[tuple[Limit, bytes], int] = {}
        self._read_at = clock.monotonic()
        self._has_told = False
        self._task: asyncio.Task[None] | None = None

    def elsewhere(self, limit: Limit, key: bytes) -> int:
        """Return how many of *key* other hosts have, as far as they have said."""
        return self._others.get((limit, key), 0)

    def start(self, heavy: Callable[[float], Mapping[Limit, Mapping[bytes, int]]]) -> None:
        """Tell what *heavy* says, and read, once a second from now on."""
        self._task = asyncio.get_running_loop().create_task(self._keep_telling(heavy))

    async def close(self) -> None:
        """Take back what was told, and end."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        try:
            async with asyncio.timeout(LAST_WORD):
                if self._has_told:
                    await self._server.ask(self._taking_back(), [self._lease + self._own, self._all])
        except Exception:  # Away, TimeoutError, and whatever a library throws: it runs out by itself
            pass
        await self._server.close()

    async def turn(self, told: Mapping[Limit, Mapping[bytes, int]]) -> None:
        """Tell and read once. Where the store is away what was read before counts until it is too old."""
        try:
            others = await self._exchanged(told)
        except Exception as fault:  # whatever a library throws: what was read last would else count for ever
            if not isinstance(fault, Away):
                asyncio.get_running_loop().call_exception_handler(
                    {"message": "telling other hosts ends in a fault", "exception": fault}
                )
            if self._clock.monotonic() - self._read_at >= LEASE:
                self._others = {}
            return
        self._read_at = self._clock.monotonic()
        self._others = others

    async def _keep_telling(self, heavy: Callable[[float], Mapping[Limit, Mapping[bytes, int]]]) -> None:
        while True:
            await self.turn(heavy(self._clock.monotonic()))
            await asyncio.sleep(EVERY)

    async def _exchanged(self, told: Mapping[Limit, Mapping[bytes, int]]) -> dict[tuple[Limit, bytes], int]:
        lease = self._lease + self._own
        commands: list[tuple[str | bytes | int, ...]] = []
        if told:
            text = _encode({limit.value: {key.hex(): count for key, count in keys.items()} for limit, keys in told.items()})
            commands += [("SET", lease, text, "EX", int(LEASE)), ("SADD", self._all, self._own)]
        elif self._has_told:
            commands += self._taking_back()
        self._has_told = bool(told)
        keys = [lease, self._all] if commands else []
        *_, names = await self._server.ask([*commands, ("SMEMBERS", self._all)], [*keys, self._all])
        return await self._read(sorted(self._of_others(_given(names)))[:MOST_PROCESSES])

    def _taking_back(self) -> list[tuple[str | bytes | int, ...]]:
        return [("DEL", self._lease + self._own), ("SREM", self._all, self._own)]

    def _of_others(self, names: object) -> list[str]:
        if not isinstance(names, list | set):  # no set, but what somebody else keeps under this name
            return []
        texts = [name.decode("ascii", "replace") for name in names if isinstance(name, bytes)]
        return [text for text in texts if text.rpartition(":")[0] != self._host]

    async def _read(self, names: Sequence[str]) -> dict[tuple[Limit, bytes], int]:
        if not names:
            return {}
        leases = [self._lease + name for name in names]
        replies = list(map(_given, await self._server.ask([("GET", lease) for lease in leases], leases)))
        by_host: dict[str, dict[tuple[Limit, bytes], int]] = {}
        for name, reply in zip(names, replies, strict=True):
            if isinstance(reply, bytes):
                of_host = by_host.setdefault(name.rpartition(":")[0], {})
                for key, count in _counts(reply).items():
                    of_host[key] = max(count, of_host.get(key, 0))
        over = [name for name, reply in zip(names, replies, strict=True) if reply is None]
        if over:  # one that lives is in the set again within a second
            await self._server.ask([("SREM", self._all, *over)], [self._all])
        found: dict[tuple[Limit, bytes], int] = {}
        for of_host in by_host.values():
            for key, count in of_host.items():
                found[key] = found.get(key, 0) + count
        return found


def open_leases(url: str, clock: Clock, *, prefix: str, host: str, worker: int) -> Leases | None:
    """Return the leases of a store.url; None where no other host can have it, or the extra is missing. Raises ValueError."""
    place = parsed(url) if url != NONE else None
    if not isinstance(place, Server) or importlib.util.find_spec("redis") is None:
        return None
    from tarry.store.valkey_nodes import Nodes

    return Leases(clock, Nodes(place), prefix=prefix, host=host, worker=worker)


def _given(reply: Any) -> Any:
    """Return a reply. Raises Away where there is none; a key of another type is somebody else's, and disturbs nobody."""
    if isinstance(reply, Failed) and not reply.is_wrong_type:
        raise Away(reply.why)
    return reply


def _counts(text: bytes) -> dict[tuple[Limit, bytes], int]:
    """Return what a process tells; what cannot be read, as of another version, is not there."""
    try:
        return {
            (_LIMITS[name], bytes.fromhex(key)): max(0, count)
            for name, keys in _decode(text).items()
            if name in _LIMITS
            for key, count in keys.items()
        }
    except ValueError:  # no JSON, no such form (msgspec's errors are ValueErrors), no hexadecimal
        return {}
