"""How entries and changes stand in a server. That the script comes to what `merged` comes to: test_init, with a real server."""

from __future__ import annotations

import math

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tarry.core.history import REASONS, VISITS, Change, Counted, Entry, Pass, Visit
from tarry.store.valkey_merge import SCRIPT, changes_of, entry_of, settings_of
from tests.store.keeping import NOW, changes

FIELDS = [1.5, NOW, NOW - 9, 3, 1, 0, "example.org", [["ptr", NOW + 9]], [["helo.ip", 2, NOW]], [[NOW, "id", "drop", -2]]]


def test_a_value_is_an_entry() -> None:
    """Whole numbers may stand for others: the server's Lua has one kind of number."""
    expected = Entry(
        "192.0.2.1",
        1.5,
        NOW,
        NOW - 9,
        3,
        1,
        0,
        "example.org",
        (Pass("ptr", NOW + 9),),
        (Counted("helo.ip", 2, NOW),),
        (Visit(NOW, "id", "drop", -2.0),),
    )
    assert expected == entry_of("192.0.2.1", msgspec.msgpack.encode(FIELDS))


def test_what_a_newer_tarry_adds_is_passed_over() -> None:
    """Fields are only ever put behind the others."""
    assert entry_of("k", msgspec.msgpack.encode(FIELDS)) == entry_of("k", msgspec.msgpack.encode([*FIELDS, {"new": 1}]))


@pytest.mark.parametrize(
    "value",
    [
        None,
        7,
        ["a"],
        b"",
        b"nonsense",
        msgspec.msgpack.encode({"karma": 1}),
        msgspec.msgpack.encode(FIELDS[:9]),
        msgspec.msgpack.encode([math.nan, *FIELDS[1:]]),
        msgspec.msgpack.encode([1.5, math.inf, *FIELDS[2:]]),
        msgspec.msgpack.encode(["1.5", *FIELDS[1:]]),
        msgspec.msgpack.encode([*FIELDS[:9], [[NOW, "id"]]]),
        msgspec.msgpack.encode(FIELDS)[:-1],
    ],
    ids=list("abcdefghijkl"),  # their own names would have the time in them, and differ between xdist's workers
)
def test_a_value_of_somebody_else_is_nothing_known(value: object) -> None:
    """Whatever it is."""
    assert entry_of("192.0.2.1", value) is None


@given(st.binary(max_size=80))
def test_any_octets_are_read(value: bytes) -> None:
    """Nothing is raised."""
    assert entry_of("192.0.2.1", value) is None or value


@given(st.lists(changes(), max_size=3))
def test_changes_are_arrays_without_a_hole(made: list[Change]) -> None:
    """Lua's arrays end at the first nil. A float keeps all its digits."""
    found = msgspec.msgpack.decode(changes_of(made))
    assert [(one.at, one.points, one.domain, one.voids, list(one.reasons)) for one in made] == [
        (each[0], each[1], each[4], each[5], each[7]) for each in found
    ]
    assert all(9 == len(each) and None not in each for each in found)


def test_settings_have_every_digit() -> None:
    """And the time to live is in whole milliseconds, a second at least and not beyond what a server takes."""
    assert (b"0.10000000000000001", b"20", b"60000") == settings_of(0.1, 20.0, 60.0)
    assert (b"1000", b"1000000000000000") == (settings_of(1, 1, 0.0)[2], settings_of(1, 1, math.inf)[2])


def test_the_script_knows_the_bounds_of_history() -> None:
    """They stand in it as numbers."""
    assert f"local REASONS, VISITS = {REASONS}, {VISITS}\n" in SCRIPT
