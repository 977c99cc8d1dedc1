"""mail - polite senders: every client waits for every reply.

A closed loop of `open_at_once` connections, each carrying `per_connection` messages, until `messages` were sent. The
time of a message runs from connect, or from the reply to the one before it, to the 250 after its final dot; the last of
a connection runs on to the reply to QUIT, so that all times of a connection add up to its life.
"""

import errno
import select
import socket
import time

import msgspec

from bench.generators import wire


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What to do. `size` is the message with its header and without the final dot, in bytes; times in seconds.

    `rate` is how many connections are opened a second, 0 for as many as `open_at_once` lets.
    """

    port: int
    messages: int
    size: int
    open_at_once: int
    per_connection: int
    seconds: float
    patience: float
    rate: float = 0.0


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What happened; `complaint` is the first unexpected reply."""

    seconds: float
    sent: int
    failed: int
    message_times: wire.Times
    complaint: str


class _Sender:
    """One connection: where it is in its script."""

    __slots__ = ("full", "heard", "left", "since", "socket", "started", "step")

    def __init__(self, client: socket.socket, now: float) -> None:
        self.socket = client
        self.started = self.since = now
        self.step = 0
        self.heard = b""
        self.full = False
        self.left = memoryview(b"")


def message(size: int) -> bytes:
    """Return a message of *size* bytes in lines of 72, with the final dot after it."""
    head = b"From: <sender@client.example>\r\nTo: <user@example.com>\r\nSubject: bench\r\n\r\n"
    line = b"x" * 70 + b"\r\n"
    body = line * (max(0, size - len(head)) // len(line) + 1)
    return head + body[: max(2, size - len(head)) - 2] + b"\r\n.\r\n"


def script(size: int, per_connection: int) -> list[tuple[bytes, bytes, bool]]:
    """Return the steps of a connection: (first digits that must come, what to say then, whether a message just ended)."""
    one = [
        (b"250", b"MAIL FROM:<sender@client.example>\r\n", False),
        (b"250", b"RCPT TO:<user@example.com>\r\n", False),
        (b"250", b"DATA\r\n", False),
        (b"354", message(size), False),
    ]
    steps = [(b"220", b"EHLO client.example\r\n", False), *one]
    for _ in range(per_connection - 1):
        steps += [(b"250", one[0][1], True), *one[1:]]
    return [*steps, (b"250", b"QUIT\r\n", False), (b"221", b"", True)]


class _Crowd:
    """All connections of one run."""

    def __init__(self, order: Order) -> None:
        self.order = order
        self.target = ("127.0.0.1", order.port)
        self.steps = script(order.size, order.per_connection)
        self.epoll = select.epoll()
        self.senders: dict[int, _Sender] = {}
        self.times: list[float] = []
        self.failed = 0
        self.complaint = ""

    def open(self) -> None:
        """Connect one sender. All come from one address, as one well-known relay would."""
        client = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sender = _Sender(client, time.monotonic())
        error = client.connect_ex(self.target)
        if error not in (0, errno.EINPROGRESS):
            client.close()
            self.fail(f"connect: {errno.errorcode[error]}")
            return
        self.senders[client.fileno()] = sender
        self.epoll.register(client, select.EPOLLIN)

    def fail(self, why: str) -> None:
        """Count one failed connection."""
        self.failed += 1
        self.complaint = self.complaint or why

    def close(self, fileno: int, why: str = "") -> None:
        """End one connection, as a failure when there is a reason."""
        self.senders.pop(fileno).socket.close()
        if why:
            self.fail(why)

    def read(self, fileno: int) -> None:
        """Take a reply and say the next thing."""
        sender = self.senders[fileno]
        try:
            text = sender.socket.recv(8192)
        except BlockingIOError:
            return None
        except OSError as error:  # reset or refused: this connection failed
            return self.close(fileno, f"step {sender.step}: {error}")
        heard = sender.heard = sender.heard + text
        if not text:
            return self.close(fileno, f"closed at step {sender.step} after {heard!r}")
        last = heard.rfind(b"\n", 0, -1) + 1
        if heard[-1] != 10 or heard[last + 3 : last + 4] == b"-":
            return None
        expected, say, ended = self.steps[sender.step]
        if not heard.startswith(expected):
            return self.close(fileno, f"wanted {expected.decode()} at step {sender.step}, got {heard[:200]!r}")
        sender.heard = b""
        sender.step += 1
        if ended:
            now = time.monotonic()
            self.times.append(now - sender.since)
            sender.since = now
        if not say:
            return self.close(fileno)
        sender.left = memoryview(say)
        return self.write(fileno)

    def write(self, fileno: int) -> None:
        """Send what is left; ask for EPOLLOUT only while the send buffer is full."""
        sender = self.senders[fileno]
        try:
            sender.left = sender.left[sender.socket.send(sender.left) :]
        except BlockingIOError:
            pass
        except OSError as error:  # reset while we sent: this connection failed
            return self.close(fileno, f"send at step {sender.step}: {error}")
        if bool(sender.left) != sender.full:
            sender.full = not sender.full
            self.epoll.modify(fileno, select.EPOLLIN | (select.EPOLLOUT if sender.full else 0))
        return None

    def run(self) -> Outcome:
        """Run the closed loop; never longer than `seconds` plus the patience."""
        order, opened = self.order, 0
        connections = -(-order.messages // order.per_connection)
        start = now = time.monotonic()
        while now < start + order.seconds + order.patience:
            if now > start + order.seconds:
                connections = opened
            due = min(connections, int((now - start) * order.rate) + 1) if order.rate else connections
            while opened < due and len(self.senders) < order.open_at_once:
                self.open()
                opened += 1
            if not self.senders and opened >= connections:
                break
            until_next = start + opened / order.rate - now if order.rate and opened < connections else 0.5
            for fileno, what in self.epoll.poll(min(0.5, max(0.0, until_next))):
                if what & select.EPOLLOUT:
                    self.write(fileno)
                if what & ~select.EPOLLOUT and fileno in self.senders:
                    self.read(fileno)
            now = time.monotonic()
        for fileno in list(self.senders):
            self.close(fileno, "no reply in time")
        return Outcome(
            seconds=time.monotonic() - start,
            sent=len(self.times),
            failed=self.failed,
            message_times=wire.times(self.times),
            complaint=self.complaint,
        )


def main() -> None:
    """Carry out the order."""
    order = wire.read_order(Order)
    wire.ready()
    wire.finish(_Crowd(order).run())


if __name__ == "__main__":
    main()
