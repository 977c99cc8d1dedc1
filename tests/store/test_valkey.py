"""The memory in real servers: what stands there, what goes wrong, and a cluster whose keys move."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator

import pytest
from redis.crc import key_slot

from tarry.store import Away, Mark, Order, Partly, Unsure, valkey_nodes
from tests import certificates
from tests.e2e.servers import valkey
from tests.e2e.servers.processes import wait_until
from tests.store.keeping import KEEP, NOW, Place, change

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def server() -> Iterator[valkey.Valkey]:
    if problem := valkey.missing():
        pytest.skip(problem)
    with valkey.Valkey(password="s3cret") as running:
        yield running


@pytest.fixture
def place(server: valkey.Valkey) -> Iterator[Place]:
    made = Place(server.url)
    yield made
    made.close()


def sessions(place: Place, key: str = "192.0.2.1") -> int:
    entry = place.run(place.store().read([key])).get(key)
    return entry.sessions if entry else 0


def test_what_stands_in_the_server(server: valkey.Valkey, place: Place) -> None:
    """One string a client, which expires; one hash for the marks; and nothing without the prefix."""
    store = place.store()
    place.run(store.write([change(), change("2001:db8::/64")]))
    place.run(store.mark(Mark("192.0.2.0/24", "deny", at=NOW)))
    with contextlib.closing(server.client()) as client:
        names = sorted(name.decode() for name in client.keys("test*"))
        assert [f"{place.prefix}{name}" for name in ("c:192.0.2.1", "c:2001:db8::/64", "marks")] == [
            name for name in names if name.startswith(place.prefix)
        ]
        assert KEEP - 60 < client.ttl(f"{place.prefix}c:192.0.2.1") <= KEEP
        assert len(names) == len(client.keys("*"))


@pytest.mark.parametrize("value", ["", "nonsense", b"\xc1", b"\x9a" + b"\xa1x" * 10])
def test_a_value_of_somebody_else_is_replaced(server: valkey.Valkey, place: Place, value: str | bytes) -> None:
    """It is nothing known, and the next session begins anew."""
    with contextlib.closing(server.client()) as client:
        client.set(f"{place.prefix}c:192.0.2.1", value)
    assert 0 == sessions(place)
    place.run(place.store().write([change(), change()]))
    assert 2 == sessions(place)


@pytest.mark.parametrize("command", ["LPUSH {} x", "HSET {} x y", "SADD {} x", "ZADD {} 1 x"])
def test_a_wrong_type_is_replaced(server: valkey.Valkey, place: Place, command: str) -> None:
    """Under a client's key, and under that of the marks."""
    store = place.store()
    with contextlib.closing(server.client()) as client:
        for name in ("c:192.0.2.1", "marks"):
            client.execute_command(*command.format(f"{place.prefix}{name}").split())
    assert 0 == sessions(place)
    assert [] == list(place.run(store.list(Order(), NOW)))
    assert [] == list(place.run(store.marks(NOW)))
    assert place.run(store.unmark("192.0.2.1")) is False
    place.run(store.write([change()]))
    place.run(store.mark(Mark("192.0.2.1", "deny", at=NOW)))
    assert (1, 1) == (sessions(place), len(place.run(store.marks(NOW))))


def test_a_mark_that_makes_no_sense_is_none(server: valkey.Valkey, place: Place) -> None:
    """Someone wrote it by hand; the others hold."""
    store = place.store()
    place.run(store.mark(Mark("192.0.2.1", "deny", at=NOW)))
    with contextlib.closing(server.client()) as client:
        client.hset(f"{place.prefix}marks", mapping={"a": "x", "b": '{"action": "maybe"}', b"\xff": '{"action": "deny"}'})
    assert ["192.0.2.1"] == [mark.what for mark in place.run(store.marks(NOW))]


def test_a_server_that_lost_the_script_is_told_it_again(server: valkey.Valkey, place: Place) -> None:
    """As one that was started anew."""
    store = place.store()
    place.run(store.write([change()]))
    with contextlib.closing(server.client()) as client:
        client.script_flush()
    place.run(store.write([change(), *(change(f"10.0.0.{number}") for number in range(120))]))
    assert (2, 1) == (sessions(place), sessions(place, "10.0.0.119"))


def test_a_server_without_memory_is_away(server: valkey.Valkey, place: Place) -> None:
    """What is there is read; and once there is room, changes are written."""
    store = place.store()
    place.run(store.write([change()]))
    with contextlib.closing(server.client()) as client:
        client.config_set("maxmemory", "1")
        with pytest.raises(Away, match="out of memory: raise its maxmemory"):
            place.run(store.write([change()]))
        with pytest.raises(Away, match="out of memory"):
            place.run(store.mark(Mark("192.0.2.1", "deny")))
        assert 1 == sessions(place)
        client.config_set("maxmemory", "0")
    place.run(store.write([change()]))
    assert 2 == sessions(place)


def test_a_replica_is_read_and_not_written(server: valkey.Valkey, place: Place) -> None:
    """Until it is the primary."""
    store = place.store()
    place.run(store.write([change()]))
    with contextlib.closing(server.client()) as client:
        client.replicaof("127.0.0.1", 1)
        with pytest.raises(Away, match="is a replica, which cannot be written"):
            place.run(store.write([change()]))
        assert 1 == sessions(place)
        client.replicaof("NO", "ONE")
    place.run(store.write([change()]))
    assert 2 == sessions(place)


