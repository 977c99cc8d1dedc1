"""keepers - who takes the clients of a worker that is away.

What      `Keepers` lends the sockets of workers that do not serve to those that do, and takes them back.
Why       The kernel deals clients to a socket while nobody accepts from it: those of a worker that cannot start would wait in its
          backlog for as long as that lasts.
Promises  Whoever serves alone has all clients; else nobody takes those of two while another one takes none.
"""

from __future__ import annotations

from collections.abc import Mapping

from tarry.sockets import Open
from tarry.workers.channel import Adopt, Channel, Release


class Keepers:
    """*sockets* are those of each worker, by its number."""

    def __init__(self, sockets: Mapping[int, tuple[Open, ...]]) -> None:
        self._sockets = sockets
        self._keeper: dict[int, int] = {}  # of a worker that is away -> who takes its clients

    def arrange(self, serving: Mapping[int, Channel]) -> None:
        """Go by who serves now; to be called for every worker that begins to serve or ends."""
        for away, keeper in list(self._keeper.items()):
            if keeper not in serving:
                del self._keeper[away]  # what was lent to it is gone with it
            elif away in serving:
                del self._keeper[away]
                serving[keeper].send(Release(away))
        for away in self._sockets:
            if serving and away not in serving and away not in self._keeper:
                self._lend(away, serving)

    def _lend(self, away: int, serving: Mapping[int, Channel]) -> None:
        busy = list(self._keeper.values())
        keeper = min(serving, key=busy.count)
        # Where there are fewer sockets than workers the keeper may listen there already.
        lent = [one for one in self._sockets[away] if one not in self._sockets[keeper]]
        if lent:
            self._keeper[away] = keeper
            serving[keeper].send(Adopt(away, tuple((one.has_tls, one.name) for one in lent)), [one.sock for one in lent])
