"""The memory of clients, opened for one command."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from tests.cli.remembering import MemoryStore

from tarry.cli.opened import Memory, NoMemory, memory_of
from tarry.config.schema import Config
from tarry.store import Store, Unsure


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> MemoryStore:
    made = MemoryStore()
    monkeypatch.setattr("tarry.store.places.open_store", lambda url, **_: made)
    return made


def memory(url: str = "valkey://192.0.2.250:6379/0") -> Memory:
    return memory_of(Config(), url)


async def count(store: Store) -> int:
    return await store.count()


def test_it_is_used_and_closed(store: MemoryStore) -> None:
    """What the work comes to is returned."""
    assert 0 == memory().use(count)
    assert store.is_closed


def test_which_one() -> None:
    """That of the configuration, or the one that was named in its place."""
    assert "sqlite:tarry.db" == memory_of(Config()).url
    assert "none" == memory_of(Config(), "none").url


def failing(memory: Memory, work: object = count) -> tuple[int, str]:
    with pytest.raises(NoMemory) as fault:
        memory.use(work)  # type: ignore[arg-type]
    return fault.value.status, str(fault.value)


def test_a_store_that_is_away(store: MemoryStore) -> None:
    """Try later; it is closed all the same."""
    store.why = "Connection refused"
    expected = (75, "the memory of clients (valkey://192.0.2.250:6379/0) is away: Connection refused")
    assert expected == failing(memory())
    assert store.is_closed


def test_a_store_is_named_once(store: MemoryStore) -> None:
    """Where its own words do not."""
    store.why = "valkey://192.0.2.250:6379/0: Connection refused"
    assert (75, f"the memory of clients is away: {store.why}") == failing(memory())


def test_a_store_that_does_not_say(store: MemoryStore) -> None:
    """Whether it did what was asked, or anything at all."""

    async def unsure(_: Store) -> int:
        raise Unsure("the connection broke")

    assert 75 == failing(memory(), unsure)[0]

    async def silent(_: Store) -> int:
        await asyncio.Event().wait()
        return 0

    with pytest.raises(NoMemory, match="no answer within 0 s") as fault:
        memory().use(silent, patience=0.01)
    assert 75 == fault.value.status


def test_no_memory_is_wanted() -> None:
    """Nothing is known then."""
    assert (1, 'nothing is remembered: store.url is "none"') == failing(memory("none"))


def test_a_file_that_is_not_there(store: MemoryStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Is not made by who only looks, and its whole name is told; who says something makes it."""
    monkeypatch.chdir(tmp_path)
    status, why = failing(memory("sqlite:tarry.db"))
    assert (1, True) == (status, why.startswith(f"nothing is remembered: there is no {tmp_path / 'tarry.db'}; name"))
    assert 0 == memory("sqlite:tarry.db").use(count, makes=True)
    Path("tarry.db").touch()
    assert 0 == memory("sqlite:tarry.db").use(count) == memory("sqlite://tarry.db").use(count)


def test_a_url_that_is_none() -> None:
    """Wrong usage, in the words of the store."""
    assert 2 == failing(memory("gopher://192.0.2.7"))[0]


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("valkey://192.0.2.250:6379/0", "valkey://192.0.2.250:6379/0"),
        ("valkey://tarry:secret@192.0.2.250:6379/0", "valkey://tarry:***@192.0.2.250:6379/0"),
        ("valkeys://:secret@[2001:db8::1]:6379/0", "valkeys://:***@[2001:db8::1]:6379/0"),
        ("sqlite:/var/lib/tarry/tarry.db", "sqlite:/var/lib/tarry/tarry.db"),
    ],
)
def test_no_password_is_shown(url: str, shown: str) -> None:
    """And a file with its whole name."""
    assert shown == memory(url).shown


def test_a_name_is_relative_to_where_it_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As for the server."""
    monkeypatch.chdir(tmp_path)
    assert f"sqlite:{tmp_path / 'tarry.db'}" == memory_of(Config()).shown


def test_karma_fades_as_the_configuration_says() -> None:
    """With its half-life, and its most."""
    config = Config.from_toml('[karma]\nhalf_life = "1d"\nmost = 7\n')
    fading = memory_of(config).fading
    assert (86400.0, 7.0) == (fading.half_life, fading.most)
