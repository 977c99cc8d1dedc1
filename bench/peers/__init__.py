"""peers - the servers that can be measured in one run, by name.

To add one: an entry in PEERS, and a function that starts it. A peer takes part in the measures that it names; it is
skipped, by name and with its own reason, where `missing` returns one.
"""

from bench.peers import postfix, programs, tarry
from bench.peers.kind import Measure, Peer

PEERS: dict[str, Peer] = {
    peer.name: peer
    for peer in (
        tarry.TARRY,
        tarry.TARRY_PASS,
        tarry.TARRY_PROXY_V1,
        tarry.TARRY_PROXY_V2,
        tarry.TARRY_XCLIENT,
        tarry.TARRY_ANNOUNCE_PASS,
        postfix.POSTSCREEN,
        postfix.POSTSCREEN_DISCARD,
        postfix.SMTPD_PROXY_FILTER,
        programs.AIOSMTPD,
        programs.RELAY,
        programs.EPOLL,
        programs.SINK,
    )
}


def for_measure(measure: Measure) -> list[str]:
    """Return the names of the peers that take part in *measure*, in the order of PEERS."""
    return [name for name, peer in PEERS.items() if measure in peer.measures]
