"""residual - clients that say MAIL and RCPT, and are kept waiting for the reply to that.

Opens `clients` connections, `rate` a second, an address each; every one reads the greeting, says EHLO, MAIL and RCPT. Prints
`in line` when the last one has said RCPT, or has failed, and from then on waits for a word on standard input, at which all that
still wait hang up. One that is answered says QUIT and is closed. Ends with an `Outcome`.
"""

import errno
import select
import socket
import sys
import time

import msgspec

from bench.generators import wire

_SAY = (b"EHLO client.example\r\n", b"MAIL FROM:<sender@client.example>\r\n", b"RCPT TO:<user@example.com>\r\n")
_ANSWERED = len(_SAY) + 1


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What to do. `seconds` is how long it may take until all are in line."""

    port: int
    clients: int
    rate: float
    seconds: float
    first_address: int


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What happened. `in_line` clients said RCPT; `answered` of them have had a 250 to it, `refused` something else, each time
    `waited` counts from the connect. `left` still waited when they were told to go."""

    in_line: int
    answered: int
    refused: int
    left: int
    waited: wire.Times


class _Client:
    """One of them: where it is in its script."""

    __slots__ = ("heard", "since", "socket", "step")

    def __init__(self, client: socket.socket) -> None:
        self.socket = client
        self.since = time.monotonic()
        self.step = 0
        self.heard = b""


class _Crowd:
    """All of them."""

    def __init__(self, order: Order) -> None:
        self.order = order
        self.epoll = select.epoll()
        self.clients: dict[int, _Client] = {}
        self.on_their_way = self.opened = self.in_line = self.refused = 0
        self.waited: list[float] = []

    def open(self) -> None:
        client = wire.new_client(wire.source_address(self.order.first_address + self.opened))
        self.opened += 1
        one = _Client(client)
        if client.connect_ex(("127.0.0.1", self.order.port)) in (0, errno.EINPROGRESS):
            self.clients[client.fileno()] = one
            self.on_their_way += 1
            self.epoll.register(client, select.EPOLLIN)

    def read(self, fileno: int) -> None:
        """Take what one client got, and say the next thing."""
        client = self.clients[fileno]
        try:
            text = client.socket.recv(4096)
        except (ConnectionResetError, ConnectionRefusedError):  # the end all the same
            text = b""
        client.heard += text
        codes = wire.final_codes(client.heard)
        if text and not codes:
            return
        self.on_their_way -= client.step < len(_SAY)
        if client.step == len(_SAY):
            is_taken = bool(codes) and codes[0] == 250
            self.refused += not is_taken
            if is_taken:
                self.waited.append(time.monotonic() - client.since)
        if not text or codes[0] >= 400 or client.step >= _ANSWERED:
            self.clients.pop(fileno).socket.close()
            return
        client.socket.send(_SAY[client.step] if client.step < len(_SAY) else b"QUIT\r\n")
        client.step += 1
        client.heard = b""
        self.on_their_way += client.step < len(_SAY)
        self.in_line += client.step == len(_SAY)

    def come(self) -> None:
        """Bring all in line."""
        start = time.monotonic()
        while (now := time.monotonic()) < start + self.order.seconds:
            due = min(self.order.clients, int((now - start) * self.order.rate) + 1)
            while self.opened < due:
                self.open()
            if self.opened == self.order.clients and not self.on_their_way:
                return
            for fileno, _ in self.epoll.poll(0.002 if self.opened < self.order.clients else 0.2):
                self.read(fileno)

    def stay(self) -> Outcome:
        """Wait, until the bench says that it is enough."""
        self.epoll.register(sys.stdin, select.EPOLLIN)
        is_over = False
        while not is_over:
            for fileno, _ in self.epoll.poll():
                if fileno == sys.stdin.fileno():
                    is_over = True
                else:
                    self.read(fileno)
        left = sum(client.step == len(_SAY) for client in self.clients.values())
        for client in self.clients.values():
            client.socket.close()
        return Outcome(
            in_line=self.in_line, answered=len(self.waited), refused=self.refused, left=left, waited=wire.times(self.waited)
        )


def main() -> None:
    """Carry out the order."""
    crowd = _Crowd(wire.read_order(Order))
    wire.ready()
    crowd.come()
    wire.mark("in line")
    wire.finish(crowd.stay())


if __name__ == "__main__":
    main()
