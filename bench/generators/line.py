"""line - clients that stop in the middle of a transaction, and stay.

Opens `clients` connections, 50 on their way at any time; every one reads the greeting, says EHLO, MAIL and
RCPT, waiting for each reply, and then nothing more. Prints `in line` when the last one has come so far, waits for a second
line on standard input, hangs up for all of them, and ends with an `Outcome`.
"""

import errno
import select
import socket
import sys
import time

import msgspec

from bench.generators import wire

_AT_ONCE = 50
_SAY = (b"EHLO client.example\r\n", b"MAIL FROM:<sender@client.example>\r\n", b"RCPT TO:<user@example.com>\r\n")


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What to do. `seconds` is how long it may take until all are in line."""

    port: int
    clients: int
    seconds: float


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What happened: how many came so far as to have a recipient accepted."""

    in_line: int


def queue_up(order: Order) -> list[socket.socket]:
    """Return the clients that are in line."""
    epoll = select.epoll()
    on_their_way: dict[int, tuple[socket.socket, int, bytes]] = {}
    in_line: list[socket.socket] = []
    opened, give_up = 0, time.monotonic() + order.seconds
    while time.monotonic() < give_up and (on_their_way or opened < order.clients):
        while opened < order.clients and len(on_their_way) < _AT_ONCE:
            client = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
            opened += 1
            if client.connect_ex(("127.0.0.1", order.port)) in (0, errno.EINPROGRESS):
                on_their_way[client.fileno()] = (client, 0, b"")
                epoll.register(client, select.EPOLLIN)
        for fileno, _ in epoll.poll(0.5):
            client, said, heard = on_their_way.pop(fileno)
            text = _receive(client)
            heard += text
            codes = wire.final_codes(heard)
            if not text or (codes and codes[0] >= 400):
                client.close()
            elif not codes:
                on_their_way[fileno] = (client, said, heard)
            elif said < len(_SAY):
                client.send(_SAY[said])
                on_their_way[fileno] = (client, said + 1, b"")
            else:
                epoll.unregister(client)
                in_line.append(client)
    return in_line


def _receive(client: socket.socket) -> bytes:
    """Return what is there, or nothing at the end of the stream."""
    try:
        return client.recv(4096)
    except (ConnectionResetError, ConnectionRefusedError):  # the end all the same
        return b""


def main() -> None:
    """Carry out the order."""
    order = wire.read_order(Order)
    wire.ready()
    in_line = queue_up(order)
    wire.mark("in line")
    sys.stdin.readline()
    wire.finish(Outcome(in_line=len(in_line)))


if __name__ == "__main__":
    main()
