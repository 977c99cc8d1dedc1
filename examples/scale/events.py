"""events - the same clients one by one: a discrete-event simulation of one day, to check the formulas.

What     Each client that comes is drawn from its crowd, is known or not by what a dictionary remembers, waits, is delayed, talks to
         the MTA and goes; each worker has a DNS cache with least-recently-used order, each host a resolver. Nothing here is taken
         from fluid.py but the number of clients.
Cost     Some 15 microseconds a connection. `twin` makes a small site of a large one, by leaving out all but one client in k.
"""

from __future__ import annotations

import heapq
import math
import random
from collections import OrderedDict
from dataclasses import dataclass, field, replace

from scale.crowd import MOST
from scale.day import DAY
from scale.fluid import KINDS, Model, Site
from scale.times import GIVE_UP, LEAVE, SESSION, SPAM_SESSION, TALK

HELD, DELAYED, LINE = 0, 1, 2


@dataclass
class Seen:
    """What was counted in a day. ``busiest`` are the most that a worker held, and had in session, each second of the peak."""

    arrivals: int = 0
    good: int = 0
    trusted: int = 0
    held: float = 0.0
    delayed: float = 0.0
    line: float = 0.0
    held_p99: float = 0.0
    inside_p99: float = 0.0
    arrivals_p99: float = 0.0
    hits: int = 0
    upstream: int = 0
    mta: int = 0
    records: float = 0.0
    cpu: float = 0.0
    clients: int = 0
    busiest: list[tuple[int, int, int]] = field(default_factory=list)


