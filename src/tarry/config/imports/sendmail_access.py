"""sendmail_access - the access file of Sendmail: GreetPause:, Connect:, ClientConn: and what else is about clients.

What      `read_access` adds to a `Found`: pauses become classes of [hold], refused networks deny.networks, accepted ones
          exempt.networks. Names of hosts and domains have no counterpart, since classes and networks go by address.
Promises  Nothing but ImportProblem is raised. Of the pauses the longest match counts, as in Sendmail: where two overlap, the
          classes of the smaller networks stand first.
Source    cf/README of Sendmail 8.17 (greet_pause, conncontrol, ratecontrol, access_db).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from tarry.config.imports.found import Found, ImportProblem, Source
from tarry.config.imports.networks import Network, read_prefix, spelled
from tarry.config.spelling import printable
from tarry.config.values import write_duration
from tarry.core.policy import LONGEST_HOLD

CLASS = "hold.class"
_TAG = re.compile(r"([A-Za-z_]+):(.*)", re.ASCII | re.DOTALL)
_REFUSES = re.compile(r"REJECT|DISCARD|ERROR:|[45][0-9][0-9][ -]|\"", re.IGNORECASE)
_NAMES = "classes and networks go by address, and this is a name"


def entries(text: str, file: str) -> Iterator[tuple[int, str, str]]:
    """Yield line number, key and value."""
    for number, line in enumerate(text.split("\n"), 1):
        bare = line.strip()
        if not bare or bare.startswith("#"):
            continue
        key, *value = bare.split(None, 1)
        if not value:
            raise ImportProblem(file, number, f'"{printable(bare[:40])}" has no value', "a line of access is a key and a value")
        yield number, key, value[0].strip()


def read_access(text: str, file: str, found: Found) -> None:
    """Add what an access file says."""
    pauses: list[tuple[Network, int, Source]] = []
    of_messages = list[str]()
    first = 0
    for number, key, value in entries(text, file):
        match = _TAG.fullmatch(key) if not key.startswith("IPv6:") else None
        tag, rest = (match[1].lower(), match[2]) if match else ("", key)
        source = Source(file, number, key)
        if tag == "greetpause":
            _pause(found, pauses, rest, value, source)
        elif tag == "connect" or (not tag and _network(rest) is not None):
            _connect(found, rest, value, source)
        elif tag == "clientconn":
            _connections(found, rest, value, source)
        elif tag == "clientrate":
            why = "tarry counts connections at one time, not in a minute"
            found.miss(source, value, why, "leave the rate to the firewall, or set listen.max_per_client")
        else:
            first = first or number
            of_messages.append(f"{match[1]}:" if match else "untagged")
    for pause in _ordered(pauses):
        found.add(CLASS, *pause)
    if of_messages:
        kinds = ", ".join(dict.fromkeys(of_messages))
        count = f"{len(of_messages)} line{'' if len(of_messages) == 1 else 's'}"
        found.miss(Source(file, first, kinds), "", f"{count} about senders, recipients or TLS", "they stay with the MTA")


def _network(text: str) -> Network | None:
    try:
        return read_prefix(text.strip("[]") if "/" not in text else text)
    except ValueError:
        return None


def _pause(found: Found, pauses: list[tuple[Network, int, Source]], key: str, value: str, source: Source) -> None:
    if not re.fullmatch(r"[0-9]{1,9}", value):
        found.miss(source, value, "a pause is a number of milliseconds", "write it as hold.class by hand")
        return
    milliseconds = int(value)
    if milliseconds > LONGEST_HOLD * 1000:
        why = "clients give up after 5 minutes (RFC 5321), and tarry holds none longer than 295 s"
        found.miss(source, value, why, "it is cut to that")
        milliseconds = int(LONGEST_HOLD * 1000)
    if not key:
        found.set("hold.wait", write_duration(milliseconds / 1000), source, f"{value} ms")
        return
    network = _network(key)
    if network is None:
        instead = f'find its networks and add them to a [[hold.class]] with wait = "{write_duration(milliseconds / 1000)}"'
        found.miss(source, value, _NAMES, instead)
        return
    pauses.append((network, milliseconds, source))


def _ordered(pauses: list[tuple[Network, int, Source]]) -> Iterator[tuple[dict[str, object], Source, str]]:
    """Yield the classes. Networks with the same pause share one, unless a smaller network must come before."""
    overlap = any(
        one.version == other.version and pause != different and one.overlaps(other)
        for place, (one, pause, _) in enumerate(pauses)
        for other, different, _ in pauses[:place]
    )
    if overlap:
        pauses = sorted(pauses, key=lambda pause: pause[0].prefixlen / pause[0].max_prefixlen, reverse=True)
    groups: dict[tuple[int, float], list[tuple[Network, int, Source]]] = {}
    for network, pause, source in pauses:
        width = network.prefixlen / network.max_prefixlen if overlap else 0.0
        groups.setdefault((pause, width), []).append((network, pause, source))
    names: dict[str, int] = {}
    for (pause, _), members in groups.items():
        name = f"greet_pause_{pause}"
        names[name] = names.get(name, 0) + 1
        made: dict[str, object] = {
            "name": name if names[name] == 1 else f"{name}_{names[name]}",
            "networks": list(dict.fromkeys(spelled(network) for network, _, _ in members)),
            "wait": write_duration(pause / 1000),
        }
        lines = ", ".join(dict.fromkeys(str(source.line) for _, _, source in members[1:]))
        yield made, members[0][2], f"and line{'s' if len(members) > 2 else ''} {lines}" if lines else ""


def _connect(found: Found, key: str, value: str, source: Source) -> None:
    network = _network(key)
    word = value.upper().split()[0]
    if word in ("SKIP", "DUNNO"):
        return
    if network is None:
        found.miss(source, value, _NAMES, "find its networks: exempt.networks and deny.networks take them")
    elif word in ("OK", "RELAY"):
        found.add("exempt.networks", spelled(network), source, value)
    elif _REFUSES.match(value):
        found.add("deny.networks", spelled(network), source, value)
    else:
        found.miss(source, value, "this is no answer that has a counterpart", "leave it to the MTA")


def _connections(found: Found, key: str, value: str, source: Source) -> None:
    if not re.fullmatch(r"[0-9]{1,6}", value):
        found.miss(source, value, "this is no number", "set listen.max_per_client")
    elif key:
        why = "the limit of connections is one for all clients"
        found.miss(source, value, why, "set listen.max_per_client to the highest that you need, or exempt.networks")
    else:
        found.set("listen.max_per_client", int(value), source)
