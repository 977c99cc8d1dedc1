"""J. Rudd's script of 2004-05-07: 35 seconds, and two patterns."""

from __future__ import annotations

import re
import socket

import pytest

from tarry.config.compile import door_rules
from tarry.config.load import load
from tarry.core.admission import Admitted, Door
from tests.presets import Outcome, hold, policy_of, talks_at

CONFIG = load(None, text='preset = "sendwrap-2004"').config
AS_PERL_READS_THEM = (re.compile("^10.0.1"), re.compile("^127."))
"""In double quotes, Perl takes a backslash before a dot away."""


def admitted(address: str) -> Admitted:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    return Door(door_rules(CONFIG)).admit(socket.inet_pton(family, address), address, 0.0)


def test_silence_is_rewarded_after_35_seconds() -> None:
    """Then the MTA is started."""
    assert Outcome(35.0, "", ()) == hold(policy_of("sendwrap-2004"))


@pytest.mark.parametrize("at", [0.0, 5.0, 34.9])
def test_talk_ends_it_at_once(at: float) -> None:
    """The script closed without a word; one line says why here."""
    assert (at, "521 5.7.1 You spoke before the greeting [K3X9-0001]") == hold(policy_of("sendwrap-2004"), talks_at(at))[:2]


@pytest.mark.parametrize(
    ("address", "is_exempt"),
    [
        ("10.0.1.7", True),
        ("127.0.0.1", True),
        ("10.0.2.7", False),
        ("192.10.0.1", False),
        ("10.10.0.1", False),
        ("10.0.10.7", True),  # the missing dot
        ("10.0.199.7", True),
        ("10.0.200.7", False),
        ("2001:db8::10.0.1.7", False),
        ("::1", False),
    ],
)
def test_the_patterns_exempt(address: str, is_exempt: bool) -> None:
    """The script's two networks, and those that a missing dot adds."""
    assert (Admitted.EXEMPT if is_exempt else Admitted.HELD) is admitted(address)


def test_the_missing_dot_exempts_111_networks() -> None:
    """10.0.1, 10.0.10 to 19, 10.0.100 to 199: as with the patterns that Perl read, for every third octet."""
    exempt = [octet for octet in range(256) if admitted(f"10.0.{octet}.7") is Admitted.EXEMPT]
    assert [1, *range(10, 20), *range(100, 200)] == exempt
    assert exempt == [octet for octet in range(256) if any(pattern.search(f"10.0.{octet}.7") for pattern in AS_PERL_READS_THEM)]


def test_backslashes_lost_change_nothing_else() -> None:
    """For no other address of 10.x.y.z and 12x.x does it matter that Perl's dots match anything."""
    addresses = [f"{first}.{second}.{third}.7" for first in (10, 100, 12, 127) for second in range(256) for third in (0, 1, 10)]
    for address in addresses:
        as_in_perl = any(pattern.search(address) for pattern in AS_PERL_READS_THEM)
        assert (Admitted.EXEMPT if as_in_perl else Admitted.HELD) is admitted(address)
