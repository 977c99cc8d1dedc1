"""ucspi - how a command that serves one client learns who the client is.

What      `environment` adds the UCSPI variables to an environment; `fill` puts the client into the words of a command.
Promises  Pure. What tells of another client (a front door that was itself started by tcpserver) is never passed on. What the
          same client's own tcpserver has said (TCPREMOTEHOST, RELAYCLIENT, a PROTO of SSL) stays.
Source    UCSPI-1996 (D. J. Bernstein); tcp-environ(5): TCPREMOTEIP, TCPREMOTEPORT, TCPLOCALIP, TCPLOCALPORT, PROTO.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tarry.core.client import Client, normal

PLACES = ("client", "client_port", "server", "server_port")
"""What is replaced in the words of a command, when it stands in braces."""

_OTHERS = ("TCPREMOTEHOST", "TCPREMOTEINFO", "TCPLOCALHOST")
"""What a UCSPI server says besides, and what is wrong for another client."""


def environment(client: Client, base: Mapping[str, str]) -> dict[str, str]:
    """Return *base* with the UCSPI variables of *client*. An unknown server address ("", port 0) is left out."""
    told = {
        "TCPREMOTEIP": client.endpoint.host,
        "TCPREMOTEPORT": str(client.endpoint.port),
        "TCPLOCALIP": client.server.host,
        "TCPLOCALPORT": str(client.server.port) if client.server.port else "",
        "PROTO": "TCP",
    }
    if _is_of(client, base):
        return {**base, **{name: value for name, value in told.items() if value and not base.get(name)}}
    kept = {name: value for name, value in base.items() if name not in told and name not in _OTHERS}
    return {**kept, **{name: value for name, value in told.items() if value}}


def _is_of(client: Client, base: Mapping[str, str]) -> bool:
    """True when these variables tell of this very connection."""
    port = base.get("TCPREMOTEPORT") or str(client.endpoint.port)
    return (normal(base.get("TCPREMOTEIP", "")), port) == (client.endpoint.host, str(client.endpoint.port))


def fill(command: Sequence[str], client: Client) -> list[str]:
    """Return *command* with {client}, {client_port}, {server} and {server_port} replaced; other braces stay as they are."""
    values = (client.endpoint.host, str(client.endpoint.port), client.server.host, str(client.server.port))
    filled = list(command)
    for place, value in zip(PLACES, values, strict=True):
        # One after the other is safe: an address holds no braces.
        filled = [word.replace("{" + place + "}", value) for word in filled]
    return filled
