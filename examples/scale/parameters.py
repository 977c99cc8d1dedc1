"""parameters - every number that the model is made of, with its unit and where it comes from.

Source   The word before each source says what kind of number it is. MEASURED: with this project's own tools on one shared machine
         with 2 cores, see docs/performance.md and docs/scale.md. DATA: counted in somebody's published logs. LIMIT: what a kernel
         or tarry's defaults allow. ASSUMED: nobody knows, so put in your own.
Change   ``--set name=value`` for one, ``--parameters FILE`` for a TOML file with several; ``--show`` prints all.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path


def given(default: float, unit: str, source: str) -> float:
    """Return the field of one parameter."""
    value: float = field(default=default, metadata={"unit": unit, "source": source})
    return value


@dataclass(frozen=True, kw_only=True)
class Parameters:
    """All numbers. Times are in seconds, memory in bytes, CPU in milliseconds, unless the unit says otherwise."""

    # Who comes: shares of all connections. `mixed` sets these four at once.
    early: float = given(0.75, "share", "DATA: 2023, a small server in Germany, two days, its own relay left out: 2,348 of 3,122")
    impatient: float = given(0.01, "share", "DATA: the same, hung up before the greeting: 30")
    patient: float = given(0.18, "share", "DATA: the same, on DNS lists and silent in the hold: the rest")
    good: float = given(0.06, "share", "DATA: the same, PASS NEW and PASS OLD: 177")

    # How many different clients there are, and how unequal. See crowd.py.
    good_clients: float = given(2000, "clients", "DATA: 2011, a month of one server with 320 good connections a day")
    good_at: float = given(320, "a day", "DATA: the same; good_clients is what there is at this many good connections a day")
    bad_clients: float = given(
        2000, "clients", "ASSUMED: active bots that a server with 1,560 bad connections a day meets in weeks"
    )
    bad_at: float = given(1560, "a day", "DATA: 2023, connections that were not good")
    clients_growth: float = given(0.65, "exponent", "ASSUMED: twice the connections are not twice the clients (Heaps' law)")
    good_most: float = given(5e6, "clients", "ASSUMED: hosts on the Internet that send honest mail")
    bad_most: float = given(5e7, "clients", "ASSUMED: hosts that send spam within some weeks")
    good_zipf: float = given(
        1.0, "exponent", "DATA: 2023, 177 good connections of 102 clients, 87 of them once; 1.0 gives 98 and 76"
    )
    bad_zipf: float = given(
        0.4, "exponent", "DATA: 2023, 2,348 early talks of 150 clients, 10 of them once; the busiest few 30 to 40"
    )

    # When they come.
    good_peak: float = given(1.8, "times the mean", "DATA: 2023, busiest hour of the day of known good clients")
    bad_peak: float = given(4.0, "times the mean", "ASSUMED: one small server had 8 to 16 (one botnet); many are smoother together")
    burst: float = given(
        1.5, "times", "ASSUMED: bots within a burst; 1 is none: SMTP is a Poisson process within seconds (Lee, Kim)"
    )
    burst_share: float = given(0.1, "share", "ASSUMED: of the time there is a burst")
    burst_length: float = given(30, "s", "ASSUMED: mean length of a burst")

    # What tarry does with them: the values of the configuration.
    wait_low: float = given(3, "s", "LIMIT: hold.wait, default 3s..6s")
    wait_high: float = given(6, "s", "LIMIT: hold.wait")
    delay_low: float = given(60, "s", "LIMIT: delay.target, default 60s..290s")
    delay_high: float = given(290, "s", "LIMIT: delay.target")
    listed: float = given(0.975, "share", "DATA: 2023, tested connections whose client was on a DNS list; they are delayed")
    good_delayed: float = given(0.02, "share", "ASSUMED: good clients that have a reason and are delayed")
    skip_above: float = given(5, "karma", "LIMIT: karma.skip_above; a message that the MTA takes brings 1")
    half_life: float = given(30, "days", "LIMIT: karma.half_life")
    remember: float = given(0, "s", "LIMIT: checks.pregreet.remember: so long a pass spares the hold; 0 is never")
    keep: float = given(60, "days", "LIMIT: store.keep")
    shared: float = given(1, "0 or 1", "LIMIT: 1: one Valkey for all hosts; 0: each host has its own memory (sqlite)")
    lists: float = given(5, "questions", "ASSUMED: DNS lists that are asked about each client")
    names: float = given(2, "questions", "LIMIT: karma.by_domain: the names of the address, and the addresses of a name")
    ttl: float = given(300, "s", "ASSUMED: lists answer with a minute to an hour; dns.min_ttl is 1m, dns.max_ttl 1h")

    # What it costs.
    hold_cpu: float = given(0.105, "ms", "MEASURED: bench hold: accept, hold, hang-up")
    refuse_cpu: float = given(0.064, "ms", "MEASURED: bench early: accept, refusal, close")
    greet_cpu: float = given(0.042, "ms", "MEASURED: bench hold: greeting and QUIT, beyond the hold")
    mail_cpu: float = given(0.354, "ms", "MEASURED: bench mail: a connection with a message of 4 KB, hold 0 s")
    mail_kb_cpu: float = given(0.00116, "ms a KB", "MEASURED: bench mail: 100 KB against 4 KB")
    question_cpu: float = given(0.092, "ms", "MEASURED: bench lists: 0.46 ms for five questions that go out")
    delay_cpu: float = given(0.11, "ms a minute", "MEASURED: bench residual: a client in a residual delay")
    store_cpu: float = given(0.1, "ms", "MEASURED: bench/history, 0.03 to 0.05 for an entry; a client with a domain has two")
    dearer: float = given(1, "times", "MEASURED: 1 in the benches; reality.py saw 2 at 300 a second and 4 at 50, beside other work")
    tls_cpu: float = given(0, "ms", "LIMIT: tls.mode = relay: the MTA does TLS. With terminate put in your openssl speed")
    held_memory: float = given(150, "bytes", "MEASURED: bench hold: Pss a held client")
    line_memory: float = given(10.5 * 1024, "bytes", "MEASURED: bench line, bench residual: Pss a client in line")
    socket_memory: float = given(
        4600, "bytes", "MEASURED: socket_memory.py: 4,430 to 4,790: the kernel's part of a connection without traffic"
    )
    worker_memory: float = given(40e6, "bytes", "MEASURED: reality.py: 32 MB (Pss) when idle, and room")
    answer_memory: float = given(900, "bytes", "ASSUMED: an answer in the DNS cache")
    worker_speedup: float = given(0.9, "share", "MEASURED: bench/workers, 1 to 2: 0.85 on a busy machine, 0.97 on a quiet one")

    # The memory of clients.
    entry_bytes: float = given(700, "bytes", "MEASURED: msgpack of an Entry with 8 visits is 640 to 690, of one session 270")
    entry_overhead: float = given(130, "bytes", "ASSUMED: what Valkey adds to a key of 20 bytes with an expiry")
    domains: float = given(0.8, "share", "ASSUMED: good clients whose domain has an entry as well: a read and a write more")
    domain_clients: float = given(0.3, "share", "ASSUMED: domains for each good client")
    read_batch: float = given(0.002, "s", "LIMIT: store/desk.py gathers what is to be read for so long")
    write_batch: float = given(0.1, "s", "LIMIT: store/desk.py gathers what is to be written for so long")
    shard_rate: float = given(50_000, "a second", "ASSUMED: entries that one Valkey process reads or merges")

    # The log: bytes a session with record.detail = "all", and of its close line alone.
    early_record: float = given(1650, "bytes", "MEASURED: reality.py")
    impatient_record: float = given(1100, "bytes", "MEASURED: reality.py")
    patient_record: float = given(2250, "bytes", "MEASURED: reality.py; delayed, gave up")
    passed_record: float = given(3300, "bytes", "MEASURED: reality.py; delayed, came through, one message")
    good_record: float = given(2750, "bytes", "MEASURED: reality.py; one message")
    answer_record: float = given(250, "bytes", "MEASURED: 224 an answer; a listing adds a reason of 220, to few of them")
    close_record: float = given(560, "bytes", "MEASURED: reality.py")
    detail: float = given(1, "0 or 1", "LIMIT: 1: record.detail = all; 0: close")
    zipped: float = given(0.083, "share", "MEASURED: what gzip -6 leaves of an hour of records")

    # Mail.
    message_kb: float = given(75, "KB", "ASSUMED: mean size of a message")
    mta_messages: float = given(100, "a second", "ASSUMED: what one MTA host takes, with its filters")

    # What there is.
    max_clients: float = given(15_000, "clients", "LIMIT: listen.max_clients, a worker")
    nofile: float = given(65_536, "descriptors", "LIMIT: LimitNOFILE= of the service; a worker")
    spare: float = given(64, "descriptors", "ASSUMED: listeners, log, DNS, memory, control: a worker")
    busy: float = given(0.7, "share of a core", "ASSUMED: what a worker may use in its busiest second but one in a hundred")
    host_memory: float = given(8e9, "bytes", "ASSUMED: a host")
    dns_cache: float = given(50_000, "answers", "LIMIT: dns.cache, a worker")
    dns_queries: float = given(1000, "questions", "LIMIT: dns.max_queries at once, a worker")
    dns_latency: float = given(0.02, "s", "ASSUMED: an answer of the resolver beside tarry, on average")
    resolver_rate: float = given(50_000, "a second", "ASSUMED: what the resolver on each host answers")
    ports: float = given(28_232, "ports", "LIMIT: net.ipv4.ip_local_port_range, to one address of the MTA")
    time_wait: float = given(0.03, "share", "MEASURED: reality.py: connections to the MTA that keep a port at tarry for 60 s")
    disk_rate: float = given(50e6, "bytes a second", "ASSUMED: what a host writes without being slow")
    tracked: float = given(
        262_144, "connections", "LIMIT: nf_conntrack_max where connections are tracked; kept 120 s after the end"
    )

    @property
    def shares(self) -> dict[str, float]:
        """The kinds of clients, and what share of all connections each has; they add up to 1."""
        kinds = {"early": self.early, "impatient": self.impatient, "patient": self.patient, "good": self.good}
        whole = sum(kinds.values())
        return {kind: share / whole for kind, share in kinds.items()}


MIXES: Mapping[str, Mapping[str, float]] = {
    "2023": {"early": 0.75, "impatient": 0.01, "patient": 0.18, "good": 0.06},
    "2011": {"early": 0.022, "impatient": 0.045, "patient": 0.048, "good": 0.885},
    "even": {"early": 0.40, "impatient": 0.02, "patient": 0.18, "good": 0.40},
}
"""2023: the small server of the data (three of four connections are early talkers). 2011: a month of another (PREGREET 239, HANGUP
503, DNS list 536, PASS NEW and OLD 9,991). even: in between, ASSUMED, for a site that is less attacked than the first."""


def mixed(parameters: Parameters, mix: str) -> Parameters:
    """Return the parameters with the shares of a named mix. Raises KeyError for none."""
    return replace(parameters, **MIXES[mix])


def changed(parameters: Parameters, changes: Iterable[tuple[str, object]]) -> Parameters:
    """Return the parameters with some replaced. Raises ValueError with a sentence for a name or a value that is none."""
    known = {one.name for one in fields(Parameters)}
    new: dict[str, float] = {}
    for name, value in changes:
        if name not in known:
            raise ValueError(f"{name}: no such parameter; --show prints all")
        try:
            new[name] = float(str(value))
        except ValueError:
            raise ValueError(f"{name}: {value} is no number") from None
    return replace(parameters, **new)


def read(parameters: Parameters, file: Path) -> Parameters:
    """Return the parameters with those of a TOML file replaced. Raises ValueError and OSError."""
    return changed(parameters, tomllib.loads(file.read_text()).items())
