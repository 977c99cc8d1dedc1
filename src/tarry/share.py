"""share - wiring: what one of several processes has of the work that they share.

What      The value that a worker's `Server` is made with. The process that keeps the workers (workers/supervisor) makes one for
          each.
Promises  Sockets and census outlive the worker: its keeper has them too, and gives them to the one that takes its place.
"""

from __future__ import annotations

from dataclasses import dataclass

from tarry.config.schema import Config
from tarry.sockets import Open


@dataclass(frozen=True, slots=True)
class Share:
    """What worker number ``worker`` has; the first one is number 1."""

    worker: int
    sockets: tuple[Open, ...]
    """Where it listens. The worker closes them."""
    incarnation: int = 1
    """Which process of all that were ever begun for this front door it is: no two have the same, and session ids carry it."""
    census: int | None = None
    """The descriptor of the memory in which all workers count their clients; None where nobody counts."""
    takes_over: bool = False
    """Somebody else has the sockets too, and serves until all workers do."""
    control: str = ""
    """The path of its own control socket, "" for none."""
    begun_with: Config | None = None
    """The configuration at the start of all, by which things are opened that stay until a restart; None for the worker's own."""
