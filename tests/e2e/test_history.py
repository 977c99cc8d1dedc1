"""What a client did is remembered: across a restart, for its whole domain, for as long as it is not forgotten."""

import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import dns.rcode
import pytest

from tests.e2e.servers.clients import RawClient
from tests.e2e.servers.nameservers import NameServer, Query
from tests.e2e.servers.tarry import COMMAND, Tarry

pytestmark = pytest.mark.e2e

WAIT = 4.0
"""Seconds: who is greeted in less than 3 was not held."""
POOL = {f"127.5.0.{number}": f"out{number}.mail.example.org" for number in range(1, 9)}
LINE, FORGED = "127.5.1.1", "127.5.1.2"
"""A customer of the same domain, and one whose name does not lead back to it."""
NAMES = {**POOL, LINE: "dsl-127-5-1-1.example.org", FORGED: "out1.mail.example.org"}
EARLY, GOOD, STRANGER = "127.5.2.1", "127.5.2.2", "127.5.2.3"
DENIED, ALLOWED = "127.5.3.1", "127.5.3.2"
POOL_MEMBER = "127.5.0.8"


def _answers(query: Query) -> None:
    name, kind = query.asked.name.lower(), query.asked.kind
    if kind == "PTR":
        address = ".".join(reversed(name.removesuffix(".in-addr.arpa").split(".")))
        found = [f"@ 60 PTR {NAMES[address]}."] if address in NAMES else []
    else:
        found = [f"@ 60 A {address}" for address, known in NAMES.items() if known == name and kind == "A" and address != FORGED]
    is_known = bool(found) or name in NAMES.values()
    query.send(query.reply(*found, rcode=dns.rcode.NOERROR if is_known else dns.rcode.NXDOMAIN))


def seconds_held(door: Tarry, source: str, *, delivers: bool = True) -> float:
    """Deliver a message, or only say hello, and return how long the greeting took."""
    with RawClient(door.port, source=source) as client:
        began = time.monotonic()
        client.read_reply()
        held = time.monotonic() - began
        client.command(b"EHLO client.example")
        if delivers:
            assert [250, 250] == client.envelope()
            client.command(b"DATA")
            assert 250 == client.command(b"Subject: x\r\n\r\nhello\r\n.").code
        client.command(b"QUIT")
    return held


def talk_early(door: Tarry, source: str) -> bytes:
    with RawClient(door.port, source=source) as client:
        client.send(b"EHLO early.example\r\n")
        return client.read_until_closed()


def tarry_clients(door: Tarry, *words: str) -> None:
    command = [COMMAND, "clients", *words, "-c", door.file]
    ran = subprocess.run(command, cwd=door.folder, capture_output=True, check=False, timeout=30)
    assert 0 == ran.returncode, ran.stderr


@dataclass
class Story:
    """How long each client was held when it came again, and what the record has of that session."""

    held: dict[str, float]
    closed: dict[str, dict[str, Any]]
    known: dict[str, list[str]]
    denied: bytes
    forgotten: dict[str, Any]


@pytest.fixture(scope="module")
def story() -> Story:
    """Six good sessions of a pool of addresses, six of one client, two early talks, a restart; and then they come again."""
    with NameServer(_answers) as server:
        config = f"""
            [store]
            url = "sqlite:clients.db"
            [dns]
            servers = ["{server.address}"]
            """
        with Tarry(config, wait=f"{WAIT:g}s") as door, ThreadPoolExecutor(16) as pool:
            first = list(pool.map(lambda source: seconds_held(door, source), [*list(POOL)[:6], *[GOOD] * 6]))
            said = list(pool.map(lambda _: talk_early(door, EARLY), range(2)))
            assert min(first) > WAIT - 1
            assert all(one.startswith(b"554 ") for one in said)
            door.stop()
            door.start()
            tarry_clients(door, "deny", DENIED, "--for", "1h", "--comment", "a test")
            tarry_clients(door, "allow", ALLOWED)
            time.sleep(2.0)  # the door looks at what was said each second
            sources = (GOOD, POOL_MEMBER, LINE, FORGED, STRANGER, EARLY, ALLOWED)
            held = dict(
                zip(sources, pool.map(lambda source: seconds_held(door, source, delivers=source != EARLY), sources), strict=True)
            )
            denied = talk_early(door, DENIED)
            tarry_clients(door, "forget", EARLY)
            time.sleep(1.5)  # what it has read counts for a second
            seconds_held(door, EARLY, delivers=False)
            door.stop()
            closed = {one["client"]: one for one in door.records(ev="close")}
            known = {one["name"]: one["codes"] for one in door.records(ev="answer", source="history")}
            early = door.records(ev="close", client=EARLY)
            return Story(held, {**closed, EARLY: early[-2]}, known, denied, early[-1])


def test_a_client_with_six_good_sessions_is_not_held(story: Story) -> None:
    """The seed's rule: more than 5 skips the wait. The record says what was known, and what came of it."""
    assert story.held[GOOD] < WAIT - 1
    assert story.known[GOOD][0] in ("karma 6.00", "karma 5.99")
    assert "karma.good" in story.closed[GOOD]["reasons"]


def test_a_new_address_of_a_known_sender_is_not_held(story: Story) -> None:
    """The domain answers for it; not for a customer of its, and not for who only says that he is of it. A stranger waits."""
    assert story.held[POOL_MEMBER] < WAIT - 1
    assert min(story.held[source] for source in (LINE, FORGED, STRANGER)) > WAIT - 1
    domains = [story.closed[source]["domain"] for source in (POOL_MEMBER, LINE, FORGED, STRANGER)]
    assert ["example.org", "", "", ""] == domains


def test_an_early_talker_is_remembered_across_a_restart(story: Story) -> None:
    """It has a reason when it comes again, although it waits now."""
    assert ["karma.bad"] == story.closed[EARLY]["reasons"]


def test_who_is_forgotten_comes_for_the_first_time(story: Story) -> None:
    """`tarry clients forget` is heeded by the door that runs."""
    assert [] == story.forgotten["reasons"]


def test_a_denied_client_is_turned_away_and_an_allowed_one_let_in(story: Story) -> None:
    """What `tarry clients` says is known to the door that runs."""
    assert story.denied.startswith(b"554 ")
    assert story.held[ALLOWED] < WAIT - 1