def test_a_wrong_password_is_told_and_not_shown(server: valkey.Valkey) -> None:
    """None, another, and one of a user that there is not."""
    for login in ("", ":wr0ng@", "nobody:wr0ng@"):
        place = Place(f"valkey://{login}127.0.0.1:{server.port}")
        with pytest.raises(Away, match="wants another login") as told:
            place.run(place.store().read(["192.0.2.1"]))
        assert "wr0ng" not in str(told.value)
        place.close()


def test_other_ways_to_a_server() -> None:
    """A Unix socket, and TLS with a certificate that a file vouches for."""
    if problem := valkey.missing():
        pytest.skip(problem)
    with valkey.Valkey(is_unix=True, password="x") as over_unix, valkey.Valkey(tls=certificates.pair()) as over_tls:
        for server in (over_unix, over_tls):
            place = Place(server.url)
            place.run(place.store().write([change()]))
            assert 1 == sessions(place)
            place.close()


def test_a_server_that_stops_leaves_one_batch_in_doubt(
    place: Place, server: valkey.Valkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A connection that was there takes a request, and nobody knows; a new one is not greeted, so that the rest waits."""
    monkeypatch.setattr(valkey_nodes, "REPLY_WAIT", 1.5)  # a connection keeps what it was made with
    store = place.store()
    place.run(store.write([change()]))
    server.stop()
    monkeypatch.setattr(valkey_nodes, "CONNECT_WAIT", 1.0)
    try:
        with pytest.raises(Unsure, match="does not answer"):
            place.run(store.write([change()]))
        with pytest.raises(Away, match="does not answer"):
            place.run(store.write([change()]))
    finally:
        server.go_on()
    monkeypatch.setattr(valkey_nodes, "CONNECT_WAIT", 10.0)
    assert wait_until(lambda: sessions(place) == 2, 10.0)  # the one in doubt was there when it went on


def test_a_server_that_was_started_anew_is_found(place: Place, server: valkey.Valkey) -> None:
    """What was begun while it was down is certainly not done."""
    store = place.store()
    place.run(store.write([change()]))
    server.kill()
    place.run(asyncio.sleep(0.1))  # the loop hears of the end
    with pytest.raises(Away):
        place.run(store.write([change()]))
    server.start()
    assert 0 == sessions(place)
    place.run(store.write([change()]))
    assert 1 == sessions(place)


def test_a_store_that_is_closed_meanwhile_raises_nothing_else(place: Place) -> None:
    """Who still waits for a reply hears that it is unsure, or away, or has it."""
    store = place.store()

    async def both() -> list[object]:
        return list(await asyncio.gather(store.write([change()]), store.close(), return_exceptions=True))

    written, closed = place.run(both())
    assert closed is None
    assert written is None or isinstance(written, (Away, Unsure))


def test_keys_of_a_cluster_may_move() -> None:
    """While a slot is on its way (ASK), when it has arrived (MOVED), and when the server that has it is gone.

    Nothing is done twice, and what was certainly not done is told apart.
    """
    if problem := valkey.missing():
        pytest.skip(problem)
    with valkey.cluster() as nodes, contextlib.ExitStack() as stack:
        clients = [stack.enter_context(contextlib.closing(node.client())) for node in nodes]
        ids = [client.execute_command("CLUSTER", "MYID").decode() for client in clients]
        place = stack.enter_context(contextlib.closing(Place(f"{nodes[1].url}?cluster=true")))
        store = place.store()
        keys = [f"192.0.2.{number}" for number in range(60)]
        place.run(store.write([change(key) for key in keys]))
        name = f"{place.prefix}c:{keys[0]}"
        slot = key_slot(name.encode())
        source = next(number for number, client in enumerate(clients) if client.execute_command("DBSIZE") and _has(client, name))
        target = (source + 1) % 3
        clients[target].execute_command("CLUSTER", "SETSLOT", slot, "IMPORTING", ids[source])
        clients[source].execute_command("CLUSTER", "SETSLOT", slot, "MIGRATING", ids[target])
        clients[source].execute_command("MIGRATE", "127.0.0.1", nodes[target].port, name, 0, 5000)
        place.run(store.write([change(key) for key in keys]))
        assert {2} == {sessions_of(place, key) for key in keys}
        for number in (target, source):
            clients[number].execute_command("CLUSTER", "SETSLOT", slot, "NODE", ids[target])
        place.run(store.write([change(key) for key in keys]))
        assert {3} == {sessions_of(place, key) for key in keys}
        assert 60 == len(place.run(store.list(Order(limit=100), NOW))) == place.run(store.count())
        gone = {key for key in keys if _primary_of(clients[target], f"{place.prefix}c:{key}") == ids[source]}
        assert 0 < len(gone) < 60
        nodes[source].kill()  # and the loop does not run in between, so that nobody hears of it
        with pytest.raises(Partly) as told:
            place.run(store.write([change(key) for key in keys]))
        assert (gone, set()) == (set(told.value.unsure), set(told.value.undone))
        with pytest.raises(Away):
            place.run(store.write([change(key) for key in keys]))
        with pytest.raises(Away):
            place.run(store.read(keys))


def _has(client: object, name: str) -> bool:
    try:
        return bool(client.exists(name))  # type: ignore[attr-defined]
    except Exception:  # MOVED: another has it
        return False


def _primary_of(client: object, name: str) -> str:
    slot = key_slot(name.encode())
    for first, last, primary, *_ in client.execute_command("CLUSTER", "SLOTS"):  # type: ignore[attr-defined]
        if first <= slot <= last:
            return str(primary[2].decode())
    raise AssertionError(slot)


def sessions_of(place: Place, key: str) -> int:
    """The same with a store that is there already."""
    entry = place.run(place._stores[0].read([key])).get(key)
    return entry.sessions if entry else 0
