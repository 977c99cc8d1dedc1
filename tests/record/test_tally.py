"""What many sessions add up to, and that it does not matter who added up what."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tarry.record.schema import Close
from tarry.record.tally import MOST_REASONS, MOST_WORDS, OTHER, WAITS, Histogram, Tally, tally
from tests.closings import DELIVERY, EARLY, IMPATIENT
from tests.strategies import closes


def counts(histogram: Histogram) -> dict[float, int]:
    """Return the counts that are not 0, by the bound they are under."""
    return {bound: count for bound, count in zip((*histogram.bounds, float("inf")), histogram.counts, strict=True) if count}


def test_a_delivery_is_counted_once_in_each_figure() -> None:
    """Who ended it and how far it came, what was done, and every number of its closing line."""
    found = tally([DELIVERY])

    assert (1, {"client": {"message": 1}}, {"ignore": 1}, {}) == (found.sessions, found.ended, found.actions, found.reasons)
    assert (1, 0, 1, 0, 0) == (found.greeted, found.observed, found.messages, found.messages_refused, found.discarded)
    assert (3, 2, 1, 1, 1000) == (found.rcpts, found.rcpts_accepted, found.tls, found.logins, found.octets)
    assert ({5.0: 1}, {20.0: 1}, {0.005: 1}) == (counts(found.held), counts(found.delayed), counts(found.mta))
    assert (0, 0) == (found.early.count, found.gave_up.count)
    assert (4.5, 12.5, 0.00325) == (found.held.seconds, found.delayed.seconds, found.mta.seconds)


def test_an_early_talker_and_its_reasons() -> None:
    """A reason counts once a session, however often it was found."""
    found = tally([EARLY])

    assert {"pregreet.spoke": 1, "ptr.none": 1} == found.reasons
    assert ({"reject": 1}, 0, {0.25: 1}, 0) == (found.actions, found.greeted, counts(found.early), found.gave_up.count)


def test_who_leaves_before_the_greeting_gave_up_and_who_leaves_after_it_did_not() -> None:
    """A client that closed its side while it was held is greeted all the same: it has waited if it had said something before."""
    silent = msgspec.structs.replace(IMPATIENT, greeted=True, hangup=0.5, held=4.5)
    found = tally([IMPATIENT, silent, msgspec.structs.replace(DELIVERY, hangup=2.0), msgspec.structs.replace(DELIVERY, hangup=9.0)])

    assert ({0.5: 1, 3.0: 1}, {5.0: 2}, 3) == (counts(found.gave_up), counts(found.held), found.greeted)


def test_what_was_refused_or_discarded_is_no_delivery() -> None:
    """Each has a figure of its own; octets are those of all."""
    found = tally([msgspec.structs.replace(DELIVERY, messages=0, messages_refused=2, discarded=1, observed=True)])

    assert (0, 2, 1, 1000, 1) == (found.messages, found.messages_refused, found.discarded, found.octets, found.observed)


def test_a_client_that_was_given_away_has_a_latency_without_a_command() -> None:
    """The MTA has it, and tarry saw no command."""
    found = tally([Close(ended="handoff", phase="greeted", greeted=True, held=2.0, mta_ms=1.0, mta=True)])

    assert ({"handoff": {"greeted": 1}}, {0.001: 1}) == (found.ended, counts(found.mta))


@pytest.mark.parametrize(("seconds", "bound"), [(0.0, 0.1), (0.1, 0.1), (0.100001, 0.25), (300.0, 300.0), (1e9, float("inf"))])
def test_a_bound_is_of_its_own_bucket(seconds: float, bound: float) -> None:
    """As Prometheus has it: less or equal."""
    made = Histogram.of(WAITS)
    made.add(seconds)

    assert ({bound: 1}, 1, seconds) == (counts(made), made.count, made.seconds)


def test_histograms_with_other_bounds_do_not_add_up() -> None:
    """They would be of another version, or of something else."""
    for bounds in ((1.0, 2.0), (*WAITS[:-1], 301.0)):
        with pytest.raises(ValueError, match=r"argument|bounds"):
            Histogram.of(WAITS) + Histogram.of(bounds)


# Laws.


@given(st.lists(closes, max_size=6), st.lists(closes, max_size=6))
def test_sums_of_parts_are_the_sum_of_the_whole(ours: list[Close], theirs: list[Close]) -> None:
    """To the last digit, in either order; and adding changes neither part."""
    whole, first, second = tally([*ours, *theirs]), tally(ours), tally(theirs)

    assert whole == first + second == second + first
    assert (tally(ours), tally(theirs)) == (first, second)


@given(st.lists(closes, max_size=4))
def test_a_tally_is_what_is_read_of_its_json(seen: list[Close]) -> None:
    """The control socket carries it whole."""
    made = tally(seen)
    assert made == msgspec.json.decode(msgspec.json.encode(made), type=Tally)


def test_a_sum_shares_nothing_with_its_parts() -> None:
    """A copy by `Tally() + x` stays what it is while x goes on counting."""
    live = tally([DELIVERY, EARLY])
    copy = Tally() + live
    live.add(EARLY)
    live.add(DELIVERY)

    assert tally([DELIVERY, EARLY]) == copy


# Bounds.


def test_reasons_are_told_apart_up_to_a_number() -> None:
    """What comes beyond is counted together, and those that are known go on by name; also when two are added."""
    found = tally([Close(reasons=(f"own.{number}",)) for number in range(MOST_REASONS + 7)] + [Close(reasons=("own.0",))])

    assert (MOST_REASONS + 1, 7, 2) == (len(found.reasons), found.reasons[OTHER], found.reasons["own.0"])

    both = found + tally([Close(reasons=("another.one",)), Close(reasons=("own.0",))])
    assert (MOST_REASONS + 1, 8, 3) == (len(both.reasons), both.reasons[OTHER], both.reasons["own.0"])


def test_words_of_another_version_are_bounded_as_well() -> None:
    """A record may come from anywhere; its words make no table grow without end, and no session is lost."""
    words = [f"x{number}" for number in range(5 * MOST_WORDS)]
    found = tally(
        [Close(ended=word, phase=word, action=word) for word in words] + [Close(ended="x0", phase=word) for word in words]
    )
    both = found + tally([Close(ended="y", phase="y", action="y")])

    assert 10 * MOST_WORDS == found.sessions == both.sessions - 1
    for one in (found, both):
        sizes = [len(one.ended), len(one.actions), *(len(phases) for phases in one.ended.values())]
        assert max(sizes) == MOST_WORDS + 1
