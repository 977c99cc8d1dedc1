"""fluid - the plan, by formulas: what each hour of the day asks for.

How      Little's law: so many present as come a second, times how long they stay. How that number wavers: clients that come by
         Poisson and stay however long are Poisson as well (M/G/infinity); bursts add what `times.together` says. A worker has
         its share of both, and the busiest of n workers is the one that only 1 of 100 samples of all n exceeds.
Checked  events.py plays the same clients one by one, and tests/e2e/test_scale.py compares.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from functools import cached_property

from scale.crowd import Crowd, quantile
from scale.day import DAY, Bursts, Curve
from scale.parameters import Parameters
from scale.times import GIVE_UP, LEAVE, SESSION, SPAM_SESSION, TALK, Times, area, even, together

KINDS = ("early", "impatient", "patient", "good")
_POINTS = 16


@dataclass(frozen=True)
class Site:
    """What is planned: connections a day, hosts with so many workers each, and how a balancer spreads connections.

    ``by_client``: by the client's address, so that a client always comes to the same worker; else at random. ``age`` is how many
    days the memory was filled before this one. ``down`` hosts are away, and the others have their clients.
    """

    day: float
    hosts: int = 1
    workers: int = 1
    by_client: bool = False
    age: float = 30.0
    down: int = 0

    @property
    def up(self) -> int:
        """Hosts that are there."""
        return self.hosts - self.down

    @property
    def processes(self) -> int:
        """Workers of all hosts that are there."""
        return self.up * self.workers


@dataclass(frozen=True)
class Hour:
    """What one hour asks for. ``_p99``: what the busiest worker exceeds in one second of a hundred."""

    hour: int
    arrivals: float
    arrivals_p99: float
    trusted: float
    held: float
    held_p99: float
    delayed: float
    line: float
    inside_p99: float
    descriptors_p99: float
    memory_p99: float
    cores: float
    busy_p99: float
    questions: float
    cached: float
    asked: float
    upstream: float
    store: float
    trips: float
    entries: float
    records: float
    mta: float
    messages: float
    octets: float

    def values(self) -> dict[str, float]:
        """Return all fields by name."""
        return asdict(self)


@dataclass(frozen=True)
class Model:
    """The formulas for one site."""

    parameters: Parameters
    site: Site

    @cached_property
    def crowds(self) -> dict[str, Crowd]:
        """The clients of each kind."""
        p = self.parameters
        bad = 1 - p.shares["good"]
        all_bad = _clients(p.bad_clients, p.bad_at, self.site.day * bad, p.clients_growth, p.bad_most)
        crowds = {kind: Crowd(max(1, round(all_bad * p.shares[kind] / bad)) if bad else 1, p.bad_zipf) for kind in KINDS[:3]}
        good = _clients(p.good_clients, p.good_at, self.site.day * p.shares["good"], p.clients_growth, p.good_most)
        return {**crowds, "good": Crowd(good, p.good_zipf)}

    @cached_property
    def curves(self) -> dict[str, Curve]:
        """The day of each kind."""
        bad = Curve(self.parameters.bad_peak)
        return {"early": bad, "impatient": bad, "patient": bad, "good": Curve(self.parameters.good_peak)}

    @cached_property
    def bursts(self) -> Bursts:
        """The bursts that all bots have together; good clients have none."""
        return Bursts(self.parameters.burst, self.parameters.burst_share, self.parameters.burst_length)

    @cached_property
    def wait(self) -> Times:
        """The hold before the greeting."""
        return even(self.parameters.wait_low, self.parameters.wait_high)

    @cached_property
    def target(self) -> Times:
        """The residual delay, counted from the connection on."""
        return even(self.parameters.delay_low, self.parameters.delay_high)

    def rates(self, begin: float, end: float) -> dict[str, float]:
        """Return the connections a second of each kind, between two seconds of the day."""
        shares = self.parameters.shares
        return {kind: self.site.day / DAY * shares[kind] * self.curves[kind].between(begin, end) for kind in KINDS}

    def trusted(self, second: float) -> float:
        """Return the share of good connections that is greeted at once, at a second of the day."""
        p, site = self.parameters, self.site
        daily = site.day * p.shares["good"] / (1 if p.shared or site.by_client else site.up)
        days = min(p.keep, site.age + self.curves["good"].until(second))
        recent = min(p.remember / DAY, days) * daily
        return self.crowds["good"].trusted(days * daily, recent, max(days, 1e-9), p.half_life, p.skip_above)

    @cached_property
    def _waits(self) -> tuple[float, ...]:
        return tuple(self.wait.at((number + 0.5) / _POINTS) for number in range(_POINTS))

    def _after_wait(self, left: Times, seconds: float) -> float:
        return sum(left.left(seconds + wait) for wait in self._waits) / _POINTS

    @cached_property
    def _spam_delayed(self) -> list[float]:
        """Share of patient bots that are in their delay so long after the hold, if they are listed."""
        return [
            sum(self.target.left(number + wait) * GIVE_UP.left(number + wait) for wait in self._waits) / _POINTS
            for number in range(int(self.parameters.delay_high) + 2)
        ]

    @cached_property
    def spam_passed(self) -> float:
        """Share of patient bots that come to the MTA: not listed and through the hold, or through the delay as well."""
        p = self.parameters
        steps = [self.target.at((number + 0.5) / 400) for number in range(400)]
        outlasted = sum(GIVE_UP.left(target) for target in steps) / len(steps)
        return p.listed * outlasted + (1 - p.listed) * self._after_wait(GIVE_UP, 0.0)

    def _held(self, trusted: float) -> dict[str, list[float]]:
        step, end = 0.05, self.parameters.wait_high
        times = [number * step for number in range(int(end / step) + 1)]
        early = {"early": TALK, "impatient": LEAVE, "patient": GIVE_UP}
        held = {kind: [left.left(at) * self.wait.left(at) for at in times] for kind, left in early.items()}
        return {**held, "good": [(1 - trusted) * self.wait.left(at) for at in times]}

    def _good_delayed(self, trusted: float) -> list[float]:
        p = self.parameters
        return [
            p.good_delayed * (trusted * self.target.left(at) + (1 - trusted) * self._after_wait(self.target, at))
            for at in range(int(p.delay_high) + 2)
        ]

    def hour(self, begin: float, end: float) -> Hour:
        """Return what the time between two seconds of the day asks for."""
        p, site, n = self.parameters, self.site, self.site.processes
        rates = self.rates(begin, end)
        every, bad = sum(rates.values()), sum(rates.values()) - rates["good"]
        trusted = self.trusted((begin + end) / 2)

        held = {kind: rates[kind] * (sum(left) - 0.5 * left[0]) * 0.05 for kind, left in self._held(trusted).items()}
        spam = [p.listed * left for left in self._spam_delayed]
        good = self._good_delayed(trusted)
        delayed = rates["patient"] * (sum(spam) - 0.5 * spam[0]) + rates["good"] * (sum(good) - 0.5 * good[0])
        passed = rates["patient"] * self.spam_passed
        line = passed * area(SPAM_SESSION.left, 120, 0.1) + rates["good"] * area(SESSION.left, 60, 0.1)

        unequal = self._unequal(rates) if site.by_client else 0.0
        wavers = self._wavers(rates, trusted)

        def busiest(mean: float, square: float) -> int:
            return quantile(mean / n, mean / n + square / n**2 + unequal * (mean / n) ** 2, 0.99 ** (1 / n))

        held_all = sum(held.values())
        held_p99 = busiest(held_all, wavers["held"])
        inside_p99 = busiest(delayed + line, wavers["delayed"])
        arrivals_p99 = quantile(every, every + self.bursts.variance * bad**2, 0.99)
        line_p99 = inside_p99 * line / (delayed + line) if line else 0.0
        second = busiest(every, self.bursts.variance * bad**2)

        questions = p.lists + p.names
        kept = self._kept(rates, questions)
        near, caches = (1, 1) if site.by_client else (site.up, site.workers)
        hits = known = 0.0
        for kind, crowd in self.crowds.items():
            in_ttl, in_room = rates[kind] * p.ttl / near, rates[kind] * kept / near / caches
            hits += rates[kind] * crowd.cached(in_ttl, caches, in_room) / every
            known += rates[kind] * crowd.cached(in_ttl) / every

        asked = every * (1 - hits) * questions
        cpu = (
            rates["early"] * p.refuse_cpu
            + rates["impatient"] * p.hold_cpu
            + rates["patient"] * (p.hold_cpu + p.greet_cpu)
            + delayed / 60 * p.delay_cpu
            + (rates["good"] + passed) * (p.mail_cpu + p.mail_kb_cpu * max(0.0, p.message_kb - 4) + p.tls_cpu)
            + rates["good"] * (1 - trusted) * p.hold_cpu
            + every * p.store_cpu
            + asked * p.question_cpu
        ) / 1000
        cpu *= p.dearer / (p.worker_speedup if site.workers > 1 else 1.0)

        entries = sum(
            self.crowds[kind].met(min(p.keep, site.age + self.curves[kind].until(end)) * site.day * p.shares[kind])
            for kind in KINDS
        )
        entries += p.domain_clients * self.crowds["good"].met(min(p.keep, site.age) * site.day * p.shares["good"])
        ops = 2 * (every + p.domains * rates["good"])
        trips = n * (min(every / n, 1 / p.read_batch) + min(every / n, 1 / p.write_batch)) if p.shared else 0.0
        each = {"early": p.early_record, "impatient": p.impatient_record, "patient": p.patient_record, "good": p.good_record}
        full = sum(rates[kind] * each[kind] for kind in KINDS) + every * questions * p.answer_record
        full += passed * (p.passed_record - p.patient_record)

        inside = inside_p99 + held_p99
        return Hour(
            hour=int(begin // 3600),
            arrivals=every,
            arrivals_p99=arrivals_p99,
            trusted=trusted,
            held=held_all,
            held_p99=held_p99,
            delayed=delayed,
            line=line,
            inside_p99=inside_p99,
            descriptors_p99=inside + line_p99 + p.spare,
            memory_p99=p.worker_memory
            + min(p.dns_cache, questions * every * p.ttl / n) * p.answer_memory
            + held_p99 * (p.held_memory + p.socket_memory)
            + inside_p99 * (p.line_memory + p.socket_memory)
            + line_p99 * p.socket_memory,
            cores=cpu,
            busy_p99=cpu / n * second / (every / n),
            questions=every * questions,
            cached=hits,
            asked=asked,
            upstream=every * (1 - known) * questions,
            store=ops,
            trips=trips,
            entries=entries,
            records=full if p.detail else every * p.close_record,
            mta=rates["good"] + passed,
            messages=rates["good"] + passed,
            octets=(rates["good"] + passed) * p.message_kb * 1000,
        )

    def hours(self) -> list[Hour]:
        """Return all hours of the day."""
        return [self.hour(number * 3600.0, (number + 1) * 3600.0) for number in range(24)]

    def _wavers(self, rates: dict[str, float], trusted: float) -> dict[str, float]:
        """Variance beyond Poisson's of all that are held, and of all that are delayed: that of the bots' bursts."""
        bad = {kind: rates[kind] for kind in KINDS[:3]}
        held = self._held(trusted)
        crowd = [sum(bad[kind] * held[kind][place] for kind in bad) for place in range(len(held["early"]))]
        delayed = [bad["patient"] * self.parameters.listed * left for left in self._spam_delayed]
        variance, memory = self.bursts.variance, self.bursts.memory
        return {"held": variance * together(crowd, 0.05, memory), "delayed": variance * together(delayed, 1.0, memory)}

    def _unequal(self, rates: dict[str, float]) -> float:
        """Square of how far a worker's share is from the mean where whole clients are dealt out, in units of the mean."""
        every = sum(rates.values())
        return (self.site.processes - 1) * sum((rates[kind] / every) ** 2 * self.crowds[kind].unequal for kind in KINDS)

    def _kept(self, rates: dict[str, float], questions: float) -> float:
        """How long a worker's cache has room for an answer, at most its time to live several times over."""
        p, site = self.parameters, self.site
        room, caches = p.dns_cache / max(1.0, questions), 1 if site.by_client else site.processes

        def full(seconds: float) -> float:
            return sum(crowd.met(rates[kind] * seconds / caches) for kind, crowd in self.crowds.items()) * caches / site.processes

        low, high = 0.0, 10 * p.ttl
        if full(high) <= room:
            return high
        for _ in range(30):
            middle = (low + high) / 2
            low, high = (middle, high) if full(middle) < room else (low, middle)
        return low


def _clients(some: float, at: float, daily: float, growth: float, most: float) -> int:
    return max(1, round(min(most, some * math.pow(daily / at, growth))))
