"""store: the memory of clients. `Store` is what a place to keep it in must offer; sqlite.py and valkey.py are two of them.

What      Entries of clients and domains (core/history), and marks: what the operator said of a client by hand.
Promises  `write` is atomic for each key whoever else writes, and comes to what `core.history.merged` says. A change that was
          written is not written twice: where it is not known whether one arrived, it is given up (`Unsure`), since a penalty that
          counts twice is worse than one that is lost. What has not been seen for ``keep`` seconds is forgotten, and what a clock
          wrote that ran ahead (`core.history.is_ahead`) is nothing known. One suite of tests runs on every store.
Not here  Deadlines, batches, the cache, and what happens while a store is away: desk.py.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Literal, Protocol

import msgspec

from tarry.core.history import Change, Entry


class Away(Exception):
    """The store cannot be used now, and nothing of what was asked has been done. The text says why, in one line."""


class Unsure(Exception):
    """The store did not say whether it did what was asked."""


class Partly(Exception):
    """Of what was to be written, the changes of some keys were not: ``undone`` are certainly not written, of ``unsure`` nobody
    knows. All others are."""

    def __init__(self, why: str, *, undone: Collection[str] = (), unsure: Collection[str] = ()) -> None:
        super().__init__(why)
        self.undone = undone
        self.unsure = unsure


class Failed(msgspec.Struct, frozen=True):
    """In place of a reply. ``is_undone``: certainly nothing was done. ``is_elsewhere``: another server may do it by now."""

    why: str
    is_undone: bool
    is_no_script: bool = False
    is_wrong_type: bool = False
    is_elsewhere: bool = False


class Mark(msgspec.Struct, frozen=True):
    """What the operator said by hand. ``what`` is an address or a network, in the form that `ipaddress` writes; ``until`` is in
    UTC epoch seconds, 0 for ever; ``at`` when it was said."""

    what: str
    action: Literal["allow", "deny"]
    until: float = 0.0
    comment: str = ""
    at: float = 0.0


class Order(msgspec.Struct, frozen=True):
    """Which entries to list: those whose key contains ``match``, the worst or the best karma first, or the last seen first."""

    by: Literal["worst", "best", "last"] = "worst"
    match: str = ""
    limit: int = 50


class Store(Protocol):
    """A place to keep the memory in. Every method raises `Away`, or `Unsure` where it changes something, `write` also `Partly`,
    and nothing else.

    It is opened at the first use, in the process and the event loop that use it: never before a fork.
    """

    @property
    def where(self) -> str:
        """Its URL, without a password."""

    async def read(self, keys: Collection[str]) -> Mapping[str, Entry]:
        """Return what there is under these keys, in one round trip."""

    async def write(self, changes: Sequence[Change]) -> None:
        """Merge changes into their entries, in one round trip."""

    async def forget(self, keys: Collection[str]) -> int:
        """Delete entries; return how many there were."""

    async def list(self, order: Order, now: float) -> Sequence[Entry]:
        """Return entries, sorted by their karma as it is at *now* or by when they were last seen."""

    async def marks(self, now: float) -> Sequence[Mark]:
        """Return every mark that holds at *now*."""

    async def mark(self, mark: Mark) -> None:
        """Keep a mark, in place of what was said of the same address or network before."""

    async def unmark(self, what: str) -> bool:
        """Take a mark back; False where there was none."""

    async def count(self) -> int:
        """Return how many entries there are."""

    async def close(self) -> None:
        """End. What is under way is finished first. Never raises."""
