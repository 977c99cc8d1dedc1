"""What the operator said by hand, on its way to the door."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from ipaddress import ip_address
from pathlib import Path

import pytest

from tarry.config.lists import read_lists
from tarry.core.clock import ManualClock
from tarry.core.marked import Marked
from tarry.marks import Marks
from tarry.store import Mark
from tests.shell import Loop


class House:
    """Marks, and what they told."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.write("good.txt", "192.0.2.0/28  # partners\n")
        self.write("bad.txt", "198.51.100.7\n2001:db8:bad::/48\n")
        self.clock = ManualClock()
        self.loop = Loop(self.clock)
        self.told: list[Marked] = []
        self.troubles: list[str] = []
        self.marks = Marks(
            self.loop.loop,
            self.clock,
            read_lists(["good.txt"], ["bad.txt"], folder),
            self.told.append,
            self.troubles.append,
        )

    def write(self, name: str, text: str) -> None:
        (self.folder / name).write_text(text)

    def words(self, *hosts: str) -> list[bool | None]:
        """Return what the door would be told of these clients now."""
        return [self.told[-1].find(ip_address(host).packed) for host in hosts]


def test_files_and_marks_come_together(tmp_path: Path) -> None:
    """What was said with `tarry clients` is the later word; what is no network there is passed over."""
    house = House(tmp_path)
    house.marks.start()
    assert [True, False, False, None] == house.words("192.0.2.1", "198.51.100.7", "2001:db8:bad::1", "203.0.113.5")
    house.marks.said((Mark("198.51.100.7", "allow"), Mark("203.0.113.0/24", "deny"), Mark("example.org", "deny")))
    assert [True, True, False] == house.words("192.0.2.1", "198.51.100.7", "203.0.113.5")
    house.marks.close()


def test_a_mark_ends(tmp_path: Path) -> None:
    """Within a second of its time, although nobody says anything."""
    house = House(tmp_path)
    house.marks.start()
    now = house.clock.wall()
    house.marks.said((Mark("203.0.113.5", "deny", until=now + 30), Mark("203.0.113.6", "deny", until=now - 1)))
    assert [False, None] == house.words("203.0.113.5", "203.0.113.6")
    house.loop.advance(32)
    assert [None] == house.words("203.0.113.5")
    house.marks.close()


def test_a_clock_that_is_set_back(tmp_path: Path) -> None:
    """What ended while it ran ahead goes on: a partner is not held for a blip."""
    house = House(tmp_path)
    house.write("good.txt", "192.0.2.0/28 until=2030-01-01\n")
    house.loop.advance(0.5)
    house.marks.start()
    house.loop.advance(2)
    assert [True] == house.words("192.0.2.1")
    house.clock._wall += 1e9
    house.loop.advance(2)
    assert [None] == house.words("192.0.2.1")
    house.clock._wall -= 1e9
    house.loop.advance(2)
    assert [True] == house.words("192.0.2.1")
    told = len(house.told)
    house.loop.advance(5)
    assert told == len(house.told)
    house.marks.close()


def test_a_fault_of_the_door_ends_one_look(tmp_path: Path) -> None:
    """The next one comes: what the operator says must not stay unheard until a restart."""
    house = House(tmp_path)
    house.marks.start()
    house.marks.said((Mark("203.0.113.5", "deny", until=house.clock.wall() + 3),))
    tell = house.marks._on_marked

    def fail(_: Marked) -> None:
        raise RuntimeError("our bug")

    house.marks._on_marked = fail
    with pytest.raises(RuntimeError):
        house.loop.advance(5)
    house.marks._on_marked = tell
    house.write("bad.txt", "203.0.113.99\n")
    house.loop.advance(5)
    assert [False, None] == house.words("203.0.113.99", "203.0.113.5")
    house.marks.close()


def test_a_file_that_changes(tmp_path: Path) -> None:
    """Is read again; one that becomes bad, or goes, leaves what was there, and is told once."""
    house = House(tmp_path)
    house.marks.start()
    house.write("bad.txt", "203.0.113.99\n203.0.113.98\n")
    house.loop.advance(2)
    assert [None, False] == house.words("198.51.100.7", "203.0.113.99")
    house.write("bad.txt", "203.0.113.0/240 and more\n")
    house.loop.advance(5)
    assert [False] == house.words("203.0.113.99")
    assert [True] == [one.startswith("bad.txt: what was read of it before stays in force: ") for one in house.troubles]
    (tmp_path / "bad.txt").unlink()
    house.loop.advance(5)
    assert [False] == house.words("203.0.113.99")
    assert 2 == len(house.troubles)
    house.write("bad.txt", "203.0.113.97\n")
    house.loop.advance(2)
    assert [None, False] == house.words("203.0.113.99", "203.0.113.97")
    house.marks.close()


def test_a_reload_names_other_files(tmp_path: Path) -> None:
    """They count from then on."""
    house = House(tmp_path)
    house.marks.start()
    house.write("other.txt", "192.0.2.1\n")
    house.marks.change(read_lists([], ["other.txt"], tmp_path))
    assert [False, None] == house.words("192.0.2.1", "198.51.100.7")
    house.marks.close()


def reading(house: House, monkeypatch: pytest.MonkeyPatch) -> Future[object]:
    """Return what a house waits for that has begun to read a file and goes on looking for some seconds."""
    asked: list[Future[object]] = []

    def later(executor: None, call: Callable[[], object]) -> Future[object]:
        asked.append(Future())
        return asked[-1]

    monkeypatch.setattr(house.loop, "run_in_executor", later)
    house.marks.start()
    house.write("bad.txt", "203.0.113.99\n")
    house.loop.advance(5)
    (only,) = asked
    return only


def test_a_file_that_is_still_read_at_a_reload(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What comes of it is of no use any more; nobody waited for it, and it was read once."""
    house = House(tmp_path)
    late = reading(house, monkeypatch)
    house.marks.change(read_lists([], ["good.txt"], tmp_path))
    late.set_result(read_lists(["good.txt"], ["bad.txt"], tmp_path))
    assert [False, None] == house.words("192.0.2.1", "203.0.113.99")
    house.marks.close()


def test_a_file_that_is_still_read_at_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The door is told nothing more."""
    house = House(tmp_path)
    late = reading(house, monkeypatch)
    told = len(house.told)
    house.marks.close()
    assert (True, told) == (late.cancelled(), len(house.told))
