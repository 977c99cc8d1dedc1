"""Who may come in: limits on clients, exempt and denied networks."""

import re
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.e2e.servers.clients import RawClient
from tests.e2e.servers.processes import wait_until
from tests.e2e.servers.tarry import Tarry

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

PILED = b"EHLO x\r\nMAIL FROM:<a@b.example>\r\n" * 2000
CONFIG = """
[listen]
max_per_client = 3
max_clients = 1000
[exempt]
networks = ["127.7.0.0/16"]
patterns = ['^127\\.8\\.\\d+\\.1$']
[deny]
networks = ["127.6.0.0/16", "127.7.66.0/24"]
"""


@pytest.fixture(scope="module")
def tarry() -> Iterator[Tarry]:
    with Tarry(CONFIG, wait="0.3s") as running:
        yield running


def whole_reply(client: RawClient) -> bytes:
    """Return all that the server says until it closes."""
    client.read_until_closed()
    return bytes(client.received)


@pytest.mark.parametrize("source", ["127.7.1.2", "127.8.44.1"], ids=["network", "pattern"])
def test_an_exempt_client_is_neither_held_nor_checked(source: str, tarry: Tarry) -> None:
    """It may speak first, and is greeted at once; nothing it does is a reason."""
    with RawClient(tarry.port, source=source) as client:
        client.send(b"EHLO early\r\nNOOP\r\nQUIT\r\n")
        codes = [client.read_reply().code for _ in range(4)]
        took = client.replies[0].at - client.connected_at
        client.read_until_closed()
        (close,) = tarry.wait_records(1, ev="close", port=client.address[1])

    assert [220, 250, 250, 221] == codes
    assert took < 0.25
    assert ([], 0) == (close["reasons"], round(close["held"]))


@pytest.mark.parametrize("source", ["127.8.44.2", "127.9.1.1"])
def test_a_client_that_no_list_names_is_held(source: str, tarry: Tarry) -> None:
    """A pattern exempts what it matches and nothing beside it."""
    with RawClient(tarry.port, source=source) as client:
        assert client.read_reply().at - client.connected_at >= 0.29


@pytest.mark.parametrize("said", [b"", b"EHLO x\r\n", PILED], ids=["silent", "early", "piled"])
@pytest.mark.parametrize("source", ["127.6.1.2", "127.7.66.1"], ids=["denied", "denied and exempt"])
def test_a_denied_client_gets_one_554_at_once(source: str, said: bytes, tarry: Tarry) -> None:
    """One reply, whole, however much the client has piled up, and the end; denied beats exempt."""
    with RawClient(tarry.port, source=source) as client:
        client.send(said)
        reply = whole_reply(client)
        took = time.monotonic() - client.connected_at
        (close,) = tarry.wait_records(1, ev="close", port=client.address[1])

    assert reply.startswith(b"554 5.7.1 Not accepted from this address [")
    assert reply.count(b"\r\n") == 1
    assert took < 5
    assert (False, 0, []) == (close["greeted"], close["commands"], close["reasons"])


@pytest.mark.parametrize("said", [b"", PILED], ids=["silent", "piled"])
def test_a_client_has_no_more_than_its_connections(said: bytes, tarry: Tarry) -> None:
    """The fourth gets one whole 421; another client is served, and so is this one once a connection is free."""
    with ExitStack() as stack:
        mine = [stack.enter_context(RawClient(tarry.port, source="127.10.0.1")) for _ in range(3)]
        with RawClient(tarry.port, source="127.10.0.1") as fourth:
            fourth.send(said)
            reply = whole_reply(fourth)
        with RawClient(tarry.port, source="127.10.0.2") as other:
            assert other.read_reply().code == 220
        port = mine[0].address[1]
        mine[0].reset()
        tarry.wait_records(1, ev="close", port=port)
        with RawClient(tarry.port, source="127.10.0.1") as again:
            assert again.read_reply().code == 220

    assert re.fullmatch(rb"421 4\.7\.0 Too many connections from your address, try again later \[[0-9A-F-]+\]\r\n", reply)


def test_exempt_clients_have_no_limit_of_connections(tarry: Tarry) -> None:
    """Partners and monitors may come as often as they like."""
    with ExitStack() as stack:
        many = [stack.enter_context(RawClient(tarry.port, source="127.7.5.5")) for _ in range(10)]

        assert [220] * 10 == [client.read_reply().code for client in many]


