"""tables - the plan as text, no wider than 100 columns."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from scale.events import Seen
from scale.fluid import Hour, Model
from scale.limits import Limit

CREST = (10.5 * 3600, 11.5 * 3600)
"""The seconds of a day about its crest: there the formulas and the events are compared."""
_COLUMNS = ("hour", "new/s", "held", "delayed", "in line", "fds", "MB", "cores", "CPU", "DNS/s", "asked", "store/s", "log MB/s")


def short(number: float) -> str:
    """Return a number in five characters or so.

    >>> [short(one) for one in (0, 0.1234, 5.25, 116, 11574.1, 2.5e6, 7e9)]
    ['0', '0.12', '5.2', '116', '11.6k', '2.5M', '7G']
    """
    if number < 9.95:
        return f"{number:.2f}".rstrip("0").rstrip(".") if number < 1 else f"{number:.1f}".removesuffix(".0")
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e4)):
        if number >= size:
            return f"{number / (size if unit != 'k' else 1e3):.1f}".removesuffix(".0") + unit
    return f"{number:.0f}"


def grid(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return rows with columns as wide as they need to be, the first to the left and the others to the right."""
    widths = [max(len(row[place]) for row in (head, *rows)) for place in range(len(head))]
    lines = [
        [cell.ljust(width) if not place else cell.rjust(width) for place, (cell, width) in enumerate(zip(row, widths, strict=True))]
        for row in (head, *rows)
    ]
    return "\n".join("  ".join(line).rstrip() for line in lines)


def hourly(hours: Sequence[Hour]) -> str:
    """Return the table of the hours. Held to in line are all there are; fds, MB and CPU are those of the busiest worker."""
    rows = [
        (
            f"{hour.hour:02d}",
            short(hour.arrivals),
            short(hour.held),
            short(hour.delayed),
            short(hour.line),
            short(hour.descriptors_p99),
            short(hour.memory_p99 / 1e6),
            f"{hour.cores:.2f}" if hour.cores < 10 else short(hour.cores),
            f"{hour.busy_p99:.0%}",
            short(hour.questions),
            f"{1 - hour.cached:.0%}",
            short(hour.store),
            f"{hour.records / 1e6:.2f}" if hour.records < 1e7 else short(hour.records / 1e6),
        )
        for hour in hours
    ]
    return grid(_COLUMNS, rows)


def totals(model: Model, hours: Sequence[Hour]) -> dict[str, float]:
    """Return what the day comes to, and the busiest hour."""
    p, peak = model.parameters, busiest(hours)
    log = sum(hour.records for hour in hours) * 3600
    return {
        "arrivals_mean": model.site.day / 86_400,
        "arrivals_peak": peak.arrivals,
        "arrivals_peak_p99": peak.arrivals_p99,
        "held_peak": peak.held,
        "held_worker_p99": peak.held_p99,
        "inside_peak": peak.delayed + peak.line,
        "inside_worker_p99": peak.inside_p99,
        "cores_peak": peak.cores,
        "busy_worker_p99": peak.busy_p99,
        "trusted": peak.trusted,
        "dns_hits": peak.cached,
        "dns_asked": peak.asked,
        "dns_upstream": peak.upstream,
        "dns_upstream_day": sum(hour.upstream for hour in hours) * 3600,
        "store_ops": peak.store,
        "store_trips": peak.trips,
        "store_entries": peak.entries,
        "store_bytes": peak.entries * (p.entry_bytes + p.entry_overhead),
        "records_bytes_day": log,
        "records_zipped_day": log * p.zipped,
        "messages_peak": peak.messages,
        "messages_day": sum(hour.messages for hour in hours) * 3600,
        "mta_hosts": peak.messages / p.mta_messages,
        "mta_open": peak.line,
        "bits_in": peak.octets * 8,
        "clients": sum(crowd.clients for crowd in model.crowds.values()),
    }


def busiest(hours: Sequence[Hour]) -> Hour:
    """Return the hour with the most connections."""
    return max(hours, key=lambda hour: hour.arrivals)