def twin(site: Site, parameters_day: float) -> Site:
    """Return a site with so many connections a day, as if all but one client in k were left out, and with fewer hosts."""
    smaller = site.day / parameters_day
    if smaller <= 1:
        return replace(site, age=0.0)
    workers = max(1, round(site.processes / smaller))
    hosts = max(1, math.ceil(workers / site.workers))
    return replace(site, day=parameters_day, hosts=hosts, workers=max(1, workers // hosts), down=0, age=0.0)


def play(model: Model, seed: int, peak: tuple[float, float]) -> Seen:
    """Play one day from an empty memory; what ``_p99`` is about is sampled each second between the two of *peak*."""
    return _Day(model, seed, peak).run()


class _Day:
    def __init__(self, model: Model, seed: int, peak: tuple[float, float]) -> None:
        self.model, self.p, self.site = model, model.parameters, model.site
        self.random = random.Random(seed)
        self.peak = peak
        self.seen = Seen()
        self.ends: list[tuple[float, int, int, int, tuple[tuple[int, float], ...], tuple[int, int, int] | None]] = []
        self.number = 0
        self.there = [[0] * self.site.processes for _ in range(3)]
        self.all_there = [0, 0, 0]
        self.factor = self.p.dearer / 1000 / (self.p.worker_speedup if self.site.workers > 1 else 1)
        self.karma: dict[tuple[int, int, int], tuple[float, float]] = {}
        self.caches: list[OrderedDict[tuple[int, int], float]] = [OrderedDict() for _ in range(self.site.processes)]
        self.resolvers: list[dict[tuple[int, int], float]] = [{} for _ in range(self.site.up)]
        self.room = int(self.p.dns_cache / max(1.0, self.p.lists + self.p.names))
        self.met: set[tuple[int, int]] = set()

    def run(self) -> Seen:
        burst, until, sums = False, 0.0, [0, 0, 0]
        bursts, draw = self.model.bursts, self.random
        rates: list[float] = []
        base = [self.site.day / DAY * self.p.shares[kind] for kind in KINDS]
        for second in range(int(DAY)):
            if second >= until:
                burst = draw.random() < bursts.share if second == 0 else not burst
                until = second + draw.expovariate(1 / (bursts.length if burst else bursts.calm_length))
            if second % 60 == 0:
                rates = [rate * self.model.curves[name].at(second + 30) for rate, name in zip(base, KINDS, strict=True)]
            factor = bursts.height if burst else bursts.calm
            now = [*(rate * factor for rate in rates[:3]), rates[3]]
            come = sorted(second + draw.random() for _ in range(self._poisson(sum(now))))
            for at in come:
                self._until(at)
                self._arrive(at, draw.choices(range(4), now)[0])
            self._until(second + 1.0)
            for stage in (HELD, DELAYED, LINE):
                sums[stage] += self.all_there[stage]
            if self.peak[0] <= second < self.peak[1]:
                inside = max(a + b for a, b in zip(self.there[DELAYED], self.there[LINE], strict=True))
                self.seen.busiest.append((max(self.there[HELD]), inside, len(come)))
        seen = self.seen
        seen.held, seen.delayed, seen.line = (count / DAY for count in sums)
        seen.held_p99, seen.inside_p99, seen.arrivals_p99 = (
            float(sorted(values)[int(0.99 * len(values))]) for values in zip(*seen.busiest, strict=True)
        )
        seen.clients = len(self.met)
        return seen

    def _poisson(self, mean: float) -> int:
        if mean > 50:
            return max(0, round(self.random.gauss(mean, math.sqrt(mean))))
        limit, product, count = math.exp(-mean), self.random.random(), 0
        while product > limit:
            product *= self.random.random()
            count += 1
        return count

    def _arrive(self, at: float, kind: int) -> None:
        """A client comes: it is drawn, recognised, asked about, and begins its stages."""
        p, draw, seen = self.p, self.random, self.seen
        name = KINDS[kind]
        client = (kind, self.model.crowds[name].rank(draw.random()))
        self.met.add(client)
        place = hash(client) % self.site.processes if self.site.by_client else draw.randrange(self.site.processes)
        host = place // self.site.workers
        seen.arrivals += 1
        self._ask(at, client, place, host)
        wait, target = self.model.wait.at(draw.random()), self.model.target.at(draw.random())
        each = {"early": p.early_record, "impatient": p.impatient_record, "patient": p.patient_record, "good": p.good_record}[name]
        seen.records += each + (p.lists + p.names) * p.answer_record if p.detail else p.close_record
        mail = p.mail_cpu + p.mail_kb_cpu * max(0.0, p.message_kb - 4) + p.tls_cpu
        cpu, stages, key = p.store_cpu, [], None
        if name == "early":
            stages, cpu = [(HELD, min(wait, TALK.at(draw.random())))], cpu + p.refuse_cpu
        elif name == "impatient":
            stages, cpu = [(HELD, min(wait, LEAVE.at(draw.random())))], cpu + p.hold_cpu
        elif name == "patient":
            patience, cpu = GIVE_UP.at(draw.random()), cpu + p.hold_cpu + p.greet_cpu
            stages = [(HELD, min(wait, patience))]
            listed = draw.random() < p.listed
            if listed and patience > wait:
                stages.append((DELAYED, max(0.0, min(target, patience) - wait)))
            if patience > (max(wait, target) if listed else wait):
                stages.append((LINE, SPAM_SESSION.at(draw.random())))
                seen.mta, cpu = seen.mta + 1, cpu + mail
                seen.records += p.passed_record - p.patient_record if p.detail else 0
        else:
            key = (0 if p.shared or self.site.by_client else 1 + host, *client)
            seen.good, seen.mta = seen.good + 1, seen.mta + 1
            karma, last = self.karma.get(key, (0.0, -math.inf))
            known = karma * 2 ** (-(at - last) / DAY / p.half_life) > p.skip_above or at - last < p.remember
            if known:
                seen.trusted += 1
                wait = 0.0
            else:
                stages, cpu = [(HELD, wait)], cpu + p.hold_cpu
            if draw.random() < p.good_delayed:
                stages.append((DELAYED, max(0.0, target - wait)))
            stages.append((LINE, SESSION.at(draw.random())))
            cpu += mail
        for stage, seconds in stages:
            if stage == DELAYED:
                cpu += seconds / 60 * p.delay_cpu
        seen.cpu += cpu * self.factor
        self._enter(at, place, tuple(stages), key)

    def _enter(self, at: float, place: int, stages: tuple[tuple[int, float], ...], key: tuple[int, int, int] | None) -> None:
        if not stages:
            if key is not None:
                karma, last = self.karma.get(key, (0.0, at))
                self.karma[key] = (min(MOST, 1 + karma * 2 ** (-(at - last) / DAY / self.p.half_life)), at)
            return
        (stage, seconds), rest = stages[0], stages[1:]
        self.there[stage][place] += 1
        self.all_there[stage] += 1
        self.number += 1
        heapq.heappush(self.ends, (at + seconds, self.number, place, stage, rest, key))

    def _until(self, at: float) -> None:
        """Let go on all whose stage is over by then."""
        while self.ends and self.ends[0][0] <= at:
            end, _, place, stage, rest, key = heapq.heappop(self.ends)
            self.there[stage][place] -= 1
            self.all_there[stage] -= 1
            self._enter(end, place, rest, key)

    def _ask(self, at: float, client: tuple[int, int], place: int, host: int) -> None:
        """Ask the worker's cache about a client, and the host's resolver if need be, which tells how long its answer has left."""
        p, cache, resolver = self.p, self.caches[place], self.resolvers[host]
        if cache.get(client, 0.0) > at:
            cache.move_to_end(client)
            self.seen.hits += 1
            return
        if resolver.get(client, 0.0) <= at:
            self.seen.upstream += 1
            resolver[client] = at + p.ttl
        cache[client] = resolver[client]
        cache.move_to_end(client)
        if len(cache) > self.room:
            cache.popitem(last=False)
        self.seen.cpu += (p.lists + p.names) * p.question_cpu * self.factor