@pytest.mark.parametrize("said", [b"", PILED], ids=["silent", "piled"])
def test_no_more_than_max_clients_are_served(said: bytes) -> None:
    """Above it anyone gets one whole 421, exempt or not, until somebody has left."""
    config = '[listen]\nmax_clients = 5\nmax_per_client = 0\n[exempt]\nnetworks = ["127.7.0.0/16"]'
    with Tarry(config, wait="30s") as tarry, ExitStack() as stack:
        held = [stack.enter_context(RawClient(tarry.port)) for _ in range(5)]
        tarry.wait_records(5, ev="connect")
        replies = []
        for source in ("127.0.0.1", "127.7.0.1"):
            with RawClient(tarry.port, source=source) as client:
                client.send(said)
                replies.append(whole_reply(client))
        held[0].reset()
        tarry.wait_records(3, ev="close")
        with RawClient(tarry.port, source="127.7.0.1") as client:
            assert client.read_reply().code == 220

    for reply in replies:
        assert re.fullmatch(rb"421 4\.7\.0 Too many connections, try again later \[[0-9A-F-]+\]\r\n", reply)


def test_a_reload_takes_new_limits_at_once() -> None:
    """Who is inside stays; who comes is counted with them."""
    with Tarry("[listen]\nmax_per_client = 2", wait="30s") as tarry, ExitStack() as stack:
        for _ in range(2):
            stack.enter_context(RawClient(tarry.port))
        tarry.wait_records(2, ev="connect")
        tarry.config["listen"]["max_per_client"] = 3
        tarry.write(tarry.config)
        tarry.reload()
        tarry.wait_records(1, ev="config")
        stack.enter_context(RawClient(tarry.port))
        with RawClient(tarry.port) as fourth:
            assert whole_reply(fourth).startswith(b"421 4.7.0 Too many connections from your address")


# IPv6


@pytest.fixture(scope="module")
def over_ipv6() -> Iterator[Tarry]:
    if not Path("/proc/net/if_inet6").exists() or "00000000000000000000000000000001" not in Path("/proc/net/if_inet6").read_text():
        pytest.skip("no ::1 on this machine")
    config = '[listen]\nmax_per_client = 2\nproxy_from = ["::1/128"]\n[deny]\nnetworks = ["2001:db8:bad::/48"]'
    with Tarry(config, address="::1", wait="0.2s") as running:
        yield running


def from_ipv6(tarry: Tarry, address: str) -> RawClient:
    """Return a client that a proxy on ::1 announces as coming from *address*."""
    client = RawClient(tarry.port, "::1")
    family = "TCP6" if ":" in address else "TCP4"
    server = "::1" if ":" in address else "127.0.0.1"
    client.send(f"PROXY {family} {address} {server} 4000 25\r\n".encode())
    return client


def test_an_ipv6_client_is_counted_by_its_64(over_ipv6: Tarry) -> None:
    """Two addresses of one /64 are one client, one of the next /64 is another."""
    with ExitStack() as stack:
        for address in ("2001:db8:0:1::a", "2001:db8:0:1:ffff::b"):
            stack.enter_context(from_ipv6(over_ipv6, address))
        same = stack.enter_context(from_ipv6(over_ipv6, "2001:db8:0:1::c"))
        other = stack.enter_context(from_ipv6(over_ipv6, "2001:db8:0:2::c"))

        assert (421, 220) == (same.read_reply().code, other.read_reply().code)


def test_an_ipv6_network_can_be_denied(over_ipv6: Tarry) -> None:
    """As any other."""
    with from_ipv6(over_ipv6, "2001:db8:bad::1") as client:
        assert whole_reply(client).startswith(b"554 5.7.1")


def test_a_mapped_address_is_an_ipv4_client(over_ipv6: Tarry) -> None:
    """::ffff:192.0.2.1 and 192.0.2.1 are counted as one."""
    with ExitStack() as stack:
        for address in ("192.0.2.1", "::ffff:192.0.2.1"):
            stack.enter_context(from_ipv6(over_ipv6, address))
        assert wait_until(lambda: len(over_ipv6.records(ev="connect", client="192.0.2.1")) == 2, 5)
        with from_ipv6(over_ipv6, "::ffff:192.0.2.1") as third:
            assert third.read_reply().code == 421


def test_a_client_may_come_over_ipv6_itself() -> None:
    """Without a proxy the socket's own address counts."""
    if not socket.has_ipv6:
        pytest.skip("no IPv6")
    with Tarry("[listen]\nmax_per_client = 1", address="::1", wait="0.2s") as tarry, RawClient(tarry.port, "::1") as client:
        with RawClient(tarry.port, "::1") as second:
            assert second.read_reply().code == 421
        assert client.read_reply().code == 220
        assert {"::1"} == {each["client"] for each in tarry.records(ev="connect")}
