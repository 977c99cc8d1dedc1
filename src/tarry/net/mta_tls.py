"""mta_tls - TLS on the connection to the MTA, with tarry as its client.

What      Makes the context once for each configuration (`make_context`), and does the handshake on a connection on which the
          MTA has said 220 to STARTTLS (`secure`).
Promises  With *verify* the certificate must be valid now, come from a CA that this machine trusts, and name the host of
          handoff.address. Without it TLS keeps listeners out and proves nothing about who the MTA is: for the operator's own
          network. A handshake ends within its limit, and how it ended is a `Tls` record, never an exception.
Facts     The loops drop what was read before the handshake, so a peer that speaks in the clear behind its 220 must be noticed
          before (core/upstream), or breaks the handshake. SSL_CERT_FILE and SSL_CERT_DIR name other CAs than the machine's.
Source    RFC 3207 §4 and §6; RFC 7435 (opportunistic security).
"""

from __future__ import annotations

import asyncio
import ssl
import time
from dataclasses import dataclass

from tarry.net.tls import VERSIONS, said
from tarry.record import schema

GOODBYE = 2.0
"""Seconds for the MTA to answer our close_notify: the session is over by then, and only the socket waits."""
CLOSED = "the connection was closed"


@dataclass(frozen=True, slots=True)
class MtaTls:
    """How TLS is spoken to the MTA. ``name`` is what it is asked for and verified as, "" for none; ``limit`` is in seconds."""

    context: ssl.SSLContext
    name: str
    limit: float


def make_context(*, verify: bool, minimum: str = "1.2") -> ssl.SSLContext:
    """Return a context for the client's end of TLS."""
    context = ssl.create_default_context()
    context.minimum_version = VERSIONS[minimum]
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


async def secure(
    terms: MtaTls, transport: asyncio.Transport, protocol: asyncio.Protocol
) -> tuple[asyncio.Transport | None, schema.Tls]:
    """Do the handshake, and return the transport inside TLS (None where it failed) with the record to write.

    *protocol* hears of what comes inside TLS. Where the handshake fails the caller closes *transport*. That the connection is lost
    meanwhile is told by the result; uvloop tells *protocol* as well, asyncio does not.
    """
    loop = asyncio.get_running_loop()
    begun = time.monotonic()  # uvloop's own clock has milliseconds
    inside: asyncio.Transport | None = None
    why = CLOSED
    if not transport.is_closing():
        try:
            inside = await loop.start_tls(
                transport,
                protocol,
                terms.context,
                server_hostname=terms.name or None,
                ssl_handshake_timeout=terms.limit,
                ssl_shutdown_timeout=GOODBYE,
            )
        except (OSError, ValueError) as fault:
            # ssl.SSLError; ECONNRESET; a timeout, which is ConnectionAbortedError here; ValueError for what is no host name.
            why = _why(fault)
    ms = round((time.monotonic() - begun) * 1000, 3)
    # A connection that was aborted in the handshake is no transport to asyncio, and to uvloop one without TLS.
    session: ssl.SSLObject | None = inside.get_extra_info("ssl_object") if inside is not None else None
    if inside is None or session is None or inside.is_closing():
        return None, schema.Tls("mta", False, ms=ms, why=why)
    cipher = session.cipher()
    return inside, schema.Tls("mta", True, session.version() or "", cipher[0] if cipher else "", ms=ms)


def _why(fault: Exception) -> str:
    if isinstance(fault, ssl.SSLCertVerificationError):
        return f"its certificate: {fault.verify_message}"
    if isinstance(fault, ConnectionAbortedError | TimeoutError):
        return "no handshake in time"
    if isinstance(fault, ssl.SSLError):
        return said(fault.reason or str(fault))
    return CLOSED if isinstance(fault, ConnectionError) else str(fault)
