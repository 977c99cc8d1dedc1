"""handoffs - wiring: the MTA that a configuration names, how clients get there, and the TLS that ends here before.

Promises  Nothing is connected here.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path
from ssl import SSLContext

from tarry.config.places import UnixSocket
from tarry.config.schema import Config
from tarry.net.backend import Backend, Connector, TcpConnector, UnixConnector
from tarry.net.children import Children, CommandConnector, RunFor
from tarry.net.maildir import MaildirConnector, prepare
from tarry.net.mta_tls import MtaTls, make_context
from tarry.net.passing import PassConnector, PassTo
from tarry.net.tls import server_context


def given_away_to(config: Config) -> PassTo | RunFor | None:
    """Return to whom clients are given at the greeting; None where tarry stays in line."""
    handoff = config.handoff
    if handoff.mode == "pass":
        return PassTo(handoff.socket, handoff.max_waiting, config.limits.backend)
    if handoff.mode == "exec" and handoff.stdio == "socket":
        return RunFor(handoff.command, handoff.max_children)
    return None


def tls_of(config: Config) -> SSLContext | None:
    """Return what TLS with clients needs; None where none ends here. Raises OSError where the certificate cannot be used."""
    if config.tls.mode != "terminate" and not config.listen.smtps:
        return None
    return server_context(config.tls.certificate, config.tls.key, config.tls.minimum)


def make_backend(config: Config, *, on_health: Callable[[bool, str], None], children: Children | None = None) -> Backend:
    """Return the MTA that a configuration names. Raises OSError where the Maildir cannot be made."""
    host_name = socket.gethostname() or "localhost"
    connector: Connector
    tls: MtaTls | None = None
    announce: str = config.handoff.announce
    if config.handoff.mode == "maildir":
        path = Path(config.handoff.maildir)
        prepare(path)
        connector = MaildirConnector(path, config.smtp.name or host_name)
        announce = "proxy-v2"  # the embedded MTA learns the client's address as any other would
    elif config.handoff.mode == "pass":
        connector = PassConnector(config.handoff.socket, config.limits.backend)
    elif config.handoff.mode == "exec":
        connector = CommandConnector(RunFor(config.handoff.command, config.handoff.max_children), children or Children())
    elif isinstance(config.handoff.address, UnixSocket) and announce == "pass":
        connector = PassConnector(config.handoff.address.path, config.limits.backend)
    elif isinstance(config.handoff.address, UnixSocket):
        connector = UnixConnector(config.handoff.address.path)
    else:
        connector = TcpConnector(config.handoff.address.host, config.handoff.address.port)
    if config.handoff.mode == "proxy" and config.tls.to_mta != "plain":
        name = "" if isinstance(config.handoff.address, UnixSocket) else config.handoff.address.host
        context = make_context(verify=config.tls.to_mta == "verify", minimum=config.tls.minimum)
        tls = MtaTls(context, name, config.limits.handshake)
    return Backend(
        connector,
        mode=config.handoff.mode,
        announce=announce,
        own_name=config.smtp.name,
        host_name=host_name,
        without=frozenset({"STARTTLS"} if config.tls.mode == "off" else ()),
        timeout=config.limits.backend,
        on_health=on_health,
        tls=tls,
    )
