"""What servers tell of themselves, one by one and together."""

from __future__ import annotations

import msgspec
import pytest
from msgspec.structs import replace

from tarry.control.states import List, Mta, State, Store, Stress, Worker, joined, troubles, unhealthy, worker_of
from tarry.record.schema import Close
from tarry.record.tally import tally

TALLY = tally([Close(reasons=("pregreet.spoke",))])
ONE = State(
    pid=11,
    version="0.1",
    since=100.0,
    config="abc",
    worker=1,
    listen=("127.0.0.1:25",),
    max_clients=500,
    held=3,
    in_session=2,
    stress=(Stress("load", "450 of 500"),),
    mta=Mta("mx:25"),
    lists=(List("a.test"), List("b.test", False, "it lists 127.0.0.1")),
    store=Store("sqlite:x", True, "", 10, 2, 1),
    tally=TALLY,
)
TWO = replace(
    ONE,
    pid=12,
    worker=2,
    since=90.0,
    listen=("127.0.0.1:25", "[::1]:25"),
    held=4,
    in_session=1,
    stress=(),
    mta=Mta("mx:25", False, "no answer in time"),
    lists=(List("a.test", False, "it does not list 127.0.0.2"), List("b.test")),
    store=Store("sqlite:x", False, "disk full", 5, 1, 0),
)
GONE = Worker(3, False, "it is not running")


def together(*states: State) -> State:
    lines = [*(worker_of(one) for one in states), GONE]
    return joined(states, pid=9, since=90.0, workers=lines, tally=TALLY)


def test_a_state_is_what_is_read_of_its_json() -> None:
    """With all its parts."""
    whole = together(ONE, TWO)
    assert whole == msgspec.json.decode(msgspec.json.encode(whole), type=State)


def test_a_state_of_an_older_server_is_read() -> None:
    """What it does not tell has its default, and what it tells beyond is passed over."""
    assert State(1, "0.1", 2.0, "abc") == msgspec.json.decode(
        b'{"pid":1,"version":"0.1","since":2.0,"config":"abc","later":[1]}', type=State
    )


def test_workers_add_up() -> None:
    """So does their room; what one says is wrong with a list or the store is wrong; the MTA is there if one reaches it."""
    whole = together(ONE, TWO)

    assert (9, 0, 7, 3, 1000, 90.0) == (whole.pid, whole.worker, whole.held, whole.in_session, whole.max_clients, whole.since)
    assert (("127.0.0.1:25", "[::1]:25"), ONE.stress) == (whole.listen, whole.stress)
    assert (Mta("mx:25"), Store("sqlite:x", False, "disk full", 15, 3, 1)) == (whole.mta, whole.store)
    assert {List("a.test", False, "it does not list 127.0.0.2"), List("b.test", False, "it lists 127.0.0.1")} == set(whole.lists)
    assert [(1, 11, 3, 2, 1), (2, 12, 4, 1, 1), (3, 0, 0, 0, 0)] == [
        (one.number, one.pid, one.held, one.in_session, one.sessions) for one in whole.workers
    ]


def test_an_mta_that_nobody_reaches_is_away() -> None:
    """And the reason is told."""
    assert not together(replace(ONE, mta=TWO.mta), TWO).mta.ok
    assert "no answer in time" == together(TWO).mta.why


def test_all_drain_or_none_does() -> None:
    """While one takes clients, clients are taken."""
    draining = replace(ONE, draining=True)
    assert [True, False] == [together(draining).draining, together(draining, TWO).draining]


def test_nobody_answers() -> None:
    """That is a state, too: it is not healthy, and one line says why."""
    whole = together()
    assert (("no worker answers",), ("worker 3 does not answer: it is not running",)) == (unhealthy(whole), troubles(whole))
    assert whole.store is None


@pytest.mark.parametrize(
    ("state", "told", "kept_away"),
    [
        (replace(ONE, lists=(), stress=()), (), ()),
        (ONE, (), ()),
        (replace(ONE, draining=True), (), ("it is draining: no new clients are taken",)),
        (
            replace(ONE, mta=Mta("mx:25", False, "refused")),
            ("the MTA at mx:25 is away: refused",),
            ("the MTA at mx:25 is away: refused",),
        ),
        (
            replace(ONE, mta=Mta("mx:25", False)),
            ("the MTA at mx:25 is away: it has not answered yet",),
            ("the MTA at mx:25 is away: it has not answered yet",),
        ),
        (replace(ONE, store=TWO.store), ("the memory of clients at sqlite:x is away: disk full",), ()),
        (replace(ONE, workers=(worker_of(ONE), GONE)), ("worker 3 does not answer: it is not running",), ()),
    ],
    ids=["well", "a list is off", "draining", "MTA", "MTA never", "store", "a worker"],
)
def test_what_is_wrong_and_for_whom(state: State, told: tuple[str, ...], kept_away: tuple[str, ...]) -> None:
    """The operator sees to all of it; clients go elsewhere only where mail cannot come in."""
    assert (told, kept_away) == (troubles(state), unhealthy(state))
