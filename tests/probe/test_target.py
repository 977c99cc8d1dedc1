import asyncio
import ipaddress
import socket
from typing import Any

import pytest

from tarry.probe.target import BadTarget, Endpoint, NotFound, Target, is_own, read_target, resolve, source_of, strangers


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("127.0.0.1:2525", Target("127.0.0.1", 2525)),
        ("mx.example.org:25", Target("mx.example.org", 25)),
        ("[::1]:2525", Target("::1", 2525)),
        ("[fe80::1%eth0]:25", Target("fe80::1%eth0", 25)),
    ],
)
def test_a_target_is_read_and_written_the_same_way(text: str, expected: Target) -> None:
    """parse(serialise(x)) == x."""
    assert expected == read_target(text)
    assert text == str(expected)


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("localhost", "HOST:PORT"),
        ("localhost:", "HOST:PORT"),
        (":25", "HOST:PORT"),
        ("", "HOST:PORT"),
        ("::1:2525", "brackets"),
        ("[::1]", "HOST:PORT"),
        ("host:0", "65535"),
        ("host:65536", "65535"),
        ("host:smtp", "HOST:PORT"),
    ],
)
def test_a_bad_target_is_answered_with_what_to_write(text: str, hint: str) -> None:
    """The message names the mend."""
    with pytest.raises(BadTarget, match=hint):
        read_target(text)


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("127.0.0.1", True),
        ("10.1.2.3", True),
        ("192.168.0.1", True),
        ("172.16.0.1", True),
        ("169.254.1.1", True),
        ("::1", True),
        ("fe80::1", True),
        ("fd00::1", True),
        ("::ffff:127.0.0.1", True),
        ("8.8.8.8", False),
        ("172.32.0.1", False),
        ("100.64.0.1", False),
        ("2001:4860:4860::8888", False),
        ("::ffff:8.8.8.8", False),
    ],
)
def test_only_near_addresses_are_ones_own(address: str, expected: bool) -> None:
    """Loopback, link-local and private are; the rest, also in IPv6 clothes, may be a stranger's."""
    assert expected == is_own(ipaddress.ip_address(address))


def test_one_public_address_among_many_is_found() -> None:
    """A name that stands for both is not one's own."""
    near, far = (Endpoint(ipaddress.ip_address(text), 25) for text in ("127.0.0.1", "8.8.8.8"))

    assert strangers([near, far]) == (far.address,)


def test_a_plain_source_is_used_for_every_client() -> None:
    """No network length, no counting."""
    source = ipaddress.ip_interface("127.0.0.9")

    assert {str(source_of(source, number)) for number in range(12)} == {"127.0.0.9"}
    assert source_of(None, 3) is None


def test_a_source_with_a_network_counts_on_and_stays_inside() -> None:
    """Each client has its own address; past the end it begins again at the one given."""
    source = ipaddress.ip_interface("10.0.0.6/29")

    assert [str(source_of(source, number)) for number in range(4)] == ["10.0.0.6", "10.0.0.7", "10.0.0.6", "10.0.0.7"]


def test_endpoints_know_their_socket_address() -> None:
    """IPv6 has a flow and a scope, IPv4 has not."""
    assert Endpoint(ipaddress.ip_address("10.0.0.1"), 25).sockaddr == ("10.0.0.1", 25)
    assert Endpoint(ipaddress.ip_address("fe80::1"), 25, 3).sockaddr == ("fe80::1", 25, 0, 3)
    assert Endpoint(ipaddress.ip_address("::1"), 25).family == socket.AF_INET6
    assert Endpoint(ipaddress.ip_address("10.0.0.1"), 25).family == socket.AF_INET


def resolved(monkeypatch: pytest.MonkeyPatch, answer: Any) -> tuple[Endpoint, ...]:
    async def run() -> tuple[Endpoint, ...]:
        async def getaddrinfo(host: str, port: int, **_: Any) -> Any:
            if isinstance(answer, Exception):
                raise answer
            return [(0, 0, 0, "", sockaddr) for sockaddr in answer]

        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo, raising=False)
        return await resolve(Target("mx", 25))

    return asyncio.run(run())


def test_a_name_becomes_endpoints_in_the_systems_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """Doubles are dropped and scopes kept."""
    found = resolved(monkeypatch, [("fe80::1%eth0", 25, 0, 2), ("127.0.0.1", 25), ("127.0.0.1", 25)])

    assert found == (Endpoint(ipaddress.ip_address("fe80::1"), 25, 2), Endpoint(ipaddress.ip_address("127.0.0.1"), 25))


@pytest.mark.parametrize("error", [socket.gaierror(-2, "Name or service not known"), UnicodeError("label empty")])
def test_a_name_without_an_address_is_said_so(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    """The system's words, under our own exception."""
    with pytest.raises(NotFound, match=r"mx has no address: (Name or|not a host name)"):
        resolved(monkeypatch, error)
