"""DNS over the life of a daemon: lists that die and come back, reloads, the end; and who is not looked up at all."""

from __future__ import annotations

import contextlib
import os
import pty
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import dns.rcode
import pytest

from tests.e2e.servers.clients import RawClient
from tests.e2e.servers.inetd import Inetd
from tests.e2e.servers.nameservers import Behaviour, NameServer, Query
from tests.e2e.servers.processes import free_port, is_listening, wait_until
from tests.e2e.servers.sink import Sink
from tests.e2e.servers.tarry import COMMAND, Tarry
from tests.e2e.servers.visitor import visit, visits

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

ANY_CLIENT = '[listen]\nmax_per_client = 0\nproxy_from = ["127.0.0.1/32"]\n'
REJECT = '[checks.dnslists]\naction = "reject"\nzones = [{ zone = "l.test" }]\n'
LATE = 3.0  # seconds that a busy machine may add
LISTED = {"7.2.0.192.l.test", "2.0.0.127.l.test", "9.9.9.127.l.test"}
GOOD = {"1.9.9.127.w.test", "2.0.0.127.w.test"}


def honest(query: Query) -> None:
    """A list that works. With a TTL of 0, for c-ares remembers answers as well."""
    is_listed = query.asked.name in LISTED | GOOD and query.asked.kind == "A"
    query.send(query.reply("@ 0 A 127.0.0.2") if is_listed else query.reply(rcode=dns.rcode.NXDOMAIN))


def everybody(query: Query) -> None:
    query.send(query.reply("@ 0 A 127.0.0.2"))


def silent(query: Query) -> None:
    """No answer."""


def asking(server: NameServer, *, self_test: str = "0s", **dns: str) -> str:
    more = "".join(f'{key} = "{value}"\n' for key, value in dns.items())
    return f'[dns]\nservers = ["{server.address}"]\nself_test = "{self_test}"\n{more}'


# Lists that die.


@pytest.fixture
def dying() -> Iterator[tuple[NameServer, list[Behaviour]]]:
    """A name server, and how it behaves, to be changed."""
    behaviour: list[Behaviour] = [everybody]
    with NameServer(lambda query: behaviour[0](query)) as server:
        yield server, behaviour


def test_a_list_of_everybody_is_switched_off_and_comes_back(dying: tuple[NameServer, list[Behaviour]]) -> None:
    """Nobody is refused while it lists 127.0.0.1; once it is mended it is believed again. Both stand in the record."""
    server, behaviour = dying
    with Tarry(ANY_CLIENT + REJECT + asking(server, self_test="0.2s"), wait="0.3s") as door:
        assert door.wait_records(1, ev="stress", what="list l.test", on=True)
        dead = visit(door.port, "192.0.2.7")
        behaviour[0] = honest
        assert door.wait_records(1, ev="stress", what="list l.test", on=False)
        mended = visits(door.port, ["192.0.2.7", "192.0.2.8"])
        outcomes = door.wait_records(2, ev="outcome", check="dnslists")
        stresses = [(record["on"], record["why"]) for record in door.records(ev="stress")]

    assert dead.is_delivered
    assert (554, 220) == tuple(one.codes[""] for one in mended.values())
    assert [(True, "it lists 127.0.0.1, which no list may"), (False, "")] == stresses
    why = "l.test: the zone is switched off: it lists 127.0.0.1, which no list may"
    assert [("unknown", why), ("passed", "")] == [(outcome["result"], outcome["why"]) for outcome in outcomes]


def test_a_dead_list_is_told_on_the_terminal(dying: tuple[NameServer, list[Behaviour]], tmp_path: Path) -> None:
    """In plain words, when it goes off and when it is asked again."""
    server, behaviour = dying
    file = tmp_path / "tarry.toml"
    file.write_text(f'[listen]\nsmtp = ["127.0.0.1:{free_port()}"]\n{REJECT}{asking(server, self_test="0.2s")}')
    with on_a_terminal([str(COMMAND), "serve", "-c", str(file)], tmp_path) as shown:
        assert wait_until(lambda: "the DNS list l.test is not asked: it lists 127.0.0.1, which no list may" in shown(), 10), shown()
        behaviour[0] = honest
        assert wait_until(lambda: "the DNS list l.test is asked again" in shown(), 10), shown()


