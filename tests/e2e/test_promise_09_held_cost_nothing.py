"""Promise 9: held clients cost the MTA nothing; it is opened by the first command that it must judge."""

import time
from collections.abc import Iterator

import pytest

from tests.e2e.servers.clients import RawClient
from tests.e2e.servers.crowd import Crowd
from tests.e2e.servers.sink import Sink
from tests.e2e.servers.tarry import Tarry

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

HELD = 50
BEFORE_MAIL = ["HELO x", "EHLO x", "NOOP", "RSET", "VRFY x", "HELP", "NONSENSE", "QUIT"]


@pytest.fixture(scope="module")
def sink() -> Iterator[Sink]:
    with Sink() as running:
        yield running


def asked_once(tarry: Tarry, sink: Sink) -> int:
    """Return how many connections there are once tarry has asked what the MTA can do."""
    assert tarry.wait_records(1, ev="start")
    return len(sink.connections)


def test_held_clients_open_no_connection_to_the_mta(sink: Sink) -> None:
    """Fifty held clients, some of which talk, reset or half-close, are nothing to the MTA."""
    config = "[hold]\nend_early = false"  # so that the early talkers stay
    with Tarry(config, backend=sink.port, wait="30s") as tarry:
        base = asked_once(tarry, sink)
        with Crowd(tarry.port, HELD) as crowd:
            assert HELD == len(tarry.wait_records(HELD, ev="connect"))
            for sock in crowd.sockets[:10]:
                sock.send(b"EHLO early\r\nMAIL FROM:<a@b.example>\r\n")
            for sock in crowd.sockets[10:20]:
                sock.shutdown(1)
            assert 10 == len(tarry.wait_records(10, ev="readable"))
            time.sleep(0.5)
            assert 0 == len(sink.connections) - base
        assert 0 == len(sink.connections) - base


@pytest.mark.parametrize("line", BEFORE_MAIL)
def test_a_client_without_a_transaction_opens_none(line: str, sink: Sink) -> None:
    """Greeting, hello, chat and QUIT are answered by tarry."""
    with Tarry(backend=sink.port, wait="0.05s") as tarry:
        base = asked_once(tarry, sink)
        with RawClient(tarry.port) as client:
            client.greeted()
            client.command(line.encode())
            if line != "QUIT":
                assert client.command(b"QUIT").code == 221
            client.read_until_closed()
            assert 0 == len(sink.connections) - base


def test_a_client_that_is_refused_at_mail_opens_none(sink: Sink) -> None:
    """An early talker that is greeted and refused at MAIL and RCPT is refused by tarry alone."""
    with Tarry('[checks.pregreet]\nat = "mail"', backend=sink.port, wait="0.1s") as tarry:
        base = asked_once(tarry, sink)
        with RawClient(tarry.port) as client:
            client.send(b"EHLO early\r\n")
            assert [220, 250] == [client.read_reply().code, client.read_reply().code]
            assert [550, 550] == client.envelope()
            assert client.command(b"QUIT").code == 221
            client.read_until_closed()
            assert 0 == len(sink.connections) - base


def test_the_first_mail_opens_one(sink: Sink) -> None:
    """A transaction needs the MTA, and needs it once."""
    with Tarry(backend=sink.port, wait="0.05s") as tarry:
        base = asked_once(tarry, sink)
        with RawClient(tarry.port) as client:
            client.greeted()
            assert [250, 250] == client.envelope()
            assert client.command(b"RSET").code == 250
            assert [250, 250] == client.envelope()
            assert 1 == len(sink.connections) - base