def summary(model: Model, hours: Sequence[Hour]) -> str:
    """Return the totals in sentences."""
    p, site, all_of = model.parameters, model.site, totals(model, hours)
    shards = max(1, math.ceil(all_of["store_ops"] / p.shard_rate))
    say = {key: short(value) for key, value in all_of.items()}
    return "\n".join(
        (
            f"{short(site.day)} connections a day from {say['clients']} clients, {site.up} hosts with {site.workers} workers each"
            + (f", {site.down} down" if site.down else ""),
            f"  new a second    {say['arrivals_mean']} mean, {say['arrivals_peak']} in the busiest hour, "
            f"{say['arrivals_peak_p99']} in its busiest seconds",
            f"  there at once   {say['held_peak']} held (a worker up to {say['held_worker_p99']}), "
            f"{say['inside_peak']} delayed or in line (up to {say['inside_worker_p99']})",
            f"  CPU             {say['cores_peak']} cores at the peak, a worker up to {all_of['busy_worker_p99']:.0%} of one",
            f"  greeted at once {_grown(model)}",
            f"  DNS             {say['dns_asked']}/s asked at the peak, {all_of['dns_hits']:.0%} known to the workers",
            f"                  {say['dns_upstream']}/s and {say['dns_upstream_day']} a day leave the hosts",
            f"  memory          {say['store_ops']}/s read or written, {say['store_trips']}/s round trips, {shards} shards",
            f"                  {say['store_entries']} entries, {say['store_bytes']}B",
            f"  log             {say['records_bytes_day']}B a day, {say['records_zipped_day']}B zipped",
            f"  MTA             {say['messages_peak']} messages/s at the peak, {say['messages_day']} a day, {say['bits_in']}bit/s",
            f"                  {say['mta_open']} open at once, {say['mta_hosts']} MTA hosts",
        )
    )


def _grown(model: Model) -> str:
    """Say how the share of good connections that are greeted at once grows, at noon, while the memory fills."""
    days = sorted({0.0, 1.0, 7.0, model.site.age})
    shares = (Model(model.parameters, replace(model.site, age=age)).trusted(43_200) for age in days)
    return (
        f"{', '.join(f'{share:.0%}' for share in shares)} of good connections, after {', '.join(f'{age:g}' for age in days)} days"
    )


def nearest(limits: Sequence[Limit]) -> str:
    """Return what is nearest to its limit."""
    rows = [(one.what, short(one.used), short(one.most), f"{one.share:.1%}", one.where, one.seen) for one in limits]
    return grid(("limit, nearest first", "used", "of", "", "each", "what one sees"), rows)


def side_by_side(model: Model, hours: Sequence[Hour], seen: Seen) -> list[tuple[str, float, float]]:
    """Return what the formulas say of a day and what was counted, by name."""
    peak = model.hour(*CREST)

    def mean(name: str) -> float:
        return sum(hour.values()[name] for hour in hours) / len(hours)

    good = sum(model.rates(hour * 3600.0, hour * 3600.0 + 3600)["good"] * each.trusted for hour, each in enumerate(hours))
    arrivals = sum(hour.arrivals for hour in hours)
    return [
        ("connections", model.site.day, seen.arrivals),
        ("held at once, mean", mean("held"), seen.held),
        ("delayed at once, mean", mean("delayed"), seen.delayed),
        ("in line at once, mean", mean("line"), seen.line),
        ("new a second at the peak, 99 %", peak.arrivals_p99, seen.arrivals_p99),
        ("held at the peak, busiest worker, 99 %", peak.held_p99, seen.held_p99),
        ("delayed or in line, the same", peak.inside_p99, seen.inside_p99),
        ("good connections greeted at once", good * 3600, seen.trusted),
        ("different clients", _met(model), seen.clients),
        ("questions from the workers' caches", sum(h.cached * h.arrivals for h in hours) / arrivals, seen.hits / seen.arrivals),
        ("questions that leave the hosts, clients", mean("upstream") * 86_400 / _questions(model), seen.upstream),
        ("to the MTA", mean("mta") * 86_400, seen.mta),
        ("CPU seconds", mean("cores") * 86_400, seen.cpu),
        ("log, MB", mean("records") * 86_400 / 1e6, seen.records / 1e6),
    ]


def compared(rows: Sequence[tuple[str, float, float]]) -> str:
    """Return the same as a table."""
    lines = [(name, short(plan), short(seen), f"{seen / plan - 1:+.1%}" if plan else "") for name, plan, seen in rows]
    return grid(("a small twin, first day", "formulas", "events", "difference"), lines)


def _questions(model: Model) -> float:
    return model.parameters.lists + model.parameters.names


def _met(model: Model) -> float:
    shares = model.parameters.shares
    return sum(crowd.met(model.site.day * shares[kind]) for kind, crowd in model.crowds.items())
