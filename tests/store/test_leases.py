"""Leases: what hosts tell each other of clients near a limit, with a real server between them."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Coroutine, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tarry.core.clock import ManualClock
from tarry.core.counts import Limit
from tarry.core.history import Change, Fading
from tarry.store import Away, Failed, Mark, Order
from tarry.store.leases import EVERY, LEASE, Leases, open_leases
from tarry.store.places import open_store
from tests.e2e.servers import valkey
from tests.shell import LeapingLoop

KEY, OTHER = b"\xc0\0\2\1", b"\x20\x01\x0d\xb8\0\0\0\1"
Told = Mapping[Limit, Mapping[bytes, int]]


def told(count: int, key: bytes = KEY, limit: Limit = Limit.CLIENT) -> Told:
    return {limit: {key: count}}


class Memory:
    """A server's few commands over a dictionary, with expiry by the clock; it can be away."""

    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock
        self.kept: dict[str, tuple[bytes, float]] = {}
        self.names: set[bytes] = set()
        self.is_away = False
        self.fault: Exception | None = None
        self.failed: dict[str, Failed] = {}
        self.is_closed = False
        self.asked = 0

    async def ask(self, commands: Sequence[tuple[Any, ...]], keys: Sequence[str | bytes]) -> list[Any]:
        assert [str(command[1]) for command in commands] == list(keys)
        self.asked += 1
        if self.is_away:
            raise Away("it is away")
        if self.fault is not None:
            raise self.fault
        return [self.failed.get(command[0]) or self._do(*command) for command in commands]

    async def close(self) -> None:
        self.is_closed = True

    def _do(self, command: str, name: str, *rest: Any) -> Any:
        match command:
            case "SET":
                value, unit, seconds = rest
                assert unit == "EX"
                self.kept[name] = (value, self.clock.monotonic() + seconds)
                return b"OK"
            case "GET":
                value, until = self.kept.get(name, (b"", 0.0))
                return value if until > self.clock.monotonic() else None
            case "DEL":
                return int(self.kept.pop(name, None) is not None)
            case "SADD":
                self.names |= {one.encode() for one in rest}
            case "SREM":
                self.names -= {one.encode() for one in rest}
            case "SMEMBERS":
                return list(self.names)
        return 1


class Fleet:
    """Hosts around one store."""

    def __init__(self) -> None:
        self.clock = ManualClock(100.0)
        self.memory = Memory(self.clock)

    def host(self, name: str, worker: int = 0) -> Leases:
        return Leases(self.clock, self.memory, prefix="t:", host=name, worker=worker)


@pytest.fixture
def fleet() -> Fleet:
    return Fleet()


def run(coroutine: Coroutine[Any, Any, None]) -> None:
    with asyncio.Runner(loop_factory=LeapingLoop) as runner:
        runner.run(coroutine)


def test_hosts_add_up_and_processes_of_a_host_do_not(fleet: Fleet) -> None:
    """Each of its processes tells of the whole host, the last of them a little later; a host does not hear itself."""

    async def scenario() -> None:
        one, two, three = fleet.host("a", 1), fleet.host("a", 2), fleet.host("b")
        await one.turn(told(12))
        await two.turn(told(13))
        await three.turn(told(30))
        for lease in (one, two, three):
            await lease.turn({Limit.CLIENT: {KEY: {id(one): 12, id(two): 13, id(three): 30}[id(lease)]}})
        assert [30, 30, 13] == [lease.elsewhere(Limit.CLIENT, KEY) for lease in (one, two, three)]
        watching = fleet.host("c")
        await watching.turn({})
        assert 43 == watching.elsewhere(Limit.CLIENT, KEY)
        assert [0, 0] == [watching.elsewhere(Limit.CLIENT, OTHER), watching.elsewhere(Limit.NETWORK, KEY)]

    run(scenario())


def test_what_is_not_told_any_more_is_forgotten(fleet: Fleet) -> None:
    """Within a second by who lives, after the lease by who has died; and nothing is left in the store."""

    async def scenario() -> None:
        one, two, watching = fleet.host("a"), fleet.host("b"), fleet.host("c")
        await one.turn(told(5))
        await two.turn(told(7, OTHER, Limit.NETWORK_RATE))
        await watching.turn({})
        assert [5, 7] == [watching.elsewhere(Limit.CLIENT, KEY), watching.elsewhere(Limit.NETWORK_RATE, OTHER)]
        await one.turn({})
        await watching.turn({})
        assert [0, 7] == [watching.elsewhere(Limit.CLIENT, KEY), watching.elsewhere(Limit.NETWORK_RATE, OTHER)]
        fleet.clock.advance(LEASE)
        await watching.turn({})
        assert 0 == watching.elsewhere(Limit.NETWORK_RATE, OTHER)
        assert set() == fleet.memory.names

    run(scenario())


