"""rhsbl - look the sender's domain up in DNS lists of domains.

What      Asks each zone about the domain of the reverse-path, at MAIL. Rows, filters and weights are those of dnslists; the reply
          to RCPT waits for the answers. The domain is asked about as it stands, not the one above it, and in ASCII only. Nothing
          is asked about the null sender, an address literal, or a name that no domain can have; and nothing while there are no
          zones, which is the default.
Why       Senders that change addresses by the minute keep their domain for days. A list of domains also knows those that were
          registered this morning.
Mistaken  Anybody may write anybody's domain there, and a forwarder keeps the sender's: it is the sender that is listed, not the
          client. Lists of new domains hit new businesses. So give them small weights, or checks.rhsbl.action = "tag"; a row with a
          weight below 0 in checks.rhsbl.zones speaks for a domain, which is worth little as long as nobody has proved it.
Source    RFC 5782 §4; Postfix reject_rhsbl_sender.
Since     0.1
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from tarry.checks.values.zone import Zone, distinct, found, settled, zones_option
from tarry.core.border import Answered, Sender
from tarry.core.check import Seen, Settings
from tarry.core.facts import Kind, Question, domain_listing
from tarry.core.result import Action, Failed, Outcome, Unknown

MOST_CHARACTERS = 253
"""Of a domain name as text (RFC 1035 §2.3.4)."""

_DOMAIN = re.compile(r"(?:[a-z0-9_-]{1,63}\.)+(?![0-9]+\Z)[a-z0-9-]{1,63}", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Keys of ``[checks.rhsbl]``."""

    zones: tuple[Zone, ...] = zones_option('{ zone = "dbl.spamhaus.org", answers = "127.0.1.2..99", weight = 2 }')


class Rhsbl:
    """Fails for each row of ``zones`` that lists the sender's domain; passes when all have answered and none does."""

    name = "rhsbl"
    complaint = "Your sender domain is on a DNS list"
    codes: ClassVar[Mapping[str, str]] = {
        "listed": "a block list has the sender's domain",
        "allowed": "an allow list (a weight below 0) has the sender's domain",
    }
    allows = frozenset({"allowed"})
    settings = Settings(action=Action.DELAY)
    options = Options
    triggers = (Sender, Answered)
    kinds = frozenset({Kind.LISTED})
    per_message = True

    def may_ask(self, options: Options) -> bool:
        return bool(options.zones)

    def asks(self, seen: Seen, options: Options) -> tuple[Question, ...]:
        return _questions(seen.moment.address, options) if isinstance(seen.moment, Sender) else ()

    def look(self, seen: Seen, options: Options) -> Outcome | tuple[Outcome, ...]:
        match seen.moment:
            case Sender(address=address):
                # The sender of an earlier message again, or another one of its domain: what is known is not asked again.
                known = [one for question in _questions(address, options) if (one := seen.about.facts.get(question)) is not None]
                return tuple(each for one in known for each in found(one, options.zones) if isinstance(each, Failed))
            case Answered(answer=answer):
                return settled(answer, _questions(seen.about.sender or "", options), seen.about.facts, options.zones)
            case _:
                return Unknown("not observed")


def _questions(sender: str, options: Options) -> tuple[Question, ...]:
    _, at, domain = sender.rpartition("@")
    domain = domain.removesuffix(".").lower()
    if not at or not _DOMAIN.fullmatch(domain):
        return ()
    asked = [domain_listing(domain, zone) for zone in distinct(options.zones)]
    return tuple(question for question in asked if len(question.name) <= MOST_CHARACTERS)
