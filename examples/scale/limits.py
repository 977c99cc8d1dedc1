"""limits - which part is at its limit first, and what one sees then."""

from __future__ import annotations

from dataclasses import dataclass, replace

from scale.crowd import quantile
from scale.fluid import Hour, Model, Site
from scale.parameters import Parameters


@dataclass(frozen=True)
class Limit:
    """How much of something is used in the busiest hour: ``used`` of ``most``, where, and what one sees when it is not enough."""

    what: str
    used: float
    most: float
    where: str
    seen: str

    @property
    def share(self) -> float:
        """How much of it is used."""
        return self.used / self.most if self.most else 0.0


def limits(model: Model, peak: Hour) -> list[Limit]:
    """Return all limits, the nearest first."""
    p, site = model.parameters, model.site
    shards = max(1, site.processes) if not p.shared else 1
    ports = quantile(peak.mta / site.up, peak.mta / site.up, 0.99) * 60 * p.time_wait + peak.line / site.up
    found = [
        Limit("clients", peak.held_p99 + peak.inside_p99, p.max_clients, "worker", "421; tarry_stress"),
        Limit("descriptors", peak.descriptors_p99, p.nofile, "worker", "tarry_stress"),
        Limit("CPU", peak.busy_p99, p.busy, "worker", "tarry_held_seconds"),
        Limit("memory", peak.memory_p99 * site.workers, p.host_memory, "host", "tarry_worker_up"),
        Limit("DNS questions at once", peak.asked * p.dns_latency / site.processes, p.dns_queries, "worker", "answers unknown"),
        Limit("DNS answers", peak.asked / site.up, p.resolver_rate, "host", "answers unknown"),
        Limit("memory of clients", peak.store / shards, p.shard_rate, "shard", "tarry_store_up"),
        Limit("ports to the MTA", ports, p.ports, "host", "421, EADDRNOTAVAIL"),
        Limit("log", peak.records / site.up, p.disk_rate, "host", "records lost"),
        Limit("conntrack", (peak.arrivals_p99 * 120 + peak.held + peak.delayed) / site.up, p.tracked, "host", "SYNs dropped"),
    ]
    return sorted(found, key=lambda one: -one.share)


def hosts_needed(parameters: Parameters, site: Site) -> Site:
    """Return the site with the fewest hosts of which each is within its limits in the busiest hour; `site.down` come on top.

    What a host cannot mend (the shared memory's shards) is left out, and so is tracking connections, which is better not done.
    """
    low, high = 0, 1
    while _beyond(parameters, replace(site, hosts=high, down=0)):
        low, high = high, high * 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if _beyond(parameters, replace(site, hosts=middle, down=0)) else (low, middle)
    return replace(site, hosts=high + site.down)


def _beyond(parameters: Parameters, site: Site) -> bool:
    model = Model(parameters, site)
    return any(
        one.share > 1
        for one in limits(model, model.hour(10 * 3600.0, 11 * 3600.0))
        if one.where in ("worker", "host") and one.what != "conntrack"
    )
