"""early - a flood of blind senders: each writes a whole session at once, then reads what it is told.

A closed loop: `open_at_once` clients are under way at any time, and each that ends is followed by the next, until
`clients` ended or `seconds` passed. The session is 66 lines, about 4 KB, as a bulk sender that never reads writes it.

Counted  exactly once for each client: refused (one whole reply, 4xx or 5xx), answered (one whole reply, 2xx or 3xx),
         several (more than one reply), lost (reset before a whole reply: the server's own close destroyed it), silent
         (closed in order without a whole reply), unanswered (nothing whole within `patience`), failed (no connection).
         Besides: taken (the server asked for the message with 354), kept (replied, but did not close).
Speed    one process does more than 25,000 a second on a core of its own; hence the plain C socket class, one function,
         local names, and verdicts remembered by the text they were given for.
"""

import _socket
import errno
import select
import time

import msgspec

from bench.generators import wire


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What to do. Times in seconds."""

    port: int
    clients: int
    open_at_once: int
    seconds: float
    patience: float
    first_address: int


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What happened. `began` and `ended` are on the system's monotonic clock, the same in all processes."""

    began: float
    ended: float
    refused: int
    answered: int
    several: int
    lost: int
    silent: int
    unanswered: int
    failed: int
    taken: int
    kept: int
    reply_times: list[float]


def blind_session() -> bytes:
    """Return the session that is written at once: 66 lines, about 4 KB."""
    lines = [
        "EHLO blaster.example",
        "MAIL FROM:<sender@blaster.example>",
        "RCPT TO:<user@example.com>",
        "DATA",
        "From: Sender <sender@blaster.example>",
        "To: user@example.com",
        "Subject: " + "offer " * 9,
        "",
        *(f"Line {number:02} " + "x" * 64 for number in range(56)),
        ".",
        "QUIT",
    ]
    return "".join(line + "\r\n" for line in lines).encode()


def flood(order: Order) -> Outcome:
    """Run the closed loop. Long and flat on purpose: a call costs a twentieth of a client here."""
    session, target = blind_session(), ("127.0.0.1", order.port)
    addresses = [wire.source_address(order.first_address + number) for number in range(order.clients)]
    epoll = select.epoll(order.open_at_once + 1)
    register, poll, clock, new = epoll.register, epoll.poll, time.monotonic, _socket.socket
    inward, outward = select.EPOLLIN | select.EPOLLRDHUP, select.EPOLLIN | select.EPOLLRDHUP | select.EPOLLOUT
    ending = select.EPOLLRDHUP | select.EPOLLHUP | select.EPOLLERR
    kind = _socket.SOCK_STREAM | _socket.SOCK_NONBLOCK
    clients: dict[int, tuple[_socket.socket, float]] = {}
    heard: dict[int, bytes] = {}
    replied: set[int] = set()
    counts = dict.fromkeys(("refused", "answered", "several", "lost", "silent", "unanswered", "failed", "taken", "kept"), 0)
    verdicts: dict[bytes, tuple[str, bool]] = {}
    reply_times: list[float] = []
    opened = 0

    def end(fileno: int, cut: str) -> None:
        """Close one client and count it; *cut* is what it counts as when it has no whole reply."""
        clients.pop(fileno)[0].close()
        replied.discard(fileno)
        text = heard.pop(fileno, b"")
        verdict = verdicts.get(text)
        if verdict is None:
            verdict = _verdict(text)
            if len(verdicts) < 1000:
                verdicts[text] = verdict
        counts[verdict[0] or cut] += 1
        counts["taken"] += verdict[1]

    began = sweep_at = clock()
    stop_opening = began + order.seconds
    while True:
        now = clock()
        if now > stop_opening:
            opened = order.clients
        while opened < order.clients and len(clients) < order.open_at_once:
            client = new(_socket.AF_INET, kind)
            client.setsockopt(_socket.IPPROTO_IP, wire.IP_BIND_ADDRESS_NO_PORT, 1)
            client.bind((addresses[opened], 0))
            opened += 1
            now = clock()
            if client.connect_ex(target) not in (0, errno.EINPROGRESS):
                client.close()
                counts["failed"] += 1
                continue
            fileno = client.fileno()
            clients[fileno] = (client, now)
            try:
                # Over loopback the handshake is done by now. 4 KB always fit into an empty send buffer.
                client.send(session)
                register(fileno, inward)
            except BlockingIOError:  # the SYN was dropped (listen backlog full): wait until it got through
                register(fileno, outward)
            except (ConnectionResetError, BrokenPipeError):  # closed before we wrote: read what it said
                register(fileno, inward)
            except ConnectionRefusedError:  # nobody listens any more
                end(fileno, "failed")
        if not clients:
            break
        for fileno, what in poll(0.5):
            client, started = clients[fileno]
            if what & select.EPOLLOUT:
                try:
                    client.send(session)
                except OSError:  # connect failed, or closed before we wrote: the read below tells
                    pass
                epoll.modify(fileno, inward)
            try:
                while text := client.recv(4096):
                    text = heard[fileno] = heard[fileno] + text if fileno in heard else text
                    if fileno not in replied and text[-1] == 10 and wire.final_codes(text):
                        replied.add(fileno)
                        reply_times.append(clock() - started)
                    if not what & ending:
                        break
                else:
                    end(fileno, "silent")
            except BlockingIOError:
                continue
            except ConnectionResetError:
                end(fileno, "lost")
            except ConnectionRefusedError:
                end(fileno, "failed")
        if now > sweep_at:
            sweep_at = now + 0.5
            for fileno in [fileno for fileno, (_, started) in clients.items() if now - started > order.patience]:
                counts["kept"] += fileno in replied
                end(fileno, "unanswered")
    return Outcome(began=began, ended=clock(), reply_times=reply_times, **counts)


def _verdict(text: bytes) -> tuple[str, bool]:
    """Return what a client with *text* counts as ("" without a whole reply), and whether its message was asked for."""
    codes = wire.final_codes(text)
    if not codes:
        return "", False
    name = "several" if len(codes) > 1 else "refused" if codes[0] >= 400 else "answered"
    return name, 354 in codes


def main() -> None:
    """Carry out the order."""
    order = wire.read_order(Order)
    wire.ready()
    wire.finish(flood(order))


if __name__ == "__main__":
    main()
