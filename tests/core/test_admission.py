"""The door: who may come in, and how many."""

from __future__ import annotations

import mmap
import re
from collections import Counter
from ipaddress import IPv4Address, IPv4Network, IPv6Address, ip_address, ip_network

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tarry.core.admission import MOST_HEAVY, REFUSALS, Admitted, Door, Networks, Rules
from tarry.core.census import SIZE_PER_WORKER, Census
from tarry.core.client import count_key, network_key
from tarry.core.clock import ManualClock
from tarry.core.counts import Limit
from tarry.core.marked import Marked

EXEMPT = Networks.of([ip_network("192.0.2.0/28"), ip_network("2001:db8:1::/48")])
DENIED = Networks.of([ip_network("192.0.2.8/29"), ip_network("198.51.100.0/24")])
HOSTS = ("192.0.2.1", "192.0.2.2", "2001:db8::1")
HELD, EXEMPTED = Admitted.HELD, Admitted.EXEMPT
MANY_CLIENT, MANY_NETWORK = Admitted.TOO_MANY_FROM_CLIENT, Admitted.TOO_MANY_FROM_NETWORK
OFTEN_CLIENT, OFTEN_NETWORK = Admitted.TOO_OFTEN_FROM_CLIENT, Admitted.TOO_OFTEN_FROM_NETWORK


def censuses(workers: int = 1) -> list[Census]:
    memory = memoryview(mmap.mmap(-1, workers * SIZE_PER_WORKER))
    return [Census(memory, b"seed", number) for number in range(1, workers + 1)]


def pass_by(door: Door, host: str, now: float) -> Admitted:
    """Let a client come and leave at once."""
    admitted = admit(door, host, now)
    door.leave(ip_address(host).packed)
    return admitted


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


@given(
    data=st.data(),
    networks=st.lists(
        st.builds(lambda ip, bits: ip_network((ip, bits), strict=False), st.ip_addresses(v=4), st.integers(0, 32)), max_size=8
    ),
)
def test_the_edges_of_networks(data: st.DataObject, networks: list[IPv4Network]) -> None:
    """The first and the last address of a network are in it, those beside it only where another network has them."""
    prepared = Networks.of(iter(networks))
    assert bool(networks) == bool(prepared)
    for network in networks:
        first, last = int(network[0]), int(network[-1])
        assert {True} == {number.to_bytes(4, "big") in prepared for number in (first, last)}
        for number in (first - 1, last + 1):
            if 0 <= number < 1 << 32:
                expected = any(IPv4Address(number) in one for one in networks)
                assert expected == (number.to_bytes(4, "big") in prepared)


def test_many_networks_cost_no_more_than_few() -> None:
    """A lookup for each length of prefix, whatever their number."""
    many = Networks.of([IPv4Network((number << 8, 24)) for number in range(20_000)])
    assert 1 == len(many.v4)
    assert [True, False] == [number.to_bytes(4, "big") in many for number in (20_000 * 256 - 1, 20_000 * 256)]


def test_no_networks_hold_nobody() -> None:
    """An empty list costs nothing."""
    assert not Networks()
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


def test_every_refusal_has_words_of_its_own() -> None:
    """The reply says which limit it is; 421 for all but who is denied."""
    assert set(REFUSALS) == set(Admitted) - {HELD, EXEMPTED}
    said = {admitted: say("ID", "") for admitted, say in REFUSALS.items()}
    assert len(said) == len({reply.raw for reply in said.values()})
    assert {554: 1, 421: 5} == Counter(reply.code for reply in said.values())


# Networks.


def test_too_many_of_one_network() -> None:
    """IPv4 by /24, IPv6 by /48; who is exempt is let in, and is counted."""
    door = Door(Rules(max_per_client=0, max_per_network=2, exempt=EXEMPT))
    hosts = [
        ("203.0.113.5", HELD),
        ("203.0.113.6", HELD),
        ("203.0.113.7", MANY_NETWORK),
        ("203.0.112.255", HELD),
        ("2001:db8:9::1", HELD),
        ("2001:db8:9:ffff::1", HELD),
        ("2001:db8:9:1::1", MANY_NETWORK),
        ("2001:db8:a::1", HELD),
        ("192.0.2.1", EXEMPTED),
        ("192.0.2.1", EXEMPTED),
        ("192.0.2.1", EXEMPTED),
        ("192.0.2.77", MANY_NETWORK),
    ]
    assert [expected for _, expected in hosts] == [admit(door, host) for host, _ in hosts]
    for host in ("203.0.113.5", "203.0.113.7"):
        door.leave(ip_address(host).packed)
    assert [HELD, MANY_NETWORK] == [admit(door, "203.0.113.8"), admit(door, "203.0.113.9")]


