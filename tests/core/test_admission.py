"""The door: who may come in, and how many."""

from __future__ import annotations

import re
from collections import Counter
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tarry.core.admission import Admitted, Door, Networks, Rules
from tarry.core.client import count_key
from tarry.core.marked import Marked

EXEMPT = Networks.of([ip_network("192.0.2.0/28"), ip_network("2001:db8:1::/48")])
DENIED = Networks.of([ip_network("192.0.2.8/29"), ip_network("198.51.100.0/24")])


def admit(door: Door, host: str, now: float = 0.0) -> Admitted:
    return door.admit(ip_address(host).packed, host, now)


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("192.0.2.0", True),
        ("192.0.2.15", True),
        ("192.0.2.16", False),
        ("191.255.255.255", False),
        ("2001:db8:1::7", True),
        ("2001:db8:1:ffff:ffff:ffff:ffff:ffff", True),
        ("2001:db8:2::", False),
    ],
)
def test_an_address_in_a_network(host: str, expected: bool) -> None:
    """By prefix, each family in its own list."""
    assert expected == (ip_address(host).packed in EXEMPT)


@given(
    address=st.ip_addresses(),
    networks=st.lists(
        st.builds(lambda ip, bits: ip_network((ip, bits), strict=False), st.ip_addresses(v=4), st.integers(0, 32))
        | st.builds(lambda ip, bits: ip_network((ip, bits), strict=False), st.ip_addresses(v=6), st.integers(0, 128)),
        max_size=4,
    ),
)
def test_networks_agree_with_ipaddress(address: IPv4Address | IPv6Address, networks: list[object]) -> None:
    """The fast way and the library's say the same."""
    assert any(address in network for network in networks) == (address.packed in Networks.of(networks))  # type: ignore[operator,arg-type]


def test_no_networks_hold_nobody() -> None:
    """An empty list costs nothing."""
    assert bytes(4) not in Networks()
    assert bytes(16) not in Networks()


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("203.0.113.5", Admitted.HELD),
        ("192.0.2.1", Admitted.EXEMPT),
        ("198.51.100.1", Admitted.DENIED),
        ("192.0.2.9", Admitted.DENIED),
        ("203.0.113.99", Admitted.EXEMPT),
        ("2001:db8:1::1", Admitted.EXEMPT),
        ("2001:db8:2::1", Admitted.HELD),
    ],
)
def test_lists_at_the_door(host: str, expected: Admitted) -> None:
    """Denied beats exempt; a pattern is searched for in the address."""
    assert expected == admit(Door(Rules(exempt=EXEMPT, deny=DENIED, exempt_patterns=(re.compile(r"\.99$"),))), host)


def test_too_many_of_one_client() -> None:
    """IPv4 by address, IPv6 by /64; who is exempt is not counted against."""
    door = Door(Rules(max_per_client=1, exempt=EXEMPT))
    hosts = [
        "203.0.113.5",
        "203.0.113.5",
        "203.0.113.6",
        "2001:db8:9::1",
        "2001:db8:9::2",
        "2001:db8:9:1::1",
        "192.0.2.1",
        "192.0.2.1",
    ]
    held, many, exempt = Admitted.HELD, Admitted.TOO_MANY_FROM_CLIENT, Admitted.EXEMPT
    assert [held, many, held, held, many, held, exempt, exempt] == [admit(door, host) for host in hosts]


def test_too_many_in_all() -> None:
    """The limit holds for exempt clients too: there are no descriptors for them either."""
    door = Door(Rules(max_clients=1, exempt=EXEMPT, deny=DENIED))
    assert [Admitted.EXEMPT, Admitted.TOO_MANY, Admitted.TOO_MANY, Admitted.DENIED] == [
        admit(door, host) for host in ("192.0.2.1", "192.0.2.1", "203.0.113.5", "198.51.100.1")
    ]


def test_who_leaves_makes_room() -> None:
    """Whatever it was told at the door."""
    door = Door(Rules(max_clients=2, max_per_client=1))
    host = "203.0.113.5"
    assert [Admitted.HELD, Admitted.TOO_MANY_FROM_CLIENT, Admitted.TOO_MANY] == [admit(door, host) for _ in range(3)]
    for _ in range(3):
        door.leave(ip_address(host).packed)
    assert (0, Admitted.HELD) == (door.inside, admit(door, host))


@given(
    limit=st.integers(0, 3),
    moves=st.lists(st.tuples(st.booleans(), st.sampled_from(("192.0.2.1", "192.0.2.2", "2001:db8::1", "2001:db8::2")))),
)
def test_the_door_counts_right(limit: int, moves: list[tuple[bool, str]]) -> None:
    """Against a model: coming and going in any order."""
    door = Door(Rules(max_per_client=limit))
    inside: Counter[bytes] = Counter()
    for comes, host in moves:
        packed = ip_address(host).packed
        key = count_key(packed)
        if comes:
            inside[key] += 1
            expected = Admitted.TOO_MANY_FROM_CLIENT if limit and inside[key] > limit else Admitted.HELD
            assert expected == door.admit(packed, host, 0.0)
        elif inside[key]:
            inside[key] -= 1
            door.leave(packed)
        assert inside.total() == door.inside


def test_a_connection_whose_client_is_not_known_yet() -> None:
    """It takes a place like any other, which is free again when its client is known or it has gone."""
    door = Door(Rules(max_clients=2))
    assert [True, True, False] == [door.expect() for _ in range(3)]
    door.arrived()
    assert Admitted.HELD is door.admit(b"\x7f\0\0\1", "127.0.0.1", 0.0)
    assert (2, False) == (door.inside, door.expect())
    door.arrived()
    assert 1 == door.inside


def test_new_rules_hold_from_now_on() -> None:
    """Who is inside stays and is counted; counting that is switched on begins with nothing."""
    door = Door(Rules(max_per_client=1))
    host, packed = "203.0.113.5", ip_address("203.0.113.5").packed
    assert Admitted.HELD is admit(door, host)
    door.change(Rules(max_per_client=2))
    assert [Admitted.HELD, Admitted.TOO_MANY_FROM_CLIENT] == [admit(door, host), admit(door, host)]
    door.change(Rules(max_per_client=0))
    assert Admitted.HELD is admit(door, host)
    door.change(Rules(max_per_client=1))
    for _ in range(4):
        door.leave(packed)
    assert (0, Admitted.HELD) == (door.inside, admit(door, host))


def test_what_was_said_by_hand_counts_before_the_rules() -> None:
    """A denied address within an exempt network, and an allowed one within a denied network; limits of the whole door stay."""
    door = Door(Rules(max_clients=3, exempt=EXEMPT, deny=DENIED))
    said = [(ip_network("192.0.2.1/32"), False), (ip_network("198.51.100.7/32"), True)]
    door.marked = Marked.of(said)
    assert [Admitted.DENIED, Admitted.EXEMPT, Admitted.DENIED] == [
        admit(door, host) for host in ("192.0.2.1", "198.51.100.7", "198.51.100.8")
    ]
    assert Admitted.TOO_MANY is admit(door, "198.51.100.7")
    door.marked = Marked()
    for host in ("192.0.2.1", "198.51.100.7", "198.51.100.8", "198.51.100.7"):
        door.leave(ip_address(host).packed)
    assert [Admitted.EXEMPT, Admitted.DENIED] == [admit(door, host) for host in ("192.0.2.1", "198.51.100.7")]