def test_who_has_nothing_to_tell_writes_nothing(fleet: Fleet) -> None:
    """And its turn is one question, while nobody else tells anything."""

    async def scenario() -> None:
        one = fleet.host("a")
        await one.turn({})
        assert (1, {}, set()) == (fleet.memory.asked, fleet.memory.kept, fleet.memory.names)
        await one.close()
        assert (1, True) == (fleet.memory.asked, fleet.memory.is_closed)

    run(scenario())


def test_while_the_store_is_away_each_host_counts_for_itself(fleet: Fleet) -> None:
    """What was read counts for as long as a lease; nothing is raised, and what is told when it is back is what is so then."""

    async def scenario() -> None:
        one, two = fleet.host("a"), fleet.host("b")
        await one.turn(told(5))
        await two.turn(told(6))
        fleet.memory.is_away = True
        fleet.clock.advance(LEASE - 1)
        await two.turn(told(6))
        assert 5 == two.elsewhere(Limit.CLIENT, KEY)
        fleet.clock.advance(1)
        await two.turn(told(8))
        assert 0 == two.elsewhere(Limit.CLIENT, KEY)
        await two.close()
        fleet.memory.is_away = False
        again = fleet.host("b")
        await one.turn(told(9))
        await again.turn({})
        assert 9 == again.elsewhere(Limit.CLIENT, KEY)

    run(scenario())


@pytest.mark.parametrize("command", ["SMEMBERS", "GET"])
def test_a_reply_that_does_not_come_is_a_store_that_is_away(command: str, fleet: Fleet) -> None:
    """A server that hangs, or reads its file, takes nothing back of what the others have told."""

    async def scenario() -> None:
        one, two = fleet.host("a"), fleet.host("b")
        await one.turn(told(5))
        await two.turn(told(6))
        fleet.memory.failed[command] = Failed("it does not answer", is_undone=False)
        fleet.clock.advance(LEASE - 1)
        await two.turn(told(6))
        assert 5 == two.elsewhere(Limit.CLIENT, KEY)
        fleet.clock.advance(1)
        await two.turn(told(6))
        assert 0 == two.elsewhere(Limit.CLIENT, KEY)

    run(scenario())


@pytest.mark.parametrize("command", ["SMEMBERS", "GET"])
def test_what_is_of_another_type_is_nobody(command: str, fleet: Fleet) -> None:
    """Somebody else keeps something under this name, and the server answers well."""

    async def scenario() -> None:
        one, two = fleet.host("a"), fleet.host("b")
        await one.turn(told(5))
        await two.turn(told(6))
        fleet.memory.failed[command] = Failed("WRONGTYPE", is_undone=True, is_wrong_type=True)
        await two.turn(told(6))
        assert 0 == two.elsewhere(Limit.CLIENT, KEY)

    run(scenario())


def test_a_fault_of_a_library_is_a_store_that_is_away(fleet: Fleet) -> None:
    """What was read last would else count for ever, and clients near a limit be refused for what hosts once told."""
    faults: list[Any] = []

    async def scenario() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: faults.append(context["exception"]))
        one, two = fleet.host("a"), fleet.host("b")
        await one.turn(told(5))
        two.start(lambda now: told(6))
        await asyncio.sleep(EVERY / 2)
        assert 5 == two.elsewhere(Limit.CLIENT, KEY)
        fleet.memory.fault = AttributeError("our bug, or theirs")
        fleet.clock.advance(LEASE)
        await asyncio.sleep(2 * EVERY)
        assert 0 == two.elsewhere(Limit.CLIENT, KEY)
        await two.close()

    run(scenario())
    assert [AttributeError] * 2 == [type(fault) for fault in faults]


def test_the_turns_of_a_process(fleet: Fleet) -> None:
    """One a second, of what the door says at that moment; the end takes back what was told."""

    async def scenario() -> None:
        one, watching = fleet.host("a"), fleet.host("b")
        asked: list[float] = []

        def heavy(now: float) -> Told:
            asked.append(now)
            return told(len(asked))

        one.start(heavy)
        await asyncio.sleep(2.5 * EVERY)
        assert [fleet.clock.monotonic()] * 3 == asked
        await watching.turn({})
        assert 3 == watching.elsewhere(Limit.CLIENT, KEY)
        await one.close()
        await watching.turn({})
        assert 0 == watching.elsewhere(Limit.CLIENT, KEY)
        assert ({}, set()) == (fleet.memory.kept, fleet.memory.names)

    run(scenario())


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"[]",
        b'{"max_per_client": 7}',
        b'{"max_per_client": {"xyz": 1}}',
        b'{"later": {"c0000201": 1}}',
        b'{"max_per_client": {"c0000201": -4}}',
    ],
)
def test_what_cannot_be_read_is_not_there(text: bytes, fleet: Fleet) -> None:
    """Of another version, or of somebody else who keeps something under this name; others are heard all the same."""

    async def scenario() -> None:
        await fleet.host("a").turn(told(5))
        fleet.memory.names.add(b"other:1")
        fleet.memory.kept["t:lease:other:1"] = (text, 1e9)
        fleet.memory.names |= {b"", b"\xff\xfe", b"no worker"}
        watching = fleet.host("c")
        await watching.turn({})
        assert 5 == watching.elsewhere(Limit.CLIENT, KEY)

    run(scenario())