@contextlib.contextmanager
def on_a_terminal(command: list[str], folder: Path) -> Iterator[Callable[[], str]]:
    """Run *command* on a terminal of its own; what is given returns all that it has shown."""
    ours, its = pty.openpty()
    # A minute, whatever becomes of this test.
    process = subprocess.Popen(["timeout", "60", *command], cwd=folder, stdin=its, stdout=its, stderr=its, start_new_session=True)
    os.close(its)
    os.set_blocking(ours, False)
    seen = bytearray()

    def shown() -> str:
        with contextlib.suppress(BlockingIOError):
            seen.extend(os.read(ours, 65536))
        return seen.decode()

    try:
        yield shown
    finally:
        process.terminate()
        process.wait(20)
        os.close(ours)


# Reload, and the end.


def test_a_reload_takes_other_lists(dying: tuple[NameServer, list[Behaviour]]) -> None:
    """New clients are looked up where the new configuration says; one that is held meanwhile, its questions open, gets through.

    These have their time; nothing else is asked after the last reload.
    """

    def others(server: NameServer) -> int:
        return sum(asked.name != "5.2.0.192.l.test" for asked in server.asked)

    server, behaviour = dying
    behaviour[0] = lambda query: None if query.asked.name == "5.2.0.192.l.test" else honest(query)
    with Tarry(ANY_CLIENT + REJECT + asking(server), wait="1.2s") as door, ThreadPoolExecutor() as pool:
        before = visit(door.port, "192.0.2.7")
        held = pool.submit(visit, door.port, "192.0.2.5")
        assert wait_until(lambda: any(asked.name == "5.2.0.192.l.test" for asked in server.asked), 5)
        door.write({**door.config, "checks": {"dnslists": {"action": "reject", "zones": [{"zone": "w.test"}]}}})
        door.reload()
        assert door.wait_records(1, ev="config", ok=True)
        door.write({key: value for key, value in door.config.items() if key != "checks"})
        after = visits(door.port, ["192.0.2.7", "127.9.9.1"])
        asked = others(server)
        door.reload()
        assert len(door.wait_records(2, ev="config", ok=True)) == 2
        without = visit(door.port, "127.9.9.1")
        whole = held.result()

    assert (554, 554, 220) == (before.codes[""], after["127.9.9.1"].codes[""], without.codes[""])
    assert (True, True, True) == (after["192.0.2.7"].is_delivered, without.is_delivered, whole.is_delivered)
    assert 1.2 <= whole.greeted_after < 1.2 + LATE
    assert asked == others(server)


def test_a_reload_disturbs_no_session_that_asks(dying: tuple[NameServer, list[Behaviour]]) -> None:
    """What comes after it in a session of before is looked up as it was. A listed sender is refused, nobody waits for nothing."""
    server, behaviour = dying
    behaviour[0] = lambda query: query.send(
        query.reply("@ 0 A 127.0.0.2") if query.asked.name == "bad.test.d.test" else query.reply(rcode=dns.rcode.NXDOMAIN)
    )
    config = '[checks.rhsbl]\naction = "reject"\nat = "rcpt"\nzones = [{ zone = "d.test" }]\n' + asking(server, timeout="5s")
    with Tarry(config, wait="0s") as door, RawClient(door.port) as client:
        client.greeted()
        before = client.envelope("a@bad.test", "b@example.org")
        client.command(b"RSET")
        for number in (1, 2):
            door.reload()
            assert len(door.wait_records(number, ev="config", ok=True)) == number
        began = time.monotonic()
        after = client.envelope("a@good.test", "b@example.org")
        client.command(b"RSET")
        listed = client.envelope("a@bad.test", "b@example.org")
        took = time.monotonic() - began

    assert ([250, 550], [250, 250], [550, 550]) == (before, after, listed)
    assert took < 3


def test_a_daemon_ends_with_questions_open() -> None:
    """Held clients and one whose RCPT waits for an answer are told 421 or go on; nothing hangs and nothing is raised."""
    with NameServer(silent) as server:
        config = ANY_CLIENT + REJECT + asking(server, timeout="30s") + '[limits]\ndrain = "1s"\n'
        with Tarry(config, wait="0.3s") as door, ThreadPoolExecutor() as pool:
            at_rcpt = pool.submit(visit, door.port, "192.0.2.1")
            assert door.wait_records(1, ev="command", verb="RCPT")
            held = [pool.submit(visit, door.port, f"192.0.2.{number}") for number in range(2, 7)]
            assert len(door.wait_records(6, ev="connect")) == 6
            began = time.monotonic()
            status = door.stop()
            took = time.monotonic() - began
            printed = door.printed()
            told = [one.result().codes[""] for one in held]
            waited = at_rcpt.result()
            closes = len(door.records(ev="close"))

    assert (0, 6) == (status, closes)
    assert took < 5
    assert set(told) <= {220, 421}
    assert (220, 250) == (waited.codes[""], waited.codes["MAIL"])
    assert not re.search("Traceback|Exception|never awaited|Task was destroyed", printed), printed


