"""Promise 16: out of descriptors tarry neither leaves nor spins, and serves again as soon as some are free."""

import contextlib
import resource
import smtplib
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.e2e.servers import accounting, clients
from tests.e2e.servers.clients import RawClient
from tests.e2e.servers.crowd import Crowd
from tests.e2e.servers.processes import wait_until
from tests.e2e.servers.sink import Sink
from tests.e2e.servers.tarry import Tarry

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

DESCRIPTORS = 64
CLIENTS = 120
STARVED = 1.5
MOST_CPU = 0.75  # of a core


@pytest.mark.parametrize("wait", ["0.1s", "60s"], ids=["greeted", "held"])
def test_120_clients_with_64_descriptors(wait: str) -> None:
    """No exit, no spin, 421 for those that do not fit, service again once they have left, and a record of the stress."""
    config = "[listen]\nmax_per_client = 0\n[exempt]\nnetworks = ['127.0.0.1/32']"
    with Tarry(config, wait=wait, descriptors=DESCRIPTORS) as tarry:
        with Crowd(tarry.port, CLIENTS) as crowd:
            tarry.wait_records(1, ev="stress", what="descriptors")
            assert_no_spin(tarry)
            assert accounting.descriptors(tarry.pids()) <= DESCRIPTORS
            crowd.close(reset=wait == "60s")  # a FIN may be a half-close, so a client that sends one is held to the end
        assert_serves(tarry)
        stress = tarry.wait_records(2, ev="stress", what="descriptors")

    assert [True, False] == [each["on"] for each in stress[:2]]
    assert "EMFILE" == stress[0]["why"]


def test_the_number_of_clients_is_fitted_to_the_descriptors() -> None:
    """With 64 descriptors fewer clients are let in than asked for, and the operator is told so at start."""
    with Tarry(descriptors=DESCRIPTORS) as tarry:
        (start,) = tarry.wait_records(1, ev="start")
        told = tarry.printed()

    assert 0 < start["max_clients"] < DESCRIPTORS
    assert f"may have {DESCRIPTORS} descriptors" in told


@pytest.fixture
def starved() -> Iterator[tuple[Tarry, list[RawClient], Sink]]:
    """A tarry with ten greeted clients that has lost its last free descriptor since."""
    with ExitStack() as stack:
        sink = stack.enter_context(Sink())
        tarry = stack.enter_context(Tarry("[listen]\nmax_per_client = 0", backend=sink.port, wait="0.1s"))
        greeted = [stack.enter_context(RawClient(tarry.port)) for _ in range(10)]
        for client in greeted:
            client.greeted()
        limits = resource.prlimit(tarry.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(tarry.pid, resource.RLIMIT_NOFILE, (accounting.descriptors([tarry.pid]), limits[1]))
        yield tarry, greeted, sink
        resource.prlimit(tarry.pid, resource.RLIMIT_NOFILE, limits)


def test_a_transaction_without_a_descriptor_for_the_mta_is_a_421(starved: tuple[Tarry, list[RawClient], Sink]) -> None:
    """What fails for want of a descriptor is "try again later" to the client, and its end frees one for the next."""
    tarry, greeted, _ = starved
    first = greeted[0].command(b"MAIL FROM:<a@b.example>").code
    greeted[0].close()
    wait_until(lambda: tarry.records(ev="close"), 5)
    second = greeted[1].command(b"MAIL FROM:<a@b.example>").code

    assert (421, 250) == (first, second)
    assert tarry.status is None


def test_clients_wait_in_the_backlog_for_a_descriptor(starved: tuple[Tarry, list[RawClient], Sink]) -> None:
    """A client that cannot be accepted yet is not lost: it is greeted when somebody has left."""
    tarry, greeted, _ = starved
    with RawClient(tarry.port) as late:
        with pytest.raises(TimeoutError):
            late.read_reply(timeout=1.0)
        assert_no_spin(tarry)
        greeted[0].command(b"QUIT")
        greeted[0].close()
        greeted[1].reset()

        assert late.read_reply(timeout=5.0).code == 220


def assert_no_spin(tarry: Tarry) -> None:
    before, began = accounting.cpu_seconds(tarry.pids()), time.monotonic()
    time.sleep(STARVED)
    assert tarry.status is None
    assert accounting.cpu_seconds(tarry.pids()) - before < MOST_CPU * (time.monotonic() - began)


def assert_serves(tarry: Tarry) -> None:
    """A message is taken within two seconds."""
    deadline = time.monotonic() + 2.0
    while True:
        with contextlib.suppress(smtplib.SMTPException, socket.error):
            assert {} == clients.submit(tarry.port, source="127.0.0.1")
            return
        assert time.monotonic() < deadline, "no service two seconds after the crowd has left"
        time.sleep(0.05)
