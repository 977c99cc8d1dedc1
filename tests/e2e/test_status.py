"""How a running front door tells what it does: tarry status, /metrics and /health, of one process and of several."""

from __future__ import annotations

import http.client
import json
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from tarry.control.client import NotAnswered, ask_status
from tarry.control.states import State
from tarry.record.schema import Close, read_line
from tarry.record.tally import tally
from tarry.web.metrics import Fixed
from tests.e2e.servers.clients import RawClient
from tests.e2e.servers.faults import Fault
from tests.e2e.servers.processes import free_port, wait_until
from tests.e2e.servers.sink import Sink
from tests.e2e.servers.tarry import COMMAND, Tarry
from tests.e2e.servers.visitor import visit
from tests.web.read import samples

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

PATIENCE = 20.0
SOCKET = '[control]\nsocket = "tarry.sock"\n'
CHECKS = '[checks.pregreet]\naction = "reject"\n'


def wait_for(condition: Any) -> None:
    assert wait_until(condition, PATIENCE)


@dataclass
class Door:
    """A front door that can be asked."""

    tarry: Tarry
    web: int

    def get(self, path: str) -> tuple[int, str]:
        asking = http.client.HTTPConnection("127.0.0.1", self.web, timeout=PATIENCE)
        with closing(asking):
            asking.request("GET", path)
            reply = asking.getresponse()
            return reply.status, reply.read().decode()

    def status(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [COMMAND, "status", "-c", self.tarry.file, *arguments],
            cwd=self.tarry.folder,
            capture_output=True,
            text=True,
            timeout=60,
        )

    def told(self) -> State:
        """Return what it tells over its socket."""
        return ask_status(str(self.tarry.folder / "tarry.sock"), PATIENCE)

    def wait_until_it_answers(self) -> None:
        """Return when it can be asked both ways: its port listens a moment before."""

        def answers() -> bool:
            with suppress(NotAnswered, ConnectionError, http.client.HTTPException):
                return self.told().pid > 0 and self.get("/metrics")[0] == 200
            return False

        wait_for(answers)

    def closings(self) -> list[Close]:
        text = self.tarry.record_path.read_bytes()
        events = [read_line(line).event for line in text[: text.rfind(b"\n") + 1].splitlines()]
        return [event for event in events if isinstance(event, Close)]


def door(workers: int, **how: Any) -> tuple[Tarry, int]:
    web = free_port()
    listen = f'[listen]\nworkers = {workers}\n[web]\nlisten = "127.0.0.1:{web}"\n'
    return Tarry(SOCKET + CHECKS + listen, wait="0.3s", **how), web


def of_every_kind(port: int) -> int:
    """Let clients of every kind come; return how many."""
    sources = [f"127.3.2.{number}" for number in range(1, 5)]
    for source in sources:
        assert visit(port, source, announced=False).is_delivered
    with RawClient(port, source="127.3.3.1") as early:
        early.send(b"EHLO x\r\n")
        early.read_until_closed()
    with RawClient(port, source="127.3.3.2"):
        time.sleep(0.01)  # it leaves while it is held
    with RawClient(port, source="127.3.3.3") as refused:
        refused.greeted()
        assert [250, 550] == refused.envelope("a@b.example", "nobody@d.example")
        refused.command(b"QUIT")
    return len(sources) + 3


def page(told: State) -> dict[str, float]:
    """Return the figures that metrics make of this state: what Prometheus should have read."""
    registry = CollectorRegistry()
    registry.register(Fixed(told))
    return samples(generate_latest(registry).decode())


# One process.


@pytest.fixture(scope="module")
def mta() -> Iterator[Sink]:
    with Sink(Fault(at="RCPT", matching=b"nobody", reply=b"550 5.1.1 Unknown\r\n")) as sink:
        yield sink


@pytest.fixture(scope="module")
def one(mta: Sink) -> Iterator[Door]:
    tarry, web = door(1, backend=mta.port)
    with tarry:
        made = Door(tarry, web)
        made.wait_until_it_answers()
        yield made


def test_what_is_told_is_the_fold_of_the_record(one: Door) -> None:
    """To the last digit: the socket, /metrics, and the record file read back. Who asked is in none of them."""
    asked_before = one.get("/metrics")[0]
    count = of_every_kind(one.tarry.port)
    wait_for(lambda: len(one.closings()) == count)
    folded = tally(one.closings())

    assert (200, folded) == (asked_before, one.told().tally)
    found, expected = samples(one.get("/metrics")[1]), page(one.told())
    assert expected == found
    assert (4, 1, 1, 1, 5, 4) == (
        found['tarry_messages_total{result="delivered"}'],
        found["tarry_early_talk_seconds_count"],
        found["tarry_gave_up_seconds_count"],
        found['tarry_reasons_total{reason="pregreet.spoke"}'],
        found["tarry_recipients_named_total"],
        found["tarry_recipients_accepted_total"],
    )
    assert folded.held.seconds == found["tarry_held_seconds_sum"] > 1.2
    assert count == len(one.tarry.records(ev="connect"))


