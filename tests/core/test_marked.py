"""Marked networks: the narrowest word counts."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

from hypothesis import given
from hypothesis import strategies as st

from tarry.core.marked import Marked

networks = st.builds(
    lambda number, length: ip_network((number >> (32 - length) << (32 - length), length)),
    st.integers(0, 2**32 - 1),
    st.integers(1, 32),
)


@given(st.lists(st.tuples(networks, st.booleans()), max_size=12), st.integers(0, 2**32 - 1))
def test_the_narrowest_network_counts(said: list[tuple[IPv4Network | IPv6Network, bool]], number: int) -> None:
    """As a walk over all of them finds it; of the same network the last word."""
    address = ip_address(number)
    last = dict(said)
    around = sorted((one for one in last if address in one), key=lambda one: -one.prefixlen)
    expected = last[around[0]] if around else None
    assert expected == Marked.of(said).find(address.packed)


def test_both_families() -> None:
    """A network of one family says nothing of the other."""
    marked = Marked.of(
        [(ip_network("2001:db8::/32"), False), (ip_network("2001:db8:1::/48"), True), (ip_network("0.0.0.0/1"), False)]
    )
    assert marked.find(ip_address("2001:db8:1::5").packed) is True
    assert marked.find(ip_address("2001:db8:2::5").packed) is False
    assert marked.find(ip_address("2001:db9::5").packed) is None
    assert marked.find(ip_address("10.0.0.1").packed) is False
    assert Marked().find(bytes(4)) is None