# One process a client, TLS from the first byte on, and who is not looked up.


def test_tarry_inetd_asks_lists_too(tmp_path: Path) -> None:
    """A listed client is refused before the command is run, one of an allow list is let in at once, the others when due."""
    with NameServer(honest) as server:
        file = tmp_path / "tarry.toml"
        zones = 'zones = [{ zone = "l.test" }, { zone = "w.test", weight = -1 }]\n'
        file.write_text(f'[hold]\nwait = "3s"\n[checks.dnslists]\naction = "reject"\n{zones}{asking(server)}')
        command = [str(COMMAND), "inetd", "-c", str(file), "--", "/bin/sh", "-c", "echo 220 served; exec cat"]
        with Inetd(command) as inetd:
            who = {"listed": "127.9.9.9", "allowed": "127.9.9.1", "unknown": "127.9.9.2"}
            with ThreadPoolExecutor() as pool:
                made = dict(zip(who, pool.map(lambda address: greeted(inetd.port, address), who.values()), strict=True))

    assert {"listed": 554, "allowed": 220, "unknown": 220} == {name: code for name, (code, _) in made.items()}
    assert max(made["allowed"][1], made["listed"][1]) < 2.9  # of which the start of a process takes some on a busy machine
    assert 3 <= made["unknown"][1] < 3 + LATE


def greeted(port: int, source: str) -> tuple[int, float]:
    """Return the code of the greeting and when it came."""
    with RawClient(port, source=source) as client:
        reply = client.read_reply()
        return reply.code, reply.at - client.connected_at


def test_a_client_that_comes_with_tls_is_judged_at_rcpt(tls_files: tuple[Path, Path]) -> None:
    """Its lookups begin at EHLO: refused at RCPT where it is listed, served where it is not."""
    port = free_port()
    listen = ANY_CLIENT + f'smtps = ["127.0.0.1:{port}"]\n[tls]\ncertificate = "{tls_files[0]}"\nkey = "{tls_files[1]}"\n'
    with NameServer(honest) as server, Tarry(listen + REJECT + asking(server), wait="0.3s"):
        assert wait_until(lambda: is_listening(port), 5)
        made = visits(port, ["192.0.2.7", "192.0.2.8"], tls=True)

    listed, other = made.values()
    assert (220, 250, 550) == (listed.codes[""], listed.codes["EHLO"], list(listed.codes.values())[-1]), listed
    assert "DATA" not in listed.codes  # at MAIL already, where the answer comes before the MTA's reply
    assert other.is_delivered, other


LOOKED_UP = """
[checks.dnslists]
zones = [{ zone = "l.test" }]
[checks.ptr]
action = "tag"
[checks.helo]
tests = ["no_dns"]
[checks.rhsbl]
zones = [{ zone = "d.test" }]
"""


def test_nothing_is_asked_about_an_exempt_client() -> None:
    """Neither its address nor its names nor the sender's domain."""
    exempt = '[exempt]\nnetworks = ["192.0.2.0/24"]\n'
    with NameServer(honest) as server, Tarry(ANY_CLIENT + exempt + LOOKED_UP + asking(server), wait="0.3s") as door:
        assert visit(door.port, "192.0.2.7").is_delivered
        about_exempt = names_asked(server)
        assert visit(door.port, "198.51.100.7").is_delivered
        about_other = names_asked(server)

    assert set() == about_exempt
    assert {
        "7.100.51.198.l.test",
        "7.100.51.198.in-addr.arpa",
        "client.example",
        "client.example.d.test",
    } == about_other


def test_nothing_more_is_asked_about_a_client_that_has_logged_in() -> None:
    """What was asked at its connection and its EHLO came before; its sender is its own affair, and a listing of it as well."""
    with NameServer(honest) as server, Sink() as mta:
        config = (
            ANY_CLIENT
            + LOOKED_UP.replace("[checks.dnslists]", '[checks.dnslists]\naction = "reject"\nat = "rcpt"')
            + asking(server)
        )
        with Tarry(config, wait="0.3s", backend=mta.port) as door:
            made = visit(door.port, "192.0.2.7", login="AUTH PLAIN AGEAYg==")
            asked = names_asked(server)

    assert (235, True) == (made.codes["AUTH"], made.is_delivered)
    assert {"7.2.0.192.l.test", "7.2.0.192.in-addr.arpa", "client.example"} == asked


def names_asked(server: NameServer) -> set[str]:
    """Return what was asked about clients: not the lists' own SOA."""
    return {asked.name for asked in list(server.asked) if asked.kind != "SOA"}