def test_the_limit_of_the_client_comes_first() -> None:
    """So that a client is told what it can mend itself."""
    door = Door(Rules(max_per_client=1, max_per_network=1))
    assert [HELD, MANY_CLIENT, MANY_NETWORK] == [admit(door, host) for host in ("192.0.2.1", "192.0.2.1", "192.0.2.2")]


def test_counting_of_networks_can_be_switched() -> None:
    """It starts from nothing, and who was never counted leaves without a trace."""
    door = Door(Rules(max_per_network=1))
    assert HELD is admit(door, "192.0.2.1")
    door.change(Rules())
    assert HELD is admit(door, "192.0.2.2")
    door.change(Rules(max_per_network=1))
    for host in ("192.0.2.1", "192.0.2.2"):
        door.leave(ip_address(host).packed)
    assert [HELD, MANY_NETWORK] == [admit(door, "192.0.2.3"), admit(door, "192.0.2.4")]


# Rates.


def test_too_many_connections_in_a_minute() -> None:
    """One more than the limit is refused; who waits is let in again, and another client was never refused."""
    clock, door = ManualClock(600.0), Door(Rules(rate_per_client=3), censuses()[0])
    assert [HELD, HELD, HELD, OFTEN_CLIENT] == [pass_by(door, "192.0.2.1", clock.advance(1.0)) for _ in range(4)]
    assert HELD is pass_by(door, "192.0.2.2", clock.monotonic())
    clock.advance(60.0)
    assert OFTEN_CLIENT is pass_by(door, "192.0.2.1", clock.monotonic())
    clock.advance(60.0)
    assert HELD is pass_by(door, "192.0.2.1", clock.monotonic())


def test_who_goes_on_at_full_speed_stays_out() -> None:
    """Refused connections count too; at an even speed of one a minute less than the limit nobody is refused, for ever."""
    clock, door = ManualClock(600.0), Door(Rules(rate_per_client=6), censuses()[0])
    hammering = Counter(pass_by(door, "192.0.2.1", clock.advance(5.0)) for _ in range(100))
    steady = Counter(pass_by(door, "192.0.2.2", clock.advance(12.1)) for _ in range(100))
    assert {HELD: 6, OFTEN_CLIENT: 94} == hammering
    assert {HELD: 100} == steady


def test_too_many_connections_of_a_network_in_a_minute() -> None:
    """One client that is refused for itself uses up nothing of its neighbours'."""
    door = Door(Rules(rate_per_client=2, rate_per_network=4), censuses()[0])
    many = [pass_by(door, "192.0.2.1", 600.0) for _ in range(20)]
    assert [HELD] * 2 + [OFTEN_CLIENT] * 18 == many
    assert [HELD, HELD, OFTEN_NETWORK, HELD] == [
        pass_by(door, host, 601.0) for host in ("192.0.2.2", "192.0.2.3", "192.0.2.4", "192.0.3.1")
    ]


def test_who_is_denied_exempt_or_without_a_place_has_no_rate() -> None:
    """Nobody is charged for what the server lacks."""
    rules = Rules(max_clients=1, rate_per_client=1, exempt=EXEMPT, deny=DENIED)
    door = Door(rules, censuses()[0])
    assert [Admitted.DENIED, EXEMPTED] == [pass_by(door, host, 600.0) for host in ("198.51.100.1", "192.0.2.1")]
    assert [Admitted.DENIED, EXEMPTED] == [pass_by(door, host, 600.0) for host in ("198.51.100.1", "192.0.2.1")]
    assert HELD is admit(door, "203.0.113.1", 600.0)
    assert Admitted.TOO_MANY is pass_by(door, "203.0.113.2", 600.0)
    door.leave(ip_address("203.0.113.1").packed)
    assert [HELD, OFTEN_CLIENT] == [pass_by(door, "203.0.113.2", 600.0) for _ in range(2)]


def test_without_a_census_there_is_no_rate() -> None:
    """One client alone, of `tarry inetd`, has none."""
    door = Door(Rules(rate_per_client=1, rate_per_network=1))
    assert {HELD} == {pass_by(door, "192.0.2.1", 600.0) for _ in range(5)}


# Several processes.


def test_two_processes_count_together() -> None:
    """Who has its connections at one is refused by the other, for each of the four limits."""
    for rules, refusal in (
        (Rules(max_per_client=2), MANY_CLIENT),
        (Rules(max_per_client=0, max_per_network=2), MANY_NETWORK),
        (Rules(rate_per_client=2), OFTEN_CLIENT),
        (Rules(rate_per_network=2), OFTEN_NETWORK),
    ):
        one, two = (Door(rules, census) for census in censuses(2))
        assert [HELD, HELD, refusal, refusal] == [admit(door, "192.0.2.1", 600.0) for door in (one, two, one, two)]
        assert HELD is admit(two, "203.0.113.1", 600.0)


