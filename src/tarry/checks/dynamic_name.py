"""dynamic_name - does the client's name say that its address is lent to whoever dials in?

What      Looks at the PTR names of the client. Code pattern: a label says so (dsl, dialup, ppp, pool, dyn, dhcp, cable, cust,
          broadband, ftth, ...), or one of ``patterns`` is found in the name. Code digits: the name holds the whole address, as
          192-0-2-7, 7.2.0.192, 192000002007, c0000207 or 3221225991, for IPv6 as groups or nibbles. All of the client's names
          must look so; one that does not speaks for it. Ignored by default, and then nothing is asked.
Why       Viruses and bots send from home lines. Their providers name the lines by rule, and mail servers are named by hand.
Words     The list is looked for in whole words, left of the owner's domain: mx1.dsl.example is nobody's line, and neither is
          mail.cable.example. It matches whatever the expression of 2004 matches there, ``(^|\\W)(a?dsl|dial(up|in|\\.|-))``.
Mistaken  A server at home, or at a host that names its machines by number: static.7.2.0.192.clients.hoster.example. So a name
          with one of the words mail, mx, smtp, out, relay, mta, static and fixed is not dynamic, whatever else it holds: outbound
          pools of large senders are called mail-pool or o7.smtp-out. Neither spamdyke (which asks for a keyword or a country
          besides) nor Haraka (-1, where -8 is refused) turns anybody away for digits alone, so give them less than a refusal:
          checks.dynamic_name.codes. checks.dynamic_name.builtin = false keeps your own patterns only.
Source    A. Flavell, exim-users, 2004-03-02; spamdyke ip-in-rdns-keyword-blacklist; Haraka fcrdns.
Since     0.1
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import ClassVar

from tarry.checks.values.hostname import labels, owned
from tarry.core.border import Answered, Arrived
from tarry.core.check import Seen, Settings, option
from tarry.core.facts import Kind, Question, State, names_of
from tarry.core.result import PASSED, Action, Failed, Outcome, Unknown
from tarry.smtp.text import escape

_LINES = re.compile(
    r"""(?<![a-z])(?:
        [a-z]?dsl | dial(?:up|in|[.-]|$)          # the expression of 2004 needs no end of the word, so neither does this one
      | (?: adsl | dyndsl | isdn | modem | ppp | pppoe | slip
          | dyn | dyna | dynamic | dynip | dynamicip | dhcp | pool | pools | dialpool | ippool
          | cable | cablemodem | catv | docsis | hsd
          | cust | custs | customer | customers | subscriber | subscribers
          | broadband | ftt[abchpx] | gpon | wimax | umts | gprs | lte | wlan
          | resnet | residential | revip )(?![a-z])
    )""",
    re.ASCII | re.VERBOSE,
)
_MAIL = re.compile(
    r"(?<![a-z])(?:e?mail[a-z]*|webmail|mx[a-z]?|smtps?|smtp-?out|out(?:bound|going|mail|smtp)?|m?relays?|mta|mout|static|fixed)(?![a-z])",
    re.ASCII,
)
_RENTED = re.compile(
    r"(?<![a-z])(?:static|fixed|vps|vds|vmi|vserver|kvm|clients?|custs?|customers?|subscribers?|members?|tenants?|dedicated|colo)"
    r"(?![a-z])",
    re.ASCII,
)
_NUMBERS = re.compile(r"(?<![0-9])[0-9]{1,3}(?:[._x-][0-9]{1,3}){3,}(?![0-9])", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Keys of ``[checks.dynamic_name]``."""

    patterns: tuple[re.Pattern[str], ...] = option(
        (), unit="patterns", help="more regular expressions, one of which is found in the names of dynamic addresses"
    )
    builtin: bool = option(True, help="look for the words of tarry's own list as well")


class DynamicName:
    """Fails where every name of the client looks like that of a line that is given to whoever comes."""

    name = "dynamic_name"
    complaint = "Your address looks like a home line"
    codes: ClassVar[Mapping[str, str]] = {
        "pattern": "the client's name has a word of dynamic lines in it, or matches one of checks.dynamic_name.patterns",
        "digits": "the client's name holds its address",
    }
    settings = Settings(action=Action.IGNORE)
    options = Options
    triggers = (Answered,)
    kinds = frozenset({Kind.NAMES})

    def asks(self, seen: Seen, options: Options) -> tuple[Question, ...]:
        return (names_of(seen.about.client),) if isinstance(seen.moment, Arrived) and seen.about.client else ()

    def look(self, seen: Seen, options: Options) -> Outcome | tuple[Outcome, ...]:
        match seen.moment:
            case Answered(answer=answer) if answer.question != names_of(seen.about.client):
                return ()
            case Answered(answer=answer) if answer.state is State.UNKNOWN:
                return Unknown(f"names: {answer.why or 'no answer'}")
            case Answered(answer=answer):
                return _judged(answer.values, seen.about.client, options)
            case _:
                return Unknown("not observed")


