"""A state as metrics: names, kinds, and that the figures are those of the tally."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics
from prometheus_client.parser import text_string_to_metric_families as read_text

from tarry.control.states import List, Mta, State, Store, Stress, Worker
from tarry.record.schema import Close
from tarry.record.tally import MOST_REASONS, WAITS, tally
from tarry.web.metrics import METRICS, Fixed
from tests import closings, metrics_page
from tests.strategies import closes
from tests.web.read import samples

BARE = State(1, "0.1", 1700000000.5, "abc")
FULL = State(
    1,
    "0.1",
    1700000000.5,
    "abc",
    max_clients=500,
    held=3,
    in_session=2,
    draining=True,
    observes=True,
    stress=(Stress("load", "many"),),
    mta=Mta("mx:25", False, "refused"),
    lists=(List("a.test"), List('b"\\\n.test', False, "dead")),
    store=Store("sqlite:x", True, "", 10, 2, 1),
    workers=(Worker(1, held=2, in_session=2), Worker(2, False, "gone")),
    tally=tally(
        [
            replace(closings.DELIVERY, octets=99, delayed=0.0, tls="", login=False, mta_ms=None),
            replace(closings.EARLY, reasons=("pregreet.spoke",)),
            replace(closings.EARLY, early=7.0, reasons=("pregreet.spoke",)),
            Close(ended="client", phase="hold", held=2.0, hangup=2.0),
        ]
    ),
)


def page(state: State) -> str:
    registry = CollectorRegistry()
    registry.register(Fixed(state))
    return generate_latest(registry).decode()


def openmetrics_page(state: State) -> str:
    registry = CollectorRegistry()
    registry.register(Fixed(state))
    return openmetrics.generate_latest(registry).decode()


def test_figures_stand_under_their_names() -> None:
    """Each of the state's, with its labels."""
    found = samples(page(FULL))
    for name, value in {
        'tarry_info{config="abc",version="0.1"}': 1,
        "tarry_start_time_seconds": 1700000000.5,
        "tarry_held_clients": 3,
        "tarry_session_clients": 2,
        "tarry_max_clients": 500,
        "tarry_draining": 1,
        "tarry_observing": 1,
        'tarry_stress{what="load"}': 1,
        'tarry_stress{what="descriptors"}': 0,
        "tarry_mta_up": 0,
        'tarry_dns_list_up{zone="a.test"}': 1,
        'tarry_dns_list_up{zone="b"\\\n.test"}': 0,
        "tarry_store_up": 1,
        "tarry_store_cached_entries": 10,
        "tarry_store_waiting_changes": 2,
        "tarry_store_lost_changes_total": 1,
        'tarry_worker_up{worker="1"}': 1,
        'tarry_worker_up{worker="2"}': 0,
        'tarry_worker_clients{worker="1"}': 4,
        'tarry_sessions_total{ended="client",phase="hold"}': 1,
        'tarry_sessions_total{ended="tarry",phase="hold"}': 2,
        'tarry_verdicts_total{action="reject"}': 2,
        'tarry_reasons_total{reason="pregreet.spoke"}': 2,
        "tarry_greeted_sessions_total": 1,
        'tarry_messages_total{result="delivered"}': 1,
        'tarry_messages_total{result="refused"}': 0,
        "tarry_message_bytes_total": 99,
        "tarry_recipients_named_total": 3,
        "tarry_recipients_accepted_total": 2,
        'tarry_early_talk_seconds_bucket{le="0.1"}': 0,
        'tarry_early_talk_seconds_bucket{le="0.25"}': 1,
        'tarry_early_talk_seconds_bucket{le="6.0"}': 1,
        'tarry_early_talk_seconds_bucket{le="8.0"}': 2,
        'tarry_early_talk_seconds_bucket{le="+Inf"}': 2,
        "tarry_early_talk_seconds_count": 2,
        "tarry_early_talk_seconds_sum": 7.25,
        "tarry_gave_up_seconds_sum": 2,
        "tarry_held_seconds_count": 1,
    }.items():
        assert value == found[name], name


