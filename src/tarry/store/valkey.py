"""valkey - the memory of clients in a Valkey or Redis server, for several front doors.

What      `ValkeyStore`. An entry is one string, under ``<prefix>c:<key>``, that expires by itself; marks are one hash,
          ``<prefix>marks``. Valkey, and Redis from 6.0 on; one server or a cluster, where no command touches keys of two slots.
Promises  A batch of reads is one MGET; a batch of changes one round trip, with a script that merges (`valkey_merge`): atomic for
          each key whoever else writes. What the server certainly did not do is `Away` or `Partly`; what it did not answer is
          `Unsure`, and is never sent again.
Forgets   Each write gives a key ``keep`` seconds more. How many clients there may be is the server's maxmemory.
Lists     `list` and `count` go through all keys with SCAN, a thousand at a time. An index (a sorted set by karma that fades
          forward) would cost each session another write, in a cluster always on the same server, for a command that is typed by
          hand now and then.
Measured  docs/performance.md, "Memory of clients".
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from typing import Any, TypeAlias

import msgspec

from tarry.core.history import AHEAD, Change, Entry, Fading, is_ahead, karma_at
from tarry.store import Away, Failed, Mark, Order, Partly, Unsure
from tarry.store.places import Server
from tarry.store.valkey_merge import SCRIPT, changes_of, entry_of, settings_of
from tarry.store.valkey_nodes import Command, Nodes

PORTION = 1000
"""Keys that one SCAN looks at: a third of a millisecond of the server's."""
AT_ONCE = 50
"""Keys that one script merges: for so long nobody else is served, which is about a millisecond."""

_Replies: TypeAlias = list[Any]
_Commands: TypeAlias = list[Command]
_Keys: TypeAlias = list[str]
_SHA = hashlib.sha1(SCRIPT.encode(), usedforsecurity=False).hexdigest()
_encode = msgspec.json.Encoder().encode


class _Said(msgspec.Struct, frozen=True):
    """What stands in a field of the marks' hash; the field is the address or network."""

    action: str
    until: float = 0.0
    comment: str = ""
    at: float = 0.0


