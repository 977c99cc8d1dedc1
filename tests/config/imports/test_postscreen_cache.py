"""The cache of postscreen as passes."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tarry.config.imports.found import ImportProblem
from tarry.config.imports.postscreen_cache import Pass, lines, passes

NOW = 1_700_000_000.0


@pytest.mark.parametrize(
    ("stamps", "expected"),
    [
        ("1700000100;0;0;0;0", [("pregreet", 1700000100)]),
        ("1;1700000200;1;1;1", [("dnslists", 1700000200)]),
        (
            "1700000001;1700000002;1700000003;1700000004;1700000005",
            [
                ("pregreet", 1700000001),
                ("dnslists", 1700000002),
                ("pipelining", 1700000003),
                ("non_smtp", 1700000004),
                ("bare_newline", 1700000005),
            ],
        ),
        ("1700000100", [("pregreet", 1700000100)]),
        ("1700000100;", [("pregreet", 1700000100)]),
        ("1700000000;1699999999;0", [("pregreet", 1700000000)]),
        ("x;1700000100;-1;99999999999999999999;1700000100 ;9", [("dnslists", 1700000100)]),
        ("99999999999999;1700000100", [("dnslists", 1700000100)]),
        ("0;1", []),
    ],
)
def test_stamps_are_passes(stamps: str, expected: list[tuple[str, int]]) -> None:
    """0 and 1 are none, what is over is none, older records are shorter, and what is no number counts as never passed."""
    found = passes(f"192.0.2.1\t{stamps}\n", "cache", NOW)
    assert [Pass("192.0.2.1", check, until) for check, until in expected] == list(found.passes)


def test_clients_and_what_is_over_are_counted() -> None:
    """The key that Postfix keeps for itself is no client; IPv6 is written in its short form."""
    text = "_LAST_CACHE_CLEANUP_COMPLETED_\t1700000000\n192.0.2.1\t1;1600000000\n\n2001:DB8:0::1\t1700000100;0\n"
    found = passes(text, "cache", NOW)
    assert (2, 1, [Pass("2001:db8::1", "pregreet", 1700000100)]) == (found.clients, found.over, list(found.passes))


def test_passes_are_written_a_line_each() -> None:
    """As JSON."""
    read = [json.loads(line) for line in lines(passes("192.0.2.1\t1700000100;1700000200\n", "cache", NOW)).splitlines()]
    assert [
        {"address": "192.0.2.1", "check": "pregreet", "until": 1700000100},
        {"address": "192.0.2.1", "check": "dnslists", "until": 1700000200},
    ] == read


@pytest.mark.parametrize("line", ["192.0.2.1", "main.cf = x", "fe80::1%eth0\t1;2", "192.0.2.0/24\t1;2"])
def test_what_is_no_cache(line: str) -> None:
    """A key that is no address, or a line without a value."""
    with pytest.raises(ImportProblem, match=r"cache:2: .* postmap -s"):
        passes(f"192.0.2.1\t0\n{line}\n", "cache", NOW)


@given(st.text(), st.floats(0, 4e9))
def test_any_text_is_a_cache_or_a_problem(text: str, now: float) -> None:
    """Nothing but ImportProblem is raised."""
    try:
        lines(passes(text, "cache", now))
    except ImportProblem:
        pass


@given(st.lists(st.integers(0, 2**40), max_size=7))
def test_every_pass_is_in_the_future(stamps: list[int]) -> None:
    """And none is made of 0 or 1."""
    found = passes(f"192.0.2.1 {';'.join(map(str, stamps)) or '0'}", "cache", NOW)
    assert all(one.until >= NOW for one in found.passes)
    assert len(found.passes) + found.over <= min(5, len(stamps))
