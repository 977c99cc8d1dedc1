"""hold - many silent clients at once: how late is each greeting?

Opens `clients` connections, paced at `rate` a second, each from its own address, and stays silent. Prints `held` when
the last one is open, and ends with an `Outcome`.

Ending   `hangup`: each client leaves `leave_before` seconds before its greeting is due; this is the hold alone, without
         whatever stands behind it. `quit`: each reads the greeting, sends QUIT, reads until the server closes.
Lateness (first byte of the final `220 ` line seen) - (connect called) - wait. Negative is early. A 220- teaser is no
         greeting. It contains this generator's own delay, tens of microseconds on an idle core.
"""

import errno
import select
import socket
import time
from collections import deque
from typing import Literal

import msgspec

from bench.generators import wire

_BATCH = 64  # connections opened between two looks at the sockets, when the pace fell behind


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What to do. Times in seconds."""

    port: int
    clients: int
    rate: float
    wait: float
    ending: Literal["hangup", "quit"]
    leave_before: float
    patience: float
    first_address: int


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What happened. Every client is in exactly one of greeted, left, refused, unanswered, failed."""

    opened_in: float
    greeted: int
    left: int
    refused: int
    unanswered: int
    failed: int
    lateness: wire.Times


class _Crowd:
    """The clients of one run."""

    def __init__(self, order: Order) -> None:
        self.order = order
        self.target = ("127.0.0.1", order.port)
        self.epoll = select.epoll(order.clients + 1)
        self.waiting: dict[int, tuple[socket.socket, float]] = {}
        self.heard: dict[int, bytes] = {}
        self.quitting: dict[int, socket.socket] = {}
        self.leaving: deque[tuple[float, int, socket.socket]] = deque()
        self.lateness: list[float] = []
        self.left = self.refused = self.failed = 0

    def open(self, number: int) -> None:
        """Connect one client; connect is called last, and the clock read just before it."""
        client = wire.new_client(wire.source_address(self.order.first_address + number))
        now = time.monotonic()
        if client.connect_ex(self.target) not in (0, errno.EINPROGRESS):
            client.close()
            self.failed += 1
            return
        self.waiting[client.fileno()] = (client, now)
        self.epoll.register(client, select.EPOLLIN)
        if self.order.ending == "hangup":
            self.leaving.append((now + self.order.wait - self.order.leave_before, client.fileno(), client))

    def leave(self, now: float) -> None:
        """Hang up for those whose time has come."""
        while self.leaving and self.leaving[0][0] <= now:
            _, fileno, client = self.leaving.popleft()
            held = self.waiting.get(fileno)
            if held is not None and held[0] is client:
                del self.waiting[fileno]
                client.close()
                self.left += 1

    def read(self, fileno: int, now: float) -> None:
        """Take what one client got."""
        if fileno in self.quitting:
            if not _receive(self.quitting[fileno]):
                self.quitting.pop(fileno).close()
            return
        client, connected_at = self.waiting[fileno]
        text = _receive(client)
        heard = self.heard.pop(fileno, b"") + text
        if text and not (codes := wire.final_codes(heard)):
            self.heard[fileno] = heard
            return
        del self.waiting[fileno]
        if text and codes[0] == 220:
            self.lateness.append(now - connected_at - self.order.wait)
            if self.order.ending == "quit" and _say_quit(client):
                self.quitting[fileno] = client
                return
        else:
            self.refused += 1
        client.close()

    def run(self) -> Outcome:
        """Open, hold and end all clients; never longer than the pace, the wait and the patience together."""
        order, opened, opened_in = self.order, 0, 0.0
        start = time.monotonic()
        give_up = start + order.clients / order.rate + order.wait + order.patience
        while (now := time.monotonic()) < give_up:
            due = min(order.clients, int((now - start) * order.rate) + 1)
            for number in range(opened, min(due, opened + _BATCH)):
                self.open(number)
                opened = number + 1
                if opened == order.clients:
                    opened_in = time.monotonic() - start
                    wire.mark("held")
            self.leave(now)
            if opened == order.clients and not self.waiting and not self.quitting:
                break
            events = self.epoll.poll(self._pause(now, start, opened))
            now = time.monotonic()
            for fileno, _ in events:
                self.read(fileno, now)
        return Outcome(
            opened_in=round(opened_in, 3),
            greeted=len(self.lateness),
            left=self.left,
            refused=self.refused,
            unanswered=len(self.waiting),
            failed=self.failed,
            lateness=wire.times(self.lateness),
        )

    def _pause(self, now: float, start: float, opened: int) -> float:
        """Return how long epoll may sleep: until the next client must come or go."""
        pause = 0.5
        if opened < self.order.clients:
            pause = min(pause, start + opened / self.order.rate - now)
        if self.leaving:
            pause = min(pause, self.leaving[0][0] - now)
        return max(0.0, pause)


def _receive(client: socket.socket) -> bytes:
    """Return what is there, or nothing at the end of the stream."""
    try:
        return client.recv(4096)
    except ConnectionResetError:  # the server closed with unread input, or died: the end all the same
        return b""


def _say_quit(client: socket.socket) -> bool:
    """Send QUIT; False when the server is gone already."""
    try:
        client.send(b"QUIT\r\n")
    except (BrokenPipeError, ConnectionResetError):
        return False
    return True


def main() -> None:
    """Carry out the order."""
    order = wire.read_order(Order)
    wire.ready()
    wire.finish(_Crowd(order).run())


if __name__ == "__main__":
    main()
