"""How many workers, which sockets, and when again."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tarry.workers.plan import FIRST_PAUSE, LONGEST_PAUSE, SHORT_LIFE, Backoff, count, deal


@pytest.mark.parametrize(("asked", "cores", "expected"), [(0, 4, 4), (0, 1, 1), (1, 4, 1), (7, 2, 7)])
def test_how_many(monkeypatch: pytest.MonkeyPatch, asked: int, cores: int, expected: int) -> None:
    """0 is one a core, of those that this process may use."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(cores)))
    assert expected == count(asked, Path("/nonexistent"))


@pytest.mark.parametrize(
    ("groups", "files", "expected"),
    [
        ("0::/\n", {"cpu.max": "200000 100000\n"}, 2),
        ("0::/\n", {"cpu.max": "150000 100000\n"}, 2),
        ("0::/\n", {"cpu.max": "10000 100000\n"}, 1),
        ("0::/\n", {"cpu.max": "max 100000\n"}, 64),
        ("0::/\n", {"cpu.max": "what\n"}, 64),
        ("0::/\n", {}, 64),
        ("0::/a.slice/b\n", {"a.slice/cpu.max": "300000 100000\n", "a.slice/b/cpu.max": "max 100000\n"}, 3),
        ("4:memory:/d/1\n3:cpu,cpuacct:/d/1\n", {"cpu/cpu.cfs_quota_us": "400000", "cpu/cpu.cfs_period_us": "100000"}, 4),
        ("3:cpu,cpuacct:/d/1\n0::/\n", {"cpu/d/1/cpu.cfs_quota_us": "-1", "cpu/d/1/cpu.cfs_period_us": "100000"}, 64),
        ("3:cpu:/\n", {"cpu/cpu.cfs_quota_us": "100000", "cpu/cpu.cfs_period_us": "0"}, 64),
        ("what\n", {"cpu.max": "200000 100000\n"}, 64),
    ],
)
def test_no_more_than_a_control_group_has_time_for(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, groups: str, files: dict[str, str], expected: int
) -> None:
    """A container with two CPUs of a machine with 64 has two workers; a number that the operator names is left as it is."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(64)))
    for name, text in {"proc/self/cgroup": groups, **{f"sys/fs/cgroup/{name}": text for name, text in files.items()}}.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert (expected, 7) == (count(0, tmp_path), count(7, tmp_path))


@pytest.mark.parametrize(
    ("sockets", "workers", "expected"),
    [
        ("a", 1, ["a"]),
        ("ab", 2, ["a", "b"]),
        ("abcd", 2, ["ac", "bd"]),
        ("abc", 2, ["ac", "b"]),
        ("a", 3, ["a", "a", "a"]),
        ("ab", 3, ["a", "b", "a"]),
    ],
)
def test_sockets_are_dealt(sockets: str, workers: int, expected: list[str]) -> None:
    """One each; the ones too many go round, and where there are too few they are shared."""
    assert expected == ["".join(each) for each in deal(sockets, workers)]


@given(st.lists(st.integers(), min_size=1, unique=True), st.integers(1, 300))
def test_nobody_goes_without(sockets: list[int], workers: int) -> None:
    """Every worker has a socket, and every socket a worker: or the clients in its backlog would wait for ever."""
    dealt = deal(sockets, workers)
    assert workers == len(dealt)
    assert all(dealt)
    assert set(sockets) == {one for each in dealt for one in each}


def test_a_worker_that_dies_again_and_again_is_replaced_later_each_time() -> None:
    """Up to a bound; one that has lived is replaced at once, and has made up for it."""
    backoff = Backoff()
    pauses = [backoff.after(0.0) for _ in range(9)]
    assert [FIRST_PAUSE * 2**n for n in range(7)] + [LONGEST_PAUSE] * 2 == pytest.approx(pauses)
    assert [0.0, FIRST_PAUSE] == [backoff.after(SHORT_LIFE), backoff.after(SHORT_LIFE - 0.1)]