def test_what_there_is_not_is_not_told() -> None:
    """No store, no lists, no workers: no metric about them, rather than one that says 0."""
    found = page(BARE)
    assert [] == [name for name in ("tarry_store", "tarry_dns_list", "tarry_worker", "tarry_sessions_total") if name in found]


@pytest.mark.parametrize("state", [BARE, FULL])
def test_prometheus_reads_both_formats_alike(state: State) -> None:
    """Its own parsers find the same figures."""
    text = {(one.name, frozenset(one.labels.items())): one.value for family in read_text(page(state)) for one in family.samples}
    open_ = {
        (one.name, frozenset(one.labels.items())): one.value
        for family in read_openmetrics(openmetrics_page(state))
        for one in family.samples
    }
    assert text == open_


def families() -> Iterator[tuple[str, str, str]]:
    return ((family.name, family.type, family.documentation) for family in read_openmetrics(openmetrics_page(FULL)))


def test_every_metric_of_the_table_is_there_and_no_other() -> None:
    """With its kind and its help."""
    expected = [(one.name.removesuffix("_total").removesuffix("_info"), one.kind, one.help) for one in METRICS]
    assert expected == list(families())


@pytest.mark.parametrize("metric", METRICS, ids=lambda one: one.name)
def test_names_are_as_prometheus_wants_them(metric: object) -> None:
    """Counters end in _total and nothing else does; times are in seconds; help is a sentence."""
    (told,) = [one for one in METRICS if one is metric]
    assert re.fullmatch(r"tarry_[a-z]+(_[a-z]+)*", told.name)
    assert (told.kind == "counter", told.kind == "info") == (told.name.endswith("_total"), told.name.endswith("_info"))
    assert told.kind != "histogram" or told.name.endswith("_seconds")
    assert not re.search(r"_(ms|minutes|octets|kb|percent)\b", told.name)
    assert told.help.endswith(".") and all(re.fullmatch("[a-z]+", label) for label in told.labels)


@given(st.lists(closes, max_size=5))
def test_metrics_are_the_fold_of_closing_lines(seen: list[Close]) -> None:
    """Whatever sessions there were, what Prometheus reads is what the tally says."""
    counted = tally(seen)
    found = samples(page(replace(BARE, tally=counted)))
    sessions = sum(value for name, value in found.items() if name.startswith("tarry_sessions_total"))
    assert len(seen) == sessions
    for name, histogram in (("early_talk", counted.early), ("gave_up", counted.gave_up), ("mta_latency", counted.mta)):
        assert histogram.count == found[f"tarry_{name}_seconds_count"] == found[f'tarry_{name}_seconds_bucket{{le="+Inf"}}']
        assert histogram.seconds == found[f"tarry_{name}_seconds_sum"]
    assert [sum(counted.held.counts[: at + 1]) for at in range(len(WAITS))] == [
        found[f'tarry_held_seconds_bucket{{le="{bound}"}}'] for bound in WAITS
    ]


def test_the_documentation_is_current() -> None:
    """If this fails: .venv/bin/python -m tests.metrics_page"""
    page_of_docs = metrics_page.PAGE.read_text(encoding="utf-8")
    assert page_of_docs == metrics_page.with_made(page_of_docs)


def test_the_documentation_speaks_of_metrics_that_there_are() -> None:
    """In its questions and alerts; a histogram is asked for by its parts."""
    there = {told.name for told in METRICS} | {
        f"{told.name}_{part}" for told in METRICS if told.kind == "histogram" for part in ("bucket", "sum", "count")
    }
    named = set(re.findall(r"\btarry_[a-z_]+", metrics_page.PAGE.read_text(encoding="utf-8")))
    assert set() == named - there


def test_the_page_is_bounded() -> None:
    """With more reasons, phases, endings and actions than there can be, it is some 60 KB."""
    words = [f"{'x' * 60}{number}" for number in range(3 * MOST_REASONS)]
    counted = tally([Close(ended=word, phase=other, action=word, reasons=(word,)) for word in words for other in (word, "hold")])
    assert len(page(replace(FULL, tally=counted))) < 250_000