@pytest.mark.parametrize("url", ["none", "sqlite:tarry.db"])
def test_only_a_shared_store_has_leases(url: str) -> None:
    """A file is one host's."""
    assert open_leases(url, ManualClock(), prefix="", host="a", worker=1) is None


def test_a_url_that_is_none() -> None:
    """Is a ValueError with a sentence, as the memory's."""
    with pytest.raises(ValueError, match="no place"):
        open_leases("postgres://", ManualClock(), prefix="", host="a", worker=1)


# A real server.


@pytest.fixture(scope="module")
def server() -> Iterator[valkey.Valkey]:
    if problem := valkey.missing():
        pytest.skip(problem)
    with valkey.Valkey() as running:
        yield running


def leases(url: str, host: str, prefix: str) -> Leases:
    found = open_leases(url, ManualClock(), prefix=prefix, host=host, worker=1)
    assert found is not None
    return found


@pytest.mark.e2e
def test_over_a_real_server(server: valkey.Valkey) -> None:
    """Told, read, taken back; the lease has its expiry, and what is no set under its name disturbs nobody."""

    async def scenario() -> None:
        one, two = leases(server.url, "a", "real:"), leases(server.url, "b", "real:")
        await one.turn({**told(5), Limit.NETWORK_RATE: {b"\xc0\0\2": 40}})
        await two.turn(told(6, OTHER))
        assert [5, 40, 0] == [
            two.elsewhere(*each) for each in ((Limit.CLIENT, KEY), (Limit.NETWORK_RATE, b"\xc0\0\2"), (Limit.CLIENT, OTHER))
        ]
        with server.client() as client:
            assert 0 < client.ttl("real:lease:a:1") <= LEASE
            client.delete("real:lease:a:1")
            await two.turn({})
            assert 0 == two.elsewhere(Limit.CLIENT, KEY)
            assert {b"b:1"} >= client.smembers("real:leases")
            await one.turn(told(5))
            await one.close()
            await two.close()
            assert [] == client.keys("real:*")
            client.set("strange:leases", "no set")
            three = leases(server.url, "c", "strange:")
            await three.turn(told(1))
            await three.close()

    asyncio.run(scenario())


@pytest.mark.e2e
def test_a_real_server_that_ends(server: valkey.Valkey) -> None:
    """Nothing is raised and nobody waits long; once it is back the others are heard again."""

    async def scenario() -> None:
        one, two = leases(server.url, "a", "ends:"), leases(server.url, "b", "ends:")
        await one.turn(told(5))
        server.kill()
        async with asyncio.timeout(10):
            await two.turn(told(6))
        assert 0 == two.elsewhere(Limit.CLIENT, KEY)
        server.start()
        await one.turn(told(5))
        await two.turn(told(6))
        assert 5 == two.elsewhere(Limit.CLIENT, KEY)
        for lease in (one, two):
            with suppress(Away):
                await lease.close()

    asyncio.run(scenario())


@pytest.mark.e2e
def test_the_acl_of_the_documentation_is_enough(server: valkey.Valkey) -> None:
    """For the memory, the marks and the leases."""
    page = (Path(__file__).parents[2] / "docs" / "store.md").read_text()
    (rules,) = re.findall(r"^    user tarry (.*)$", page, re.MULTILINE)
    with server.client() as client:
        client.execute_command("ACL", "SETUSER", "tarry", *rules.split())
    url = server.url.replace("://", "://tarry:secret@")

    async def scenario() -> None:
        one, two = leases(url, "a", "tarry:"), leases(url, "b", "tarry:")
        await one.turn(told(5))
        await two.turn(told(6))
        assert 5 == two.elsewhere(Limit.CLIENT, KEY)
        await one.close()
        await two.close()
        store = open_store(url, fading=Fading(), keep=60.0, max_clients=1, prefix="tarry:")
        await store.write([Change("192.0.2.1", 1.0)])
        await store.mark(Mark("192.0.2.1", "allow"))
        found = await store.list(Order(), 1.0), await store.marks(1.0), await store.read(["192.0.2.1"]), await store.count()
        assert [1, 1, 1, 1] == [len(part) if not isinstance(part, int) else part for part in found]
        assert (1, True) == (await store.forget(["192.0.2.1"]), await store.unmark("192.0.2.1"))
        await store.close()

    asyncio.run(scenario())
