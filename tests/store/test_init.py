"""The suite that every store passes: a file, a server, and a cluster of servers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tarry.core.history import Change, Pass
from tarry.store import Away, Mark, Order, Store
from tests.e2e.servers import valkey
from tests.store.keeping import NOW, Place, are_alike, came_to, change, changes, sqlite_places

Places = Callable[[], Place]


@pytest.fixture(
    scope="module",
    params=["sqlite", pytest.param("valkey", marks=pytest.mark.e2e), pytest.param("cluster", marks=pytest.mark.e2e)],
)
def places(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Places]:
    """Gives a fresh place at each call."""
    made: list[Place] = []

    def keep(place: Place) -> Place:
        made.append(place)
        return place

    if request.param != "sqlite" and (problem := valkey.missing()):
        pytest.skip(problem)
    match request.param:
        case "sqlite":
            found = sqlite_places(tmp_path_factory.mktemp("stores"))
            yield lambda: keep(next(found))
            _close(made)
        case "valkey":
            with valkey.Valkey() as server:
                yield lambda: keep(Place(server.url))
                _close(made)
        case "cluster":
            with valkey.cluster() as nodes:
                yield lambda: keep(Place(f"{nodes[0].url}?cluster=true"))
                _close(made)


def _close(made: list[Place]) -> None:
    for place in made:
        place.close()


def test_nothing_is_known_at_first(places: Places) -> None:
    """And that is no fault."""
    place = places()
    store = place.store()
    assert {} == place.run(store.read(["192.0.2.1", "example.org"]))
    assert {} == place.run(store.read([]))
    assert 0 == place.run(store.count())
    assert [] == list(place.run(store.list(Order(), NOW)))
    assert [] == list(place.run(store.marks(NOW)))
    assert 0 == place.run(store.forget(["192.0.2.1"]))
    assert place.run(store.unmark("192.0.2.1")) is False


def test_what_was_written_is_read_by_others(places: Places) -> None:
    """By another process, whole, and under its own key only."""
    place = places()
    first, second = place.store(), place.store()
    place.run(first.write([change(), change("2001:db8::/64", points=-3.0, refused=1, reasons=("pregreet.spoke",))]))
    place.run(second.write([change(domain="example.org")]))
    found = place.run(first.read(["192.0.2.1", "2001:db8::/64", "192.0.2.2"]))
    assert ["192.0.2.1", "2001:db8::/64"] == sorted(found)
    assert are_alike(came_to([change(), change(domain="example.org")]), found["192.0.2.1"])
    assert (-3.0, 1) == (found["2001:db8::/64"].karma, found["2001:db8::/64"].refused)


@settings(max_examples=40)
@given(st.lists(changes(), min_size=1, max_size=12), st.integers(1, 4))
def test_entries_are_what_merged_makes_of_them(places: Places, made: list[Change], size: int) -> None:
    """Whatever the changes, in whatever batches, by whichever of two processes."""
    place = _shared(places)
    first, second = _two_stores(place)
    place.run(first.forget(["192.0.2.1"]))
    for number, start in enumerate(range(0, len(made), size)):
        place.run((first, second)[number % 2].write(made[start : start + size]))
    found = place.run(first.read(["192.0.2.1"])).get("192.0.2.1")
    assert are_alike(came_to(made), found), (came_to(made), found)


_kept: dict[int, tuple[Place, Store, Store]] = {}


def _shared(places: Places) -> Place:
    """One place for all examples of a kind of store: a server need not be asked for a new connection each time."""
    if id(places) not in _kept:
        place = places()
        _kept[id(places)] = place, place.store(), place.store()
    return _kept[id(places)][0]


def _two_stores(place: Place) -> tuple[Store, Store]:
    return next((first, second) for kept, first, second in _kept.values() if kept is place)


def test_what_a_clock_wrote_that_ran_ahead_is_nothing_known(places: Places) -> None:
    """It would not fade for years, and no good session would count: the next one begins anew. Half a day is no such clock."""
    place = places()
    store = place.store()
    far, near = NOW + 400 * 86400.0, NOW + 43200.0
    place.run(store.write([change(at=far, points=-20.0, passes=(Pass("pregreet", far + 9.0),)), change("192.0.2.2", near)]))
    assert ["192.0.2.2"] == list(place.run(store.read(["192.0.2.1", "192.0.2.2"])))
    assert ["192.0.2.2"] == [entry.key for entry in place.run(store.list(Order(), NOW))]
    place.run(store.write([change(), change("192.0.2.2")]))
    found = place.run(store.read(["192.0.2.1", "192.0.2.2"]))
    assert [(1.0, 1), (1.707, 2)] == [(round(one.karma, 3), one.sessions) for one in found.values()]
    assert () == found["192.0.2.1"].passes


def test_a_large_batch_is_one_as_well(places: Places) -> None:
    """1,200 keys, of which the first is there twice."""
    place = places()
    store = place.store()
    keys = [f"10.0.{number >> 8}.{number & 255}" for number in range(1200)]
    place.run(store.write([*(change(key) for key in keys), change(keys[0])]))
    found = place.run(store.read(keys))
    assert ([2] + [1] * 1199, 1200) == ([found[key].sessions for key in keys], place.run(store.count()))
    assert 1200 == place.run(store.forget([*keys, "192.0.2.1"]))
    assert 0 == place.run(store.count())


def test_processes_that_write_at_once_lose_nothing(places: Places) -> None:
    """Each change counts once, whoever reads and writes in between."""
    place = places()
    stores = [place.store() for _ in range(3)]

    async def write(store: Store) -> None:
        for _ in range(20):
            await store.write([change(points=0.25), change("example.org", points=0.25)])

    async def all_write() -> None:
        await asyncio.gather(*map(write, stores))

    place.run(all_write())
    found = place.run(stores[0].read(["192.0.2.1", "example.org"]))
    assert [(60, 15.0)] * 2 == [(found[key].sessions, round(found[key].karma, 6)) for key in ("192.0.2.1", "example.org")]


def test_entries_are_listed_in_order(places: Places) -> None:
    """By karma as it is now, and by when they were seen last; the first ones only, and those whose key contains a text."""
    place = places()
    store = place.store()
    day = 86400.0
    place.run(
        store.write(
            [
                change("192.0.2.1", NOW, -3.0),
                change("192.0.2.2", NOW - 2 * day, -8.0),  # -2 by now
                change("192.0.2.3", NOW - day, 9.0),  # 4.5 by now
                change("example.org", NOW - 3 * day, 16.0),  # 2 by now
            ]
        )
    )

    def listed(order: Order) -> list[str]:
        return [entry.key for entry in place.run(store.list(order, NOW))]

    assert ["192.0.2.1", "192.0.2.2", "example.org", "192.0.2.3"] == listed(Order())
    assert ["192.0.2.3", "example.org", "192.0.2.2", "192.0.2.1"] == listed(Order("best"))
    assert ["192.0.2.1", "192.0.2.3", "192.0.2.2", "example.org"] == listed(Order("last"))
    assert ["192.0.2.3", "192.0.2.2"] == listed(Order("best", "192.0", 2))
    assert [["example.org"], [], [], []] == [listed(Order(match=text)) for text in ("ple", "*", "192?0", "[0-9]")]
    (entry,) = place.run(store.list(Order(match="ple"), NOW))
    assert are_alike(came_to([change("example.org", NOW - 3 * day, 16.0)]), entry)


def test_marks_are_kept_until_they_are_over(places: Places) -> None:
    """One for each address or network, the last that was said."""
    place = places()
    store, other = place.store(), place.store()
    for_ever = Mark("192.0.2.0/24", "deny", 0.0, 'Vertrag „7“ "x"', NOW)
    for_an_hour = Mark("192.0.2.7", "allow", NOW + 3600, "", NOW)
    over = Mark("192.0.2.8", "deny", NOW - 1, "", NOW - 10)
    for mark in (Mark("192.0.2.7", "deny", 0.0, "before", NOW - 5), over, for_ever, for_an_hour):
        place.run(store.mark(mark))
    assert [for_ever, for_an_hour] == list(place.run(other.marks(NOW)))
    assert [for_ever] == list(place.run(other.marks(NOW + 3600)))
    assert [True, False] == [place.run(other.unmark("192.0.2.7")) for _ in range(2)]
    assert [for_ever] == list(place.run(store.marks(NOW)))


def test_entries_and_marks_do_not_meet(places: Places) -> None:
    """An entry may be called what marks are."""
    place = places()
    store = place.store()
    place.run(store.mark(Mark("marks", "deny", 0.0, "", NOW)))
    place.run(store.write([change("marks")]))
    assert (1, 1, 1) == (len(place.run(store.marks(NOW))), place.run(store.count()), len(place.run(store.read(["marks"]))))


def test_a_closed_store_is_away(places: Places) -> None:
    """It can be closed before it was used, and twice."""
    place = places()
    store = place.store()
    place.run(store.close())
    place.run(store.close())
    for asked in (store.read(["192.0.2.1"]), store.write([change()]), store.marks(NOW)):
        with pytest.raises(Away, match="closed"):
            place.run(asked)


def test_where_is_the_url(places: Places) -> None:
    """As an operator knows it."""
    place = places()
    assert place.url.removesuffix("?cluster=true") == place.store().where
