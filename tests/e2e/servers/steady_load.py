"""steady_load - senders that go on sending while something is done to the server, and keep account of what became of it.

What     `Load(port)` is a context manager: some threads send one message after the other, each over a connection of its own.
         At its end `acknowledged` are the tokens of the messages that were answered 250, and `refused`, `unheard`, `cut`, `broken`
         and `sent_away` the connections that went otherwise.
Promise  A message is in `acknowledged` only when its 250 was read. No sender waits longer than TIMEOUT for a reply.
"""

import socket
import threading
import time
from contextlib import suppress
from types import TracebackType
from typing import Self

TIMEOUT = 20.0


class Load:
    """*senders* threads that send to *port* until the end of the block; *pause* is between two messages of one sender.

    `refused` are faults of connect(2), and connections that were reset before anybody accepted them; `unheard` those that waited
    for a word in vain. `cut` ended before a greeting, `broken` in mid-session, both without a word: ports of clients. `sent_away`
    heard a 4xx.
    """

    def __init__(self, port: int, *, senders: int = 8, pause: float = 0.005) -> None:
        self.acknowledged: list[str] = []
        self.refused: list[str] = []
        self.unheard: list[str] = []
        self.cut: list[int] = []
        self.broken: list[int] = []
        self.sent_away: list[bytes] = []
        self._port = port
        self._pause = pause
        self._is_over = threading.Event()
        self._threads = [threading.Thread(target=self._send_on, args=(number,)) for number in range(senders)]

    def __enter__(self) -> Self:
        self._began = f"{time.time_ns():x}"
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    def stop(self) -> None:
        """Let each sender finish its message, and wait for that."""
        self._is_over.set()
        for thread in self._threads:
            thread.join(3 * TIMEOUT)

    def wait(self, more: int, patience: float = 20.0) -> None:
        """Return when *more* messages have been acknowledged since the call."""
        until, goal = time.monotonic() + patience, len(self.acknowledged) + more
        while len(self.acknowledged) < goal:
            assert time.monotonic() < until, (len(self.acknowledged), goal, self.refused[:3], self.unheard[:3], self.sent_away[:3])
            time.sleep(0.01)

    def _send_on(self, number: int) -> None:
        count = 0
        while not self._is_over.is_set():
            count += 1
            self._send_one(f"{self._began}-{number}-{count}")
            time.sleep(self._pause)

    def _send_one(self, token: str) -> None:
        try:
            sock = socket.create_connection(("127.0.0.1", self._port), TIMEOUT)
        except OSError as fault:
            self.refused.append(f"connect: {fault}")
            return
        with sock:
            port = sock.getsockname()[1]
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            stream = sock.makefile("rb")
            step = 0
            lines = [b"EHLO client.example", b"MAIL FROM:<a@client.example>", b"RCPT TO:<b@example.org>", b"DATA"]
            lines += [f"Subject: {token}\r\n\r\nHello.\r\n.".encode(), b"QUIT"]
            try:
                for step, line in enumerate([b"", *lines]):
                    if line:
                        sock.sendall(line + b"\r\n")
                    said = b"----"
                    while said[3:4] == b"-":
                        said = stream.readline()
                    if not said:
                        (self.broken if step else self.cut).append(port)
                        return
                    if said[:1] not in b"23":
                        self.sent_away.append(said)
                        return
                    if step == 5:
                        self.acknowledged.append(token)
            except TimeoutError:
                self.unheard.append(token)
            except OSError as fault:
                # A client that is held has said nothing, so a process that dies ends it with a FIN; a reset is a backlog's.
                if step:
                    self.broken.append(port)
                else:
                    self.refused.append(f"before a greeting: {fault}")


def lost(load: Load, messages: list[bytes]) -> list[str]:
    """Return the tokens of messages that were acknowledged and are not among *messages*."""
    arrived = set()
    for message in messages:
        with suppress(StopIteration):
            arrived.add(next(line[9:] for line in message.splitlines() if line.startswith(b"Subject: ")).decode())
    return [token for token in load.acknowledged if token not in arrived]
