"""need - skip a test by name when a server or client it runs is not there."""

from pathlib import Path

import pytest

from tests.e2e.servers import install


def need(*names: str) -> None:
    """Skip the calling test unless all of *names* (see install) can be used here; the reason says what to do."""
    for name in names:
        if problem := install.missing(name):
            pytest.skip(problem)


def need_ipv6() -> None:
    """Skip the calling test where loopback has no IPv6 address."""
    addresses = Path("/proc/net/if_inet6")
    if not addresses.exists() or f"{1:032x}" not in addresses.read_text():
        pytest.skip("there is no ::1")
