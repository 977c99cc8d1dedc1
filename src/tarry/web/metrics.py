"""metrics - a server's state as Prometheus metrics.

What      `METRICS` declares each metric: its name, kind, labels and help, and where in the state its figures stand. `families`
          makes them into what prometheus_client writes out; docs/metrics.md is made of the same table.
Promises  Nothing is counted here. Units are in the names, in seconds and bytes. Labels are words of tarry's own or of the
          configuration, never of a client's, and bounded in number (record/tally).
Source    prometheus.io, "Metric and label naming" and "Writing exporters".
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Literal, TypeAlias

import msgspec
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector

from tarry.control.states import State, Store
from tarry.record.tally import Histogram, Tally

STRESSES = ("descriptors", "load")
"""What a server can be short of; each is told, also while it is not."""

Figures: TypeAlias = Mapping[tuple[str, ...], float]
"""The figure of each combination of label values."""


class Told(msgspec.Struct, frozen=True):
    """A metric. A counter's name is written with ``_total`` here, as it is asked for; an info's with ``_info``."""

    name: str
    kind: Literal["counter", "gauge", "histogram", "info"]
    help: str
    read: Callable[[State], Figures | Histogram]
    labels: tuple[str, ...] = ()


def _one(read: Callable[[State], float]) -> Callable[[State], Figures]:
    return lambda state: {(): read(state)}


def _counted(read: Callable[[Tally], Mapping[str, int]]) -> Callable[[State], Figures]:
    return lambda state: {(word,): number for word, number in read(state.tally).items()}


def _info(state: State) -> Figures:
    return {(state.version, state.config): 1}


def _sessions(state: State) -> Figures:
    return {(ended, phase): number for ended, phases in state.tally.ended.items() for phase, number in phases.items()}


def _messages(tally: Tally) -> Mapping[str, int]:
    return {"delivered": tally.messages, "refused": tally.messages_refused, "discarded": tally.discarded}


def _stress(state: State) -> Figures:
    on = {one.what for one in state.stress}
    return {(what,): what in on for what in dict.fromkeys((*STRESSES, *sorted(on)))}


def _store(read: Callable[[Store], float]) -> Callable[[State], Figures]:
    """Read a figure of the store; none where nothing is remembered."""
    return lambda state: {(): read(state.store)} if state.store is not None else {}


METRICS = (
    Told("tarry_info", "info", "The version that runs, and the fingerprint of its configuration.", _info, ("version", "config")),
    Told("tarry_start_time_seconds", "gauge", "When it was started, in UTC epoch seconds.", _one(lambda s: s.since)),
    Told("tarry_held_clients", "gauge", "Clients that are held and have not been greeted yet.", _one(lambda s: s.held)),
    Told("tarry_session_clients", "gauge", "Clients that have been greeted and are still there.", _one(lambda s: s.in_session)),
    Told("tarry_max_clients", "gauge", "How many clients may be in at once.", _one(lambda s: s.max_clients)),
    Told("tarry_draining", "gauge", "1 while it takes no new clients, for it is going down.", _one(lambda s: s.draining)),
    Told("tarry_observing", "gauge", "1 where it only observes: everyone is let through.", _one(lambda s: s.observes)),
    Told("tarry_stress", "gauge", "1 while it is short of file descriptors, or of places for clients.", _stress, ("what",)),
    Told("tarry_mta_up", "gauge", "1 if the MTA answered when it was last asked.", _one(lambda s: s.mta.ok)),
    Told(
        "tarry_dns_list_up",
        "gauge",
        "1 if this DNS list is asked; 0 while it fails its test.",
        lambda s: {(one.zone,): one.ok for one in s.lists},
        ("zone",),
    ),
    Told(
        "tarry_store_up",
        "gauge",
        "1 if the memory of clients answers; no such metric where nothing is remembered.",
        _store(lambda one: one.ok),
    ),
    Told(
        "tarry_store_cached_entries",
        "gauge",
        "Clients whose memory is at hand in the process.",
        _store(lambda one: one.cached),
    ),
    Told(
        "tarry_store_waiting_changes",
        "gauge",
        "What is to be remembered and has not been written yet.",
        _store(lambda one: one.waiting),
    ),
    Told(
        "tarry_store_lost_changes_total",
        "counter",
        "What was to be remembered and could not be written.",
        _store(lambda one: one.lost),
    ),
    Told(
        "tarry_worker_up",
        "gauge",
        "1 if this worker answers; no such metric where one process does all.",
        lambda s: {(str(one.number),): one.ok for one in s.workers},
        ("worker",),
    ),
    Told(
        "tarry_worker_clients",
        "gauge",
        "Clients that this worker has, held or in session.",
        lambda s: {(str(one.number),): one.held + one.in_session for one in s.workers if one.ok},
        ("worker",),
    ),
    Told(
        "tarry_sessions_total",
        "counter",
        "Sessions that have ended: by whom (client, tarry, mta, handoff), and how far they had come.",
        _sessions,
        ("ended", "phase"),
    ),
    Told(
        "tarry_verdicts_total",
        "counter",
        "Sessions by the strongest action of their verdicts; ignore is none.",
        _counted(lambda t: t.actions),
        ("action",),
    ),
    Told(
        "tarry_reasons_total",
        "counter",
        "Sessions in which a reason (check.code) was found; other beyond 200 of them.",
        _counted(lambda t: t.reasons),
        ("reason",),
    ),
    Told("tarry_greeted_sessions_total", "counter", "Sessions that were greeted.", _one(lambda s: s.tally.greeted)),
    Told(
        "tarry_observed_sessions_total",
        "counter",
        "Sessions with a verdict that was not carried out, for it only observes.",
        _one(lambda s: s.tally.observed),
    ),
    Told("tarry_tls_sessions_total", "counter", "Sessions with TLS that tarry ended.", _one(lambda s: s.tally.tls)),
    Told("tarry_login_sessions_total", "counter", "Sessions in which the client logged in.", _one(lambda s: s.tally.logins)),
    Told(
        "tarry_messages_total",
        "counter",
        "Messages: delivered to the MTA, refused by the MTA for good, or discarded by tarry.",
        _counted(_messages),
        ("result",),
    ),
    Told(
        "tarry_message_bytes_total",
        "counter",
        "Octets of the messages that came to their end, whatever became of them.",
        _one(lambda s: s.tally.octets),
    ),
    Told("tarry_recipients_named_total", "counter", "Recipients that clients named.", _one(lambda s: s.tally.rcpts)),
    Told(
        "tarry_recipients_accepted_total",
        "counter",
        "Recipients of them that the MTA accepted.",
        _one(lambda s: s.tally.rcpts_accepted),
    ),
    Told(
        "tarry_early_talk_seconds",
        "histogram",
        "How long clients waited that talked before the greeting; its count is the early talkers.",
        lambda s: s.tally.early,
    ),
    Told(
        "tarry_gave_up_seconds",
        "histogram",
        "How long clients waited that left before the greeting, or closed their side and said nothing.",
        lambda s: s.tally.gave_up,
    ),
    Told(
        "tarry_held_seconds",
        "histogram",
        "How long clients were held that were greeted and still there.",
        lambda s: s.tally.held,
    ),
    Told(
        "tarry_session_delay_seconds",
        "histogram",
        "How long sessions were held after the greeting, all in all; those that were.",
        lambda s: s.tally.delayed,
    ),
    Told(
        "tarry_mta_latency_seconds",
        "histogram",
        "How long the MTA took: from the connection to its EHLO reply, or until it had the client.",
        lambda s: s.tally.mta,
    ),
)


def families(state: State) -> Iterator[Metric]:
    """Yield each metric with its figures; those without one are left out."""
    for told in METRICS:
        found = told.read(state)
        if isinstance(found, Histogram):
            yield HistogramMetricFamily(told.name, told.help, buckets=_cumulative(found), sum_value=found.seconds)
        elif found:
            yield _family(told, found)


class Fixed(Collector):
    """One state, for one page of metrics."""

    def __init__(self, state: State) -> None:
        self._state = state

    def collect(self) -> Iterator[Metric]:
        return families(self._state)


def _family(told: Told, figures: Figures) -> Metric:
    if told.kind == "info":
        info = InfoMetricFamily(told.name.removesuffix("_info"), told.help)
        for values in figures:
            info.add_metric([], dict(zip(told.labels, values, strict=True)))
        return info
    make = CounterMetricFamily if told.kind == "counter" else GaugeMetricFamily
    family = make(told.name.removesuffix("_total"), told.help, labels=told.labels)
    for values, figure in figures.items():
        family.add_metric(values, figure)
    return family


def _cumulative(histogram: Histogram) -> list[tuple[str, float]]:
    """Return what Prometheus calls buckets: how many were at most so long."""
    total, buckets = 0, []
    for bound, count in zip((*map(str, histogram.bounds), "+Inf"), histogram.counts, strict=True):
        total += count
        buckets.append((bound, float(total)))
    return buckets
