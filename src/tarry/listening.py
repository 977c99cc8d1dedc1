"""listening - wiring: the sockets on which a process listens: its own, and those of other workers that are away.

Promises  Those that come when it has ceased to listen are closed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from itertools import chain

from tarry.core.client import Endpoint
from tarry.net.listener import Listener
from tarry.sockets import Open

ITSELF = 0
"""In place of the number of another worker."""


class Listening:
    """All listeners of a process. ``on_stress`` hears that it has no descriptors, and that it has them again."""

    def __init__(self, on_stress: Callable[[bool, str], None]) -> None:
        self._on_stress = on_stress
        self._listeners: dict[int, list[tuple[Listener, Open]]] = {}
        self._has_ceased = False

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        """The addresses of its own sockets."""
        return tuple(listener.endpoint for listener, _ in self._listeners.get(ITSELF, ()))

    def begin(self, sockets: Sequence[Open], take: Callable[..., None], worker: int = ITSELF) -> None:
        """Have the clients of these sockets taken, for itself or for another worker. *take* is that of net/front."""
        if self._has_ceased:
            for one in sockets:
                one.sock.close()
            return
        loop = asyncio.get_running_loop()
        begun = (
            (Listener(loop, one.sock, on_client=partial(take, has_tls=one.has_tls), on_stress=self._on_stress), one)
            for one in sockets
        )
        self._listeners.setdefault(worker, []).extend(begun)

    def leave(self, worker: int) -> None:
        """That worker serves again: who is in its backlog is its own."""
        for listener, _ in self._listeners.pop(worker, ()):
            listener.close()

    def cease(self, *, takes_rest: bool = False) -> None:
        """Listen no more. *takes_rest*: who waits in a backlog is taken; a supervisor's socket keeps its own for the next start."""
        self._has_ceased = True
        for listener, one in chain.from_iterable(self._listeners.values()):
            listener.close(takes_rest=takes_rest and not one.name)
        self._listeners.clear()
