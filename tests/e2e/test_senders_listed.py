"""Real senders that a DNS list has, or whose HELO name is none: held for as long as the target says, and delivered, once.

Beside them the same senders with nothing against them, whom only the greeting holds.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor

import dns.rcode
import pytest

from tests.e2e.servers import clients, relays
from tests.e2e.servers.nameservers import NameServer, Query
from tests.e2e.servers.need import need
from tests.e2e.servers.tarry import Tarry

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

MTAS = ("exim", "opensmtpd", "postfix", "sendmail")
CLEAN = {name: f"127.9.7.{number}" for number, name in enumerate(MTAS, 1)}
LISTED = {name: f"127.9.8.{number}" for number, name in enumerate(MTAS, 1)}
UNQUALIFIED = {name: f"127.9.9.{number}" for number, name in enumerate(("exim", "postfix", "msmtp", "swaks"), 1)}
BARE = "barehost"
WAIT, TARGET, LATE = 0.4, 4.0, 2.0
CONFIG = f"""
preset = "tarry"
[checks.dnslists]
zones = [{{ zone = "l.test" }}]
[checks.helo]
action = "delay"
tests = ["unqualified"]
[delay]
target = "{TARGET}s"
"""


@pytest.fixture
def door() -> Iterator[Tarry]:
    """A tarry that knows a list of 127.9.8.0/24."""
    with NameServer(lists) as server:
        dns_table = f'[dns]\nservers = ["{server.address}"]\nself_test = "0s"\n'
        with Tarry(CONFIG + dns_table, wait=f"{WAIT}s") as running:
            yield running


def lists(query: Query) -> None:
    is_listed = re.fullmatch(r"\d+\.8\.9\.127\.l\.test", query.asked.name) and query.asked.kind == "A"
    query.send(query.reply("@ 300 A 127.0.0.2") if is_listed else query.reply(rcode=dns.rcode.NXDOMAIN))


def test_only_the_greeting_holds_a_sender_with_nothing_against_it(door: Tarry) -> None:
    """No delay behind the greeting, no refusal, and one message of each."""
    need(*MTAS)
    assert dict.fromkeys(CLEAN, "") == send_at_once(CLEAN, lambda name, source: by_mta(name, source, door.port))
    closes = {each["client"]: each for each in door.wait_records(4, ev="close")}
    assert_each_came_once(door, CLEAN)
    assert {"delayed": {0.0}, "reasons": {()}, "action": {"ignore"}} == {
        key: {tuple(each[key]) if key == "reasons" else each[key] for each in closes.values()}
        for key in ("delayed", "reasons", "action")
    }
    assert {} == {source: each["held"] for source, each in closes.items() if not WAIT <= each["held"] < WAIT + 1}


def test_a_sender_with_a_reason_waits_for_the_target_and_delivers(door: Tarry) -> None:
    """The whole wait since its connection comes to the target, its list or its bare name being the reason; nobody comes twice."""
    need(*MTAS, "msmtp", "swaks")
    with ThreadPoolExecutor(2) as pool:
        listed = pool.submit(send_at_once, LISTED, lambda name, source: by_mta(name, source, door.port))
        unqualified = pool.submit(send_at_once, UNQUALIFIED, lambda name, source: by_bare_name(name, source, door.port))
        assert (dict.fromkeys(LISTED, ""), dict.fromkeys(UNQUALIFIED, "")) == (listed.result(), unqualified.result())
    closes = {each["client"]: each for each in door.wait_records(8, ev="close")}
    holds = door.records(ev="hold", why="residual")
    assert_each_came_once(door, LISTED, UNQUALIFIED)
    assert {
        **dict.fromkeys(LISTED.values(), (["dnslists.listed"], "delay")),
        **dict.fromkeys(UNQUALIFIED.values(), (["helo.unqualified"], "delay")),
    } == {source: (each["reasons"], each["action"]) for source, each in closes.items()}
    assert {BARE} == {closes[source]["helo"] for source in UNQUALIFIED.values()}
    waited = sorted(round(each["dt"], 3) for each in holds)
    assert (8, {"due"}) == (len(waited), {each["ended"] for each in holds})
    assert TARGET <= waited[0]
    assert waited[-1] < TARGET + LATE
    assert {} == {source: each["delayed"] for source, each in closes.items() if not 0 < each["delayed"] < TARGET - WAIT + 0.1}


def assert_each_came_once(door: Tarry, *who: Mapping[str, str]) -> None:
    """One connection of each, one message, and no reply that refuses."""
    sources = sorted(source for each in who for source in each.values())
    assert sources == sorted(each["client"] for each in door.records(ev="connect"))
    assert [f"Subject: {source}".encode() for source in sources] == sorted(
        line for message in door.messages() for line in message.splitlines() if line.startswith(b"Subject: ")
    )
    assert [] == [each for each in door.records(ev="reply") if each["code"] >= 400]


def send_at_once(who: Mapping[str, str], send: Callable[[str, str], clients.Ran]) -> dict[str, str]:
    """Let each send its message at the same time; return what went wrong, "" for nothing."""
    with ThreadPoolExecutor(len(who)) as pool:
        ran = dict(zip(who, pool.map(send, who, who.values()), strict=True))
    return {name: one.output if one.status else "" for name, one in ran.items()}


def message(source: str) -> bytes:
    return clients.MESSAGE.replace(b"Subject: hello", f"Subject: {source}".encode())


def by_mta(name: str, source: str, port: int) -> clients.Ran:
    return relays.send(name, port, message=message(source), source=source)


def by_bare_name(name: str, source: str, port: int) -> clients.Ran:
    """Send with a host name that has no dot."""
    match name:
        case "msmtp":
            return clients.msmtp(port, f"--domain={BARE}", f"--source-ip={source}", message=message(source))
        case "swaks":
            return clients.swaks(port, "--ehlo", BARE, "--local-interface", source, message=message(source))
    settings = {"exim": {"primary_hostname": BARE}, "postfix": {"smtp_helo_name": BARE}}[name]
    with relays.relay(name, port, source, settings) as running:
        running.send(clients.SENDER, [clients.RECIPIENT], message(source).replace(b"\r\n", b"\n"))
        is_gone = running.queue_empty(TARGET + 10)
        log = running.log_text()
    wrong = relays.complaints(name, log, messages=1, starttls=False)
    return clients.Ran(int(bool(wrong) or not is_gone), "\n".join([*wrong, log]), 0.0)
