"""states - what a running server tells of itself.

What      `State` is the reply to ``status``: of one process, or of all that share the work (`joined`). `troubles` is what the
          operator should see to, `unhealthy` why a balancer should send its clients elsewhere.
Promises  Values only; JSON both ways. Fields are only ever added, and one that an older server does not tell has its default.
          The counts are the tally of closing lines (record/tally) and nothing else; the rest is as of this moment.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from tarry.record.tally import Tally


class Mta(msgspec.Struct, frozen=True):
    """Where mail goes, and whether that answered when it was last asked."""

    where: str
    ok: bool = True
    why: str = ""


class List(msgspec.Struct, frozen=True):
    """A DNS list that is asked, or (``ok`` false) is not, since it failed its test."""

    zone: str
    ok: bool = True
    why: str = ""


class Store(msgspec.Struct, frozen=True):
    """The memory of clients: where it is (without a password), and what waits to be written to it or was lost."""

    url: str
    ok: bool = True
    why: str = ""
    cached: int = 0
    waiting: int = 0
    lost: int = 0


class Stress(msgspec.Struct, frozen=True):
    """What the server is short of: ``descriptors``, or places for clients (``load``)."""

    what: str
    why: str = ""


class Worker(msgspec.Struct, frozen=True):
    """One of the processes that share the work. ``ok`` is false for one that did not answer (``why``): it has no figures then,
    and what it had counted when it last answered is in the sum."""

    number: int
    ok: bool = True
    why: str = ""
    pid: int = 0
    since: float = 0.0
    config: str = ""
    held: int = 0
    in_session: int = 0
    sessions: int = 0


class State(msgspec.Struct, frozen=True):
    """A server at this moment, and what it has done ``since`` then (UTC epoch seconds).

    ``worker`` is the number of a process among those that share the work, 0 where it is alone or speaks for all. ``config`` is the
    configuration's fingerprint. ``draining``: it takes no clients any more. ``observes``: it lets everyone through.
    """

    pid: int
    version: str
    since: float
    config: str
    worker: int = 0
    listen: tuple[str, ...] = ()
    max_clients: int = 0
    held: int = 0
    in_session: int = 0
    draining: bool = False
    observes: bool = False
    stress: tuple[Stress, ...] = ()
    mta: Mta = Mta("")
    lists: tuple[List, ...] = ()
    store: Store | None = None
    workers: tuple[Worker, ...] = ()
    tally: Tally = msgspec.field(default_factory=Tally)


def worker_of(state: State) -> Worker:
    """Return the line of one process in the table of all."""
    return Worker(
        state.worker,
        pid=state.pid,
        since=state.since,
        config=state.config,
        held=state.held,
        in_session=state.in_session,
        sessions=state.tally.sessions,
    )


def joined(states: Sequence[State], *, pid: int, since: float, workers: Sequence[Worker], tally: Tally) -> State:
    """Return what processes that share the work come to, told by *pid*. There may be none that answered.

    The MTA is away where nobody reaches it; a list or the store is where one process says so. ``max_clients`` is what those have
    room for that answered, as are ``held`` and ``in_session``: each worker has its own.
    """
    first = states[0] if states else State(pid, "", since, "", mta=Mta("", False, "no worker answers"))
    return State(
        pid=pid,
        version=first.version,
        since=since,
        config=first.config,
        listen=tuple(dict.fromkeys(where for one in states for where in one.listen)),
        max_clients=sum(one.max_clients for one in states),
        held=sum(one.held for one in states),
        in_session=sum(one.in_session for one in states),
        draining=bool(states) and all(one.draining for one in states),
        observes=first.observes,
        stress=tuple({stress.what: stress for one in states for stress in one.stress}.values()),
        mta=next((one.mta for one in states if one.mta.ok), first.mta),
        lists=tuple({one.zone: one for good in (True, False) for each in states for one in each.lists if one.ok is good}.values()),
        store=_joined_stores([one.store for one in states if one.store is not None]),
        workers=tuple(workers),
        tally=tally,
    )


def troubles(state: State) -> tuple[str, ...]:
    """Return what the operator should see to, each in a sentence; nothing where all is well."""
    found = [f"worker {one.number} does not answer: {one.why}" for one in state.workers if not one.ok]
    if not state.mta.ok and not _is_deserted(state):
        found.append(_mta_is_away(state.mta))
    if state.store is not None and not state.store.ok:
        found.append(f"the memory of clients at {state.store.url} is away: {state.store.why}")
    return tuple(found)


def unhealthy(state: State) -> tuple[str, ...]:
    """Return why clients should be sent elsewhere; nothing where they may come.

    A store that is away is no reason: nothing is remembered meanwhile, and mail comes in. Nor is one worker of several.
    """
    if _is_deserted(state):
        return ("no worker answers",)
    found = ["it is draining: no new clients are taken"] if state.draining else []
    if not state.mta.ok:
        found.append(_mta_is_away(state.mta))
    return tuple(found)


def _is_deserted(state: State) -> bool:
    return bool(state.workers) and not any(one.ok for one in state.workers)


def _mta_is_away(mta: Mta) -> str:
    return f"the MTA at {mta.where} is away: {mta.why or 'it has not answered yet'}"


def _joined_stores(stores: Sequence[Store]) -> Store | None:
    if not stores:
        return None
    worst = min(stores, key=lambda one: one.ok)
    return Store(
        worst.url,
        worst.ok,
        worst.why,
        sum(one.cached for one in stores),
        sum(one.waiting for one in stores),
        sum(one.lost for one in stores),
    )
