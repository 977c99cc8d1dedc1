"""What is remembered of a client, and how sessions add up."""

from __future__ import annotations

import math
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tarry.core.history import REASONS, VISITS, Change, Counted, Entry, Fading, Known, Pass, Visit, karma_at, key_of, known, merged

DAY = 86400.0
FADING = Fading(10 * DAY, 20.0)
NOON = 1_790_000_000.0


@pytest.mark.parametrize(
    ("host", "key"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::", "2001:db8:1:2::/64"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("::1", "::/64"),
        ("64:ff9b::192.0.2.7", "192.0.2.7"),
        ("64:ff9b:1::192.0.2.7", "64:ff9b:1::/64"),
    ],
)
def test_the_key_of_a_client(host: str, key: str) -> None:
    """The address, or the network that a subscriber has as a whole."""
    assert key == key_of(host)


def test_what_is_no_address_has_no_key() -> None:
    """A Unix socket is nobody."""
    with pytest.raises(ValueError, match="does not appear to be"):
        key_of("unix")


def test_karma_fades_by_half() -> None:
    """In each half-life, towards 0, from above and from below."""
    entry = Entry("k", karma=8.0, at=NOON)
    assert [8.0, 4.0, 2.0] == [karma_at(entry, NOON + days * DAY, FADING) for days in (0, 10, 20)]
    assert pytest.approx(-3.0) == FADING.after(-6.0, 10 * DAY)
    assert 5.0 == FADING.after(5.0, -3.0)


def test_every_penalty_has_an_end() -> None:
    """When karma of -20 is not below -5 any more: after two half-lives, and then it is so."""
    seconds = FADING.below(-20.0, -5.0)
    assert pytest.approx(20 * DAY) == seconds
    assert pytest.approx(-5.0) == FADING.after(-20.0, seconds)
    assert (0.0, 0.0, math.inf) == (FADING.below(-4.0, -5.0), FADING.below(5.0, 5.0), FADING.below(-4.0, 0.0))


def test_the_first_session() -> None:
    """Makes the entry."""
    change = Change("k", NOON, 1.0, 1, 0, "example.org", False, (Pass("pregreet", NOON + 60),), (), Visit(NOON, "id", "tag", 1.0))
    expected = Entry(
        "k", 1.0, NOON, NOON, 1, 1, 0, "example.org", (Pass("pregreet", NOON + 60),), (), (Visit(NOON, "id", "tag", 1.0),)
    )
    assert expected == merged(None, change, FADING)


def test_a_later_session_adds_to_what_is_left() -> None:
    """Karma has faded by then; counts add up; the domain stays where none is found."""
    first = merged(None, Change("k", NOON, 4.0, 2, 0, "example.org"), FADING)
    second = merged(first, Change("k", NOON + 10 * DAY, -3.0, 0, 1), FADING)
    assert (-1.0, NOON + 10 * DAY, NOON, 2, 2, 1, "example.org") == (
        second.karma, second.at, second.first, second.sessions, second.delivered, second.refused, second.domain,
    )  # fmt: skip


def test_karma_has_bounds() -> None:
    """So that no past lasts for ever."""
    entry = None
    for _ in range(30):
        entry = merged(entry, Change("k", NOON, -3.0), FADING)
    assert entry is not None
    assert (-20.0, 30) == (entry.karma, entry.sessions)


def test_a_failed_session_voids_what_was_passed() -> None:
    """As in postscreen; a pass that is earned again counts to the later of both ends."""
    passed = Change("k", NOON, passes=(Pass("pregreet", NOON + DAY), Pass("dnslists", NOON + 60)))
    entry = merged(merged(None, passed, FADING), Change("k", NOON + 5, passes=(Pass("pregreet", NOON + 30),)), FADING)
    assert (Pass("dnslists", NOON + 60), Pass("pregreet", NOON + DAY)) == entry.passes
    assert () == merged(entry, Change("k", NOON + 6, voids=True), FADING).passes


def test_reasons_are_counted_and_bounded() -> None:
    """By session; the one that is longest ago makes room."""
    entry = None
    for number in range(REASONS + 1):
        entry = merged(entry, Change("k", NOON + number, reasons=(f"check.{number:02}", "helo.bare_address")), FADING)
    assert entry is not None
    assert REASONS == len(entry.reasons)
    assert Counted("helo.bare_address", REASONS + 1, NOON + REASONS) in entry.reasons
    assert "check.00" not in {one.name for one in entry.reasons}


def test_the_last_sessions_are_kept() -> None:
    """The newest first."""
    entry = None
    for number in range(VISITS + 3):
        entry = merged(entry, Change("k", NOON + number, visit=Visit(NOON + number, f"id-{number}")), FADING)
    assert entry is not None
    assert [f"id-{number}" for number in range(VISITS + 2, 2, -1)] == [visit.id for visit in entry.visits]


changes = st.builds(
    Change,
    key=st.just("k"),
    at=st.floats(NOON, NOON + 30 * DAY),
    points=st.floats(-1.0, 1.0),
    delivered=st.integers(0, 3),
    reasons=st.lists(st.sampled_from(["a.b", "c.d", "e.f"]), max_size=2).map(tuple),
)


@given(st.lists(changes, min_size=2, max_size=4))
def test_the_order_of_changes_does_not_matter(found: list[Change]) -> None:
    """Hosts that were apart agree afterwards, as long as no bound is reached."""
    ends = []
    for order in permutations(found):
        entry = None
        for change in order:
            entry = merged(entry, change, FADING)
        assert entry is not None
        ends.append(entry)
    first = ends[0]
    for entry in ends[1:]:
        assert math.isclose(first.karma, entry.karma, abs_tol=1e-9)
        assert (first.at, first.first, first.sessions, first.delivered, first.reasons) == (
            entry.at, entry.first, entry.sessions, entry.delivered, entry.reasons,
        )  # fmt: skip


def test_what_a_check_is_told() -> None:
    """Karma as it is now, and the passes that still hold; in a record it is words."""
    entry = Entry("k", 6.0, NOON, NOON, 9, 7, passes=(Pass("dnslists", NOON + 60), Pass("pregreet", NOON + 20 * DAY)))
    told = known(entry, NOON + 10 * DAY, FADING)
    assert Known(3.0, 9, 7, ("pregreet",)) == told
    assert ("karma 3.00", "sessions 9", "delivered 7", "pass pregreet") == told.words


def test_what_a_clock_wrote_that_ran_ahead_is_nothing_known() -> None:
    """Its penalty would not fade before that time, and its passes would hold for years. Clocks may differ by a day."""
    entry = Entry("k", -20.0, NOON + 400 * DAY, passes=(Pass("pregreet", NOON + 430 * DAY),))
    assert Known() == known(entry, NOON, FADING)
    assert -20.0 == known(entry, NOON + 399 * DAY, FADING).karma
