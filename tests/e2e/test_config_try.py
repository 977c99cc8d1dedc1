"""`tarry config try` says beforehand what a daemon with the same file then does to a real client."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dns.rcode
import dns.rdatatype
import pytest

from tests.e2e.servers.clients import RawClient
from tests.e2e.servers.nameservers import NameServer, Query
from tests.e2e.servers.tarry import COMMAND, Tarry

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

HELLO, MAIL, RCPT = b"EHLO client.example\r\n", b"MAIL FROM:<a@b.example>\r\n", b"RCPT TO:<c@d.example>\r\n"
WORDS = ("--helo", "client.example", "--mail", "a@b.example", "--rcpt", "c@d.example")
NEAR = 0.35
ATTEMPTS = 5
"""Where the machine stood still for longer than NEAR seconds the client comes again, so often at most."""
CONFIG = """
[checks.pregreet]
action = "delay"
[delay]
target = "2s"
[tarpit.noop]
free = 2
start = "600ms"
[exempt]
networks = ["127.7.0.0/16"]
[deny]
networks = ["127.6.0.0/16"]
"""


def bl_example(query: Query) -> None:
    """A list that has 127.0.0.2, as each must, and nobody else."""
    question = query.message.question[0]
    is_listed = question.name.to_text() == "2.0.0.127.bl.example." and question.rdtype == dns.rdatatype.A
    query.send(query.reply("@ 300 A 127.0.0.2") if is_listed else query.reply(rcode=dns.rcode.NXDOMAIN))


@pytest.fixture(scope="module")
def tarry() -> Iterator[Tarry]:
    with Tarry(CONFIG, wait="1.2s") as running:
        yield running


def tried(file: Path, address: str, *options: str) -> tuple[int, dict[str, Any]]:
    """Return the status and the report of `tarry config try`."""
    words = [COMMAND, "config", "try", address, "-c", file, "--json", *WORDS, *options]
    ran = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert not ran.stderr
    return ran.returncode, json.loads(ran.stdout)


def said(report: dict[str, Any]) -> list[tuple[int, float]]:
    """Return the replies that it foretells, each with its time."""
    return [(step["code"], step["at"]) for step in report["steps"] if step["code"]]


def told(port: int, source: str, *lines: bytes) -> list[tuple[int, float]]:
    """Say lines one after the other, each after the reply to the one before, and return the replies with their times."""
    with RawClient(port, source=source) as client:
        replies = [client.read_reply(), *(client.command(line.rstrip()) for line in lines)]
        return [(reply.code, reply.at - client.connected_at) for reply in replies]


def assert_alike(foretold: list[tuple[int, float]], play: Callable[[], list[tuple[int, float]]]) -> None:
    """The same codes, at the same times."""
    for _ in range(ATTEMPTS):
        real = play()
        assert [code for code, _ in foretold] == [code for code, _ in real]
        assert all(expected - 0.01 <= actual for (_, expected), (_, actual) in zip(foretold, real, strict=True)), real
        if all(actual <= expected + NEAR for (_, expected), (_, actual) in zip(foretold, real, strict=True)):
            return
    pytest.fail(f"later than {foretold} in each of {ATTEMPTS} attempts, at last {real}")


@pytest.mark.parametrize("address", ["127.0.0.1", "127.7.1.2"], ids=["held", "exempt"])
def test_a_patient_client_meets_what_was_said(address: str, tarry: Tarry) -> None:
    """With a fixed wait, and without one where it is exempt."""
    status, report = tried(tarry.file, address)
    assert 0 == status
    assert_alike(said(report)[:4], lambda: told(tarry.port, address, HELLO, MAIL, RCPT))


def test_a_denied_client_meets_what_was_said(tarry: Tarry) -> None:
    """One reply, at once."""
    status, report = tried(tarry.file, "127.6.1.2")
    assert 1 == status
    assert_alike(said(report), lambda: told(tarry.port, "127.6.1.2"))


def test_an_early_talker_meets_what_was_said(tarry: Tarry) -> None:
    """Greeted at once here, and delayed at RCPT."""
    status, report = tried(tarry.file, "127.0.0.1", "--early", "EHLO client.example@0.3s")

    def early() -> list[tuple[int, float]]:
        with RawClient(tarry.port) as client:
            time.sleep(max(0.0, client.connected_at + 0.3 - time.monotonic()))
            client.send(HELLO)
            replies = [client.read_reply(), client.read_reply(), *(client.command(line.rstrip()) for line in (MAIL, RCPT))]
            return [(reply.code, reply.at - client.connected_at) for reply in replies]

    assert 0 == status
    assert_alike(said(report)[:4], early)


def test_a_flood_meets_what_was_said(tarry: Tarry) -> None:
    """The third NOOP and the fourth are held."""
    _, report = tried(tarry.file, "127.0.0.1", "--count", "noop=4")
    assert_alike(said(report)[:7], lambda: told(tarry.port, "127.0.0.1", HELLO, *[b"NOOP\r\n"] * 4, MAIL))


def test_it_sends_and_writes_nothing() -> None:
    """No record, no mail, no connection: the first client that the daemon sees is the real one."""
    with Tarry(CONFIG, wait="0.1s") as running:
        assert 0 == tried(running.file, "127.0.0.1")[0]
        with RawClient(running.port, source="127.0.0.5") as client:
            assert 220 == client.read_reply().code
        running.wait_records(1, ev="close")
        assert ["127.0.0.5"] == [one["client"] for one in running.records(ev="connect")]
        assert [] == running.messages()


def test_a_listed_client_meets_what_was_said() -> None:
    """Both ask the same name server, and find the same."""
    with NameServer(bl_example) as server:
        config = f"""
[dns]
servers = ["{server.address}"]
[delay]
target = "2s"
[checks.dnslists]
zones = [{{ zone = "bl.example", weight = 2 }}]
"""
        with Tarry(config, wait="0.8s") as running:
            status, report = tried(running.file, "127.0.0.2")
            assert_alike(said(report)[:4], lambda: told(running.port, "127.0.0.2", HELLO, MAIL, RCPT))
            # 127.0.0.3 is on no list.
            _, clean = tried(running.file, "127.0.0.3")
    assert 0 == status
    assert "dnslists.listed (bl.example)" in report["conclusion"]
    assert "Greeted after 0.8 s, then handed to the MTA." == clean["conclusion"]
