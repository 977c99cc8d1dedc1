"""limbo - a connection to the MTA of which the MTA's kernel knows nothing.

What      `watch` makes our kernel ask the other one after each second of silence, until the MTA has greeted, whether the
          connection stands; `is_lost` says of one that broke that it never stood, so that it is opened again.
Why       An accept queue that is full drops the last packet of a handshake. This end has a connection then and waits for a
          greeting; the other end has forgotten it, and nobody ever says anything: of 60 connections at one moment to a listener
          with a queue of 10 that went so with 38 (Linux 6.18), and their clients had 421 after limits.backend. Keepalive
          tells it from an MTA that is slow to greet: whose kernel knows the connection answers for it, the other one resets it.
Promises  At most TRIES connections are opened for a command, and a client's time, limits.backend, runs anew with each. An MTA
          that greets late, hangs up, or resets a client at once is not asked again.
Source    tcp(7), TCP_KEEPIDLE; listen(2) on a full queue.
"""

from __future__ import annotations

import asyncio
import socket

ASK = 1
"""Seconds of silence before the MTA's kernel is asked."""
TRIES = 4


def watch(transport: asyncio.BaseTransport) -> None:
    """Have our kernel ask for as long as the MTA says nothing."""
    sock = _tcp_socket(transport)
    if sock is not None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, ASK)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)


def unwatch(transport: asyncio.BaseTransport) -> None:
    """The MTA has greeted: a session may be silent for minutes, and nobody asks."""
    sock = _tcp_socket(transport)
    if sock is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 0)


def is_lost(fault: Exception | None, age: float, tries: int) -> bool:
    """Say whether a connection that broke before the MTA's first byte, *age* seconds after it was begun, is to be opened again."""
    return isinstance(fault, ConnectionResetError) and age >= ASK and tries < TRIES


def _tcp_socket(transport: asyncio.BaseTransport) -> socket.socket | None:
    sock: socket.socket | None = transport.get_extra_info("socket")
    return None if sock is None or sock.family == socket.AF_UNIX else sock