def test_the_page_for_people(one: Door) -> None:
    """In words, with the file compared; 0 where all is well."""
    told = one.status()
    assert (0, "") == (told.returncode, told.stderr)
    assert f"listens on     127.0.0.1:{one.tarry.port}\n" in told.stdout
    assert f", as {one.tarry.file} says\n" in told.stdout
    assert f"MTA            127.0.0.1:{one.tarry.config['handoff']['address'].split(':')[1]}  answers\n" in told.stdout


def test_an_mta_that_goes_away_and_a_second_server(one: Door, mta: Sink) -> None:
    """Health follows the MTA; meanwhile a second server in the same folder goes without a socket, and does not take it away."""
    assert (200, "ok\n") == one.get("/health")
    mta.refuse()
    with RawClient(one.tarry.port, source="127.3.4.1") as client:
        client.greeted()
        assert 421 == client.command(b"MAIL FROM:<a@b.example>").code
    wait_for(lambda: one.get("/health")[0] == 503)
    assert one.get("/health")[1].startswith(f"the MTA at 127.0.0.1:{mta.port} is away: ")
    told = one.status()
    assert (1, True) == (told.returncode, f"127.0.0.1:{mta.port}  is away: " in told.stdout)
    assert 0.0 == samples(one.get("/metrics")[1])["tarry_mta_up"]
    mta.listen()  # it is asked again within five seconds: time for the second server

    port = free_port()
    config = {**one.tarry.config, "listen": {"smtp": [f"127.0.0.1:{port}"], "workers": 1}}
    second = one.tarry.folder / "second.toml"
    before = one.tarry.file.read_text()
    one.tarry.write(config)
    second.write_text(one.tarry.file.read_text())
    one.tarry.file.write_text(before)
    other = subprocess.Popen(
        [COMMAND, "serve", "-c", second], cwd=one.tarry.folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    try:
        assert other.stderr is not None
        said = ""
        while "/health are not served" not in said:
            line = other.stderr.readline()
            assert line, said
            said += line
        assert f"tarry.sock belongs to another tarry (process {one.tarry.pid})" in said
        with RawClient(port) as client:
            assert 250 == client.greeted().code
    finally:
        other.terminate()
        other.wait(PATIENCE)
        other.stderr.close()
    assert one.tarry.pid == one.told().pid
    wait_for(lambda: one.get("/health") == (200, "ok\n"))


def test_a_file_that_was_changed_and_taken(one: Door) -> None:
    """It is told that the file says something else now, until the server reads it."""
    one.tarry.write({**one.tarry.config, "hold": {"wait": "0.2s"}})
    changed, before = json.loads(one.status("--json").stdout), one.told()
    one.tarry.reload()
    wait_for(lambda: one.told().config != before.config)
    taken = json.loads(one.status("--json").stdout)
    assert (before.config, True) == (changed["config"], changed["file"]["changed"])
    assert (changed["file"]["fingerprint"], False) == (taken["config"], taken["file"]["changed"])


def test_the_socket_of_a_server_that_was_killed(mta: Sink) -> None:
    """Nobody answers there, and the next one takes it over."""
    tarry, web = door(1, backend=mta.port)
    with tarry:
        here = Door(tarry, web)
        here.wait_until_it_answers()
        first = here.told().pid
        tarry.kill()
        gone = here.status()
        assert (75, True) == (gone.returncode, "tarry.sock: the server that made it has ended" in gone.stderr)
        tarry.start()
        here.wait_until_it_answers()
        assert first != here.told().pid == tarry.pid
        assert 0 == tarry.stop()
        assert not (tarry.folder / "tarry.sock").exists()


# Several processes.


def test_workers_are_told_as_one(mta: Sink) -> None:
    """Their sums are the fold of the record; a worker that dies takes nothing back that was told."""
    tarry, web = door(2, backend=mta.port)
    with tarry:
        several = Door(tarry, web)
        several.wait_until_it_answers()
        wait_for(lambda: len(_running(several)) == 2)
        count = of_every_kind(tarry.port)
        wait_for(lambda: len(several.closings()) == count)
        assert (tally(several.closings()), (200, "ok\n")) == (several.told().tally, several.get("/health"))
        assert samples(several.get("/metrics")[1]) == page(several.told())

        victim = _running(several)[1]
        subprocess.run(["kill", f"-{signal.SIGKILL}", str(victim)], check=True)
        wait_for(lambda: victim not in _running(several).values() and len(_running(several)) == 2)
        assert visit(tarry.port, "127.3.5.1", announced=False).is_delivered
        wait_for(lambda: len(several.closings()) == count + 1)
        assert (tally(several.closings()), 0) == (several.told().tally, several.status().returncode)
        assert 0 == tarry.stop()
        assert [] == list(tarry.folder.glob("tarry.sock*"))


def _running(several: Door) -> dict[int, int]:
    """Return the processes of the workers that answer, by number."""
    with suppress(NotAnswered):
        return {one.number: one.pid for one in several.told().workers if one.ok}
    return {}
