"""ucspi - how a command that serves one client learns who the client is.

What      `environment` adds the UCSPI variables to an environment; `fill` puts the client into the words of a command; `told` reads
          the client out of an environment, for a front door that is such a command itself.
Promises  Pure. What tells of another client (a front door that was itself started by tcpserver) is never passed on. What the
          same client's own tcpserver has said (TCPREMOTEHOST, RELAYCLIENT, a PROTO of SSL) stays.
Source    UCSPI-1996 (D. J. Bernstein); tcp-environ(5): TCPREMOTEIP, TCPREMOTEPORT, TCPLOCALIP, TCPLOCALPORT, PROTO;
          systemd.socket(5): REMOTE_ADDR, REMOTE_PORT.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tarry.config.problems import COMMAND_PLACES
from tarry.core.client import Client, Endpoint, normal, parse

PLACES = COMMAND_PLACES
"""What is replaced in the words of a command, when it stands in braces."""

_OTHERS = ("TCPREMOTEHOST", "TCPREMOTEINFO", "TCPLOCALHOST")
"""What a UCSPI server says besides, and what is wrong for another client."""


def environment(client: Client, base: Mapping[str, str]) -> dict[str, str]:
    """Return *base* with the UCSPI variables of *client*. What is unknown (a host "", a port 0) is left out."""
    told = {
        "TCPREMOTEIP": client.endpoint.host,
        "TCPREMOTEPORT": str(client.endpoint.port or ""),
        "TCPLOCALIP": client.server.host,
        "TCPLOCALPORT": str(client.server.port or ""),
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


def told(environ: Mapping[str, str]) -> Client | None:
    """Return the client that UCSPI variables or systemd's name; None where there is no address among them."""
    for host, port in (("TCPREMOTEIP", "TCPREMOTEPORT"), ("REMOTE_ADDR", "REMOTE_PORT")):
        address = normal(environ.get(host, ""))
        if parse(address) is not None:
            local = normal(environ.get("TCPLOCALIP", ""))
            server = Endpoint(local, _port(environ.get("TCPLOCALPORT", ""))) if parse(local) is not None else Endpoint("", 0)
            return Client(Endpoint(address, _port(environ.get(port, ""))), server)
    return None


def _port(text: str) -> int:
    """Return a port, 0 for what is none."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 5 and int(text) <= 65535 else 0
