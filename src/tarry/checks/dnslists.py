"""dnslists - look the client's address up in DNS lists, block lists and allow lists.

What      Asks each zone about the address as soon as it is known, and counts the answers that the zone's filter lets through. A
          zone may stand several times, with other filters and weights, and these add up. A weight below 0 makes an allow list.
          Nothing is asked while there are no zones, which is the default: which lists to trust is for the operator to say.
Why       Most spam comes from addresses that are listed within minutes, and a listing is known before the greeting is due. One
          list alone errs; where several agree it is rare. Hence weights, and delay as the default: who is listed by mistake still
          gets its mail through.
Mistaken  Who shares an address with a spammer: shared hosting, NAT, large senders, a server on an address that somebody else had.
          A list that answers 127.255.255.x, or anything outside 127.0.0.0/8, has listed nobody: that is unknown. For a sender
          that you trust there are exempt.networks and allow lists in checks.dnslists.zones; checks.dnslists.action says what a
          listing leads to.
Source    RFC 5782; Postfix postscreen_dnsbl_sites, whose weights, filters and public names these are; Spamhaus' error codes.
Since     0.1
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import ip_address
from typing import ClassVar

from tarry.checks.values.zone import Zone, distinct, settled, zones_option
from tarry.core.border import Answered, Arrived
from tarry.core.check import Seen, Settings
from tarry.core.facts import Kind, Question, listing
from tarry.core.result import Action, Outcome, Unknown


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Keys of ``[checks.dnslists]``."""

    zones: tuple[Zone, ...] = zones_option('{ zone = "zen.spamhaus.org", answers = "127.0.0.2..11", weight = 3 }')


class DnsLists:
    """Fails for each row of ``zones`` that lists the client; passes when all have answered and none does."""

    name = "dnslists"
    complaint = "Your address is on a DNS list"
    codes: ClassVar[Mapping[str, str]] = {
        "listed": "a block list has the client's address",
        "allowed": "an allow list (a weight below 0) has the client's address",
    }
    allows = frozenset({"allowed"})
    settings = Settings(action=Action.DELAY)
    options = Options
    triggers = (Answered,)
    kinds = frozenset({Kind.LISTED})

    def may_ask(self, options: Options) -> bool:
        return bool(options.zones)

    def asks(self, seen: Seen, options: Options) -> tuple[Question, ...]:
        return _questions(seen.about.client, options.zones) if isinstance(seen.moment, Arrived) else ()

    def look(self, seen: Seen, options: Options) -> Outcome | tuple[Outcome, ...]:
        match seen.moment:
            case Answered(answer=answer):
                return settled(answer, _questions(seen.about.client, options.zones), seen.about.facts, options.zones)
            case _:
                return Unknown("not observed")


@lru_cache(maxsize=1024)  # asked for again with each answer: a third of what five lists cost beside their queries
def _questions(client: str, zones: tuple[Zone, ...]) -> tuple[Question, ...]:
    try:
        ip_address(client)
    except ValueError:  # a Unix socket: nobody lists these
        return ()
    return () if "%" in client else tuple(listing(client, zone) for zone in distinct(zones))