class ValkeyStore:
    """The memory in *server*. ``now`` is UTC epoch seconds: by it marks that are over are deleted, and
    entries known that a clock wrote which ran ahead."""

    def __init__(self, server: Server, *, fading: Fading, keep: float, prefix: str, now: Callable[[], float] = time.time) -> None:
        self._server = server
        self._fading = fading
        self._now = now
        self._nodes = Nodes(server)
        self._prefix = f"{prefix}c:"
        self._marks = f"{prefix}marks"
        self._settings = settings_of(fading.half_life, fading.most, keep)

    @property
    def where(self) -> str:
        """Its URL, without user and password."""
        return self._server.where

    async def read(self, keys: Collection[str]) -> Mapping[str, Entry]:
        """Return what there is under these keys."""
        if not keys:
            return {}
        names = [f"{self._prefix}{key}" for key in keys]
        values = self._whole(await self._values(names))
        entries = (entry_of(key, value) for key, value in zip(keys, values, strict=True))
        now = self._now()
        return {entry.key: entry for entry in entries if entry is not None and not is_ahead(entry, now)}

    async def write(self, changes: Sequence[Change]) -> None:
        """Merge changes into their entries."""
        by_key: dict[str, list[Change]] = {}
        for change in changes:
            by_key.setdefault(change.key, []).append(change)
        try:
            wanted = [(key, changes_of(of_it)) for key, of_it in by_key.items()]
        except (ValueError, OverflowError) as fault:  # half a surrogate pair, a number beyond 64 bits: no second try helps
            raise Unsure(f"{self.where} does not take it: {fault}") from None
        at_once = 1 if self._nodes.is_cluster else AT_ONCE
        groups = [wanted[start : start + at_once] for start in range(0, len(wanted), at_once)]
        replies = await self._run(groups, "EVALSHA", _SHA)
        missing = [place for place, reply in enumerate(replies) if isinstance(reply, Failed) and reply.is_no_script]
        if missing:  # the server was started anew; EVAL keeps the script for the next time
            try:
                again = await self._run([groups[place] for place in missing], "EVAL", SCRIPT)
            except Away as fault:
                again = [Failed(str(fault), is_undone=True)] * len(missing)
            for place, reply in zip(missing, again, strict=True):
                replies[place] = reply
        self._conclude(groups, replies)

    async def forget(self, keys: Collection[str]) -> int:
        """Delete entries; return how many there were."""
        names = [f"{self._prefix}{key}" for key in keys]
        replies = self._done(await self._nodes.ask([("DEL", name) for name in names], names)) if names else []
        return sum(replies)

    async def list(self, order: Order, now: float) -> Sequence[Entry]:
        """Return entries in that order. All keys that match are gone through: some eight seconds for each million."""
        ranks: Mapping[str, Callable[[Entry], float]] = {
            "worst": lambda entry: karma_at(entry, now, self._fading),
            "best": lambda entry: -karma_at(entry, now, self._fading),
            "last": lambda entry: -entry.at,
        }
        rank = ranks[order.by]
        best: dict[str, Entry] = {}
        async for names in self._scanned(order.match):
            values = self._whole(await self._values(names))
            for name, value in zip(names, values, strict=True):
                key = name.decode(errors="replace").removeprefix(self._prefix)
                if (entry := entry_of(key, value)) is not None and not is_ahead(entry, self._now()):
                    best[key] = entry
            best = {entry.key: entry for entry in sorted(best.values(), key=lambda one: (rank(one), one.key))[: order.limit]}
        return list(best.values())

    async def marks(self, now: float) -> Sequence[Mark]:
        """Return every mark that holds at *now*."""
        (found,) = await self._nodes.ask([("HGETALL", self._marks)], [self._marks])
        if isinstance(found, Failed) and found.is_wrong_type:
            return []
        (pairs,) = self._whole([found])
        marks = [mark for what, value in zip(pairs[::2], pairs[1::2], strict=True) if (mark := _mark(what, value)) is not None]
        return sorted((mark for mark in marks if mark.until == 0 or mark.until > now), key=lambda mark: mark.what)

    async def mark(self, mark: Mark) -> None:
        """Keep a mark, in place of what was said of the same address or network before. Marks that are over are deleted."""
        value = _encode(_Said(mark.action, mark.until, mark.comment, mark.at))
        now = self._now()
        over = [one.what for one in await self.marks(0.0) if 0 < one.until <= now and one.what != mark.what]
        commands: _Commands = [("HDEL", self._marks, *over)] if over else []
        commands.append(("HSET", self._marks, mark.what, value))
        replies = await self._nodes.ask(commands, [self._marks] * len(commands))
        if isinstance(replies[-1], Failed) and replies[-1].is_wrong_type:
            commands = [("DEL", self._marks), ("HSET", self._marks, mark.what, value)]
            replies = await self._nodes.ask(commands, [self._marks] * 2)
        self._done(replies)

    async def unmark(self, what: str) -> bool:
        """Take a mark back; False where there was none."""
        (reply,) = await self._nodes.ask([("HDEL", self._marks, what)], [self._marks])
        if isinstance(reply, Failed) and reply.is_wrong_type:
            return False
        return bool(self._done([reply])[0])

    async def count(self) -> int:
        """Return how many entries there are. All keys are gone through."""
        found = 0
        async for names in self._scanned(""):
            found += len(names)
        return found

    async def close(self) -> None:
        """End. Who is still waiting for a reply is cut off."""
        await self._nodes.close()

    async def _run(self, groups: Sequence[Sequence[tuple[str, bytes]]], *script: str) -> _Replies:
        commands: _Commands = []
        newest = b"%.17g" % (self._now() + AHEAD)
        for group in groups:
            names = [f"{self._prefix}{key}" for key, _ in group]
            commands.append((*script, len(names), *names, *self._settings, newest, *(changes for _, changes in group)))
        return await self._nodes.ask(commands, [f"{self._prefix}{group[0][0]}" for group in groups])

    def _conclude(self, groups: Sequence[Sequence[tuple[str, bytes]]], replies: Sequence[Any]) -> None:
        why = ""
        undone: _Keys = []
        unsure: _Keys = []
        for group, reply in zip(groups, replies, strict=True):
            if isinstance(reply, Failed):
                why = reply.why
                (undone if reply.is_undone else unsure).extend(key for key, _ in group)
        count = sum(map(len, groups))
        if why and len(undone) == count:
            raise Away(why)
        if why and len(unsure) == count:
            raise Unsure(why)
        if why:
            raise Partly(why, undone=undone, unsure=unsure)

    async def _values(self, names: Sequence[str | bytes]) -> Sequence[Any]:
        """Return what is under each name; what is no string is nothing."""
        if not self._nodes.is_cluster:
            (reply,) = await self._nodes.ask([("MGET", *names)], names[:1])
            return [reply] * len(names) if isinstance(reply, Failed) else list(reply)
        replies = await self._nodes.ask([("GET", name) for name in names], names)
        return [None if isinstance(reply, Failed) and reply.is_wrong_type else reply for reply in replies]

    async def _scanned(self, match: str) -> AsyncIterator[Sequence[bytes]]:
        """Give the names of entries whose key contains *match*, in portions. A name may come twice while keys are added."""
        pattern = f"{_literal(self._prefix)}*{_literal(match)}*" if match else f"{_literal(self._prefix)}*"
        for address in await self._nodes.addresses():
            cursor: bytes = b"0"
            while True:
                (reply,) = self._whole(await self._nodes.ask_at(address, [("SCAN", cursor, "MATCH", pattern, "COUNT", PORTION)]))
                cursor, names = reply
                if names:
                    yield names
                if cursor == b"0":
                    break

    def _whole(self, replies: Sequence[Any]) -> Sequence[Any]:
        """Return replies to questions, or raise Away."""
        for reply in replies:
            if isinstance(reply, Failed):
                raise Away(reply.why)
        return replies

    def _done(self, replies: Sequence[Any]) -> Sequence[Any]:
        """Return replies to what changes something, or raise."""
        failed = [reply for reply in replies if isinstance(reply, Failed)]
        if failed and len(failed) == len(replies) and all(reply.is_undone for reply in failed):
            raise Away(failed[0].why)
        if failed:
            raise Unsure(failed[0].why)
        return replies


def _literal(text: str) -> str:
    """Return *text* for a pattern that it is to match as it stands."""
    return re.sub(r"([*?\[\]\\^-])", r"\\\1", text)


def _mark(what: bytes, value: bytes) -> Mark | None:
    try:
        said = msgspec.json.decode(value, type=_Said)
        return msgspec.convert({"what": what.decode(), **msgspec.structs.asdict(said)}, Mark)
    except ValueError:  # what others wrote there
        return None