@settings(max_examples=25)
@given(
    limits=st.tuples(st.integers(0, 3), st.integers(0, 3)),
    moves=st.lists(
        st.tuples(st.integers(0, 2), st.booleans(), st.sampled_from(("192.0.2.1", "192.0.2.2", "2001:db8::1"))), max_size=40
    ),
)
def test_the_doors_of_a_host_count_right(limits: tuple[int, int], moves: list[tuple[int, bool, str]]) -> None:
    """Against a model: coming and going at three processes in any order."""
    rules = Rules(max_per_client=limits[0], max_per_network=limits[1])
    doors = [Door(rules, census) for census in censuses(3)]
    inside: Counter[tuple[int, str]] = Counter()
    for worker, comes, host in moves:
        packed = ip_address(host).packed
        if comes:
            inside[worker, host] += 1
            clients = sum(count for (_, one), count in inside.items() if one == host)
            same = [
                one
                for one in ("192.0.2.1", "192.0.2.2", "2001:db8::1")
                if network_key(ip_address(one).packed) == network_key(packed)
            ]
            networks = sum(count for (_, one), count in inside.items() if one in same)
            expected = HELD
            if limits[1] and networks > limits[1]:
                expected = MANY_NETWORK
            if limits[0] and clients > limits[0]:
                expected = MANY_CLIENT
            assert expected == admit(doors[worker], host)
        elif inside[worker, host]:
            inside[worker, host] -= 1
            doors[worker].leave(packed)


# Several hosts.


def test_what_others_hold_counts() -> None:
    """Added to what this host has, for each limit by its own name."""
    held = {(Limit.CLIENT, b"\xc0\0\2\1"): 3, (Limit.NETWORK_RATE, b"\xc0\0\3"): 7}
    rules = Rules(max_per_client=4, rate_per_network=7)
    door = Door(rules, censuses()[0], elsewhere=lambda limit, key: held.get((limit, key), 0))
    assert [HELD, MANY_CLIENT, HELD] == [admit(door, host) for host in ("192.0.2.1", "192.0.2.1", "192.0.2.2")]
    assert OFTEN_NETWORK is admit(door, "192.0.3.1")


def test_others_are_told_from_a_quarter_of_a_limit_on() -> None:
    """Keys below are nobody's business."""
    door = Door(Rules(max_per_client=8, rate_per_network=100), censuses()[0], elsewhere=lambda limit, key: 0)
    admit(door, "192.0.2.1", 600.0)
    admit(door, "203.0.113.1", 600.0)
    assert {} == door.heavy(600.0)
    admit(door, "192.0.2.1", 600.0)
    assert [{Limit.CLIENT: {b"\xc0\0\2\1": 2}}] * 2 == [door.heavy(600.0) for _ in range(2)]
    door.leave(b"\xc0\0\2\1")
    assert {} == door.heavy(600.0)
    admit(door, "192.0.2.1", 600.0)
    assert {Limit.CLIENT: {b"\xc0\0\2\1": 2}} == door.heavy(600.0)


def test_a_rate_is_told_as_it_falls() -> None:
    """As the estimate is at that moment, rounded up."""
    door = Door(Rules(max_per_client=0, rate_per_client=8), censuses()[0], elsewhere=lambda limit, key: 0)
    for _ in range(4):
        pass_by(door, "192.0.2.1", 600.0)
    told = [door.heavy(now)[Limit.CLIENT_RATE][b"\xc0\0\2\1"] for now in (600.0, 659.0, 675.0, 690.0)]
    assert [4, 4, 3, 2] == told
    assert {} == door.heavy(700.0)


def test_a_limit_that_is_given_up_is_not_told_of() -> None:
    """Whoever came near it."""
    door = Door(Rules(max_per_client=4), censuses()[0], elsewhere=lambda limit, key: 0)
    admit(door, "192.0.2.1")
    door.change(Rules(max_per_client=0))
    assert {} == door.heavy(0.0)


def test_what_is_told_has_a_bound() -> None:
    """However many clients come to a quarter of a limit, which one connection of four is."""
    door = Door(Rules(max_clients=1 << 20, max_per_client=4), censuses()[0], elsewhere=lambda limit, key: 0)
    for number in range(MOST_HEAVY + 10):
        door.admit(number.to_bytes(4, "big"), "", 0.0)
    assert MOST_HEAVY == len(door.heavy(0.0)[Limit.CLIENT])
