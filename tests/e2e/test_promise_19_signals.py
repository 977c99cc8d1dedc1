"""Promise 19: SIGTERM drains, SIGHUP disturbs nobody, and a configuration with errors changes nothing."""

import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.servers.clients import RawClient
from tests.e2e.servers.processes import free_port, is_listening, wait_until
from tests.e2e.servers.sink import Sink
from tests.e2e.servers.tarry import Tarry

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


@pytest.fixture
def sink() -> Iterator[Sink]:
    with Sink() as running:
        yield running


def in_data(tarry: Tarry) -> RawClient:
    """Return a client in the middle of a message."""
    client = RawClient(tarry.port)
    client.greeted()
    client.envelope()
    assert client.command(b"DATA").code == 354
    client.send(b"Subject: half\r\n\r\n")
    return client


# SIGTERM


@pytest.mark.parametrize("to_maildir", [False, True], ids=["proxy", "maildir"])
def test_a_message_under_way_is_finished(to_maildir: bool, sink: Sink) -> None:
    """A transaction in DATA gets its 250 after SIGTERM, held and idle clients a 421, and the exit status is 0."""
    with Tarry('[exempt]\nnetworks = ["127.0.0.1/32"]', backend=None if to_maildir else sink.port, wait="30s") as tarry:
        with (
            RawClient(tarry.port, source="127.9.9.9") as held,
            RawClient(tarry.port) as greeted,
            RawClient(tarry.port) as idle,
            in_data(tarry) as sending,
        ):
            greeted.read_reply()
            idle.greeted()
            tarry.send_signal(signal.SIGTERM)

            assert [421, 421, 421] == [each.read_reply().code for each in (held, greeted, idle)]
            assert [b"", b"", b""] == [each.read_until_closed() for each in (held, greeted, idle)]
            assert not is_listening(tarry.port)
            assert tarry.status is None
            assert sending.command(b"the other half\r\n.").code == 250
            assert sending.read_reply().code == 421
            assert sending.read_until_closed() == b""
        assert wait_until(lambda: tarry.status is not None, 5)
        assert tarry.status == 0
        assert 1 == (len(tarry.messages()) if to_maildir else sum(each.accepted for each in sink.messages))
        assert ["SIGTERM"] == [each["why"] for each in tarry.records(ev="stop")]
        assert len(tarry.records(ev="connect")) == len(tarry.records(ev="close"))


def test_a_transaction_that_has_begun_is_finished(sink: Sink) -> None:
    """After MAIL the client may go on to its message; it is sent away behind that, or behind a RSET."""
    with Tarry(backend=sink.port, wait="0.05s") as tarry, RawClient(tarry.port) as first, RawClient(tarry.port) as second:
        for client in (first, second):
            client.greeted()
            assert [250, 250] == client.envelope()
        tarry.send_signal(signal.SIGTERM)
        assert wait_until(lambda: not is_listening(tarry.port), 5)

        assert first.command(b"DATA").code == 354
        assert first.command(b"whole\r\n.").code == 250
        assert first.read_reply().code == 421
        assert second.command(b"RSET").code == 250
        assert second.read_reply().code == 421
        first.close()
        second.close()
        assert wait_until(lambda: tarry.status == 0, 5)


def test_a_second_sigterm_ends_at_once(sink: Sink) -> None:
    """Whoever is still in DATA is cut off, its message is aborted, and the exit status is 0 all the same."""
    with Tarry(backend=sink.port, wait="0.05s") as tarry, in_data(tarry) as sending:
        tarry.send_signal(signal.SIGTERM)
        assert wait_until(lambda: not is_listening(tarry.port), 5)
        time.sleep(0.3)
        assert tarry.status is None
        tarry.send_signal(signal.SIGTERM)

        assert wait_until(lambda: tarry.status == 0, 5), tarry.status
        assert b"250" not in sending.read_until_closed()
        assert sink.wait_closed()
        assert [] == sink.messages


def test_the_drain_has_an_end(sink: Sink) -> None:
    """A sender that never finishes is cut off after limits.drain."""
    with Tarry('[limits]\ndrain = "1s"', backend=sink.port, wait="0.05s") as tarry, in_data(tarry):
        began = time.monotonic()

        assert tarry.stop() == 0
        assert 0.9 < time.monotonic() - began < 6
        assert [] == sink.messages


# SIGHUP


def reload(tarry: Tarry, **tables: dict[str, Any]) -> dict[str, Any]:
    """Lay *tables* over the configuration, send SIGHUP, return the `config` record of it."""
    before = len(tarry.records(ev="config"))
    tarry.write({**tarry.config, **{name: {**tarry.config.get(name, {}), **table} for name, table in tables.items()}})
    tarry.reload()
    return tarry.wait_records(before + 1, ev="config")[-1]