def _judged(names: tuple[str, ...], client: str, options: Options) -> tuple[Outcome, ...]:
    """Return the codes that any of the names earns, each with the first that does; a pass where one of them earns none."""
    found: dict[str, Failed] = {}
    for name in names:
        codes = list(_codes(name.lower(), client, options))
        if not codes:
            return (PASSED,)
        for code in codes:
            found.setdefault(code, Failed(code, escape(name.encode("ascii", "backslashreplace"))))
    return tuple(found.values()) or (PASSED,)


def looks_rented(name: str, client: str) -> bool:
    """True where a client's name is like those that a provider gives to its customers, of lines or of servers, whatever the
    operator's own patterns: who has such a name is not the owner of its domain."""
    words = _words(name)
    if _RENTED.search(words) or (_LINES.search(words) and not _MAIL.search(words)):
        return True
    return _holds(name.lower(), client)


def _codes(name: str, client: str, options: Options) -> list[str]:
    is_own = any(pattern.search(name) for pattern in options.patterns)
    words = _words(name)
    if _MAIL.search(words):
        return ["pattern"] if is_own else []  # what the operator says of a name counts, whatever else is in it
    codes = ["pattern"] if is_own or (options.builtin and _LINES.search(words)) else []
    return [*codes, "digits"] if _holds(name, client) else codes


def _words(name: str) -> str:
    """Return what of a name is left of its owner's domain, in lower case."""
    return ".".join(labels(name)[: -owned(name)]) + "."


def _holds(name: str, client: str) -> bool:
    """True when *name* holds the whole address, in one of the forms in use."""
    octets, spelled = _spelled(client)
    for match in _NUMBERS.finditer(name):
        numbers = tuple(int(number) for number in re.split("[._x-]", match[0]))
        if any(numbers[at : at + 4] in octets for at in range(len(numbers) - 3)):
            return True
    return any(_stands_alone(form, name) for form in spelled)


@lru_cache(maxsize=64)
def _spelled(client: str) -> tuple[frozenset[tuple[int, ...]], tuple[str, ...]]:
    """Return the octets of an IPv4 address, both ways round, and the forms of an address that stand in names as one text."""
    try:
        address = ip_address(client)
    except ValueError:
        return frozenset(), ()
    if isinstance(address, IPv6Address):
        return frozenset(), tuple(dict.fromkeys(_ipv6_forms(address)))
    octets = tuple(address.packed)
    return frozenset({octets, octets[::-1]}), tuple(dict.fromkeys(_ipv4_forms(address)))


def _ipv4_forms(address: IPv4Address) -> list[str]:
    octets = tuple(address.packed)
    forms = [str(int(address))] if octets[0] else []
    for order in (octets, octets[::-1]):
        forms += ["".join(f"{octet:03}" for octet in order), "".join(f"{octet:02x}" for octet in order)]
        forms += [mark.join(f"{octet:02x}" for octet in order) for mark in "-."]
    return forms


def _ipv6_forms(address: IPv6Address) -> list[str]:
    whole = address.exploded.split("%")[0].split(":")
    short = [group.lstrip("0") or "0" for group in whole]
    nibbles = "".join(whole)
    forms = [nibbles, nibbles[::-1], ".".join(nibbles), ".".join(nibbles[::-1]), "-".join(nibbles)]
    for mark in "-._":
        forms += [mark.join(whole), mark.join(short), mark.join(short[::-1]), address.compressed.split("%")[0].replace(":", mark)]
    return forms


def _stands_alone(form: str, name: str) -> bool:
    """True when *form* is in *name* and no digit, nor a hexadecimal one where it has such, goes on before or behind it."""
    near = "0-9a-f" if re.search("[a-f]", form) else "0-9"
    return form in name and re.search(rf"(?<![{near}]){re.escape(form)}(?![{near}])", name) is not None