def greeting_delay(tarry: Tarry) -> float:
    with RawClient(tarry.port) as client:
        return client.read_reply().at - client.connected_at


def test_a_reload_is_for_the_clients_that_come_after_it(sink: Sink) -> None:
    """Sessions go on, held clients keep their wait, and later ones meet the new one."""
    with Tarry(backend=sink.port, wait="0.1s") as tarry, in_data(tarry) as sending:
        assert reload(tarry, hold={"wait": "2s"})["ok"]
        with RawClient(tarry.port) as held:
            tarry.wait_records(2, ev="connect")
            told = reload(tarry, hold={"wait": "0.2s"})

            assert told["ok"]
            assert 0.2 <= greeting_delay(tarry) < 0.2 + 3
            assert held.read_reply().at - held.connected_at >= 1.99
            assert sending.command(b"the other half\r\n.").code == 250
        connects = tarry.records(ev="connect")
        assert [0.1, 2.0, 0.2] == [each["wait"] for each in connects]
        assert told["config"] == connects[-1]["config"] != connects[0]["config"]


def test_limits_on_clients_can_be_reloaded() -> None:
    """listen.max_clients counts from the reload on, for those who come."""
    with Tarry("[listen]\nmax_clients = 1", wait="0.1s") as tarry, RawClient(tarry.port) as first:
        assert first.read_reply().code == 220
        with RawClient(tarry.port) as second:
            assert second.read_reply().code == 421
        assert reload(tarry, listen={"max_clients": 3})["ok"]
        with RawClient(tarry.port) as third:
            assert third.read_reply().code == 220


def test_what_needs_a_restart_is_told() -> None:
    """A reload opens no other port and no other log; its record says so."""
    with Tarry(wait="0.1s") as tarry:
        told = reload(tarry, listen={"smtp": [f"127.0.0.1:{free_port()}"]})
        assert greeting_delay(tarry) >= 0.09

    assert (True, "listen.smtp as before until a restart") == (told["ok"], told["why"])


BAD = {
    "not TOML": "[hold\nwait = ",
    "an unknown key": "[hold]\nwiat = '1s'",
    "a value of the wrong kind": "[hold]\nwait = 'soon'",
    "a hold beyond the limit": "[hold]\nwait = '20m'",
    "binary": "\x00\x01",
}


@pytest.fixture(scope="module")
def steady() -> Iterator[Tarry]:
    with Tarry(wait="0.1s") as running:
        yield running


@pytest.mark.parametrize("text", BAD.values(), ids=BAD)
def test_a_bad_reload_keeps_the_old_configuration(text: str, steady: Tarry) -> None:
    """Errors are told in a `config` record and nothing changes, for sessions, held and later clients."""
    with RawClient(steady.port) as session:
        session.greeted()
        before = len(steady.records(ev="config"))
        steady.file.write_text(text)
        steady.reload()
        told = steady.wait_records(before + 1, ev="config")[-1]

        assert (told["ok"], bool(told["why"])) == (False, True)
        assert session.command(b"NOOP").code == 250
        assert greeting_delay(steady) >= 0.09


@pytest.mark.parametrize("what", ["deleted", "a folder", "unreadable Maildir"])
def test_a_reload_that_cannot_be_read_keeps_the_old_configuration(what: str, tmp_path: Path) -> None:
    """A file that is gone, or a Maildir that cannot be made, is an error like any other; the daemon stays."""
    with Tarry(wait="0.3s") as tarry:
        if what == "unreadable Maildir":
            blocked = tmp_path / "file"
            blocked.write_text("")
            told = reload(tarry, handoff={"maildir": str(blocked / "mail")})
        else:
            tarry.file.unlink()
            if what == "a folder":
                tarry.file.mkdir()
            tarry.reload()
            (told,) = tarry.wait_records(1, ev="config")

        assert (told["ok"], bool(told["why"])) == (False, True)
        assert greeting_delay(tarry) >= 0.29
        assert tarry.status is None


def test_many_reloads_cost_nothing_that_stays(sink: Sink) -> None:
    """Ten reloads, and mail flows as before with no session left at the MTA."""
    with Tarry(backend=sink.port, wait="0.05s") as tarry:
        for _ in range(10):
            assert reload(tarry)["ok"]
        with in_data(tarry) as sending:
            assert sending.command(b".").code == 250
        assert sink.wait_closed()
